"""Recurrent layers: dropout also on a CPU, and Gluon's layer where there is none."""

import numpy as onp
import pytest

from d2l_seq2seq import Seq2SeqEncoder
from d2l_seq2seq._mxnet import autograd, mx, np, rnn, shape_of
from d2l_seq2seq.models.recurrent import tanh_rnn
from d2l_seq2seq.models.recurrent_layers import Stack, num_states

LAYERS = {'rnn': tanh_rnn, 'gru': rnn.GRU, 'lstm': rnn.LSTM}
INPUT_SIZE, NUM_HIDDENS = 3, 4


def run(stack, is_training):
    X = np.ones((3, 2, INPUT_SIZE))
    state = [np.zeros((2, 2, NUM_HIDDENS))] * 2
    with autograd.record(train_mode=is_training):
        return stack(X, state)[0].asnumpy()


def test_dropout_is_on_in_training_and_off_in_prediction(seed):
    stack = Stack(rnn.LSTM, NUM_HIDDENS, 2, 0.5)
    stack.initialize()
    predictions = [run(stack, is_training=False) for _ in range(2)]
    trainings = [run(stack, is_training=True) for _ in range(2)]
    assert (predictions[0] == predictions[1]).all()
    assert (trainings[0] != trainings[1]).any() and (trainings[0] != predictions[0]).any()
    seeded = []
    for _ in range(2):
        mx.random.seed(seed)
        seeded.append(run(stack, is_training=True))
    assert (seeded[0] == seeded[1]).all()


def test_dropout_of_the_chapters_encoder_is_on_in_training():
    encoder = Seq2SeqEncoder(10, 4, 4, 2, dropout=0.5)
    encoder.initialize()
    X = np.ones((2, 5))
    with autograd.record():
        first, second = (encoder(X)[0].asnumpy() for _ in range(2))
    assert (first != second).any()
    assert (encoder(X)[0].asnumpy() == encoder(X)[0].asnumpy()).all()


def test_mxnet_still_ignores_dropout_on_a_cpu():
    """The reason for `Stack`: if this test fails, `Stack` is no longer needed."""
    layer = rnn.LSTM(NUM_HIDDENS, 2, dropout=0.5)
    layer.initialize()
    X = np.ones((3, 2, INPUT_SIZE))
    with autograd.record():
        assert (layer(X).asnumpy() == layer(X).asnumpy()).all()


@pytest.mark.parametrize('kind', LAYERS)
def test_without_dropout_a_stack_equals_gluons_layer(kind):
    stack = Stack(LAYERS[kind], NUM_HIDDENS, 2, 0.0)
    stack.initialize(mx.init.Uniform(0.6))
    fused = LAYERS[kind](NUM_HIDDENS, 2)
    fused.initialize()
    X = np.random.normal(size=(3, 2, INPUT_SIZE))
    state = [np.random.normal(size=(2, 2, NUM_HIDDENS)) for _ in range(num_states(LAYERS[kind]))]
    stack(X, state)
    fused(X, state)
    for index in range(2):
        for name in ('i2h_weight', 'h2h_weight', 'i2h_bias', 'h2h_bias'):
            parameter = getattr(getattr(stack, f'layer{index}'), f'l0_{name}')
            getattr(fused, f'l{index}_{name}').set_data(parameter.data())
    (outputs, last_state), (expected, expected_state) = stack(X, state), fused(X, state)
    onp.testing.assert_allclose(outputs.asnumpy(), expected.asnumpy(), atol=1e-6)
    for part, expected_part in zip(last_state, expected_state):
        onp.testing.assert_allclose(part.asnumpy(), expected_part.asnumpy(), atol=1e-6)


def test_shapes_of_symbols():
    symbol = mx.sym.var('x', shape=(2, 5)).as_np_ndarray()
    assert shape_of(symbol[:, 1:3]) == (2, 2)
    with pytest.raises(TypeError, match='a symbol of known shape'):
        shape_of(mx.sym.var('x').as_np_ndarray())
