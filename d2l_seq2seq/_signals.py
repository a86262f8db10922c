"""Handling of SIGINT and SIGTERM: Ctrl-C, and the signal with which batch systems end a job.

`Interruption` lets training stop at a point from which it can be resumed.  `ReceivedSignals`
records the signals for a supervisor of other processes.  Both install their handlers in a ``with``
block and restore the previous ones after it.
"""

from __future__ import annotations

import os
import signal
import time
from types import FrameType
from typing import TypeVar

SIGTERM_CODE = 128 + signal.SIGTERM  # exit code of a process that SIGTERM ended
ECHO_SECONDS = 1.0  # seconds during which a repeated SIGTERM counts as the first one

_SIGNALS = signal.SIGINT, signal.SIGTERM

_Handling = TypeVar('_Handling', bound='_SignalHandling')


class Interrupted(Exception):
    """A signal was received, and the work has reached a point from which it can be resumed."""


class _SignalHandling:
    """A context manager that passes SIGINT and SIGTERM to `_handle`.

    A signal that is ignored stays ignored, as SIGINT is for the background jobs of a shell script.
    """

    def __init__(self):
        self._previous_handlers = {}

    def __enter__(self: _Handling) -> _Handling:
        self._previous_handlers = {
            number: signal.signal(number, self._handle)
            for number in _SIGNALS
            if signal.getsignal(number) != signal.SIG_IGN
        }
        return self

    def __exit__(self, *exception) -> None:
        for number, handler in self._previous_handlers.items():
            signal.signal(number, handler)

    def _handle(self, number: int, frame: FrameType | None) -> None:
        raise NotImplementedError


class Interruption(_SignalHandling):
    """A context manager that records the first signal and ends the process at the second one.

    Batch systems send SIGTERM to every process of a job, and a launcher among these processes also
    passes its own SIGTERM on.  Therefore a SIGTERM within a second of the first one counts as the
    same signal.

    Attributes
    ----------
    exit_code : int or None
        The exit code that the process should end with: 130 after SIGINT, 143 after SIGTERM, None
        if no signal was received.
    """

    def __init__(self):
        super().__init__()
        self.exit_code: int | None = None
        self._received_at = 0.0

    def _handle(self, number: int, frame: FrameType | None) -> None:
        code, now = 128 + number, time.monotonic()
        if self.exit_code is not None:
            if code == self.exit_code == SIGTERM_CODE and now - self._received_at < ECHO_SECONDS:
                return
            os._exit(code)  # without waiting for the device or for a file that is being written
        self.exit_code, self._received_at = code, now
        os.write(2, b'\nstopping after the current batch; signal again to quit without saving\n')


class ReceivedSignals(_SignalHandling):
    """A context manager that records each SIGINT and SIGTERM.

    Attributes
    ----------
    received : list of int
        The numbers of the signals, in the order of their arrival.
    """

    def __init__(self):
        super().__init__()
        self.received: list[int] = []

    def _handle(self, number: int, frame: FrameType | None) -> None:
        self.received.append(number)
