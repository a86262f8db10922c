"""The fast path: the chapter's losses, bit-equal repetition, going on from a state."""

import concurrent.futures
import types

import numpy as onp
import pytest
from test_graph import GRUDecoder, GRUEncoder

from d2l_seq2seq import EncoderDecoder, ModelConfig, reproduce
from d2l_seq2seq._mxnet import autograd, gluon, mx, np, npx, seed_generators
from d2l_seq2seq.book.seq2seq import s2s_epochs_ch9
from d2l_seq2seq.data.encoding import EncodedCorpus, encode_pairs, first_examples
from d2l_seq2seq.data.feed import BucketFeed, Feed, TokenFeed, load_pairs
from d2l_seq2seq.engine.fit import evaluate_loss, fit
from d2l_seq2seq.engine.loss_accumulator import MAX_AHEAD, LossAccumulator, sum_losses
from d2l_seq2seq.engine.step import UpdateRules, per_token_objective
from d2l_seq2seq.models.factory import build_model, initialize

CTX = npx.cpu()
SMALL = ModelConfig(8, 8, 1, 0.0)


@pytest.fixture
def toy(bundled, seed):
    """Vocabulary sizes and arrays of 150 pairs."""
    src_vocab, tgt_vocab, arrays = encode_pairs(bundled.pairs[:150], 10)
    return len(src_vocab), len(tgt_vocab), arrays


def new_model(toy, seed, sizes=SMALL, ctx=CTX):
    seed_generators(seed)
    model = build_model(sizes, *toy[:2])
    initialize(model, ctx)
    return model


def weights(model):
    return [parameter.data().asnumpy() for parameter in model.collect_params().values()]


def fitted(model, feed, num_epochs, **kwargs):
    """The metrics of every epoch, and the last state."""
    history = []
    state = fit(
        model,
        feed,
        num_epochs=num_epochs,
        lr=0.005,
        on_epoch_end=lambda metrics, state: history.append(metrics),
        **kwargs,
    )
    return history, state


def test_the_chapters_losses(corpus, seed):
    pairs = first_examples(corpus.pairs, 1000)
    src_vocab, tgt_vocab, arrays = encode_pairs(pairs, 10)
    sizes = len(src_vocab), len(tgt_vocab)
    seed_generators(seed)
    book = [
        (metric[0] / metric[1], metric[2] / metric[1])
        for _, metric, _ in s2s_epochs_ch9(
            build_model(ModelConfig(), *sizes), load_pairs(pairs, 64, 10)[2], 0.005, 10, CTX
        )
    ]
    model = new_model((*sizes, arrays), seed, ModelConfig())
    history, _ = fitted(model, Feed(arrays, 64, seed), 10)
    ours = [(metrics.train.book_loss, metrics.train.nll_per_token) for metrics in history]
    # Rounding grows: for one seed in thirty, to 1e-5 in the tenth epoch.
    onp.testing.assert_allclose(ours[:5], book[:5], rtol=1e-5)
    onp.testing.assert_allclose(ours, book, rtol=1e-3)


def test_twice_the_same_bits(toy, seed):
    runs = []
    for _ in range(2):
        model = new_model(toy, seed)
        history, _ = fitted(model, Feed(toy[2], 64, seed), 5)
        runs.append(([metrics.train for metrics in history], weights(model)))
    assert runs[0][0] == runs[1][0]
    assert all(onp.array_equal(*pair) for pair in zip(runs[0][1], runs[1][1]))


def test_going_on_from_a_state_is_as_if_it_had_not_stopped(toy, seed):
    unbroken = new_model(toy, seed)
    history, _ = fitted(unbroken, Feed(toy[2], 64, seed), 6)
    model = new_model(toy, seed)
    first, state = fitted(model, Feed(toy[2], 64, seed), 2)
    second, state = fitted(model, Feed(toy[2], 64, seed + 1), 6, state=state)
    assert [metrics.train for metrics in first + second] == [metrics.train for metrics in history]
    assert [metrics.epoch for metrics in second] == [3, 4, 5, 6] and state.epoch == 6
    assert all(onp.array_equal(*pair) for pair in zip(weights(model), weights(unbroken)))


def test_a_hook_that_raises_leaves_a_usable_model(toy, seed, tmp_path):
    model = new_model(toy, seed)

    def stop(metrics, state):
        if metrics.epoch == 2:
            raise KeyboardInterrupt

    with pytest.raises(KeyboardInterrupt):
        fit(model, Feed(toy[2], 64, seed), num_epochs=5, lr=0.005, on_epoch_end=stop)
    other = new_model(toy, seed)
    fitted(other, Feed(toy[2], 64, seed), 2)
    assert all(onp.array_equal(*pair) for pair in zip(weights(model), weights(other)))
    model.save_parameters(str(tmp_path / 'weights'))
    again = new_model(toy, seed + 1)
    again.load_parameters(str(tmp_path / 'weights'))
    X = np.array([[1, 2, 3]])
    assert onp.array_equal(model(X, X)[0].asnumpy(), again(X, X)[0].asnumpy())


def test_the_model_can_be_called_while_it_is_trained(toy, seed):
    model = new_model(toy, seed)
    model.hybridize()
    X, outputs = np.array([[1, 2, 3]]), []
    fit(
        model,
        Feed(toy[2], 64, seed),
        num_epochs=3,
        lr=0.005,
        on_epoch_end=lambda metrics, state: outputs.append(model(X, X)[0].asnumpy()),
    )
    assert not onp.array_equal(outputs[0], outputs[1])
    assert onp.array_equal(outputs[2], model(X, X)[0].asnumpy())


def test_validation_is_the_loss_of_the_model_at_that_time(toy, seed):
    model = new_model(toy, seed)
    valid_feed = Feed(EncodedCorpus(*(array[:40] for array in toy[2])), 16, seed)
    history, _ = fitted(model, Feed(toy[2], 64, seed), 3, valid_feed=valid_feed)
    now = evaluate_loss(model, Feed(EncodedCorpus(*(array[:40] for array in toy[2])), 16, seed + 1))
    assert history[2].valid.num_tokens == now.num_tokens
    assert history[2].valid.nll_per_token == pytest.approx(now.nll_per_token, rel=1e-5)
    assert history[2].valid.nll_per_token < history[0].valid.nll_per_token


def test_evaluation_changes_nothing(toy, seed):
    model = new_model(toy, seed)
    before = weights(model)
    evaluate_loss(model, Feed(toy[2], 64, seed))
    assert all(onp.array_equal(*pair) for pair in zip(before, weights(model)))


def test_the_per_token_objective_against_a_plain_loop(toy, seed):
    """Gluon's trainer on the mean over labels, its norm clipped by NumPy's measure."""
    plain = new_model(toy, seed)
    trainer = gluon.Trainer(plain.collect_params(), 'adam', {'learning_rate': 0.005})
    for batch in Feed(toy[2], 64, seed):
        with autograd.record():
            logits, _ = plain(batch.src.as_np_ndarray(), batch.tgt.as_np_ndarray())
            log_probs = npx.log_softmax(logits.reshape(-1, toy[1]), axis=-1)
            chosen = log_probs[
                batch.label_positions.as_np_ndarray()[: batch.num_tokens].astype('int32')
            ]
            labels = batch.label_index[1].as_np_ndarray()[: batch.num_tokens]
            mean = -npx.pick(chosen, labels).mean()
        mean.backward()
        gradients = [parameter.grad() for parameter in plain.collect_params().values()]
        norm = onp.sqrt(sum((gradient.asnumpy() ** 2).sum() for gradient in gradients))
        for gradient in gradients:
            gradient[:] *= min(1, 1 / norm)
        trainer.step(1)
    model = new_model(toy, seed)
    fitted(model, Feed(toy[2], 64, seed), 1, rules=UpdateRules(per_token_objective))
    for ours, theirs in zip(weights(model), weights(plain)):
        onp.testing.assert_allclose(ours, theirs, atol=2e-5)


def test_another_context(toy, seed):
    losses = []
    for ctx in (CTX, npx.cpu(1)):
        model = new_model(toy, seed, ctx=ctx)
        history, _ = fitted(model, Feed(toy[2], 64, seed, ctx), 2)
        losses.append([metrics.train.nll_per_token for metrics in history])
        assert {str(parameter.data().ctx) for parameter in model.collect_params().values()} == {
            str(ctx)
        }
    assert losses[0] == pytest.approx(losses[1])


def test_another_model_is_trained(toy, seed):
    """GRUs, a batch-first decoder and a head that is no plain dense layer."""
    arrays = EncodedCorpus(
        toy[2].src % 11, toy[2].src_valid_len, toy[2].tgt % 13, toy[2].tgt_valid_len
    )
    model = EncoderDecoder(GRUEncoder(), GRUDecoder())
    initialize(model, CTX)
    history, _ = fitted(model, Feed(arrays, 64, seed), 20)
    assert history[-1].train.nll_per_token < 0.9 * history[0].train.nll_per_token


def test_the_caller_stays_within_reach_of_the_device(monkeypatch):
    """A step that is handed over after MAX_AHEAD others finds the first of them read."""
    reads, batch = [], types.SimpleNamespace(num_label_steps=1, num_tokens=1)

    class Loss(mx.nd.NDArray):
        def asnumpy(self):
            reads.append(self)
            return super().asnumpy()

    def results():
        for number in range(MAX_AHEAD + 3):
            assert len(reads) == max(0, number - MAX_AHEAD)
            yield batch, Loss(mx.nd.ones(1).handle)

    monkeypatch.setattr(mx.nd.NDArray, '__del__', lambda self: None)
    assert sum_losses(results()).nll_sum == MAX_AHEAD + 3


def test_slow_updates_are_not_far_ahead(monkeypatch):
    """At 0.3 seconds each, two wait at the most: a signal is heard soon."""
    now, batch, tally = (
        [0.0],
        types.SimpleNamespace(num_label_steps=1, num_tokens=1),
        LossAccumulator(),
    )
    monkeypatch.setattr('d2l_seq2seq.engine.loss_accumulator.time.monotonic', lambda: now[0])
    for number in range(1, 6):
        now[0] += 0.3
        tally.add([batch], mx.nd.ones(1))
        assert len(tally._waiting) == min(number, 2)
    assert tally.settle().losses.nll_sum == 5


def test_in_another_thread(toy, seed):
    """MXNet's NumPy mode is each thread's own."""

    def train():
        model = new_model(toy, seed)
        return fitted(model, Feed(toy[2], 64, seed), 1)[0][0].train

    with concurrent.futures.ThreadPoolExecutor(1) as pool:
        assert pool.submit(train).result() == train()


@pytest.mark.parametrize('feed_class, size', [(BucketFeed, 16), (TokenFeed, 100)])
def test_training_on_buckets(toy, seed, feed_class, size):
    model = new_model(toy, seed)
    history, _ = fitted(model, feed_class(toy[2], size, seed), 4)
    losses = [metrics.train.nll_per_token for metrics in history]
    assert losses == sorted(losses, reverse=True)
    assert {metrics.train.num_tokens for metrics in history} == {
        int((toy[2].tgt_valid_len - 1).sum())
    }


def test_evaluation_in_the_midst_of_training_changes_nothing(toy, seed):
    final = []
    for evaluate in (False, True):
        model = new_model(toy, seed)

        def hook(metrics, state):
            if evaluate:
                evaluate_loss(model, Feed(toy[2], 64, seed))

        fit(model, Feed(toy[2], 64, seed), num_epochs=3, lr=0.005, on_epoch_end=hook)
        final.append(weights(model))
    assert all(onp.array_equal(*pair) for pair in zip(*final))


@pytest.mark.slow
def test_a_real_size_has_the_chapters_losses(seed):
    """10,000 words, 256 and 512 units, three batches of 64 by 20."""
    rng = onp.random.RandomState(seed)
    src_valid_len, tgt_valid_len = rng.randint(2, 21, 192), rng.randint(3, 21, 192)
    src, tgt = rng.randint(4, 10_000, (2, 192, 20))
    steps = onp.arange(20)
    arrays = EncodedCorpus(
        *map(
            onp.array,
            (
                onp.where(steps < src_valid_len[:, None], src, 1),
                src_valid_len,
                onp.where(steps < tgt_valid_len[:, None], tgt, 1),
                tgt_valid_len,
            ),
        )
    )
    sizes = ModelConfig(256, 512, 2, 0.0)
    model = new_model((10_000, 10_000), seed, sizes)
    history, _ = fitted(model, Feed(arrays, 64, seed), 2)

    seed_generators(seed)
    dataset = gluon.data.ArrayDataset(*arrays)
    book = [
        metric[0] / metric[1]
        for _, metric, _ in s2s_epochs_ch9(
            build_model(sizes, 10_000, 10_000),
            gluon.data.DataLoader(dataset, 64, shuffle=True),
            0.005,
            2,
            CTX,
        )
    ]
    assert [metrics.train.book_loss for metrics in history] == pytest.approx(book, rel=1e-5)


@pytest.mark.slow
def test_twenty_seeds_end_inside_the_books_band(fra_eng):
    pairs = first_examples(fra_eng.pairs, 1000)
    src_vocab, tgt_vocab, arrays = encode_pairs(pairs, 10)
    for seed in range(20):
        model = new_model((len(src_vocab), len(tgt_vocab)), seed, ModelConfig())
        history, _ = fitted(model, Feed(arrays, 64, seed), 300)
        losses = {metrics.epoch: metrics.train.book_loss for metrics in history}
        rows = reproduce._loss_rows(reproduce.SECTIONS['seq2seq'], losses, judge=True)
        assert [row for row in rows if not row.agrees] == [], seed
