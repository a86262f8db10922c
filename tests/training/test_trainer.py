"""The trainer: what it refuses, and what it reports when a training goes wrong."""

import dataclasses
import json

import pytest

from d2l_seq2seq import DataConfig, InputError, ModelConfig, RunConfig, TrainingConfig
from d2l_seq2seq._mxnet import npx
from d2l_seq2seq._signals import Interrupted
from d2l_seq2seq.config import resolve_implications
from d2l_seq2seq.data.pipeline import encode_corpus
from d2l_seq2seq.runs.folder import existing_run, new_run
from d2l_seq2seq.training.trainer import Trainer, train

SMALL = RunConfig(
    DataConfig(num_examples=60), ModelConfig(4, 8), TrainingConfig(num_epochs=20, lr=0.01)
)


def train_small(bundled, folder, **settings):
    config = dataclasses.replace(SMALL, training=dataclasses.replace(SMALL.training, **settings))
    with new_run(folder, config) as run_folder:
        data = encode_corpus(config.data, bundled)
        return train(config, data, run_folder, [npx.cpu()])


@pytest.mark.parametrize(
    'settings, message',
    [
        ({'validate': True}, 'validate implies held_out 0.05'),
        ({'early_stopping': 'nll'}, 'early_stopping implies validate'),
        ({'amp': True}, 'amp implies skip_bad_batches'),
    ],
)
def test_a_configuration_with_open_implications_is_refused(bundled, tmp_path, settings, message):
    config = dataclasses.replace(SMALL, training=dataclasses.replace(SMALL.training, **settings))
    assert message in resolve_implications(config)[1]
    with pytest.raises(InputError, match=f'{message}.*Call config.resolve_implications first'):
        train_small(bundled, tmp_path / 'run', **settings)


def test_a_signal_after_a_loss_that_is_not_finite_is_reported(bundled, tmp_path, monkeypatch):
    """The loss is read only when the checkpoint is written, after the signal."""

    def interrupt(self, state):
        self._state = state
        if state.optimizer.num_updates == 5:
            raise Interrupted

    monkeypatch.setattr(Trainer, '_after_update', interrupt)
    message = (
        r'the loss is nan.*There is no checkpoint yet\. Start a new run with --lr below 1e\+38'
    )
    with pytest.raises(InputError, match=message):
        train_small(bundled, tmp_path / 'run', lr=1e38)


def test_the_outcome_has_the_last_epoch(bundled, tmp_path):
    outcome = train_small(bundled, tmp_path / 'run')
    assert (outcome.last.epoch, outcome.exit_code, outcome.notes) == (20, 0, [])
    assert [path.name for path in (tmp_path / 'run' / 'checkpoints').iterdir()]


@pytest.mark.parametrize('schedule', ['linear', 'cosine'])
def test_the_learning_rate_ends_near_zero_after_the_last_epoch(bundled, tmp_path, schedule):
    rates = []
    settings = {'lr_schedule': schedule, 'warmup_updates': 5, 'num_epochs': 10}
    outcome = train_small(bundled, tmp_path / 'run', **settings)
    for line in (tmp_path / 'run' / 'metrics.jsonl').read_text().splitlines():
        rates.append(json.loads(line)['lr'])
    assert outcome.last.lr == rates[-1]
    assert max(rates) <= 0.01 and 0 < rates[-1] < 0.2 * max(rates)
    assert rates[-6:] == sorted(rates[-6:], reverse=True)


def test_a_resumed_decay_ends_with_the_new_number_of_epochs(bundled, tmp_path):
    """Without a time limit the end follows from the settings, not from the checkpoint."""
    settings = {'lr_schedule': 'linear', 'warmup_updates': 5}
    train_small(bundled, tmp_path / 'run', num_epochs=4, **settings)
    config = dataclasses.replace(
        SMALL, training=dataclasses.replace(SMALL.training, num_epochs=8, **settings)
    )
    with existing_run(tmp_path / 'run') as folder:
        data = encode_corpus(config.data, bundled)
        resumed = train(config, data, folder, [npx.cpu()])
    uninterrupted = train_small(bundled, tmp_path / 'other', num_epochs=8, **settings)
    assert resumed.last.lr == uninterrupted.last.lr > 0
