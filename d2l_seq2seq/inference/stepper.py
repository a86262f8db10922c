"""An encoder-decoder model as the step function of a search."""

from __future__ import annotations

from typing import Any, Callable, Sequence

import numpy as onp

from .._mxnet import mx, np, operators_of
from ..book.encoder_decoder import EncoderDecoder
from ..engine.compiled import CompiledFunctions
from ..engine.recording import TraceError
from ..models.decoders import AttentionDecoder
from .search import Stepper


class ModelStepper(Stepper):
    """A `Stepper` that runs an encoder and a decoder.

    Its inputs are source token ids, float32 of shape (batch_size, num_src_steps), and source valid
    lengths, float32 of shape (batch_size,).

    Parameters
    ----------
    model : EncoderDecoder
        Initialized.  A decoder that defines ``reorder(state, rows)`` (see `models.decoders`)
        reorders its state itself in a beam search, and all arrays that its encoder returns must
        have the batch on their second axis.  For any other decoder, the batch axis of each array is
        found by comparing the shapes for batches of two sizes.

    Attributes
    ----------
    ctx : mxnet.Context
        The device of the model.

    Notes
    -----
    A search runs as graphs if the model can be traced (see `engine.tracing`) and its parameters are
    of one kind.  Otherwise it runs operator by operator, which is slower.
    """

    has_finite_logits = True

    def __init__(self, model: EncoderDecoder):
        self._model = model
        self._has_attention = isinstance(model.decoder, AttentionDecoder)
        self.ctx = next(iter(model.collect_params().values())).list_ctx()[0]
        self._enc_axes: Any = 1
        if not hasattr(model.decoder, 'reorder'):
            self._enc_axes, self._state_axes = _find_batch_axes(model, self.ctx)
        self._run: Callable
        try:
            self._run = CompiledFunctions(model)
        except (TypeError, ValueError):
            self._run = super().run

    def start(self, arrays: Sequence, num_rows: int) -> Any:
        """Encode the sentences, and return the first state of the decoder."""
        (joined,) = arrays
        src, valid_len = joined[:, :-1], joined[:, -1]
        enc_outputs = self._model.encoder(src, valid_len)
        if num_rows > 1:
            enc_outputs = _map_arrays(_repeat(num_rows), enc_outputs, self._enc_axes)
            valid_len = _repeat(num_rows)(valid_len, 0)
        return self._model.decoder.init_state(enc_outputs, valid_len)

    def step(self, tokens, state) -> tuple:
        """Run the decoder for one step."""
        if self._has_attention:
            logits, state, weights = self._model.decoder.attend(tokens, state)
        else:
            (logits, state), weights = self._model.decoder(tokens, state), None
        squeeze = operators_of(tokens).np.squeeze  # removes the axis of the single step
        return squeeze(logits, axis=1), state, None if weights is None else squeeze(weights, axis=1)

    def reorder(self, state, rows) -> Any:
        """Rearrange the hypotheses in the state of the decoder."""
        decoder = self._model.decoder
        if hasattr(decoder, 'reorder'):
            return decoder.reorder(state, rows)
        return _map_arrays(_select(rows), state, self._state_axes)

    def run(self, function: Callable, static: tuple, arrays: Any) -> Any:
        """Run the function as a graph if the model allows it."""
        try:
            return self._run(function, static, arrays)
        except TraceError:
            self._run = super().run
            return self._run(
                function, static, _map_arrays(lambda array, _: array.as_np_ndarray(), arrays, None)
            )

    def upload(self, arrays: Sequence[onp.ndarray]) -> list[mx.nd.NDArray]:
        """Copy the arrays of a batch to the device, joined along their second axis."""
        # One array needs one transfer, and zero_copy avoids a copy that MXNet would wait for.
        joined = onp.concatenate([array.reshape((len(array), -1)) for array in arrays], axis=1)
        array = mx.nd.from_numpy(joined, zero_copy=True).as_in_context(self.ctx)
        return [array.as_np_ndarray()]


def _find_batch_axes(model: EncoderDecoder, ctx: mx.Context) -> tuple[Any, Any]:
    """Return the batch axes of a model's arrays, None for an array without one.

    Returns
    -------
    enc_axes, state_axes : int, None, or nested list of them
        Of what the encoder returns, and of the decoder's state after a step.
    """
    nested_shapes = []
    for batch_size in (2, 3):
        tokens = np.zeros((batch_size, 1), ctx=ctx)
        valid_len = np.ones((batch_size,), ctx=ctx)
        enc_outputs = model.encoder(tokens, valid_len)
        _, state = model.decoder(tokens, model.decoder.init_state(enc_outputs, valid_len))
        nested_shapes.append(
            _map_arrays(lambda array, _: array.shape, [enc_outputs, state], axes=None)
        )
    enc_axes, state_axes = _differing_axes(*nested_shapes)
    return enc_axes, state_axes


def _differing_axes(shapes: Any, other_shapes: Any) -> Any:
    """Return the first axis in which two shapes differ, for nested lists of shapes."""
    if isinstance(shapes, list):
        return [_differing_axes(*pair) for pair in zip(shapes, other_shapes)]
    for axis, (size, other_size) in enumerate(zip(shapes or (), other_shapes or ())):
        if size != other_size:
            return axis
    return None


def _map_arrays(function: Callable, nested: Any, axes: Any) -> Any:
    """Return a nested list with a function of each array and its axis; None stays None.

    `axes` is nested like the arrays, or is the axis of all of them.
    """
    if isinstance(nested, (list, tuple)):
        all_axes = axes if isinstance(axes, list) else [axes] * len(nested)
        return [_map_arrays(function, part, axis) for part, axis in zip(nested, all_axes)]
    return None if nested is None else function(nested, axes)


def _repeat(count: int) -> Callable:
    """Return a function that repeats each entry of an array along an axis; copies are adjacent."""

    def repeat(array: Any, axis: int | None) -> Any:
        return array if axis is None else operators_of(array).np.repeat(array, count, axis=axis)

    return repeat


def _select(rows: Any) -> Callable:
    """Return a function that selects and reorders the entries of an array along an axis."""

    def select(array: Any, axis: int | None) -> Any:
        return array if axis is None else np.take(array, rows, axis=axis, mode='clip')

    return select
