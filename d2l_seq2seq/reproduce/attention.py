"""The cells of section 10.1: masked softmax and the two attention layers."""

from __future__ import annotations

import numpy as onp

from .._mxnet import np, npx, seed_generators
from ..book.attention import DotProductAttention, MLPAttention, masked_softmax
from .cells import Cell, Settings, close_cell

# Printed for np.random.uniform(size=(2, 2, 4)) and the valid lengths 2 and 3.
WEIGHTS = [
    [[0.488994, 0.511006, 0, 0], [0.43654838, 0.56345165, 0, 0]],
    [[0.28817102, 0.3519408, 0.3598882, 0], [0.29034293, 0.25239873, 0.45725834, 0]],
]
CONTEXT = [[[2, 3, 4, 5]], [[10, 11, 12.000001, 13]]]  # printed for both attention layers


def section_cells(settings: Settings) -> list[Cell]:
    """Run the section."""
    seed_generators(0)  # see Settings.draws_as_book
    with settings.ctx:
        cells = [_softmax_cell(settings.draws_as_book)]
        product = npx.batch_dot(np.ones((2, 1, 3)), np.ones((2, 3, 2))).asnumpy()
        cells.append(close_cell('batch_dot', [[[3, 3]], [[3, 3]]], product, 0, digits=8))
        for name, layer in (
            ('DotProductAttention, to 1e-5', DotProductAttention(dropout=0.5)),
            ('MLPAttention, to 1e-5', MLPAttention(units=8, dropout=0.1)),
        ):
            layer.initialize()
            keys = np.ones((2, 10, 2))
            values = np.arange(40).reshape(1, 10, 4).repeat(2, axis=0)
            context = layer(np.ones((2, 1, 2)), keys, values, np.array([2, 6])).asnumpy()
            cells.append(close_cell(name, CONTEXT, context, 1e-5, digits=8))
    return cells


def _softmax_cell(draws_as_book: bool) -> Cell:
    """Return the cell of random weights: equal to the book's, or at least masked and normalized."""
    weights = masked_softmax(np.random.uniform(size=(2, 2, 4)), np.array([2, 3])).asnumpy()
    cell = close_cell('masked_softmax, to 1e-6', WEIGHTS, weights, 1e-6, digits=8)
    if draws_as_book:
        return cell
    is_masked = (weights == 0).tolist() == (onp.array(WEIGHTS) == 0).tolist()
    is_normalized = bool(onp.abs(weights.sum(axis=-1) - 1).max() < 1e-6)
    return Cell('masked_softmax: zeros and sums', cell.book, cell.ours, is_masked and is_normalized)
