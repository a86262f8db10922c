"""Taking time apart: whose time is counted, and that nothing is left behind."""

import types

import pytest

from d2l_seq2seq._mxnet import mx, np
from d2l_seq2seq.engine.profiling import operator_times, stage_times


class Worker:
    """Whose clock is a number: what `advance` moves on is the time that passes."""

    def __init__(self, clock):
        self.clock = clock

    def outer(self):
        self.clock.now += 3
        return self.inner()

    def inner(self):
        self.clock.now += 5
        return 'done'


class Heir(Worker):
    """Has its methods from `Worker`."""


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


def test_each_stage_has_its_own_time_and_the_rest_is_the_rest(worker):
    assert stage_times({'inner': (Worker, 'inner')}, lambda: run(worker)) == {
        'inner': 10,
        'the rest': 10,
    }


def test_what_a_stage_calls_counts_as_its_own(worker):
    assert stage_times(
        {'outer': (Worker, 'outer'), 'inner': (Worker, 'inner')}, lambda: run(worker)
    ) == {'outer': 8, 'inner': 5, 'the rest': 7}


def test_functions_are_put_back_also_after_an_error(worker):
    before = Worker.inner
    with pytest.raises(ZeroDivisionError):
        stage_times({'own': (Worker, 'inner'), 'inherited': (Heir, 'outer')}, lambda: 1 / 0)
    assert Worker.inner is before and 'outer' not in vars(Heir)


def test_operators_have_times_by_their_names():
    times = operator_times(lambda: np.dot(np.ones((50, 50)), np.ones((50, 50))).sum())
    assert any('dot' in name for name in times) and min(times.values()) > 0
    assert operator_times(mx.nd.waitall) == {}  # what was measured before is gone
