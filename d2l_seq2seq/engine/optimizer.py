"""Adam over all of a model's weights at once, which are one array (`flat`)."""

from __future__ import annotations

import math
from dataclasses import dataclass

from .._mxnet import mx
from ..errors import check_types
from .flat_parameters import FlatParameters


class Adam:
    """Adam (Kingma and Ba 2015, algorithm 1), as Gluon's trainer has it.

    Weight decay is apart from the gradient (Loshchilov and Hutter 2019): lr times the decay of each
    weight is taken off it.  Biases do not decay, nor do weights that are not learned.

    Parameters
    ----------
    flat : FlatParameters
        What it will update.
    weight_decay : float
    is_guarded : bool
        True: a gradient that is not finite changes nothing.  MXNet's operator for that runs on one
        thread, so it takes half as long again on two.

    Attributes
    ----------
    mean, variance : float32 NDArray of shape (size,)
        The moments.
    num_updates : int
        Those that a bad gradient left undone are counted.
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
        """Change the weights.

        Parameters
        ----------
        flat : FlatParameters
        gradients : float32 NDArray of shape (size,)
            Changed in place, so who wants to read them does so before.
        lr : float
        clip : float32 NDArray of shape (1,)
            What the gradients are multiplied with.  It stays on the device.  Where it is 0 or no
            number, and the optimizer is guarded, weights and moments stay what they are.
        factor : float
            What they are multiplied with besides.
        """
        self.num_updates += 1
        correction = math.sqrt(1 - self.beta2**self.num_updates) / (
            1 - self.beta1**self.num_updates
        )
        rates = {
            'lr': lr * correction,
            'beta1': self.beta1,
            'beta2': self.beta2,
            'epsilon': self.epsilon,
            'out': flat.weights,
        }
        if self._decay is not None:
            share = mx.nd.broadcast_mul(self._decay, lr * (clip > 0))
            flat.weights[:] = flat.weights - share * flat.weights
        if self._is_guarded:
            mx.nd._internal._adamw_update(
                flat.weights,
                gradients,
                self.mean,
                self.variance,
                clip * factor,
                eta=1.0,
                wd=0.0,
                **rates,
            )
        else:
            mx.nd.broadcast_mul(gradients, clip, out=gradients)
            mx.nd.adam_update(
                flat.weights, gradients, self.mean, self.variance, rescale_grad=factor, **rates
            )


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
        return self._lr * 0.5**self._num_halvings

    def observe(self, loss: float) -> None:
        if self._best is None or loss < self._best:
            self._best, self._num_worse = loss, 0
            return
        self._num_worse += 1
        if self._num_worse == self._patience:
            self._num_worse, self._num_halvings = 0, self._num_halvings + 1

    def state(self) -> dict:
        return {
            'best': self._best,
            'num_worse': self._num_worse,
            'num_halvings': self._num_halvings,
        }

    def restore(self, state: dict) -> None:
        check_types(
            state, {'num_worse': int, 'num_halvings': int, 'best': (int, float, type(None))}
        )
        self._best, self._num_worse = state['best'], state['num_worse']
        self._num_halvings = state['num_halvings']
