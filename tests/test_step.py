"""Clipping and Adam against NumPy and Gluon."""
import types

import numpy as onp
import pytest

from d2l_seq2seq._mxnet import autograd, gluon, mx, np
from d2l_seq2seq.step import Adam, book_objective, clip_to, per_token_objective


@pytest.mark.parametrize('size, factor', [(0.001, 1.0), (10, 1.0), (0.5, 1 / 9), (20, 1 / 9)])
def test_clipping(seed, size, factor):
    """The chapter's rule on a gradient that was multiplied by the factor first."""
    gradient = onp.random.RandomState(seed).randn(50).astype('float32') * size
    ours = mx.nd.array(gradient)
    clip_to(ours, factor, 1.0)
    expected = gradient * factor
    norm = onp.linalg.norm(expected)
    if norm > 1:
        expected = expected / norm
    onp.testing.assert_allclose(ours.asnumpy(), expected, rtol=1e-5)


def test_clipping_leaves_a_zero_gradient():
    gradient = mx.nd.zeros(5)
    clip_to(gradient, 1.0, 1.0)
    assert gradient.asnumpy().tolist() == [0] * 5


def test_adam_is_gluons(seed):
    rng = onp.random.RandomState(seed)
    start, gradients = rng.randn(7), rng.randn(20, 7)
    parameter = gluon.Parameter('weight', shape=(7,))
    parameter.initialize()
    parameter.set_data(np.array(start))
    trainer = gluon.Trainer([parameter], 'adam', {'learning_rate': 0.01})
    flat = types.SimpleNamespace(weights=mx.nd.array(start), gradients=mx.nd.zeros(7))
    adam = Adam(flat)
    for gradient in gradients:
        with autograd.record():
            product = (parameter.data() * np.array(gradient)).sum()
        product.backward()
        trainer.step(3)
        flat.gradients[:] = mx.nd.array(gradient)
        adam.update(flat, 0.01, 1 / 3)
    assert adam.num_updates == 20
    onp.testing.assert_allclose(flat.weights.asnumpy(), parameter.data().asnumpy(), rtol=1e-6)


def test_objectives():
    batch = types.SimpleNamespace(num_tokens=20, num_label_steps=9)
    assert book_objective(batch) == (1 / 9, 1 / 20)
    assert per_token_objective(batch) == (1 / 20, 1)
