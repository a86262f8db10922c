"""`interleave` on toy searches: the order of results, and how many searches run at a time."""

import random

import pytest

from d2l_seq2seq.inference.search import MAX_BATCHES_HELD, MAX_BATCHES_RUNNING, interleave


class Searches:
    """Searches that yield a given number of times, and counts of those started and ended."""

    def __init__(self, num_yields):
        self.num_yields, self.num_started, self.num_ended = num_yields, 0, 0

    def __iter__(self):
        return map(self._search, range(len(self.num_yields)))

    def _search(self, number):
        self.num_started += 1
        for _ in range(self.num_yields[number]):
            assert self.num_started - self.num_ended <= MAX_BATCHES_RUNNING
            yield
        self.num_ended += 1
        return number


@pytest.mark.parametrize('num_searches', [0, 1, 3, 40])
def test_results_are_in_order_whichever_search_ends_first(num_searches, seed):
    rng = random.Random(seed)
    searches = Searches([rng.randint(0, 6) for _ in range(num_searches)])
    assert list(interleave(searches)) == list(range(num_searches))


def test_a_slow_search_limits_the_number_of_waiting_results():
    searches = Searches([1000] + [1] * 100)
    results = interleave(searches)
    assert next(results) == 0 and searches.num_started <= MAX_BATCHES_HELD + 1
    assert list(results) == list(range(1, 101))


def test_other_searches_are_in_progress_while_a_result_is_used():
    searches = Searches([2] * 100)
    for number in interleave(searches):
        assert searches.num_started - searches.num_ended == min(MAX_BATCHES_RUNNING, 99 - number)
