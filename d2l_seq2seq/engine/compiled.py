"""Functions of arrays that call a model's blocks, run as one graph each.

A function is traced with symbols the first time that arrays of some shapes come, and from then on
is a single call of MXNet, whatever it is made of.  The graph is for inference: it draws no random
numbers, so what it would compute twice from the same inputs it computes once.
"""

from __future__ import annotations

import collections
from typing import Any, Callable, NamedTuple

from .._mxnet import mx
from ..book.encoder_decoder import EncoderDecoder
from .flat_parameters import storage_of
from .graphs import (
    MAX_STATIC_SIZE,
    merge_equal_nodes,
    pack_recurrent_weights,
    trace,
    without_idle_swaps,
)

# That are kept.  Each of them holds memory, of which MXNet gives some 100 KB never back.
MAX_GRAPHS = 512


class CompiledFunctions:
    """The functions that a model's blocks are called in.

    Parameters
    ----------
    model : EncoderDecoder
        Initialized, of blocks that can be hybridized.  Its weights may change between calls.

    Raises
    ------
    TypeError, ValueError
        If it can't be traced, or its parameters are not of one kind; see `trace` and
        `FlatParameters`.
    """

    def __init__(self, model: EncoderDecoder):
        self._parameters = list(model.collect_params().values())
        self._packed = trace(model).packed
        self._storage, self._variables = None, {}
        # By function, what is fixed, structure and shapes of arrays; the latest used come last.
        self._compiled: collections.OrderedDict[tuple, _Compiled] = collections.OrderedDict()
        self._find_variables()

    def __call__(self, function: Callable, static: tuple, arrays: Any) -> Any:
        """``function(*static, arrays)``.

        Parameters
        ----------
        function : function
            Of symbols as well as of arrays, without side effects.
        static : tuple
            What the function is told besides; each different one makes another graph.
        arrays : array, None, or nested list of them

        Returns
        -------
        array, None, or nested list of them
        """
        leaves = []
        structure = flatten(arrays, leaves)
        key = function, static, structure, tuple(leaf.shape for leaf in leaves)
        self._find_variables()
        if key in self._compiled:
            self._compiled.move_to_end(key)
        else:
            self._compiled[key] = self._compile(function, static, structure, leaves)
            if len(self._compiled) > MAX_GRAPHS:
                self._compiled.popitem(last=False)
        compiled = self._compiled[key]
        inputs = dict(zip(_names(len(leaves)), leaves))
        outputs = compiled.operator(
            *(inputs[name] if name in inputs else self._variables[name] for name in compiled.inputs)
        )
        return unflatten(
            compiled.structure, iter(outputs if isinstance(outputs, list) else [outputs])
        )

    def _find_variables(self) -> None:
        """Take the parameters from where they lie now: a training may have bound them anew."""
        if self._storage is None or not self._storage.holds(self._parameters):
            self._storage = storage_of(self._parameters, self._packed.values())
            self._variables = self._storage.variables(self._packed)

    def _compile(self, function, static, structure, leaves) -> _Compiled:
        data = {name: leaf.shape for name, leaf in zip(_names(len(leaves)), leaves)}
        symbols = (mx.sym.var(name, shape=shape).as_np_ndarray() for name, shape in data.items())
        outputs = []
        out_structure = flatten(function(*static, unflatten(structure, symbols)), outputs)
        graph = mx.sym.Group([output.as_nd_ndarray() for output in outputs])
        graph, largest = without_idle_swaps(graph, data)
        graph, _ = pack_recurrent_weights(merge_equal_nodes(graph))
        names = graph.list_inputs()
        is_static = max(largest, self._storage.weights.size) < MAX_STATIC_SIZE
        flags = [
            ('static_alloc', is_static),
            ('static_shape', is_static),
            ('data_indices', [place for place, name in enumerate(names) if name in data]),
            ('param_indices', [place for place, name in enumerate(names) if name not in data]),
        ]
        return _Compiled(names, mx.nd.CachedOp(graph, flags), out_structure)


class _Compiled(NamedTuple):
    """A graph that is ready to run."""

    inputs: list[str]
    operator: mx.nd.CachedOp
    structure: Any  # of the outputs


def _names(count: int) -> list[str]:
    """What a graph's arrays are called; no parameter's name begins so."""
    return [f'array {number}' for number in range(count)]


def flatten(nested: Any, leaves: list) -> Any:
    """Append the arrays of a nested list to `leaves`; returns its structure, which is hashable."""
    if nested is None:
        return None
    if isinstance(nested, (list, tuple)):
        return tuple(flatten(part, leaves) for part in nested)
    leaves.append(nested)
    return True


def unflatten(structure: Any, leaves) -> Any:
    """The nested list of a structure, with the next of `leaves` in each place."""
    if isinstance(structure, tuple):
        return [unflatten(part, leaves) for part in structure]
    return None if structure is None else next(leaves)
