"""Jobs of the launcher whose processes run small programs, without MXNet."""

import contextlib
import os
import signal
import subprocess
import sys
import textwrap
import time

from conftest import ROOT
from small_run import enable_sigint

# The launcher, with another program for the scheduler and the servers.
LAUNCHER = """
import sys
from d2l_seq2seq import cli, launch
from d2l_seq2seq.launch import supervisor
supervisor.FINISH_TIMEOUT = 0.3  # these servers never exit by themselves
cli.run(lambda: launch.main(sys.argv[2:], [sys.executable, '-c', sys.argv[1]]))
"""
# The start of each program: it writes its process id to a file, and defines some functions.
PRELUDE = """
import os, signal, subprocess, sys, time
role, number = os.environ['DMLC_ROLE'], int(os.environ.get('DMLC_TASK_ID', 0))
def note(name, text):
    path = os.path.join(os.environ['NOTES'], name)
    with open(path + '.part', 'w') as file:
        file.write(str(text))
    os.rename(path + '.part', path)
def wait():
    time.sleep(600)
note(f'{role}-{number}', os.getpid())
"""
SERVER = f'{PRELUDE}\nwait()'
ALL_PROCESSES = 'scheduler-0', 'server-0', 'worker-0', 'worker-1'
READY = [f'ready-{number}.txt' for number in range(2)]


class Job:
    """A running launcher, and the files that its processes write.

    A process writes its id to a file without a suffix, and anything else to a file with one.
    """

    def __init__(
        self, folder, worker, *options, server=SERVER, stdout=subprocess.PIPE, environment=()
    ):
        worker_command = [sys.executable, '-c', PRELUDE + textwrap.dedent(worker)]
        self.folder = folder
        self.process = subprocess.Popen(
            [sys.executable, '-c', LAUNCHER, server, *options, '--', *worker_command],
            cwd=ROOT,
            stdout=stdout,
            stderr=subprocess.PIPE,
            text=True,
            preexec_fn=enable_sigint,
            env={**os.environ, 'NOTES': str(folder), **dict(environment)},
        )

    def read(self, name):
        """Return the text of a file."""
        return (self.folder / name).read_text()

    def pids(self):
        """Return the ids of the processes that have started."""
        return [int(path.read_text()) for path in self.folder.iterdir() if path.suffix == '']

    def wait_for(self, *names):
        """Wait until files with these names exist."""
        wait_for(lambda: all((self.folder / name).exists() for name in names))

    def finish(self):
        """Return exit code, standard output and standard error; check that no process is left."""
        stdout, stderr = self.process.communicate(timeout=60)
        assert [pid for pid in self.pids() if is_running(pid)] == []
        return self.process.returncode, stdout, stderr


@contextlib.contextmanager
def job_starter(folder):
    """Give a function that starts a job, and kill what a failing test leaves running."""
    jobs = []

    def start(*args, **kwargs):
        jobs.append(Job(folder, *args, **kwargs))
        return jobs[-1]

    yield start
    for job in jobs:
        job.process.kill()
        job.process.communicate()
        for pid in job.pids():
            with contextlib.suppress(ProcessLookupError):
                os.kill(pid, signal.SIGKILL)


def wait_for(condition):
    """Wait until a function returns True."""
    deadline = time.monotonic() + 60
    while not condition():
        assert time.monotonic() < deadline, 'waited for a minute'
        time.sleep(0.02)


def is_running(pid):
    """Return True if a process has not ended; a zombie has."""
    try:
        os.kill(pid, 0)
        if not os.path.exists('/proc/self/stat'):  # macOS
            return True
        with open(f'/proc/{pid}/stat') as file:
            return file.read().rsplit(')', 1)[1].split()[0] not in 'ZX'
    except (ProcessLookupError, FileNotFoundError):
        return False
