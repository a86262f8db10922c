"""Contestants of a benchmark: processes that each run an epoch when it is their turn.

A contestant holds a `Turns`, the benchmark a `Contestant` for each of them.  Nothing here imports
the package, so that peers can use it in their own environments.
"""

from __future__ import annotations

import json
import os
import subprocess
import sys
import time
from pathlib import Path


class Turns:
    """A contestant's side: wait for a turn, train an epoch, report it."""

    def __init__(self):
        self._start = None

    def wait(self) -> None:
        """Return when the next epoch may begin; ends the process when the benchmark is over."""
        if not sys.stdin.readline():
            os._exit(0)
        self._start = time.perf_counter()

    def end(self, loss: float) -> None:
        """Report the epoch that began when `wait` returned, and its loss as the book counts it.

        The device has to be idle.
        """
        report = {'seconds': time.perf_counter() - self._start, 'loss': float(loss)}
        print('epoch ' + json.dumps(report), flush=True)


class Contestant:
    """A process that trains the benchmark's model in its own way."""

    def __init__(
        self, name: str, python: Path, script: Path, job: Path, threads: int | None, *arguments: str
    ):
        self.name = name
        environment = {key: value for key, value in os.environ.items() if key != 'OMP_NUM_THREADS'}
        if threads is not None:
            environment['OMP_NUM_THREADS'] = str(threads)
        self._process = subprocess.Popen(
            [python, script, job, *arguments],
            env=environment,
            text=True,
            stdin=subprocess.PIPE,
            stdout=subprocess.PIPE,
        )

    def run_epochs(self, num_epochs: int) -> tuple[float, float]:
        """Seconds of an epoch, the mean over `num_epochs`, and the last one's loss."""
        reports = [self._run_epoch() for _ in range(num_epochs)]
        return sum(report['seconds'] for report in reports) / num_epochs, reports[-1]['loss']

    def _run_epoch(self) -> dict:
        self._process.stdin.write('go\n')
        self._process.stdin.flush()
        for line in self._process.stdout:
            if line.startswith('epoch '):
                return json.loads(line[len('epoch ') :])
        raise RuntimeError(f'{self.name} ended with {self._process.wait()}')

    def close(self) -> None:
        """End the process."""
        self._process.stdin.close()
        self._process.wait(60)
