"""An encoder-decoder model as the step function of a search."""

from __future__ import annotations

from typing import Any, Callable, Sequence

import numpy as onp

from .._mxnet import mx, operators_of
from ..book.encoder_decoder import EncoderDecoder
from ..engine.compiled import CompiledFunctions
from ..models.decoders import AttentionDecoder
from .search import Stepper


class ModelStepper(Stepper):
    """A `Stepper` that runs an encoder and a decoder.

    Its inputs are source token ids, float32 of shape (batch_size, num_src_steps), and source valid
    lengths, float32 of shape (batch_size,).

    Parameters
    ----------
    model : EncoderDecoder
        Initialized.  For a beam search, its decoder must define ``reorder``
        (see `models.decoders`).  For more than
        one hypothesis per sentence, all arrays that its encoder returns must have the batch on
        their second axis, as those of this package have.

    Attributes
    ----------
    ctx : mxnet.Context
        The device of the model.

    Notes
    -----
    A search runs as graphs if the model's blocks can be hybridized and its parameters are of one
    kind.  Otherwise it runs operator by operator, which is slower.
    """

    def __init__(self, model: EncoderDecoder):
        self._model = model
        self._has_attention = isinstance(model.decoder, AttentionDecoder)
        self.ctx = next(iter(model.collect_params().values())).list_ctx()[0]
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
            enc_outputs = _repeat(enc_outputs, num_rows, axis=1)
            valid_len = _repeat(valid_len, num_rows, axis=0)
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
        if not hasattr(decoder, 'reorder'):
            raise TypeError(
                f'expected a decoder that defines reorder(state, rows) for a beam search, got '
                f'{type(decoder).__name__}; see d2l_seq2seq.models.decoders, or use greedy search'
            )
        return decoder.reorder(state, rows)

    def run(self, function: Callable, static: tuple, arrays: Any) -> Any:
        """Run the function as a graph if the model allows it."""
        return self._run(function, static, arrays)

    def upload(self, arrays: Sequence[onp.ndarray]) -> list[mx.nd.NDArray]:
        """Copy the arrays of a batch to the device, joined along their second axis."""
        # One array needs one transfer, and zero_copy avoids a copy that MXNet would wait for.
        joined = onp.concatenate([array.reshape((len(array), -1)) for array in arrays], axis=1)
        array = mx.nd.from_numpy(joined, zero_copy=True).as_in_context(self.ctx)
        return [array.as_np_ndarray()]


def _repeat(nested: Any, count: int, axis: int) -> Any:
    """Repeat each entry of all arrays of a nested list along an axis; copies are adjacent."""
    if isinstance(nested, (list, tuple)):
        return [_repeat(part, count, axis) for part in nested]
    return operators_of(nested).np.repeat(nested, count, axis=axis)
