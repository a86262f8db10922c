"""The masked loss against the book's figures and a NumPy loop."""

import numpy as onp
import pytest

from d2l_seq2seq import MaskedSoftmaxCELoss
from d2l_seq2seq._mxnet import autograd, mx, np, npx
from d2l_seq2seq.engine.step import label_cross_entropy, logits_gradient


def loss_by_loop(pred, label, valid_len):
    """Sum of -log softmax over the valid steps, divided by all steps."""
    losses = []
    for logits, ids, length in zip(pred, label, valid_len):
        total = 0.0
        for step in range(int(length)):
            shifted = onp.exp(logits[step] - logits[step].max())
            total -= onp.log(shifted[int(ids[step])] / shifted.sum())
        losses.append(total / len(ids))
    return losses


def test_the_books_cell():
    losses = MaskedSoftmaxCELoss()(np.ones((3, 4, 10)), np.ones((3, 4)), np.array([4, 2, 0]))
    onp.testing.assert_allclose(losses.asnumpy(), [2.3025851, 1.1512926, 0], rtol=0, atol=1e-5)


def test_the_books_sequence_mask_cells():
    X = np.array([[1, 2, 3], [4, 5, 6]])
    masked = npx.sequence_mask(X, np.array([1, 2]), True, axis=1)
    assert masked.tolist() == [[1, 0, 0], [4, 5, 0]]
    filled = npx.sequence_mask(np.ones((2, 3, 4)), np.array([1, 2]), True, value=-1, axis=1)
    assert filled.tolist() == [[[1] * 4, [-1] * 4, [-1] * 4], [[1] * 4, [1] * 4, [-1] * 4]]


@pytest.mark.parametrize('hybridized', [False, True])
def test_against_a_loop(seed, hybridized):
    rng = onp.random.RandomState(seed)
    pred, label = rng.randn(5, 7, 11) * 3, rng.randint(11, size=(5, 7))
    valid_len = rng.randint(0, 8, size=5)
    loss = MaskedSoftmaxCELoss()
    if hybridized:
        loss.hybridize()
    ours = loss(np.array(pred), np.array(label), np.array(valid_len))
    onp.testing.assert_allclose(
        ours.asnumpy(), loss_by_loop(pred, label, valid_len), rtol=1e-4, atol=1e-5
    )


@pytest.mark.parametrize('hybridized', [False, True])
def test_padding_gets_no_gradient(seed, hybridized):
    pred = np.random.normal(size=(2, 3, 5))
    pred.attach_grad()
    loss = MaskedSoftmaxCELoss()
    if hybridized:
        loss.hybridize()
    with autograd.record():
        total = loss(pred, np.ones((2, 3)), np.array([1, 3])).sum()
    total.backward()
    gradient = pred.grad.asnumpy()
    assert (gradient[0, 1:] == 0).all() and (gradient[0, 0] != 0).all() and (gradient[1] != 0).all()


def nll_and_gradient(logits, labels, weight):
    """The written-down loss and gradient, run."""
    index = mx.nd.array(onp.stack([onp.arange(len(labels)), labels]))
    nll_sum, probs, label_probs = mx.nd.CachedOp(label_cross_entropy())(
        mx.nd.array(logits), index, mx.nd.array(weight)
    )
    gradient = logits_gradient(probs, label_probs, index, int(weight.sum()))
    return nll_sum.asscalar(), gradient.asnumpy()


def exact_nll(logits, labels, weight):
    """In float64, by log-sum-exp."""
    logits = logits.astype('float64')
    top = logits.max(axis=1)
    log_sum = top + onp.log(onp.exp(logits - top[:, None]).sum(axis=1))
    return ((log_sum - logits[onp.arange(len(labels)), labels]) * weight).sum()


def draw(seed, spread):
    rng = onp.random.RandomState(seed)
    logits = (rng.randn(6, 9) * spread).astype('float32')
    return logits, rng.randint(9, size=6), onp.array([1, 1, 1, 1, 0, 0], dtype='float32')


@pytest.mark.parametrize('spread', [0.1, 3, 12])  # the last has probabilities near 0 and 1
def test_the_written_gradient_against_autograd(seed, spread):
    logits, labels, weight = draw(seed, spread)
    nll_sum, gradient = nll_and_gradient(logits, labels, weight)
    array = np.array(logits)
    array.attach_grad()
    with autograd.record():
        nll = -npx.pick(npx.log_softmax(array, axis=-1), np.array(labels))
        total = (nll * np.array(weight)).sum()
    total.backward()
    assert nll_sum == pytest.approx(exact_nll(logits, labels, weight), rel=1e-5, abs=1e-5)
    assert total.item() == pytest.approx(nll_sum, rel=1e-4, abs=1e-4)
    expected = array.grad.asnumpy()
    onp.testing.assert_allclose(gradient, expected, rtol=1e-4, atol=2e-6)
    assert (gradient[4:] == 0).all()


def test_the_written_gradient_against_finite_differences(seed):
    logits, labels, weight = draw(seed, 2)
    ones = onp.ones_like(weight)
    _, gradient = nll_and_gradient(logits, labels, ones)
    for row in range(6):
        for word in range(9):
            step = onp.zeros(logits.shape)
            step[row, word] = 1e-6
            slope = (
                exact_nll(logits + step, labels, ones) - exact_nll(logits - step, labels, ones)
            ) / 2e-6
            assert gradient[row, word] == pytest.approx(slope, abs=2e-6)


def test_a_certain_and_an_impossible_label():
    logits = onp.array([[200, 0, 0], [200, 0, 0]], dtype='float32')
    nll_sum, gradient = nll_and_gradient(logits, onp.array([0, 1]), onp.ones(2, dtype='float32'))
    assert nll_sum == pytest.approx(87.3, abs=0.1)  # the cap; 200 without it
    assert gradient.tolist() == [[0, 0, 0], [1, -1, 0]]
