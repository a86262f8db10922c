"""Jobs of several processes: how they end, and that no process is ever left running."""

import os
import re
import signal

import pytest

from launched_job import ALL_PROCESSES, PRELUDE, READY, is_running, job_starter, wait_for


@pytest.fixture
def start_job(tmp_path):
    with job_starter(tmp_path) as start:
        yield start


def test_a_job_ends_when_its_workers_have_exited(start_job):
    job = start_job('print(role, number)', '-n', '3', '-s', '2')
    assert job.finish() == (0, 'worker 0\n', '')
    names = {path.name for path in job.folder.iterdir()}
    assert {'worker-0', 'worker-1', 'worker-2'} <= names  # the others may have been too slow


def test_scheduler_and_servers_may_exit_first(start_job):
    job = start_job("time.sleep(0.3); print('done')", server=PRELUDE)
    assert job.finish() == (0, 'done\n', '')


def test_a_server_may_fail_after_the_workers_are_done(start_job):
    """A C++ program that exits while its threads run may do that; the work is done."""
    job = start_job(
        "print('done')",
        server=PRELUDE
        + """
for name in ('worker-0', 'worker-1'):
    path = os.path.join(os.environ['NOTES'], name)
    try:
        while not os.path.exists(path) or os.kill(int(open(path).read()), 0) is None:
            time.sleep(0.02)
    except ProcessLookupError:
        pass
os.abort()""",
    )
    code, stdout, stderr = job.finish()
    assert (code, stdout) == (0, 'done\n') and 'error' not in stderr


@pytest.mark.parametrize(
    'ending, code, outcome',
    [
        ('sys.exit(3)', 3, 'exited with code 3'),
        ('os._exit(1)', 1, 'exited with code 1'),
        ('os.kill(os.getpid(), signal.SIGKILL)', 137, 'was terminated by SIGKILL'),
        ('os.abort()', 134, 'was terminated by SIGABRT'),
        ('os.kill(os.getpid(), 40)', 168, 'was terminated by signal 40'),
    ],
)
def test_a_failing_worker_ends_the_job(start_job, ending, code, outcome):
    job = start_job(f'{ending} if number else wait()')
    exit_code, stdout, stderr = job.finish()
    pid = job.read('worker-1')
    assert (exit_code, stdout) == (code, '')
    assert stderr == f'error: worker 1 (process {pid}) {outcome}; ending the others\n'


def test_a_killed_worker_ends_the_job(start_job):
    job = start_job('wait()')
    job.wait_for(*ALL_PROCESSES)
    os.kill(int(job.read('worker-0')), signal.SIGKILL)
    code, _, stderr = job.finish()
    assert code == 137 and re.fullmatch(
        r'error: worker 0 \(process \d+\) was terminated by SIGKILL; ending the others\n', stderr
    )


@pytest.mark.parametrize('role', ['scheduler', 'server'])
def test_a_failing_scheduler_or_server_ends_the_job(start_job, role):
    name = {'scheduler': 'scheduler', 'server': 'server 1'}[role]
    job = start_job(
        'wait()',
        '-s',
        '2',
        server=f'{PRELUDE}\n'
        f'wait() if (role, number) != ("{role}", {int(role == "server")}) else sys.exit(5)',
    )
    code, _, stderr = job.finish()
    assert code == 5 and stderr.startswith(f'error: {name} (process ')


def test_a_worker_that_ignores_sigterm_is_killed(start_job):
    job = start_job("""
        if number == 0:
            signal.signal(signal.SIGTERM, signal.SIG_IGN)
            note('ignores.txt', '')
            wait()
        while not os.path.exists(os.environ['NOTES'] + '/ignores.txt'):
            time.sleep(0.02)
        note('failed.txt', '')
        sys.exit(4)""")
    job.wait_for('failed.txt')
    assert job.finish()[0] == 4  # it finishes only if the other worker is killed


CHILD = """
child = subprocess.Popen([sys.executable, '-c', 'import time; time.sleep(600)'])
note(f'child-{number}', child.pid)
"""


def test_the_children_of_a_process_end_with_it(start_job):
    job = start_job(CHILD + 'sys.exit(0 if number else 6)')
    assert job.finish()[0] == 6
    job = start_job(CHILD)
    assert job.finish()[0] == 0
    assert {'child-0', 'child-1'} <= {path.name for path in job.folder.iterdir()}


def test_no_process_survives_a_killed_launcher(start_job):
    job = start_job(CHILD + 'wait()')
    job.wait_for(*ALL_PROCESSES, 'child-0', 'child-1')
    assert all(map(is_running, job.pids()))
    job.process.kill()
    wait_for(lambda: not any(map(is_running, job.pids())))


STOPPABLE = """
def stop(received, frame):
    note(f'saved-{number}.txt', received)
    sys.exit(128 + received)
signal.signal(signal.SIGINT, stop)
signal.signal(signal.SIGTERM, stop)
note(f'ready-{number}.txt', '')
wait()
"""


@pytest.mark.parametrize(
    'number, name, code', [(signal.SIGINT, 'SIGINT', 130), (signal.SIGTERM, 'SIGTERM', 143)]
)
def test_a_signal_is_passed_on(start_job, number, name, code):
    job = start_job(STOPPABLE)
    job.wait_for(*ALL_PROCESSES, *READY)
    job.process.send_signal(number)
    assert job.finish() == (
        code,
        '',
        f'{name}: the workers have 30 s to stop; signal again to kill them\n',
    )
    received = [int(job.read(f'saved-{worker}.txt')) for worker in range(2)]
    assert received == [number, number]


def test_a_worker_without_a_handler_is_interrupted(start_job):
    job = start_job("note(f'ready-{number}.txt', ''); wait()")
    job.wait_for(*READY)
    job.process.send_signal(signal.SIGINT)
    code, _, stderr = job.finish()
    assert code == 130 and 'error' not in stderr and '[1] KeyboardInterrupt\n' in stderr


def test_workers_that_exit_with_0_after_a_signal_have_succeeded(start_job):
    job = start_job(STOPPABLE.replace('128 + received', '0'))
    job.wait_for(*READY)
    job.process.send_signal(signal.SIGTERM)
    assert job.finish()[0] == 0


def test_a_worker_may_fail_after_a_signal(start_job):
    job = start_job(STOPPABLE.replace('128 + received', '9 if number else 143'))
    job.wait_for(*READY)
    job.process.send_signal(signal.SIGTERM)
    code, _, stderr = job.finish()
    assert code == 9 and 'error: worker 1 (process ' in stderr


def test_a_worker_that_is_saving_gets_no_second_signal(start_job):
    job = start_job("""
        def stop(received, frame):
            signal.signal(signal.SIGTERM, lambda *_: note('second-signal.txt', ''))
            if number:
                sys.exit(9)
            time.sleep(1)  # long enough for the other worker to fail and the launcher to notice
            note('saved.txt', '')
            sys.exit(143)
        signal.signal(signal.SIGTERM, stop)
        note(f'ready-{number}.txt', '')
        wait()""")
    job.wait_for(*READY)
    job.process.send_signal(signal.SIGTERM)
    assert job.finish()[0] == 9
    assert (job.folder / 'saved.txt').exists()
    assert not (job.folder / 'second-signal.txt').exists()


STUBBORN = """
signal.signal(signal.SIGINT, lambda *_: note(f'signalled-{number}.txt', ''))
signal.signal(signal.SIGTERM, signal.SIG_IGN)
note(f'ready-{number}.txt', '')
while True:
    time.sleep(600)
"""


def test_workers_that_do_not_stop_in_time_are_killed(start_job):
    job = start_job(STUBBORN, '--stop-timeout', '0.5')
    job.wait_for(*READY)
    job.process.send_signal(signal.SIGINT)
    code, _, stderr = job.finish()
    assert code == 137
    assert stderr.splitlines()[1] == (
        'error: killed the workers that did not exit within 0.5 s of SIGINT: worker 0, worker 1. '
        'Allow more time with --stop-timeout.'
    )


def test_a_second_signal_kills_at_once(start_job):
    job = start_job(STUBBORN, '--stop-timeout', '100000')
    job.wait_for(*READY)
    job.process.send_signal(signal.SIGINT)
    job.wait_for('signalled-0.txt', 'signalled-1.txt')
    job.process.send_signal(signal.SIGTERM)
    assert job.finish()[0] == 130


def test_a_group_that_does_not_form_is_ended(start_job):
    job = start_job('wait()', '--start-timeout', '0.5', '-s', '2')
    code, stdout, stderr = job.finish()
    assert (code, stdout) == (124, '')
    assert stderr == (
        'error: the group did not form within 0.5 s: server 0, server 1, worker 0, worker 1 did '
        'not reach the scheduler. Make sure that the command creates a dist_sync store, read the '
        'output above, or allow more time with --start-timeout.\n'
    )
