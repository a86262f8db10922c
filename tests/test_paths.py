"""Paths of any bytes: that a file system accepts them is enough."""

import json
import os
import subprocess
import sys

import pytest
from hypothesis import example, given
from hypothesis import strategies as st

from d2l_seq2seq import InputError, average, evaluate, export, train, translate
from d2l_seq2seq.errors import shell_quote
from d2l_seq2seq.runs.layout import read_run_config

from conftest import ROOT
from small_run import SIZES

NAME = os.fsdecode(b'caf\xe9 $(id)\n')  # Latin-1, and what a shell would interpret
SETTINGS = [*SIZES, '--min-freq', '1', '--save-every', '1']


@pytest.fixture
def folder(tmp_path, monkeypatch):
    """An empty folder with such a name, which is the current one."""
    try:
        (tmp_path / NAME).mkdir()
    except OSError:
        pytest.skip('this file system accepts UTF-8 only')
    monkeypatch.chdir(tmp_path / NAME)
    return tmp_path / NAME


def test_every_command_accepts_any_path(folder, capsys):
    corpus, run = folder / f'{NAME}.tsv', folder / NAME
    corpus.write_text('go .\tva !\nhi .\tsalut .\n' * 4)
    train.main([*SETTINGS, '--corpus', corpus.name, '--num-epochs', '2', '--out', str(run)])
    assert read_run_config(run).data.corpus == str(corpus)
    train.main(['--resume', str(run), '--num-epochs', '3', '--tensorboard'])
    for number in (2, 3):
        assert (run / 'checkpoints' / f'epoch-{number}').is_dir()
    assert len(list((run / 'tensorboard').iterdir())) == 1
    translate.main([str(run), 'go .'])
    translate.main([str(run), '--input', str(corpus), '--output', str(folder / f'{NAME}.txt')])
    evaluate.main([str(run), '--json', str(folder / f'{NAME}.json')])
    assert json.loads((folder / f'{NAME}.json').read_text())['corpus'].endswith(f'{NAME}.tsv')
    average.main([str(run), '--out', str(folder / f'{NAME} mean')])
    export.main([str(run), str(folder / f'{NAME} exported')])
    assert (folder / f'{NAME} exported' / 'encoder-0000.params').stat().st_size > 0
    capsys.readouterr()


@pytest.mark.parametrize('command', ['train', 'translate', 'average'])
def test_an_error_about_any_path_is_one_line(folder, command):
    arguments = {
        'train': ['--corpus', f'{NAME}.tsv'],
        'average': [NAME, '--out', 'mean'],
    }
    result = subprocess.run(
        [sys.executable, '-m', f'd2l_seq2seq.{command}', *arguments.get(command, [NAME])],
        capture_output=True,
        env={**os.environ, 'PYTHONPATH': str(ROOT)},
    )
    assert result.returncode == 2 and result.stderr.count(b'\n') == 1, result.stderr
    assert result.stderr.startswith(b'error: ') and list(folder.iterdir()) == []


@given(st.binary(min_size=1).filter(lambda data: b'\0' not in data))
@example(b'plain')
@example(b'caf\xe9')
@example(b"it's \\ $(id) `id` \x1b[31m\n")
@example('été'.encode())
def test_a_quoted_path_is_one_word_of_the_shell(data):
    word = shell_quote(os.fsdecode(data))
    assert len(word.splitlines()) == 1 and '\x1b' not in word
    result = subprocess.run(['bash', '-c', f'printf %s {word}'], stdout=subprocess.PIPE)
    assert result.stdout == data


def test_advice_can_be_pasted_into_a_shell(folder, capsys):
    run = folder / NAME
    corpus = ['--corpus', 'bundled', '--num-examples', '60']
    train.main([*SETTINGS, *corpus, '--num-epochs', '1', '--out', str(run)])
    with pytest.raises(InputError) as error:
        train.main([*SETTINGS, *corpus, '--out', str(run)])
    quoted = error.value.hint.partition('--resume ')[2].partition(' to train;')[0]
    words = subprocess.run(['bash', '-c', f'printf %s {quoted}'], stdout=subprocess.PIPE).stdout
    assert os.fsdecode(words) == str(run)
    with pytest.raises(InputError) as error:
        train.main(['--resume', str(run / 'checkpoints' / 'epoch-1')])
    assert error.value.hint == f'Pass --resume {quoted} instead.'
    capsys.readouterr()


@pytest.mark.parametrize(
    'here, checkpoint',
    [
        ('.', 'run/checkpoints/epoch-1'),
        ('run/checkpoints', 'epoch-1'),
        ('run/checkpoints/epoch-1', '.'),
    ],
)
def test_the_run_of_a_checkpoint_is_found_from_anywhere(tmp_path, monkeypatch, here, checkpoint):
    (tmp_path / 'run' / 'checkpoints' / 'epoch-1').mkdir(parents=True)
    for name in ('run/config.json', 'run/checkpoints/epoch-1/manifest.json'):
        (tmp_path / name).write_text('{}')
    monkeypatch.chdir(tmp_path / here)
    with pytest.raises(InputError) as error:
        train.main(['--resume', checkpoint])
    found = error.value.hint.replace('Pass --resume ', '').replace(' instead.', '')
    assert os.path.samefile(found, tmp_path / 'run')
