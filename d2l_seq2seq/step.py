"""One step of training: forward, loss, backward, clipping, Adam, with no wait for the device."""
from __future__ import annotations

import math
from typing import Callable, NamedTuple

from ._mxnet import autograd, mx
from .feed import DeviceBatch
from .flat import FlatParameters
from .graph import MAX_STATIC_SIZE, trace
from .loss import cross_entropy_of_rows, logits_gradient
from .model import EncoderDecoder


class GradientScale(NamedTuple):
    """How the gradient of the summed negative log-likelihood is scaled around the clipping."""

    before: float
    after: float


def book_objective(batch: DeviceBatch) -> GradientScale:
    """The chapter's: the mean over label positions, clipped, divided by the number of labels."""
    return GradientScale(1 / batch.num_label_steps, 1 / batch.num_tokens)


def per_token_objective(batch: DeviceBatch) -> GradientScale:
    """The mean over labels, clipped."""
    return GradientScale(1 / batch.num_tokens, 1.0)


class Forward:
    """A model and its loss as graphs, traced and compiled once for each shape of batch that occurs.

    Parameters
    ----------
    model : EncoderDecoder
    variables : dict of str to NDArray
        The graphs' inputs that aren't data, such as `FlatParameters.variables` gives.
    """

    def __init__(self, model: EncoderDecoder, variables: dict[str, mx.nd.NDArray]):
        self._model, self._variables = model, variables
        self._compiled = {}  # shapes of a batch: names of inputs, operators

    def __call__(self, batch: DeviceBatch) -> tuple[mx.nd.NDArray, list[mx.nd.NDArray]]:
        """The logits, and the outputs of `cross_entropy_of_rows`, which autograd does not record.
        """
        key = (batch.src.shape, batch.tgt.shape, batch.rows.shape)
        if key not in self._compiled:
            self._compiled[key] = self._compile(batch)
        names, logits_of, loss_of = self._compiled[key]
        logits = logits_of(*self._inputs(names, batch))
        with autograd.pause():
            return logits, loss_of(logits, batch.label_index, batch.row_weight)

    def _inputs(self, names: list[str], batch: DeviceBatch) -> list[mx.nd.NDArray]:
        """What the graph's inputs of these names stand for."""
        return [self._variables[name] if name in self._variables else getattr(batch, name)
                for name in names]

    def _compile(self, batch: DeviceBatch) -> tuple[list[str], mx.nd.CachedOp, mx.nd.CachedOp]:
        """The graph's inputs, and the operators that give the logits and their loss."""
        graph = trace(self._model, batch.src.shape, batch.tgt.shape)
        names = graph.inputs
        shapes = {name: array.shape for name, array in zip(names, self._inputs(names, batch))}
        _, (logits_shape,), _ = graph.logits.infer_shape(**shapes)
        num_weights = sum(variable.size for variable in self._variables.values())
        is_static = max(math.prod(logits_shape), num_weights) < MAX_STATIC_SIZE
        flags = [('static_alloc', is_static), ('static_shape', is_static)]
        return (names, mx.nd.CachedOp(graph.logits, flags),
                mx.nd.CachedOp(cross_entropy_of_rows(), flags))


class TrainStep:
    """Makes a model's weights better by one batch.

    Parameters
    ----------
    forward : Forward
    flat : FlatParameters
        The storage that `forward` reads.
    optimizer : Adam
    objective : function of a batch
        `book_objective` or `per_token_objective`.
    max_norm : float or None
        What the norm of the gradient is clipped to; None leaves it as it is.
    """

    def __init__(self, forward: Forward, flat: FlatParameters, optimizer: Adam,
                 objective: Callable[[DeviceBatch], GradientScale], max_norm: float | None):
        self._forward, self._flat = forward, flat
        self._optimizer, self._objective, self._max_norm = optimizer, objective, max_norm

    def __call__(self, batch: DeviceBatch, lr: float) -> mx.nd.NDArray:
        """Train on a batch; returns its summed negative log-likelihood, float32 (1,), in nats."""
        if batch.num_tokens == 0:
            return mx.nd.zeros(1, ctx=self._flat.weights.context)
        with autograd.record():
            logits, (nll_sum, probs, label_probs) = self._forward(batch)
        gradient = logits_gradient(probs, label_probs, batch.label_index, batch.num_tokens)
        autograd.backward([logits], [gradient])
        scale = self._objective(batch)
        if self._max_norm is None:
            self._optimizer.update(self._flat, lr, scale.before * scale.after)
        else:
            clip_to(self._flat.gradients, scale.before, self._max_norm)
            self._optimizer.update(self._flat, lr, scale.after)
        return nll_sum


def clip_to(gradients: mx.nd.NDArray, factor: float, max_norm: float) -> None:
    """Multiply by `factor`, or by less where the norm would come out above `max_norm`.

    The norm stays on the device, so nothing waits for it: g * min(factor, max_norm / |g|).
    """
    squared_norm = mx.nd.dot(gradients, gradients)  # (1,)
    scale = mx.nd.minimum(max_norm * mx.nd.rsqrt(squared_norm), factor)
    mx.nd.broadcast_mul(gradients, scale, out=gradients)


class Adam:
    """Adam over all weights at once (Kingma and Ba 2015, algorithm 1), as Gluon's trainer has it.

    Attributes
    ----------
    mean, variance : float32 NDArray of shape (size,)
        The moments.
    num_updates : int
    """

    beta1, beta2, epsilon = 0.9, 0.999, 1e-8

    def __init__(self, flat: FlatParameters):
        self.mean, self.variance = mx.nd.zeros_like(flat.weights), mx.nd.zeros_like(flat.weights)
        self.num_updates = 0

    def update(self, flat: FlatParameters, lr: float, gradient_factor: float) -> None:
        """Change the weights; `gradient_factor` multiplies the gradients first."""
        self.num_updates += 1
        correction = (math.sqrt(1 - self.beta2 ** self.num_updates)
                      / (1 - self.beta1 ** self.num_updates))
        mx.nd.adam_update(flat.weights, flat.gradients, self.mean, self.variance,
                          lr=lr * correction, beta1=self.beta1, beta2=self.beta2,
                          epsilon=self.epsilon, rescale_grad=gradient_factor, out=flat.weights)
