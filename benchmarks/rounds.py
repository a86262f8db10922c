"""Processes that are compared with each other in turns, one epoch at a time.

The benchmark has a `Contestant` for each process, and the process has a `Turns`.  This file does
not import the package, so that it can be used in other environments.
"""

from __future__ import annotations

import json
import os
import subprocess
import sys
import time
from pathlib import Path


class Contestant:
    """A process that does the work of a benchmark in its own way.

    Parameters
    ----------
    name : str
        Its name in the tables.
    python, script : Path
        The interpreter and the script to run.
    job : Path
        The first argument of the script: a JSON file that describes the work.
    threads : int, optional
        Number of threads, as ``OMP_NUM_THREADS``; with None the variable is not set.
    *arguments : str
        More arguments of the script.
    """

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
        """Return the mean seconds per epoch over some epochs, and the loss of the last one."""
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


class Turns:
    """The turns of a contestant, seen from its own process: wait, run an epoch, report it."""

    def __init__(self):
        self._start = None

    def wait(self) -> None:
        """Wait until the next epoch may begin; end the process if the benchmark is over."""
        if not sys.stdin.readline():
            os._exit(0)
        self._start = time.perf_counter()

    def end(self, loss: float) -> None:
        """Report the epoch that began when `wait` returned.

        The device must be idle.

        Parameters
        ----------
        loss : float
            The loss of the epoch, as the book prints it.
        """
        report = {'seconds': time.perf_counter() - self._start, 'loss': float(loss)}
        print('epoch ' + json.dumps(report), flush=True)


def describe_threads(threads: int | None) -> str:
    """Return a number of threads in words; None is the default of the process."""
    if threads is None:
        return 'default threads'
    return f'{threads} thread' if threads == 1 else f'{threads} threads'
