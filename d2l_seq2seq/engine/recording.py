"""Plain Gluon blocks as graphs: a call is recorded by autograd, and its record is the graph.

A block with ``forward``, as the book teaches to write it, cannot be called with symbols, because it
works with the shapes of arrays and with NumPy's functions.  But autograd records the operators that
it calls, and MXNet returns that record as a symbol.  `record_call` does this for any function.

The record is correct for calls whose operators do not depend on the values of the inputs.  Reading
a value, with ``item`` or a comparison for example, raises `TraceError`.
"""

from __future__ import annotations

import contextlib
import itertools
import threading
from typing import Any, Callable, Iterable, Iterator, Mapping, NamedTuple, Sequence

import numpy as onp

from .._mxnet import autograd, mx, nn, np, rnn

# Gluon's name scopes, and the methods that `record_call` replaces, are shared by all threads.
TRACING = threading.RLock()


class TraceError(TypeError):
    """A model cannot become a graph; the message is the reason."""


class Recording(NamedTuple):
    """The record of a call.

    Attributes
    ----------
    symbol : Symbol
        The outputs as a function of inputs, parameters and constants, under their names.
    constants : dict of str to NDArray
        The arrays that the call used besides its inputs and the parameters: those that it created,
        such as initial states of zeros, and those that blocks have as attributes.
    """

    symbol: mx.sym.Symbol
    constants: dict[str, mx.nd.NDArray]


def record_call(
    function: Callable[..., Sequence[np.ndarray]],
    inputs: Mapping[str, np.ndarray],
    model: nn.Block,
    is_training: bool,
) -> Recording:
    """Call a function of arrays, and return what it computed as a graph.

    Parameters
    ----------
    function : Callable
        It is called with copies of `inputs` as keywords, and returns a list of arrays, which are
        the outputs of the graph.
    inputs : dict of str to np.ndarray
        Arrays by the names that the inputs of the graph are to have.  The graph is valid for arrays
        of the same shapes.
    model : nn.Block
        The initialized block whose parameters the function uses.  They are inputs of the graph
        under their Gluon names.
    is_training : bool
        Whether the call is one of training, in which for example dropout is active.

    Raises
    ------
    TraceError
        If the call fails, reads a value of an array, or uses an array whose origin is unknown.
    """
    marked = {name: array.as_np_ndarray().copy() for name, array in inputs.items()}
    for array in marked.values():
        array.attach_grad()
    parameters = {p.name: p.data(p.list_ctx()[0]) for p in model.collect_params().values()}
    created: list[np.ndarray] = []
    try:
        with TRACING, _watch_arrays(created), autograd.record(train_mode=is_training):
            outputs = [autograd.get_symbol(output) for output in function(**marked)]
    except TraceError:
        raise
    except Exception as error:
        first_line = (str(error).strip() or repr(error)).splitlines()[0]
        raise TraceError(f'{type(error).__name__}: {first_line}') from error
    new_names = {
        _variable_name(array): name
        for name, array in itertools.chain(marked.items(), parameters.items())
    }
    symbol = mx.sym.Group(outputs)
    unknown = set(symbol.list_inputs()) - set(new_names)
    constants: dict[str, mx.nd.NDArray] = {}
    for array in itertools.chain(_attributes(model), created):
        if not unknown:
            break
        name = _variable_name(array)
        if name in unknown:
            new_names[name] = f'constant{len(constants)}'
            constants[new_names[name]] = array.as_nd_ndarray().detach()
            unknown.remove(name)
    if unknown:
        raise TraceError('it uses arrays that are neither inputs, nor parameters, nor attributes')
    variables = {old: mx.sym.var(new_names[old]) for old in symbol.list_inputs()}
    return Recording(symbol(**variables), constants)


@contextlib.contextmanager
def without_dropout(model: nn.Block) -> Iterator[None]:
    """Switch off the dropout of a model's layers, so that two calls return the same."""
    attributes = ((nn.Dropout, '_rate'), (rnn.rnn_layer._RNNLayer, '_dropout'))
    rates: list[tuple[nn.Block, str, float]] = []

    def switch_off(block: nn.Block) -> None:
        for layer, attribute in attributes:
            if isinstance(block, layer):
                rates.append((block, attribute, getattr(block, attribute)))
                setattr(block, attribute, 0)

    model.apply(switch_off)
    try:
        yield
    finally:
        for block, attribute, rate in rates:
            setattr(block, attribute, rate)


@contextlib.contextmanager
def _watch_arrays(created: list) -> Iterator[None]:
    """Collect the arrays that this thread creates, and refuse to read values that are recorded.

    MXNet has no hooks for either, so methods of its arrays are replaced for the time being.  So is
    ``astype``, because a record of the original does not contain the type.
    """
    array_type, thread = mx.nd.NDArray, threading.get_ident()
    (base_type,) = (base for base in array_type.__mro__ if base.__name__ == 'NDArrayBase')
    create, read, astype = base_type.__init__, array_type.asnumpy, np.ndarray.astype

    def create_and_collect(array: Any, *args: Any, **kwargs: Any) -> None:
        create(array, *args, **kwargs)
        if threading.get_ident() == thread:
            created.append(array)

    def read_constants_only(array: Any) -> Any:
        if threading.get_ident() == thread and _is_recorded(array):
            raise TraceError('its operators depend on the values of arrays')
        return read(array)

    def cast(array: np.ndarray, dtype: Any, *args: Any, **kwargs: Any) -> np.ndarray:
        if threading.get_ident() == thread and _is_recorded(array):
            return mx.nd.cast(array.as_nd_ndarray(), dtype=onp.dtype(dtype)).as_np_ndarray()
        return astype(array, dtype, *args, **kwargs)

    base_type.__init__, array_type.asnumpy = create_and_collect, read_constants_only
    np.ndarray.astype = cast
    try:
        yield
    finally:
        base_type.__init__, array_type.asnumpy, np.ndarray.astype = create, read, astype


def _is_recorded(array: Any) -> bool:
    """Return whether an array is an input, a parameter, or computed from one."""
    try:
        names = autograd.get_symbol(array).list_inputs()
    except mx.MXNetError:
        return False
    # Autograd numbers the arrays: var0 is an input or a parameter, null1 a constant.
    return any(name.startswith('var') for name in names)


def _variable_name(array: Any) -> str | None:
    """Return the name that autograd gave to an array that is no operator's output, if any."""
    try:
        symbol = autograd.get_symbol(array)
    except mx.MXNetError:
        return None
    return symbol.name if symbol.list_inputs() == [symbol.name] else None


def _attributes(model: nn.Block) -> Iterable[np.ndarray]:
    """Yield the arrays that are attributes of a model's blocks."""
    blocks: list[nn.Block] = []
    model.apply(blocks.append)
    for block in blocks:
        for value in vars(block).values():
            yield from _arrays_in(value)
    for parameter in model.collect_params().values():  # those without a gradient are constants
        yield from parameter.list_data()


def _arrays_in(value: Any) -> Iterator[np.ndarray]:
    """Yield an array, or the arrays of a list, tuple or dict."""
    if isinstance(value, mx.nd.NDArray):
        yield value
    elif isinstance(value, (list, tuple)):
        for item in value:
            yield from _arrays_in(item)
    elif isinstance(value, dict):
        for item in value.values():
            yield from _arrays_in(item)
