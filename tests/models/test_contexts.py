"""Contexts, Eq. (9.7.2): each against a loop over sentences, and what padding does to them."""

import numpy as onp
import pytest

from d2l_seq2seq import ContextDecoder, EncoderDecoder, Feed, ModelConfig, fit, initialize
from d2l_seq2seq._mxnet import autograd, np
from d2l_seq2seq.models.contexts import last_state, max_state, mean_state
from d2l_seq2seq.models.encoders import MaskedEncoder, Seq2SeqEncoder
from d2l_seq2seq.models.factory import build_model

from random_batch import (
    CTX,
    NUM_SENTENCES,
    NUM_STEPS,
    VOCAB_SIZE,
    on_host,
    random_batch,
)

CONTEXTS = [last_state, mean_state, max_state]
# The same functions of the hidden states of one sentence, of shape (num_tokens, num_hiddens).
ORACLES = {
    last_state: lambda hiddens: hiddens[-1],
    mean_state: lambda hiddens: sum(hiddens) / len(hiddens),
    max_state: lambda hiddens: onp.array([max(unit) for unit in hiddens.T]),
}
each_context = pytest.mark.parametrize('context', CONTEXTS, ids=lambda function: function.__name__)


def context_of(model, batch):
    """Return the context of each sentence, from the first state of the decoder."""
    state = model.decoder.init_state(
        model.encoder(batch.src, batch.src_valid_len), batch.src_valid_len
    )
    return state[1].asnumpy()[0]


def new_model(config):
    model = build_model(config, VOCAB_SIZE, VOCAB_SIZE)
    initialize(model, CTX)
    return model


@each_context
def test_contexts_equal_a_loop_over_sentences(context, seed):
    rng = onp.random.RandomState(seed)
    outputs = rng.normal(size=(NUM_STEPS, NUM_SENTENCES, 5)).astype('float32')
    lengths = rng.randint(1, NUM_STEPS + 1, NUM_SENTENCES)
    state = onp.stack([outputs[length - 1, row] for row, length in enumerate(lengths)])
    result = context(np.array(outputs), [np.array(state[None])], np.array(lengths)).asnumpy()
    assert result.shape == (1, NUM_SENTENCES, 5)
    for row, length in enumerate(lengths):
        expected = ORACLES[context](outputs[:length, row])
        onp.testing.assert_allclose(result[0, row], expected, rtol=1e-5, atol=1e-6)


@pytest.mark.parametrize('context', [mean_state, max_state])
def test_without_valid_lengths_all_steps_count(context, seed):
    outputs = onp.random.RandomState(seed).normal(size=(NUM_STEPS, 3, 5)).astype('float32')
    result = context(np.array(outputs), None, None).asnumpy()
    whole = context(np.array(outputs), None, np.full(3, NUM_STEPS)).asnumpy()
    longer = context(np.array(outputs), None, np.full(3, NUM_STEPS + 9)).asnumpy()
    assert (result == whole).all() and (result == longer).all()
    for row in range(3):
        expected = ORACLES[context](outputs[:, row])
        onp.testing.assert_allclose(result[0, row], expected, rtol=1e-5, atol=1e-6)


@pytest.mark.parametrize('context', [mean_state, max_state])
def test_a_sentence_without_tokens_has_a_context(context):
    encoder = MaskedEncoder(VOCAB_SIZE, 4, 5, 1)
    encoder.initialize()
    outputs, state = encoder(np.ones((2, 3)), np.array([0, 2]))
    result = context(outputs, state, np.array([0, 2])).asnumpy()
    assert (result[0, 0] == 0).all() and (result[0, 1] != 0).all()


@pytest.mark.parametrize('context', ['last', 'mean', 'max'])
@pytest.mark.parametrize('bidirectional', [False, True])
def test_padding_changes_no_context_of_a_masked_encoder(context, bidirectional, seed):
    model = new_model(
        ModelConfig(8, 8, 2, masked=True, bidirectional=bidirectional, context=context)
    )
    batch = random_batch(seed)
    longer = batch._replace(src=np.concatenate([batch.src, np.ones((NUM_SENTENCES, 4))], axis=1))
    onp.testing.assert_allclose(context_of(model, longer), context_of(model, batch), atol=1e-6)


@pytest.mark.parametrize('context', [mean_state, max_state])
def test_the_context_excludes_padding_that_the_encoder_reads(context, seed):
    """The state of the chapter's encoder depends on padding, but these contexts do not."""
    model = EncoderDecoder(
        Seq2SeqEncoder(VOCAB_SIZE, 8, 6, 2), ContextDecoder(VOCAB_SIZE, 8, 6, 2, context=context)
    )
    initialize(model, CTX)
    batch = random_batch(seed)
    outputs, state = (on_arrays(part) for part in model.encoder(batch.src))
    contexts = context_of(model, batch)
    for row, length in enumerate(batch.src_valid_len.asnumpy().astype(int)):
        expected = ORACLES[context](outputs[:length, row])
        onp.testing.assert_allclose(contexts[row], expected, rtol=1e-5, atol=1e-6)
    longer = np.concatenate([batch.src, np.ones((NUM_SENTENCES, 4))], axis=1)
    assert abs(model.encoder(longer)[1][0].asnumpy() - state[0]).max() > 1e-4


def on_arrays(part):
    return [array.asnumpy() for array in part] if isinstance(part, list) else part.asnumpy()


def first_state(outputs, state, valid_len):
    """A context of a user: the hidden state after the first token."""
    return outputs[:1]


def test_a_context_of_ones_own_is_trained(seed):
    model = EncoderDecoder(
        MaskedEncoder(VOCAB_SIZE, 8, 6, 1), ContextDecoder(VOCAB_SIZE, 8, 6, 1, context=first_state)
    )
    initialize(model, CTX)
    batch = random_batch(seed)
    outputs, _ = model.encoder(batch.src, batch.src_valid_len)
    assert (context_of(model, batch) == outputs.asnumpy()[0]).all()
    losses = []
    fit(
        model,
        Feed(on_host(batch), 4, seed),
        num_epochs=20,
        lr=0.02,
        on_epoch_end=lambda metrics, state: losses.append(metrics.train.nll_sum),
    )
    assert losses[-1] < losses[0]


def test_gradients_reach_the_tokens_and_not_the_padding(seed):
    rng = onp.random.RandomState(seed)
    values = rng.permutation(NUM_STEPS * 3 * 5).reshape(NUM_STEPS, 3, 5)
    outputs = np.array(values, dtype='float32')
    valid_len = np.array([1, NUM_STEPS, 3])
    outputs.attach_grad()
    gradients = {}
    for context in (mean_state, max_state):
        with autograd.record():
            result = context(outputs, None, valid_len)
        result.backward()
        gradients[context] = outputs.grad.asnumpy().copy()
    for row, length in enumerate([1, NUM_STEPS, 3]):
        mean, largest = (gradients[context][:, row] for context in (mean_state, max_state))
        onp.testing.assert_allclose(mean[:length], 1 / length, rtol=1e-6)
        steps = values[:length, row].argmax(axis=0)
        assert (largest.nonzero()[0].size, largest[steps, range(5)].tolist()) == (5, [1] * 5)
        assert (mean[length:] == 0).all()
