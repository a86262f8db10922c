"""Models as graphs: from a batch and the parameters of a model to its logits.

`trace` has two ways.  A model of hybridizable blocks is called with symbols in place of arrays, as
Gluon does when it hybridizes a block: this computes nothing.  Any other model, such as the book's
own blocks or a reader's changed copies of them, is called once with arrays while autograd records
it; see `recording`.
"""

from __future__ import annotations

import contextlib
import math
from dataclasses import dataclass, field

from .._mxnet import mx, nn, np
from ..book.encoder_decoder import EncoderDecoder
from ..device import device_of
from .graphs import (
    draws_random_numbers,
    merge_equal_nodes,
    pack_recurrent_weights,
    take_positions,
)
from .recording import TRACING, Recording, TraceError, record_call

_MODEL_INPUTS = ('src', 'src_valid_len', 'tgt', 'tgt_valid_len')


@dataclass(frozen=True)
class Graph:
    """The logits of a model as a function of a batch and the parameters.

    Attributes
    ----------
    logits : Symbol
        Of float32 (num_labels, vocab_size).  The inputs that belong to the batch are float32:

        - ``src`` (batch_size, num_src_steps) and ``tgt`` (batch_size, num_tgt_steps), token ids;
        - ``src_valid_len`` and ``tgt_valid_len`` (batch_size,), if the model uses them;
        - ``label_positions`` (num_labels,), positions in the flattened decoder input.
    packed : dict of str to list of str
        For each input that replaces several parameters, the names of these parameters in the order
        in which they are in memory.
    constants : dict of str to NDArray
        The other inputs, for a graph that was recorded.
    is_recorded : bool
        True if the graph was recorded.  It is then valid for batches of the traced shape only, and
        either for training or for prediction.
    """

    logits: mx.sym.Symbol
    packed: dict[str, list[str]]
    constants: dict[str, mx.nd.NDArray] = field(default_factory=dict)
    is_recorded: bool = False

    @property
    def inputs(self) -> list[str]:
        """Names of the inputs, in the order in which a compiled graph takes them."""
        return self.logits.list_inputs()


def trace(
    model: EncoderDecoder,
    src_shape: tuple[int, int] = (1, 1),
    tgt_shape: tuple[int, int] = (1, 1),
    is_training: bool = True,
) -> Graph:
    """Return the graph of a model.

    Parameters
    ----------
    model : EncoderDecoder
        If a block cannot be traced with symbols, the model must be initialized.
    src_shape, tgt_shape : (int, int)
        The shapes of the batch, (batch_size, num_steps).  A decoder that runs step by step is
        unrolled to `num_tgt_steps`.  Which parameters are packed does not depend on the shapes.
    is_training : bool
        Whether to record a call of training or one of prediction.  A graph that is traced with
        symbols is the same for both.

    Raises
    ------
    TraceError
        If the model can be traced neither with symbols nor by recording a call.
    """
    positions = mx.sym.var('label_positions')
    if all(isinstance(part, nn.HybridBlock) for part in (model.encoder, model.decoder)):
        with contextlib.suppress(TraceError):  # then it may still be recorded
            logits, packed = pack_recurrent_weights(_trace_logits(model, src_shape, tgt_shape))
            return Graph(take_positions(logits, positions), packed)
    recording = _record_logits(model, src_shape, tgt_shape, is_training)
    logits, packed = pack_recurrent_weights(merge_equal_nodes(recording.symbol))
    return Graph(take_positions(logits, positions), packed, recording.constants, is_recorded=True)


def parameter_shapes(model: EncoderDecoder) -> dict[str, tuple[int, ...]]:
    """Return the shapes of a model's parameters by their Gluon names, without allocating them.

    Raises
    ------
    TraceError
        If a block cannot be traced with symbols.
    """
    logits = _trace_logits(model, (1, 1), (1, 1))
    shapes, _, _ = logits.infer_shape()
    return dict(zip(logits.list_arguments(), shapes))


def count_values(
    model: EncoderDecoder, src_shape: tuple[int, int], tgt_shape: tuple[int, int]
) -> int:
    """Return the number of values that a model's operators return for a batch of these shapes.

    Raises
    ------
    TraceError
        If a block cannot be traced with symbols.
    """
    logits = _trace_logits(model, src_shape, tgt_shape)
    operators, inputs = logits.get_internals(), set(logits.list_inputs())
    _, shapes, _ = operators.infer_shape()
    return sum(
        math.prod(shape)
        for name, shape in zip(operators.list_outputs(), shapes)
        if name not in inputs
    )


def uses_random_numbers(model: EncoderDecoder) -> bool:
    """Return whether training draws random numbers, for dropout or scheduled sampling.

    The answer is True if it is not known, because the model cannot be traced.
    """
    try:
        # Scheduled sampling begins at the second step.
        return draws_random_numbers(trace(model, (1, 2), (1, 2)).logits)
    except TraceError:
        return True


def _trace_logits(
    model: EncoderDecoder, src_shape: tuple[int, int], tgt_shape: tuple[int, int]
) -> mx.sym.Symbol:
    """Return the logits (batch_size, num_tgt_steps, vocab_size) of a model called with symbols."""
    shapes = src_shape, src_shape[:1], tgt_shape, tgt_shape[:1]
    src, src_valid_len, tgt, tgt_valid_len = (
        mx.sym.var(name, shape=shape).as_np_ndarray() for name, shape in zip(_MODEL_INPUTS, shapes)
    )
    try:
        with TRACING:
            logits, _ = model(src, tgt, src_valid_len, tgt_valid_len)
    except Exception as error:
        raise TraceError(
            f'expected a model of hybridizable blocks, got one that cannot be called with symbols '
            f'({error})'
        ) from error
    return logits.as_nd_ndarray()


def _record_logits(
    model: EncoderDecoder,
    src_shape: tuple[int, int],
    tgt_shape: tuple[int, int],
    is_training: bool,
) -> Recording:
    """Return the logits (batch_size, num_tgt_steps, vocab_size) of a model called with arrays.

    All tokens of the call are the first of the vocabulary: a graph that depends on the tokens is
    none.
    """
    ctx = device_of(model)
    inputs = {
        'src': np.zeros(src_shape, ctx=ctx),
        'src_valid_len': np.full(src_shape[:1], src_shape[1], dtype='float32', ctx=ctx),
        'tgt': np.zeros(tgt_shape, ctx=ctx),
        'tgt_valid_len': np.full(tgt_shape[:1], tgt_shape[1], dtype='float32', ctx=ctx),
    }

    def logits_alone(src, src_valid_len, tgt, tgt_valid_len):
        return model(src, tgt, src_valid_len, tgt_valid_len)[:1]

    return record_call(logits_alone, inputs, model, is_training)
