"""The command ``average``: which checkpoints it averages, and what it leaves after an error."""

import os
import shutil
from pathlib import Path

import pytest

from d2l_seq2seq import InputError, average, train
from d2l_seq2seq.average import adjacent_checkpoints
from d2l_seq2seq.runs.layout import checkpoint_name

from small_run import BUNDLED, SIZES

SMALL = [*BUNDLED, *SIZES]


@pytest.mark.parametrize(
    'positions, save_every, expected',
    [
        ([(1, 0), (6, 0), (7, 0), (8, 0)], 1, [(6, 0), (7, 0), (8, 0)]),
        ([(10, 0), (20, 0), (30, 0)], 10, [(10, 0), (20, 0), (30, 0)]),
        ([(10, 0), (15, 0), (20, 0)], 10, [(10, 0), (15, 0), (20, 0)]),  # the best is in between
        ([(10, 0), (20, 0), (20, 9), (21, 0)], 10, [(10, 0), (20, 0), (20, 9), (21, 0)]),
        ([(9, 0), (20, 5)], 10, [(20, 5)]),
        ([], 1, []),
    ],
)
def test_checkpoints_after_a_gap(positions, save_every, expected):
    def paths(positions):
        return [Path('checkpoints', checkpoint_name(*position)) for position in positions]

    assert adjacent_checkpoints(paths(positions), save_every) == paths(expected)


@pytest.fixture(scope='module')
def run(tmp_path_factory):
    folder = tmp_path_factory.mktemp('trained') / 'run'
    epochs = ['--num-epochs', '6', '--save-every', '1', '--keep', '5']
    train.main([*SMALL, *epochs, '--out', str(folder)])
    shutil.rmtree(folder / 'checkpoints' / 'epoch-4')
    shutil.rmtree(folder / 'checkpoints' / 'epoch-3')
    return folder


def test_the_checkpoints_are_named(run, tmp_path, capsys):
    average.main([str(run), '--out', str(tmp_path / 'mean')])
    assert capsys.readouterr().out == (
        f'{tmp_path}/mean: average of epoch-5, epoch-6 (left out, because it is much earlier: '
        'epoch-2)\n'
    )
    assert [path.name for path in (tmp_path / 'mean' / 'checkpoints').iterdir()] == ['epoch-6']


@pytest.mark.parametrize('count', ['1', '3'])
def test_a_number_of_checkpoints_that_there_are_not(run, tmp_path, count):
    message = f'from 2 to 2 checkpoints .*: epoch-5, epoch-6.*, got {count}. Pass a run with enough'
    with pytest.raises(InputError, match=message):
        average.main([str(run), '--last', count, '--out', str(tmp_path / 'mean')])
    assert not (tmp_path / 'mean').exists()


@pytest.mark.parametrize('exists', [False, True])
def test_after_an_error_it_can_be_repeated(run, tmp_path, monkeypatch, exists):
    """A full disk: nothing is left, and the advice is not to resume what cannot be resumed."""
    out = tmp_path / 'a' / 'mean'
    if exists:
        out.mkdir(parents=True)
    calls = []

    def full_disk(descriptor):
        calls.append(descriptor)
        if len(calls) > 6:  # when the checkpoint is written
            raise OSError(28, 'No space left on device')

    monkeypatch.setattr(os, 'fsync', full_disk)
    with pytest.raises(InputError, match='No space left on device') as error:
        average.main([str(run), '--out', str(out)])
    assert error.value.hint == 'Free space, or choose another folder with --out.'
    monkeypatch.undo()
    assert list(out.iterdir()) == [] if exists else list(tmp_path.iterdir()) == []
    average.main([str(run), '--out', str(out)])
    with pytest.raises(
        InputError, match=r'found a run .up to epoch-6.. Choose another folder with'
    ):
        average.main([str(run), '--out', str(out)])  # an average cannot be resumed
