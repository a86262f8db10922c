"""Where the time of a training goes: by the function that is at work, and by MXNet's operators."""

from __future__ import annotations

import collections
import contextlib
import functools
import json
import os
import tempfile
import time
from typing import Any, Callable, Mapping
from unittest import mock

from .._mxnet import mx


def stage_times(stages: Mapping[str, tuple[Any, str]], run: Callable[[], Any]) -> dict[str, float]:
    """Seconds that some functions take while `run` runs, and in all.

    Each waits for the device before it begins and before it ends, so that what it has the device do
    counts as its own.  The sum is therefore more than `run` takes by itself, where host and device
    work at the same time.

    Parameters
    ----------
    stages : mapping of str to (object, str)
        A name for each function, and what it is an attribute of: a class, an object or a module.
        One that another of them calls counts for the other.
    run : function

    Returns
    -------
    dict of str to float
        For each stage, and ``'the rest'``.
    """
    times, under_way = dict.fromkeys(stages, 0.0), []
    with contextlib.ExitStack() as replaced:
        for name, (owner, attribute) in stages.items():
            timed = _timed(getattr(owner, attribute), name, times, under_way)
            replaced.enter_context(mock.patch.object(owner, attribute, timed))
        mx.nd.waitall()
        start = time.perf_counter()
        run()
        mx.nd.waitall()
        total = time.perf_counter() - start
    return {**times, 'the rest': total - sum(times.values())}


def _timed(function: Callable, name: str, times: dict[str, float], under_way: list) -> Callable:
    """The function, which adds what it takes to `times` unless another such one is under way."""

    @functools.wraps(function)
    def timed(*args, **kwargs):
        if under_way:
            return function(*args, **kwargs)
        under_way.append(name)
        mx.nd.waitall()
        start = time.perf_counter()
        try:
            return function(*args, **kwargs)
        finally:
            mx.nd.waitall()
            times[name] += time.perf_counter() - start
            under_way.pop()

    return timed


def operator_times(run: Callable[[], Any]) -> dict[str, float]:
    """Seconds that MXNet's operators take while `run` runs, by their names, under its profiler.

    Measuring costs time too: the sums are larger than what `run` takes by itself.
    """
    with tempfile.TemporaryDirectory() as folder:
        # MXNet wants a file to write at its end; what it measured is asked for before.
        mx.profiler.set_config(
            profile_imperative=True,
            profile_symbolic=True,
            aggregate_stats=True,
            filename=os.path.join(folder, 'profile.json'),
        )
        mx.profiler.set_state('run')
        try:
            run()
            mx.nd.waitall()
        finally:
            mx.profiler.set_state('stop')
        stats = json.loads(mx.profiler.dumps(reset=True, format='json'))
    times = collections.Counter()
    for name, numbers in stats['Time'].get('operator', {}).items():
        times[name.split(',')[0]] += numbers['Total'] / 1e3  # milliseconds
    return dict(times)
