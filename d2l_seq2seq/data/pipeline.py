"""From the words of a configuration to the functions and classes that they name.

Besides `corpus`, which knows the names of corpora, no other file of the library lets strings
choose: whoever writes Python takes the classes themselves.
"""
from __future__ import annotations

import functools
from dataclasses import dataclass
from typing import Callable

from .._mxnet import init, mx, rnn
from ..models.attention import AdditiveAttention, DotAttention, GeneralAttention
from ..inference.beam_search import beam_search
from ..config import DataConfig, ModelConfig, SearchConfig, TrainingConfig
from .corpus import Corpus
from .encoding import (Batch, TextRules, build_arrays, chapter_tokens, chapter_vocab, encode_pairs,
                   first_examples, tokenize_nmt)
from ..models.decoders import ContextDecoder, LuongDecoder, Seq2SeqAttentionDecoder
from ..inference.sampling import greedy_search, sample
from ..models.encoders import Bridge, MaskedEncoder
from ..engine.workers import OneWorker, WorkerGroup
from ..errors import InputError
from .feed import BucketFeed, Devices, Feed, TokenFeed
from ..book.seq2seq import (Decoder, Encoder, EncoderDecoder, Seq2SeqDecoder, Seq2SeqEncoder,
                    share_embedding, tie_output)
from ..models.scheduled_sampling import Mixture, SteppedEncoderDecoder
from .opengenus import KerasDefaults, encode_ids, keras_lstm, vocab_of, words_of
from ..models.recurrent import tanh_rnn
from ..engine.schedule import Constant, HalvingOnPlateau, InverseSqrt, Schedule
from .split import Pairs, Split, split_pairs
from ..engine.step import UpdateRules, book_objective, per_token_objective
from ..inference.search import BookLengthPenalty, GNMTLengthPenalty, no_length_penalty
from .subwords import SidesSubwords, Subwords
from ..book.vocab import Vocab
from .tokenizers import join_words, word_tokens

LAYERS = {'rnn': tanh_rnn, 'gru': rnn.GRU, 'lstm': rnn.LSTM}
KERAS_LAYERS = {**LAYERS, 'lstm': keras_lstm}
INITIALIZERS = {'xavier': init.Xavier, 'keras': KerasDefaults}
OBJECTIVES = {'book': book_objective, 'per-token': per_token_objective}
# Tokens of a sentence, a vocabulary of tokens, a sentence of tokens; subwords have to be learned.
TEXT_RULES = {'chapter': (chapter_tokens, chapter_vocab, ' '.join),
              'words': (word_tokens, chapter_vocab, join_words),
              'opengenus': (words_of, vocab_of, ' '.join)}
GROUPS = {'none': OneWorker, 'dist_sync': WorkerGroup}
LENGTH_PENALTIES = {'book': BookLengthPenalty, 'gnmt': GNMTLengthPenalty,
                    'none': lambda alpha=None: no_length_penalty}


@dataclass(frozen=True)
class TrainingData:
    """What a run trains on."""

    pairs: Split  # as text
    subwords: SidesSubwords | None
    src_vocab: Vocab
    tgt_vocab: Vocab
    train: Batch
    valid: Batch | None  # None: nothing is kept back


def text_rules(config: DataConfig, subwords: SidesSubwords | None = None) -> TextRules:
    """How a run reads text; `subwords` are what `learn_subwords` gave it."""
    if subwords is None:
        src_tokens_of, vocab_of_tokens, join = TEXT_RULES[config.text_rules]
        tgt_tokens_of = src_tokens_of
    else:
        src_tokens_of, tgt_tokens_of = subwords.src.tokens, subwords.tgt.tokens
        vocab_of_tokens, join = chapter_vocab, subwords.tgt.join
    src_tokens = ((lambda sentence: src_tokens_of(sentence)[::-1]) if config.reverse_source
                  else src_tokens_of)
    return TextRules(src_tokens, tgt_tokens_of,
                     functools.partial(vocab_of_tokens, min_freq=config.min_freq),
                     config.share_vocab, join)


def learn_subwords(config: DataConfig, pairs: Pairs) -> SidesSubwords | None:
    """The subwords of the training pairs, if it is by them that the run reads text."""
    if config.text_rules != 'subwords':
        return None
    sources, targets = zip(*pairs)
    if config.share_vocab:
        both = Subwords.learn([*sources, *targets], config.num_subwords)
        return SidesSubwords(both, both)
    return SidesSubwords(*(Subwords.learn(sentences, config.num_subwords)
                           for sentences in (sources, targets)))


def split_corpus(config: DataConfig, corpus: Corpus) -> Split:
    """As many pairs of a corpus as a run looks at, in their parts."""
    return split_pairs(first_examples(corpus.pairs, config.num_examples), config.held_out)


def encode_corpus(config: DataConfig, corpus: Corpus) -> TrainingData:
    """The data of a run.

    Raises
    ------
    InputError
        If a part that is asked for would be empty.
    """
    if corpus.is_ids:
        if config.held_out > 0:
            raise InputError(f'held_out: expected a corpus of text with it, got {corpus.name}, '
                             'which are random ids')
        pairs = Split(first_examples(corpus.pairs, config.num_examples), [], [])
        vocab, arrays = encode_ids(pairs.train)
        return TrainingData(pairs, None, vocab, vocab, arrays, None)
    pairs = split_corpus(config, corpus)
    if not pairs.train or (config.held_out > 0 and not (pairs.valid and pairs.test)):
        raise InputError(f'held_out: expected enough pairs for all parts, got {len(pairs.train)} '
                         f'to train on, {len(pairs.valid)} to validate and {len(pairs.test)} to '
                         'test; keep back another share, or take more pairs')
    subwords = learn_subwords(config, pairs.train)
    rules = text_rules(config, subwords)
    src_vocab, tgt_vocab, train = encode_pairs(pairs.train, config.num_steps, rules)
    valid = (build_arrays(*tokenize_nmt(pairs.valid, rules), src_vocab, tgt_vocab,
                          config.num_steps) if pairs.valid else None)
    return TrainingData(pairs, subwords, src_vocab, tgt_vocab, train, valid)


def build_feed(config: DataConfig, arrays: Batch, seed: int, ctx: Devices,
               worker: tuple[int, int] = (0, 1)) -> Feed:
    """Batches as a run wants them; see `Feed` for the devices and workers that share them."""
    if config.max_tokens is not None:
        return TokenFeed(arrays, config.max_tokens, seed, ctx, config.bucket_width, worker)
    if config.bucket_width is not None:
        return BucketFeed(arrays, config.batch_size, seed, ctx, config.bucket_width, worker)
    return Feed(arrays, config.batch_size, seed, ctx, worker)


def build_schedule(config: TrainingConfig) -> Schedule:
    """The learning rates of a configuration."""
    if config.lr_schedule == 'inverse-sqrt':
        return InverseSqrt(config.lr, config.warmup_updates)
    if config.lr_schedule == 'plateau':
        return HalvingOnPlateau(config.lr, config.halve_after)
    return Constant(config.lr)


def update_rules(config: TrainingConfig, ctx: mx.Context) -> UpdateRules:
    """How a configuration wants batches to become updates, on a device of this kind."""
    dtype = 'float32'
    if config.amp:
        dtype = 'float16' if ctx.device_type == 'gpu' else 'bfloat16'
    return UpdateRules(OBJECTIVES[config.objective], config.max_norm, config.label_smoothing,
                       config.weight_decay, config.batches_per_update, config.seed,
                       config.skip_bad_batches, dtype)


def build_length_penalty(config: SearchConfig) -> Callable:
    """The length penalty that a configuration names."""
    penalty = LENGTH_PENALTIES[config.length_penalty]
    return penalty() if config.alpha is None else penalty(config.alpha)


def build_search(config: SearchConfig) -> Callable:
    """The search that a configuration names: a function of stepper, batches and rules."""
    if config.sample:
        return functools.partial(sample, num_samples=config.n_best, top_k=config.top_k,
                                 temperature=config.temperature, seed=config.seed)
    if config.beam_size == 1:
        return greedy_search
    return functools.partial(beam_search, beam_size=config.beam_size, n_best=config.n_best)


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
