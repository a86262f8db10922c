"""`fit` and `evaluate_loss` on plain blocks, recorded or not, against the book's loop."""

import logging

import numpy as onp
import pytest
from book_losses import book_losses
from plain_models import PLAIN_MODELS, UNTRACEABLE_MODELS, plain_model

from d2l_seq2seq import Feed, evaluate_loss, fit, initialize
from d2l_seq2seq._mxnet import npx, seed_generators
from d2l_seq2seq.data.encoding import encode_pairs
from d2l_seq2seq.data.pipeline import load_pairs
from d2l_seq2seq.engine.step import UpdateRules

CTX, NUM_STEPS, LR = npx.cpu(), 8, 0.005


@pytest.fixture
def corpus(bundled):
    pairs = bundled.pairs[:100]
    return pairs, *encode_pairs(pairs, NUM_STEPS)


def losses_of_fit(model, arrays, seed, num_epochs, **options):
    losses = []
    feed = Feed(arrays, 32, seed, CTX)
    fit(
        model,
        feed,
        num_epochs=num_epochs,
        lr=LR,
        on_epoch_end=lambda metrics, state: losses.append(metrics.train.book_loss),
        **options,
    )
    return losses


def new_model(blocks, corpus, seed):
    _, src_vocab, tgt_vocab, _ = corpus
    seed_generators(seed)
    return plain_model(blocks, len(src_vocab), len(tgt_vocab))


@pytest.mark.parametrize('blocks', PLAIN_MODELS.values(), ids=PLAIN_MODELS)
def test_losses_equal_those_of_the_books_loop(blocks, corpus, seed, caplog):
    pairs, _, _, arrays = corpus
    num_epochs = 3
    loader = load_pairs(pairs, 32, NUM_STEPS)[2]
    expected = book_losses(new_model(blocks, corpus, seed), loader, LR, num_epochs, CTX)
    model = new_model(blocks, corpus, seed)
    initialize(model, CTX)
    losses = losses_of_fit(model, arrays, seed, num_epochs)
    onp.testing.assert_allclose(losses, expected, rtol=1e-5)
    assert losses[-1] < losses[0] and not caplog.records


def test_a_model_that_depends_on_values_is_called(corpus, seed, caplog):
    pairs, _, _, arrays = corpus
    blocks = UNTRACEABLE_MODELS['values']
    loader = load_pairs(pairs, 32, NUM_STEPS)[2]
    expected = book_losses(new_model(blocks, corpus, seed), loader, LR, 3, CTX)
    model = new_model(blocks, corpus, seed)
    initialize(model, CTX)
    with caplog.at_level(logging.WARNING):
        losses = losses_of_fit(model, arrays, seed, 3)
    onp.testing.assert_allclose(losses, expected, rtol=1e-5)
    (record,) = caplog.records
    assert 'operator by operator, which is slower: its operators depend' in record.getMessage()


def test_a_graph_that_does_not_compute_what_the_model_does_is_not_used(corpus, seed, caplog):
    """Recorded once, the noise would be the same for all batches, so the logits would be wrong."""
    *_, arrays = corpus
    model = new_model(UNTRACEABLE_MODELS['noise'], corpus, seed)
    initialize(model, CTX)
    feed = Feed(arrays, 32, seed, CTX)
    with caplog.at_level(logging.WARNING):
        first, second = (evaluate_loss(model, feed).nll_sum for _ in range(2))
    assert first != second
    assert all('differ from call to call' in record.getMessage() for record in caplog.records)
    losses = losses_of_fit(model, arrays, seed, 3, rules=UpdateRules(seed=seed))
    assert losses[-1] < losses[0]


@pytest.mark.parametrize('blocks', ['mode', 'attention'])
def test_the_validation_loss_is_that_of_prediction(blocks, corpus, seed):
    """The first model computes something else in training."""
    _, _, _, arrays = corpus
    model = new_model(PLAIN_MODELS[blocks], corpus, seed)
    initialize(model, CTX)
    validation = []
    feed = Feed(arrays, 32, seed, CTX)
    fit(
        model,
        feed,
        Feed(arrays, 32, seed, CTX),
        num_epochs=1,
        lr=LR,
        on_epoch_end=lambda metrics, state: validation.append(metrics.valid.nll_per_token),
    )
    assert validation == [pytest.approx(evaluate_loss(model, feed).nll_per_token, rel=1e-5)]
    nll_sum, num_tokens = 0, 0
    for batch in feed:
        arrays = (batch.src, batch.tgt, batch.src_valid_len, batch.tgt_valid_len)
        logits, _ = model(*(array.as_np_ndarray() for array in arrays))
        log_probs = npx.log_softmax(logits.reshape(-1, logits.shape[-1])).asnumpy()
        positions = batch.label_positions.asnumpy()[: batch.num_tokens].astype(int)
        labels = batch.label_index.asnumpy()[1, : batch.num_tokens].astype(int)
        nll_sum -= log_probs[positions, labels].sum()
        num_tokens += batch.num_tokens
    assert validation == [pytest.approx(nll_sum / num_tokens, rel=1e-4)]


def test_training_of_plain_blocks_resumes_exactly(corpus, seed):
    _, _, _, arrays = corpus
    blocks = PLAIN_MODELS['book']
    weights = []
    for stops in ([3], [1, 3]):
        model = new_model(blocks, corpus, seed)
        initialize(model, CTX)
        state = None
        for num_epochs in stops:
            feed = Feed(arrays, 32, seed, CTX)
            state = fit(model, feed, num_epochs=num_epochs, lr=LR, state=state)
        weights.append([p.data().asnumpy() for p in model.collect_params().values()])
    for uninterrupted, resumed in zip(*weights):
        assert (uninterrupted == resumed).all()
