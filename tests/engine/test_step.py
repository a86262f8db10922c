"""Updates against NumPy and Gluon: clipping, Adam, decay, label smoothing, devices."""

import types

import numpy as onp
import pytest

from d2l_seq2seq import Feed, ModelConfig, build_model, initialize
from d2l_seq2seq._mxnet import autograd, gluon, mx, np, npx, seed_generators
from d2l_seq2seq.data.encoding import EncodedCorpus, encode_pairs
from d2l_seq2seq.engine.fit import evaluate_loss, fit, storage_of_model
from d2l_seq2seq.engine.flat_parameters import storage_of
from d2l_seq2seq.engine.forward import Forward
from d2l_seq2seq.engine.optimizer import Adam
from d2l_seq2seq.engine.step import (
    TrainStep,
    UpdateRules,
    book_objective,
    clip_factor,
    per_token_objective,
)
from d2l_seq2seq.engine.tracing import trace, uses_random_numbers
from d2l_seq2seq.models.scheduled_sampling import ScheduledSampling, SteppedEncoderDecoder

CTX = npx.cpu()


def clipped(gradient, factor, max_norm):
    """Return a gradient multiplied by its clip factor."""
    ours = mx.nd.array(gradient)
    return (ours * clip_factor(factor, mx.nd.dot(ours, ours), max_norm)).asnumpy()


@pytest.mark.parametrize('size, factor', [(0.001, 1.0), (10, 1.0), (0.5, 1 / 9), (20, 1 / 9)])
def test_clipping(seed, size, factor):
    """The chapter's rule, applied to the gradient multiplied by the factor."""
    gradient = onp.random.RandomState(seed).randn(50).astype('float32') * size
    ours = clipped(gradient, factor, 1.0)
    expected = gradient * factor
    norm = onp.linalg.norm(expected)
    if norm > 1:
        expected = expected / norm
    onp.testing.assert_allclose(ours, expected, rtol=1e-5)


def test_clipping_does_not_change_a_zero_gradient():
    assert clipped(onp.zeros(5), 1.0, 1.0).tolist() == [0] * 5


def test_a_gradient_is_not_clipped_without_a_maximum_norm():
    assert clipped(onp.full(5, 8.0), 0.5, None).tolist() == [4.0] * 5


@pytest.mark.parametrize('is_guarded', [False, True])
def test_adam_is_gluons(seed, is_guarded):
    rng = onp.random.RandomState(seed)
    start, gradients = rng.randn(7), rng.randn(20, 7)
    parameter = gluon.Parameter('weight', shape=(7,))
    parameter.initialize()
    parameter.set_data(np.array(start))
    trainer = gluon.Trainer([parameter], 'adam', {'learning_rate': 0.01})
    flat = types.SimpleNamespace(weights=mx.nd.array(start), gradients=mx.nd.zeros(7))
    adam = Adam(flat, is_guarded=is_guarded)
    for gradient in gradients:
        with autograd.record():
            product = (parameter.data() * np.array(gradient)).sum()
        product.backward()
        trainer.step(3)
        adam.update(flat, mx.nd.array(gradient), 0.01, mx.nd.array([2 / 3]), 0.5)
    assert adam.num_updates == 20
    onp.testing.assert_allclose(flat.weights.asnumpy(), parameter.data().asnumpy(), rtol=1e-6)


def test_objectives():
    batches = [
        types.SimpleNamespace(num_tokens=20, num_label_steps=9),
        types.SimpleNamespace(num_tokens=30, num_label_steps=4),
    ]
    assert book_objective(batches[:1]) == ([1 / 9], 1, 1 / 20)
    assert book_objective(batches) == ([1 / 9, 1 / 4], 1, 1 / 50)
    assert per_token_objective(batches) == ([1, 1], 1 / 50, 1)


@pytest.fixture
def toy(bundled, seed):
    """The sizes of the vocabularies, and the encoded corpus, of 150 pairs."""
    src_vocab, tgt_vocab, arrays = encode_pairs(bundled.pairs[:150], 10)
    return len(src_vocab), len(tgt_vocab), arrays


def new_model(toy, seed, **kwargs):
    seed_generators(seed)
    model = build_model(ModelConfig(8, 8, 1, **kwargs), *toy[:2])
    initialize(model, CTX)
    return model


def weights(model):
    return [parameter.data().asnumpy() for parameter in model.collect_params().values()]


def new_step(model, rules):
    packed = trace(model).packed
    flat = storage_of(model.collect_params().values(), packed.values())
    optimizer = Adam(flat, rules.weight_decay, rules.skip_bad_batches)
    return TrainStep([(Forward(model, flat.variables(packed)), flat)], optimizer, rules), flat


@pytest.mark.parametrize('objective', [book_objective, per_token_objective])
def test_an_update_with_small_batches_equals_one_with_a_large_batch(toy, seed, objective):
    large, small = (new_model(toy, seed) for _ in range(2))
    (batch,) = Feed(EncodedCorpus(*(array[:60] for array in toy[2])), 60, seed).batches()
    parts = list(Feed(EncodedCorpus(*(array[:60] for array in toy[2])), 16, seed).batches())
    rules = UpdateRules(objective=objective)
    whole = new_step(large, rules)[0]([batch], 0.01).asnumpy()
    values = new_step(small, rules)[0](parts, 0.01).asnumpy()
    onp.testing.assert_allclose(
        [values[:-1].sum(), values[-1]],
        [whole[0], whole[1] * (1 if objective is per_token_objective else 1 / 81)],
        rtol=1e-4,
    )
    for ours, theirs in zip(weights(small), weights(large)):
        onp.testing.assert_allclose(ours, theirs, atol=2e-5)


def test_the_last_update_of_an_epoch_may_have_fewer_batches(toy, seed):
    model, updates = new_model(toy, seed), []
    state = fit(
        model,
        Feed(toy[2], 16, seed),
        num_epochs=2,
        lr=0.01,
        rules=UpdateRules(batches_per_update=4),
        on_update=lambda state: updates.append((state.epoch, state.batch)),
    )
    assert updates == [(0, 4), (0, 8), (0, 10), (1, 4), (1, 8), (1, 10)]
    assert state.optimizer.num_updates == 6


def test_label_smoothing_is_the_gradient_of_a_smoothed_target(toy, seed):
    """Autograd on the cross-entropy with the smoothed target."""
    model, share = new_model(toy, seed), 0.2
    batch = next(iter(Feed(toy[2], 64, seed)))
    step, flat = new_step(model, UpdateRules(label_smoothing=share))
    step._backward(batch)
    ours = flat.gradients.asnumpy()
    flat.gradients[:] = 0
    with autograd.record():
        logits, _ = model(batch.src.as_np_ndarray(), batch.tgt.as_np_ndarray())
        log_probs = npx.log_softmax(logits.reshape(-1, toy[1]), axis=-1)
        label_log_probs = log_probs[
            batch.label_positions.as_np_ndarray()[: batch.num_tokens].astype('int32')
        ]
        labels = batch.label_index[1].as_np_ndarray()[: batch.num_tokens]
        nll, even_nll = -npx.pick(label_log_probs, labels), -label_log_probs.mean(axis=1)
        loss = ((1 - share) * nll + share * even_nll).sum()
    loss.backward()
    onp.testing.assert_allclose(ours, flat.gradients.asnumpy(), atol=1e-3, rtol=1e-3)


def test_weights_decay_except_biases_and_constant_weights(toy, seed):
    lr, decay = 0.1, 0.3
    plain, decayed = (new_model(toy, seed, masked=True) for _ in range(2))
    batch = next(Feed(toy[2], 64, seed).batches())
    before = weights(plain)
    for model, share in ((plain, 0.0), (decayed, decay)):
        new_step(model, UpdateRules(weight_decay=share))[0]([batch], lr)
    num_constant = 0
    for name, start, without, with_decay in zip(
        plain.collect_params(), before, weights(plain), weights(decayed)
    ):
        expected = without - (lr * decay * start if start.ndim > 1 else 0)
        if name.endswith('i2h_weight') and start.shape[1] == 9:  # its last input is 1 at padding
            expected[:, -1] = start[:, -1]
            num_constant += 1
        onp.testing.assert_allclose(with_decay, expected, atol=1e-5)
    assert num_constant == 1


@pytest.mark.parametrize('bad', [float('nan'), float('inf'), 1e30])  # 1e30 squared is inf
@pytest.mark.parametrize('max_norm', [1.0, None])
def test_a_bad_gradient_changes_nothing(toy, seed, monkeypatch, bad, max_norm):
    model = new_model(toy, seed)
    batch = next(Feed(toy[2], 64, seed).batches())
    step, flat = new_step(
        model, UpdateRules(max_norm=max_norm, weight_decay=0.1, skip_bad_batches=True)
    )
    step([batch], 0.01)
    before = [array.asnumpy() for array in (flat.weights, step._optimizer.mean)]

    def backward(batch):
        flat.gradients[:] = 0.1
        flat.gradients[7] = bad
        return mx.nd.ones(1)

    monkeypatch.setattr(step, '_backward', backward)
    assert not onp.isfinite(step([batch], 0.01).asnumpy()[1])
    assert all(
        onp.array_equal(old, new.asnumpy())
        for old, new in zip(before, (flat.weights, step._optimizer.mean))
    )


@pytest.mark.parametrize('skip', [False, True])
def test_a_loss_that_is_not_finite_is_an_error_or_is_skipped(toy, seed, skip):
    model, history = new_model(toy, seed), []
    feed = Feed(toy[2], 64, seed)

    def poison(state):  # for the third batch of the first epoch only
        bias = model.decoder.dense.bias
        if (state.epoch, state.batch) == (0, 2):
            bias.set_data(bias.data() * float('nan'))
        if (state.epoch, state.batch) == (0, 3):
            bias.set_data(np.zeros(bias.shape))

    def train():
        fit(
            model,
            feed,
            num_epochs=2,
            lr=0.01,
            rules=UpdateRules(skip_bad_batches=skip),
            on_update=poison,
            on_epoch_end=lambda metrics, state: history.append(metrics),
        )

    if not skip:
        with pytest.raises(
            FloatingPointError,
            match=r'the loss is nan in epoch 1, batch 3 '
            r'\(update 3, learning rate 0\.01\)',
        ):
            train()
        return
    train()
    assert [metrics.num_skipped for metrics in history] == [1, 0]
    assert history[0].train.num_tokens < history[1].train.num_tokens


def test_an_epoch_of_bad_batches_only_ends_the_training(toy, seed):
    model = new_model(toy, seed)
    model.decoder.dense.bias.set_data(np.zeros(toy[1]) * float('nan'))
    with pytest.raises(FloatingPointError, match='no batch of epoch 1 has a finite loss'):
        fit(
            model,
            Feed(toy[2], 64, seed),
            num_epochs=2,
            lr=0.01,
            rules=UpdateRules(skip_bad_batches=True),
        )


def test_models_that_use_random_numbers(toy, seed):
    plain = new_model(toy, seed)
    assert not uses_random_numbers(plain)
    assert uses_random_numbers(new_model(toy, seed, dropout=0.1, masked=True, attention='additive'))
    assert uses_random_numbers(
        SteppedEncoderDecoder(plain.encoder, plain.decoder, ScheduledSampling(0.5))
    )


def test_with_a_seed_dropout_does_not_depend_on_earlier_draws(toy, seed):
    final = []
    for num_draws, rules in [
        (0, UpdateRules(seed=seed)),
        (5, UpdateRules(seed=seed)),
        (0, UpdateRules(seed=seed + 1)),
        (0, UpdateRules()),
    ]:
        model = new_model(toy, seed, dropout=0.5, masked=True, attention='general')
        np.random.uniform(size=num_draws)
        fit(model, Feed(toy[2], 64, seed), num_epochs=1, lr=0.01, rules=rules)
        final.append(onp.concatenate([array.ravel() for array in weights(model)]))
    assert onp.array_equal(final[0], final[1])
    assert not onp.array_equal(final[0], final[2]) and not onp.array_equal(final[0], final[3])


DEVICES = [npx.cpu(0), npx.cpu(1), npx.cpu(2)]


@pytest.mark.parametrize('objective', [book_objective, per_token_objective])
@pytest.mark.parametrize('num_devices, num_sentences', [(2, 60), (3, 61), (3, 2)])
def test_devices_share_a_batch(toy, seed, objective, num_devices, num_sentences):
    """An update with a divided batch equals one with the whole; a device may have no sentence."""
    whole, split = (new_model(toy, seed, masked=True) for _ in range(2))
    arrays = EncodedCorpus(*(array[:num_sentences] for array in toy[2]))
    rules, packed = UpdateRules(objective=objective), trace(split).packed
    (batch,) = Feed(arrays, 100, seed).batches()
    (parts,) = Feed(arrays, 100, seed, DEVICES[:num_devices]).batches()
    assert [part.src.context for part in parts.parts] == DEVICES[: min(num_devices, num_sentences)]
    assert sum(part.num_tokens for part in parts.parts) == parts.num_tokens == batch.num_tokens
    flat = storage_of(split.collect_params().values(), packed.values())
    copies = [flat.copy_to(device) for device in DEVICES[1:num_devices]]
    step = TrainStep(
        [(Forward(split, storage.variables(packed)), storage) for storage in (flat, *copies)],
        Adam(flat),
        rules,
    )
    for _ in range(2):  # the second update uses the weights that the first left on each device
        expected = new_step(whole, rules)[0]([batch], 0.01).asnumpy()
        onp.testing.assert_allclose(step([parts], 0.01).asnumpy(), expected, rtol=1e-4)
    for copy in copies:
        assert onp.array_equal(copy.weights.asnumpy(), flat.weights.asnumpy())


def test_training_on_two_devices_has_the_losses_of_one(toy, seed):
    histories = []
    for devices in (DEVICES[:1], DEVICES[:2]):
        history, model = [], new_model(toy, seed)
        fit(
            model,
            Feed(toy[2], 16, seed, devices),
            num_epochs=4,
            lr=0.005,
            rules=UpdateRules(batches_per_update=2),
            on_epoch_end=lambda metrics, state, history=history: history.append(metrics.train),
        )
        histories.append(history)
    for one, two in zip(*histories):
        assert two.num_tokens == one.num_tokens
        assert two.book_loss == pytest.approx(one.book_loss, rel=1e-4)


def test_a_feed_for_another_device_or_worker_is_rejected(toy, seed):
    with pytest.raises(ValueError, match=r"the model's device, cpu\(0\), got one on cpu\(1\)"):
        fit(new_model(toy, seed), Feed(toy[2], 64, seed, npx.cpu(1)), num_epochs=1, lr=0.01)
    with pytest.raises(ValueError, match=r'worker \(0, 1\), got one for \(1, 2\)'):
        fit(new_model(toy, seed), Feed(toy[2], 64, seed, worker=(1, 2)), num_epochs=1, lr=0.01)


def test_a_divided_validation_feed_is_rejected(toy, seed):
    for feed in (Feed(toy[2], 64, seed, DEVICES[:2]), Feed(toy[2], 64, seed, worker=(0, 2))):
        with pytest.raises(ValueError, match=r'one worker on cpu\(0\) alone, got one on'):
            fit(new_model(toy, seed), Feed(toy[2], 64, seed), feed, num_epochs=1, lr=0.01)
        with pytest.raises(ValueError, match=r'one worker on cpu\(0\) alone, got one on'):
            evaluate_loss(new_model(toy, seed), feed)


@pytest.mark.parametrize('devices', [[], [DEVICES[0]] * 2])
def test_a_feed_with_equal_devices_is_rejected(toy, devices):
    with pytest.raises(ValueError, match='expected different devices, got'):
        Feed(toy[2], 64, 0, devices)


def test_workers_with_different_numbers_of_devices_share_a_batch(toy):
    feeds = [
        Feed(toy[2], 51, 0, DEVICES[:count], worker=(rank, 3))
        for rank, count in enumerate((2, 1, 3))
    ]
    batches = [next(feed.batches()) for feed in feeds]
    assert [len(batch.parts) for batch in batches] == [2, 1, 3]
    assert sum(part.num_tokens for batch in batches for part in batch.parts) == (
        batches[0].num_tokens
    )


def test_workers_share_a_batch(toy):
    """Two workers with two devices see each sentence once, in the order of one worker."""
    (whole,) = Feed(toy[2], 200, 0).batches()
    feeds = [Feed(toy[2], 200, 0, DEVICES[:2], worker=(rank, 2)) for rank in range(2)]
    parts = [part for feed in feeds for batch in feed.batches() for part in batch.parts]
    assert len(parts) == 4
    assert onp.array_equal(
        onp.concatenate([part.src.asnumpy() for part in parts]), whole.parts[0].src.asnumpy()
    )
    assert sum(part.num_tokens for part in parts) == whole.num_tokens


@pytest.mark.parametrize('lr', [1e-40, 1e-320, 0.0, 2e-38])
@pytest.mark.parametrize('is_guarded', [False, True])
def test_a_tiny_learning_rate_changes_nothing(lr, is_guarded):
    """Schedules that decay for long reach rates that MXNet's operators refuse."""
    model = build_model(ModelConfig(4, 4, 1), 8, 8)
    initialize(model, CTX)
    flat, _ = storage_of_model(model)
    before = flat.weights.asnumpy()
    optimizer = Adam(flat, weight_decay=0.1, is_guarded=is_guarded)
    optimizer.update(flat, mx.nd.ones_like(flat.weights), lr, mx.nd.ones(1), 1.0)
    onp.testing.assert_allclose(flat.weights.asnumpy(), before)
    assert optimizer.num_updates == 1 and optimizer.mean.asnumpy().max() > 0


@pytest.mark.parametrize('lr', [-0.1, float('nan'), float('inf'), 1e39])
def test_impossible_learning_rates_are_refused(bundled, lr):
    model = build_model(ModelConfig(4, 4, 1), 500, 500)
    initialize(model, CTX)
    feed = Feed(encode_pairs(bundled.pairs[:8], 10)[2], 8, 0)
    with pytest.raises(ValueError, match='expected a learning rate of at least 0, got'):
        fit(model, feed, lr=lr, num_epochs=1)


@pytest.mark.parametrize(
    'rules',
    [
        {'max_norm': 0},
        {'max_norm': float('nan')},
        {'label_smoothing': -0.1},
        {'weight_decay': 1},
        {'batches_per_update': 0},
    ],
    ids=str,
)
def test_impossible_rules_are_refused(rules):
    (name,) = rules
    with pytest.raises(ValueError, match=f'expected a {name}'):
        UpdateRules(**rules)
