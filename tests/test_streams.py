"""Standard streams that are closed, full or without a reader."""

import subprocess
import sys

import pytest

from conftest import ROOT

PROGRAM = f'{sys.executable} -m d2l_seq2seq'


def bash(command, **options):
    return subprocess.run(
        command,
        shell=True,
        executable='/bin/bash',
        capture_output=True,
        text=True,
        cwd=ROOT,
        **options,
    )


@pytest.fixture(scope='module')
def run(tmp_path_factory):
    folder = tmp_path_factory.mktemp('streams') / 'run'
    sizes = '--num-hiddens 8 --embed-size 8 --num-epochs 1'
    result = bash(f'{PROGRAM} train {sizes} --corpus bundled --out {folder} <&- >&- 2>&-')
    assert result.returncode == 0
    return folder


def test_a_training_with_all_streams_closed_writes_nothing_but_its_run(run):
    """Without care, the first file that is opened would get the number of a closed stream."""
    assert sorted(path.suffix for path in run.iterdir() if path.is_file()) != []
    for path in run.rglob('*'):
        if path.is_file() and path.suffix in ('.json', '.jsonl'):
            assert path.read_text()[0] in '{['


@pytest.mark.parametrize('closed', ['<&-', '>&-', '2>&-', '<&- >&- 2>&-'])
@pytest.mark.parametrize(
    'command', ["translate {run} 'Go.'", 'evaluate {run}', 'doctor', 'train -h']
)
def test_any_stream_may_be_closed(run, command, closed):
    result = bash(f'{PROGRAM} {command.format(run=run)} {closed}')
    assert result.returncode == 0 and 'Traceback' not in result.stderr


def test_without_input_nothing_is_translated(run):
    result = bash(f'{PROGRAM} translate {run} <&-')
    assert (result.returncode, result.stdout, result.stderr) == (0, '', '')


@pytest.mark.parametrize('command', ["translate {run} 'Go.'", 'evaluate {run}', 'average -h', '-h'])
def test_a_full_disk_behind_the_output_is_one_line(run, command):
    result = bash(f'{PROGRAM} {command.format(run=run)} > /dev/full')
    assert result.returncode == 2
    assert result.stderr == 'error: standard output: cannot be used (No space left on device).\n'
