"""The encoder and decoder of section 9.7 against the book's shapes and a NumPy LSTM.

The tests also compare hybridized with imperative blocks, single steps with teacher forcing, and
contexts.
"""

import numpy as onp
import pytest

import d2l_seq2seq
from d2l_seq2seq import EncoderDecoder, book
from d2l_seq2seq._mxnet import autograd, init, np, npx, seed_generators

VOCAB_SIZE = 10


# The blocks of the book, and the blocks of the same names that can be hybridized.
VARIANTS = [(book, False), (d2l_seq2seq, False), (d2l_seq2seq, True)]


@pytest.fixture(params=VARIANTS, ids=['book', 'imperative', 'hybridized'])
def variant(request):
    """A namespace of blocks, and whether to hybridize them."""
    return request.param


def new_model(blocks=book, ctx=None):
    sizes = {'vocab_size': VOCAB_SIZE, 'embed_size': 8, 'num_hiddens': 16, 'num_layers': 2}
    model = EncoderDecoder(blocks.Seq2SeqEncoder(**sizes), blocks.Seq2SeqDecoder(**sizes))
    model.initialize(init.Xavier(), ctx=ctx)
    return model


def draw_ids(seed, *shape):
    return onp.random.RandomState(seed).randint(VOCAB_SIZE, size=shape)


def sigmoid(x):
    return 1 / (1 + onp.exp(-x))


def lstm_by_loop(layer, inputs, states):
    """Return the outputs and the last states of a Gluon LSTM, computed in float64.

    The outputs have shape (num_steps, batch_size, num_hiddens).
    """
    hidden, cell = [state.copy() for state in states[0]], [state.copy() for state in states[1]]

    def weight(name):
        return getattr(layer, name).data().asnumpy().astype('float64')

    outputs = []
    for x in inputs:
        for i in range(len(hidden)):
            gates = (
                x @ weight(f'l{i}_i2h_weight').T
                + weight(f'l{i}_i2h_bias')
                + hidden[i] @ weight(f'l{i}_h2h_weight').T
                + weight(f'l{i}_h2h_bias')
            )
            in_gate, forget_gate, new, out_gate = onp.split(gates, 4, axis=1)
            cell[i] = sigmoid(forget_gate) * cell[i] + sigmoid(in_gate) * onp.tanh(new)
            x = hidden[i] = sigmoid(out_gate) * onp.tanh(cell[i])
        outputs.append(x)
    return onp.stack(outputs), [onp.stack(hidden), onp.stack(cell)]


@pytest.mark.parametrize('blocks', [book, d2l_seq2seq])
def test_the_books_shapes(blocks):
    model = new_model(blocks)
    X = np.zeros((4, 7))
    output, state = model.encoder(X)
    assert output.shape == (7, 4, 16)
    assert (len(state), state[0].shape, state[1].shape) == (2, (2, 4, 16), (2, 4, 16))
    out, state = model.decoder(X, model.decoder.init_state(model.encoder(X)))
    assert (out.shape, len(state), state[0].shape, state[1].shape) == (
        (4, 7, 10),
        2,
        (2, 4, 16),
        (2, 4, 16),
    )


def test_logits_and_state_equal_a_numpy_loop(seed, variant):
    blocks, hybridized = variant
    model = new_model(blocks)
    src, tgt = draw_ids(seed, 3, 5), draw_ids(seed + 1, 3, 4)
    if hybridized:
        model.hybridize()
    logits, state = model(np.array(src), np.array(tgt))

    embedding = model.encoder.embedding.weight.data().asnumpy().astype('float64')
    zeros = [onp.zeros((2, 3, 16)), onp.zeros((2, 3, 16))]
    _, loop_state = lstm_by_loop(model.encoder.rnn, embedding[src].swapaxes(0, 1), zeros)
    embedding = model.decoder.embedding.weight.data().asnumpy().astype('float64')
    outputs, loop_state = lstm_by_loop(model.decoder.rnn, embedding[tgt].swapaxes(0, 1), loop_state)
    dense = model.decoder.dense
    loop_logits = outputs @ dense.weight.data().asnumpy().T + dense.bias.data().asnumpy()
    onp.testing.assert_allclose(logits.asnumpy(), loop_logits.swapaxes(0, 1), atol=1e-5)
    for part, loop_part in zip(state, loop_state):
        onp.testing.assert_allclose(part.asnumpy(), loop_part, atol=1e-5)


def logits_and_gradients(blocks, seed, hybridize_before=False, hybridize_after=False):
    """Return the logits and gradients of a model whose weights are drawn with the seed."""
    seed_generators(seed)
    model = new_model(blocks)
    if hybridize_before:
        model.hybridize()
    src, tgt = np.array(draw_ids(seed, 3, 5)), np.array(draw_ids(seed + 1, 3, 4))
    model(src, tgt, np.array([1, 2, 3]), np.array([1, 2, 3]))
    if hybridize_after:
        model.hybridize()
    with autograd.record():
        logits, _ = model(src, tgt, np.array([1, 2, 3]), np.array([1, 2, 3]))
        total = (logits**2).sum()
    total.backward()
    return [logits.asnumpy()] + [
        parameter.grad().asnumpy() for parameter in model._collect_params_with_prefix().values()
    ]


@pytest.mark.filterwarnings('error')
@pytest.mark.parametrize('before, after', [(True, False), (False, True)])
def test_hybridized_equals_imperative(seed, before, after):
    imperative = logits_and_gradients(d2l_seq2seq, seed)
    hybridized = logits_and_gradients(d2l_seq2seq, seed, before, after)
    for expected, actual in zip(imperative, hybridized):
        onp.testing.assert_allclose(actual, expected, rtol=1e-5, atol=1e-6)


def test_the_same_seed_gives_both_variants_the_same_bits(seed):
    for of_book, of_package in zip(
        logits_and_gradients(book, seed), logits_and_gradients(d2l_seq2seq, seed)
    ):
        assert (of_book == of_package).all()


def test_single_steps_equal_teacher_forcing(seed, variant):
    blocks, hybridized = variant
    model = new_model(blocks)
    if hybridized:
        model.hybridize()
    src, tgt = np.array(draw_ids(seed, 3, 5)), np.array(draw_ids(seed + 1, 3, 6))
    logits, _ = model(src, tgt)
    state = model.decoder.init_state(model.encoder(src))
    for step in range(6):
        step_logits, state = model.decoder(tgt[:, step : step + 1], state)
        onp.testing.assert_allclose(
            step_logits[:, 0].asnumpy(), logits[:, step].asnumpy(), rtol=1e-4, atol=1e-5
        )


def test_arrays_are_on_the_context_of_the_input(variant):
    blocks, hybridized = variant
    ctx = npx.cpu(1)
    model = new_model(blocks, ctx)
    if hybridized:
        model.hybridize()
    X = np.zeros((2, 3), ctx=ctx)
    logits, state = model(X, X)
    assert {str(array.ctx) for array in (logits, *state, *model.encoder(X)[1])} == {'cpu(1)'}


def test_gluon_saves_and_loads_the_parameters(tmp_path, seed):
    model, other = new_model(), new_model()
    X = np.array(draw_ids(seed, 2, 3))
    logits, _ = model(X, X)
    other(X, X)
    model.save_parameters(str(tmp_path / 'weights.params'))
    other.load_parameters(str(tmp_path / 'weights.params'))
    assert onp.array_equal(other(X, X)[0].asnumpy(), logits.asnumpy())
