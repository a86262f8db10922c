"""Functions that build encoded corpora, feeds, and minibatches in the book's format."""

from __future__ import annotations

from dataclasses import dataclass

from .._mxnet import gluon, np
from ..book.machine_translation import load_array
from ..book.vocab import Vocab
from ..config import DataConfig
from ..errors import InputError
from .corpus import Corpus
from .encoding import (
    EncodedCorpus,
    Pairs,
    Split,
    encode_pairs,
    encode_pseudo_pairs,
    encode_tokens,
    first_examples,
    split_pairs,
    tokenize_pairs,
)
from .feed import BucketFeed, Devices, Feed, TokenFeed
from .tokenizers import SubwordPair, build_tokenizer, train_subwords


@dataclass(frozen=True)
class TrainingData:
    """The data of a run, as text and encoded."""

    pairs: Split  # as text
    subwords: SubwordPair | None
    src_vocab: Vocab
    tgt_vocab: Vocab
    train: EncodedCorpus
    valid: EncodedCorpus | None  # None: nothing is held out


def split_corpus(config: DataConfig, corpus: Corpus) -> Split:
    """Select the pairs of a corpus that a configuration asks for, and divide them into parts."""
    return split_pairs(first_examples(corpus.pairs, config.num_examples), config.held_out)


def encode_corpus(config: DataConfig, corpus: Corpus) -> TrainingData:
    """Divide a corpus, build its vocabularies and encode it.

    Raises
    ------
    InputError
        If a part that the configuration asks for would be empty.
    """
    if corpus.is_ids:
        return _encode_pseudo_corpus(config, corpus)
    pairs = split_corpus(config, corpus)
    if not pairs.train or (config.held_out > 0 and not (pairs.valid and pairs.test)):
        raise InputError(
            f'held_out: expected sentence pairs in each part, got {len(pairs.train)} for training, '
            f'{len(pairs.valid)} for validation and {len(pairs.test)} for testing',
            'Change --held-out, or use more sentence pairs.',
        )
    subwords = train_subwords(config, pairs.train)
    tokenizer = build_tokenizer(config, subwords)
    src_vocab, tgt_vocab, train = encode_pairs(pairs.train, config.num_steps, tokenizer)
    valid = None
    if pairs.valid:
        source, target = tokenize_pairs(pairs.valid, tokenizer)
        valid = encode_tokens(source, target, src_vocab, tgt_vocab, config.num_steps)
    return TrainingData(pairs, subwords, src_vocab, tgt_vocab, train, valid)


def _encode_pseudo_corpus(config: DataConfig, corpus: Corpus) -> TrainingData:
    """Encode a corpus of random ids, from which nothing can be held out."""
    if config.held_out > 0:
        raise InputError(
            f'held_out: expected a corpus of text, got {corpus.name}, which has random ids',
            'Leave out --held-out and --validate, or choose another corpus.',
        )
    pairs = Split(list(first_examples(corpus.pairs, config.num_examples)), [], [])
    vocab, train = encode_pseudo_pairs(pairs.train)
    return TrainingData(pairs, None, vocab, vocab, train, None)


def build_feed(
    config: DataConfig,
    corpus: EncodedCorpus,
    seed: int,
    ctx: Devices,
    worker: tuple[int, int] = (0, 1),
) -> Feed:
    """Build the feed that a configuration asks for; see `Feed` for `ctx` and `worker`."""
    if config.bucket_width is None:
        return Feed(corpus, config.batch_size, seed, ctx, worker)
    if config.max_tokens is None:
        return BucketFeed(corpus, config.batch_size, seed, ctx, config.bucket_width, worker)
    return TokenFeed(corpus, config.max_tokens, seed, ctx, config.bucket_width, worker)


def load_pairs(
    pairs: Pairs, batch_size: int, num_steps: int
) -> tuple[Vocab, Vocab, gluon.data.DataLoader]:
    """Return vocabularies and minibatches in the book's format, for any sentence pairs.

    It corresponds to `book.machine_translation.load_data_nmt`, which reads the book's corpus.
    """
    src_vocab, tgt_vocab, corpus = encode_pairs(pairs, num_steps)
    data_arrays = [
        np.array(array, dtype='float32' if array.ndim == 2 else 'int64') for array in corpus
    ]
    return src_vocab, tgt_vocab, load_array(data_arrays, batch_size)
