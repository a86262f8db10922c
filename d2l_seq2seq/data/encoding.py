"""Text to tokens to ids to batches, as in d2l 0.14, section 9.5.

Where the pairs come from is `corpus.py`'s business.  Later editions use the same names for other
rules (``<eos>`` on the source, 600 examples, rarer words kept); the figures that are printed in
the chapter hold for these only.
"""
from __future__ import annotations

import logging
import re
from typing import Callable, NamedTuple, Sequence

from .._mxnet import gluon, np
from ..config import DataConfig
from .corpus import read_corpus
from ..book.vocab import Vocab

logger = logging.getLogger(__name__)

RESERVED_TOKENS = ('<pad>', '<bos>', '<eos>')


class Batch(NamedTuple):
    """The four arrays of a batch, or of a whole corpus, in the book's order."""

    src: np.ndarray  # float32 (batch_size, num_steps), token ids
    src_valid_len: np.ndarray  # int64 (batch_size,), source tokens that aren't padding
    tgt: np.ndarray  # float32 (batch_size, num_steps), token ids: <bos> ... <eos>
    tgt_valid_len: np.ndarray  # int64 (batch_size,), target tokens with <bos> and <eos>


def preprocess_nmt(text: str) -> str:
    """Lower-case text with a space before each ``,``, ``.`` and ``!``.

    Non-breaking spaces become spaces.  ``?`` is left alone in this edition: ``who?`` is one token.

    Examples
    --------
    >>> preprocess_nmt("I'm OK, you see!")
    "i'm ok , you see !"
    """
    text = text.replace('\u202f', ' ').replace('\xa0', ' ').lower()
    return re.sub(r'(?<=[^ ])(?=[,.!])', ' ', text)


def first_examples(pairs: Sequence[tuple[str, str]],
                   num_examples: int | None) -> Sequence[tuple[str, str]]:
    """The first `num_examples` pairs and, as in the book, one more; all of them for None.

    The book counts lines from 0 and keeps those up to and including `num_examples`.
    """
    return pairs if num_examples is None else pairs[:num_examples + 1]


class TextRules(NamedTuple):
    """How the text of a corpus becomes tokens and vocabularies; `CHAPTER_RULES` are the book's."""

    src_tokens: Callable[[str], list[str]]  # of a source sentence
    tgt_tokens: Callable[[str], list[str]]  # of a target sentence
    vocab_of: Callable[[list[list[str]]], Vocab]  # of all sentences of a side
    share_vocab: bool = False  # True: one vocabulary, made of both sides
    join: Callable[[list[str]], str] = ' '.join  # target tokens to a sentence


def chapter_tokens(sentence: str) -> list[str]:
    """The words of a sentence, preprocessed.

    Examples
    --------
    >>> chapter_tokens('Go.')
    ['go', '.']
    """
    return preprocess_nmt(sentence).split(' ')


def chapter_vocab(sentences: list[list[str]], min_freq: int = DataConfig.min_freq) -> Vocab:
    """The words seen `min_freq` times or more, behind ``<unk> <pad> <bos> <eos>``."""
    return Vocab(sentences, min_freq, list(RESERVED_TOKENS))


CHAPTER_RULES = TextRules(chapter_tokens, chapter_tokens, chapter_vocab)


def tokenize_nmt(pairs: Sequence[tuple[str, str]], rules: TextRules = CHAPTER_RULES,
                 ) -> tuple[list[list[str]], list[list[str]]]:
    """The tokens of the source and of the target sentences, each preprocessed.

    Examples
    --------
    >>> tokenize_nmt([('Go.', 'Va !')])
    ([['go', '.']], [['va', '!']])
    """
    sources, targets = zip(*pairs)
    return list(map(rules.src_tokens, sources)), list(map(rules.tgt_tokens, targets))


def truncate_pad(line: list, num_steps: int, padding_token) -> list:
    """The first `num_steps` elements of a list, filled up with `padding_token`.

    Examples
    --------
    >>> truncate_pad([7, 8, 9], 2, 1), truncate_pad([7, 8, 9], 5, 1)
    ([7, 8], [7, 8, 9, 1, 1])
    """
    return line[:num_steps] + [padding_token] * (num_steps - len(line))


def build_array(lines: list[list[str]], vocab: Vocab, num_steps: int,
                is_source: bool) -> tuple[np.ndarray, np.ndarray]:
    """Token ids of sentences, and how many of them are not padding.

    Parameters
    ----------
    lines : list of list of str
        The tokenized sentences.
    is_source : bool
        True: as they are.  False: between ``<bos>`` and ``<eos>``; a sentence that is cut loses
        its ``<eos>``.

    Returns
    -------
    array : float32 array of shape (num_sentences, num_steps)
    valid_len : int64 array of shape (num_sentences,)
    """
    ids = vocab[lines]
    if not is_source:
        ids = [[vocab['<bos>']] + line + [vocab['<eos>']] for line in ids]
    array = np.array([truncate_pad(line, num_steps, vocab['<pad>']) for line in ids])
    return array, (array != vocab['<pad>']).sum(axis=1)


def encode_pairs(pairs: Sequence[tuple[str, str]], num_steps: int,
                 rules: TextRules = CHAPTER_RULES) -> tuple[Vocab, Vocab, Batch]:
    """Vocabularies and arrays of sentence pairs, all of them as one batch in order.

    Parameters
    ----------
    pairs : sequence of (str, str)
        Source and target sentences, not preprocessed.
    num_steps : int
        Tokens that every sentence is cut or padded to.
    rules : TextRules
        The book's by default: words seen three times or more.

    Returns
    -------
    src_vocab, tgt_vocab : Vocab
        The same one twice where the rules share it.
    arrays : Batch
    """
    source, target = tokenize_nmt(pairs, rules)
    if rules.share_vocab:
        src_vocab = tgt_vocab = rules.vocab_of(source + target)
    else:
        src_vocab, tgt_vocab = rules.vocab_of(source), rules.vocab_of(target)
    _warn_of_losses(source, target, src_vocab, tgt_vocab, num_steps)
    return src_vocab, tgt_vocab, build_arrays(source, target, src_vocab, tgt_vocab, num_steps)


def build_arrays(source: list[list[str]], target: list[list[str]], src_vocab: Vocab,
                 tgt_vocab: Vocab, num_steps: int) -> Batch:
    """The arrays of tokenized sentences, all of them as one batch in order; see `build_array`."""
    return Batch(*build_array(source, src_vocab, num_steps, is_source=True),
                 *build_array(target, tgt_vocab, num_steps, is_source=False))


def load_pairs(pairs: Sequence[tuple[str, str]], batch_size: int,
               num_steps: int) -> tuple[Vocab, Vocab, gluon.data.DataLoader]:
    """Vocabularies and shuffled batches of the sentence pairs given; see `load_data_nmt`."""
    src_vocab, tgt_vocab, arrays = encode_pairs(pairs, num_steps)
    dataset = gluon.data.ArrayDataset(*arrays)
    return src_vocab, tgt_vocab, gluon.data.DataLoader(dataset, batch_size, shuffle=True)


def _warn_of_losses(source, target, src_vocab, tgt_vocab, num_steps) -> None:
    """Say what of the corpus the model will not see; nothing is lost of the chapter's."""
    num_cut = (sum(len(line) > num_steps for line in source)
               + sum(len(line) + 2 > num_steps for line in target))  # <bos> and <eos>
    if num_cut:
        logger.warning('%d of %d sentences are longer than num_steps = %d and were cut', num_cut,
                       len(source) + len(target), num_steps)
    for side, vocab in (('source', src_vocab), ('target', tgt_vocab)):
        if len(vocab) == len(RESERVED_TOKENS) + 1:
            logger.warning('no %s word occurs often enough, so all of them are <unk>: the corpus '
                           'is too small to learn from', side)


def load_data_nmt(batch_size: int, num_steps: int, num_examples: int | None = 1000
                  ) -> tuple[Vocab, Vocab, gluon.data.DataLoader]:
    """The chapter's data: English to French (d2l 0.14, section 9.5.5).

    Parameters
    ----------
    batch_size : int
    num_steps : int
        Tokens that every sentence is cut or padded to.
    num_examples : int or None
        Pairs to take from the start of the corpus, and one more as in the book; None takes all.

    Returns
    -------
    src_vocab, tgt_vocab : Vocab
        Of the words seen three times or more.
    data_iter : iterable of lists of four arrays, as `Batch` names them
        One pass is one epoch, in an order drawn anew from NumPy's global generator
        (``numpy.random.seed`` fixes it), as in the book.

    Raises
    ------
    InputError
        If an argument is out of its range.

    Notes
    -----
    The corpus is the book's where it can be had, else the one that comes with the package, and the
    log says which (``read_corpus('auto')``).
    """
    DataConfig(num_examples=num_examples, batch_size=batch_size, num_steps=num_steps)  # checks them
    pairs = first_examples(read_corpus('auto').pairs, num_examples)
    return load_pairs(pairs, batch_size, num_steps)
