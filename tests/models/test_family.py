"""What every member of the family keeps to, whatever its cell, directions and attention."""

import dataclasses
import itertools

import numpy as onp
import pytest

from d2l_seq2seq import (
    DataConfig,
    EncoderDecoder,
    Feed,
    InputError,
    ModelConfig,
    RunConfig,
    ScheduledSampling,
    SteppedEncoderDecoder,
    Vocab,
    evaluate_loss,
    fit,
    initialize,
)
from d2l_seq2seq._mxnet import autograd, mx, np, npx, rnn, seed_generators
from d2l_seq2seq.book.seq2seq import (
    MaskedSoftmaxCELoss,
    Seq2SeqDecoder,
    Seq2SeqEncoder,
    predict_s2s_ch9,
    s2s_epochs_ch9,
)
from d2l_seq2seq.data.corpus import copy_pairs, reverse_pairs
from d2l_seq2seq.data.encoding import EncodedCorpus, encode_pairs
from d2l_seq2seq.models.decoders import AttentionDecoder, ContextDecoder, LuongDecoder
from d2l_seq2seq.models.encoders import Bridge, MaskedEncoder
from d2l_seq2seq.models.factory import build_model, share_embedding, tie_output
from d2l_seq2seq.models.scheduled_sampling import feedback, teacher_forcing
from d2l_seq2seq.runs.checkpoint import Run
from d2l_seq2seq.runs.folder import load_run, save_run

VOCAB_SIZE, NUM_SENTENCES, NUM_STEPS = 20, 9, 7
CTX = npx.cpu()


def configurations():
    """Every one that `ModelConfig` allows, small."""
    for cell, bidirectional, attention, context, is_one in itertools.product(
        ('rnn', 'gru', 'lstm'),
        (False, True),
        ('none', 'additive', 'dot', 'general'),
        (False, True),
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
                context_every_step=context,
                tied=is_one,
                share_embedding=is_one,
            )
        except InputError:
            continue


FAMILY = list(configurations())


def name_of(config):
    values = dataclasses.asdict(config)
    return ' '.join(
        [config.cell, config.attention]
        + [name for name in ('bidirectional', 'context_every_step', 'tied') if values[name]]
    )


def random_batch(seed):
    rng = onp.random.RandomState(seed)

    def sentences(shortest):
        lengths = rng.randint(shortest, NUM_STEPS + 1, NUM_SENTENCES)
        ids = rng.randint(4, VOCAB_SIZE, (NUM_SENTENCES, NUM_STEPS))
        return np.array(
            onp.where(onp.arange(NUM_STEPS) < lengths[:, None], ids, 1), dtype='float32'
        ), np.array(lengths)

    return EncodedCorpus(*sentences(1), *sentences(2))


def on_host(batch):
    return EncodedCorpus(*(array.asnumpy() for array in batch))


@pytest.fixture(params=FAMILY, ids=name_of)
def model(request, seed):
    seed_generators(seed)
    model = build_model(request.param, VOCAB_SIZE, VOCAB_SIZE)
    initialize(model, CTX, mx.init.Uniform(0.5))
    return model


def logits_of(model, batch):
    return model(batch.src, batch.tgt[:, :-1], batch.src_valid_len, batch.tgt_valid_len)[0]


def test_step_by_step_is_teacher_forcing(model, seed):
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


def test_padding_and_company_change_nothing(model, seed):
    batch = random_batch(seed)
    expected = logits_of(model, batch).asnumpy()
    padding = np.ones((NUM_SENTENCES, 4))
    longer = batch._replace(src=np.concatenate([batch.src, padding], axis=1))
    onp.testing.assert_allclose(logits_of(model, longer).asnumpy(), expected, atol=1e-6)
    for number in range(NUM_SENTENCES):
        alone = EncodedCorpus(*(array[number : number + 1] for array in batch))
        alone = alone._replace(src=alone.src[:, : int(alone.src_valid_len.item())])
        onp.testing.assert_allclose(
            logits_of(model, alone).asnumpy()[0], expected[number], atol=1e-6
        )


def test_fit_trains_it_like_the_books_loop(model, seed):
    """Five batches of each, from the same weights in the same order."""
    batch = random_batch(seed)
    start = {name: parameter.data().copy() for name, parameter in model.collect_params().items()}
    found = []
    fit(
        model,
        Feed(on_host(batch), 4, seed),
        num_epochs=2,
        lr=0.01,
        on_epoch_end=lambda metrics, state: found.append(metrics.train.book_loss),
    )

    order = onp.random.RandomState(seed)
    for name, parameter in model.collect_params().items():
        parameter.set_data(start[name])
    trainer = mx.gluon.Trainer(model.collect_params(), 'adam', {'learning_rate': 0.01})
    loss = MaskedSoftmaxCELoss()
    for epoch in range(2):
        numbers, total, num_tokens = onp.arange(NUM_SENTENCES), 0.0, 0
        order.shuffle(numbers)
        for first in range(0, NUM_SENTENCES, 4):
            part = EncodedCorpus(*(array[np.array(numbers[first : first + 4])] for array in batch))
            with autograd.record():
                value = loss(logits_of(model, part), part.tgt[:, 1:], part.tgt_valid_len - 1)
            value.backward()
            gradients = [parameter.grad() for parameter in trainer._params]
            norm = float(sum((gradient**2).sum() for gradient in gradients)) ** 0.5
            for gradient in gradients:
                gradient[:] *= min(1, 1 / norm)
            own_tokens = int((part.tgt_valid_len - 1).sum())
            trainer.step(own_tokens)
            total, num_tokens = total + float(value.sum()), num_tokens + own_tokens
        assert found[epoch] == pytest.approx(total / num_tokens, rel=1e-4)


def test_saved_and_loaded_it_is_the_same_model(model, seed, tmp_path, request):
    config = RunConfig(DataConfig(share_vocab=True), request.node.callspec.params['model'])
    vocab = Vocab([[f'w{number:02}' for number in range(VOCAB_SIZE - 1)]])
    save_run(tmp_path / 'run', Run(config, vocab, vocab, model))
    again = load_run(tmp_path / 'run', CTX).model
    batch = random_batch(seed)
    assert (logits_of(again, batch).asnumpy() == logits_of(model, batch).asnumpy()).all()


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


@pytest.mark.parametrize('layer, num_states', [(rnn.LSTM, 2), (rnn.GRU, 1)])
def test_the_chapters_classes_take_other_cells(layer, num_states):
    """A GRU's state is a list of one, as the chapter says."""
    encoder = Seq2SeqEncoder(10, 8, 16, 2, layer=layer)
    encoder.initialize()
    outputs, state = encoder(np.zeros((4, 7)))
    assert outputs.shape == (7, 4, 16)
    assert [part.shape for part in state] == [(2, 4, 16)] * num_states


def test_the_books_attention_shapes():
    config = ModelConfig(8, 16, 2, attention='additive')
    model = build_model(config, 10, 10)
    model.initialize()
    X = np.zeros((4, 7))
    state = model.decoder.init_state(model.encoder(X, np.full(4, 7)), np.full(4, 7))
    out, state = model.decoder(X, state)
    assert (out.shape, len(state), state[0].shape, len(state[1]), state[1][0].shape) == (
        (4, 7, 10),
        3,
        (4, 7, 16),
        2,
        (2, 4, 16),
    )


def test_the_context_stays_what_it_was(seed):
    model = build_model(ModelConfig(8, 8, 2, context_every_step=True), VOCAB_SIZE, VOCAB_SIZE)
    initialize(model, CTX)
    batch = random_batch(seed)
    outputs = model.encoder(batch.src)
    state = model.decoder.init_state(outputs)
    context = outputs[1][0][-1].asnumpy()
    for step in range(3):
        _, state = model.decoder(batch.tgt[:, step : step + 1], state)
        assert (state[1].asnumpy()[0] == context).all()


@pytest.mark.parametrize(
    'make',
    [
        lambda: Seq2SeqDecoder(VOCAB_SIZE, 8, 16, 2),
        lambda: Seq2SeqDecoder(VOCAB_SIZE, 8, 8, 1),
        lambda: ContextDecoder(VOCAB_SIZE, 8, 8, 2, layer=rnn.GRU),
        lambda: LuongDecoder(VOCAB_SIZE, 8, 8, 3, None),
    ],
)
def test_a_decoder_of_other_sizes_is_refused(make):
    encoder = MaskedEncoder(VOCAB_SIZE, 8, 8, 2)
    with pytest.raises(
        ValueError,
        match='state has . arrays of . layers and .* got 2 of 2 layers '
        'and 8 units; encoders.Bridge',
    ):
        initialize(EncoderDecoder(encoder, make()), CTX)


@pytest.mark.parametrize('layer', [rnn.GRU, rnn.LSTM])
def test_a_bridge_fits_any_encoder_to_any_decoder(layer, seed):
    encoder = MaskedEncoder(VOCAB_SIZE, 8, 6, 3, layer=layer, bidirectional=True)
    model = EncoderDecoder(
        Bridge(encoder, 2, 10, layer), Seq2SeqDecoder(VOCAB_SIZE, 8, 10, 2, layer=layer)
    )
    initialize(model, CTX)
    batch = random_batch(seed)
    _, inner = encoder(batch.src, batch.src_valid_len)
    _, state = model.encoder(batch.src, batch.src_valid_len)
    assert [part.shape for part in state] == [(2, NUM_SENTENCES, 10)] * len(inner)
    for dense, part, expected in zip((model.encoder.hidden, model.encoder.memory), inner, state):
        flat = part.asnumpy().transpose(1, 0, 2).reshape(NUM_SENTENCES, -1)
        mapped = flat @ dense.weight.data().asnumpy().T + dense.bias.data().asnumpy()
        mapped = onp.tanh(mapped) if dense is model.encoder.hidden else mapped
        onp.testing.assert_allclose(
            expected.asnumpy().transpose(1, 0, 2).reshape(mapped.shape),
            mapped,
            rtol=1e-4,
            atol=1e-5,
        )


def test_shared_and_tied_weights_are_one(seed):
    model = build_model(ModelConfig(8, 8, 1, tied=True, share_embedding=True), 12, 12)
    initialize(model, CTX)
    weight = model.encoder.embedding.weight
    assert model.decoder.embedding.weight is weight and model.decoder.dense.weight is weight
    one_embedding = 12 * 8
    plain = build_model(ModelConfig(8, 8, 1), 12, 12)
    initialize(plain, CTX)
    sizes = [
        sum(parameter.data().size for parameter in some.collect_params().values())
        for some in (plain, model)
    ]
    assert sizes[0] - sizes[1] == 2 * one_embedding


def test_tying_other_sizes_is_refused():
    with pytest.raises(ValueError, match='expected an embed_size equal to num_hiddens, got 8 and'):
        tie_output(Seq2SeqDecoder(12, 8, 16, 1))


def test_sharing_comes_before_tying():
    model = EncoderDecoder(Seq2SeqEncoder(12, 8, 8, 1), Seq2SeqDecoder(12, 8, 8, 1))
    share_embedding(model)
    tie_output(model.decoder)
    assert model.decoder.dense.weight is model.encoder.embedding.weight
    with pytest.raises(ValueError, match='call share_embedding before tie_output'):
        share_embedding(model)


@pytest.fixture
def plain(seed):
    seed_generators(seed)
    model = build_model(ModelConfig(8, 8, 2), VOCAB_SIZE, VOCAB_SIZE)
    initialize(model, CTX, mx.init.Uniform(1))
    return model


def stepped(model, chooser):
    return SteppedEncoderDecoder(model.encoder, model.decoder, chooser)


def test_teacher_forcing_step_by_step_is_the_same_model(plain, seed):
    batch = random_batch(seed)
    for chooser in (teacher_forcing, ScheduledSampling(1)):
        onp.testing.assert_allclose(
            logits_of(stepped(plain, chooser), batch).asnumpy(),
            logits_of(plain, batch).asnumpy(),
            rtol=1e-5,
            atol=1e-6,
        )


def test_feedback_is_what_inference_does(plain, seed):
    batch = random_batch(seed)
    state = plain.decoder.init_state(plain.encoder(batch.src))
    tokens, expected = batch.tgt[:, :1], []
    for _ in range(NUM_STEPS - 1):
        logits, state = plain.decoder(tokens, state)
        expected.append(logits.asnumpy())
        tokens = np.argmax(logits, axis=-1)
    for chooser in (feedback, ScheduledSampling(0)):
        onp.testing.assert_allclose(
            logits_of(stepped(plain, chooser), batch).asnumpy(),
            onp.concatenate(expected, axis=1),
            rtol=1e-5,
            atol=1e-6,
        )


@pytest.mark.parametrize('chooser', [feedback, ScheduledSampling(0.5)])
def test_attention_step_by_step_within_steps(chooser, seed):
    """A decoder that is traced step by step, in a model that goes step by step; on any context."""
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
    there = EncodedCorpus(*(array.as_in_ctx(ctx) for array in batch))
    assert logits_of(stepped(model, chooser), there).ctx == ctx


def test_a_mixture_draws_for_each_token(seed):
    mx.random.seed(seed)
    target, own = np.zeros((4000, 1)), np.ones((4000, 1))
    share = ScheduledSampling(0.3)(mx.nd, target, own).asnumpy().mean()
    assert 0.65 < share < 0.75  # 7 standard deviations to either side
    with pytest.raises(ValueError, match='expected a ratio from 0 to 1, got 2'):
        ScheduledSampling(2)


def test_fit_trains_with_feedback(plain, seed):
    """The traced graph draws anew for each batch, and learns."""
    batch = random_batch(seed)
    found = []
    for _ in range(3):
        fit(
            stepped(plain, ScheduledSampling(0.5)),
            Feed(on_host(batch), NUM_SENTENCES, seed),
            num_epochs=3,
            lr=1e-30,
            on_epoch_end=lambda metrics, state: found.append(metrics.train.nll_sum),
        )
    assert len(set(found)) > 3
    losses = []
    fit(
        stepped(plain, ScheduledSampling(0.5)),
        Feed(on_host(batch), NUM_SENTENCES, seed),
        num_epochs=60,
        lr=0.02,
        on_epoch_end=lambda metrics, state: losses.append(metrics.train.nll_per_token),
    )
    assert losses[-1] < losses[0] / 2


def test_dropout_trains_the_same_with_the_same_seed(seed):
    batch = random_batch(seed)

    def losses(own_seed, dropout=0.5):
        seed_generators(own_seed)
        model = build_model(ModelConfig(8, 8, 2, dropout, attention='general'), 20, 20)
        initialize(model, CTX)
        found = []
        fit(
            model,
            Feed(on_host(batch), 4, seed),
            num_epochs=4,
            lr=0.01,
            on_epoch_end=lambda metrics, state: found.append(metrics.train.nll_sum),
        )
        assert evaluate_loss(model, Feed(on_host(batch), 4, 0)) == evaluate_loss(
            model, Feed(on_host(batch), 4, 0)
        )
        return found

    assert losses(seed) == losses(seed)
    assert losses(seed) != losses(seed, 0.4)


def test_the_books_loop_trains_it_too(seed):
    """`train_s2s_ch9` knows nothing of the family but its interface."""
    batch = random_batch(seed)
    model = build_model(ModelConfig(8, 8, 2, bidirectional=True, attention='additive'), 20, 20)
    losses = [
        metric[0] / metric[1]
        for _, metric, _ in s2s_epochs_ch9(model, [tuple(batch)], 0.02, 20, CTX)
    ]
    assert losses[-1] < losses[0]


LEARNERS = {
    'rnn': {'cell': 'rnn', 'masked': True},
    'gru': {'cell': 'gru', 'masked': True},
    'lstm': {'masked': True},
    "the chapter's": {},
    'both directions': {'bidirectional': True},
    'context': {'masked': True, 'context_every_step': True},
    'tied': {'masked': True, 'tied': True},
    'dropout': {'masked': True, 'dropout': 0.1},
    'additive': {'attention': 'additive'},
    'dot': {'attention': 'dot'},
    'general': {'attention': 'general'},
}


@pytest.mark.slow
@pytest.mark.parametrize('task', [copy_pairs, reverse_pairs], ids=['copy', 'reverse'])
@pytest.mark.parametrize('kind', LEARNERS)
def test_each_member_learns_a_toy_task(task, kind):
    """Short random sentences that were kept back come out right, more than half of them."""
    seed_generators(0)
    pairs = task(3000, 4, seed=0)
    *vocabs, arrays = encode_pairs(pairs[200:], 6)
    config = ModelConfig(48, 48, num_layers=2 if kind == 'dropout' else 1, **LEARNERS[kind])
    model = build_model(config, *map(len, vocabs))
    initialize(model, CTX)
    fit(model, Feed(on_host(arrays), 32, 0), num_epochs=50, lr=0.005)
    right = sum(
        predict_s2s_ch9(model, source, *vocabs, 6, CTX) == target for source, target in pairs[:200]
    )
    assert right >= 100
