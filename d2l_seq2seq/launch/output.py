"""The output of several processes, copied line by line to our own output so that no lines mix."""

from __future__ import annotations

import contextlib
import os
import threading
from dataclasses import dataclass
from typing import IO, Callable

_MAX_LINE_BYTES = 1 << 16  # longer lines are copied in parts
_locks = {1: threading.Lock(), 2: threading.Lock()}  # by file descriptor


@dataclass(frozen=True)
class Destination:
    """The place to which the lines of a process are copied.

    Attributes
    ----------
    descriptor : int
        1 or 2, for our own standard output or standard error.
    prefix : str
        Text to write before each line.
    is_shown : callable
        A function that receives each line as bytes and returns True if it should be written.
    """

    descriptor: int
    prefix: str = ''
    is_shown: Callable[[bytes], bool] = lambda line: True


def copy_lines(pipe: IO[bytes], destination: Destination) -> None:
    """Copy the lines of a pipe until it ends or the destination is closed; then close the pipe.

    If the destination is closed, the process that writes to the pipe gets a broken pipe as well.
    """
    with pipe, contextlib.suppress(OSError):
        for line in iter(lambda: pipe.readline(_MAX_LINE_BYTES), b''):
            if destination.is_shown(line):
                if destination.prefix:  # show only the last state of a progress bar
                    text = line.rstrip(b'\r\n').rsplit(b'\r', 1)[-1]
                    line = destination.prefix.encode() + text + b'\n'
                _write(destination.descriptor, line)


def write_line(line: str) -> None:
    """Write a line to standard error, waiting at most a second for a slow reader."""

    def write():
        with contextlib.suppress(OSError):
            _write(2, f'{line}\n'.encode())

    thread = threading.Thread(target=write, daemon=True)
    thread.start()
    thread.join(1)


def is_writing() -> bool:
    """Return True if a line is being written at the moment, perhaps to a slow reader."""
    return any(lock.locked() for lock in _locks.values())


def _write(descriptor: int, data: bytes) -> None:
    """Write all of the data, without interruption by another line."""
    with _locks[descriptor]:
        while data:
            data = data[os.write(descriptor, data) :]
