"""Scheduled sampling: its two limits, teacher forcing and feedback, and what is drawn between."""

import numpy as onp
import pytest

from d2l_seq2seq import (
    Feed,
    ModelConfig,
    ScheduledSampling,
    SteppedEncoderDecoder,
    fit,
    initialize,
)
from d2l_seq2seq._mxnet import mx, np, npx, seed_generators
from d2l_seq2seq.data.encoding import EncodedCorpus
from d2l_seq2seq.models.factory import build_model
from d2l_seq2seq.models.scheduled_sampling import feedback, teacher_forcing

from random_batch import CTX, NUM_SENTENCES, NUM_STEPS, VOCAB_SIZE, logits_of, on_host, random_batch


@pytest.fixture
def model(seed):
    seed_generators(seed)
    model = build_model(ModelConfig(8, 8, 2), VOCAB_SIZE, VOCAB_SIZE)
    initialize(model, CTX, mx.init.Uniform(1))
    return model


def stepped(model, chooser):
    return SteppedEncoderDecoder(model.encoder, model.decoder, chooser)


def test_with_the_target_it_equals_the_teacher_forced_model(model, seed):
    batch = random_batch(seed)
    for chooser in (teacher_forcing, ScheduledSampling(1)):
        onp.testing.assert_allclose(
            logits_of(stepped(model, chooser), batch).asnumpy(),
            logits_of(model, batch).asnumpy(),
            rtol=1e-5,
            atol=1e-6,
        )


def test_with_feedback_it_equals_inference(model, seed):
    batch = random_batch(seed)
    state = model.decoder.init_state(model.encoder(batch.src))
    tokens, expected = batch.tgt[:, :1], []
    for _ in range(NUM_STEPS - 1):
        logits, state = model.decoder(tokens, state)
        expected.append(logits.asnumpy())
        tokens = np.argmax(logits, axis=-1)
    for chooser in (feedback, ScheduledSampling(0)):
        onp.testing.assert_allclose(
            logits_of(stepped(model, chooser), batch).asnumpy(),
            onp.concatenate(expected, axis=1),
            rtol=1e-5,
            atol=1e-6,
        )


@pytest.mark.parametrize('chooser', [feedback, ScheduledSampling(0.5)])
def test_it_trains_a_decoder_that_runs_step_by_step_itself(chooser, seed):
    """On another device than the default one, where the draws must be as well."""
    model = build_model(ModelConfig(8, 8, 2, attention='additive'), VOCAB_SIZE, VOCAB_SIZE)
    batch, ctx = random_batch(seed), npx.cpu(1)
    initialize(model, ctx)
    losses = []
    fit(
        stepped(model, chooser),
        Feed(on_host(batch), NUM_SENTENCES, seed, ctx),
        num_epochs=20,
        lr=0.02,
        on_epoch_end=lambda metrics, state: losses.append(metrics.train.nll_sum),
    )
    assert losses[-1] < losses[0]
    batch = EncodedCorpus(*(array.as_in_ctx(ctx) for array in batch))
    assert logits_of(stepped(model, chooser), batch).ctx == ctx


def test_it_draws_for_each_token(seed):
    mx.random.seed(seed)
    target, predicted = np.zeros((4000, 1)), np.ones((4000, 1))
    share = ScheduledSampling(0.3)(mx.nd, target, predicted).asnumpy().mean()
    assert 0.65 < share < 0.75  # 7 standard deviations to either side of 0.7


def test_a_ratio_outside_0_to_1_is_refused():
    with pytest.raises(ValueError, match='^expected a ratio from 0 to 1, got 2$'):
        ScheduledSampling(2)


def test_the_traced_graph_draws_again_for_each_batch(model, seed):
    losses = []
    for _ in range(3):
        fit(
            stepped(model, ScheduledSampling(0.5)),
            Feed(on_host(random_batch(seed)), NUM_SENTENCES, seed),
            num_epochs=3,
            lr=1e-30,  # the weights do not change
            on_epoch_end=lambda metrics, state: losses.append(metrics.train.nll_sum),
        )
    assert len(set(losses)) > 3


def test_fit_trains_with_scheduled_sampling(model, seed):
    losses = []
    fit(
        stepped(model, ScheduledSampling(0.5)),
        Feed(on_host(random_batch(seed)), NUM_SENTENCES, seed),
        num_epochs=60,
        lr=0.02,
        on_epoch_end=lambda metrics, state: losses.append(metrics.train.nll_per_token),
    )
    assert losses[-1] < losses[0] / 2
