"""Processes that belong together: started, watched, and ended, all of them.

A job is some workers and what runs for them.  It is done when the workers are; it has failed when
one process has, and then the others are ended.  Each process leads a session of its own, so that it
is ended with whatever it started, and Ctrl-C in the terminal reaches this process alone, which
passes it on.  A guardian kills what is left when this process is killed itself.

Knows nothing of MXNet, and nothing of what the processes say to each other.
"""

from __future__ import annotations

import contextlib
import os
import signal
import subprocess
import threading
import time
from dataclasses import dataclass
from typing import BinaryIO, Callable

from .._signals import ReceivedSignals
from .output import Lines, copy_lines, is_writing
from .watchdog import Watchdog

POLL = 0.05  # seconds from one look at the processes to the next
KILL_AFTER = 5  # seconds from SIGTERM to SIGKILL, where a process has failed
SETTLE = 2  # seconds that the others have to end by themselves when all workers are done
START_FAILED = 124  # the exit code of the command `timeout`
KILLED = 128 + signal.SIGKILL


@dataclass(frozen=True)
class Task:
    """A process that is to run.

    Attributes
    ----------
    name : str
        What messages call it.
    is_worker : bool
        The job is done when all workers are; the other processes run for them.
    stdout, stderr : Lines, int or None
        Line by line, or what `subprocess.Popen` takes: DEVNULL, or None for our own.
    """

    name: str
    command: list[str]
    environment: dict[str, str]
    is_worker: bool
    stdout: Lines | int | None = None
    stderr: Lines | int | None = None


def supervise(
    tasks: list[Task],
    problem: Callable[[float], str | None],
    stop_timeout: float,
    say: Callable[[str], None],
) -> int:
    """Run processes to the end of the job, or to the end of the first that fails.

    Parameters
    ----------
    tasks : list of Task
        In the order in which they are started.
    problem : function of the seconds since then
        Asked all the time; a text is what has gone wrong with the start, and ends the job.
    stop_timeout : float
        Seconds that workers have from SIGINT or SIGTERM, which are passed on to them, to their end.
        A second signal kills everything at once.
    say : function of a line

    Returns
    -------
    int
        0 when all workers ended with 0; else that of the process that failed, 128 and the signal's
        number where it was one; `START_FAILED`; after a signal to us 128 and its number, or
        `KILLED` when the workers' time was over.

    Raises
    ------
    OSError
        If a command can't be run.  As after every other return, nothing is left running then.
    """
    with ReceivedSignals() as signals, Watchdog() as watchdog:
        job = _Job(watchdog)
        try:
            for task in tasks:
                job.start(task)
            job.forward_output()
            return _watch(job, signals, problem, stop_timeout, say)
        finally:
            job.kill()


def _watch(job: _Job, signals: ReceivedSignals, problem, stop_timeout: float, say) -> int:
    """Wait for the end of the job, a failure or a signal; returns the exit code."""
    started = time.monotonic()
    while True:
        job.look()
        if signals.received:
            return _stop(job, signals, stop_timeout, say)
        failed = job.failed({0})
        if failed:
            return _end_after(failed, job, signals, say)
        if not job.running(only_workers=True):
            job.finish(signals)
            return 0
        trouble = problem(time.monotonic() - started)
        if trouble:
            say(f'error: {trouble}')
            job.end(signals)
            return START_FAILED
        time.sleep(POLL)


def _stop(job: _Job, signals: ReceivedSignals, stop_timeout: float, say) -> int:
    """Pass a signal on to the workers and wait for their end; returns the exit code."""
    number = signals.received[0]
    name = _signal_name(number)
    say(f'{name}: the workers have {stop_timeout:g} s to end; once more ends them at once')
    for process in job.running(only_workers=True):
        process.signal(number)
    deadline = time.monotonic() + stop_timeout
    while True:
        failed = job.failed({0, 128 + number, -number})
        if failed:
            return _end_after(failed, job, signals, say)
        late = job.running(only_workers=True)
        if not late:
            job.finish(signals)
            return 0 if job.failed({0}) is None else 128 + number
        if len(signals.received) > 1:
            return 128 + number
        if time.monotonic() > deadline:
            say(
                f'error: {", ".join(process.name for process in late)}: not ended '
                f'{stop_timeout:g} s after {name}, killed; --stop-timeout waits longer'
            )
            return KILLED
        time.sleep(POLL)
        job.look()


def _end_after(failed: _Process, job: _Job, signals: ReceivedSignals, say) -> int:
    """Say which process has failed and end the others; returns the exit code."""
    code = failed.code
    how = f'ended with exit code {code}' if code > 0 else f'was ended by {_signal_name(-code)}'
    say(f'error: {failed.name} (process {failed.pid}) {how}; ending the others')
    job.end(signals)
    return code if code > 0 else 128 - code


def _signal_name(number: int) -> str:
    """What people call a signal; real-time signals have numbers only."""
    named = number in set(signal.Signals)
    return signal.Signals(number).name if named else f'signal {number}'


class _Process:
    """A process that was started, and the session that it leads."""

    def __init__(self, task: Task, watchdog: Watchdog):
        self.name, self.task, self.was_asked = task.name, task, False
        self._popen = subprocess.Popen(
            task.command,
            env=task.environment,
            stdin=subprocess.DEVNULL,
            stdout=subprocess.PIPE if isinstance(task.stdout, Lines) else task.stdout,
            stderr=subprocess.PIPE if isinstance(task.stderr, Lines) else task.stderr,
            start_new_session=True,
            preexec_fn=watchdog.watch_me,
        )
        self.pid = self._popen.pid

    @property
    def code(self) -> int | None:
        """Its exit code, or minus the signal that ended it, once that was seen."""
        return self._popen.returncode

    def look(self) -> int | None:
        """See whether it has ended; returns the same."""
        return self._popen.poll()

    def signal(self, number: int) -> None:
        """Send a signal to it and to whatever it started."""
        self.was_asked = True
        with contextlib.suppress(ProcessLookupError, PermissionError):
            os.killpg(self.pid, number)

    def outputs(self) -> list[tuple[BinaryIO, Lines]]:
        """Its pipes, and where their lines go."""
        pairs = (self._popen.stdout, self.task.stdout), (self._popen.stderr, self.task.stderr)
        return [(pipe, lines) for pipe, lines in pairs if pipe is not None]


class _Job:
    """The processes, in the order in which they were started."""

    def __init__(self, watchdog: Watchdog):
        self._guardian = watchdog
        self._processes: list[_Process] = []
        self._threads: list[threading.Thread] = []

    def start(self, task: Task) -> None:
        """Start a process."""
        self._processes.append(_Process(task, self._guardian))

    def forward_output(self) -> None:
        """Copy what they write; called when all are started, as threads and forks don't mix."""
        for process in self._processes:
            for pipe, lines in process.outputs():
                thread = threading.Thread(target=copy_lines, args=(pipe, lines), daemon=True)
                thread.start()
                self._threads.append(thread)

    def running(self, only_workers: bool = False) -> list[_Process]:
        """Those that had not ended at the last look."""
        return [
            process
            for process in self._processes
            if process.code is None and (process.task.is_worker or not only_workers)
        ]

    def look(self) -> None:
        """See which have ended, and end what these left behind."""
        for process in self.running():
            if process.look() is not None:
                process.signal(signal.SIGKILL)
                self._guardian.forget(process.pid)

    def failed(self, expected: set[int]) -> _Process | None:
        """One that has ended otherwise than expected: a worker, or what workers still need."""
        failed = [
            process
            for process in self._processes
            if process.code is not None and process.code not in expected
        ]
        needed = [
            process
            for process in failed
            if process.task.is_worker or self.running(only_workers=True)
        ]
        return min(needed, key=lambda process: not process.task.is_worker, default=None)

    def wait(self, seconds: float, signals: ReceivedSignals, only_workers: bool = False) -> None:
        """Wait until all have ended, for some time, or until another signal comes."""
        deadline, before = time.monotonic() + seconds, len(signals.received)
        while (
            self.running(only_workers)
            and time.monotonic() < deadline
            and (len(signals.received) == before)
        ):
            time.sleep(POLL)
            self.look()

    def finish(self, signals: ReceivedSignals) -> None:
        """Let what ran for the workers end, and let their output be read, however slowly."""
        self.wait(SETTLE, signals)
        deadline, before = time.monotonic() + SETTLE, len(signals.received)
        while any(thread.is_alive() for thread in self._threads) and (
            len(signals.received) == before and time.monotonic() < deadline
        ):
            if is_writing():
                deadline = time.monotonic() + SETTLE
            time.sleep(POLL)

    def end(self, signals: ReceivedSignals) -> None:
        """Ask all workers to end that were not asked yet, and give them the time for it."""
        for process in self.running(only_workers=True):
            if not process.was_asked:  # a second time would mean without saving
                process.signal(signal.SIGTERM)
        self.wait(KILL_AFTER, signals, only_workers=True)

    def kill(self) -> None:
        """Kill what still runs, and write what is left of the output."""
        for process in self.running():
            process.signal(signal.SIGKILL)
        deadline = time.monotonic() + 2
        while self.running() and time.monotonic() < deadline:
            time.sleep(0.001)
            self.look()
        for thread in self._threads:
            thread.join(max(0, deadline - time.monotonic()))
