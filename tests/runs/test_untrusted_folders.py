"""Run folders of someone else: links, pipes and devices in them lead nowhere."""

import os
import shutil

import pytest

from d2l_seq2seq import InputError, average, evaluate, export, train, translate
from d2l_seq2seq.runs.atomic import write_file
from d2l_seq2seq.runs.layout import list_checkpoints
from d2l_seq2seq.runs.safe_files import Manifest, write_manifest

from small_run import BUNDLED, SIZES

SMALL = [*BUNDLED, *SIZES]


@pytest.fixture(scope='module')
def trained(tmp_path_factory):
    folder = tmp_path_factory.mktemp('trained') / 'run'
    train.main([*SMALL, '--num-epochs', '2', '--save-every', '1', '--out', str(folder)])
    return folder


@pytest.fixture
def run(trained, tmp_path):
    shutil.copytree(trained, tmp_path / 'run')
    return tmp_path / 'run'


@pytest.fixture
def victim(tmp_path):
    """A file outside of the run.  It has no line end, so that its last line looks incomplete."""
    (tmp_path / 'outside').mkdir()
    path = tmp_path / 'outside' / 'file'
    path.write_bytes(b'precious')
    return path


def replace_by_link(path, target):
    if path.is_dir():
        shutil.move(str(path), str(target.parent / path.name))
        target = target.parent / path.name
    else:
        path.unlink()
    path.symlink_to(target)


def resume(run, *options):
    return train.main(['--resume', str(run), '--num-epochs', '3', *options])


def contents(folder):
    return {str(path): path.read_bytes() if path.is_file() else None for path in folder.rglob('*')}


@pytest.mark.parametrize(
    'name, message',
    [
        ('metrics.jsonl', r'metrics\.jsonl: cannot be read .expected a regular file, got a sym'),
        ('.lock', r'\.lock: cannot be written to .expected a regular file, got a symbolic link'),
        ('checkpoints', 'checkpoints: expected a folder, got a symbolic link. Replace the link'),
        ('checkpoints/epoch-1', 'epoch-1: expected a folder, got a symbolic link. Replace the'),
        ('checkpoints/epoch-2', 'epoch-2: expected a folder, got a symbolic link. Replace the'),
    ],
)
def test_a_training_does_not_follow_links(run, victim, name, message):
    replace_by_link(run / name, victim)
    before = contents(victim.parent)
    with pytest.raises(InputError, match=message):
        resume(run)
    assert contents(victim.parent) == before


@pytest.mark.parametrize('name', ['metrics.jsonl', '.lock'])
def test_a_pipe_does_not_block_a_training(run, name):
    (run / name).unlink()
    os.mkfifo(run / name)
    with pytest.raises(InputError, match='expected a regular file, got a pipe'):
        resume(run)


def test_an_endless_file_is_not_read(run):
    (run / 'metrics.jsonl').unlink()
    with open(run / 'metrics.jsonl', 'wb') as file:
        file.truncate(1 << 40)  # takes no space on the disk
    with pytest.raises(InputError, match='metrics.jsonl: cannot be read .expected at most'):
        resume(run)


def test_files_that_are_written_anew_replace_links(run, victim):
    for name in ('loss.svg', 'config.json', 'evaluation.json'):
        if (run / name).exists():
            (run / name).unlink()
        (run / name).symlink_to(victim)
    assert resume(run) == 0
    evaluate.main([str(run)])
    assert victim.read_bytes() == b'precious'
    for name in ('loss.svg', 'config.json', 'evaluation.json'):
        assert (run / name).is_file() and not (run / name).is_symlink()


def test_a_temporary_name_that_is_a_link_is_not_followed(tmp_path, victim):
    (tmp_path / f'.file.{os.getpid()}.part').symlink_to(victim)
    write_file(tmp_path / 'file', b'new')
    assert victim.read_bytes() == b'precious' and (tmp_path / 'file').read_bytes() == b'new'
    assert not (tmp_path / 'file').is_symlink()


def test_leftovers_that_are_links_are_removed_without_their_targets(run, victim):
    for name in ('.config.json.part', 'checkpoints/.epoch-3.part', 'checkpoints/.epoch-1.removed'):
        (run / name).symlink_to(victim.parent)
    assert resume(run, '--keep', '1') == 0
    assert [path.name for path in (run / 'checkpoints').iterdir()] == ['epoch-3']
    assert victim.read_bytes() == b'precious'


def test_tensorboard_events_stay_in_the_run(run, victim):
    (run / 'tensorboard').symlink_to(victim.parent)
    with pytest.raises(InputError, match='tensorboard: cannot be written to .expected a folder'):
        resume(run, '--tensorboard')
    assert list(victim.parent.iterdir()) == [victim]


@pytest.mark.parametrize('main', [translate.main, evaluate.main, export.main, average.main])
def test_no_command_reads_linked_checkpoints(run, victim, tmp_path, main):
    replace_by_link(run / 'checkpoints', victim)
    arguments = {
        translate.main: ['Go.'],
        export.main: [str(tmp_path / 'out')],
        average.main: ['--out', str(tmp_path / 'out')],
    }
    with pytest.raises(InputError, match='checkpoints: expected a folder, got a symbolic link'):
        main([str(run), *arguments.get(main, [])])
    assert not (tmp_path / 'out').exists()


def test_the_run_itself_may_be_a_link(run, tmp_path, capsys):
    (tmp_path / 'latest').symlink_to(run.name)
    assert resume(tmp_path / 'latest') == 0
    translate.main([str(tmp_path / 'latest' / 'checkpoints' / 'epoch-3'), 'Go.'])
    assert (tmp_path / 'latest').is_symlink()


def test_files_longer_than_the_model_are_not_verified(run):
    """Verifying a sparse file of a terabyte would take hours."""
    checkpoint = list_checkpoints(run)[-1]
    (checkpoint / 'manifest.json').unlink()
    with open(checkpoint / 'weights.npz', 'r+b') as file:
        file.truncate(1 << 20)
    write_manifest(checkpoint, {})
    with pytest.raises(InputError, match=r'weights\.npz: expected at most [\d,]+ bytes, got 1,048'):
        translate.main([str(checkpoint), 'Go.'])
    with open(checkpoint / 'weights.npz', 'r+b') as file:
        file.truncate(1 << 42)
    with pytest.raises(InputError, match=r'weights\.npz: expected at most [\d,]+ bytes, got 4,398'):
        Manifest(checkpoint).check_files()


def test_a_snapshot_of_hard_links_keeps_its_files(run, tmp_path):
    """As cp -al makes it."""
    shutil.copytree(run, tmp_path / 'snapshot', copy_function=os.link)
    before = contents(run)
    assert resume(tmp_path / 'snapshot') == 0
    assert contents(run) == before
    assert len((tmp_path / 'snapshot' / 'metrics.jsonl').read_text().splitlines()) == 3
