"""An encoder-decoder model as the step function of a search."""

from __future__ import annotations

import itertools
from typing import Any, Callable, Iterable, Sequence

import numpy as onp

from .._mxnet import autograd, mx, np, operators_of
from ..book.encoder_decoder import EncoderDecoder
from ..device import device_of
from ..engine.compiled import CompiledFunctions, flatten, unflatten
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
        self.ctx = device_of(model)
        # The batch axes of the arrays that the encoder returns, in order.
        self._enc_axes: Iterable[int | None] = itertools.repeat(1)
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
            repeat = operators_of(src).np.repeat  # copies are adjacent
            enc_outputs = _map_arrays(
                lambda array, axis: repeat(array, num_rows, axis=axis), enc_outputs, self._enc_axes
            )
            valid_len = repeat(valid_len, num_rows, axis=0)
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
        return _map_arrays(
            lambda array, axis: np.take(array, rows, axis=axis, mode='clip'),
            state,
            self._state_axes,
        )

    def run(self, function: Callable, static: tuple, arrays: Any) -> Any:
        """Run the function as a graph if the model allows it, without dropout and gradients."""
        with autograd.pause():
            return self._run_paused(function, static, arrays)

    def _run_paused(self, function: Callable, static: tuple, arrays: Any) -> Any:
        try:
            return self._run(function, static, arrays)
        except TraceError:
            self._run = super().run
            leaves: list = []  # classic arrays, if a graph has returned them
            structure = flatten(arrays, leaves)
            arrays = unflatten(structure, (leaf.as_np_ndarray() for leaf in leaves))
            return self._run(function, static, arrays)

    def upload(self, arrays: Sequence[onp.ndarray]) -> list[mx.nd.NDArray]:
        """Copy the arrays of a batch to the device, joined along their second axis."""
        # One array needs one transfer, and zero_copy avoids a copy that MXNet would wait for.
        joined = onp.concatenate([array.reshape((len(array), -1)) for array in arrays], axis=1)
        array = mx.nd.from_numpy(joined, zero_copy=True).as_in_context(self.ctx)
        return [array.as_np_ndarray()]


def _find_batch_axes(
    model: EncoderDecoder, ctx: mx.Context
) -> tuple[list[int | None], list[int | None]]:
    """Return the batch axes of a model's arrays, None for an array without one.

    Returns
    -------
    enc_axes, state_axes : list of int or None
        Of the arrays that the encoder returns, and of those in the decoder's state after a step.
    """
    shapes: list[tuple[list, list]] = []
    for batch_size in (2, 3):
        tokens = np.zeros((batch_size, 1), ctx=ctx)
        valid_len = np.ones((batch_size,), ctx=ctx)
        enc_outputs = model.encoder(tokens, valid_len)
        _, state = model.decoder(tokens, model.decoder.init_state(enc_outputs, valid_len))
        shapes.append((_shapes(enc_outputs), _shapes(state)))
    enc_axes, state_axes = (list(map(_differing_axis, *pair)) for pair in zip(*shapes))
    return enc_axes, state_axes


def _shapes(nested: Any) -> list[tuple[int, ...]]:
    """Return the shapes of the arrays of a nested list."""
    leaves: list = []
    flatten(nested, leaves)
    return [leaf.shape for leaf in leaves]


def _differing_axis(shape: tuple[int, ...], other_shape: tuple[int, ...]) -> int | None:
    """Return the first axis in which two shapes differ, or None."""
    sizes = enumerate(zip(shape, other_shape))
    return next((axis for axis, (size, other_size) in sizes if size != other_size), None)


def _map_arrays(function: Callable, nested: Any, axes: Iterable[int | None]) -> Any:
    """Return a nested list with a function of each array and its axis, if it has one."""
    leaves: list = []
    structure = flatten(nested, leaves)
    return unflatten(
        structure,
        (leaf if axis is None else function(leaf, axis) for leaf, axis in zip(leaves, axes)),
    )
