"""Teacher forcing, feedback, scheduled sampling and search against TensorFlow Addons' samplers.

The OpenGenus article trains with one of these samplers and mentions the others.  Both sides have
the same weights and the same tokens, and must return the same logits, losses, gradients and tokens.
"""

import os
import random
import subprocess
import sys

import numpy as onp
import pytest

from d2l_seq2seq import (
    ModelConfig,
    ModelStepper,
    ScheduledSampling,
    SearchRules,
    SteppedEncoderDecoder,
    build_model,
    feedback,
    greedy_search,
    initialize,
    sample,
    teacher_forcing,
)
from d2l_seq2seq._mxnet import autograd, gluon, mx, np, npx, seed_generators

from conftest import ROOT

sys.path.insert(0, str(ROOT / 'benchmarks'))
import environments  # noqa: E402

pytestmark = [pytest.mark.peer, pytest.mark.slow]

VOCAB_SIZE, EMBED_SIZE, NUM_HIDDENS = 30, 6, 8
BATCH_SIZE, NUM_SRC_STEPS, NUM_STEPS = 12, 5, 9
BOS_ID = 1
NUM_SAMPLES = 4000
CTX = npx.cpu()


@pytest.fixture(scope='module', params=['lstm', 'gru'])
def comparison(request, tmp_path_factory):
    """Return a model, the token ids, and what TensorFlow Addons computed with its weights."""
    try:
        python = environments.python_of('tensorflow-2.13.1')
    except environments.NotAvailable as reason:
        pytest.skip(str(reason))
    seed = int(os.environ.get('MXNET_TEST_SEED', random.randrange(2**31)))
    print(f'MXNET_TEST_SEED={seed}')  # pytest shows it if a test fails
    seed_generators(seed)
    config = ModelConfig(EMBED_SIZE, NUM_HIDDENS, 1, cell=request.param, share_embedding=True)
    model = build_model(config, VOCAB_SIZE, VOCAB_SIZE)
    initialize(model, CTX, mx.init.Uniform(1))
    for parameter in model.collect_params('.*bias').values():
        parameter.set_data(np.random.uniform(-1, 1, parameter.shape))
    src, tgt = (
        onp.random.randint(4, VOCAB_SIZE, (BATCH_SIZE, num_steps)).astype('int32')
        for num_steps in (NUM_SRC_STEPS, NUM_STEPS)
    )
    dec_X = onp.concatenate([onp.full((BATCH_SIZE, 1), BOS_ID, 'int32'), tgt[:, :-1]], axis=1)
    arrays = {'src': src, 'dec_X': dec_X, 'labels': tgt}
    # The end token is one that the model predicts, so that some of its translations end.
    arrays['eos_id'] = train_with(model, arrays, feedback)[0].argmax(-1)[0, NUM_STEPS // 2]
    folder = tmp_path_factory.mktemp('samplers')
    onp.savez(
        folder / 'job.npz',
        cell=request.param,
        seed=seed,
        num_samples=NUM_SAMPLES,
        **arrays,
        **keras_weights(model, request.param),
    )
    script = ROOT / 'tests' / 'peer_tensorflow_addons.py'
    subprocess.run([python, script, folder / 'job.npz', folder / 'result.npz'], check=True)
    return model, arrays, dict(onp.load(folder / 'result.npz'))


def keras_weights(model, cell):
    """Return the weights by name in Keras's layout.

    Keras's kernels are transposed.  The order of the gates is the same for an LSTM, whose biases
    Keras adds up.  For a GRU, Keras keeps both biases and has the update gate first.
    """

    def gates(weight):
        array = weight.data().asnumpy()
        if cell == 'lstm':
            return array
        reset, update, new = onp.split(array, 3)
        return onp.concatenate([update, reset, new])

    weights = {'embedding': model.encoder.embedding.weight.data().asnumpy()}
    for name, layer in (('encoder', model.encoder.rnn), ('cell', model.decoder.rnn)):
        weights[f'{name}.kernel'] = gates(layer.l0_i2h_weight).T
        weights[f'{name}.recurrent_kernel'] = gates(layer.l0_h2h_weight).T
        biases = gates(layer.l0_i2h_bias), gates(layer.l0_h2h_bias)
        weights[f'{name}.bias'] = sum(biases) if cell == 'lstm' else onp.stack(biases)
    weights['dense.kernel'] = model.decoder.dense.weight.data().asnumpy().T
    weights['dense.bias'] = model.decoder.dense.bias.data().asnumpy()
    return weights


def train_with(model, arrays, chooser):
    """Return the logits, the losses and the gradient of the dense layer's kernel."""
    if chooser is not None:
        model = SteppedEncoderDecoder(model.encoder, model.decoder, chooser)
    src, dec_X, labels = (
        np.array(arrays[name], dtype='float32') for name in ('src', 'dec_X', 'labels')
    )
    with autograd.record():
        logits, _ = model(src, dec_X)
        losses = gluon.loss.SoftmaxCELoss(axis=-1, batch_axis=None)(
            logits.reshape(-1, VOCAB_SIZE), labels.reshape(-1)
        )
        loss = losses.sum()
    loss.backward()
    gradient = model.decoder.dense.weight.grad().asnumpy().T
    return logits.asnumpy(), losses.asnumpy().reshape(dec_X.shape), gradient


def assert_close(actual, expected):
    onp.testing.assert_allclose(actual, expected, rtol=2e-4, atol=2e-5)


def search_with(model, arrays, rules, search=greedy_search, **options):
    """Return the token ids of the translations of all sentences."""
    lengths = onp.full(BATCH_SIZE, NUM_SRC_STEPS, 'float32')
    inputs = arrays['src'].astype('float32'), lengths
    (batch,) = search(ModelStepper(model), [inputs], rules, **options)
    return [hypotheses[0].token_ids for hypotheses in batch]


@pytest.mark.parametrize('chooser', [None, teacher_forcing, ScheduledSampling(1)])
def test_training_sampler_is_teacher_forcing(comparison, chooser):
    model, arrays, theirs = comparison
    logits, losses, gradient = train_with(model, arrays, chooser)
    assert_close(logits, theirs['TrainingSampler.logits'])
    assert_close(losses, theirs['TrainingSampler.losses'])
    assert_close(gradient, theirs['TrainingSampler.gradient'])


@pytest.mark.parametrize('chooser', [feedback, ScheduledSampling(0)])
def test_greedy_sampler_in_training_is_feedback(comparison, chooser):
    model, arrays, theirs = comparison
    logits, losses, gradient = train_with(model, arrays, chooser)
    assert (logits.argmax(-1) == theirs['GreedyEmbeddingSampler.ids']).all()
    assert_close(logits, theirs['GreedyEmbeddingSampler.logits'])
    assert_close(losses, theirs['GreedyEmbeddingSampler.losses'])
    assert_close(gradient, theirs['GreedyEmbeddingSampler.gradient'])


def test_greedy_sampler_at_inference_is_greedy_search(comparison):
    model, arrays, theirs = comparison
    eos_id = arrays['eos_id']
    translations = search_with(model, arrays, SearchRules(BOS_ID, eos_id, NUM_STEPS))
    assert any(len(translation) < NUM_STEPS for translation in translations)
    ids, lengths = (theirs[f'GreedyEmbeddingSampler-eos.{name}'] for name in ('ids', 'lengths'))
    for translation, row, length in zip(translations, ids, lengths):
        expected = row[:length].tolist()  # with <eos>, if there is one
        assert translation == [token for token in expected if token != eos_id]


@pytest.mark.parametrize('probability, sampler', [('0', 'TrainingSampler'), ('1', None)])
def test_scheduled_sampler_is_scheduled_sampling_at_the_limits(comparison, probability, sampler):
    """It never chooses an id of its own with a probability of 0, and always with 1."""
    _, _, theirs = comparison
    name = f'ScheduledEmbeddingTrainingSampler-{probability}'
    if sampler is not None:
        assert (theirs[f'{name}.ids'] == -1).all()
        assert_close(theirs[f'{name}.logits'], theirs[f'{sampler}.logits'])
    else:
        assert (theirs[f'{name}.ids'] >= 0).all()


@pytest.mark.parametrize('probability', ['0', '0.5', '1'])
def test_scheduled_sampler_with_its_choices_replayed(comparison, probability):
    """Its own id is drawn and ours is the most likely one: a chooser replays what it has drawn."""
    model, arrays, theirs = comparison
    drawn = theirs[f'ScheduledEmbeddingTrainingSampler-{probability}.ids']
    steps = iter(range(NUM_STEPS))

    def replay(F, target, predicted):
        ids = np.array(drawn[:, next(steps), None], dtype='float32')
        return np.where(ids >= 0, ids, target)

    logits, _, _ = train_with(model, arrays, replay)
    assert_close(logits, theirs[f'ScheduledEmbeddingTrainingSampler-{probability}.logits'])


def test_custom_sampler_is_a_chooser_of_your_own(comparison):
    model, arrays, theirs = comparison
    steps = iter(range(1, NUM_STEPS))

    def alternate(F, target, predicted):
        return target if next(steps) % 2 == 0 else predicted

    logits, _, _ = train_with(model, arrays, alternate)
    assert_close(logits, theirs['CustomSampler.logits'])


def test_inference_sampler_with_argmax_is_feedback(comparison):
    model, arrays, theirs = comparison
    logits, _, _ = train_with(model, arrays, feedback)
    assert_close(logits, theirs['InferenceSampler.logits'])


def test_sampling_at_a_low_temperature_is_greedy(comparison):
    model, arrays, theirs = comparison
    rules = SearchRules(BOS_ID, -1, NUM_STEPS)  # no end token, so that all have the same length
    cold = search_with(model, arrays, rules, sample, temperature=1e-4)
    assert cold == search_with(model, arrays, rules)
    assert cold == theirs['SampleEmbeddingSampler-cold.ids'].tolist()


def test_samples_have_the_probabilities_of_the_model(comparison):
    model, arrays, theirs = comparison
    logits, _, _ = train_with(model, arrays, None)
    probabilities = npx.softmax(np.array(logits[0, 0])).asnumpy()
    inputs = arrays['src'][:1].astype('float32'), onp.full(1, NUM_SRC_STEPS, 'float32')
    rules = SearchRules(BOS_ID, -1, 1)
    ((hypotheses,),) = sample(ModelStepper(model), [inputs], rules, num_samples=NUM_SAMPLES)
    ours = onp.array([hypothesis.token_ids[0] for hypothesis in hypotheses])
    for ids in (ours, theirs['SampleEmbeddingSampler.first_ids']):
        assert len(ids) == NUM_SAMPLES
        shares = onp.bincount(ids, minlength=VOCAB_SIZE) / NUM_SAMPLES
        deviations = (probabilities * (1 - probabilities) / NUM_SAMPLES) ** 0.5
        assert (abs(shares - probabilities) < 6 * deviations + 1e-3).all()
