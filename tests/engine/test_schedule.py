"""Learning rates: their formulas, and a state that comes back."""

import json

import pytest

from d2l_seq2seq import HalvingOnPlateau, InverseSqrt


def test_inverse_sqrt_is_the_papers_with_its_height_scaled():
    """Vaswani et al. 2017, Eq. (3): d^-0.5 min(step^-0.5, step warmup^-1.5)."""
    schedule, warmup, d = InverseSqrt(0.01, 400), 400, 512
    peak = d**-0.5 * warmup**-0.5
    for step in (1, 10, 399, 400, 401, 5000):
        papers = d**-0.5 * min(step**-0.5, step * warmup**-1.5)
        assert schedule(step) == pytest.approx(0.01 * papers / peak)


def test_a_plateau_halves_and_a_better_loss_resets():
    schedule, rates = HalvingOnPlateau(0.8, 2), []
    for loss in (3, 2, 2, 1.9, 2, 2, 2, 2, 1, 1.5):
        schedule.observe(loss)
        rates.append(schedule(1))
    assert rates == [0.8, 0.8, 0.8, 0.8, 0.8, 0.4, 0.4, 0.2, 0.2, 0.2]


def test_a_plateau_goes_on_from_its_state():
    whole, first, second = (HalvingOnPlateau(0.8, 2) for _ in range(3))
    losses = [3, 4, 4, 2, 2, 2.5, 1]
    for loss in losses:
        whole.observe(loss)
    for loss in losses[:5]:
        first.observe(loss)
    second.restore(json.loads(json.dumps(first.state())))
    for loss in losses[5:]:
        second.observe(loss)
    assert second.state() == whole.state() and second(1) == whole(1)
