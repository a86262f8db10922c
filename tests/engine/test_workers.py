"""Workers that share each batch: two are one, and a group ends and goes on as one.

The jobs are real ones: a scheduler, a server and two workers on this machine, by the command
`launch`.
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
from small_run import SETTINGS, arrays_of, assert_same_training, finish, hear_ctrl_c, metrics_of

# Nothing is drawn but the order, so that one worker and two compute the same.
PLAIN = [
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
JOBS = []  # that the test under way has started


@pytest.fixture(autouse=True)
def no_job_is_left():
    yield
    for job in JOBS:
        if job.poll() is None:
            job.kill()  # its guardian ends what it has started
        job.wait()
    JOBS.clear()


def launch(*command):
    """A command as two workers, in the background."""
    JOBS.append(
        subprocess.Popen(
            [sys.executable, '-m', 'd2l_seq2seq.launch', '--start-timeout', 'none', '--', *command],
            cwd=ROOT,
            stdout=subprocess.PIPE,
            stderr=subprocess.PIPE,
            text=True,
            preexec_fn=hear_ctrl_c,
        )
    )
    return JOBS[-1]


def start_job(*arguments):
    """A training by two workers, in the background."""
    return launch(sys.executable, '-m', 'd2l_seq2seq.train', '--kvstore', 'dist_sync', *arguments)


def finish_job(*arguments):
    """A training by two workers to its end; returns what it printed."""
    job = start_job(*arguments)
    stdout, stderr = job.communicate(timeout=JOB_SECONDS)
    assert (job.returncode, stderr) == (0, ''), stderr
    return stdout


def processes():
    """The processes of this machine: number, number of the parent, command."""
    rows = subprocess.run(
        ['ps', '-A', '-o', 'pid=,ppid=,args='], capture_output=True, text=True, check=True
    ).stdout.splitlines()
    return [
        (int(pid), int(parent), command)
        for pid, parent, command in (
            row.split(None, 2) for row in rows if len(row.split(None, 2)) == 3
        )
    ]


def family_of(pid):
    """A process's descendants, with their commands."""
    own = [(child, command) for child, parent, command in processes() if parent == pid]
    return own + [one for child, _ in own for one in family_of(child)]


def wait_for_checkpoint(folder, job):
    deadline = time.monotonic() + JOB_SECONDS
    while not list(folder.glob('checkpoints/epoch-[2-9]*')):
        assert job.poll() is None and time.monotonic() < deadline
        time.sleep(0.05)  # between two looks


def test_one_worker_does_nothing():
    group, vector = SingleWorker(), mx.nd.array([1, 2])
    assert group.sum([vector]) == [vector]
    group.broadcast_arrays([vector])
    group.require_equal(b'something', 'it')
    assert vector.asnumpy().tolist() == [1, 2] and group.any(True) and not group.any(False)
    assert group.broadcast((0.1, 2)) == [0.1, 2]


def test_a_worker_without_a_group_is_told_how_to_start_one(monkeypatch):
    monkeypatch.delenv('DMLC_ROLE', raising=False)
    with pytest.raises(InputError, match='expected DMLC_ROLE=worker .* d2l_seq2seq.launch'):
        KVStoreWorkers()


class Exchange:
    """A store in which other workers have put their part already."""

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
    """A worker that has met others, without a server."""
    group = KVStoreWorkers.__new__(KVStoreWorkers)
    group.rank, group.num_workers, group._keys = rank, num_workers, set()
    group._store = Exchange(others)
    return group


def test_vectors_come_back_as_sums_in_their_sizes():
    first, second = worker_with([10, 20, 30]).sum([mx.nd.array([1, 2]), mx.nd.array([3])])
    assert first.asnumpy().tolist() == [11, 22] and second.asnumpy().tolist() == [33]


def test_the_first_workers_values_are_taken_over():
    vector = mx.nd.array([5, 6])
    worker_with([1, 2], rank=1).broadcast_arrays([vector])
    assert vector.asnumpy().tolist() == [1, 2]


def test_numbers_come_from_the_first_worker_to_the_bit():
    numbers = [1 / 3, -5e-324, 1e308, 0.0]
    sent = onp.array(numbers).view('uint8').astype('float32')
    assert worker_with(0 * sent).broadcast(numbers) == numbers
    assert worker_with(sent, rank=1).broadcast([7.0] * 4) == numbers


def test_workers_that_differ_are_named():
    same, other = worker_with(0), worker_with(0)
    table = onp.zeros((2, 32), dtype='float32')
    table[1] = list(hashlib.sha256(b'weights').digest())
    same._store.others = other._store.others = table.ravel()
    same.require_equal(b'weights', 'their weights')
    with pytest.raises(InputError, match=r'workers \[1\] differ from worker 0 in their weights'):
        other.require_equal(b'other weights', 'their weights')


def assert_two_are_one(tmp_path, number, one):
    two = tmp_path / f'two {number}'
    finish_job(*PLAIN, '--out', str(two))
    for ours, theirs in zip(metrics_of(two), metrics_of(one)):
        assert ours == pytest.approx(theirs, rel=1e-4)
    arrays = arrays_of(one, 3)
    for name, array in arrays_of(two, 3).items():
        onp.testing.assert_allclose(array, arrays[name], atol=1e-3)


@pytest.fixture
def one(tmp_path):
    """The same training by a single process."""
    finish(*PLAIN, '--out', str(tmp_path / 'one'))
    return tmp_path / 'one'


@pytest.mark.distributed
def test_two_workers_are_one(tmp_path, one):
    """That their weights are equal in every epoch the training sees to by itself."""
    assert_two_are_one(tmp_path, 0, one)


@pytest.mark.slow
@pytest.mark.distributed
def test_two_workers_are_one_twenty_times(tmp_path, one):
    for number in range(20):
        assert_two_are_one(tmp_path, number, one)


@pytest.mark.slow
@pytest.mark.distributed
def test_a_killed_worker_ends_the_job_which_goes_on_to_the_same_bits(tmp_path):
    whole, broken = tmp_path / 'whole', tmp_path / 'broken'
    finish_job(*SETTINGS, '--num-epochs', '8', '--out', str(whole))
    job = start_job(*SETTINGS, '--num-epochs', '8', '--out', str(broken))
    wait_for_checkpoint(broken, job)
    family = family_of(job.pid)
    workers = [pid for pid, command in family if 'd2l_seq2seq.train' in command]
    assert len(workers) == 2 and len(family) >= 4
    os.kill(workers[1], signal.SIGKILL)
    _, stderr = job.communicate(timeout=JOB_SECONDS)
    assert job.returncode == 137
    assert f'worker 1 (process {workers[1]}) was ended by SIGKILL; ending the others' in stderr
    assert not {pid for pid, _ in family} & {pid for pid, _, _ in processes()}
    finish_job('--resume', str(broken))
    assert_same_training(broken, whole, 8)


@pytest.mark.slow
@pytest.mark.distributed
@pytest.mark.parametrize('is_sent_to_all', [False, True])
@pytest.mark.parametrize('number', [signal.SIGINT, signal.SIGTERM])
def test_a_signal_ends_the_job_in_order(tmp_path, number, is_sent_to_all):
    """To all its processes a batch system sends it."""
    folder = tmp_path / 'run'
    job = start_job(*SETTINGS, '--num-epochs', '1000', '--out', str(folder))
    wait_for_checkpoint(folder, job)
    others = family_of(job.pid) if is_sent_to_all and number == signal.SIGTERM else []
    job.send_signal(number)
    for pid, _ in others:
        os.kill(pid, number)
    stdout, stderr = job.communicate(timeout=JOB_SECONDS)
    assert job.returncode == 128 + number, stderr
    assert 'go on with:' in stdout and 'killed' not in stderr


@pytest.mark.distributed
def test_a_worker_that_fails_ends_the_job(tmp_path):
    """And does not wait for the others, which wait for it."""
    folder = tmp_path / 'run'
    job = start_job(*PLAIN, '--num-epochs', '100000', '--save-every', '1', '--out', str(folder))
    wait_for_checkpoint(folder, job)
    (folder / 'checkpoints').rename(tmp_path / 'gone')
    (folder / 'checkpoints').write_text('in the way')
    _, stderr = job.communicate(timeout=JOB_SECONDS)
    assert job.returncode == 2
    assert f'error: {folder}: a checkpoint can not be written (' in stderr
    assert 'error: worker 0 (process ' in stderr


@pytest.mark.distributed
def test_workers_need_the_same_settings(tmp_path):
    """As they may not have where each is started by hand."""
    script = (
        f'exec {sys.executable} -m d2l_seq2seq.train --kvstore dist_sync "$@" '
        '--label-smoothing 0.$DMLC_TASK_ID'
    )
    job = launch('sh', '-c', script, 'sh', *PLAIN, '--out', str(tmp_path / 'run'))
    _, stderr = job.communicate(timeout=JOB_SECONDS)
    assert job.returncode == 2
    assert 'workers [1] differ from worker 0 in settings, or in what they find of the run' in stderr
