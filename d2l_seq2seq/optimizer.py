"""Adam over all of a model's weights at once, which are one array (`flat`)."""
from __future__ import annotations

import math

from ._mxnet import mx
from .flat import FlatParameters


class Adam:
    """Adam (Kingma and Ba 2015, algorithm 1), as Gluon's trainer has it.

    Weight decay is apart from the gradient (Loshchilov and Hutter 2019): lr times the decay of each
    weight is taken off it.  Biases do not decay, nor do weights that are not learned.

    Parameters
    ----------
    flat : FlatParameters
        What it will update.
    weight_decay : float

    Attributes
    ----------
    mean, variance : float32 NDArray of shape (size,)
        The moments.
    num_updates : int
        Those that were left out for a bad gradient are counted.
    """

    beta1, beta2, epsilon = 0.9, 0.999, 1e-8

    def __init__(self, flat: FlatParameters, weight_decay: float = 0.0):
        self.mean, self.variance = mx.nd.zeros_like(flat.weights), mx.nd.zeros_like(flat.weights)
        self.num_updates = 0
        self._decay = flat.decaying() * weight_decay if weight_decay > 0 else None

    def update(self, flat: FlatParameters, gradients: mx.nd.NDArray, lr: float,
               scale: mx.nd.NDArray) -> None:
        """Change the weights, unless `scale` is 0 or no number: then they and the moments stay.

        Parameters
        ----------
        flat : FlatParameters
        gradients : float32 NDArray of shape (size,)
            MXNet multiplies them in place with `scale`, behind the caller's back: who wants to read
            them does so before.
        lr : float
        scale : float32 NDArray of shape (1,)
            What the gradients are multiplied with first.  It stays on the device, and so does the
            decision.
        """
        self.num_updates += 1
        correction = (math.sqrt(1 - self.beta2 ** self.num_updates)
                      / (1 - self.beta1 ** self.num_updates))
        if self._decay is not None:
            share = mx.nd.broadcast_mul(self._decay, lr * (scale > 0))
            flat.weights[:] = flat.weights - share * flat.weights
        mx.nd._internal._adamw_update(
            flat.weights, gradients, self.mean, self.variance, scale, lr=lr * correction,
            beta1=self.beta1, beta2=self.beta2, epsilon=self.epsilon, eta=1.0, wd=0.0,
            out=flat.weights)
