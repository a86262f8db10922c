"""A process that kills other process groups when the process that started it has disappeared.

This file is both a module of the package and the program of the watchdog process, which runs it by
its path, without importing the package.  It uses the standard library only.
"""

from __future__ import annotations

import contextlib
import os
import signal
import subprocess
import sys
from typing import BinaryIO


class Watchdog:
    """A context manager that runs a watchdog process.

    The watchdog kills the registered process groups if this process ends without leaving the
    context, for example by SIGKILL.  It detects this by the end of its standard input, which works
    on every system.  Processes survive only if the watchdog is killed at the same moment.
    """

    def __enter__(self) -> Watchdog:
        self._process = subprocess.Popen(
            [sys.executable, '-I', '-S', __file__],
            stdin=subprocess.PIPE,
            bufsize=0,
            stdout=subprocess.DEVNULL,
            stderr=subprocess.DEVNULL,
            start_new_session=True,
        )
        return self

    def __exit__(self, *exception) -> None:
        self._send('done')
        assert self._process.stdin is not None
        self._process.stdin.close()
        self._process.wait()

    def register_this_process(self) -> None:
        """Register the calling process, which must lead a process group.

        A new process calls this before it executes its command, so the watchdog knows of every
        process that runs.
        """
        self._send(f'+{os.getpid()}')

    def unregister(self, pid: int) -> None:
        """Remove the group of a process that has ended, because its id may be used again."""
        self._send(f'-{pid}')

    def _send(self, message: str) -> None:
        assert self._process.stdin is not None
        with contextlib.suppress(OSError):  # the job continues if the watchdog was killed
            os.write(self._process.stdin.fileno(), f'{message}\n'.encode())


def _watch(messages: BinaryIO) -> None:
    """Read messages up to ``done``, or kill the registered groups when they end without it."""
    for number in (signal.SIGHUP, signal.SIGINT, signal.SIGTERM):
        signal.signal(number, signal.SIG_IGN)  # batch systems send them to every process
    groups: set[int] = set()
    for message in messages:
        if message == b'done\n':
            return
        (groups.add if message.startswith(b'+') else groups.discard)(int(message[1:]))
    for group in groups:
        with contextlib.suppress(ProcessLookupError, PermissionError):
            os.killpg(group, signal.SIGKILL)


if __name__ == '__main__':
    _watch(sys.stdin.buffer)
