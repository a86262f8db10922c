"""Functions that call a model's blocks, each compiled to a graph.

A function is traced when it is first called with arrays of given shapes: with symbols if the
model's blocks can be hybridized, and otherwise by recording the call.  After that, each call is a
single call of MXNet, however many operators the function has.  The graphs are for inference: they
draw no random numbers, so a value that would be computed twice from the same inputs is computed
once.
"""

from __future__ import annotations

import collections
from typing import Any, Callable, Iterable, Iterator, NamedTuple, Sequence

from .._mxnet import mx
from ..book.encoder_decoder import EncoderDecoder
from .flat_parameters import storage_of
from .graphs import (
    merge_equal_nodes,
    pack_recurrent_weights,
    replace_idle_swaps,
    static_flags,
)
from .recording import TRACING, record_call
from .tracing import trace

# Maximum number of graphs to keep.  Each uses memory, about 100 KB of which MXNet never frees.
MAX_GRAPHS = 512


class CompiledFunctions:
    """A cache of compiled functions that call blocks of one model.

    Parameters
    ----------
    model : EncoderDecoder
        Initialized.  Its weights may change between calls.

    Raises
    ------
    TraceError, ValueError
        If the model cannot be traced, or its parameters cannot share one array; see `trace` and
        `FlatParameters`.
    """

    def __init__(self, model: EncoderDecoder):
        self._parameters = list(model.collect_params().values())
        self._model = model
        graph = trace(model)
        self._is_recorded, self._packed = graph.is_recorded, graph.packed
        self._storage = storage_of(self._parameters, self._packed.values())
        self._variables = self._storage.variables(self._packed)
        # The keys are the function, its static arguments, and the structure and shapes of its
        # arrays.  The most recently used graph is the last.
        self._compiled: collections.OrderedDict[tuple, _CompiledFunction] = (
            collections.OrderedDict()
        )

    def __call__(self, function: Callable, static: tuple, arrays: Any) -> Any:
        """Return ``function(*static, arrays)``.

        Parameters
        ----------
        function : Callable
            A function without side effects, of arrays and, unless the model's calls are recorded,
            of symbols.  Its result depends on all arrays.
        static : tuple
            Hashable arguments.  Each different value of them has its own graph.
        arrays : array, None, or nested list of them

        Returns
        -------
        array, None, or nested list of them

        Raises
        ------
        TraceError
            If the function cannot be recorded; see `record_call`.
        """
        leaves: list = []
        structure = flatten(arrays, leaves)
        key = function, static, structure, tuple(leaf.shape for leaf in leaves)
        with TRACING:  # threads may share a translator
            self._update_variables()
            if key in self._compiled:
                self._compiled.move_to_end(key)
            else:
                self._compiled[key] = self._compile(function, static, structure, leaves)
                if len(self._compiled) > MAX_GRAPHS:
                    self._compiled.popitem(last=False)
            compiled = self._compiled[key]
        inputs = {**compiled.constants, **dict(zip(_input_names(len(leaves)), leaves))}
        outputs = compiled.operator(
            *(inputs[name] if name in inputs else self._variables[name] for name in compiled.inputs)
        )
        return unflatten(
            compiled.structure, iter(outputs if isinstance(outputs, list) else [outputs])
        )

    def _update_variables(self) -> None:
        """Find the parameters again if they have moved to another storage."""
        if not self._storage.holds(self._parameters):
            self._storage = storage_of(self._parameters, self._packed.values())
            self._variables = self._storage.variables(self._packed)

    def _compile(
        self, function: Callable, static: tuple, structure: Any, leaves: Sequence
    ) -> _CompiledFunction:
        named_leaves = dict(zip(_input_names(len(leaves)), leaves))
        shapes = {name: leaf.shape for name, leaf in named_leaves.items()}
        output_structure: Any = None
        constants: dict[str, mx.nd.NDArray] = {}

        def call(leaves: Iterable) -> list:
            """Call the function, note the structure of its result, and return the arrays in it."""
            nonlocal output_structure
            outputs: list = []
            result = function(*static, unflatten(structure, iter(leaves)))
            output_structure = flatten(result, outputs)
            return outputs

        if self._is_recorded:
            graph, constants = record_call(
                lambda **arrays: call(arrays.values()), named_leaves, self._model, is_training=False
            )
            shapes.update({name: constant.shape for name, constant in constants.items()})
            shapes.update({parameter.name: parameter.shape for parameter in self._parameters})
            shapes = {name: shapes[name] for name in graph.list_inputs()}
        else:
            symbols = (mx.sym.var(name, shape=shapes[name]).as_np_ndarray() for name in shapes)
            graph = mx.sym.Group([output.as_nd_ndarray() for output in call(symbols)])
        graph, largest = replace_idle_swaps(graph, shapes)
        graph, _ = pack_recurrent_weights(merge_equal_nodes(graph))
        names = graph.list_inputs()
        flags = [
            *static_flags(max(largest, self._storage.weights.size)),
            ('data_indices', [index for index, name in enumerate(names) if name in named_leaves]),
            (
                'param_indices',
                [index for index, name in enumerate(names) if name not in named_leaves],
            ),
        ]
        return _CompiledFunction(names, constants, mx.nd.CachedOp(graph, flags), output_structure)


class _CompiledFunction(NamedTuple):
    """A graph that is ready to run."""

    inputs: list[str]
    constants: dict[str, mx.nd.NDArray]
    operator: mx.nd.CachedOp
    structure: Any  # of the outputs, see `flatten`


def flatten(nested: Any, leaves: list) -> Any:
    """Append the arrays of a nested list to `leaves`, and return its structure, which is hashable.

    Examples
    --------
    >>> leaves = []
    >>> flatten(['X', [None, 'state']], leaves), leaves
    ((True, (None, True)), ['X', 'state'])
    """
    if nested is None:
        return None
    if isinstance(nested, (list, tuple)):
        return tuple(flatten(part, leaves) for part in nested)
    leaves.append(nested)
    return True


def unflatten(structure: Any, leaves: Iterator) -> Any:
    """Return the nested list of a structure, with `leaves` as its arrays; reverses `flatten`."""
    if isinstance(structure, tuple):
        return [unflatten(part, leaves) for part in structure]
    return None if structure is None else next(leaves)


def _input_names(count: int) -> list[str]:
    """Return names for a graph's arrays; parameters have no such names, because of the space."""
    return [f'array {number}' for number in range(count)]
