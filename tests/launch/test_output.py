"""The output of a job: the lines of its processes, in order and unmixed."""

import os
import pty
import re
import signal
import time

import pytest

from launched_job import PRELUDE, job_starter


@pytest.fixture
def start_job(tmp_path):
    with job_starter(tmp_path) as start:
        yield start


SPEAK = """
for _ in range(200):
    for word in (role, ' ', str(number), ' speaks\\n'):
        for stream in (sys.stdout, sys.stderr):
            stream.write(word)
            stream.flush()
"""


def test_lines_are_never_mixed(start_job):
    code, stdout, stderr = start_job(
        f'{SPEAK}\ntime.sleep(2)',
        '--all-output',
        '-n',
        '3',
        server=f'{PRELUDE}\n{SPEAK}wait()',
    ).finish()
    assert code == 0
    from_workers = [f'[{number}] worker {number} speaks' for number in range(3)]
    assert sorted(stdout.splitlines()) == sorted(200 * from_workers)
    assert sorted(line for line in stderr.splitlines() if 'worker' in line) == sorted(
        200 * from_workers
    )
    from_others = {'[scheduler] scheduler 0 speaks', '[server 0] server 0 speaks'}
    assert set(stderr.splitlines()) <= {*from_workers, *from_others}


def test_the_output_of_worker_0_is_unchanged(start_job):
    code, stdout, stderr = start_job("""
        print('to stdout')
        print('a bar: 1%\\r\\na bar: 2%\\ra bar: 3%\\nno end', end='', file=sys.stderr)
        """).finish()
    assert (code, stdout) == (0, 'to stdout\n')
    assert '[1] a bar: 1%\n' in stderr and '[1] a bar: 3%\n' in stderr and '[1] no end\n' in stderr
    from_worker_0 = re.sub(r'(?m)^\[1\].*\n', '', stderr)
    assert 'to stdout' not in stderr and from_worker_0.startswith('a bar: 1%')


def test_worker_0_writes_to_the_terminal_itself(start_job):
    """Otherwise it would not draw its progress bar there."""
    our_end, launcher_end = pty.openpty()
    job = start_job(
        'note(f"tty-{number}.txt", [sys.stdin.isatty(), sys.stdout.isatty()])', stdout=launcher_end
    )
    assert job.finish()[0] == 0
    os.close(our_end)
    os.close(launcher_end)
    assert [job.read(f'tty-{number}.txt') for number in range(2)] == [
        '[False, True]',
        '[False, False]',
    ]


def test_a_reader_that_does_not_read_does_not_delay_the_end(start_job):
    job = start_job("""
        if number:
            time.sleep(1)
            sys.exit(7)
        while True:
            print('x' * 1000)""")
    assert job.process.wait(timeout=60) == 7  # nobody has read anything yet
    assert job.finish()[0] == 7


def test_a_slow_reader_gets_everything(start_job):
    job = start_job("print(100_000 * 'x')")
    job.wait_for('worker-0')
    time.sleep(3)  # longer than the launcher waits for anything else
    assert job.finish() == (0, 100_000 * 'x' + '\n', '')


def test_an_output_that_stays_open_does_not_delay_the_end(start_job):
    """It is open in a process with its own session, which does not belong to the job any more."""
    job = start_job("""
        note(f'daemon-{number}.txt', subprocess.Popen(
            [sys.executable, '-c', 'import time; time.sleep(600)'], start_new_session=True).pid)""")
    try:
        assert job.finish()[0] == 0
    finally:
        for number in range(2):
            os.kill(int(job.read(f'daemon-{number}.txt')), signal.SIGKILL)


def test_a_reader_that_closes_the_output_breaks_the_pipe_of_the_worker(start_job):
    job = start_job("""
        try:
            while number == 0:
                print('x' * 1000)
        except BrokenPipeError:
            os._exit(0)""")
    assert job.process.stdout.readline() == 'x' * 1000 + '\n'
    job.process.stdout.close()
    job.process.stdout = None
    assert job.finish()[0] == 0
