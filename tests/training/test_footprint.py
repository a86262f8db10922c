"""Sizes that cannot work are refused before anything is allocated."""

import numpy as onp
import pytest

from d2l_seq2seq import DataConfig, InputError, ModelConfig, RunConfig, _runtime, build_model, train
from d2l_seq2seq.data.encoding import EncodedCorpus
from d2l_seq2seq.data.pipeline import TrainingData
from d2l_seq2seq.engine.tracing import count_values
from d2l_seq2seq.training import footprint


def data(num_sentences=100, num_steps=10, vocab_size=50):
    ids = onp.zeros((num_sentences, num_steps), 'int32')
    lengths = onp.full(num_sentences, num_steps)
    vocab = range(vocab_size)  # only its size counts
    return TrainingData(None, None, vocab, vocab, EncodedCorpus(ids, lengths, ids, lengths), None)


@pytest.fixture
def machine_of(monkeypatch):
    """Return a function that sets the memory of the machine, in bytes."""

    def set_memory(num_bytes):
        text = f'MemAvailable: {num_bytes // 1024} kB'
        monkeypatch.setattr(
            _runtime, '_read_text', lambda path: text if path == '/proc/meminfo' else ''
        )

    return set_memory


@pytest.mark.parametrize(
    'model, num_steps, message',
    [
        ({'num_hiddens': 3000}, 10, 'training needs about .* GB .* Reduce --num-hiddens'),
        ({'embed_size': 3000}, 500, 'training needs about .* GB .* Reduce --batch-size'),
        ({'attention': 'additive'}, 500, 'training needs about .* GB .* Reduce --batch-size'),
        ({'num_hiddens': 40_000}, 10, 'num_hiddens: expected recurrent layers of at most 2,147,'),
        ({'num_layers': 10, 'encoder_hiddens': 9000}, 10, 'of at most 2,147'),
        ({'num_hiddens': 65_536, 'num_layers': 10, 'bidirectional': True}, 10, 'of at most 2,147'),
    ],
    ids=str,
)
def test_too_large_a_model_or_batch_is_one_line(machine_of, model, num_steps, message):
    machine_of(600_000_000)
    with pytest.raises(InputError, match=message) as error:
        footprint.require_memory_for_training(
            RunConfig(DataConfig(), ModelConfig(**model)), data(num_steps=num_steps)
        )
    assert '\n' not in str(error.value)


def test_more_weights_than_an_array_has_are_refused(machine_of):
    machine_of(10**15)
    with pytest.raises(InputError, match='at most 2,147,483,647 logits of a batch'):
        footprint.require_memory_for_training(RunConfig(), data(vocab_size=2**24, num_steps=100))


def test_the_books_run_needs_little(machine_of):
    machine_of(1)  # which small needs are not compared with
    footprint.require_memory_for_training(RunConfig(), data(1000))


def test_batches_are_no_larger_than_the_corpus(machine_of):
    machine_of(600_000_000)
    config = RunConfig(DataConfig(batch_size=10**9))
    footprint.require_memory_for_training(config, data())


@pytest.mark.parametrize(
    'settings',
    [{}, {'attention': 'general', 'bidirectional': True}, {'context': 'mean', 'cell': 'gru'}],
    ids=str,
)
def test_the_number_of_values_is_that_of_the_graph(settings):
    model = build_model(ModelConfig(8, 8, 2, **settings), 20, 20)
    for batch_size, num_src_steps, num_tgt_steps in ((5, 7, 9), (3, 4, 3)):
        expected = count_values(model, (batch_size, num_src_steps), (batch_size, num_tgt_steps))
        assert expected == footprint._num_values(model, batch_size, num_src_steps, num_tgt_steps)


def test_a_refused_training_leaves_no_folder(tmp_path, machine_of):
    machine_of(600_000_000)
    run = tmp_path / 'run'
    with pytest.raises(InputError, match='needs about'):
        train.main(['--corpus', 'bundled', '--num-hiddens', '4000', '--out', str(run)])
    assert not run.exists()


@pytest.mark.parametrize('attention', ['none', 'additive'])
def test_the_estimate_does_not_change_the_training(attention, tmp_path, monkeypatch):
    """Building another model before it must not draw numbers, or change their order."""
    arguments = ['--corpus', 'bundled', '--num-examples', '60', '--num-epochs', '2']
    arguments += ['--num-hiddens', '8', '--embed-size', '8', '--attention', attention]
    train.main([*arguments, '--out', str(tmp_path / 'with')])
    monkeypatch.setattr(footprint, 'require_memory_for_training', lambda config, data: None)
    train.main([*arguments, '--out', str(tmp_path / 'without')])
    with_estimate, without = (
        (tmp_path / name / 'checkpoints' / 'epoch-2' / 'weights.npz').read_bytes()
        for name in ('with', 'without')
    )
    assert with_estimate == without
