"""Searches that are under way at the same time."""

import random

import pytest

from d2l_seq2seq.inference.search import BATCHES_AT_ONCE, MAX_BATCHES_HELD, interleave


class Searches:
    """Searches that come back so many times each; what is started and what has ended is counted."""

    def __init__(self, lengths):
        self.lengths, self.num_started, self.num_ended = lengths, 0, 0

    def __iter__(self):
        return map(self._search, range(len(self.lengths)))

    def _search(self, number):
        self.num_started += 1
        for _ in range(self.lengths[number]):
            assert self.num_started - self.num_ended <= BATCHES_AT_ONCE
            yield
        self.num_ended += 1
        return number


@pytest.mark.parametrize('num_searches', [0, 1, 3, 40])
def test_results_come_in_order_whatever_ends_first(num_searches, seed):
    rng = random.Random(seed)
    searches = Searches([rng.randint(0, 6) for _ in range(num_searches)])
    assert list(interleave(searches)) == list(range(num_searches))


def test_one_that_takes_long_does_not_let_the_others_pile_up():
    searches = Searches([1000] + [1] * 100)
    results = interleave(searches)
    assert next(results) == 0 and searches.num_started <= MAX_BATCHES_HELD + 1
    assert list(results) == list(range(1, 101))


def test_the_device_has_something_to_do_while_a_result_is_used():
    searches = Searches([2] * 100)
    for number in interleave(searches):
        assert searches.num_started - searches.num_ended == min(BATCHES_AT_ONCE, 99 - number)
