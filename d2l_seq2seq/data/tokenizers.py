"""Tokenizers: from sentences to tokens and back, and the vocabularies of the tokens.

There are five kinds of text rules: the chapter's (d2l 0.14, section 9.5), words with all
punctuation split off, SentencePiece's subwords, characters, and the rules of the OpenGenus article.
With words, subwords and characters, joining is the inverse of splitting, except that words and
subwords are lower-case.
"""

from __future__ import annotations

import functools
import re
from typing import Callable, Iterable, NamedTuple, Sequence

from ..book.machine_translation import MIN_FREQ, RESERVED_TOKENS, preprocess_nmt
from ..book.vocab import Vocab
from ..config import DataConfig
from . import rules_version_1
from .scripts import (
    MARKS,
    join_characters,
    join_words,
    normalize,
    split_characters,
    split_words,
)
from .subwords import SubwordPair, Subwords

# In order of id.  The article gives ids to the first three, and mentions an end token without one.
OPENGENUS_TOKENS = ('<pad>', '<bos>', '<unk>', '<eos>')
# Their ids belong to the model and the search.  The same words in a text get the id of <unk>.
CONTROL_TOKENS = frozenset({'<pad>', '<bos>', '<eos>'})
_PUNCTUATION = re.compile(f'[^\\w\\s{MARKS}]|_')


class PairTokenizer(NamedTuple):
    """The tokenizers of both sides of a corpus, and functions for vocabularies and detokenizing."""

    tokenize_src: Callable[[str], list[str]]
    tokenize_tgt: Callable[[str], list[str]]
    build_vocab: Callable[[list[list[str]]], Vocab]  # from all sentences of a side
    share_vocab: bool = False  # True: one vocabulary, built from both sides
    detokenize: Callable[[Iterable[str]], str] = ' '.join  # target tokens to a sentence


class TextRules(NamedTuple):
    """The functions that split a sentence into tokens and join tokens to a sentence."""

    split: Callable[[str], list[str]]
    join: Callable[[Iterable[str]], str]


def tokenize_chapter(sentence: str) -> list[str]:
    """Split a sentence by the chapter's rules.

    Examples
    --------
    >>> tokenize_chapter('Go.')
    ['go', '.']
    """
    return preprocess_nmt(sentence).split(' ') if sentence else []


def chapter_vocab(sentences: list[list[str]], min_freq: int = MIN_FREQ) -> Vocab:
    """Build a vocabulary as the chapter does, with ids 0 to 3 for ``<unk> <pad> <bos> <eos>``."""
    return Vocab(sentences, min_freq, list(RESERVED_TOKENS))


CHAPTER_TOKENIZER = PairTokenizer(tokenize_chapter, tokenize_chapter, chapter_vocab)


def tokenize_opengenus(sentence: str) -> list[str]:
    """Split a sentence into lower-case words without punctuation, as the OpenGenus article does.

    An apostrophe is dropped like all punctuation, so "I'm" is the single word "im".

    Examples
    --------
    >>> tokenize_opengenus("I'm OK, you see!")
    ['im', 'ok', 'you', 'see']
    """
    return _PUNCTUATION.sub('', normalize(sentence).lower()).split()


def opengenus_vocab(sentences: list[list[str]], min_freq: int) -> Vocab:
    """Build the article's vocabulary: ids 0 to 3 are padding, start, unknown and end."""
    ranked = Vocab(sentences, min_freq).idx_to_token[1:]
    return Vocab.from_tokens(list(dict.fromkeys([*OPENGENUS_TOKENS, *ranked])))


# By name.  Subwords are pieces of these words.
_RULES = {
    'chapter': TextRules(tokenize_chapter, ' '.join),
    'words': TextRules(split_words, join_words),
    'subwords': TextRules(split_words, join_words),
    'characters': TextRules(split_characters, join_characters),
    'opengenus': TextRules(tokenize_opengenus, ' '.join),
}
_RULES_BY_VERSION = {
    1: {
        **_RULES,
        'words': TextRules(rules_version_1.split_words, rules_version_1.join_words),
        'subwords': TextRules(rules_version_1.split_words, rules_version_1.join_words),
        'opengenus': TextRules(rules_version_1.split_opengenus, ' '.join),
    },
    2: _RULES,
}


def train_subwords(config: DataConfig, pairs: Sequence[tuple[str, str]]) -> SubwordPair | None:
    """Train the subword models of a run on its training pairs; None if it uses no subwords."""
    if config.text_rules != 'subwords':
        return None
    split = _RULES_BY_VERSION[config.rules_version]['subwords'].split
    sources, targets = ([' '.join(split(sentence)) for sentence in side] for side in zip(*pairs))
    if config.share_vocab:
        shared = Subwords.train([*sources, *targets], config.num_subwords)
        return SubwordPair(shared, shared)
    return SubwordPair(
        Subwords.train(sources, config.num_subwords), Subwords.train(targets, config.num_subwords)
    )


def build_tokenizer(config: DataConfig, subwords: SubwordPair | None = None) -> PairTokenizer:
    """Build the tokenizer that a configuration asks for.

    Parameters
    ----------
    config : DataConfig
    subwords : SubwordPair, optional
        The result of `train_subwords` for the run.
    """
    rules = _RULES_BY_VERSION[config.rules_version][config.text_rules]
    src_rules = tgt_rules = rules
    if subwords is not None:
        src_rules, tgt_rules = (_within_words(rules, side) for side in subwords)
    build_vocab = opengenus_vocab if config.text_rules == 'opengenus' else chapter_vocab
    tokenize_src = src_rules.split
    if config.reverse_source:
        tokenize_src = functools.partial(_tokenize_reversed, tokenize_src)
    return PairTokenizer(
        tokenize_src,
        tgt_rules.split,
        functools.partial(build_vocab, min_freq=config.min_freq),
        config.share_vocab,
        tgt_rules.join,
    )


def _within_words(words: TextRules, subwords: Subwords) -> TextRules:
    """Return the rules that split words into subwords, and join them again."""
    return TextRules(
        lambda sentence: subwords.split(' '.join(words.split(sentence))),
        lambda pieces: words.join(subwords.join(pieces).split()),
    )


def _tokenize_reversed(tokenize: Callable[[str], list[str]], sentence: str) -> list[str]:
    return tokenize(sentence)[::-1]
