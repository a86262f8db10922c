"""The command launch: its options, what --print-env prints, and one line for each mistake."""

import os
import re
import socket
import subprocess
import sys

import pytest

from d2l_seq2seq import InputError, launch
from d2l_seq2seq.launch.cluster import Cluster, find_free_ports

from conftest import ROOT
from launched_job import LAUNCHER, SERVER, job_starter


@pytest.fixture
def start_job(tmp_path):
    with job_starter(tmp_path) as start:
        yield start


def variables_after(text):
    """Return the lines of a shell's environment after it has run what --print-env printed."""
    result = subprocess.run(['sh', '-c', f'{text}\nenv'], capture_output=True, text=True, env={})
    assert result.stderr == ''
    return {line for line in result.stdout.splitlines() if line.startswith('DMLC')}


ADDRESS = ['-n', '4', '-s', '2', '--host', '10.0.0.5', '--port', '9000', '--print-env']


@pytest.mark.parametrize('role', launch.ROLES)
def test_print_env(capsys, role):
    assert launch.main([*ADDRESS, role, '--', 'python', 'my script.py']) == 0
    text = capsys.readouterr().out
    assert variables_after(text) == {
        f'{name}={value}' for name, value in Cluster(4, 2, '10.0.0.5', 9000).variables(role).items()
    }
    assert ("python 'my script.py'" in text) is (role == 'worker')
    assert ('python -m d2l_seq2seq.launch.server' in text) is (role != 'worker')
    assert 'private network' in text


def test_print_env_of_all_roles(capsys):
    launch.main(ADDRESS)
    text = capsys.readouterr().out
    blocks = text.split('\n\n')[1:]
    assert [re.search('DMLC_ROLE=(.*)', block).group(1) for block in blocks] == list(launch.ROLES)
    assert all(line.startswith(('# ', 'export ')) or line == '' for line in text.splitlines())


def test_print_env_of_a_scheduler_with_a_name(capsys):
    """A process of ps-lite can connect to a name, but cannot listen on one."""
    launch.main(['--host', 'head.example', '--port', '9000', '--print-env'])
    scheduler, *others = capsys.readouterr().out.split('\n\n')[1:]
    assert 'DMLC_USE_KUBERNETES=1' in variables_after(scheduler)
    assert 'DMLC_PS_ROOT_URI=head.example' in variables_after(others[0])
    assert not any('DMLC_USE_KUBERNETES' in block for block in others)


@pytest.mark.parametrize(
    'arguments, message',
    [
        ([], 'expected a command after --, got none. For example, type: '),
        (['--'], 'expected a command after --, got none. For example, type: '),
        (['-n', '2', 'echo'], 'unrecognized arguments: echo'),
        (['-n', '0', '--', 'true'], "expected a whole number from 1 to 1024, got '0'"),
        (['-s', '0', '--', 'true'], "expected a whole number from 1 to 1024, got '0'"),
        (['-n', 'two', '--', 'true'], "expected a whole number from 1 to 1024, got 'two'"),
        (['--', 'no-such-command'], 'no-such-command: expected a command'),
        (['--', str(ROOT / 'README.md')], 'neither in the PATH nor an executable file'),
        (
            ['--host', '203.0.113.9', '--', 'true'],
            '--host 203.0.113.9: expected an IPv4 address or',
        ),
        (['--host', '0.0.0.0', '--', 'true'], 'got all of them'),
        (['--port', '70000', '--', 'true'], 'expected a whole number from 1 to 65535'),
        (['--start-timeout', '-1', '--', 'true'], "expected a number above 0, or 'none', got '-1'"),
        (['--stop-timeout', 'no', '--', 'true'], "expected a number above 0, got 'no'"),
        (['--print-env'], '--print-env: expected --host and --port as well'),
        (['--print-env', 'boss'], 'invalid choice'),
        (['--print-env', '--host', '0.0.0.0', '--port', '9000'], '--host 0.0.0.0: expected'),
        (['--print-env', '--host', '$(id)', '--port', '9000'], '--host $(id): expected'),
    ],
)
def test_a_mistake_is_reported_in_one_line(arguments, message, capsys):
    with pytest.raises((InputError, SystemExit)) as stop:
        launch.main(arguments)
    error = capsys.readouterr().err or str(stop.value)
    assert message in error and error.strip().count('\n') == 0
    assert isinstance(stop.value, InputError) or stop.value.code == 2


def test_a_port_in_use(start_job):
    with socket.socket() as listener:
        listener.bind(('127.0.0.1', 0))
        listener.listen()
        port = listener.getsockname()[1]
        code, stdout, stderr = start_job('pass', '--port', str(port)).finish()
    assert (code, stdout) == (2, '') and stderr.count('\n') == 1
    assert stderr.startswith(f'error: --port {port}: expected a port on which 127.0.0.1 can listen')


def test_a_free_port(start_job):
    (port,) = find_free_ports('127.0.0.1', 1)
    job = start_job(
        "print(os.environ['DMLC_PS_ROOT_PORT'])", '--host', 'localhost', '--port', str(port)
    )
    assert job.finish() == (0, f'{port}\n', '')


def test_a_file_that_cannot_be_executed(tmp_path):
    program = tmp_path / 'program.txt'
    program.write_text('neither a script nor a binary')
    program.chmod(0o755)
    result = subprocess.run(
        [sys.executable, '-c', LAUNCHER, SERVER, '--', str(program)],
        cwd=ROOT,
        capture_output=True,
        text=True,
        timeout=60,
        env={**os.environ, 'NOTES': str(tmp_path)},
    )
    assert result.returncode == 2
    assert result.stderr.startswith(f'error: {program}: cannot be used (')
    assert result.stderr.count('\n') == 1
