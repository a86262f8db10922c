"""A row of the table: a cell of the book, what the book printed, what this package prints."""

from __future__ import annotations

import textwrap
from dataclasses import dataclass
from typing import TYPE_CHECKING, Any

from ..data.corpus import Corpus

if TYPE_CHECKING:  # these take a while to load
    import numpy as onp

    from .._mxnet import mx

COLUMN_WIDTHS = (17, 22, 22, 10)  # 80 with the separators; longer lines are wrapped


@dataclass(frozen=True)
class Settings:
    """The options that all sections share."""

    corpus: Corpus
    seed: int  # of the initial weights and the order of the batches
    ctx: mx.Context

    @property
    def is_book_corpus(self) -> bool:
        """Return True if the corpus is the book's, so that all output can be compared."""
        return self.corpus.name == 'fra-eng'

    @property
    def draws_as_book(self) -> bool:
        """Return True if random numbers can be those that the book printed.

        The book's cells draw them on a CPU with MXNet's generator as it is after the start, which
        is the state after `seed_generators(0)`.  The generators of GPUs draw other numbers.
        """
        return self.ctx.device_type == 'cpu'


@dataclass(frozen=True)
class Cell:
    """A cell of the book that prints something."""

    name: str
    book: str  # printed by the book; several lines are allowed
    ours: str
    agrees: bool | None  # None: shown but not judged


def equal_cell(name: str, book: Any, ours: Any) -> Cell:
    """Return a cell whose values must be equal."""
    return Cell(name, str(book), str(ours), book == ours)


def close_cell(name: str, book: list, ours: onp.ndarray, tolerance: float, digits: int) -> Cell:
    """Return a cell whose numbers may differ by a tolerance.

    Parameters
    ----------
    name : str
    book : (nested) list of float
    ours : array
        It must have the same shape.
    tolerance : float
        Maximum absolute difference.
    digits : int
        Number of significant digits to show.
    """
    agrees = _shape(book) == ours.shape and bool(abs(ours - book).max() <= tolerance)
    return Cell(name, _numbers(book, digits), _numbers(ours.tolist(), digits), agrees)


def _shape(values: Any) -> tuple[int, ...]:
    """Return the shape of a nested list."""
    return (len(values), *_shape(values[0])) if isinstance(values, list) else ()


def _numbers(values: Any, digits: int) -> str:
    """Return a nested list as text with a row per line."""
    if not isinstance(values, list):
        return f'{values:.{digits}g}'
    separator = ',\n' if isinstance(values[0], list) else ', '
    return f'[{separator.join(_numbers(value, digits) for value in values)}]'


def table(cells: list[Cell]) -> str:
    """Return the cells as text in columns, under a heading; long texts take several lines."""
    verdicts = {True: 'ok', False: 'DIFFERS', None: 'not judged'}
    rows = [('', 'book', 'ours', 'verdict')]
    rows += [(cell.name, cell.book, cell.ours, verdicts[cell.agrees]) for cell in cells]
    wrapped = [[_wrap(text, width) for text, width in zip(row, COLUMN_WIDTHS)] for row in rows]
    widths = [max(len(line) for lines in column for line in lines) for column in zip(*wrapped)]
    lines = []
    for row in wrapped:
        height = max(map(len, row))
        columns = [column + [''] * (height - len(column)) for column in row]
        lines += [
            ' | '.join(text.ljust(width) for text, width in zip(line, widths)).rstrip(' |')
            for line in zip(*columns)
        ]
    return '\n'.join(lines)


def _wrap(text: str, width: int) -> list[str]:
    """Return the lines of a text, none of them longer than a column."""
    return [
        part
        for line in text.expandtabs(4).split('\n')
        for part in textwrap.wrap(line, width, break_on_hyphens=False) or ['']
    ]
