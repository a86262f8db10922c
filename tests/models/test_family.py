"""Invariants of every model that a configuration can describe, whatever its cell and attention."""

import dataclasses
import itertools

import numpy as onp
import pytest
from book_losses import book_losses

from d2l_seq2seq import (
    DataConfig,
    Feed,
    InputError,
    ModelConfig,
    RunConfig,
    Vocab,
    evaluate_loss,
    fit,
    initialize,
)
from d2l_seq2seq._mxnet import autograd, mx, np, seed_generators
from d2l_seq2seq.book.seq2seq import MaskedSoftmaxCELoss, predict_s2s_ch9
from d2l_seq2seq.data.corpus import copy_pairs, reverse_pairs
from d2l_seq2seq.data.encoding import EncodedCorpus, encode_pairs
from d2l_seq2seq.models.decoders import AttentionDecoder
from d2l_seq2seq.models.factory import build_model
from d2l_seq2seq.runs.checkpoint import Run
from d2l_seq2seq.runs.folder import save_run
from d2l_seq2seq.runs.loading import load_run

from random_batch import (
    CTX,
    NUM_SENTENCES,
    NUM_STEPS,
    VOCAB_SIZE,
    logits_of,
    on_host,
    random_batch,
)


def configurations():
    """Yield all masked configurations that `ModelConfig` allows, with small sizes."""
    for cell, bidirectional, (attention, feeding), context, shares_weights in itertools.product(
        ('rnn', 'gru', 'lstm'),
        (False, True),
        [
            *((attention, False) for attention in ('none', 'additive', 'dot', 'general')),
            ('dot', True),
            ('general', True),
        ],
        ('first state', 'last', 'mean', 'max'),
        (False, True),
    ):
        try:
            yield ModelConfig(
                8,
                8,
                2,
                0.0,
                cell=cell,
                masked=True,
                bidirectional=bidirectional,
                attention=attention,
                input_feeding=feeding,
                context_every_step=context != 'first state',
                context='last' if context == 'first state' else context,
                tied=shares_weights,
                share_embedding=shares_weights,
            )
        except InputError:
            continue


FAMILY = list(configurations())


def name_of(config):
    values = dataclasses.asdict(config)
    return ' '.join(
        [config.cell, config.attention, config.context]
        + [
            name
            for name in ('bidirectional', 'input_feeding', 'context_every_step', 'tied')
            if values[name]
        ]
    )


@pytest.fixture(params=FAMILY, ids=name_of)
def model(request, seed):
    seed_generators(seed)
    model = build_model(request.param, VOCAB_SIZE, VOCAB_SIZE)
    initialize(model, CTX, mx.init.Uniform(0.5))
    return model


def test_stepwise_logits_equal_teacher_forced_logits(model, seed):
    batch = random_batch(seed)
    state = model.decoder.init_state(
        model.encoder(batch.src, batch.src_valid_len), batch.src_valid_len
    )
    steps = []
    for step in range(NUM_STEPS - 1):
        logits, state = model.decoder(batch.tgt[:, step : step + 1], state)
        steps.append(logits)
    onp.testing.assert_allclose(
        np.concatenate(steps, axis=1).asnumpy(),
        logits_of(model, batch).asnumpy(),
        rtol=1e-5,
        atol=1e-6,
    )


def test_padding_and_other_sentences_change_no_logits(model, seed):
    batch = random_batch(seed)
    expected = logits_of(model, batch).asnumpy()
    padding = np.ones((NUM_SENTENCES, 4))
    longer = batch._replace(src=np.concatenate([batch.src, padding], axis=1))
    onp.testing.assert_allclose(logits_of(model, longer).asnumpy(), expected, atol=1e-6)
    for index in range(NUM_SENTENCES):
        alone = EncodedCorpus(*(array[index : index + 1] for array in batch))
        alone = alone._replace(src=alone.src[:, : int(alone.src_valid_len.item())])
        onp.testing.assert_allclose(
            logits_of(model, alone).asnumpy()[0], expected[index], atol=1e-6
        )


def test_fit_trains_a_model_like_the_books_loop(model, seed):
    """Two epochs of three batches each, from the same weights and in the same order."""
    batch = random_batch(seed)
    weights = {name: parameter.data().copy() for name, parameter in model.collect_params().items()}
    losses = []
    fit(
        model,
        Feed(on_host(batch), 4, seed),
        num_epochs=2,
        lr=0.01,
        on_epoch_end=lambda metrics, state: losses.append(metrics.train.book_loss),
    )

    rng = onp.random.RandomState(seed)
    for name, parameter in model.collect_params().items():
        parameter.set_data(weights[name])
    trainer = mx.gluon.Trainer(model.collect_params(), 'adam', {'learning_rate': 0.01})
    loss = MaskedSoftmaxCELoss()
    for epoch in range(2):
        order, loss_sum, num_tokens = onp.arange(NUM_SENTENCES), 0.0, 0
        rng.shuffle(order)
        for start in range(0, NUM_SENTENCES, 4):
            indices = np.array(order[start : start + 4])
            minibatch = EncodedCorpus(*(array[indices] for array in batch))
            label_len = minibatch.tgt_valid_len - 1
            with autograd.record():
                l = loss(logits_of(model, minibatch), minibatch.tgt[:, 1:], label_len)
            l.backward()
            gradients = [parameter.grad() for parameter in trainer._params]
            norm = float(sum((gradient**2).sum() for gradient in gradients)) ** 0.5
            for gradient in gradients:
                gradient[:] *= min(1, 1 / norm)
            trainer.step(int(label_len.sum()))
            loss_sum, num_tokens = loss_sum + float(l.sum()), num_tokens + int(label_len.sum())
        assert losses[epoch] == pytest.approx(loss_sum / num_tokens, rel=1e-4)


def test_a_saved_and_loaded_model_gives_the_same_logits(model, seed, tmp_path, request):
    config = RunConfig(DataConfig(share_vocab=True), request.node.callspec.params['model'])
    vocab = Vocab([[f'w{index:02}' for index in range(VOCAB_SIZE - 1)]])
    save_run(tmp_path / 'run', Run(config, vocab, vocab, model))
    loaded = load_run(tmp_path / 'run', CTX).model
    batch = random_batch(seed)
    assert (logits_of(loaded, batch).asnumpy() == logits_of(model, batch).asnumpy()).all()


def test_attention_weights_are_returned(model, seed):
    if not isinstance(model.decoder, AttentionDecoder):
        assert not hasattr(model.decoder, 'attend')
        return
    batch = random_batch(seed)
    state = model.decoder.init_state(
        model.encoder(batch.src, batch.src_valid_len), batch.src_valid_len
    )
    logits, _, weights = model.decoder.attend(batch.tgt[:, :-1], state)
    onp.testing.assert_allclose(logits.asnumpy(), logits_of(model, batch).asnumpy(), atol=1e-6)
    assert weights.shape == (NUM_SENTENCES, NUM_STEPS - 1, NUM_STEPS)
    is_padding = onp.arange(NUM_STEPS) >= batch.src_valid_len.asnumpy()[:, None]
    assert (weights.asnumpy().transpose(0, 2, 1)[is_padding] == 0).all()
    onp.testing.assert_allclose(weights.asnumpy().sum(axis=2), 1, atol=1e-5)


def test_training_with_dropout_is_reproducible_from_the_seed(seed):
    batch = random_batch(seed)

    def train(dropout):
        seed_generators(seed)
        model = build_model(ModelConfig(8, 8, 2, dropout, attention='general'), 20, 20)
        initialize(model, CTX)
        losses = []
        fit(
            model,
            Feed(on_host(batch), 4, seed),
            num_epochs=4,
            lr=0.01,
            on_epoch_end=lambda metrics, state: losses.append(metrics.train.nll_sum),
        )
        assert evaluate_loss(model, Feed(on_host(batch), 4, 0)) == evaluate_loss(
            model, Feed(on_host(batch), 4, 0)
        )
        return losses

    assert train(0.5) == train(0.5)
    assert train(0.5) != train(0.4)


def test_the_books_loop_trains_other_models_too(seed):
    """`train_s2s_ch9` uses no more of a model than the interface of section 9.6."""
    batch = random_batch(seed)
    model = build_model(ModelConfig(8, 8, 2, bidirectional=True, attention='additive'), 20, 20)
    losses = book_losses(model, [tuple(batch)], 0.02, 20, CTX)
    assert losses[-1] < losses[0]


LEARNERS = {
    'rnn': {'cell': 'rnn', 'masked': True},
    'gru': {'cell': 'gru', 'masked': True},
    'lstm': {'masked': True},
    "the chapter's": {},
    'both directions': {'bidirectional': True},
    'context': {'masked': True, 'context_every_step': True},
    'mean context': {'masked': True, 'context': 'mean'},
    'max context': {'masked': True, 'context': 'max'},
    'tied': {'masked': True, 'tied': True},
    'dropout': {'masked': True, 'dropout': 0.1},
    'additive': {'attention': 'additive'},
    'dot': {'attention': 'dot'},
    'general': {'attention': 'general'},
    'input feeding': {'attention': 'general', 'input_feeding': True},
}


@pytest.mark.slow
@pytest.mark.parametrize('task', [copy_pairs, reverse_pairs], ids=['copy', 'reverse'])
@pytest.mark.parametrize('kind', LEARNERS)
def test_every_kind_of_model_learns_a_toy_task(task, kind):
    """At least half of 200 short random sentences that were held out are translated correctly."""
    seed_generators(0)
    pairs = task(3000, 4, seed=0)
    *vocabs, corpus = encode_pairs(pairs[200:], 6)
    config = ModelConfig(48, 48, num_layers=2 if kind == 'dropout' else 1, **LEARNERS[kind])
    model = build_model(config, *map(len, vocabs))
    initialize(model, CTX)
    fit(model, Feed(corpus, 32, 0), num_epochs=50, lr=0.005)
    num_correct = sum(
        predict_s2s_ch9(model, source, *vocabs, 6, CTX) == target for source, target in pairs[:200]
    )
    assert num_correct >= 100
