"""Adam over all of a model's weights at once, which are one array (`flat`)."""
from __future__ import annotations

import math

from .._mxnet import mx
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
        self._decay = flat.decaying() * weight_decay if weight_decay > 0 else None
        self._is_guarded = is_guarded

    def update(self, flat: FlatParameters, gradients: mx.nd.NDArray, lr: float,
               clip: mx.nd.NDArray, factor: float) -> None:
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
        correction = (math.sqrt(1 - self.beta2 ** self.num_updates)
                      / (1 - self.beta1 ** self.num_updates))
        rates = {'lr': lr * correction, 'beta1': self.beta1, 'beta2': self.beta2,
                 'epsilon': self.epsilon, 'out': flat.weights}
        if self._decay is not None:
            share = mx.nd.broadcast_mul(self._decay, lr * (clip > 0))
            flat.weights[:] = flat.weights - share * flat.weights
        if self._is_guarded:
            mx.nd._internal._adamw_update(flat.weights, gradients, self.mean, self.variance,
                                          clip * factor, eta=1.0, wd=0.0, **rates)
        else:
            mx.nd.broadcast_mul(gradients, clip, out=gradients)
            mx.nd.adam_update(flat.weights, gradients, self.mean, self.variance,
                              rescale_grad=factor, **rates)
