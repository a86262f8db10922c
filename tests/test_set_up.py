"""`.ci/venv`, which make calls before every verb, with interpreters that only pretend."""

import os
import shutil
import stat
import subprocess

import pytest

from conftest import ROOT

TOOLS = ('sh', 'sed', 'cat', 'cksum', 'rm', 'mkdir', 'dirname', 'printf', 'echo', 'cp', 'chmod')

# What the script asks of an interpreter, with everything asked written to $LOG.
PRETENDER = """#!/bin/sh
echo "$*" | head -c 120 | tr '\\n' ' ' >> "$LOG"; echo >> "$LOG"
case "$*" in
    "-c import os"*) printf '%s\\n' "{path}" {version} ;;
    "-c import ensurepip") exit {no_ensurepip} ;;
    "-m virtualenv --version") exit 1 ;;
    "-m venv .venv") mkdir -p .venv/bin; cp "$0" .venv/bin/python ;;
    "-m pip"*) exit {pip_fails} ;;
esac
"""


@pytest.fixture
def machine(tmp_path):
    """A folder with the project's set-up files and a PATH with no Python."""
    for name in ('.ci/venv', 'setup.cfg', 'pyproject.toml'):
        (tmp_path / 'project' / name).parent.mkdir(parents=True, exist_ok=True)
        shutil.copy(ROOT / name, tmp_path / 'project' / name)
    (tmp_path / 'bin').mkdir()
    for tool in (*TOOLS, 'head', 'tr'):
        (tmp_path / 'bin' / tool).symlink_to(shutil.which(tool))
    return tmp_path


def add_program(machine, name, text):
    path = machine / 'bin' / name
    path.write_text(text)
    path.chmod(path.stat().st_mode | stat.S_IXUSR)


def add_python(machine, name, version, no_ensurepip=0, pip_fails=0):
    add_program(
        machine,
        name,
        PRETENDER.format(
            path=machine / 'bin' / name,
            version=version,
            no_ensurepip=no_ensurepip,
            pip_fails=pip_fails,
        ),
    )


def venv(machine, *arguments):
    """The script's result, and what it asked of interpreters."""
    log = machine / 'log'
    log.write_text('')
    result = subprocess.run(
        ['sh', '.ci/venv', *arguments],
        cwd=machine / 'project',
        capture_output=True,
        text=True,
        env={'PATH': str(machine / 'bin'), 'LOG': str(log)},
    )
    return result, log.read_text()


def test_an_environment_is_made_once(machine):
    add_python(machine, 'python3.9', '3.9.2')
    result, log = venv(machine)
    assert result.returncode == 0
    assert result.stderr == (
        'installing into .venv with Python 3.9.2 (once; it takes a minute or two)\n'
    )
    assert '-m venv .venv' in log and '-e .[cpu,eval,notebooks,subwords,tensorboard,test]' in log
    result, log = venv(machine)
    assert (result.returncode, result.stderr, 'pip' in log) == (0, '', False)


def test_a_changed_setup_cfg_reinstalls_into_the_same_environment(machine):
    add_python(machine, 'python3', '3.10.1')
    venv(machine)
    with open(machine / 'project' / 'setup.cfg', 'a') as file:
        file.write('\n')
    result, log = venv(machine)
    assert '-e .[cpu,eval,notebooks,subwords,tensorboard,test]' in log and '-m venv' not in log
    assert 'pip' not in venv(machine)[1]


def test_another_python_makes_another_environment_which_then_stays(machine):
    add_python(machine, 'python3.11', '3.11.7')
    add_python(machine, 'python3.8', '3.8.18')
    venv(machine)
    assert '-m venv .venv' in venv(machine, 'python3.8')[1]
    result, log = venv(machine)
    assert '-m venv' not in log and 'pip' not in log
    assert '3.8.18' in (machine / 'project' / '.venv' / 'made-for').read_text()


def test_another_build_of_mxnet_makes_another_environment(machine):
    add_python(machine, 'python3.11', '3.11.7')
    venv(machine)
    log = venv(machine, '', 'cu112')[1]
    assert '-m venv .venv' in log and '.[cu112,eval,notebooks,subwords,tensorboard,test]' in log
    assert 'pip' not in venv(machine)[1]


@pytest.mark.parametrize(
    'extra, wheel', [('', 'mxnet'), ('cu112', 'mxnet-cu112'), ('cu117', 'mxnet-cu117')]
)
def test_from_python_3_13_on_mxnet_is_installed_apart(machine, extra, wheel):
    add_python(machine, 'python3.13', '3.13.0')
    result, log = venv(machine, '', extra)
    assert result.returncode == 0
    *_, project, mxnet = log.splitlines()
    assert f'-e .[{extra or "cpu"},eval,' in project
    assert mxnet.strip().endswith(f'--no-deps {wheel}==1.9.1')


def test_another_build_is_refused(machine):
    add_python(machine, 'python3', '3.10.1')
    result, log = venv(machine, '', 'gpu')
    assert (result.returncode, result.stderr) == (
        2,
        'MXNET=gpu: expected cpu, or one of cu112 to cu117\n',
    )
    assert 'pip' not in log


def test_python_3_13_is_used_where_there_is_no_other(machine):
    add_python(machine, 'python3.13', '3.13.0')
    add_python(machine, 'python3.12', '3.12.1')
    result, log = venv(machine)
    assert 'with Python 3.12.1' in result.stderr and 'no-deps' not in log
    (machine / 'bin' / 'python3.12').unlink()
    shutil.rmtree(machine / 'project' / '.venv')
    assert 'with Python 3.13.0' in venv(machine)[0].stderr


def test_a_broken_shim_is_skipped(machine):
    add_program(machine, 'python3.11', '#!/bin/sh\necho "pyenv: command not found" >&2\nexit 127\n')
    add_python(machine, 'python3', '3.10.1')
    result, _ = venv(machine)
    assert result.returncode == 0 and 'with Python 3.10.1' in result.stderr


def test_a_failed_installation_is_tried_again(machine):
    add_python(machine, 'python3', '3.10.1', pip_fails=1)
    assert venv(machine)[0].returncode != 0
    assert 'pip' in venv(machine)[1]


def one_line(result):
    assert result.returncode == 2
    (line,) = result.stderr.splitlines()
    return line


def test_no_python_at_all(machine):
    assert one_line(venv(machine)[0]).startswith('no Python 3.8 to 3.13 found. Type: apt-get inst')


def test_a_python_that_does_not_run(machine):
    assert one_line(venv(machine, 'python9')[0]) == (
        'PYTHON=python9 cannot be run, or is not Python 3.8 to 3.13. Pass another: '
        'make PYTHON=/path/to/python'
    )


def test_debian_without_venv(machine):
    add_python(machine, 'python3', '3.11.2', no_ensurepip=1)
    assert 'Type: apt-get install python3.11-venv' in one_line(venv(machine)[0])
    assert not (machine / 'project' / '.venv').exists()


def test_debian_without_venv_but_with_uv(machine):
    add_python(machine, 'python3', '3.11.2', no_ensurepip=1)
    add_program(machine, 'uv', '#!/bin/sh\nmkdir -p .venv/bin\ncp "$5" .venv/bin/python\n')
    result, log = venv(machine)
    assert result.returncode == 0 and '.[cpu,eval,notebooks,subwords,tensorboard,test]' in log


def test_uv_provides_a_python_where_there_is_none(machine):
    add_python(machine, 'hidden', '3.11.9')
    add_program(machine, 'uv', '#!/bin/sh\n[ "$2" = find ] && echo "$(dirname "$0")/hidden"\n')
    result, log = venv(machine)
    assert result.returncode == 0 and 'with Python 3.11.9' in result.stderr


def test_make_passes_the_arguments():
    makefile = (ROOT / 'Makefile').read_text()
    assert 'sh .ci/venv "$(PYTHON)" "$(MXNET)"' in makefile
    assert os.access(ROOT / '.ci' / 'run', os.X_OK)
