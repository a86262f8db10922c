"""From the words of a configuration to the functions and classes that they name.

Besides `corpus`, which knows the names of corpora, no other file of the library lets strings
choose: whoever writes Python takes the classes themselves.
"""
from __future__ import annotations

import functools
from typing import Callable

from ._mxnet import init, rnn
from .attention import AdditiveAttention, DotAttention, GeneralAttention
from .config import DataConfig, ModelConfig, TrainingConfig
from .corpus import Corpus
from .data import Batch, TextRules, chapter_tokens, chapter_vocab, encode_pairs, first_examples
from .decoders import ContextDecoder, LuongDecoder, Seq2SeqAttentionDecoder
from .encoders import Bridge, MaskedEncoder
from .model import (Decoder, Encoder, EncoderDecoder, Seq2SeqDecoder, Seq2SeqEncoder,
                    share_embedding, tie_output)
from .next_input import Mixture, SteppedEncoderDecoder
from .opengenus import KerasDefaults, encode_ids, keras_lstm, vocab_of, words_of
from .recurrent import tanh_rnn
from .step import book_objective, per_token_objective
from .vocab import Vocab

LAYERS = {'rnn': tanh_rnn, 'gru': rnn.GRU, 'lstm': rnn.LSTM}
KERAS_LAYERS = {**LAYERS, 'lstm': keras_lstm}
INITIALIZERS = {'xavier': init.Xavier, 'keras': KerasDefaults}
OBJECTIVES = {'book': book_objective, 'per-token': per_token_objective}
TEXT_RULES = {'chapter': (chapter_tokens, chapter_vocab), 'opengenus': (words_of, vocab_of)}


def text_rules(config: DataConfig) -> TextRules:
    """How a run reads text."""
    tokens_of, vocab_of_tokens = TEXT_RULES[config.text_rules]
    src_tokens = ((lambda sentence: tokens_of(sentence)[::-1]) if config.reverse_source
                  else tokens_of)
    return TextRules(src_tokens, tokens_of,
                     functools.partial(vocab_of_tokens, min_freq=config.min_freq),
                     config.share_vocab)


def encode_corpus(config: DataConfig, corpus: Corpus) -> tuple[Vocab, Vocab, Batch]:
    """Vocabularies and arrays of as many pairs of a corpus as a run trains on."""
    pairs = first_examples(corpus.pairs, config.num_examples)
    if corpus.is_ids:
        vocab, arrays = encode_ids(pairs)
        return vocab, vocab, arrays
    return encode_pairs(pairs, config.num_steps, text_rules(config))


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
            *sizes, attention=AdditiveAttention(config.num_hiddens, config.dropout), **kind)
    if config.attention == 'dot':
        return LuongDecoder(*sizes, DotAttention(config.dropout), **kind)
    if config.attention == 'general':
        return LuongDecoder(*sizes, GeneralAttention(config.num_hiddens, config.dropout), **kind)
    return (ContextDecoder if config.context_every_step else Seq2SeqDecoder)(*sizes, **kind)


def for_training(model: EncoderDecoder, config: TrainingConfig) -> EncoderDecoder:
    """The model as it is trained: itself, or step by step where its own tokens are fed back."""
    if config.teacher_forcing == 1:
        return model
    return SteppedEncoderDecoder(model.encoder, model.decoder, Mixture(config.teacher_forcing))
