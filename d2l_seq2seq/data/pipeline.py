"""Functions that build encoded corpora, feeds, and minibatches in the book's format."""

from __future__ import annotations

from dataclasses import dataclass
from typing import NamedTuple

from .._mxnet import gluon, np
from .._runtime import require_memory
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
    encode_sentences,
    encode_tokens,
    first_examples,
    split_pairs,
    tokenize_nonempty,
    unknown_share,
)
from .feed import BucketFeed, Devices, Feed, TokenFeed
from .tokenizers import SubwordPair, build_tokenizer, train_subwords

_BYTES_PER_STEP = 16  # of memory: the ids of both sides, as int32 and as float32 on the device


class Vocabularies(NamedTuple):
    """The vocabularies of both sides, and the subword models if text is split into subwords."""

    src: Vocab
    tgt: Vocab
    subwords: SubwordPair | None


@dataclass(frozen=True)
class TrainingData:
    """The data of a run, as text and encoded."""

    pairs: Split  # as text
    subwords: SubwordPair | None
    src_vocab: Vocab
    tgt_vocab: Vocab
    train: EncodedCorpus
    valid: EncodedCorpus | None  # None: nothing is held out

    def fingerprint(self) -> str:
        """Return a text that changes if the encoded sentences change; checkpoints store it."""
        parts = [part for part in (self.train, self.valid) if part is not None]
        return ' '.join(part.fingerprint() for part in parts)

    def unknown_shares(self) -> tuple[float, float]:
        """Return the shares of unknown tokens among the source and target tokens in training."""
        return (
            unknown_share(self.train.src, self.src_vocab),
            unknown_share(self.train.tgt, self.tgt_vocab),
        )


def split_corpus(config: DataConfig, corpus: Corpus) -> Split:
    """Select the pairs of a corpus that a configuration asks for, and divide them into parts."""
    return split_pairs(first_examples(corpus.pairs, config.num_examples), config.held_out)


def encode_corpus(
    config: DataConfig, corpus: Corpus, vocabularies: Vocabularies | None = None
) -> TrainingData:
    """Divide a corpus and encode it.

    Parameters
    ----------
    config : DataConfig
    corpus : Corpus
    vocabularies : Vocabularies, optional
        Those of a run that is resumed or trained further.  By default they are built from the
        training pairs.

    Raises
    ------
    InputError
        If a part that the configuration asks for would be empty.
    """
    if corpus.is_ids:
        return _encode_pseudo_corpus(config, corpus)
    pairs = split_corpus(config, corpus)
    _require_pairs(config, pairs)
    if vocabularies is None:
        vocabs, subwords = None, train_subwords(config, pairs.train)
    else:
        vocabs, subwords = vocabularies[:2], vocabularies.subwords
    tokenizer = build_tokenizer(config, subwords)
    train, valid = (tokenize_nonempty(part, tokenizer) for part in (pairs.train, pairs.valid))
    pairs = Split(train.pairs, valid.pairs, pairs.test)
    _require_pairs(config, pairs)
    require_memory(
        _BYTES_PER_STEP * (len(pairs.train) + len(pairs.valid)) * config.num_steps,
        'the encoded corpus',
        'Reduce --num-steps or --num-examples.',
    )
    src_vocab, tgt_vocab, train_corpus = encode_sentences(
        train.source, train.target, config.num_steps, tokenizer, vocabs
    )
    valid_corpus = None
    if valid.pairs:
        valid_corpus = encode_tokens(
            valid.source, valid.target, src_vocab, tgt_vocab, config.num_steps
        )
    return TrainingData(pairs, subwords, src_vocab, tgt_vocab, train_corpus, valid_corpus)


def _require_pairs(config: DataConfig, pairs: Split) -> None:
    """Raise `InputError` if a part that the configuration asks for is empty."""
    if not pairs.train or (config.held_out > 0 and not (pairs.valid and pairs.test)):
        raise InputError(
            f'held_out: expected sentence pairs in each part, got {len(pairs.train)} for training, '
            f'{len(pairs.valid)} for validation and {len(pairs.test)} for testing',
            'Change --held-out, or use more sentence pairs.',
        )


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
