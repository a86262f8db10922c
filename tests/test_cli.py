"""The console script, the help, and what the commands answer to mistakes in typing."""

import os
import pty
import subprocess
import sys

import pytest

from d2l_seq2seq import __main__ as program
from d2l_seq2seq import __version__, cli

from conftest import ROOT


def run(*arguments, **options):
    return subprocess.run(
        [sys.executable, '-m', 'd2l_seq2seq', *arguments],
        capture_output=True,
        text=True,
        cwd=ROOT,
        **options,
    )


@pytest.mark.parametrize('arguments', [[], ['-h'], ['--help']])
def test_the_program_lists_its_commands(arguments, capsys):
    assert program.main(arguments) == 0
    printed = capsys.readouterr().out
    assert all(f'\n  {name} ' in printed for name in program.COMMANDS)


@pytest.mark.parametrize('name', program.COMMANDS)
def test_each_command_has_help_with_one_line_of_usage(name, capsys):
    with pytest.raises(SystemExit) as stop:
        program.main([name, '-h'])
    assert stop.value.code == 0
    first, blank, *_ = capsys.readouterr().out.splitlines()
    assert first.startswith(f'usage: python -m d2l_seq2seq.{name} [OPTION]...') and blank == ''


def test_the_usage_names_the_arguments(capsys):
    with pytest.raises(SystemExit):
        program.main(['translate', '-h'])
    assert capsys.readouterr().out.splitlines()[0].endswith('[OPTION]... RUN [SENTENCE] ...')


def test_the_console_script_names_itself(monkeypatch):
    monkeypatch.setattr(sys, 'argv', ['/some/bin/d2l-seq2seq', 'train'])
    assert cli.parser_for('train', '').prog == 'd2l-seq2seq train'


def test_the_version(capsys):
    assert program.main(['--version']) == 0
    assert capsys.readouterr().out == f'{__version__}\n'


def test_a_choice_is_shown_with_its_values(capsys):
    with pytest.raises(SystemExit):
        program.main(['train', '-h'])
    assert '--cell {rnn,gru,lstm}' in capsys.readouterr().out


@pytest.mark.parametrize(
    'arguments, message',
    [
        (['trian'], 'd2l-seq2seq: unknown command trian; did you mean train?'),
        (['zzz'], 'd2l-seq2seq: unknown command zzz (-h lists the commands)'),
        (['train', '--num-epoch', '3'], '--num-epoch 3; did you mean --num-epochs?'),
        (['train', '--zzz'], 'unrecognized arguments: --zzz (-h lists the options)'),
        (['translate', 'run', '--beamsize', '3'], 'did you mean --beam-size?'),
    ],
)
def test_a_typing_error_gets_one_line_and_a_suggestion(arguments, message):
    result = run(*arguments)
    assert result.returncode == 2 and result.stdout == ''
    (line,) = result.stderr.splitlines()
    assert message in line


@pytest.fixture(scope='module')
def trained(tmp_path_factory):
    folder = tmp_path_factory.mktemp('cli') / 'run'
    sizes = ['--num-hiddens', '8', '--embed-size', '8', '--num-epochs', '1']
    result = run('train', *sizes, '--corpus', 'bundled', '--out', str(folder))
    assert result.returncode == 0, result.stderr
    return folder


def test_translations_go_to_a_file(trained, tmp_path):
    (tmp_path / 'sentences.txt').write_bytes(b'Go.\r\nI lost.\r\n')
    names = ['--input', str(tmp_path / 'sentences.txt'), '--output', str(tmp_path / 'out.txt')]
    result = run('translate', str(trained), *names)
    assert result.returncode == 0 and result.stdout == ''
    printed = run('translate', str(trained), 'Go.', 'I lost.').stdout
    assert (tmp_path / 'out.txt').read_text(encoding='utf-8') == printed != ''


@pytest.mark.parametrize(
    'output, message', [('in.txt', 'is also the input'), ('none/out.txt', 'cannot be written')]
)
def test_an_output_that_cannot_be_used(trained, tmp_path, output, message):
    (tmp_path / 'in.txt').write_text('Go.\n')
    result = run(
        'translate',
        str(trained),
        '--input',
        str(tmp_path / 'in.txt'),
        '--output',
        str(tmp_path / output),
    )
    assert result.returncode == 2 and message in result.stderr
    assert (tmp_path / 'in.txt').read_text() == 'Go.\n'


@pytest.mark.parametrize('byte', [b'\x80', b'\xf0', b'\xff', '😀'.encode(), '\u2028'.encode()])
def test_any_bytes_give_a_line_for_each_line(trained, byte):
    text = b'Go.\n' + byte * 70_000 + b'\n\nGo.\n' + byte
    result = subprocess.run(
        [sys.executable, '-m', 'd2l_seq2seq', 'translate', str(trained)],
        input=text,
        capture_output=True,
        cwd=ROOT,
    )
    first, _, empty, fourth, _, rest = result.stdout.split(b'\n')
    assert result.returncode == 0 and first == fourth and empty == rest == b''
    assert b'line 2 is longer than 65,536 bytes and was cut' in result.stderr
    assert b'Traceback' not in result.stderr


def test_a_file_in_place_of_a_sentence_is_pointed_out(trained, tmp_path):
    path = tmp_path / 'sentences.txt'
    path.write_text('Go.\n')
    result = run('translate', str(trained), str(path))
    assert result.returncode == 0 and len(result.stdout.splitlines()) == 1
    assert f'pass --input {path}' in result.stderr


def test_a_terminal_gets_a_prompt_and_an_answer_for_each_line(trained):
    ours, theirs = pty.openpty()
    process = subprocess.Popen(
        [sys.executable, '-m', 'd2l_seq2seq', 'translate', str(trained)],
        stdin=theirs,
        stdout=subprocess.PIPE,
        stderr=subprocess.PIPE,
        text=True,
        cwd=ROOT,
    )
    os.close(theirs)
    os.write(ours, b'Go.\n')
    assert process.stdout.readline() != ''  # before the input ends
    os.write(ours, b'I lost.\n\x04')  # Ctrl-D
    output, errors = process.communicate(timeout=300)
    os.close(ours)
    assert len(output.splitlines()) == 1 and process.returncode == 0
    assert errors.startswith('Type a sentence') and errors.count('> ') == 3


@pytest.mark.parametrize(
    'name, executable, on_path, expected',
    [
        ('/env/bin/d2l-seq2seq', '/env/bin/python', True, 'd2l-seq2seq train'),
        ('/env/bin/d2l-seq2seq', '/env/bin/python', False, '/env/bin/d2l-seq2seq train'),
        ('{here}/.venv/bin/d2l-seq2seq', '', False, '.venv/bin/d2l-seq2seq train'),
        ('train.py', '/env/bin/python', True, '/env/bin/python -m d2l_seq2seq.train'),
        ('train.py', '{here}/.venv/bin/python', True, '.venv/bin/python -m d2l_seq2seq.train'),
    ],
)
def test_the_next_command_is_spelled_like_this_one(
    monkeypatch, tmp_path, name, executable, on_path, expected
):
    monkeypatch.chdir(tmp_path)
    monkeypatch.setattr(sys, 'argv', [name.format(here=tmp_path)])
    monkeypatch.setattr(sys, 'executable', executable.format(here=tmp_path))
    monkeypatch.setattr('shutil.which', lambda program: name if on_path else None)
    assert ' '.join(cli.command_words('train')) == expected


def test_the_end_of_a_training_names_the_next_command(tmp_path):
    sizes = ['--num-hiddens', '8', '--embed-size', '8', '--num-epochs', '1']
    environment = {**os.environ, 'PYTHONPATH': str(ROOT)}
    command = [sys.executable, '-m', 'd2l_seq2seq', 'train', *sizes, '--corpus', 'bundled']
    result = subprocess.run(
        command, capture_output=True, text=True, cwd=tmp_path, env=environment, check=True
    )
    files, following = result.stdout.splitlines()[-2:]
    assert files.startswith('run runs/') and following.startswith('next: ')
    result = subprocess.run(
        ['sh', '-c', following[len('next: ') :]], capture_output=True, cwd=tmp_path, env=environment
    )
    assert result.returncode == 0 and len(result.stdout.splitlines()) == 1

    # The run is also found as runs/latest, by every command that reads one.
    assert (tmp_path / 'runs' / 'latest').resolve() == tmp_path / files.split()[1].rstrip(':')
    latest = subprocess.run(
        [*command[:3], 'translate', 'runs/latest', 'Go.'],
        capture_output=True,
        cwd=tmp_path,
        env=environment,
    )
    assert latest.returncode == 0 and latest.stdout == result.stdout
    resumed = subprocess.run(
        [*command[:4], '--resume', 'runs/latest', '--num-epochs', '2'],
        capture_output=True,
        text=True,
        cwd=tmp_path,
        env=environment,
    )
    assert resumed.returncode == 0, resumed.stderr
