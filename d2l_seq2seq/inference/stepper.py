"""A model as the step function that is searched over."""

from __future__ import annotations

from typing import Any, Callable, Sequence

import numpy as onp

from .._mxnet import mx, operators_of
from ..book.encoder_decoder import EncoderDecoder
from ..engine.compiled import CompiledFunctions
from ..models.decoders import AttentionDecoder
from .search import Stepper


class ModelStepper(Stepper):
    """An encoder and a decoder, step by step.

    Its inputs are source token ids, float32 (batch_size, num_src_steps), and the source valid
    lengths, float32 (batch_size,).  Whatever arrays the encoder returns need the batch on their
    second axis, as the package's have it, where a sentence has several rows.

    Parameters
    ----------
    model : EncoderDecoder
        Initialized.  Its decoder needs `Decoder.reorder` for a beam search.  Where its blocks can
        be hybridized and its parameters are of one kind, the search runs as graphs, and otherwise
        operator by operator, which is slower.

    Attributes
    ----------
    ctx : mxnet.Context
        Where the model is.
    """

    def __init__(self, model: EncoderDecoder):
        self._model = model
        self._has_attention = isinstance(model.decoder, AttentionDecoder)
        self.ctx = next(iter(model.collect_params().values())).list_ctx()[0]
        try:
            self._run = CompiledFunctions(model)
        except (TypeError, ValueError):
            self._run = super().run

    def start(self, arrays: Sequence, num_rows: int) -> Any:
        (joined,) = arrays
        src, valid_len = joined[:, :-1], joined[:, -1]
        enc_outputs = self._model.encoder(src, valid_len)
        if num_rows > 1:
            enc_outputs = _repeated(enc_outputs, num_rows, axis=1)
            valid_len = _repeated(valid_len, num_rows, axis=0)
        return self._model.decoder.init_state(enc_outputs, valid_len)

    def step(self, tokens, state) -> tuple:
        if self._has_attention:
            logits, state, weights = self._model.decoder.attend(tokens, state)
        else:
            (logits, state), weights = self._model.decoder(tokens, state), None
        squeeze = operators_of(tokens).np.squeeze  # a single step
        return squeeze(logits, axis=1), state, None if weights is None else squeeze(weights, axis=1)

    def reorder(self, state, rows) -> Any:
        return self._model.decoder.reorder(state, rows)

    def run(self, function: Callable, static: tuple, arrays: Any) -> Any:
        return self._run(function, static, arrays)

    def upload(self, arrays: Sequence[onp.ndarray]) -> list[mx.nd.NDArray]:
        # In one piece, and without the copy that MXNet would wait for.
        joined = onp.concatenate([array.reshape((len(array), -1)) for array in arrays], axis=1)
        array = mx.nd.from_numpy(joined, zero_copy=True).as_in_context(self.ctx)
        return [array.as_np_ndarray()]


def _repeated(nested: Any, count: int, axis: int) -> Any:
    """Each array of a nested list with each of its entries `count` times in a row."""
    if isinstance(nested, (list, tuple)):
        return [_repeated(part, count, axis) for part in nested]
    return operators_of(nested).np.repeat(nested, count, axis=axis)
