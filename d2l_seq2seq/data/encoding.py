"""Encoding of sentence pairs as arrays of token ids, on the host.

A corpus is divided into its parts, tokenized, and encoded with the vocabularies of its training
part.  The arrays are NumPy arrays: a feed copies them to a device, batch by batch.  The rules
follow d2l 0.14, section 9.5, whose own functions are in `book.machine_translation`.
"""

from __future__ import annotations

import hashlib
import logging
import unicodedata
from dataclasses import dataclass
from typing import Iterable, NamedTuple, Sequence

import numpy as onp

from ..book.vocab import Vocab
from ..errors import one_line
from .corpus import NUM_PSEUDO_IDS
from .tokenizers import CHAPTER_TOKENIZER, CONTROL_TOKENS, OPENGENUS_TOKENS, PairTokenizer

logger = logging.getLogger(__name__)

Pairs = Sequence[tuple]  # of (source sentence, target sentence)

PSEUDO_START_ID = 0  # the id from which the decoder starts there
MANY_UNKNOWN = 0.5  # the share of unknown tokens from which on a model learns little of a language


class EncodedCorpus(NamedTuple):
    """The token ids of sentence pairs and their lengths, in the book's order."""

    src: onp.ndarray  # int32 (num_sentences, num_src_steps), token ids
    src_valid_len: onp.ndarray  # int64 (num_sentences,), source tokens that are not padding
    tgt: onp.ndarray  # int32 (num_sentences, num_tgt_steps), token ids: <bos> ... <eos>
    tgt_valid_len: onp.ndarray  # int64 (num_sentences,), target tokens, <bos> and <eos> included

    def fingerprint(self) -> str:
        """Return the SHA-256 of the arrays as float32, in which a feed uploads them."""
        digest = hashlib.sha256()
        for array in self:
            digest.update(str(array.shape).encode())
            digest.update(array.astype('float32').tobytes())
        return digest.hexdigest()


@dataclass(frozen=True)
class Split:
    """The parts of a corpus, each in the order of the corpus."""

    train: list[tuple]
    valid: list[tuple]
    test: list[tuple]


def first_examples(pairs: Pairs, num_examples: int | None) -> Pairs:
    """Return the first `num_examples` pairs and, as the book does, one more; None returns all.

    The book counts lines from 0 and keeps those up to and including `num_examples`.
    """
    return pairs if num_examples is None else pairs[: num_examples + 1]


def split_pairs(pairs: Pairs, held_out: float) -> Split:
    """Divide sentence pairs into those for training, validation and testing.

    The part of a pair depends only on a hash of its source sentence, so it is the same on every
    machine, in any order and in any corpus.  All translations of a source are in the same part, and
    so are sources that differ only in case, spaces and punctuation.

    Parameters
    ----------
    pairs : sequence of (str, str)
    held_out : float
        Fraction of the source sentences that is held out for validation; the same fraction again
        is held out for testing.

    Returns
    -------
    Split
        The pairs for training, validation and testing, each in the given order.
    """
    parts = Split([], [], [])
    for pair in pairs:
        position = hash_to_unit_interval(pair[0])
        if position < held_out:
            parts.valid.append(pair)
        elif position < 2 * held_out:
            parts.test.append(pair)
        else:
            parts.train.append(pair)
    return parts


def hash_to_unit_interval(sentence: str) -> float:
    """Return a number in [0, 1) that depends only on the letters and digits of a sentence."""
    letters = ''.join(filter(str.isalnum, unicodedata.normalize('NFKC', sentence).lower()))
    digest = hashlib.sha256((letters or sentence).encode('utf-8', 'surrogatepass')).digest()
    return int.from_bytes(digest[:6], 'big') / 2**48


def tokenize_pairs(
    pairs: Pairs, tokenizer: PairTokenizer = CHAPTER_TOKENIZER
) -> tuple[list[list[str]], list[list[str]]]:
    """Return the tokens of the source sentences and of the target sentences.

    Examples
    --------
    >>> tokenize_pairs([('Go.', 'Va !')])
    ([['go', '.']], [['va', '!']])
    """
    sources, targets = zip(*pairs)
    return list(map(tokenizer.tokenize_src, sources)), list(map(tokenizer.tokenize_tgt, targets))


class TokenizedPairs(NamedTuple):
    """Sentence pairs as text and as tokens, in the same order."""

    pairs: list[tuple]
    source: list[list[str]]
    target: list[list[str]]


def tokenize_nonempty(pairs: Pairs, tokenizer: PairTokenizer) -> TokenizedPairs:
    """Tokenize sentence pairs, without those that have no tokens on a side.

    Text rules may leave nothing of a sentence, for example of one that is all punctuation.  The log
    has the number of pairs that are dropped.
    """
    kept = TokenizedPairs([], [], [])
    dropped = []
    for pair in pairs:
        source, target = tokenizer.tokenize_src(pair[0]), tokenizer.tokenize_tgt(pair[1])
        if source and target:
            kept.pairs.append(pair)
            kept.source.append(source)
            kept.target.append(target)
        else:
            dropped.append(pair)
    if dropped:
        logger.warning(
            'dropped %d of %d sentence pairs, of which the text rules leave nothing on a side; the '
            'first is %s',
            len(dropped),
            len(pairs),
            one_line(' => '.join(map(repr, dropped[0])), 100),
        )
    return kept


def encode_pairs(
    pairs: Pairs,
    num_steps: int,
    tokenizer: PairTokenizer = CHAPTER_TOKENIZER,
    vocabs: tuple[Vocab, Vocab] | None = None,
) -> tuple[Vocab, Vocab, EncodedCorpus]:
    """Encode sentence pairs, with vocabularies that are built from them or given.

    Parameters
    ----------
    pairs : sequence of (str, str)
        Source and target sentences, not preprocessed.  Pairs that have no tokens are dropped, see
        `tokenize_nonempty`.
    num_steps : int
        Length that every sentence is cut or padded to.
    tokenizer : PairTokenizer
        The chapter's by default, with words that occur three times or more.
    vocabs : (Vocab, Vocab), optional
        The source and target vocabularies.  By default they are built from the pairs.

    Returns
    -------
    src_vocab, tgt_vocab : Vocab
        The same object twice if the tokenizer shares the vocabulary.
    corpus : EncodedCorpus
    """
    _, source, target = tokenize_nonempty(pairs, tokenizer)
    return encode_sentences(source, target, num_steps, tokenizer, vocabs)


def encode_sentences(
    source: list[list[str]],
    target: list[list[str]],
    num_steps: int,
    tokenizer: PairTokenizer,
    vocabs: tuple[Vocab, Vocab] | None = None,
) -> tuple[Vocab, Vocab, EncodedCorpus]:
    """Do what `encode_pairs` does, for sentences that are already tokenized."""
    if vocabs is not None:
        src_vocab, tgt_vocab = vocabs
    elif tokenizer.share_vocab:
        src_vocab = tgt_vocab = tokenizer.build_vocab(source + target)
    else:
        src_vocab, tgt_vocab = tokenizer.build_vocab(source), tokenizer.build_vocab(target)
    corpus = encode_tokens(source, target, src_vocab, tgt_vocab, num_steps)
    _warn_about_losses(source, target, src_vocab, tgt_vocab, corpus)
    return src_vocab, tgt_vocab, corpus


def encode_tokens(
    source: list[list[str]],
    target: list[list[str]],
    src_vocab: Vocab,
    tgt_vocab: Vocab,
    num_steps: int,
) -> EncodedCorpus:
    """Encode tokenized sentences with given vocabularies.

    The ids are those of `book.machine_translation.build_array`: each target gets a ``<bos>`` at its
    start and an ``<eos>`` at its end, and a target that is cut loses its ``<eos>``.  Unlike there,
    a word such as ``<pad>`` in the text gets the id of ``<unk>``, and counts as a token.
    """
    bos, eos = tgt_vocab['<bos>'], tgt_vocab['<eos>']
    src_ids = text_ids(src_vocab, source)
    tgt_ids = [[bos, *ids, eos] for ids in text_ids(tgt_vocab, target)]
    return EncodedCorpus(
        *_pad(src_ids, num_steps, src_vocab['<pad>']),
        *_pad(tgt_ids, num_steps, tgt_vocab['<pad>']),
    )


def text_ids(vocab: Vocab, sentences: Iterable[list[str]]) -> list[list[int]]:
    """Return the ids of tokens of text, which never are those of `CONTROL_TOKENS`."""
    ids, unk = vocab.token_to_idx, vocab.unk
    return [
        [unk if token in CONTROL_TOKENS else ids.get(token, unk) for token in sentence]
        for sentence in sentences
    ]


def unknown_share(ids: onp.ndarray, vocab: Vocab) -> float:
    """Return the share of unknown tokens among the tokens of text in an array of ids."""
    num_text = (~onp.isin(ids, [vocab[token] for token in CONTROL_TOKENS])).sum()
    return float((ids == vocab.unk).sum() / max(1, num_text))


def _pad(sentences: list[list[int]], num_steps: int, pad_id: int) -> tuple:
    """Return the ids as an array (num_sentences, num_steps), and the valid lengths."""
    ids = onp.full((len(sentences), num_steps), pad_id, dtype='int32')
    lengths = onp.array([min(len(sentence), num_steps) for sentence in sentences], dtype='int64')
    for row, sentence, length in zip(ids, sentences, lengths):
        row[:length] = sentence[:length]
    return ids, lengths


def encode_pseudo_pairs(pairs: Pairs) -> tuple[Vocab, EncodedCorpus]:
    """Encode the OpenGenus article's pseudo-data, whose words are already token ids.

    Every id counts as a word here, including the special ones, and there is no end of sequence.
    The decoder starts from id 0, which is padding elsewhere; this quirk of the article is kept.

    Parameters
    ----------
    pairs : sequence of (str, str)
        As `corpus.pseudo_pairs` returns them.

    Returns
    -------
    vocab : Vocab
        Names of the 100 ids, for both sides.
    corpus : EncodedCorpus
        Targets have one more step than words.
    """
    src, tgt = (
        onp.array([[int(word) for word in sentence.split()] for sentence in side], dtype='int32')
        for side in zip(*pairs)
    )
    start = onp.full((len(tgt), 1), PSEUDO_START_ID, dtype='int32')
    tgt = onp.concatenate([start, tgt], axis=1)
    src_valid_len, tgt_valid_len = (
        onp.full(len(pairs), ids.shape[1], dtype='int64') for ids in (src, tgt)
    )
    names = [*OPENGENUS_TOKENS, *map(str, range(len(OPENGENUS_TOKENS), NUM_PSEUDO_IDS))]
    return Vocab.from_tokens(names), EncodedCorpus(src, src_valid_len, tgt, tgt_valid_len)


def group_references(pairs: Pairs, tokenizer: PairTokenizer) -> dict[str, list[str]]:
    """Return the distinct translations of each source sentence, in the order of the corpus.

    Sources with the same tokens are one source, under its first spelling.
    """
    first_spellings: dict[tuple, str] = {}
    references: dict[str, list[str]] = {}
    for src, tgt in pairs:
        spelling = first_spellings.setdefault(tuple(tokenizer.tokenize_src(src)), src)
        translations = references.setdefault(spelling, [])
        if tgt not in translations:
            translations.append(tgt)
    return references


def _warn_about_losses(source, target, src_vocab, tgt_vocab, corpus) -> None:
    """Log a warning if parts of a corpus are lost to the model, unlike the chapter's data."""
    num_steps = corpus.src.shape[1]
    num_cut = sum(len(tokens) > num_steps for tokens in source)
    num_cut += sum(len(tokens) + 2 > num_steps for tokens in target)  # with <bos> and <eos>
    if num_cut:
        logger.warning(
            '%d of %d sentences are longer than num_steps = %d and were cut',
            num_cut,
            len(source) + len(target),
            num_steps,
        )
    src_share, tgt_share = (
        unknown_share(corpus.src, src_vocab),
        unknown_share(corpus.tgt, tgt_vocab),
    )
    if max(src_share, tgt_share) >= MANY_UNKNOWN:
        logger.warning(
            '%.0f %% of the source tokens and %.0f %% of the target tokens are <unk>, so the loss '
            'says little about translations; use --text-rules subwords or characters, a smaller '
            '--min-freq, or a larger corpus',
            100 * src_share,
            100 * tgt_share,
        )
