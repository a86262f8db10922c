"""Functions that build a model from a configuration, and access its weights by name.

`build_model` builds the encoder and decoder that a `ModelConfig` describes, and `initialize` draws
their weights.  The functions are in the order in which training uses them.
"""

from __future__ import annotations

from typing import Any, Callable, Mapping

import numpy as onp

from .._mxnet import gluon, init, np, rnn, use_np
from ..book.encoder_decoder import Decoder, Encoder, EncoderDecoder
from ..config import ModelConfig, TrainingConfig
from .attention import AdditiveAttention, DotAttention, GeneralAttention
from .contexts import last_state, max_state, mean_state
from .decoders import (
    ContextDecoder,
    InputFeedingDecoder,
    LuongDecoder,
    Seq2SeqAttentionDecoder,
    Seq2SeqDecoder,
)
from .embeddings import (
    NormalEmbeddings,
    drop_embedding,
    drop_output,
    share_embedding,
    tie_output,
)
from .encoders import Bridge, MaskedEncoder, Seq2SeqEncoder
from .recurrent import KerasDefaults, keras_lstm, tanh_rnn
from .scheduled_sampling import ScheduledSampling, SteppedEncoderDecoder

# The keys are the values of the fields `cell`, `initializer` and `context` of `ModelConfig`.
LAYERS = {'rnn': tanh_rnn, 'gru': rnn.GRU, 'lstm': rnn.LSTM}
KERAS_LAYERS = {**LAYERS, 'lstm': keras_lstm}
INITIALIZERS = {
    'xavier': init.Xavier,
    'keras': KerasDefaults,
    'normal-embeddings': NormalEmbeddings,
}
CONTEXTS = {'last': last_state, 'mean': mean_state, 'max': max_state}


def build_model(config: ModelConfig, src_vocab_size: int, tgt_vocab_size: int) -> EncoderDecoder:
    """Build the model that a configuration describes.

    Parameters
    ----------
    config : ModelConfig
    src_vocab_size, tgt_vocab_size : int

    Returns
    -------
    EncoderDecoder
        Not yet initialized; see `initialize`.
    """
    model = EncoderDecoder(
        _build_encoder(config, src_vocab_size), _build_decoder(config, tgt_vocab_size)
    )
    if config.share_embedding:
        share_embedding(model)
    if config.tied:
        tie_output(model.decoder, config.output_dropout)
    elif config.output_dropout > 0:
        drop_output(model.decoder, config.output_dropout)
    return model


@use_np
def initialize(model: EncoderDecoder, ctx, initializer: init.Initializer | None = None) -> None:
    """Draw the initial weights of a model, in the order in which the chapter's code draws them.

    Parameters
    ----------
    model : EncoderDecoder
        If it already has weights, they are replaced.
    ctx : mxnet.Context
    initializer : Initializer, optional
        Xavier by default, as in the chapter.

    Notes
    -----
    The layers learn their input sizes in a forward pass, which is done here, and the weights are
    drawn then.  If the model were hybridized first, or its layers were given their input sizes, the
    weights would be drawn in another order, and the same seed would give another model.
    """
    model.initialize(initializer or init.Xavier(), force_reinit=True, ctx=ctx)
    tokens = np.zeros((1, 2), ctx=ctx)
    valid_len = np.ones((1,), ctx=ctx)
    model(tokens, tokens, valid_len, valid_len)


def with_scheduled_sampling(model: EncoderDecoder, config: TrainingConfig) -> EncoderDecoder:
    """Return the model to train: with scheduled sampling if the configuration asks for it.

    Returns
    -------
    EncoderDecoder
        The model itself if `teacher_forcing` is 1.  Otherwise a `SteppedEncoderDecoder` of the same
        encoder and decoder, which has the same weights.
    """
    if config.teacher_forcing == 1:
        return model
    return SteppedEncoderDecoder(
        model.encoder, model.decoder, ScheduledSampling(config.teacher_forcing)
    )


def named_parameters(model: EncoderDecoder) -> dict[str, gluon.Parameter]:
    """Return the parameters by their place in the model, such as ``encoder.embedding.weight``.

    Gluon's `save_parameters` uses the same names.  The names of `collect_params` are not stable:
    they contain a number that counts the blocks created by the process.
    """
    return model._collect_params_with_prefix()


def set_weights(model: EncoderDecoder, arrays: Mapping[str, onp.ndarray]) -> None:
    """Set the weights of an initialized model.

    Parameters
    ----------
    model : EncoderDecoder
    arrays : mapping of str to array
        An array for each of the `named_parameters`, of its shape.
    """
    for name, parameter in named_parameters(model).items():
        parameter.set_data(np.array(arrays[name], ctx=parameter.list_ctx()[0]))


def _build_encoder(config: ModelConfig, vocab_size: int) -> Encoder:
    """Build the encoder, with a bridge if its state does not have the sizes of the decoder's."""
    layer = _layer_class(config)
    num_hiddens, num_layers = config.encoder_sizes
    options: dict[str, Any] = {'dropout': config.dropout, 'layer': layer}
    if config.bidirectional:
        options['bidirectional'] = True
    encoder_class = MaskedEncoder if config.masked or config.bidirectional else Seq2SeqEncoder
    encoder = encoder_class(vocab_size, config.embed_size, num_hiddens, num_layers, **options)
    if config.embedding_dropout > 0:
        drop_embedding(encoder, config.embedding_dropout)
    if config.bidirectional or (num_layers, num_hiddens) != (config.num_layers, config.num_hiddens):
        return Bridge(encoder, config.num_layers, config.num_hiddens, layer)
    return encoder


def _build_decoder(config: ModelConfig, vocab_size: int) -> Decoder:
    """Build the decoder, without the layers that are tied or shared."""
    decoder = _decoder_of_kind(config, vocab_size)
    if config.embedding_dropout > 0:
        drop_embedding(decoder, config.embedding_dropout)
    return decoder


def _decoder_of_kind(config: ModelConfig, vocab_size: int) -> Decoder:
    sizes = vocab_size, config.embed_size, config.num_hiddens, config.num_layers
    options: dict[str, Any] = {'dropout': config.dropout, 'layer': _layer_class(config)}
    if config.attention == 'additive':
        additive = AdditiveAttention(config.num_hiddens, config.dropout)
        return Seq2SeqAttentionDecoder(*sizes, attention=additive, **options)
    if config.attention != 'none':
        attention = (
            DotAttention(config.dropout)
            if config.attention == 'dot'
            else GeneralAttention(config.num_hiddens, config.dropout)
        )
        decoder_class = InputFeedingDecoder if config.input_feeding else LuongDecoder
        return decoder_class(*sizes, attention, **options)
    if config.context_every_step or config.context != 'last':
        return ContextDecoder(*sizes, context=CONTEXTS[config.context], **options)
    return Seq2SeqDecoder(*sizes, **options)


def _layer_class(config: ModelConfig) -> Callable:
    """Return the layer class of the recurrent layers; see `models.recurrent`."""
    return (KERAS_LAYERS if config.initializer == 'keras' else LAYERS)[config.cell]
