"""Signals that end a training in order: Ctrl-C, and SIGTERM as batch systems send it."""

from __future__ import annotations

import os
import signal
import time

_SIGNALS = signal.SIGINT, signal.SIGTERM
SIGTERM_CODE = 128 + signal.SIGTERM
ECHO = 1.0  # seconds in which another SIGTERM is the first one's echo


class Interrupted(Exception):
    """A signal came, and the work has come to a point where it can be gone on with."""


class Interruption:
    """Within it, the first signal is taken down, and a second one ends the process at once.

    Batch systems send SIGTERM to every process of a job, and a launcher among them passes its own
    on: a SIGTERM within a second of the first is the same one.

    Attributes
    ----------
    exit_code : int or None
        What the process should end with, 130 or 143, when a signal came.
    """

    def __init__(self):
        self.exit_code: int | None = None
        self._before, self._since = {}, 0.0

    def __enter__(self) -> Interruption:
        # One that is ignored, as Ctrl-C is in the background of a shell script, stays so.
        self._before = {
            number: signal.signal(number, self._handle)
            for number in _SIGNALS
            if signal.getsignal(number) != signal.SIG_IGN
        }
        return self

    def __exit__(self, *exception) -> None:
        for number, handler in self._before.items():
            signal.signal(number, handler)

    def _handle(self, number: int, frame) -> None:
        code, now = 128 + number, time.monotonic()
        if self.exit_code is not None:
            if code == self.exit_code == SIGTERM_CODE and now - self._since < ECHO:
                return
            os._exit(code)  # without waiting for the device, or for what is being written
        self.exit_code, self._since = code, now
        os.write(2, b'\nstopping after what is under way; once more ends at once, without saving\n')


class ReceivedSignals:
    """Within it, SIGINT and SIGTERM are taken down.

    One that is ignored, as Ctrl-C is in the background of a shell script, stays so.
    """

    def __init__(self):
        self.received: list[int] = []
        self._before = {}

    def __enter__(self) -> ReceivedSignals:
        self._before = {
            number: signal.signal(number, self._note)
            for number in (signal.SIGINT, signal.SIGTERM)
            if signal.getsignal(number) != signal.SIG_IGN
        }
        return self

    def __exit__(self, *exception) -> None:
        for number, handler in self._before.items():
            signal.signal(number, handler)

    def _note(self, number: int, frame) -> None:
        self.received.append(number)
