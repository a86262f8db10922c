"""Corpora: sentence pairs from the book's file, the bundled file, the user's files, or a toy task.

Each of them is a `Corpus`: pairs of sentences as text, and the number of lines that were dropped.
The toy tasks, except ``pseudo``, have one correct target for every source, so they show what a
model can learn.
"""

from __future__ import annotations

import logging
import os
import random
import re
from dataclasses import dataclass
from pathlib import Path
from typing import Iterable, Sequence

from ..book.fra_eng import read_available_text, read_bundled, read_fra_eng
from ..errors import CONTROL, InputError
from .files import read_text, split_columns, split_lines

logger = logging.getLogger(__name__)


@dataclass(frozen=True)
class Corpus:
    """Sentence pairs and their origin."""

    name: str  # for messages: fra-eng, bundled, or the name that the user gave
    pairs: list[tuple[str, str]]  # (source, target), as in the file except for repeated spaces
    num_dropped: int = 0  # lines that are neither blank nor a pair
    is_ids: bool = False  # True: the words are token ids, not text


_COLUMNS = 'a source, a tab and a target'

# The tasks are the same on every machine.  Their sentences fit the chapter's num_steps of 10.
_TASKS = {
    'copy': lambda: Corpus('copy', copy_pairs(5000, 8, seed=0)),
    'reverse': lambda: Corpus('reverse', reverse_pairs(5000, 8, seed=0)),
    'numbers': lambda: Corpus('numbers', number_pairs(5000, 100_000, seed=0)),
    'pseudo': lambda: Corpus('pseudo', pseudo_pairs(seed=0), is_ids=True),
}


def read_corpus(name: str) -> Corpus:
    """Read the corpus that the option ``--corpus`` names.

    Parameters
    ----------
    name : str
        - ``fra-eng``: the book's corpus, from the zip or folder that ``D2L_SEQ2SEQ_DATA`` names,
          otherwise from the cache, otherwise downloaded.
        - ``bundled``: the corpus that comes with the package.
        - ``auto``: ``fra-eng`` if it is available, otherwise ``bundled``, with the reason in the
          log.
        - ``FILE``: a file with two or three tab-separated columns, of which the third is ignored,
          or with the four of Tatoeba (number, source, number, target); a spreadsheet's export
          with quoted fields, and a name that ends in ``.csv``, are understood as well.
        - ``SRC,TGT``: two files with one sentence per line.
        - ``copy``, ``reverse``, ``numbers``, ``pseudo``: a toy task.

    Returns
    -------
    Corpus
        Its name and its sentence pairs.

    Raises
    ------
    InputError
        If it does not exist, is not UTF-8 text, has no pairs, or cannot be downloaded intact.
    """
    if name == 'auto':
        return _book_corpus(*read_available_text())
    if name == 'fra-eng':
        return _book_corpus(name, read_fra_eng())
    if name == 'bundled':
        return _book_corpus(name, read_bundled())
    if name in _TASKS:
        return _TASKS[name]()
    files = _two_files(name)
    if files is not None:
        return _read_two_files(*files)
    return _collect_pairs(name, split_columns(name, read_text(name)), _COLUMNS)


def _book_corpus(name: str, text: str) -> Corpus:
    lines = (line.split('\t') for line in split_lines(text))
    return _collect_pairs(name, lines, _COLUMNS)


def resolve_corpus_name(name: str) -> str:
    """Return a name of the same corpus that is valid in any folder: one with absolute paths."""
    if name in ('auto', 'fra-eng', 'bundled', *_TASKS):
        return name
    return ','.join(map(os.path.abspath, _two_files(name) or [name]))


def _two_files(name: str) -> tuple[str, str] | None:
    """Return the files of ``SRC,TGT``, whose names may contain commas; None for any other name."""
    if Path(name).exists():
        return None
    parts = name.split(',')
    splits = [(','.join(parts[:end]), ','.join(parts[end:])) for end in range(1, len(parts))]
    candidates = [pair for pair in splits if all(pair)]
    if not candidates:
        return None
    return max(
        candidates,
        key=lambda pair: (
            sum(Path(path).exists() for path in pair),
            len(set(map(os.path.isabs, pair))) == 1,
        ),
    )


def _read_two_files(src_name: str, tgt_name: str) -> Corpus:
    """Read two files in which lines of the same number are translations of each other."""
    src_lines, tgt_lines = (split_lines(read_text(name)) for name in (src_name, tgt_name))
    length = min(len(src_lines), len(tgt_lines))
    if any(line.strip() for line in src_lines[length:] + tgt_lines[length:]):
        raise InputError(
            f'{src_name},{tgt_name}: expected the same number of lines in both files, got '
            f'{len(src_lines):,} and {len(tgt_lines):,}'
        )
    return _collect_pairs(
        f'{src_name},{tgt_name}', zip(src_lines, tgt_lines), 'a sentence in both files'
    )


def _collect_pairs(name: str, lines: Iterable[Sequence[str]], expected: str) -> Corpus:
    """Keep the lines that are a pair of sentences; count the others except blank ones."""
    pairs, dropped, cleaned, reason = [], [], [], 'there is no text'
    for number, line in enumerate(lines, 1):
        columns = [clean_sentence(column) for column in line]
        if len(columns) == 2 and all(columns):
            pairs.append((columns[0], columns[1]))
            if any(CONTROL.search(column.strip()) for column in line):
                cleaned.append(number)
        elif any(columns):
            dropped.append(number)
            if len(dropped) == 1:
                reason = f'line {number} has {_describe(columns)}'
    if not pairs:
        raise InputError(f'{name}: expected lines with {expected}, found none ({reason})')
    for numbers, action in (
        (dropped, f'dropped %d of %d lines that do not have {expected}'),
        (cleaned, 'replaced the control characters in %d of %d lines by spaces'),
    ):
        if numbers:
            num_lines = len(pairs) + len(dropped)
            logger.warning(
                f'%s: {action}; the first is line %d', name, len(numbers), num_lines, numbers[0]
            )
    return Corpus(name, pairs, len(dropped))


def _describe(columns: Sequence[str]) -> str:
    """Return what is wrong with a line that is not a pair."""
    if len(columns) == 2:
        return 'an empty column'
    return 'no tab' if len(columns) == 1 else f'{len(columns)} columns'


def clean_sentence(text: str) -> str:
    r"""Return a sentence as corpora and translators read it, before it is tokenized.

    Control characters become spaces.  Repeated spaces become one, and white space at the ends is
    removed.  Other white space, such as no-break spaces, is left to the text rules.

    Examples
    --------
    >>> clean_sentence(' a  b\tc ')
    'a b c'
    """
    return re.sub('  +', ' ', CONTROL.sub(' ', text).strip())


NUM_PSEUDO_IDS = 100  # ids of the OpenGenus article's pseudo-data
_LETTERS = 'abcdefghijklmnopqrstuvwxyz'
# fmt: off
_ONES = [
    'zero', 'one', 'two', 'three', 'four', 'five', 'six', 'seven', 'eight', 'nine', 'ten',
    'eleven', 'twelve', 'thirteen', 'fourteen', 'fifteen', 'sixteen', 'seventeen', 'eighteen',
    'nineteen',
]
# fmt: on
_TENS = ['twenty', 'thirty', 'forty', 'fifty', 'sixty', 'seventy', 'eighty', 'ninety']


def random_words(num_pairs: int, longest: int, seed: int) -> list[str]:
    """Return distinct sentences of 1 to `longest` one-letter words.

    Each length is drawn with the same probability.  Duplicates are dropped, so there are slightly
    fewer than `num_pairs` sentences, and few of one or two words.
    """
    rng = random.Random(seed)
    sentences = {
        ' '.join(rng.choices(_LETTERS, k=rng.randint(1, longest))): None for _ in range(num_pairs)
    }
    return list(sentences)


def copy_pairs(num_pairs: int, longest: int, seed: int) -> list[tuple[str, str]]:
    """Return pairs of a sentence and itself."""
    return [(sentence, sentence) for sentence in random_words(num_pairs, longest, seed)]


def reverse_pairs(num_pairs: int, longest: int, seed: int) -> list[tuple[str, str]]:
    """Return pairs of a sentence and the same words in reverse order."""
    return [
        (sentence, ' '.join(reversed(sentence.split())))
        for sentence in random_words(num_pairs, longest, seed)
    ]


def number_pairs(num_pairs: int, below: int, seed: int) -> list[tuple[str, str]]:
    """Return pairs of a number, one token per digit, and its name in English words."""
    numbers = random.Random(seed).sample(range(below), min(num_pairs, below))
    return [(' '.join(str(number)), spoken(number)) for number in numbers]


def spoken(number: int) -> str:
    """Return the name of a number below a million in English words, without hyphens.

    Examples
    --------
    >>> spoken(40_013)
    'forty thousand thirteen'
    """
    if number < 20:
        return _ONES[number]
    for size, name in ((1000, 'thousand'), (100, 'hundred')):
        if number >= size:
            rest = number % size
            return f'{spoken(number // size)} {name}' + (f' {spoken(rest)}' if rest else '')
    tens, ones = divmod(number, 10)
    return _TENS[tens - 2] + (f' {_ONES[ones]}' if ones else '')


def pseudo_pairs(seed: int) -> list[tuple[str, str]]:
    """Return the OpenGenus article's pseudo-data: 1,000 pairs of 10 and 15 random ids below 100.

    There is nothing to learn but the frequency of each id, so the loss starts at ln 100 = 4.605 and
    falls very slowly.
    """
    rng = random.Random(seed)

    def random_ids(length: int) -> str:
        return ' '.join(str(rng.randrange(NUM_PSEUDO_IDS)) for _ in range(length))

    return [(random_ids(10), random_ids(15)) for _ in range(1000)]
