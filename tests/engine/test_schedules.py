"""Learning-rate schedules: their formulas, and the state of one that has a state."""

import json

import pytest

from d2l_seq2seq import DecayToZero, HalvingOnPlateau, InverseSqrt
from d2l_seq2seq.engine.schedules import cosine, linear


def test_inverse_sqrt_is_the_papers_scaled_to_its_peak():
    """Vaswani et al. 2017, Eq. (3): d^-0.5 min(step^-0.5, step warmup^-1.5)."""
    schedule, warmup, d = InverseSqrt(0.01, 400), 400, 512
    peak = d**-0.5 * warmup**-0.5
    for step in (1, 10, 399, 400, 401, 5000):
        papers = d**-0.5 * min(step**-0.5, step * warmup**-1.5)
        assert schedule(step) == pytest.approx(0.01 * papers / peak)


def test_a_plateau_halves_the_rate_and_a_better_loss_resets_the_count():
    schedule, rates = HalvingOnPlateau(0.8, 2), []
    for loss in (3, 2, 2, 1.9, 2, 2, 2, 2, 1, 1.5):
        schedule.observe(loss)
        rates.append(schedule(1))
    assert rates == [0.8, 0.8, 0.8, 0.8, 0.8, 0.4, 0.4, 0.2, 0.2, 0.2]


def test_a_restored_schedule_continues_as_if_it_had_not_stopped():
    uninterrupted, first, second = (HalvingOnPlateau(0.8, 2) for _ in range(3))
    losses = [3, 4, 4, 2, 2, 2.5, 1]
    for loss in losses:
        uninterrupted.observe(loss)
    for loss in losses[:5]:
        first.observe(loss)
    second.restore(json.loads(json.dumps(first.state())))
    for loss in losses[5:]:
        second.observe(loss)
    assert second.state() == uninterrupted.state() and second(1) == uninterrupted(1)


@pytest.mark.parametrize('curve', [linear, cosine])
def test_a_decay_warms_up_falls_and_ends_at_zero(curve):
    schedule = DecayToZero(0.5, 10, 100, curve)
    rates = [schedule(update) for update in range(1, 101)]
    assert rates[:10] == pytest.approx([0.05 * update for update in range(1, 11)])
    assert all(before > after for before, after in zip(rates[9:], rates[10:]))
    assert 0 < rates[-1] < 0.01 and schedule(101) == schedule(500) == 0
    middle = schedule(10 + 91 // 2) + schedule(10 + 91 - 91 // 2)
    assert middle == pytest.approx(0.5)  # both curves are symmetric about (1/2, 1/2)


def test_a_decay_follows_the_expected_end_and_restores_it():
    schedule = DecayToZero(1.0, 1, 1000)
    schedule.expect_end(100)
    assert schedule(51) == pytest.approx(0.5) and schedule(101) == 0
    restored = DecayToZero(1.0, 1, 1000)
    restored.restore(json.loads(json.dumps(schedule.state())))
    assert [restored(update) for update in range(1, 120)] == [
        schedule(update) for update in range(1, 120)
    ]
    with pytest.raises(ValueError):
        restored.restore({'num_updates': 'many'})


def test_a_decay_that_ends_within_its_warm_up_is_finite():
    schedule = DecayToZero(1.0, 50, 20, cosine)
    assert [schedule(update) for update in (1, 20, 50, 51)] == [0.02, 0.4, 1.0, 0.0]
