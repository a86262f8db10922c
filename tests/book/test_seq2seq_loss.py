"""The masked loss of section 9.7.3 against the book's figures and a NumPy loop."""

import numpy as onp
import pytest

from d2l_seq2seq import MaskedSoftmaxCELoss
from d2l_seq2seq._mxnet import autograd, np, npx


def loss_by_loop(pred, label, valid_len):
    """Return the sums of -log softmax over the valid steps, divided by the number of all steps."""
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
def test_loss_equals_a_numpy_loop(seed, hybridized):
    rng = onp.random.RandomState(seed)
    pred, label = rng.randn(5, 7, 11) * 3, rng.randint(11, size=(5, 7))
    valid_len = rng.randint(0, 8, size=5)
    loss = MaskedSoftmaxCELoss()
    if hybridized:
        loss.hybridize()
    losses = loss(np.array(pred), np.array(label), np.array(valid_len))
    onp.testing.assert_allclose(
        losses.asnumpy(), loss_by_loop(pred, label, valid_len), rtol=1e-4, atol=1e-5
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
