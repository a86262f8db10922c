"""The completion of words in a shell, as bash and zsh do it with the printed script."""

import shutil
import subprocess

import pytest

from d2l_seq2seq import InputError
from d2l_seq2seq import __main__ as program

# Completes the words that follow on the command line of bash, as the key TAB does.
COMPLETE = """source "$1"; shift
COMP_WORDS=("$@"); COMP_CWORD=$(($# - 1))
_shtab_d2l_seq2seq 2>/dev/null
printf '%s\\n' "${COMPREPLY[@]}"
"""


@pytest.fixture(scope='module')
def script(tmp_path_factory):
    path = tmp_path_factory.mktemp('completion') / 'script'
    path.write_text(printed('bash'), encoding='utf-8')
    return path


def printed(shell):
    import contextlib
    import io

    text = io.StringIO()
    with contextlib.redirect_stdout(text):
        assert program.main(['--print-completion', shell]) == 0
    return text.getvalue()


def completions(script, *words, cwd=None):
    command = ['bash', '-c', COMPLETE, 'bash', str(script), 'd2l-seq2seq', *words]
    result = subprocess.run(command, capture_output=True, text=True, cwd=cwd, check=True)
    return result.stdout.split()


@pytest.mark.parametrize(
    'words, expected',
    [
        (['tr'], ['train', 'translate']),
        (['train', '--num-e'], ['--num-examples', '--num-epochs']),
        (['train', '--cell', 'g'], ['gru']),
        (['translate', '--length-penalty', 'g'], ['gnmt']),
        (['evaluate', '--split', ''], ['auto', 'train', 'valid', 'test']),
    ],
)
def test_bash_completes_commands_options_and_choices(script, words, expected):
    assert completions(script, *words) == expected


def test_bash_completes_folders_and_files(script, tmp_path):
    (tmp_path / 'run_a').mkdir()
    (tmp_path / 'run_b.txt').touch()
    folders = completions(script, 'translate', 'run', cwd=tmp_path)
    files = completions(script, 'translate', '--input', 'run', cwd=tmp_path)
    assert [name.rstrip('/') for name in folders] == ['run_a']
    assert sorted(name.rstrip('/') for name in files) == ['run_a', 'run_b.txt']


def test_every_command_is_completed(script):
    assert completions(script, '') == list(program.COMMANDS)


def test_the_script_for_zsh_is_valid(tmp_path):
    text = printed('zsh')
    assert text.startswith('#compdef d2l-seq2seq\n')
    if shutil.which('zsh'):
        (tmp_path / 'script').write_text(text, encoding='utf-8')
        subprocess.run(['zsh', '-n', str(tmp_path / 'script')], check=True)


@pytest.mark.parametrize('arguments', [[], ['fish']])
def test_another_shell(arguments):
    with pytest.raises(InputError, match='expected bash or zsh'):
        program.main(['--print-completion', *arguments])
