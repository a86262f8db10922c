"""The optimizer, and learning-rate schedules.

`Adam` updates all weights of a model at once, because they are one array (see `FlatParameters`).
A `Schedule` is a function from the number of an update to a learning rate: `Constant`,
`InverseSqrt` or `HalvingOnPlateau`.
"""

from __future__ import annotations

import math
from dataclasses import dataclass

from .._mxnet import mx
from ..errors import check_types
from .flat_parameters import FlatParameters


class Adam:
    """Adam (Kingma and Ba 2015, algorithm 1), as Gluon's trainer computes it.

    Weight decay is decoupled from the gradient (Loshchilov and Hutter 2019): each update subtracts
    lr * weight_decay times the weight.  See `FlatParameters.decay_mask` for the weights that do not
    decay.

    Parameters
    ----------
    flat : FlatParameters
        The parameters to update.
    weight_decay : float
    is_guarded : bool
        If True, an update whose gradient is not finite changes nothing.  MXNet's operator for this
        runs on one thread: if two are available, it takes 1.5 times as long.

    Attributes
    ----------
    mean, variance : float32 NDArray of shape (size,)
        Moving averages of the gradient and of its square.
    num_updates : int
        Number of updates, including those that a guarded optimizer did not apply.
    """

    beta1, beta2, epsilon = 0.9, 0.999, 1e-8

    def __init__(self, flat: FlatParameters, weight_decay: float = 0.0, is_guarded: bool = False):
        self.mean, self.variance = mx.nd.zeros_like(flat.weights), mx.nd.zeros_like(flat.weights)
        self.num_updates = 0
        self._decay = flat.decay_mask() * weight_decay if weight_decay > 0 else None
        self._is_guarded = is_guarded

    def update(
        self,
        flat: FlatParameters,
        gradients: mx.nd.NDArray,
        lr: float,
        clip: mx.nd.NDArray,
        factor: float,
    ) -> None:
        """Update the weights with the gradient ``gradients * clip * factor``.

        Parameters
        ----------
        flat : FlatParameters
        gradients : float32 NDArray of shape (size,)
            Overwritten.
        lr : float
        clip : float32 NDArray of shape (1,)
            A factor that stays on the device.  If it is 0 or NaN and the optimizer is guarded,
            weights and moving averages do not change.
        factor : float
        """
        self.num_updates += 1
        correction = math.sqrt(1 - self.beta2**self.num_updates) / (
            1 - self.beta1**self.num_updates
        )
        arguments = {
            'lr': lr * correction,
            'beta1': self.beta1,
            'beta2': self.beta2,
            'epsilon': self.epsilon,
            'out': flat.weights,
        }
        if self._decay is not None:
            decay = mx.nd.broadcast_mul(self._decay, lr * (clip > 0))
            flat.weights[:] = flat.weights - decay * flat.weights
        if self._is_guarded:
            mx.nd._internal._adamw_update(
                flat.weights,
                gradients,
                self.mean,
                self.variance,
                clip * factor,
                eta=1.0,
                wd=0.0,
                **arguments,
            )
        else:
            mx.nd.broadcast_mul(gradients, clip, out=gradients)
            mx.nd.adam_update(
                flat.weights, gradients, self.mean, self.variance, rescale_grad=factor, **arguments
            )


class Schedule:
    """The interface of learning-rate schedules.

    A learning rate depends on the number of the update, and may depend on the observed losses.
    """

    def __call__(self, update: int) -> float:
        """Return the learning rate of an update; the first update has the number 1."""
        raise NotImplementedError

    def observe(self, loss: float) -> None:
        """Observe the loss of a validation, or of an epoch if there is no validation."""

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
