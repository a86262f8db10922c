"""The fast path: the chapter's losses, the same bits each time, and resuming from a state."""

import concurrent.futures
import types

import numpy as onp
import pytest
from book_losses import book_losses
from test_graphs import GRUDecoder, GRUEncoder

from d2l_seq2seq import EncoderDecoder, ModelConfig
from d2l_seq2seq._mxnet import autograd, gluon, mx, np, npx, seed_generators
from d2l_seq2seq.data.encoding import EncodedCorpus, encode_pairs, first_examples
from d2l_seq2seq.data.feed import BucketFeed, Feed, TokenFeed
from d2l_seq2seq.data.pipeline import load_pairs
from d2l_seq2seq.engine.fit import evaluate_loss, fit
from d2l_seq2seq.engine.loss_accumulator import MAX_AHEAD, LossAccumulator, sum_losses
from d2l_seq2seq.engine.step import UpdateRules, per_token_objective
from d2l_seq2seq.models.factory import build_model, initialize
from d2l_seq2seq.reproduce.published import PUBLISHED
from d2l_seq2seq.reproduce.training import loss_cells

CTX = npx.cpu()
SMALL = ModelConfig(8, 8, 1, 0.0)


@pytest.fixture
def toy(bundled, seed):
    """The sizes of the vocabularies, and the encoded corpus, of 150 pairs."""
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
    """Return the metrics of every epoch, and the last state."""
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
    model = build_model(ModelConfig(), *sizes)
    losses = book_losses(model, load_pairs(pairs, 64, 10)[2], 0.005, 10, CTX)
    book = [(loss, 9 * loss) for loss in losses]  # the book's loss, and nats per token
    model = new_model((*sizes, arrays), seed, ModelConfig())
    history, _ = fitted(model, Feed(arrays, 64, seed), 10)
    ours = [(metrics.train.book_loss, metrics.train.nll_per_token) for metrics in history]
    # Rounding errors grow: for one seed in thirty, to 1e-5 in the tenth epoch.
    onp.testing.assert_allclose(ours[:5], book[:5], rtol=1e-5)
    onp.testing.assert_allclose(ours, book, rtol=1e-3)


def test_the_same_seed_gives_the_same_bits(toy, seed):
    runs = []
    for _ in range(2):
        model = new_model(toy, seed)
        history, _ = fitted(model, Feed(toy[2], 64, seed), 5)
        runs.append(([metrics.train for metrics in history], weights(model)))
    assert runs[0][0] == runs[1][0]
    assert all(onp.array_equal(*pair) for pair in zip(runs[0][1], runs[1][1]))


def test_a_resumed_training_is_the_same_as_an_uninterrupted_one(toy, seed):
    uninterrupted = new_model(toy, seed)
    history, _ = fitted(uninterrupted, Feed(toy[2], 64, seed), 6)
    model = new_model(toy, seed)
    first, state = fitted(model, Feed(toy[2], 64, seed), 2)
    second, state = fitted(model, Feed(toy[2], 64, seed + 1), 6, state=state)
    assert [metrics.train for metrics in first + second] == [metrics.train for metrics in history]
    assert [metrics.epoch for metrics in second] == [3, 4, 5, 6] and state.epoch == 6
    assert all(onp.array_equal(*pair) for pair in zip(weights(model), weights(uninterrupted)))


def test_a_callback_that_raises_leaves_a_usable_model(toy, seed, tmp_path):
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


def test_validation_is_the_loss_of_the_model_after_the_epoch(toy, seed):
    model = new_model(toy, seed)
    valid = EncodedCorpus(*(array[:40] for array in toy[2]))
    history, _ = fitted(model, Feed(toy[2], 64, seed), 3, valid_feed=Feed(valid, 16, seed))
    expected = evaluate_loss(model, Feed(valid, 16, seed + 1))
    assert history[2].valid.num_tokens == expected.num_tokens
    assert history[2].valid.nll_per_token == pytest.approx(expected.nll_per_token, rel=1e-5)
    assert history[2].valid.nll_per_token < history[0].valid.nll_per_token


def test_evaluation_changes_nothing(toy, seed):
    model = new_model(toy, seed)
    before = weights(model)
    evaluate_loss(model, Feed(toy[2], 64, seed))
    assert all(onp.array_equal(*pair) for pair in zip(before, weights(model)))


def test_the_per_token_objective_against_a_plain_loop(toy, seed):
    """Gluon's trainer on the mean over labels, with a gradient that is clipped in NumPy."""
    plain = new_model(toy, seed)
    trainer = gluon.Trainer(plain.collect_params(), 'adam', {'learning_rate': 0.005})
    for batch in Feed(toy[2], 64, seed):
        with autograd.record():
            logits, _ = plain(batch.src.as_np_ndarray(), batch.tgt.as_np_ndarray())
            log_probs = npx.log_softmax(logits.reshape(-1, toy[1]), axis=-1)
            label_log_probs = log_probs[
                batch.label_positions.as_np_ndarray()[: batch.num_tokens].astype('int32')
            ]
            labels = batch.label_index[1].as_np_ndarray()[: batch.num_tokens]
            mean = -npx.pick(label_log_probs, labels).mean()
        mean.backward()
        gradients = [parameter.grad() for parameter in plain.collect_params().values()]
        norm = onp.sqrt(sum((gradient.asnumpy() ** 2).sum() for gradient in gradients))
        for gradient in gradients:
            gradient[:] *= min(1, 1 / norm)
        trainer.step(1)
    model = new_model(toy, seed)
    fitted(model, Feed(toy[2], 64, seed), 1, rules=UpdateRules(objective=per_token_objective))
    for ours, theirs in zip(weights(model), weights(plain)):
        onp.testing.assert_allclose(ours, theirs, atol=2e-5)


def test_training_on_another_device(toy, seed):
    losses = []
    for ctx in (CTX, npx.cpu(1)):
        model = new_model(toy, seed, ctx=ctx)
        history, _ = fitted(model, Feed(toy[2], 64, seed, ctx), 2)
        losses.append([metrics.train.nll_per_token for metrics in history])
        assert {str(parameter.data().ctx) for parameter in model.collect_params().values()} == {
            str(ctx)
        }
    assert losses[0] == pytest.approx(losses[1])


def test_a_model_that_is_not_the_packages(toy, seed):
    """GRUs, and a batch-major decoder whose last operator is not a dense layer."""
    arrays = EncodedCorpus(
        toy[2].src % 11, toy[2].src_valid_len, toy[2].tgt % 13, toy[2].tgt_valid_len
    )
    model = EncoderDecoder(GRUEncoder(), GRUDecoder())
    initialize(model, CTX)
    history, _ = fitted(model, Feed(arrays, 64, seed), 20)
    assert history[-1].train.nll_per_token < 0.9 * history[0].train.nll_per_token


def test_at_most_max_ahead_updates_are_pending(monkeypatch):
    """When one more is added, the oldest is read."""
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


def test_slow_updates_are_read_sooner(monkeypatch):
    """At 0.3 seconds each, at most two are pending, so that a signal is noticed soon."""
    now, losses = [0.0], LossAccumulator()
    batch = types.SimpleNamespace(num_label_steps=1, num_tokens=1)
    monkeypatch.setattr('d2l_seq2seq.engine.loss_accumulator.time.monotonic', lambda: now[0])
    for number in range(1, 6):
        now[0] += 0.3
        losses.add([batch], mx.nd.ones(1))
        assert len(losses._pending) == min(number, 2)
    assert losses.flush().losses.nll_sum == 5


def test_training_in_another_thread(toy, seed):
    """MXNet's NumPy mode is set for each thread separately."""

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


def test_evaluation_during_training_changes_nothing(toy, seed):
    final = []
    for evaluate in (False, True):
        model = new_model(toy, seed)

        def callback(metrics, state, evaluate=evaluate, model=model):
            if evaluate:
                evaluate_loss(model, Feed(toy[2], 64, seed))

        fit(model, Feed(toy[2], 64, seed), num_epochs=3, lr=0.005, on_epoch_end=callback)
        final.append(weights(model))
    assert all(onp.array_equal(*pair) for pair in zip(*final))


@pytest.mark.slow
def test_a_large_model_has_the_chapters_losses(seed):
    """10,000 words, embeddings of 256, 512 hidden units, three batches of 64 x 20 tokens."""
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
    book = book_losses(
        build_model(sizes, 10_000, 10_000),
        gluon.data.DataLoader(dataset, 64, shuffle=True),
        0.005,
        2,
        CTX,
    )
    assert [metrics.train.book_loss for metrics in history] == pytest.approx(book, rel=1e-5)


@pytest.mark.slow
def test_twenty_seeds_end_with_the_books_loss(fra_eng):
    pairs = first_examples(fra_eng.pairs, 1000)
    src_vocab, tgt_vocab, arrays = encode_pairs(pairs, 10)
    for seed in range(20):
        model = new_model((len(src_vocab), len(tgt_vocab)), seed, ModelConfig())
        history, _ = fitted(model, Feed(arrays, 64, seed), 300)
        losses = {metrics.epoch: metrics.train.book_loss for metrics in history}
        rows = loss_cells(PUBLISHED['9.7'], losses, judge=True)
        assert [row for row in rows if not row.agrees] == [], seed
