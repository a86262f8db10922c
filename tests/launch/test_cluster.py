"""Jobs of MXNet's parameter server: their variables, addresses and ports, and how they form."""

import os
import re
import socket
import subprocess
import sys

import pytest

from d2l_seq2seq import InputError
from d2l_seq2seq._runtime import num_cores
from d2l_seq2seq.launch import cluster
from d2l_seq2seq.launch.cluster import Cluster, JoinMonitor, find_free_ports

from conftest import ROOT
from launched_job import job_starter

JOINED = (
    b'[14:29:30] ../3rdparty/ps-lite/src/van.cc:419: ? => 1. Meta: request=0, timestamp=0, '
    b'control={ cmd=ADD_NODE, node={ role=%s, ip=127.0.0.1, port=%d, is_recovery=0 } }\n'
)


def test_the_monitor_reads_the_members_from_the_log(monkeypatch):
    monkeypatch.delenv('PS_VERBOSE', raising=False)
    monitor = JoinMonitor({11000: 'server 0', 12000: 'worker 0', 13000: 'worker 1'})
    assert not monitor.read_line(
        b'[14:29:30] ../3rdparty/ps-lite/src/van.cc:310: Bind to role=schedul'
        b'er, id=1, ip=127.0.0.1, port=19123, is_recovery=0\n'
    )
    assert not monitor.read_line(JOINED % (b'server', 11000))
    assert not monitor.read_line(JOINED % (b'worker', 13000))
    assert monitor.problem(59, 60) is None and monitor.problem(1e9, None) is None
    assert 'not form within 60 s: worker 0 did not reach' in monitor.problem(60, 60)
    monitor.read_line(JOINED % (b'worker', 12000))
    monitor.read_line(JOINED % (b'worker', 12000))  # its second store
    assert monitor.problem(1e9, 60) is None
    assert not monitor.read_line(
        b'[14:29:31] ../3rdparty/ps-lite/src/van.cc:394: ? => 9. Meta: reques'
        b't=0, timestamp=0, control={ cmd=ADD_NODE, node={ role=worker, id=9,'
        b' ip=127.0.0.1, port=14000, is_recovery=0 } }\n'
    )
    assert monitor.problem(1e9, 60) is None  # the answers of the scheduler name every process
    monitor.read_line(JOINED % (b'worker', 14000))
    assert monitor.problem(0, None) == (
        'a worker at 127.0.0.1:14000 joined but does not belong to this job: another program took '
        'a port of this job, or uses its scheduler. Start the job again.'
    )


@pytest.mark.parametrize(
    'line, is_shown',
    [
        (b'MXNetError: Check failed: my_node_.port != -1 (-1 vs. -1) : bind failed\n', True),
        (b'[14:29:30] ../3rdparty/ps-lite/src/van.cc:311: Check failed: bind failed\n', True),
        (b'Traceback (most recent call last):\n', True),
        (b'[14:29:31] ../3rdparty/ps-lite/src/van.cc:199: Barrier count for 7 : 1\n', False),
        (b':419: 11 => 1. Meta: request=1, timestamp=2, control={ cmd=BARRIER }\n', False),
        (b'[14:29:31] \n', False),
    ],
)
def test_errors_in_the_log_of_the_scheduler_are_shown(monkeypatch, line, is_shown):
    monkeypatch.delenv('PS_VERBOSE', raising=False)
    assert JoinMonitor({}).read_line(line) is is_shown
    monkeypatch.setenv('PS_VERBOSE', '1')
    assert JoinMonitor({}).read_line(line)


@pytest.mark.parametrize('given', [{}, {'OMP_THREAD_LIMIT': '7'}])
def test_the_environment_of_a_worker(tmp_path, monkeypatch, given):
    for name in os.environ:  # a command that ran in this process may have set them
        if name.startswith('OMP'):
            monkeypatch.delenv(name)
    with job_starter(tmp_path) as start_job:
        code, stdout, _ = start_job(
            'print(*(f"{name}={os.environ.get(name)}" for name in '
            'sorted({*os.environ, "DMLC_RANK"}) '
            'if name.startswith(("DMLC", "OMP", "PORT"))), sep="\\n")',
            '-n',
            '2',
            '-s',
            '3',
            environment={'DMLC_RANK': '5', 'DMLC_USE_KUBERNETES': '1', **given},
        ).finish()
    variables = dict(line.split('=') for line in stdout.splitlines())
    ports = int(variables.pop('PORT')), int(variables.pop('DMLC_PS_ROOT_PORT'))
    assert code == 0 and len(set(ports)) == 2 and all(10_000 <= port < 32_768 for port in ports)
    assert variables == {
        'DMLC_ROLE': 'worker',
        'DMLC_NUM_WORKER': '2',
        'DMLC_NUM_SERVER': '3',
        'DMLC_PS_ROOT_URI': '127.0.0.1',
        'DMLC_NODE_HOST': '127.0.0.1',
        'DMLC_TASK_ID': '0',
        'DMLC_RANK': 'None',
        'OMP_THREAD_LIMIT': given.get('OMP_THREAD_LIMIT', str(max(1, num_cores() // 2))),
    }


@pytest.mark.parametrize(
    'variables', [{}, Cluster(1, 1, '127.0.0.1', 9000).variables('worker'), {'DMLC_ROLE': 'server'}]
)
def test_a_server_without_its_variables_names_them(variables):
    environment = {name: value for name, value in os.environ.items() if 'DMLC' not in name}
    result = subprocess.run(
        [sys.executable, '-m', 'd2l_seq2seq.launch.server'],
        cwd=ROOT,
        env={**environment, **variables},
        capture_output=True,
        text=True,
    )
    assert (result.returncode, result.stdout) == (2, '')
    assert result.stderr == (
        'error: expected DMLC_ROLE=scheduler or server and DMLC_PS_ROOT_URI, DMLC_PS_ROOT_PORT, '
        'DMLC_NUM_WORKER, DMLC_NUM_SERVER in the environment. Set the variables that '
        'python -m d2l_seq2seq.launch --print-env prints.\n'
    )


def test_free_ports_are_distinct_and_in_order():
    ports = find_free_ports('127.0.0.1', 50)
    assert ports == sorted(set(ports)) and len(ports) == 50


def test_ports_in_use_are_not_free(monkeypatch):
    (port,) = find_free_ports('127.0.0.1', 1)
    monkeypatch.setattr(cluster, '_PORTS', range(port, port + 1))
    assert find_free_ports('127.0.0.1', 1) == [port]
    message = f'expected 1 free ports from {port} to {port}, got 0'
    with pytest.raises(InputError, match=message):
        find_free_ports('127.0.0.1', 1, excluded=port)
    with socket.socket() as listener:
        listener.bind(('127.0.0.1', port))
        listener.listen()
        with pytest.raises(InputError, match=message):
            find_free_ports('127.0.0.1', 1)


ADD_UP = """
import os, sys, traceback
from d2l_seq2seq._mxnet import mx
try:
    store = mx.kv.create('dist_sync')
    store.init('sum', mx.nd.zeros(2))
    store.push('sum', mx.nd.full(2, store.rank + 1))
    total = mx.nd.zeros(2)
    store.pull('sum', out=total)
    print('rank', store.rank, 'task', os.environ['DMLC_TASK_ID'], *total.asnumpy())
    store._barrier()
    sys.exit(5 if 'fail' in sys.argv and store.rank == 1 else 0)
except BaseException as error:
    if not isinstance(error, SystemExit) or error.code:
        os._exit(5)  # without waiting for the others
"""


def run_launch(*arguments):
    return subprocess.run(
        [sys.executable, '-m', 'd2l_seq2seq.launch', *arguments],
        cwd=ROOT,
        text=True,
        capture_output=True,
        timeout=300,
    )


@pytest.mark.distributed
def test_two_workers_of_mxnet_add_up():
    result = run_launch('--all-output', '--', sys.executable, '-c', ADD_UP)
    assert (result.returncode, result.stderr) == (0, '')
    assert sorted(result.stdout.splitlines()) == [
        '[0] rank 0 task 0 3.0 3.0',
        '[1] rank 1 task 1 3.0 3.0',
    ]


@pytest.mark.distributed
def test_a_failing_worker_of_mxnet_ends_the_job():
    result = run_launch('--all-output', '--', sys.executable, '-c', ADD_UP, 'fail')
    assert result.returncode == 5
    assert re.fullmatch(
        r'error: worker 1 \(process \d+\) exited with code 5; ending the others\n', result.stderr
    )


@pytest.mark.slow
@pytest.mark.distributed
def test_a_worker_that_creates_no_store_is_named():
    """The other worker waits for it until the launcher ends the job."""
    script = f'if [ $DMLC_TASK_ID = 1 ]; then sleep 600; else exec {sys.executable} -c "$0"; fi'
    result = run_launch('--start-timeout', '30', '--', 'sh', '-c', script, ADD_UP)
    assert result.returncode == 124
    assert 'not form within 30 s: worker 1 did not reach the scheduler' in result.stderr
