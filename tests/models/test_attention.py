"""Attention layers against loops in NumPy: contexts, masked weights and dropout."""

import numpy as onp
import pytest

from d2l_seq2seq import AdditiveAttention, DotAttention, GeneralAttention
from d2l_seq2seq._mxnet import autograd, mx, np
from d2l_seq2seq.models.attention import Attention

SIZE, VALUE_SIZE = 4, 6


def score(block, query, value):
    """Return the score of a value for a query, from the equations."""
    if isinstance(block, AdditiveAttention):
        W_q, W_k, v = (dense.weight.data().asnumpy() for dense in (block.W_q, block.W_k, block.v))
        return v[0] @ onp.tanh(W_q @ query + W_k @ value)
    if isinstance(block, GeneralAttention):
        return query @ (block.W.weight.data().asnumpy() @ value)
    return query @ value


@pytest.fixture(params=['additive', 'dot', 'general'])
def attention(request):
    block = {
        'additive': lambda: AdditiveAttention(5),
        'dot': DotAttention,
        'general': lambda: GeneralAttention(SIZE),
    }[request.param]()
    block.initialize(mx.init.Uniform(0.8))
    return block


def test_attention_equals_a_loop(attention, seed):
    rng = onp.random.RandomState(seed)
    value_size = SIZE if type(attention) is DotAttention else VALUE_SIZE
    queries = rng.randn(3, 2, SIZE).astype('float32')
    values = rng.randn(3, 5, value_size).astype('float32')
    lengths = [5, 2, 1]
    context, weights = attention(
        np.array(queries),
        attention.project_keys(np.array(values)),
        np.array(values),
        np.array(lengths),
    )
    assert context.shape == (3, 2, value_size) and weights.shape == (3, 2, 5)
    for sentence, length in enumerate(lengths):
        for query in range(2):
            scores = onp.array(
                [
                    score(attention, queries[sentence, query], value)
                    for value in values[sentence, :length]
                ]
            )
            expected = onp.exp(scores) / onp.exp(scores).sum()
            query_weights = weights[sentence, query].asnumpy()
            onp.testing.assert_allclose(query_weights[:length], expected, rtol=1e-4, atol=1e-6)
            assert (query_weights[length:] == 0).all()
            onp.testing.assert_allclose(
                context[sentence, query].asnumpy(),
                expected @ values[sentence, :length],
                rtol=1e-4,
                atol=1e-5,
            )


def test_an_empty_sentence_gets_equal_weights(attention):
    values = np.random.normal(size=(1, 4, SIZE))
    queries = np.ones((1, 1, SIZE))
    _, weights = attention(queries, attention.project_keys(values), values, np.array([0]))
    onp.testing.assert_allclose(weights.asnumpy(), onp.full((1, 1, 4), 0.25), atol=1e-6)


def test_the_books_printed_example():
    """d2l 0.14, section 10.1: equal keys, so the weights depend only on the lengths."""
    values = np.arange(40).reshape(1, 10, 4).repeat(2, axis=0).astype('float32')
    keys = np.ones((2, 10, 2))
    block = AdditiveAttention(8, dropout=0.1)
    block.initialize()
    context, _ = block(np.ones((2, 1, 2)), block.project_keys(keys), values, np.array([2, 6]))
    onp.testing.assert_allclose(context.asnumpy(), [[[2, 3, 4, 5]], [[10, 11, 12, 13]]], rtol=1e-5)


def test_dropout_of_weights_in_training_only():
    block = DotAttention(dropout=0.5)
    values = np.ones((1, 51, SIZE))  # dropout cannot leave exactly half of an odd number
    inputs = np.ones((1, 1, SIZE)), values, values, np.array([51])
    assert abs(block(*inputs)[0].asnumpy() - 1).max() < 1e-5
    with autograd.record():
        context, weights = block(*inputs)
    assert abs(context.asnumpy() - 1).max() > 1e-3
    assert abs(weights.asnumpy().sum() - 1) < 1e-5  # the returned weights are those before dropout


def test_a_layer_that_does_not_define_its_scores_says_so():
    values = np.ones((1, 3, SIZE))
    with pytest.raises(NotImplementedError, match='^Attention must define scores'):
        Attention()(values, values, values, np.array([3]))
