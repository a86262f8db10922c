"""Learning-rate schedules: functions from the number of an update to a learning rate.

`Constant`, `InverseSqrt` and `HalvingOnPlateau` do not depend on the end of training.
`DecayToZero` reaches a rate of 0 there.
"""

from __future__ import annotations

import math
from dataclasses import dataclass
from typing import Callable

from ..errors import check_types


class Schedule:
    """The interface of learning-rate schedules.

    A learning rate depends on the number of the update, and may depend on the observed losses.
    """

    def __call__(self, update: int) -> float:
        """Return the learning rate of an update; the first update has the number 1."""
        raise NotImplementedError

    def observe(self, loss: float) -> None:
        """Observe the loss of a validation, or of an epoch if there is no validation."""

    def expect_end(self, num_updates: int) -> None:
        """Set the expected number of updates of the whole training."""

    def state(self) -> dict:
        """Return all that `restore` needs, as JSON values."""
        return {}

    def restore(self, state: dict) -> None:
        """Continue from a state that `state` returned.

        Raises
        ------
        ValueError
            If it is not a state of this schedule.
        """


@dataclass(frozen=True)
class Constant(Schedule):
    """The learning rate `lr` for all updates."""

    lr: float

    def __call__(self, update: int) -> float:
        """Return `lr`."""
        return self.lr


@dataclass(frozen=True)
class InverseSqrt(Schedule):
    """A linear warm-up to `lr`, then a decay with the inverse square root of the update's number.

    Vaswani et al. 2017, Eq. (3), scaled so that its maximum is `lr`.

    Parameters
    ----------
    lr : float
        The learning rate at the end of the warm-up.
    num_warmup_updates : int
        Number of updates of the warm-up.

    Examples
    --------
    >>> schedule = InverseSqrt(lr=0.004, num_warmup_updates=100)
    >>> schedule(50), schedule(100), schedule(400)
    (0.002, 0.004, 0.002)
    """

    lr: float
    num_warmup_updates: int

    def __call__(self, update: int) -> float:
        """Return the learning rate of an update."""
        warmup = self.num_warmup_updates
        return self.lr * min(update / warmup, (warmup / update) ** 0.5)


class HalvingOnPlateau(Schedule):
    """The learning rate `lr`, halved each time that the loss stops improving.

    Parameters
    ----------
    lr : float
    patience : int
        Number of consecutive losses without a new minimum after which the rate is halved.

    Examples
    --------
    >>> schedule = HalvingOnPlateau(lr=0.004, patience=2)
    >>> for loss in (3.0, 3.5, 3.2):
    ...     schedule.observe(loss)
    >>> schedule(1)
    0.002
    """

    def __init__(self, lr: float, patience: int):
        self._lr, self._patience = lr, patience
        self._best: float | None = None
        self._num_worse, self._num_halvings = 0, 0

    def __call__(self, update: int) -> float:
        """Return the current learning rate, whatever the number of the update."""
        return self._lr * 0.5**self._num_halvings

    def observe(self, loss: float) -> None:
        """Observe a loss; halve the rate after `patience` losses without a new minimum."""
        if self._best is None or loss < self._best:
            self._best, self._num_worse = loss, 0
            return
        self._num_worse += 1
        if self._num_worse == self._patience:
            self._num_worse, self._num_halvings = 0, self._num_halvings + 1

    def state(self) -> dict:
        """Return the best loss, the number of losses since then, and the number of halvings."""
        return {
            'best': self._best,
            'num_worse': self._num_worse,
            'num_halvings': self._num_halvings,
        }

    def restore(self, state: dict) -> None:
        """Continue from a state that `state` returned, or raise ValueError."""
        check_types(
            state, {'num_worse': int, 'num_halvings': int, 'best': (int, float, type(None))}
        )
        self._best, self._num_worse = state['best'], state['num_worse']
        self._num_halvings = state['num_halvings']


def linear(progress: float) -> float:
    """Return 1 - progress: a straight line from 1 to 0."""
    return 1 - progress


def cosine(progress: float) -> float:
    """Return half a period of a cosine, from 1 to 0 (Loshchilov and Hutter 2017, Eq. (5))."""
    return (1 + math.cos(math.pi * progress)) / 2


class DecayToZero(Schedule):
    """A linear warm-up to `lr`, then a decay to 0 at the end of training.

    A rate that ends at 0 lets the weights settle.  For a given number of updates, the model gets
    better than with a constant rate (Li et al. 2020).

    Parameters
    ----------
    lr : float
        The learning rate at the end of the warm-up.
    num_warmup_updates : int
    num_updates : int
        Expected number of updates of the whole training; `expect_end` changes it.
    curve : Callable
        `linear`, `cosine`, or another function that falls from 1 at 0 to 0 at 1.

    Examples
    --------
    >>> schedule = DecayToZero(lr=0.004, num_warmup_updates=100, num_updates=499, curve=linear)
    >>> schedule(50), schedule(100), schedule(300), schedule(500)
    (0.002, 0.004, 0.002, 0.0)
    """

    def __init__(
        self,
        lr: float,
        num_warmup_updates: int,
        num_updates: int,
        curve: Callable[[float], float] = linear,
    ):
        self._lr, self._num_warmup_updates = lr, num_warmup_updates
        self._num_updates, self._curve = num_updates, curve

    def __call__(self, update: int) -> float:
        """Return the learning rate of an update; it is 0 after the expected end."""
        warmup = self._num_warmup_updates
        if update <= warmup:
            return self._lr * update / warmup
        num_decay_updates = max(1, self._num_updates + 1 - warmup)
        return self._lr * self._curve(min(1.0, (update - warmup) / num_decay_updates))

    def expect_end(self, num_updates: int) -> None:
        """Set the expected number of updates of the whole training."""
        self._num_updates = num_updates

    def state(self) -> dict:
        """Return the expected number of updates."""
        return {'num_updates': self._num_updates}

    def restore(self, state: dict) -> None:
        """Continue from a state that `state` returned, or raise ValueError."""
        check_types(state, {'num_updates': int})
        self._num_updates = state['num_updates']
