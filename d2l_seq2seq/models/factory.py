"""models.factory."""

from __future__ import annotations

from typing import Callable, Mapping

import numpy as onp

from .._mxnet import init, nn, np, rnn, use_np
from ..book.encoder_decoder import Decoder, Encoder, EncoderDecoder
from ..book.seq2seq import Seq2SeqDecoder, Seq2SeqEncoder
from ..config import ModelConfig, TrainingConfig
from .attention import AdditiveAttention, DotAttention, GeneralAttention
from .decoders import ContextDecoder, LuongDecoder, Seq2SeqAttentionDecoder
from .encoders import Bridge, MaskedEncoder
from .recurrent import KerasDefaults, keras_lstm, tanh_rnn
from .scheduled_sampling import ScheduledSampling, SteppedEncoderDecoder

LAYERS = {'rnn': tanh_rnn, 'gru': rnn.GRU, 'lstm': rnn.LSTM}
KERAS_LAYERS = {**LAYERS, 'lstm': keras_lstm}
INITIALIZERS = {'xavier': init.Xavier, 'keras': KerasDefaults}


def build_model(config: ModelConfig, src_vocab_size: int, tgt_vocab_size: int) -> EncoderDecoder:
    """The model that a configuration names, not yet initialized; see `model.initialize`."""
    model = EncoderDecoder(_encoder(config, src_vocab_size), _decoder(config, tgt_vocab_size))
    if config.share_embedding:
        share_embedding(model)
    if config.tied:
        tie_output(model.decoder)
    return model


def _layer(config: ModelConfig) -> Callable:
    """The class of the recurrent layers."""
    return (KERAS_LAYERS if config.initializer == 'keras' else LAYERS)[config.cell]


def _encoder(config: ModelConfig, vocab_size: int) -> Encoder:
    layer = _layer(config)
    sizes = vocab_size, config.embed_size, config.num_hiddens, config.num_layers, config.dropout
    if config.bidirectional:
        encoder = MaskedEncoder(*sizes, layer=layer, bidirectional=True)
        return Bridge(encoder, config.num_layers, config.num_hiddens, layer)
    return (MaskedEncoder if config.masked else Seq2SeqEncoder)(*sizes, layer=layer)


def _decoder(config: ModelConfig, vocab_size: int) -> Decoder:
    sizes = vocab_size, config.embed_size, config.num_hiddens, config.num_layers
    kind = {'dropout': config.dropout, 'layer': _layer(config)}
    if config.attention == 'additive':
        return Seq2SeqAttentionDecoder(
            *sizes, attention=AdditiveAttention(config.num_hiddens, config.dropout), **kind
        )
    if config.attention == 'dot':
        return LuongDecoder(*sizes, DotAttention(config.dropout), **kind)
    if config.attention == 'general':
        return LuongDecoder(*sizes, GeneralAttention(config.num_hiddens, config.dropout), **kind)
    return (ContextDecoder if config.context_every_step else Seq2SeqDecoder)(*sizes, **kind)


def for_training(model: EncoderDecoder, config: TrainingConfig) -> EncoderDecoder:
    """The model as it is trained: itself, or step by step where its own tokens are fed back."""
    if config.teacher_forcing == 1:
        return model
    return SteppedEncoderDecoder(
        model.encoder, model.decoder, ScheduledSampling(config.teacher_forcing)
    )


@use_np
def initialize(model: EncoderDecoder, ctx, initializer: init.Initializer | None = None) -> None:
    """Draw the weights as the chapter does (Xavier) and in its order, with a plain forward pass.

    Hybridizing first, or giving the layers their input sizes, would draw in another order, and the
    same seed would give another model.

    Parameters
    ----------
    model : EncoderDecoder
        Weights that it has already are drawn anew.
    ctx : mxnet.Context
    initializer : Initializer, optional
        Xavier by default.
    """
    model.initialize(initializer or init.Xavier(), force_reinit=True, ctx=ctx)
    two_tokens = np.zeros((1, 2), ctx=ctx)
    one_length = np.ones((1,), ctx=ctx)
    model(two_tokens, two_tokens, one_length, one_length)


def share_embedding(model: EncoderDecoder) -> None:
    """Let both sides read with the encoder's embedding; they have to have the same vocabulary.

    Raises
    ------
    ValueError
        If the decoder's embedding is tied to its output already: share first, then tie.
    """
    if model.decoder.dense.weight is model.decoder.embedding.weight:
        raise ValueError(
            'expected a decoder without a tied output; call share_embedding before tie_output'
        )
    model.decoder.embedding = model.encoder.embedding


def tie_output(decoder: Decoder) -> None:
    """Let the dense layer's weight be the embedding's (Press and Wolf 2017).

    The decoder is one of the package's, not yet initialized; an embedding to be shared has to be
    shared before.

    Raises
    ------
    ValueError
        If what goes into the dense layer isn't as large as a word vector.
    """
    vocab_size, embed_size = decoder.embedding.weight.shape
    num_hiddens = decoder._state_sizes[-1]
    if embed_size != num_hiddens:
        raise ValueError(
            f'expected an embed_size equal to num_hiddens, got {embed_size} and '
            f'{num_hiddens}; a tied output needs them equal'
        )
    decoder.dense = nn.Dense(
        vocab_size, flatten=False, in_units=num_hiddens, params=decoder.embedding.params
    )


def set_weights(model: EncoderDecoder, arrays: Mapping[str, onp.ndarray]) -> None:
    """Give a model, which is initialized, the weights of these names."""
    for name, parameter in named_parameters(model).items():
        parameter.set_data(np.array(arrays[name], ctx=parameter.list_ctx()[0]))


def named_parameters(model: EncoderDecoder) -> dict:
    """The parameters by their place in the model, such as ``encoder.embedding.weight``.

    Gluon's `collect_params` names them by a counter of the process, which another process counts
    otherwise; `save_parameters` uses the names that are used here.
    """
    return model._collect_params_with_prefix()
