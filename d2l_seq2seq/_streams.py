"""The standard streams of a command: any of them may be closed, full, or lose its reader."""

from __future__ import annotations

import contextlib
import io
import os
import sys
from typing import Iterator

OUTPUT = 'standard output'  # the file name of its errors


def prepare() -> None:
    """Make the three standard streams usable.

    A stream that is closed, as after ``>&-`` in a shell, is replaced by the null device.  Without
    that, the next file that is opened would take its number and receive what is printed.  Input and
    output are UTF-8 in every locale.
    """
    descriptor = os.open(os.devnull, os.O_RDWR)
    while descriptor < 3:
        descriptor = os.open(os.devnull, os.O_RDWR)
    os.close(descriptor)
    for name, mode in (('stdin', 'r'), ('stdout', 'w'), ('stderr', 'w')):
        if getattr(sys, name) is None:
            setattr(sys, name, open(os.devnull, mode, encoding='utf-8'))  # noqa: SIM115
    if isinstance(sys.stdin, io.TextIOWrapper):
        sys.stdin.reconfigure(encoding='utf-8', errors='replace')
    if isinstance(sys.stdout, io.TextIOWrapper):
        original = sys.stdout
        sys.stdout = _Output(
            original.buffer,
            encoding='utf-8',
            errors='replace',
            line_buffering=original.line_buffering,
        )
        sys.stdout.original = original  # which would close the buffer when it is freed


def discard_output() -> None:
    """Send standard output to the null device, so that the flush at the exit succeeds."""
    descriptor = os.open(os.devnull, os.O_WRONLY)
    os.dup2(descriptor, sys.stdout.fileno())
    os.close(descriptor)


@contextlib.contextmanager
def without_reader() -> Iterator[None]:
    """Continue quietly if the reader of standard output goes away, as ``head`` does.

    This is for commands whose result is a file.  Other commands end, because nobody reads their
    result.
    """
    output = sys.stdout
    if not isinstance(output, _Output):  # not that of a command, but of a test for example
        yield
        return
    output.needs_reader = False
    try:
        yield
        output.flush()
    finally:
        output.needs_reader = True


class _Output(io.TextIOWrapper):
    """Standard output.  Its errors name it, and it can be used after its reader has gone.

    Attributes
    ----------
    needs_reader : bool
        False: if there is no reader any more, the output is discarded.
    """

    needs_reader = True
    original: io.TextIOWrapper

    def write(self, text: str) -> int:
        with self._handle_errors():
            super().write(text)
        return len(text)

    def flush(self) -> None:
        with self._handle_errors():
            super().flush()

    @contextlib.contextmanager
    def _handle_errors(self) -> Iterator[None]:
        try:
            yield
        except BrokenPipeError:
            if self.needs_reader:
                raise
            discard_output()
        except OSError as error:
            raise OSError(error.errno, error.strerror, OUTPUT) from error
