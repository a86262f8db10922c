"""Masked recurrent layers against loops in NumPy, and the independence of padding."""

import numpy as onp
import pytest

from d2l_seq2seq._mxnet import autograd, mx, np, rnn
from d2l_seq2seq.models.recurrent import MaskedStack, tanh_rnn

LAYERS = {'rnn': tanh_rnn, 'gru': rnn.GRU, 'lstm': rnn.LSTM}
BATCH_SIZE, NUM_STEPS, INPUT_SIZE, NUM_HIDDENS = 5, 6, 3, 4


def sigmoid(x):
    return 1 / (1 + onp.exp(-x))


def next_state(kind, weights, x, state):
    """Return the state after one step of one sentence, from the equations."""
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


def run_layer(kind, weights, sentence):
    """Return outputs and last state of a layer for a sentence (num_steps, size) without padding."""
    state = [onp.zeros(NUM_HIDDENS) for _ in range(2 if kind == 'lstm' else 1)]
    outputs = []
    for x in sentence:
        state = next_state(kind, weights, x, state)
        outputs.append(state[0])
    return onp.array(outputs), state


def weights_of(block, kind):
    """Return the four arrays of a masked layer, without an LSTM's column for padding."""
    names = [f'l0_{name}' for name in ('i2h_weight', 'h2h_weight', 'i2h_bias', 'h2h_bias')]
    arrays = [getattr(block.rnn, name).data().asnumpy().astype('float64') for name in names]
    return [arrays[0][:, :-1] if kind == 'lstm' else arrays[0], *arrays[1:]]


def random_sentences(seed):
    rng = onp.random.RandomState(seed)
    lengths = rng.randint(1, NUM_STEPS + 1, BATCH_SIZE)
    return rng.randn(NUM_STEPS, BATCH_SIZE, INPUT_SIZE).astype('float32'), lengths


def build_stack(kind, bidirectional):
    stack = MaskedStack(LAYERS[kind], NUM_HIDDENS, 2, bidirectional=bidirectional)
    stack.initialize(mx.init.Uniform(0.6))
    return stack


@pytest.mark.parametrize('bidirectional', [False, True])
@pytest.mark.parametrize('kind', LAYERS)
def test_a_masked_stack_equals_a_loop_over_each_sentence(kind, bidirectional, seed):
    X, lengths = random_sentences(seed)
    stack = build_stack(kind, bidirectional)
    outputs, state = stack(np.array(X), np.array(lengths))
    outputs, state = outputs.asnumpy(), [part.asnumpy() for part in state]
    for number, length in enumerate(lengths):
        inputs = X[:length, number].astype('float64')
        for layer in range(2):
            weights = weights_of(getattr(stack, f'forward{layer}'), kind)
            expected, last_state = run_layer(kind, weights, inputs)
            row = layer * (1 + bidirectional)
            for part, expected_part in zip(state, last_state):
                onp.testing.assert_allclose(part[row, number], expected_part, atol=1e-5)
            if bidirectional:
                weights = weights_of(getattr(stack, f'backward{layer}'), kind)
                backward, last_state = run_layer(kind, weights, inputs[::-1])
                for part, expected_part in zip(state, last_state):
                    onp.testing.assert_allclose(part[row + 1, number], expected_part, atol=1e-5)
                expected = onp.concatenate([expected, backward[::-1]], axis=1)
            inputs = expected
        onp.testing.assert_allclose(outputs[:length, number], inputs, atol=1e-5)
        assert (outputs[length:, number] == 0).all()


@pytest.mark.parametrize('bidirectional', [False, True])
@pytest.mark.parametrize('kind', LAYERS)
def test_padding_and_other_sentences_change_nothing(kind, bidirectional, seed):
    X, lengths = random_sentences(seed)
    stack = build_stack(kind, bidirectional)
    outputs, state = stack(np.array(X), np.array(lengths))
    noise = onp.random.RandomState(seed + 1).randn(4, BATCH_SIZE, INPUT_SIZE).astype('float32')
    padded, padded_state = stack(np.array(onp.concatenate([X, 9 * noise])), np.array(lengths))
    onp.testing.assert_allclose(padded[:NUM_STEPS].asnumpy(), outputs.asnumpy(), atol=1e-6)
    for number, length in enumerate(lengths):
        alone, alone_state = stack(np.array(X[:length, number : number + 1]), np.array([length]))
        onp.testing.assert_allclose(
            alone[:, 0].asnumpy(), outputs[:length, number].asnumpy(), atol=1e-6
        )
        for alone_part, padded_part, part in zip(alone_state, padded_state, state):
            expected = part[:, number].asnumpy()
            onp.testing.assert_allclose(alone_part[:, 0].asnumpy(), expected, atol=1e-6)
            onp.testing.assert_allclose(padded_part[:, number].asnumpy(), expected, atol=1e-6)


@pytest.mark.parametrize('kind', LAYERS)
def test_an_empty_sentence_gives_zeros_and_a_finite_state(kind):
    stack = build_stack(kind, True)
    X = np.ones((3, 2, INPUT_SIZE))
    outputs, state = stack(X, np.array([0, 2]))
    assert (outputs[:, 0].asnumpy() == 0).all()
    assert all(onp.isfinite(part.asnumpy()).all() for part in state)


@pytest.mark.parametrize('kind', LAYERS)
def test_a_length_above_the_number_of_steps_counts_as_that_number(kind, seed):
    X, _ = random_sentences(seed)
    stack = build_stack(kind, True)
    full, beyond = (
        stack(np.array(X), np.full(BATCH_SIZE, length)) for length in (NUM_STEPS, NUM_STEPS + 50)
    )
    assert (full[0].asnumpy() == beyond[0].asnumpy()).all()
    for part, expected in zip(beyond[1], full[1]):
        assert (part.asnumpy() == expected.asnumpy()).all()


def backpropagate(stack, X, lengths):
    """Give the parameters the gradient of a number that depends on all outputs and states."""
    with autograd.record():
        outputs, state = stack(np.array(X), np.array(lengths))
        total = (outputs**2).sum() + sum((part**3).sum() for part in state)
    total.backward()


def test_the_column_for_padding_has_a_gradient_of_exactly_zero(seed):
    """So that no training changes it, however long."""
    X, lengths = random_sentences(seed)
    stack = build_stack('lstm', True)
    backpropagate(stack, X, lengths)
    for name, parameter in stack.collect_params('.*i2h_weight').items():
        gradient = parameter.grad().asnumpy()
        assert (gradient[:, -1] == 0).all() and (gradient[:, :-1] != 0).any(), name


def test_the_gradient_of_a_batch_is_the_sum_over_its_sentences(seed):
    X, lengths = random_sentences(seed)
    stack = build_stack('lstm', True)
    backpropagate(stack, X, lengths)
    gradients = {
        name: parameter.grad().asnumpy() for name, parameter in stack.collect_params().items()
    }
    sums = dict.fromkeys(gradients, 0)
    for number, length in enumerate(lengths):
        backpropagate(stack, X[:length, number : number + 1], [length])
        for name, parameter in stack.collect_params().items():
            sums[name] = sums[name] + parameter.grad().asnumpy()
    for name, gradient in gradients.items():
        onp.testing.assert_allclose(gradient, sums[name], rtol=1e-4, atol=1e-5)


def test_the_memory_cell_is_kept_whatever_the_other_weights_are(seed):
    """Forty steps of padding with large values after one token; the weights saturate all gates."""
    stack = MaskedStack(rnn.LSTM, NUM_HIDDENS, 1)
    stack.initialize(mx.init.Uniform(5))
    X = np.array(onp.random.RandomState(seed).randn(41, 1, INPUT_SIZE).astype('float32'))
    weight = stack.forward0.rnn.l0_i2h_weight
    stack(X, np.array([1]))
    weight.set_data(np.concatenate([weight.data()[:, :-1] * 5, weight.data()[:, -1:]], axis=1))
    _, expected = stack(X[:1], np.array([1]))
    _, state = stack(X, np.array([1]))
    assert all((part.asnumpy() == other.asnumpy()).all() for part, other in zip(state, expected))
