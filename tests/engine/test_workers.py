"""Workers that share each batch: two train like one, and they stop and resume together.

The distributed tests run real jobs: the command `launch` starts a scheduler, a server and two
workers on this machine.
"""

import hashlib
import os
import signal
import subprocess
import sys
import time

import numpy as onp
import pytest

from d2l_seq2seq import InputError
from d2l_seq2seq._mxnet import mx
from d2l_seq2seq.engine.workers import KVStoreWorkers, SingleWorker

from conftest import ROOT
from small_run import SETTINGS, arrays_of, assert_same_training, enable_sigint, finish, metrics_of

# Only the order of the batches is random, so one worker and two workers compute the same.
DETERMINISTIC = [
    '--corpus',
    'copy',
    '--num-examples',
    '200',
    '--num-epochs',
    '3',
    '--batch-size',
    '32',
    '--embed-size',
    '8',
    '--num-hiddens',
    '16',
    '--num-layers',
    '1',
    '--seed',
    '3',
    '--batches-per-update',
    '2',
]
JOB_SECONDS = 300
JOBS = []  # the jobs that the current test has started


@pytest.fixture(autouse=True)
def kill_remaining_jobs():
    yield
    for job in JOBS:
        if job.poll() is None:
            job.kill()  # its watchdog kills the processes that it started
        job.wait()
    JOBS.clear()


def launch(*command):
    """Start a command as two workers, in the background."""
    JOBS.append(
        subprocess.Popen(
            [sys.executable, '-m', 'd2l_seq2seq.launch', '--start-timeout', 'none', '--', *command],
            cwd=ROOT,
            stdout=subprocess.PIPE,
            stderr=subprocess.PIPE,
            text=True,
            preexec_fn=enable_sigint,
        )
    )
    return JOBS[-1]


def start_job(*arguments):
    """Start a training with two workers, in the background."""
    return launch(sys.executable, '-m', 'd2l_seq2seq.train', '--kvstore', 'dist_sync', *arguments)


def finish_job(*arguments):
    """Run a training with two workers to its end; return its standard output."""
    job = start_job(*arguments)
    stdout, stderr = job.communicate(timeout=JOB_SECONDS)
    assert (job.returncode, stderr) == (0, ''), stderr
    return stdout


def processes():
    """Return the process id, parent id and command of each process on this machine."""
    rows = subprocess.run(
        ['ps', '-A', '-o', 'pid=,ppid=,args='], capture_output=True, text=True, check=True
    ).stdout.splitlines()
    return [
        (int(pid), int(parent), command)
        for pid, parent, command in (
            row.split(None, 2) for row in rows if len(row.split(None, 2)) == 3
        )
    ]


def descendants_of(pid):
    """Return the ids and commands of the descendants of a process."""
    children = [(child, command) for child, parent, command in processes() if parent == pid]
    return children + [descendant for child, _ in children for descendant in descendants_of(child)]


def wait_for_checkpoint(folder, job):
    deadline = time.monotonic() + JOB_SECONDS
    while not list(folder.glob('checkpoints/epoch-[2-9]*')):
        assert job.poll() is None and time.monotonic() < deadline
        time.sleep(0.05)


def test_a_single_worker_changes_nothing():
    worker, vector = SingleWorker(), mx.nd.array([1, 2])
    assert worker.sum([vector]) == [vector]
    worker.broadcast_arrays([vector])
    worker.require_equal(b'value', 'the value')
    worker.barrier()
    assert vector.asnumpy().tolist() == [1, 2] and worker.any(True) and not worker.any(False)
    assert worker.broadcast((0.1, 2)) == [0.1, 2]


def test_the_error_without_a_cluster_says_how_to_start_workers(monkeypatch):
    monkeypatch.delenv('DMLC_ROLE', raising=False)
    with pytest.raises(InputError, match='expected DMLC_ROLE=worker .* d2l_seq2seq.launch'):
        KVStoreWorkers()


class FakeStore:
    """A key-value store to which the other workers have already pushed their vectors."""

    def __init__(self, others):
        self.others, self.value = others, None

    def init(self, key, value):
        pass

    def _barrier(self):
        pass

    def push(self, key, value):
        self.value = value + mx.nd.array(self.others)

    def pull(self, key, out):
        out[:] = self.value


def worker_with(others, rank=0, num_workers=2):
    """Return a worker that has joined others, without a server."""
    worker = KVStoreWorkers.__new__(KVStoreWorkers)
    worker.rank, worker.num_workers, worker._keys = rank, num_workers, set()
    worker._store = FakeStore(others)
    return worker


def test_sums_have_the_sizes_of_the_vectors():
    first, second = worker_with([10, 20, 30]).sum([mx.nd.array([1, 2]), mx.nd.array([3])])
    assert first.asnumpy().tolist() == [11, 22] and second.asnumpy().tolist() == [33]


def test_arrays_are_broadcast_from_worker_0():
    vector = mx.nd.array([5, 6])
    worker_with([1, 2], rank=1).broadcast_arrays([vector])
    assert vector.asnumpy().tolist() == [1, 2]


def test_numbers_are_broadcast_from_worker_0_to_the_bit():
    numbers = [1 / 3, -5e-324, 1e308, 0.0]
    sent = onp.array(numbers).view('uint8').astype('float32')
    assert worker_with(0 * sent).broadcast(numbers) == numbers
    assert worker_with(sent, rank=1).broadcast([7.0] * 4) == numbers


def test_different_workers_are_named():
    same, other = worker_with(0), worker_with(0)
    table = onp.zeros((2, 32), dtype='float32')
    table[1] = list(hashlib.sha256(b'weights').digest())
    same._store.others = other._store.others = table.ravel()
    same.require_equal(b'weights', 'their weights')
    with pytest.raises(InputError, match=r'workers \[1\] differ from worker 0 in their weights'):
        other.require_equal(b'other weights', 'their weights')


@pytest.fixture
def single_run(tmp_path):
    """Return the run folder of the same training in a single process."""
    finish(*DETERMINISTIC, '--out', str(tmp_path / 'single'))
    return tmp_path / 'single'


def assert_two_workers_train_like_one(folder, single_run):
    finish_job(*DETERMINISTIC, '--out', str(folder))
    for metrics, expected in zip(metrics_of(folder), metrics_of(single_run)):
        assert metrics == pytest.approx(expected, rel=1e-4)
    expected_arrays = arrays_of(single_run, 3)
    for name, array in arrays_of(folder, 3).items():
        onp.testing.assert_allclose(array, expected_arrays[name], atol=1e-3)


@pytest.mark.distributed
def test_two_workers_train_like_one(tmp_path, single_run):
    """The training itself checks after each epoch that the workers have equal weights."""
    assert_two_workers_train_like_one(tmp_path / 'run', single_run)


@pytest.mark.slow
@pytest.mark.distributed
def test_two_workers_train_like_one_twenty_times(tmp_path, single_run):
    for number in range(20):
        assert_two_workers_train_like_one(tmp_path / f'run {number}', single_run)


@pytest.mark.slow
@pytest.mark.distributed
def test_a_job_with_a_killed_worker_resumes_to_the_same_bits(tmp_path):
    whole, broken = tmp_path / 'whole', tmp_path / 'broken'
    finish_job(*SETTINGS, '--num-epochs', '8', '--out', str(whole))
    job = start_job(*SETTINGS, '--num-epochs', '8', '--out', str(broken))
    wait_for_checkpoint(broken, job)
    descendants = descendants_of(job.pid)
    workers = [pid for pid, command in descendants if 'd2l_seq2seq.train' in command]
    assert len(workers) == 2 and len(descendants) >= 4
    os.kill(workers[1], signal.SIGKILL)
    _, stderr = job.communicate(timeout=JOB_SECONDS)
    assert job.returncode == 137
    assert f'worker 1 (process {workers[1]}) was terminated by SIGKILL; ending the others' in stderr
    assert not {pid for pid, _ in descendants} & {pid for pid, _, _ in processes()}
    finish_job('--resume', str(broken))
    assert_same_training(broken, whole, 8)


@pytest.mark.slow
@pytest.mark.distributed
@pytest.mark.parametrize('is_sent_to_all', [False, True])
@pytest.mark.parametrize('number', [signal.SIGINT, signal.SIGTERM])
def test_a_job_saves_and_stops_after_a_signal(tmp_path, number, is_sent_to_all):
    """A batch system sends the signal to all processes of the job."""
    folder = tmp_path / 'run'
    job = start_job(*SETTINGS, '--num-epochs', '1000', '--out', str(folder))
    wait_for_checkpoint(folder, job)
    others = descendants_of(job.pid) if is_sent_to_all and number == signal.SIGTERM else []
    job.send_signal(number)
    for pid, _ in others:
        os.kill(pid, number)
    stdout, stderr = job.communicate(timeout=JOB_SECONDS)
    assert job.returncode == 128 + number, stderr
    assert 'Resume with: ' in stdout and 'killed' not in stderr


@pytest.mark.distributed
def test_a_failing_worker_ends_the_job(tmp_path):
    """It does not wait for the other workers, which wait for it."""
    folder = tmp_path / 'run'
    job = start_job(
        *DETERMINISTIC, '--num-epochs', '100000', '--save-every', '1', '--out', str(folder)
    )
    wait_for_checkpoint(folder, job)
    (folder / 'checkpoints').rename(tmp_path / 'gone')
    (folder / 'checkpoints').write_text('in the way')
    _, stderr = job.communicate(timeout=JOB_SECONDS)
    assert job.returncode == 2
    assert f'error: {folder}: a checkpoint cannot be written (' in stderr
    assert 'error: worker 0 (process ' in stderr


@pytest.mark.distributed
def test_workers_need_the_same_settings(tmp_path):
    """They may have different ones where each worker is started by hand."""
    script = (
        f'exec {sys.executable} -m d2l_seq2seq.train --kvstore dist_sync "$@" '
        '--label-smoothing 0.$DMLC_TASK_ID'
    )
    job = launch('sh', '-c', script, 'sh', *DETERMINISTIC, '--out', str(tmp_path / 'run'))
    _, stderr = job.communicate(timeout=JOB_SECONDS)
    assert job.returncode == 2
    assert 'workers [1] differ from worker 0 in their settings or their copy of the run' in stderr
