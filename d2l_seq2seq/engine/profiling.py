"""Profiling: the time spent in given functions, and in MXNet's operators."""

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
    """Measure the seconds that some functions take while `run` runs.

    Each function waits for the device before it begins and before it ends, so the work of the
    device for it is included.  The host and the device therefore do not work at the same time, and
    the sum is more than `run` takes without the measurement.

    Parameters
    ----------
    stages : mapping of str to (object, str)
        For each function, a name for the result, and a pair: the class, object or module that has
        the function, and the name of its attribute.  If one of the functions calls another, the
        time of the other one is included in that of the first.
    run : Callable
        The code to measure, a function without arguments.

    Returns
    -------
    dict of str to float
        Seconds for each stage, and for ``'the rest'``.
    """
    times = dict.fromkeys(stages, 0.0)
    active: list[str] = []
    with contextlib.ExitStack() as patches:
        for name, (owner, attribute) in stages.items():
            timed = _timed(getattr(owner, attribute), name, times, active)
            patches.enter_context(mock.patch.object(owner, attribute, timed))
        mx.nd.waitall()
        start = time.perf_counter()
        run()
        mx.nd.waitall()
        total = time.perf_counter() - start
    return {**times, 'the rest': total - sum(times.values())}


def _timed(function: Callable, name: str, times: dict[str, float], active: list[str]) -> Callable:
    """Return a function that adds its time to `times`, unless another stage is active."""

    @functools.wraps(function)
    def timed(*args, **kwargs):
        if active:
            return function(*args, **kwargs)
        active.append(name)
        mx.nd.waitall()
        start = time.perf_counter()
        try:
            return function(*args, **kwargs)
        finally:
            mx.nd.waitall()
            times[name] += time.perf_counter() - start
            active.pop()

    return timed


def operator_times(run: Callable[[], Any]) -> dict[str, float]:
    """Measure the seconds that MXNet's operators take while `run` runs, with MXNet's profiler.

    The profiler itself takes time, so the sum is more than `run` takes without it.

    Parameters
    ----------
    run : Callable
        The code to measure, a function without arguments.

    Returns
    -------
    dict of str to float
        Seconds by the name of the operator.
    """
    with tempfile.TemporaryDirectory() as folder:
        # The profiler requires a file to write to when the process ends; it is not used.
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
    times: dict[str, float] = collections.defaultdict(float)
    for name, numbers in stats['Time'].get('operator', {}).items():
        times[name.split(',')[0]] += numbers['Total'] / 1e3  # from milliseconds
    return dict(times)
