"""What processes write, brought to our own output line by line, so that lines don't mix."""

from __future__ import annotations

import contextlib
import os
import threading
from dataclasses import dataclass
from typing import BinaryIO, Callable

_LONGEST_LINE = 1 << 16
_locks = {1: threading.Lock(), 2: threading.Lock()}  # of the descriptors that lines are written to


@dataclass(frozen=True)
class Lines:
    """Where a process's output goes.

    Attributes
    ----------
    descriptor : int
        1 or 2, our own standard output or standard error.
    prefix : str
        What stands before each line.
    is_shown : function of bytes
        Hears each line and says whether it is written.
    """

    descriptor: int
    prefix: str = ''
    is_shown: Callable[[bytes], bool] = lambda line: True


def copy_lines(pipe: BinaryIO, lines: Lines) -> None:
    """Write what comes out of a pipe; a reader that is gone is gone for the process as well."""
    with pipe, contextlib.suppress(OSError):
        for line in iter(lambda: pipe.readline(_LONGEST_LINE), b''):
            if lines.is_shown(line):
                if lines.prefix:  # of a progress bar, its last state
                    text = line.rstrip(b'\r\n').rsplit(b'\r', 1)[-1]
                    line = lines.prefix.encode() + text + b'\n'
                _write(lines.descriptor, line)


def write_line(line: str) -> None:
    """Write a line to standard error, without waiting for long for who doesn't read it."""

    def write():
        with contextlib.suppress(OSError):
            _write(2, f'{line}\n'.encode())

    thread = threading.Thread(target=write, daemon=True)
    thread.start()
    thread.join(1)


def is_writing() -> bool:
    """Whether a line is being written, perhaps to a slow reader."""
    return any(lock.locked() for lock in _locks.values())


def _write(descriptor: int, data: bytes) -> None:
    """Write all of it, with nothing of another line in between."""
    with _locks[descriptor]:
        while data:
            data = data[os.write(descriptor, data) :]
