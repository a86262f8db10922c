"""Searches over models, as graphs and operator by operator, against the models themselves."""

import itertools

import numpy as onp
import pytest

import d2l_seq2seq
from d2l_seq2seq import (
    Decoder,
    Encoder,
    EncoderDecoder,
    ModelConfig,
    ModelStepper,
    SearchRules,
    Stepper,
    beam_search,
    build_model,
    greedy_search,
    initialize,
    predict_s2s_ch9,
    sample,
)
from d2l_seq2seq._mxnet import autograd, mx, nn, np, npx, rnn
from d2l_seq2seq.data.tokenizers import chapter_vocab
from d2l_seq2seq.models.decoders import AttentionDecoder

VOCAB = chapter_vocab([['a', 'b', 'c', 'd', 'e', '.']], min_freq=1)
BOS, EOS = VOCAB['<bos>'], VOCAB['<eos>']
NUM_STEPS, CTX = 7, npx.cpu()
RULES = SearchRules(BOS, EOS, NUM_STEPS)
MEMBERS = {
    'chapter': {},
    'gru': {'cell': 'gru'},
    'dropout': {'dropout': 0.3},
    'both directions': {'bidirectional': True},
    'context': {'masked': True, 'context_every_step': True},
    'mean context': {'context': 'mean'},
    'max context': {'bidirectional': True, 'context': 'max'},
    'additive': {'masked': True, 'attention': 'additive'},
    'dot': {'masked': True, 'attention': 'dot', 'cell': 'rnn'},
    'general': {'bidirectional': True, 'attention': 'general'},
    'input feeding': {'bidirectional': True, 'attention': 'general', 'input_feeding': True},
    'shared and tied': {'share_embedding': True, 'tied': True, 'masked': True},
}
SEARCHES = {
    'greedy': greedy_search,
    'beam': lambda *args: beam_search(*args, beam_size=3, n_best=3),
    'sample': lambda *args: sample(*args, num_samples=2),
}


def make_model(ctx=CTX, **settings):
    model = build_model(ModelConfig(8, 8, 2, **settings), len(VOCAB), len(VOCAB))
    initialize(model, ctx)
    for parameter in model.collect_params().values():
        # With larger weights, translations differ from each other and end.
        parameter.set_data(parameter.data() * 3)
    return model


@pytest.fixture(params=MEMBERS)
def model(request, seed):
    return make_model(**MEMBERS[request.param])


def random_batch(seed, count=9):
    rng = onp.random.RandomState(seed)
    lengths = rng.randint(1, NUM_STEPS + 1, count)
    src = rng.randint(4, len(VOCAB), (count, NUM_STEPS))
    src[onp.arange(NUM_STEPS) >= lengths[:, None]] = VOCAB['<pad>']
    return src.astype('float32'), lengths.astype('float32')


class EagerStepper(ModelStepper):
    """A `ModelStepper` that runs operator by operator."""

    def run(self, function, static, arrays):
        return Stepper.run(self, function, static, arrays)


def with_eos(hypothesis):
    return [*hypothesis.token_ids, *[EOS] * hypothesis.is_finished]


def best_token_ids(batch_hypotheses):
    return [hypotheses[0].token_ids for hypotheses in batch_hypotheses]


@pytest.mark.parametrize('name', SEARCHES)
def test_graphs_equal_operators(model, name, seed):
    batch, search = random_batch(seed), SEARCHES[name]
    compiled, eager = (
        next(search(stepper(model), [batch], RULES)) for stepper in (ModelStepper, EagerStepper)
    )
    for hypotheses, expected in zip(compiled, eager):
        for hypothesis, other in itertools.zip_longest(hypotheses, expected):
            assert hypothesis.token_ids == other.token_ids
            assert hypothesis.score == pytest.approx(other.score, abs=1e-4)


def test_greedy_search_is_the_chapters_prediction(model, seed):
    assert_equal_to_chapters_prediction(model, random_batch(seed))


def assert_equal_to_chapters_prediction(model, batch):
    results = next(greedy_search(ModelStepper(model), [batch], RULES))
    src, lengths = batch
    for ids, length, (hypothesis,) in zip(src.astype(int).tolist(), lengths.astype(int), results):
        sentence = ' '.join(VOCAB.to_tokens(ids[:length]))
        assert ' '.join(VOCAB.to_tokens(hypothesis.token_ids)) == predict_s2s_ch9(
            model, sentence, VOCAB, VOCAB, NUM_STEPS, CTX
        )


@pytest.mark.parametrize('name', SEARCHES)
def test_scores_and_attention_are_those_of_teacher_forcing(model, name, seed):
    src, lengths = random_batch(seed)
    batches = [(src[:4], lengths[:4]), (src[4:], lengths[4:])]
    results = itertools.chain(*SEARCHES[name](ModelStepper(model), batches, RULES))
    for ids, length, hypotheses in zip(src, lengths, results):
        for hypothesis in hypotheses:
            tokens = with_eos(hypothesis)
            X, valid_len = np.array(ids[None]), np.array([length])
            tgt = np.array([[BOS, *tokens[:-1]]])
            state = model.decoder.init_state(model.encoder(X, valid_len), valid_len)
            logits = model.decoder(tgt, state)[0][0]
            expected = npx.pick(npx.log_softmax(logits), np.array(tokens)).asnumpy()
            onp.testing.assert_allclose(hypothesis.log_probs, expected, rtol=1e-4, atol=1e-4)
            if isinstance(model.decoder, AttentionDecoder):
                weights = model.decoder.attend(tgt, state)[2][0].asnumpy()
                onp.testing.assert_allclose(hypothesis.attention_weights, weights, atol=1e-4)
            else:
                assert hypothesis.attention_weights is None


def test_changed_weights_take_effect(seed):
    model, batch = make_model(), random_batch(seed)
    stepper = ModelStepper(model)
    before = next(greedy_search(stepper, [batch], RULES))
    for parameter in model.collect_params().values():
        parameter.set_data(parameter.data() * -1)
    changed = next(greedy_search(stepper, [batch], RULES))
    assert [best.score for (best,) in changed] != [best.score for (best,) in before]
    fresh = next(greedy_search(ModelStepper(model), [batch], RULES))
    assert best_token_ids(changed) == best_token_ids(fresh)
    initialize(model, CTX)  # binds the parameters to new arrays
    changed = next(greedy_search(stepper, [batch], RULES))
    fresh = next(greedy_search(EagerStepper(model), [batch], RULES))
    assert best_token_ids(changed) == best_token_ids(fresh)


def test_a_model_in_training(seed):
    """Searches between two updates use the current weights and do not disturb the trainer."""
    model, batch = make_model(), random_batch(seed)
    trainer = mx.gluon.Trainer(model.collect_params(), 'sgd', {'learning_rate': 0.5})
    stepper, scores = ModelStepper(model), []
    src, lengths = map(np.array, batch)
    for _ in range(3):
        with autograd.record():
            loss = model(src, src, lengths, lengths)[0].sum()
        loss.backward()
        trainer.step(1)
        scores.append(next(greedy_search(stepper, [batch], RULES))[0][0].score)
    assert len(set(scores)) == 3


def test_another_context(seed):
    model, batch = make_model(mx.cpu(1), masked=True, attention='general'), random_batch(seed)
    stepper = ModelStepper(model)
    assert stepper.upload(batch)[0].ctx == mx.cpu(1)
    assert len(next(beam_search(stepper, [batch], RULES, beam_size=2))) == len(batch[0])


class PlainEncoder(Encoder):
    """Blocks that cannot be hybridized, and a state whose layout is not that of the package."""

    def __init__(self):
        super().__init__()
        self.embedding, self.rnn = nn.Embedding(len(VOCAB), 8), rnn.GRU(8, layout='NTC')

    def forward(self, X, *args):
        outputs, state = self.rnn(self.embedding(X), self.rnn.begin_state(X.shape[0]))
        return outputs.swapaxes(0, 1), state


class PlainDecoder(Decoder):
    def __init__(self):
        super().__init__()
        self.embedding, self.rnn = nn.Embedding(len(VOCAB), 8), rnn.GRU(8, layout='NTC')
        self.dense = nn.Dense(len(VOCAB), flatten=False)

    def init_state(self, enc_outputs, *args):
        return enc_outputs[1][0][0]  # (batch_size, num_hiddens)

    def forward(self, X, state):
        outputs, (state,) = self.rnn(self.embedding(X), [state.reshape(1, *state.shape)])
        return self.dense(outputs), state[0]


class ReorderingDecoder(PlainDecoder):
    """The decoder above, which reorders its state itself."""

    def reorder(self, state, rows):
        return state[rows.astype('int32')]


class ValueDecoder(PlainDecoder):
    """The decoder above, which cannot be traced."""

    def forward(self, X, state):
        logits, state = super().forward(X, state)
        return logits * (2 if state.sum().item() > 0 else 1), state


def token_ids_of_all(search, model, batch, stepper=ModelStepper):
    return [
        [hypothesis.token_ids for hypothesis in hypotheses]
        for hypotheses in next(search(stepper(model), [batch], RULES))
    ]


@pytest.mark.parametrize('decoder', [PlainDecoder, ValueDecoder])
def test_a_custom_model(decoder, seed):
    """The batch is on the first axis of its state."""
    model, batch = EncoderDecoder(PlainEncoder(), decoder()), random_batch(seed)
    initialize(model, CTX, mx.init.Uniform(1))
    if decoder is PlainDecoder:  # the other one depends on the other sentences of the batch
        assert_equal_to_chapters_prediction(model, batch)
    search = SEARCHES['beam']
    graphs = token_ids_of_all(search, model, batch)
    assert graphs == token_ids_of_all(search, model, batch, EagerStepper)
    assert len(set(map(str, graphs))) > 1


def test_the_batch_axes_of_a_state_are_found(seed):
    model, batch = EncoderDecoder(PlainEncoder(), ReorderingDecoder()), random_batch(seed)
    other = EncoderDecoder(model.encoder, PlainDecoder())
    initialize(other, CTX)
    initialize(model, CTX, mx.init.Uniform(1))
    for name, parameter in other.decoder._collect_params_with_prefix().items():
        parameter.set_data(model.decoder._collect_params_with_prefix()[name].data())
    results = [
        next(beam_search(EagerStepper(m), [batch], RULES, beam_size=3)) for m in (model, other)
    ]
    assert best_token_ids(results[0]) == best_token_ids(results[1])


@pytest.mark.parametrize('name', SEARCHES)
@pytest.mark.parametrize('decoder', ['Seq2SeqDecoder', 'Seq2SeqAttentionDecoder'])
def test_the_blocks_of_the_book_find_what_those_of_the_package_find(decoder, name, seed):
    """The book's blocks are recorded, and the package's are traced with symbols."""
    sizes, batch, models = (len(VOCAB), 8, 8, 2), random_batch(seed), []
    for blocks in (d2l_seq2seq.book, d2l_seq2seq):
        model = EncoderDecoder(blocks.Seq2SeqEncoder(*sizes), getattr(blocks, decoder)(*sizes))
        initialize(model, CTX, mx.init.Uniform(1))
        models.append(model)
    weights = {
        name.replace('attention_cell.', 'attention.'): parameter.data()
        for name, parameter in models[0]._collect_params_with_prefix().items()
    }
    for parameter_name, parameter in models[1]._collect_params_with_prefix().items():
        parameter.set_data(weights[parameter_name])
    of_book, of_package = (token_ids_of_all(SEARCHES[name], model, batch) for model in models)
    assert of_book == of_package


def test_a_transformer(seed):
    """Its state grows with each step, and all of its arrays have the batch on the first axis."""
    model = EncoderDecoder(
        d2l_seq2seq.book.TransformerEncoder(len(VOCAB), 8, 8, 2, 2, 0),
        d2l_seq2seq.book.TransformerDecoder(len(VOCAB), 8, 8, 2, 2, 0),
    )
    src, lengths = random_batch(seed)
    batch = (
        src,
        onp.full_like(lengths, NUM_STEPS),
    )  # other lengths are mixed up by the chapter's code
    initialize(model, CTX, mx.init.Uniform(1))
    assert_equal_to_chapters_prediction(model, batch)
    graphs = token_ids_of_all(SEARCHES['beam'], model, batch)
    assert graphs == token_ids_of_all(SEARCHES['beam'], model, batch, EagerStepper)


def test_a_frozen_embedding(seed):
    model, batch = make_model(), random_batch(seed)
    model.encoder.embedding.weight.grad_req = 'null'
    assert len(next(beam_search(ModelStepper(model), [batch], RULES, beam_size=2))) == 9
