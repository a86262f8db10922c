"""Learning rates that change: functions of the number of an update, from 1."""
from __future__ import annotations

from dataclasses import dataclass

from ..runs.manifest import check_types


class Schedule:
    """A learning rate that depends on nothing but the update's number."""

    def __call__(self, update: int) -> float:
        """The rate of an update."""
        raise NotImplementedError

    def observe(self, loss: float) -> None:
        """Look at one more loss, of training or of validation."""

    def state(self) -> dict:
        """What `restore` needs, as JSON has it."""
        return {}

    def restore(self, state: dict) -> None:
        """Go on from a `state`; raises ValueError if it is none."""


@dataclass(frozen=True)
class Constant(Schedule):
    """Always `lr`."""

    lr: float

    def __call__(self, update: int) -> float:
        return self.lr


@dataclass(frozen=True)
class InverseSqrt(Schedule):
    """Up to `lr` in a straight line, then down with the square root of the update's number.

    Vaswani et al. 2017, Eq. (3), with its height given by its peak.

    Examples
    --------
    >>> schedule = InverseSqrt(lr=0.004, num_warmup_updates=100)
    >>> schedule(50), schedule(100), schedule(400)
    (0.002, 0.004, 0.002)
    """

    lr: float
    num_warmup_updates: int

    def __call__(self, update: int) -> float:
        warmup = self.num_warmup_updates
        return self.lr * min(update / warmup, (warmup / update) ** 0.5)


class HalvingOnPlateau(Schedule):
    """`lr`, halved whenever the loss has not become smaller for a while.

    Parameters
    ----------
    lr : float
    patience : int
        Losses in a row that are no smaller than the best one, after which the rate is halved.

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
        self._best, self._num_worse, self._num_halvings = None, 0, 0

    def __call__(self, update: int) -> float:
        return self._lr * 0.5 ** self._num_halvings

    def observe(self, loss: float) -> None:
        if self._best is None or loss < self._best:
            self._best, self._num_worse = loss, 0
            return
        self._num_worse += 1
        if self._num_worse == self._patience:
            self._num_worse, self._num_halvings = 0, self._num_halvings + 1

    def state(self) -> dict:
        return {'best': self._best, 'num_worse': self._num_worse,
                'num_halvings': self._num_halvings}

    def restore(self, state: dict) -> None:
        check_types(state, {'num_worse': int, 'num_halvings': int,
                            'best': (int, float, type(None))})
        self._best, self._num_worse = state['best'], state['num_worse']
        self._num_halvings = state['num_halvings']
