"""One update: forward, loss, backward, clipping, Adam, with no wait for the device."""

from __future__ import annotations

import math
import zlib
from dataclasses import dataclass
from typing import Callable, NamedTuple, Sequence

import numpy as onp

from .._mxnet import autograd, mx
from ..book.encoder_decoder import EncoderDecoder
from ..data.feed import DeviceBatch, GlobalBatch
from .flat_parameters import FlatCopy, FlatParameters
from .graphs import MAX_STATIC_SIZE, in_low_precision, trace
from .optimizer import Adam
from .workers import SingleWorker


class GradientScale(NamedTuple):
    """How the gradients of an update's batches become one.

    Each batch's gradient, that of its summed negative log-likelihood, is multiplied with its
    weight.  Their sum is multiplied with `before`, clipped, and multiplied with `after`.
    """

    weights: list[float]
    before: float
    after: float


def book_objective(batches: Sequence[GlobalBatch]) -> GradientScale:
    """The chapter's: the mean over label positions, clipped, divided by the number of labels."""
    return GradientScale(
        [1 / batch.num_label_steps for batch in batches],
        1.0,
        1 / sum(batch.num_tokens for batch in batches),
    )


def per_token_objective(batches: Sequence[GlobalBatch]) -> GradientScale:
    """The mean over labels, clipped."""
    return GradientScale([1.0] * len(batches), 1 / sum(batch.num_tokens for batch in batches), 1.0)


@dataclass(frozen=True)
class UpdateRules:
    """How batches become an update of the weights; as it stands here, in the chapter's way."""

    objective: Callable[[Sequence[GlobalBatch]], GradientScale] = book_objective
    max_norm: float | None = 1.0  # what the norm of the gradient is clipped to; None: as it is
    label_smoothing: float = 0.0  # share of the target that is spread evenly over the vocabulary
    weight_decay: float = 0.0  # see `Adam`
    batches_per_update: int = 1  # whose gradients are added up
    # What dropout and `ScheduledSampling` draw follows from the seed and the update's number; None: they draw
    # from MXNet's generator as it stands, and a training can't be gone on with to the bit.
    seed: int | None = None
    skip_bad_batches: bool = False  # True: a gradient that is no number is left out and counted
    dtype: str = 'float32'  # what matrix products are computed in, see `in_low_precision`


class Forward:
    """A model and its loss as graphs, traced and compiled once for each shape of batch that occurs.

    Parameters
    ----------
    model : EncoderDecoder
    variables : dict of str to NDArray
        The graphs' inputs that aren't data, such as `FlatParameters.variables` gives.
    dtype : str
        See `UpdateRules`.
    """

    def __init__(
        self, model: EncoderDecoder, variables: dict[str, mx.nd.NDArray], dtype: str = 'float32'
    ):
        self._model, self._variables, self._dtype = model, variables, dtype
        self._compiled = {}  # shapes of a batch: names of inputs, operators

    def __call__(self, batch: DeviceBatch) -> tuple[mx.nd.NDArray, list[mx.nd.NDArray]]:
        """The logits, and the outputs of `label_cross_entropy`, which autograd does not record."""
        key = (batch.src.shape, batch.tgt.shape, batch.label_positions.shape)
        if key not in self._compiled:
            self._compiled[key] = self._compile(batch)
        names, logits_of, loss_of = self._compiled[key]
        logits = logits_of(*self._inputs(names, batch))
        with autograd.pause():
            return logits, loss_of(logits, batch.label_index, batch.label_weight)

    def _inputs(self, names: list[str], batch: DeviceBatch) -> list[mx.nd.NDArray]:
        """What the graph's inputs of these names stand for."""
        return [
            self._variables[name] if name in self._variables else getattr(batch, name)
            for name in names
        ]

    def _compile(self, batch: DeviceBatch) -> tuple[list[str], mx.nd.CachedOp, mx.nd.CachedOp]:
        """The graph's inputs, and the operators that give the logits and their loss."""
        logits = trace(self._model, batch.src.shape, batch.tgt.shape).logits
        if self._dtype != 'float32':
            logits = in_low_precision(logits, self._dtype)
        names = logits.list_inputs()
        shapes = {name: array.shape for name, array in zip(names, self._inputs(names, batch))}
        _, (logits_shape,), _ = logits.infer_shape(**shapes)
        num_weights = sum(variable.size for variable in self._variables.values())
        is_static = max(math.prod(logits_shape), num_weights) < MAX_STATIC_SIZE
        flags = [('static_alloc', is_static), ('static_shape', is_static)]
        return (
            names,
            mx.nd.CachedOp(logits, flags),
            mx.nd.CachedOp(label_cross_entropy(), flags),
        )


class TrainStep:
    """Makes a model's weights better by a few batches.

    Parameters
    ----------
    replicas : sequence of (Forward, FlatParameters or FlatCopy)
        The model, then its copies on other devices, which take their parts of each batch.
    optimizer : Adam
    rules : UpdateRules
        Without a seed where the model draws nothing: seeding takes a millisecond.
    group : OneWorker or WorkerGroup
        The processes that share each batch.
    """

    def __init__(
        self,
        replicas: Sequence[tuple[Forward, FlatParameters | FlatCopy]],
        optimizer: Adam,
        rules: UpdateRules,
        group: SingleWorker = SingleWorker(),
    ):
        self._flat, *self._copies = [storage for _, storage in replicas]
        self._optimizer, self._rules, self._group = optimizer, rules, group
        self._on = {storage.weights.context: (forward, storage) for forward, storage in replicas}

    def __call__(self, batches: Sequence[GlobalBatch], lr: float) -> mx.nd.NDArray:
        """One update.

        Returns
        -------
        float32 NDArray of shape (num_batches + 1,)
            The summed negative log-likelihood of each batch, in nats, and the squared norm of the
            gradient.  If one of them is not finite, a guarded optimizer has changed nothing.
        """
        if not any(batch.num_tokens for batch in batches):
            return mx.nd.zeros(len(batches) + 1, ctx=self._flat.weights.context)
        if self._rules.seed is not None:
            mx.random.seed(
                _seed_of(self._rules.seed, self._optimizer.num_updates, self._group.rank)
            )
        scale = self._rules.objective(batches)
        nlls, gradients = self._sum_of_gradients(batches, scale.weights)
        gradients, *nlls = self._group.sum([gradients, *nlls])
        squared_norm = mx.nd.dot(gradients, gradients)  # (1,)
        before = scale.before * (scale.weights[0] if len(batches) == 1 else 1.0)
        clip = clip_factor(before, squared_norm, self._rules.max_norm)
        self._optimizer.update(self._flat, gradients, lr, clip, scale.after)
        for copy in self._copies:
            copy.refresh()
        return mx.nd.concat(*nlls, squared_norm, dim=0)

    def _sum_of_gradients(self, batches, weights) -> tuple[list[mx.nd.NDArray], mx.nd.NDArray]:
        """Each batch's loss, and their weighted gradients as one; a single one without its weight."""
        if len(batches) == 1:
            return [self._gradient(batches[0])], self._flat.gradients
        nlls, total = [], mx.nd.zeros_like(self._flat.gradients)
        for batch, weight in zip(batches, weights):
            nlls.append(self._gradient(batch))
            total += weight * self._flat.gradients
        return nlls, total

    def _gradient(self, batch: GlobalBatch) -> mx.nd.NDArray:
        """The gradient of a batch's loss into the storage; returns that loss, float32 (1,).

        All devices have their part to do before the first result is asked for.
        """
        home = self._flat.weights.context
        parts = {part.src.context: part for part in batch.parts if part.num_tokens}
        nlls = [self._backward(part) for part in parts.values()]
        if home not in parts:
            self._flat.gradients[:] = 0
        for device in parts:
            if device != home:
                self._flat.gradients += self._on[device][1].gradients.as_in_context(home)
        nlls = [nll.as_in_context(home) for nll in nlls] or [mx.nd.zeros(1, ctx=home)]
        return sum(nlls[1:], nlls[0])

    def _backward(self, part: DeviceBatch) -> mx.nd.NDArray:
        """The gradient of a part's loss into its device's storage; returns that loss."""
        forward, _ = self._on[part.src.context]
        with autograd.record():
            logits, (nll_sum, probs, label_probs) = forward(part)
        gradient = logits_gradient(
            probs, label_probs, part.label_index, part.num_tokens, self._rules.label_smoothing
        )
        autograd.backward([logits], [gradient])
        return nll_sum


def clip_factor(
    factor: float, squared_norm: mx.nd.NDArray, max_norm: float | None
) -> mx.nd.NDArray:
    """What the gradient is multiplied with, float32 (1,): min(factor, max_norm / |g|).

    The norm stays on the device, so nothing waits for it.  If it is infinite the result is 0, and
    if it is no number, nor is the result.
    """
    if max_norm is None:
        return factor + 0 * squared_norm
    return mx.nd.minimum(max_norm * mx.nd.rsqrt(squared_norm), factor)


def _seed_of(seed: int, update: int, rank: int) -> int:
    """What MXNet's generator starts from at an update; workers draw differently."""
    words = f'{seed} {update}' if rank == 0 else f'{seed} {update} {rank}'
    return zlib.crc32(words.encode()) >> 1  # it takes 31 bits


def label_cross_entropy() -> mx.sym.Symbol:
    """Softmax cross-entropy over rows, with what its gradient is made of.

    Autograd would go back through the logarithm and the choice of labels, over arrays as large as
    the logits at each step.  The gradient of a row's loss is known: its probabilities, with 1 taken
    off at the label; `logits_gradient` makes it of the outputs.

    Returns
    -------
    symbol of the inputs, in this order,
        - logits : float32 array of shape (num_labels, vocab_size)
        - label_index : float32 array of shape (2, num_labels), the rows' numbers and their labels
        - label_weight : float32 array of shape (num_labels,), 0 keeps a row out of the sum
    with the outputs
        - nll_sum : float32 array of shape (1,), in nats; a label of a probability below 1.2e-38
          counts as 87.3 nats
        - probs : float32 array of shape (num_labels, vocab_size)
        - label_probs : float32 array of shape (num_labels,), those of the labels
    """
    logits, label_index, label_weight = map(mx.sym.var, ('logits', 'label_index', 'label_weight'))
    probs = mx.sym.softmax(logits)
    label_probs = mx.sym.gather_nd(probs, label_index)
    log_probs = mx.sym.log(mx.sym.maximum(label_probs, float(onp.finfo('float32').tiny)))
    return mx.sym.Group([-mx.sym.sum(log_probs * label_weight), probs, label_probs])


def logits_gradient(
    probs: mx.nd.NDArray,
    label_probs: mx.nd.NDArray,
    label_index: mx.nd.NDArray,
    num_tokens: int,
    label_smoothing: float = 0.0,
) -> mx.nd.NDArray:
    """The gradient of `nll_sum` with respect to the logits, in the memory of `probs`.

    The arrays are those of `label_cross_entropy`; the first `num_tokens` rows count.  With label
    smoothing (Szegedy et al. 2016, section 7) it is the gradient of the cross-entropy with a target
    that has that share spread evenly over the vocabulary.
    """
    on_label = label_probs - 1
    if label_smoothing > 0:
        evenly = label_smoothing / probs.shape[1]
        probs -= evenly
        on_label += label_smoothing - evenly
    mx.nd._internal._scatter_set_nd(probs, on_label, label_index, shape=probs.shape, out=probs)
    if num_tokens < len(probs):
        probs[num_tokens:] = 0
    return probs
