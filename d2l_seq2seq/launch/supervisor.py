"""Processes that form one job: start them together, watch them, and end them all.

A job consists of workers and of processes that serve them.  It is done when all workers have
exited.  It has failed when one process has failed, and then the others are ended too.  Each process
leads its own session and process group, so that it can be ended together with its descendants, and
so that Ctrl-C in a terminal reaches this process only, which passes it on.  A watchdog kills the
remaining processes if this process itself is killed.

This module depends neither on MXNet nor on what the processes communicate.
"""

from __future__ import annotations

import contextlib
import os
import signal
import subprocess
import threading
import time
from dataclasses import dataclass
from typing import IO, Callable

from .._signals import ReceivedSignals
from .output import Destination, copy_lines, is_writing
from .watchdog import Watchdog

POLL_INTERVAL = 0.05  # seconds between two checks of the processes
TERMINATE_TIMEOUT = 5  # seconds from SIGTERM to SIGKILL after a process has failed
FINISH_TIMEOUT = 2  # seconds for the other processes to exit after the workers, then for output
KILL_TIMEOUT = 2  # seconds for killed processes to disappear and for their output to be written
START_FAILED = 124  # the exit code of the command `timeout` when its time limit is reached
KILLED = 128 + signal.SIGKILL  # the exit code when the workers did not stop in time


@dataclass(frozen=True)
class Task:
    """A process to run.

    Attributes
    ----------
    name : str
        Its name in messages.
    command : list of str
    environment : dict of str to str
    is_worker : bool
        True for the workers; the job is done when all of them have exited.
    stdout, stderr : Destination, int or None
        A destination for its lines, or an argument for `subprocess.Popen`: ``DEVNULL``, or None for
        our own output.
    """

    name: str
    command: list[str]
    environment: dict[str, str]
    is_worker: bool
    stdout: Destination | int | None = None
    stderr: Destination | int | None = None


def supervise(
    tasks: list[Task],
    check_start: Callable[[float], str | None],
    stop_timeout: float,
    report: Callable[[str], None],
) -> int:
    """Run the processes of a job until it is done or one of them fails.

    Parameters
    ----------
    tasks : list of Task
        They are started in this order.
    check_start : callable
        A function of the seconds since the start.  It is called regularly.  If it returns an error
        message, the job ends.
    stop_timeout : float
        Seconds that the workers have to exit after SIGINT or SIGTERM, which are passed on to them.
        A second signal kills all processes at once.
    report : callable
        A function that shows a line to the user.

    Returns
    -------
    int
        - 0 if all workers exited with 0;
        - the exit code of the process that failed, or 128 plus the number of the signal that ended
          it;
        - `START_FAILED` if `check_start` returned a message;
        - after a signal to this process, 128 plus its number, or `KILLED` if the workers did not
          exit in time.

    Raises
    ------
    OSError
        If a command cannot be executed.  No process is left running, as after a normal return.
    """
    with ReceivedSignals() as signals, Watchdog() as watchdog:
        job = _Job(watchdog)
        try:
            for task in tasks:
                job.start(task)
            job.forward_output()
            return _watch(job, signals, check_start, stop_timeout, report)
        finally:
            job.kill()


def _watch(
    job: _Job,
    signals: ReceivedSignals,
    check_start: Callable[[float], str | None],
    stop_timeout: float,
    report: Callable[[str], None],
) -> int:
    """Wait until the job is done, a process fails or a signal arrives; return the exit code."""
    start = time.monotonic()
    while True:
        job.poll()
        if signals.received:
            return _stop(job, signals, stop_timeout, report)
        failed_process = job.find_failure({0})
        if failed_process:
            return _end_after_failure(failed_process, job, signals, report)
        if not job.running(only_workers=True):
            job.finish(signals)
            return 0
        problem = check_start(time.monotonic() - start)
        if problem:
            report(f'error: {problem}')
            job.terminate(signals)
            return START_FAILED
        time.sleep(POLL_INTERVAL)


def _stop(
    job: _Job, signals: ReceivedSignals, stop_timeout: float, report: Callable[[str], None]
) -> int:
    """Pass a signal on to the workers and wait until they exit; return the exit code."""
    number = signals.received[0]
    name = _signal_name(number)
    report(f'{name}: the workers have {stop_timeout:g} s to stop; signal again to kill them')
    for process in job.running(only_workers=True):
        process.send_signal(number)
    deadline = time.monotonic() + stop_timeout
    while True:
        failed_process = job.find_failure({0, 128 + number, -number})
        if failed_process:
            return _end_after_failure(failed_process, job, signals, report)
        workers = job.running(only_workers=True)
        if not workers:
            job.finish(signals)
            return 0 if job.find_failure({0}) is None else 128 + number
        if len(signals.received) > 1:
            return 128 + number
        if time.monotonic() > deadline:
            names = ', '.join(worker.name for worker in workers)
            report(
                f'error: killed the workers that did not exit within {stop_timeout:g} s of {name}: '
                f'{names}. Allow more time with --stop-timeout.'
            )
            return KILLED
        time.sleep(POLL_INTERVAL)
        job.poll()


def _end_after_failure(
    process: _Process, job: _Job, signals: ReceivedSignals, report: Callable[[str], None]
) -> int:
    """Report the process that failed and end the others; return the exit code."""
    code = process.exit_code
    assert code is not None
    outcome = f'exited with code {code}' if code > 0 else f'was terminated by {_signal_name(-code)}'
    report(f'error: {process.name} (process {process.pid}) {outcome}; ending the others')
    job.terminate(signals)
    return code if code > 0 else 128 - code


def _signal_name(number: int) -> str:
    """Return the name of a signal, or its number for a real-time signal, which has no name."""
    has_name = number in set(signal.Signals)
    return signal.Signals(number).name if has_name else f'signal {number}'


class _Job:
    """The processes of a job, in the order in which they were started."""

    def __init__(self, watchdog: Watchdog):
        self._watchdog = watchdog
        self._processes: list[_Process] = []
        self._threads: list[threading.Thread] = []

    def start(self, task: Task) -> None:
        """Start a process."""
        self._processes.append(_Process(task, self._watchdog))

    def forward_output(self) -> None:
        """Start copying the output of all processes.

        Call this after the last process has been started, because it starts threads, and a process
        with threads must not fork.
        """
        for process in self._processes:
            for pipe, destination in process.outputs():
                thread = threading.Thread(target=copy_lines, args=(pipe, destination), daemon=True)
                thread.start()
                self._threads.append(thread)

    def poll(self) -> None:
        """Update the exit codes, and kill what the processes that have exited left behind."""
        for process in self.running():
            if process.poll() is not None:
                process.send_signal(signal.SIGKILL)
                self._watchdog.unregister(process.pid)

    def running(self, only_workers: bool = False) -> list[_Process]:
        """Return the processes that had not exited when `poll` was last called."""
        return [
            process
            for process in self._processes
            if process.exit_code is None and (process.task.is_worker or not only_workers)
        ]

    def find_failure(self, expected_codes: set[int]) -> _Process | None:
        """Return a process that exited with another code, a worker if there is one.

        The processes that serve the workers count only as long as a worker is running.
        """
        failed = [
            process
            for process in self._processes
            if process.exit_code is not None and process.exit_code not in expected_codes
        ]
        relevant = [
            process
            for process in failed
            if process.task.is_worker or self.running(only_workers=True)
        ]
        relevant.sort(key=lambda process: not process.task.is_worker)
        return relevant[0] if relevant else None

    def finish(self, signals: ReceivedSignals) -> None:
        """Wait until the other processes exit and all output is written, even to a slow reader."""
        self._wait(FINISH_TIMEOUT, signals)
        deadline, num_signals = time.monotonic() + FINISH_TIMEOUT, len(signals.received)
        while (
            any(thread.is_alive() for thread in self._threads)
            and len(signals.received) == num_signals
            and time.monotonic() < deadline
        ):
            if is_writing():
                deadline = time.monotonic() + FINISH_TIMEOUT
            time.sleep(POLL_INTERVAL)

    def terminate(self, signals: ReceivedSignals) -> None:
        """Send SIGTERM to the workers that got no signal yet, and wait for them to exit."""
        for process in self.running(only_workers=True):
            if not process.was_signalled:  # a second signal would end it without saving
                process.send_signal(signal.SIGTERM)
        self._wait(TERMINATE_TIMEOUT, signals, only_workers=True)

    def _wait(self, timeout: float, signals: ReceivedSignals, only_workers: bool = False) -> None:
        """Wait until the processes have exited, the timeout expires or another signal arrives."""
        deadline, num_signals = time.monotonic() + timeout, len(signals.received)
        while (
            self.running(only_workers)
            and time.monotonic() < deadline
            and len(signals.received) == num_signals
        ):
            time.sleep(POLL_INTERVAL)
            self.poll()

    def kill(self) -> None:
        """Kill the processes that are still running, and write the rest of the output."""
        for process in self.running():
            process.send_signal(signal.SIGKILL)
        deadline = time.monotonic() + KILL_TIMEOUT
        while self.running() and time.monotonic() < deadline:
            time.sleep(0.001)
            self.poll()
        for thread in self._threads:
            thread.join(max(0, deadline - time.monotonic()))


class _Process:
    """A process that was started, with the process group that it leads."""

    def __init__(self, task: Task, watchdog: Watchdog):
        self.task = task
        self.name = task.name
        self.was_signalled = False
        self._popen = subprocess.Popen(
            task.command,
            env=task.environment,
            stdin=subprocess.DEVNULL,
            stdout=subprocess.PIPE if isinstance(task.stdout, Destination) else task.stdout,
            stderr=subprocess.PIPE if isinstance(task.stderr, Destination) else task.stderr,
            start_new_session=True,
            preexec_fn=watchdog.register_this_process,
        )
        self.pid = self._popen.pid

    @property
    def exit_code(self) -> int | None:
        """The exit code, or minus the number of the signal that ended it; None before `poll`."""
        return self._popen.returncode

    def poll(self) -> int | None:
        """Check if the process has exited, and return its exit code."""
        return self._popen.poll()

    def send_signal(self, number: int) -> None:
        """Send a signal to the process and its descendants in the same group."""
        self.was_signalled = True
        with contextlib.suppress(ProcessLookupError, PermissionError):
            os.killpg(self.pid, number)

    def outputs(self) -> list[tuple[IO[bytes], Destination]]:
        """Return the pipes of the process, each with the destination of its lines."""
        pairs = (self._popen.stdout, self.task.stdout), (self._popen.stderr, self.task.stderr)
        return [
            (pipe, destination)
            for pipe, destination in pairs
            if pipe is not None and isinstance(destination, Destination)
        ]
