"""The attention layers of section 10.1 against the book's cells and NumPy loops."""

import math

import numpy as onp
import pytest

from d2l_seq2seq._mxnet import autograd, init, np
from d2l_seq2seq.book.attention import DotProductAttention, MLPAttention, masked_softmax

BATCH_SIZE, NUM_QUERIES, NUM_PAIRS, SIZE, VALUE_SIZE = 3, 2, 5, 4, 6
LENGTHS = [5, 2, 1]
LENGTHS_OF_QUERIES = [[5, 1], [2, 3], [1, 4]]


def softmax(scores):
    exp = onp.exp(scores - scores.max())
    return exp / exp.sum()


def lengths_array(valid_len):
    """Return the valid lengths as an array of shape (BATCH_SIZE, NUM_QUERIES)."""
    if valid_len is None:
        return onp.full((BATCH_SIZE, NUM_QUERIES), NUM_PAIRS)
    array = onp.array(valid_len)
    return onp.repeat(array[:, None], NUM_QUERIES, axis=1) if array.ndim == 1 else array


def test_the_books_masked_softmax_cell(seed):
    weights = masked_softmax(np.random.uniform(size=(2, 2, 4)), np.array([2, 3])).asnumpy()
    assert weights.shape == (2, 2, 4)
    assert (weights[0, :, 2:] == 0).all() and (weights[1, :, 3:] == 0).all()
    assert (weights[0, :, :2] > 0).all() and (weights[1, :, :3] > 0).all()
    onp.testing.assert_allclose(weights.sum(axis=-1), onp.ones((2, 2)), rtol=1e-6)


@pytest.mark.parametrize('valid_len', [None, LENGTHS, LENGTHS_OF_QUERIES])
def test_masked_softmax_equals_a_loop(valid_len, seed):
    scores = onp.random.RandomState(seed).randn(BATCH_SIZE, NUM_QUERIES, NUM_PAIRS) * 3
    weights = masked_softmax(np.array(scores), valid_len and np.array(valid_len)).asnumpy()
    for (i, j), length in onp.ndenumerate(lengths_array(valid_len)):
        onp.testing.assert_allclose(weights[i, j, :length], softmax(scores[i, j, :length]), 1e-4)
        assert (weights[i, j, length:] == 0).all()


def test_masked_softmax_of_a_valid_length_of_zero_is_uniform(seed):
    weights = masked_softmax(np.random.normal(size=(1, 1, 4)), np.array([0]))
    assert weights.tolist() == [[[0.25] * 4]]


@pytest.mark.parametrize(
    'attention', [DotProductAttention(dropout=0.5), MLPAttention(units=8, dropout=0.1)]
)
def test_the_books_attention_cells(attention):
    """All keys are equal, so the result is the mean of the first 2 and of the first 6 values."""
    attention.initialize()
    keys = np.ones((2, 10, 2))
    values = np.arange(40).reshape(1, 10, 4).repeat(2, axis=0)
    context = attention(np.ones((2, 1, 2)), keys, values, np.array([2, 6]))
    onp.testing.assert_allclose(context.asnumpy(), [[[2, 3, 4, 5]], [[10, 11, 12, 13]]], rtol=1e-6)


def dot_product_score(attention, query, key):
    return query @ key / math.sqrt(SIZE)


def mlp_score(attention, query, key):
    W_q, W_k, v = (
        layer.weight.data().asnumpy() for layer in (attention.W_q, attention.W_k, attention.v)
    )
    return v[0] @ onp.tanh(W_q @ query + W_k @ key)


@pytest.mark.parametrize('valid_len', [None, LENGTHS, LENGTHS_OF_QUERIES])
@pytest.mark.parametrize(
    'attention, score, key_size',
    [(DotProductAttention(0), dot_product_score, SIZE), (MLPAttention(7, 0), mlp_score, 3)],
)
def test_attention_equals_a_loop(attention, score, key_size, valid_len, seed):
    attention.initialize(init.Uniform(0.8), force_reinit=True)
    rng = onp.random.RandomState(seed)
    query, key, value = (
        rng.randn(BATCH_SIZE, *shape).astype('float32')
        for shape in ((NUM_QUERIES, SIZE), (NUM_PAIRS, key_size), (NUM_PAIRS, VALUE_SIZE))
    )
    arrays = (np.array(array) for array in (query, key, value))
    context = attention(*arrays, valid_len and np.array(valid_len)).asnumpy()
    assert context.shape == (BATCH_SIZE, NUM_QUERIES, VALUE_SIZE)
    for (i, j), length in onp.ndenumerate(lengths_array(valid_len)):
        scores = onp.array([score(attention, query[i, j], k) for k in key[i, :length]])
        expected = softmax(scores) @ value[i, :length]
        onp.testing.assert_allclose(context[i, j], expected, rtol=1e-4, atol=1e-5)


def test_dot_product_attention_needs_no_valid_length():
    value = np.arange(4).reshape(1, 4, 1)
    context = DotProductAttention(0)(np.ones((1, 1, 2)), np.ones((1, 4, 2)), value)
    assert context.tolist() == [[[1.5]]]


@pytest.mark.parametrize('make', [lambda: DotProductAttention(0.5), lambda: MLPAttention(7, 0.5)])
def test_dropout_acts_on_the_weights_in_training_only(make, seed):
    attention = make()
    attention.initialize()
    query, key, value = np.ones((1, 1, 4)), np.ones((1, 64, 4)), np.ones((1, 64, 1))
    valid_len = np.array([64])
    assert attention(query, key, value, valid_len).item() == pytest.approx(1)
    with autograd.record():
        context = attention(query, key, value, valid_len).item()
    # Each of the 64 weights becomes 0 or is doubled, so the sum is a multiple of 2/64.
    assert context * 32 == pytest.approx(round(context * 32), abs=1e-3)
    assert 0 < context < 2
