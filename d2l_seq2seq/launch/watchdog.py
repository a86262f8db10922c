"""A process that kills sessions of other processes when the one that started it is gone.

This file is a part of the package, and a program: what the guardian runs.
"""

from __future__ import annotations

import contextlib
import os
import signal
import subprocess
import sys
from typing import BinaryIO


class Watchdog:
    """A process that kills the sessions named to it when this process is gone without a word.

    It learns so from the end of its input, on every system.  Only if it is killed as well, in the
    same moment, are processes left.
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
        self._write('done')
        self._process.stdin.close()
        self._process.wait()

    def watch_me(self) -> None:
        """Called in a new process, in its own session, before it becomes its command.

        So there is no moment at which it runs and the guardian doesn't know of it.
        """
        self._write(f'+{os.getpid()}')

    def forget(self, pid: int) -> None:
        """A session has ended, and its number may become another one's."""
        self._write(f'-{pid}')

    def _write(self, line: str) -> None:
        with contextlib.suppress(OSError):  # it was killed; the job goes on
            os.write(self._process.stdin.fileno(), f'{line}\n'.encode())


def _guard(lines: BinaryIO) -> None:
    """What the guardian does."""
    for number in (signal.SIGHUP, signal.SIGINT, signal.SIGTERM):
        signal.signal(number, signal.SIG_IGN)  # batch systems send them to every process
    sessions = set()
    for line in lines:
        if line == b'done\n':
            return
        (sessions.add if line.startswith(b'+') else sessions.discard)(int(line[1:]))
    for session in sessions:
        with contextlib.suppress(ProcessLookupError, PermissionError):
            os.killpg(session, signal.SIGKILL)


if __name__ == '__main__':
    _guard(sys.stdin.buffer)
