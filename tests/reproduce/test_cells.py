"""The rows of the tables: comparisons and layout."""

import numpy as onp
import pytest

from d2l_seq2seq.reproduce.cells import COLUMN_WIDTHS, Cell, close_cell, equal_cell, table


def test_equal_values():
    assert equal_cell('shape', (2, 3), (2, 3)) == Cell('shape', '(2, 3)', '(2, 3)', True)
    assert equal_cell('shape', (2, 3), (3, 2)).agrees is False


@pytest.mark.parametrize(
    'ours, agrees',
    [
        ([[1, 2], [3, 4]], True),
        ([[1, 2], [3, 4.09]], True),
        ([[1, 2], [3, 4.11]], False),
        ([[1, 2], [3, float('nan')]], False),
        ([1, 2, 3, 4], False),
        ([[[1, 2], [3, 4]]], False),
    ],
)
def test_close_numbers(ours, agrees):
    cell = close_cell('numbers', [[1, 2], [3, 4]], onp.array(ours), 0.1, digits=3)
    assert cell.agrees is agrees


def test_numbers_are_shown_with_a_row_per_line():
    cell = close_cell('', [[0.5, 12]], onp.array([[0.123456, 12]]), 1, digits=3)
    assert (cell.book, cell.ours) == ('[[0.5, 12]]', '[[0.123, 12]]')
    assert close_cell('', [[1], [2]], onp.zeros((2, 1)), 1, digits=3).book == '[[1],\n[2]]'


def columns(text):
    return [[column.strip() for column in line.split('|')] for line in text.split('\n')]


def test_the_table_has_a_line_per_cell():
    cells = [Cell('a', '1', '1', True), Cell('b', '1', '2', False), Cell('c', '1', '3', None)]
    assert columns(table(cells)) == [
        ['', 'book', 'ours', 'verdict'],
        ['a', '1', '1', 'ok'],
        ['b', '1', '2', 'DIFFERS'],
        ['c', '1', '3', 'not judged'],
    ]


def test_long_texts_take_several_lines_and_lose_nothing():
    words = ' '.join(f'word{i}' for i in range(30))
    text = table([Cell('name', f'first\n\n{words}', words, True)])
    assert max(map(len, text.split('\n'))) <= sum(COLUMN_WIDTHS) + 3 * len(' | ')
    assert sum(COLUMN_WIDTHS) + 3 * len(' | ') <= 80
    lines = [line + [''] * (4 - len(line)) for line in columns(text)[1:]]
    names, book, ours, verdicts = ([line[i] for line in lines] for i in range(4))
    assert book[:2] == ['first', '']
    assert ' '.join(book[2:]) == words and ' '.join(filter(None, ours)) == words
    assert [names[0], verdicts[0]] == ['name', 'ok'] and not any(names[1:] + verdicts[1:])
