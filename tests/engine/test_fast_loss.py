"""The loss of the fast path and its explicit gradient against autograd and NumPy in float64."""

import numpy as onp
import pytest

from d2l_seq2seq._mxnet import autograd, mx, np, npx
from d2l_seq2seq.engine.forward import label_cross_entropy, logits_gradient


def nll_and_gradient(logits, labels, weight):
    """Return the loss and the gradient that the fast path computes."""
    index = mx.nd.array(onp.stack([onp.arange(len(labels)), labels]))
    nll_sum, probs, label_probs = mx.nd.CachedOp(label_cross_entropy())(
        mx.nd.array(logits), index, mx.nd.array(weight)
    )
    gradient = logits_gradient(probs, label_probs, index, int(weight.sum()))
    return nll_sum.asscalar(), gradient.asnumpy()


def exact_nll(logits, labels, weight):
    """Return the loss in float64, by log-sum-exp."""
    logits = logits.astype('float64')
    top = logits.max(axis=1)
    log_sum = top + onp.log(onp.exp(logits - top[:, None]).sum(axis=1))
    return ((log_sum - logits[onp.arange(len(labels)), labels]) * weight).sum()


def draw(seed, spread):
    rng = onp.random.RandomState(seed)
    logits = (rng.randn(6, 9) * spread).astype('float32')
    return logits, rng.randint(9, size=6), onp.array([1, 1, 1, 1, 0, 0], dtype='float32')


@pytest.mark.parametrize('spread', [0.1, 3, 12])  # 12 gives probabilities near 0 and 1
def test_the_gradient_equals_autograd(seed, spread):
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


def test_the_gradient_equals_finite_differences(seed):
    logits, labels, weight = draw(seed, 2)
    ones = onp.ones_like(weight)
    _, gradient = nll_and_gradient(logits, labels, ones)
    for label in range(6):
        for word in range(9):
            step = onp.zeros(logits.shape)
            step[label, word] = 1e-6
            slope = (
                exact_nll(logits + step, labels, ones) - exact_nll(logits - step, labels, ones)
            ) / 2e-6
            assert gradient[label, word] == pytest.approx(slope, abs=2e-6)


def test_a_certain_and_an_impossible_label():
    logits = onp.array([[200, 0, 0], [200, 0, 0]], dtype='float32')
    nll_sum, gradient = nll_and_gradient(logits, onp.array([0, 1]), onp.ones(2, dtype='float32'))
    assert nll_sum == pytest.approx(87.3, abs=0.1)  # the loss is capped; without the cap it is 200
    assert gradient.tolist() == [[0, 0, 0], [1, -1, 0]]
