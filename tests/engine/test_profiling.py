"""Profiles: each second counts for one stage, and all functions are restored."""

import types

import pytest

from d2l_seq2seq._mxnet import mx, np
from d2l_seq2seq.engine.profiling import operator_times, stage_times


class Worker:
    """An object with two functions to measure; time passes when they move the clock."""

    def __init__(self, clock):
        self.clock = clock

    def outer(self):
        self.clock.now += 3
        return self.inner()

    def inner(self):
        self.clock.now += 5
        return 'done'


class Subclass(Worker):
    """A class that inherits its methods."""


@pytest.fixture
def worker(monkeypatch):
    clock = types.SimpleNamespace(now=0.0)
    monkeypatch.setattr(
        'd2l_seq2seq.engine.profiling.time', types.SimpleNamespace(perf_counter=lambda: clock.now)
    )
    return Worker(clock)


def run(worker):
    worker.inner()
    worker.clock.now += 7
    assert worker.outer() == 'done'


def test_the_time_of_a_stage_and_of_the_rest(worker):
    assert stage_times({'inner': (Worker, 'inner')}, lambda: run(worker)) == {
        'inner': 10,
        'the rest': 10,
    }


def test_a_stage_that_is_called_by_another_counts_for_the_other(worker):
    assert stage_times(
        {'outer': (Worker, 'outer'), 'inner': (Worker, 'inner')}, lambda: run(worker)
    ) == {'outer': 8, 'inner': 5, 'the rest': 7}


def test_functions_are_restored_after_an_error(worker):
    before = Worker.inner
    with pytest.raises(ZeroDivisionError):
        stage_times({'defined': (Worker, 'inner'), 'inherited': (Subclass, 'outer')}, lambda: 1 / 0)
    assert Worker.inner is before and 'outer' not in vars(Subclass)


def test_operator_times_are_by_name():
    times = operator_times(lambda: np.dot(np.ones((50, 50)), np.ones((50, 50))).sum())
    assert any('dot' in name for name in times) and min(times.values()) > 0
    assert operator_times(mx.nd.waitall) == {}  # earlier measurements are not included
