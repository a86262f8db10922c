"""The optimizer: `Adam` updates all weights of a model at once.

The weights are one array; see `FlatParameters`.
"""

from __future__ import annotations

import math

from .._mxnet import mx
from ..fields import GREATEST_FLOAT, LEAST_FLOAT
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
            One that float32 cannot represent, because a schedule has made it tiny, counts as 0.
        clip : float32 NDArray of shape (1,)
            A factor that stays on the device.  If it is 0 or NaN and the optimizer is guarded,
            weights and moving averages do not change.
        factor : float

        Raises
        ------
        ValueError
            If `lr` is negative or not finite.
        """
        if not 0 <= lr <= GREATEST_FLOAT:
            raise ValueError(f'expected a learning rate of at least 0, got {lr}')
        self.num_updates += 1
        correction = math.sqrt(1 - self.beta2**self.num_updates) / (
            1 - self.beta1**self.num_updates
        )
        arguments = {
            'lr': _normal(lr * correction),
            'beta1': self.beta1,
            'beta2': self.beta2,
            'epsilon': self.epsilon,
            'out': flat.weights,
        }
        if self._decay is not None:
            decay = mx.nd.broadcast_mul(self._decay, _normal(lr) * (clip > 0))
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


def _normal(rate: float) -> float:
    """Return a rate, or 0 if it is below the normal numbers of float32, which operators refuse."""
    return rate if rate >= LEAST_FLOAT else 0.0
