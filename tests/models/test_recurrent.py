"""Recurrent layers against loops in NumPy: padding changes nothing, dropout is on and seeded."""

import numpy as onp
import pytest

from d2l_seq2seq import Seq2SeqEncoder
from d2l_seq2seq._mxnet import autograd, mx, np, rnn, shape_of
from d2l_seq2seq.book.recurrent_layers import Stack, num_states
from d2l_seq2seq.models.recurrent import MaskedStack, tanh_rnn

LAYERS = {'rnn': tanh_rnn, 'gru': rnn.GRU, 'lstm': rnn.LSTM}
BATCH_SIZE, NUM_STEPS, INPUT_SIZE, NUM_HIDDENS = 5, 6, 3, 4


def sigmoid(x):
    return 1 / (1 + onp.exp(-x))


def step_of(kind, weights, x, state):
    """One step of one sentence, from the equations; returns the next state."""
    w_x, w_h, b_x, b_h = weights
    h = state[0]
    from_x, from_h = w_x @ x + b_x, w_h @ h + b_h
    if kind == 'rnn':
        return [onp.tanh(from_x + from_h)]
    if kind == 'gru':
        (reset_x, update_x, new_x), (reset_h, update_h, new_h) = (
            onp.split(part, 3) for part in (from_x, from_h)
        )
        update = sigmoid(update_x + update_h)
        new = onp.tanh(new_x + sigmoid(reset_x + reset_h) * new_h)
        return [(1 - update) * new + update * h]
    input_gate, forget_gate, new, output_gate = onp.split(from_x + from_h, 4)
    c = sigmoid(forget_gate) * state[1] + sigmoid(input_gate) * onp.tanh(new)
    return [sigmoid(output_gate) * onp.tanh(c), c]


def read(kind, weights, sentence):
    """Outputs and last state of one layer over one sentence (num_steps, size), no padding."""
    state = [onp.zeros(NUM_HIDDENS) for _ in range(2 if kind == 'lstm' else 1)]
    outputs = []
    for x in sentence:
        state = step_of(kind, weights, x, state)
        outputs.append(state[0])
    return onp.array(outputs), state


def weights_of(block, kind):
    """The four arrays of a masked layer, an LSTM's without the column for padding."""
    names = [f'l0_{name}' for name in ('i2h_weight', 'h2h_weight', 'i2h_bias', 'h2h_bias')]
    arrays = [getattr(block.rnn, name).data().asnumpy().astype('float64') for name in names]
    return [arrays[0][:, :-1] if kind == 'lstm' else arrays[0], *arrays[1:]]


def random_sentences(seed):
    rng = onp.random.RandomState(seed)
    lengths = rng.randint(1, NUM_STEPS + 1, BATCH_SIZE)
    return rng.randn(NUM_STEPS, BATCH_SIZE, INPUT_SIZE).astype('float32'), lengths


def make(kind, bidirectional, num_layers=2, dropout=0.0):
    stack = MaskedStack(LAYERS[kind], NUM_HIDDENS, num_layers, dropout, bidirectional)
    stack.initialize(mx.init.Uniform(0.6))
    return stack


@pytest.mark.parametrize('bidirectional', [False, True])
@pytest.mark.parametrize('kind', LAYERS)
def test_a_masked_stack_is_the_loop_over_each_sentence(kind, bidirectional, seed):
    X, lengths = random_sentences(seed)
    stack = make(kind, bidirectional)
    outputs, state = stack(np.array(X), np.array(lengths))
    outputs, state = outputs.asnumpy(), [part.asnumpy() for part in state]
    for number, length in enumerate(lengths):
        below = X[:length, number].astype('float64')
        for layer in range(2):
            found, last = read(kind, weights_of(getattr(stack, f'forward{layer}'), kind), below)
            place = layer * (1 + bidirectional)
            for part, expected in zip(state, last):
                onp.testing.assert_allclose(part[place, number], expected, atol=1e-5)
            if bidirectional:
                backward, last = read(
                    kind, weights_of(getattr(stack, f'backward{layer}'), kind), below[::-1]
                )
                for part, expected in zip(state, last):
                    onp.testing.assert_allclose(part[place + 1, number], expected, atol=1e-5)
                found = onp.concatenate([found, backward[::-1]], axis=1)
            below = found
        onp.testing.assert_allclose(outputs[:length, number], below, atol=1e-5)
        assert (outputs[length:, number] == 0).all()


@pytest.mark.parametrize('bidirectional', [False, True])
@pytest.mark.parametrize('kind', LAYERS)
def test_padding_and_company_change_nothing(kind, bidirectional, seed):
    X, lengths = random_sentences(seed)
    stack = make(kind, bidirectional)
    outputs, state = stack(np.array(X), np.array(lengths))
    noise = onp.random.RandomState(seed + 1).randn(4, BATCH_SIZE, INPUT_SIZE).astype('float32')
    padded, padded_state = stack(np.array(onp.concatenate([X, 9 * noise])), np.array(lengths))
    onp.testing.assert_allclose(padded[:NUM_STEPS].asnumpy(), outputs.asnumpy(), atol=1e-6)
    for number, length in enumerate(lengths):
        alone, alone_state = stack(np.array(X[:length, number : number + 1]), np.array([length]))
        onp.testing.assert_allclose(
            alone[:, 0].asnumpy(), outputs[:length, number].asnumpy(), atol=1e-6
        )
        for mine, padded_part, part in zip(alone_state, padded_state, state):
            onp.testing.assert_allclose(mine[:, 0].asnumpy(), part[:, number].asnumpy(), atol=1e-6)
            onp.testing.assert_allclose(
                padded_part[:, number].asnumpy(), part[:, number].asnumpy(), atol=1e-6
            )


@pytest.mark.parametrize('kind', LAYERS)
def test_an_empty_sentence_harms_nobody(kind):
    stack = make(kind, True)
    X = np.ones((3, 2, INPUT_SIZE))
    outputs, state = stack(X, np.array([0, 2]))
    assert (outputs[:, 0].asnumpy() == 0).all()
    assert all(onp.isfinite(part.asnumpy()).all() for part in state)


def go_backward(stack, X, lengths):
    """Give the parameters the gradient of something that all outputs and states are part of."""
    with autograd.record():
        outputs, state = stack(np.array(X), np.array(lengths))
        total = (outputs**2).sum() + sum((part**3).sum() for part in state)
    total.backward()


def test_what_keeps_the_memory_has_no_gradient(seed):
    """Not a small one, none: so it stays what it is however long one trains."""
    X, lengths = random_sentences(seed)
    stack = make('lstm', True)
    go_backward(stack, X, lengths)
    for name, parameter in stack.collect_params('.*i2h_weight').items():
        gradient = parameter.grad().asnumpy()
        assert (gradient[:, -1] == 0).all() and (gradient[:, :-1] != 0).any(), name


def test_the_gradient_is_that_of_sentences_alone(seed):
    X, lengths = random_sentences(seed)
    stack = make('lstm', True)
    go_backward(stack, X, lengths)
    together = {
        name: parameter.grad().asnumpy() for name, parameter in stack.collect_params().items()
    }
    sums = dict.fromkeys(together, 0)
    for number, length in enumerate(lengths):
        go_backward(stack, X[:length, number : number + 1], [length])
        for name, parameter in stack.collect_params().items():
            sums[name] = sums[name] + parameter.grad().asnumpy()
    for name in together:
        onp.testing.assert_allclose(together[name], sums[name], rtol=1e-4, atol=1e-5)


def test_the_memory_is_kept_against_large_weights(seed):
    """Forty steps of loud padding behind one token, with weights that saturate all gates."""
    stack = MaskedStack(rnn.LSTM, NUM_HIDDENS, 1)
    stack.initialize(mx.init.Uniform(5))
    X = np.array(onp.random.RandomState(seed).randn(41, 1, INPUT_SIZE).astype('float32'))
    weight = stack.forward0.rnn.l0_i2h_weight
    stack(X, np.array([1]))
    weight.set_data(np.concatenate([weight.data()[:, :-1] * 5, weight.data()[:, -1:]], axis=1))
    _, alone = stack(X[:1], np.array([1]))
    _, padded = stack(X, np.array([1]))
    assert all((ours.asnumpy() == part.asnumpy()).all() for ours, part in zip(padded, alone))


@pytest.mark.parametrize('kind', LAYERS)
def test_a_length_beyond_the_array_is_the_arrays(kind, seed):
    X, _ = random_sentences(seed)
    stack = make(kind, True)
    full, beyond = (
        stack(np.array(X), np.full(BATCH_SIZE, length)) for length in (NUM_STEPS, NUM_STEPS + 50)
    )
    assert (full[0].asnumpy() == beyond[0].asnumpy()).all()
    for ours, part in zip(full[1], beyond[1]):
        assert (ours.asnumpy() == part.asnumpy()).all()


def run_stack(stack, is_training):
    X = np.ones((3, 2, INPUT_SIZE))
    state = [np.zeros((2, 2, NUM_HIDDENS))] * 2
    with autograd.record(train_mode=is_training):
        return stack(X, state)[0].asnumpy()


def test_dropout_is_on_in_training_and_off_in_prediction(seed):
    stack = Stack(rnn.LSTM, NUM_HIDDENS, 2, 0.5)
    stack.initialize()
    predictions = [run_stack(stack, False) for _ in range(2)]
    trainings = [run_stack(stack, True) for _ in range(2)]
    assert (predictions[0] == predictions[1]).all()
    assert (trainings[0] != trainings[1]).any() and (trainings[0] != predictions[0]).any()
    with_seed = []
    for _ in range(2):
        mx.random.seed(seed)
        with_seed.append(run_stack(stack, True))
    assert (with_seed[0] == with_seed[1]).all()


def test_dropout_of_the_chapters_encoder_is_on():
    encoder = Seq2SeqEncoder(10, 4, 4, 2, dropout=0.5)
    encoder.initialize()
    X = np.ones((2, 5))
    with autograd.record():
        first, second = (encoder(X)[0].asnumpy() for _ in range(2))
    assert (first != second).any()
    assert (encoder(X)[0].asnumpy() == encoder(X)[0].asnumpy()).all()


def test_mxnets_own_dropout_is_still_off_on_a_cpu():
    """Why `Stack` is there at all: if this fails, it may go."""
    layer = rnn.LSTM(NUM_HIDDENS, 2, dropout=0.5)
    layer.initialize()
    X = np.ones((3, 2, INPUT_SIZE))
    with autograd.record():
        assert (layer(X).asnumpy() == layer(X).asnumpy()).all()


@pytest.mark.parametrize('kind', LAYERS)
def test_a_stack_without_dropout_is_gluons_layer(kind):
    stack = Stack(LAYERS[kind], NUM_HIDDENS, 2, 0.0)
    stack.initialize(mx.init.Uniform(0.6))
    fused = LAYERS[kind](NUM_HIDDENS, 2)
    fused.initialize()
    X = np.random.normal(size=(3, 2, INPUT_SIZE))
    state = [np.random.normal(size=(2, 2, NUM_HIDDENS)) for _ in range(num_states(LAYERS[kind]))]
    stack(X, state)
    fused(X, state)
    for number in range(2):
        for name in ('i2h_weight', 'h2h_weight', 'i2h_bias', 'h2h_bias'):
            own = getattr(getattr(stack, f'layer{number}'), f'l0_{name}')
            getattr(fused, f'l{number}_{name}').set_data(own.data())
    (ours, our_state), (gluons, gluons_state) = stack(X, state), fused(X, state)
    onp.testing.assert_allclose(ours.asnumpy(), gluons.asnumpy(), atol=1e-6)
    for mine, theirs in zip(our_state, gluons_state):
        onp.testing.assert_allclose(mine.asnumpy(), theirs.asnumpy(), atol=1e-6)


def test_shapes_of_symbols():
    symbol = mx.sym.var('x', shape=(2, 5)).as_np_ndarray()
    assert shape_of(symbol[:, 1:3]) == (2, 2)
    with pytest.raises(TypeError, match='a symbol of known shape'):
        shape_of(mx.sym.var('x').as_np_ndarray())
