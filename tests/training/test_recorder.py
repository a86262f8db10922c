"""The record of a training's epochs."""

import dataclasses
import json
import sys

import pytest

from d2l_seq2seq import InputError, RunConfig, TrainingConfig
from d2l_seq2seq.engine.fit import EpochMetrics
from d2l_seq2seq.engine.loss_accumulator import LossSums
from d2l_seq2seq.runs.folder import existing_run, new_run
from d2l_seq2seq.training.callbacks import ValidationMetrics
from d2l_seq2seq.training.recorder import Recorder, TensorBoardWriter


def metrics(epoch, nll=2.0, **kwargs):
    return EpochMetrics(epoch, LossSums(10 * nll, nll, 10), None, 1.0, 0.005, **kwargs)


def config(**kwargs):
    return RunConfig(training=TrainingConfig(num_epochs=9, **kwargs))


def test_an_epoch_has_its_validation_in_its_line(tmp_path, capsys):
    with new_run(tmp_path / 'run', config(validate=True)) as folder:
        recorder = Recorder(folder, config(validate=True))
        recorder.add_validation(
            ValidationMetrics(1, LossSums(30.0, 3.0, 10), 12.5, [('go .', 'va !', 'vas-y !')])
        )
        recorder.record(metrics(1))
        recorder.record(metrics(2, num_skipped=3))
        recorder.close()
    first, second = [
        json.loads(line) for line in (tmp_path / 'run' / 'metrics.jsonl').read_text().splitlines()
    ]
    assert first == {
        'epoch': 1,
        'book_loss': 0.2,
        'nll_per_token': 2.0,
        'tokens_per_sec': 10.0,
        'lr': 0.005,
        'valid_nll_per_token': 3.0,
        'valid_bleu': 12.5,
    }
    assert second['skipped_batches'] == 3 and 'valid_bleu' not in second
    printed = capsys.readouterr().out
    assert 'epoch 1: validation nll_per_token 3.000, BLEU 12.5\n  go . => va ! (vas-y !)' in printed
    assert 'epoch 2: skipped 3 batches whose loss or gradient was not finite' in printed


def test_the_picture_goes_on_where_it_was(tmp_path):
    curves = []
    for stop in (False, True):
        path = tmp_path / str(stop)
        with new_run(path, config()) as folder:
            recorder = Recorder(folder, config())
            for epoch in (1, 2, 3, 4):
                recorder.record(metrics(epoch, nll=1 / epoch))
                if stop and epoch == 3:
                    break
            recorder.close()
        if stop:
            with existing_run(path) as folder:
                recorder = Recorder(folder, config())
                for epoch in (2, 3, 4):  # from the checkpoint before
                    recorder.record(metrics(epoch, nll=1 / epoch))
                recorder.close()
        curves.append((recorder.animator.X, recorder.animator.Y))
    assert curves[0] == curves[1] and curves[0][0] == [[1, 2, 3, 4]]
    assert (tmp_path / 'True/loss.svg').read_bytes() == (tmp_path / 'False/loss.svg').read_bytes()


def write_epochs(path, epochs):
    (path / 'metrics.jsonl').write_text(
        ''.join(
            json.dumps({'epoch': epoch, 'book_loss': 0.5, 'nll_per_token': 1.5}) + '\n'
            for epoch in epochs
        )
    )


def test_a_record_with_gaps_is_reported_and_continued(tmp_path, caplog):
    with new_run(tmp_path / 'run', config()) as folder:
        pass
    write_epochs(folder.path, [2])
    with existing_run(folder.path) as folder:
        recorder = Recorder(folder, config(), epoch=3)
        for epoch in (4, 5):
            recorder.record(metrics(epoch))
    assert [record.getMessage() for record in caplog.records] == [
        f'{folder.path}/metrics.jsonl: epochs 1, 3 are missing, of the 3 that are done; the record '
        'and its plot remain incomplete'
    ]
    assert [row['epoch'] for row in folder.read_metrics()] == [2, 4, 5]
    assert recorder.animator.X == [[2, 4, 5]]


@pytest.mark.parametrize('epochs, message', [([2, 1], 'in order'), ([1, 2, 5], 'epoch 3 next')])
def test_a_record_that_contradicts_the_checkpoint_is_refused(tmp_path, epochs, message):
    with new_run(tmp_path / 'run', config()) as folder:
        pass
    write_epochs(folder.path, epochs)
    message = f'{message}.*or remove it to continue without'
    with pytest.raises(InputError, match=message), existing_run(folder.path) as folder:
        Recorder(folder, config(), epoch=2)
    (folder.path / 'metrics.jsonl').unlink()  # as the message says
    with existing_run(folder.path) as folder:
        Recorder(folder, config(), epoch=2).record(metrics(3))
    assert [row['epoch'] for row in folder.read_metrics()] == [3]


def test_a_validated_run_with_words_for_numbers_is_refused(tmp_path):
    with new_run(tmp_path / 'run', config(validate=True)) as folder:
        Recorder(folder, config(validate=True)).record(metrics(1))
    path = folder.path / 'metrics.jsonl'
    path.write_text(path.read_text().replace('}', ', "valid_nll_per_token": "x"}'))
    with pytest.raises(InputError, match="valid_nll_per_token: 'x'"), existing_run(folder.path):
        pass


def test_tensorboard_reads_what_is_written(tmp_path):
    from tensorboardX.proto.event_pb2 import Event

    with new_run(tmp_path / 'run', config(tensorboard=True)) as folder:
        recorder = Recorder(folder, config(tensorboard=True))
        for epoch in (1, 2):
            recorder.record(metrics(epoch, nll=epoch))
        recorder.close()
    (file,) = (tmp_path / 'run' / 'tensorboard').iterdir()
    data, scalars = file.read_bytes(), []
    while data:  # length (8 bytes), its checksum (4), the event, its checksum (4)
        length = int.from_bytes(data[:8], 'little')
        event = Event.FromString(data[12 : 12 + length])
        scalars += [(value.tag, event.step, value.simple_value) for value in event.summary.value]
        data = data[16 + length :]
    assert [(step, value) for tag, step, value in scalars if tag == 'nll_per_token'] == [
        (1, 1.0),
        (2, 2.0),
    ]


def test_a_missing_tensorboardx_is_reported_with_the_command_that_installs_it(
    tmp_path, monkeypatch
):
    monkeypatch.setitem(sys.modules, 'tensorboardX.proto.event_pb2', None)  # importing it fails
    settings = dataclasses.replace(config(), training=TrainingConfig(tensorboard=True))
    message = r"pip install 'd2l-seq2seq\[tensorboard\]'"
    with new_run(tmp_path / 'run', config()) as folder, pytest.raises(InputError, match=message):
        Recorder(folder, settings)


def test_training_continues_if_tensorboard_events_cannot_be_written(tmp_path, monkeypatch, caplog):
    def full_disk(self, values, epoch):
        raise OSError(28, 'No space left on device')

    monkeypatch.setattr(TensorBoardWriter, 'add', full_disk)
    with new_run(tmp_path / 'run', config(tensorboard=True)) as folder:
        recorder = Recorder(folder, config(tensorboard=True))
        for epoch in (1, 2):
            recorder.record(metrics(epoch))
        recorder.close()
        (folder.path / 'tensorboard').rename(folder.path / 'other')
        (folder.path / 'tensorboard').write_text('mine')
        with pytest.raises(InputError, match='tensorboard: cannot be written to'):
            Recorder(folder, config(tensorboard=True))
    assert len(folder.read_metrics()) == 2
    assert [record.getMessage() for record in caplog.records] == [
        'TensorBoard events are no longer written (No space left on device)'
    ]
