"""Run folders: locking, the checkpoints that are kept, and the one that is loaded."""

import json
import logging
import shutil

import pytest

from d2l_seq2seq import InputError, ModelConfig, Run, RunConfig, Vocab, build_model, initialize
from d2l_seq2seq._mxnet import np, npx
from d2l_seq2seq.models.factory import named_parameters
from d2l_seq2seq.runs import atomic
from d2l_seq2seq.runs.checkpoint import Progress
from d2l_seq2seq.runs.folder import existing_run, new_run, save_run
from d2l_seq2seq.runs.layout import checkpoint_position, list_checkpoints, read_run_config
from d2l_seq2seq.runs.loading import best_checkpoint, completion_reason, load_run

CTX = npx.cpu()
CONFIG = RunConfig(model=ModelConfig(4, 6, 1))
VOCAB = Vocab([['go', '.']])


@pytest.fixture
def run(seed):
    model = build_model(CONFIG.model, len(VOCAB), len(VOCAB))
    initialize(model, CTX)
    return Run(CONFIG, VOCAB, VOCAB, model)


def save(folder, run, epoch, batch=0, keep=3, best=None, **values):
    """Write a checkpoint whose dense bias is the number of its epoch."""
    run.model.decoder.dense.bias.set_data(np.full(len(VOCAB), epoch))
    moments = {
        name: parameter.data().asnumpy() for name, parameter in named_parameters(run.model).items()
    }
    hooks = {} if best is None else {'best': {'epoch': best}}
    values = {'epoch': epoch, 'hooks': hooks, 'ended': None, **values}
    folder.save_checkpoint(
        run,
        Progress({'mean': moments}, values),
        epoch,
        batch,
        keep,
        None if best is None else f'epoch-{best}',
    )


def row(epoch):
    return {'epoch': epoch, 'book_loss': 0.5, 'nll_per_token': 1.5}


def names(path):
    return [checkpoint.name for checkpoint in list_checkpoints(path)]


def visible(folder):
    return sorted(str(path.relative_to(folder)) for path in folder.rglob('*'))


def epoch_of(run):
    return run.model.decoder.dense.bias.data().asnumpy()[0]


def test_the_latest_and_the_best_are_kept(run, tmp_path):
    with new_run(tmp_path / 'run', CONFIG) as folder:
        for epoch in range(8, 13):
            save(folder, run, epoch, best=9 if epoch > 8 else None)
        save(folder, run, 12, batch=7, best=9)
    assert names(tmp_path / 'run') == ['epoch-9', 'epoch-11', 'epoch-12', 'epoch-12-batch-7']
    assert best_checkpoint(tmp_path / 'run').name == 'epoch-9'
    assert epoch_of(load_run(tmp_path / 'run', CTX)) == 9
    assert epoch_of(load_run(tmp_path / 'run' / 'checkpoints' / 'epoch-11', CTX)) == 11
    assert sorted(path.name for path in (tmp_path / 'run' / 'checkpoints').iterdir()) == sorted(
        names(tmp_path / 'run')
    )


def test_an_earlier_checkpoint_is_loaded_with_a_warning(run, tmp_path, caplog):
    with new_run(tmp_path / 'run', CONFIG) as folder:
        for epoch in (1, 2, 3):
            save(folder, run, epoch)
    checkpoints = list_checkpoints(tmp_path / 'run')
    for checkpoint in checkpoints[1:]:
        (checkpoint / 'weights.npz').write_bytes(b'damaged')
    with caplog.at_level(logging.WARNING):
        assert epoch_of(load_run(tmp_path / 'run', CTX)) == 1
    assert [record.getMessage().split(': ')[0] for record in caplog.records] == [
        str(checkpoints[number] / 'weights.npz') for number in (2, 1)
    ]
    assert all(
        record.getMessage().endswith(f'(using {checkpoints[0]} instead)')
        for record in caplog.records
    )
    (checkpoints[0] / 'config.json').unlink()
    with pytest.raises(InputError, match='epoch-3/weights.npz: expected the original file'):
        load_run(tmp_path / 'run', CTX)


def test_damaged_settings_are_read_from_a_checkpoint(run, tmp_path, caplog):
    save_run(tmp_path / 'run', run)
    config = tmp_path / 'run' / 'config.json'
    for damaged in ('{', '{"model": {"num_layers": 99}}'):
        config.write_text(damaged)
        assert read_run_config(tmp_path / 'run') == CONFIG
        assert caplog.records[-1].getMessage().endswith('epoch-0 instead)')
    (tmp_path / 'run' / 'checkpoints' / 'epoch-0' / 'config.json').unlink()
    with pytest.raises(InputError, match='run/config.json: .*num_layers: expected a whole number'):
        read_run_config(tmp_path / 'run')


def test_the_error_says_why_a_run_cannot_be_loaded(run, tmp_path):
    with pytest.raises(
        InputError, match='not a run folder .no config.json.. Pass the folder that train'
    ):
        load_run(tmp_path / 'nothing', CTX)
    with new_run(tmp_path / 'begun', CONFIG):
        pass
    with pytest.raises(
        InputError,
        match='its first checkpoint. To start it again, type: python .* --resume .*begun',
    ):
        load_run(tmp_path / 'begun', CTX)
    (tmp_path / 'old').mkdir()
    (tmp_path / 'old' / 'weights.npz').write_bytes(b'')
    with pytest.raises(InputError, match='that an earlier version wrote. Train the model again'):
        load_run(tmp_path / 'old', CTX)


def test_a_folder_with_files_is_left_alone(run, tmp_path):
    save_run(tmp_path / 'run', run)
    before = {path: path.read_bytes() for path in (tmp_path / 'run').rglob('*') if path.is_file()}
    with pytest.raises(InputError, match=r'found a run \(up to epoch-0\)\. Choose another folder'):
        save_run(tmp_path / 'run', run)
    assert {path: path.read_bytes() for path in before} == before
    (tmp_path / 'file').write_text('')
    for path in ('file', 'file/run'):
        with pytest.raises(InputError, match='expected a new or empty folder|cannot be created'):
            save_run(tmp_path / path, run)
    (tmp_path / 'mine').mkdir()
    (tmp_path / 'mine' / 'notes.txt').write_text('mine')
    with pytest.raises(InputError, match='found .*notes.txt. Choose another folder with --out'):
        save_run(tmp_path / 'mine', run)
    (tmp_path / 'empty').mkdir()
    save_run(tmp_path / 'empty', run)


def test_one_of_two_processes_gets_the_folder(tmp_path):
    with new_run(tmp_path / 'run', CONFIG):
        for other in (existing_run, lambda path: new_run(path, CONFIG)):
            with pytest.raises(InputError), other(tmp_path / 'run'):
                pass
    with existing_run(tmp_path / 'run'):
        pass


def test_leftovers_of_a_killed_process_are_removed(run, tmp_path):
    with new_run(tmp_path / 'run', CONFIG) as folder:
        save(folder, run, 1)
    checkpoints = tmp_path / 'run' / 'checkpoints'
    shutil.copytree(checkpoints / 'epoch-1', checkpoints / '.epoch-2.part')
    (tmp_path / 'run' / '.config.json.part').write_text('{')
    assert names(tmp_path / 'run') == ['epoch-1']
    with existing_run(tmp_path / 'run'):
        assert [path.name for path in checkpoints.iterdir()] == ['epoch-1']
        assert not (tmp_path / 'run' / '.config.json.part').exists()


def test_a_full_disk_leaves_existing_files_unchanged(run, tmp_path, monkeypatch):
    def full_disk(descriptor):
        raise OSError(28, 'No space left on device')

    with new_run(tmp_path / 'run', CONFIG) as folder:
        folder.append_metrics(1, row(1))
        save(folder, run, 1, keep=1)
        monkeypatch.setattr(atomic.os, 'fsync', full_disk)
        with pytest.raises(
            InputError,
            match=r'a checkpoint cannot be written \(No space left on device\)\. '
            r'The last good checkpoint is .*epoch-1\. Free space',
        ):
            save(folder, run, 2, keep=1)
    assert names(tmp_path / 'run') == ['epoch-1'] and len(folder.read_metrics()) == 1
    assert epoch_of(load_run(tmp_path / 'run', CTX)) == 1


@pytest.mark.parametrize(
    'error', [PermissionError(13, 'Permission denied'), OSError(30, 'Read-only file system')]
)
def test_a_folder_that_cannot_be_written_to(tmp_path, monkeypatch, error):
    def refuse(*args):
        raise error

    with new_run(tmp_path / 'run', CONFIG):
        pass
    before = visible(tmp_path)
    monkeypatch.setattr(atomic.os, 'open', refuse)
    message = rf'cannot be written to \({error.strerror}\)\. Make it writable'
    with pytest.raises(InputError, match=rf'{message}\.$'), existing_run(tmp_path / 'run'):
        pass
    message = f'cannot be created .{error.strerror}.. Choose another folder with --out'
    with pytest.raises(InputError, match=message), new_run(tmp_path / 'a' / 'b', CONFIG):
        pass
    assert visible(tmp_path) == before


def test_a_folder_that_is_removed_during_training(run, tmp_path):
    with new_run(tmp_path / 'run', CONFIG) as folder:
        save(folder, run, 1)
        shutil.rmtree(tmp_path / 'run')
        with pytest.raises(InputError, match='a checkpoint cannot be written .No such file'):
            save(folder, run, 2)
        with pytest.raises(InputError, match='metrics.jsonl cannot be written .No such file'):
            folder.append_metrics(1, row(1))


def test_each_epoch_is_recorded_once(tmp_path):
    with new_run(tmp_path / 'run', CONFIG) as folder:
        for epoch in (1, 2, 3):
            folder.append_metrics(epoch, row(epoch))
    with open(folder.path / 'metrics.jsonl', 'a') as file:
        file.write('{"epoch": 4, "los')  # a power cut
    with existing_run(tmp_path / 'run') as resumed:
        for epoch in (2, 3, 4, 5):
            resumed.append_metrics(epoch, {**row(epoch), 'resumed': 1})
    rows = [json.loads(line) for line in (folder.path / 'metrics.jsonl').read_text().splitlines()]
    assert [row['epoch'] for row in rows] == [1, 2, 3, 4, 5]
    assert ['resumed' in row for row in rows] == [False, False, False, True, True]


@pytest.mark.parametrize(
    'line', ['nonsense', '[]', '{"epoch": null}', '{"epoch": 1}', '[' * 100_000]
)
def test_invalid_metrics_are_refused(tmp_path, line):
    with new_run(tmp_path / 'run', CONFIG) as folder:
        pass
    (folder.path / 'metrics.jsonl').write_text(line + '\n')
    message = 'metrics.jsonl: expected (the metrics of an epoch|JSON)'
    with pytest.raises(InputError, match=message), existing_run(tmp_path / 'run'):
        pass


@pytest.mark.parametrize(
    'values, num_epochs, reason',
    [
        ({}, 5, None),
        ({}, 4, '4 epochs are done'),
        ({}, 3, '4 epochs are done'),
        ({'ended': 'no better'}, 9, 'no better'),
    ],
)
def test_completion_reason(run, tmp_path, values, num_epochs, reason):
    with new_run(tmp_path / 'run', CONFIG) as folder:
        assert completion_reason(folder.path, num_epochs) is None
        save(folder, run, 4, **values)
    assert completion_reason(tmp_path / 'run', num_epochs) == reason


@pytest.mark.parametrize('existing', ['a', 'a/b', 'a/b/run'])
def test_without_settings_there_is_no_folder(tmp_path, monkeypatch, existing):
    """A run cannot be resumed without its settings, so the advice is not to resume it."""

    def full_disk(source, target):
        raise OSError(28, 'No space left on device')

    (tmp_path / existing).mkdir(parents=True)
    before = visible(tmp_path)
    monkeypatch.setattr(atomic.os, 'replace', full_disk)
    message = r'config\.json cannot be written \(No space'
    with pytest.raises(InputError, match=message) as error, new_run(tmp_path / 'a/b/run', CONFIG):
        pass
    assert error.value.hint == 'Free space, or choose another folder with --out.'
    assert visible(tmp_path) == before


def test_discarding_removes_only_files_of_the_run(tmp_path):
    for name, extra in (('clean', []), ('mine', ['notes.txt'])):
        with new_run(tmp_path / name, CONFIG) as folder:
            for file in extra:
                (folder.path / file).write_text('mine')
            folder.discard()
    assert sorted(path.name for path in tmp_path.rglob('*')) == ['mine', 'notes.txt']


def test_names_that_are_not_checkpoints_are_ignored(run, tmp_path):
    save_run(tmp_path / 'run', run, epoch=3, batch=2)
    for name in ('notes', 'epoch-x', 'epoch-1-batch', 'epoch-99999999999999999999'):
        (tmp_path / 'run' / 'checkpoints' / name).mkdir()
    assert names(tmp_path / 'run') == ['epoch-3-batch-2']
    assert checkpoint_position(list_checkpoints(tmp_path / 'run')[0]) == (3, 2)
