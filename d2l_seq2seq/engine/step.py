"""One update of the weights: forward, loss, backward, clipping and Adam, without waiting.

`UpdateRules` define how batches become an update, and `TrainStep` makes one.  The model and its
loss are in `forward`.  No function here reads a result from the device, so the host can prepare the
next batches in the meantime.
"""

from __future__ import annotations

import zlib
from dataclasses import dataclass
from typing import Callable, NamedTuple, Sequence

from .._mxnet import autograd, mx
from ..data.feed import DeviceBatch, GlobalBatch
from .flat_parameters import FlatCopy, FlatParameters
from .forward import Forward, logits_gradient
from .optimizer import Adam
from .workers import SingleWorker, Workers


class GradientScale(NamedTuple):
    """Factors that combine the gradients of an update's batches.

    The gradient of each batch's summed negative log-likelihood is multiplied by its weight.  The
    sum of these is multiplied by `before`, clipped, and multiplied by `after`.
    """

    weights: list[float]  # one per batch
    before: float
    after: float


def book_objective(batches: Sequence[GlobalBatch]) -> GradientScale:
    """Return the chapter's scale: mean over label positions, clip, divide by the number of labels.

    The chapter's loss averages over the steps of a sentence, padding included, and its trainer
    divides the clipped gradient by the number of labels in the batch (d2l 0.14, section 9.7).

    Parameters
    ----------
    batches : sequence of GlobalBatch
        The batches of one update.
    """
    return GradientScale(
        weights=[1 / batch.num_label_steps for batch in batches],
        before=1.0,
        after=1 / sum(batch.num_tokens for batch in batches),
    )


def per_token_objective(batches: Sequence[GlobalBatch]) -> GradientScale:
    """Return the scale for the mean over labels, clipped.

    Parameters
    ----------
    batches : sequence of GlobalBatch
        The batches of one update.
    """
    return GradientScale(
        weights=[1.0] * len(batches),
        before=1 / sum(batch.num_tokens for batch in batches),
        after=1.0,
    )


@dataclass(frozen=True)
class UpdateRules:
    """The rules by which batches become an update of the weights; by default, the chapter's.

    Pass the rules as keywords: ``UpdateRules(weight_decay=0.01, seed=0)``.

    Parameters
    ----------
    objective : Callable
        `book_objective` or `per_token_objective`.
    max_norm : float, optional
        The norm to which the gradient is clipped; None does not clip it.
    label_smoothing : float
        Share of the target that is spread evenly over the vocabulary; see `logits_gradient`.
    weight_decay : float
        See `Adam`.
    batches_per_update : int
        Number of batches whose gradients are added up for an update.
    seed : int, optional
        Dropout and `ScheduledSampling` draw from a generator that is seeded for each update with
        this seed and the number of the update.  With None they draw from MXNet's generator as it
        is, and training that is resumed differs from training that was not interrupted.
    skip_bad_batches : bool
        If True, updates whose loss or gradient is not finite are skipped and counted.
    dtype : str
        ``float32``, or the 16-bit type of matrix products; see `cast_matrix_products`.
    """

    objective: Callable[[Sequence[GlobalBatch]], GradientScale] = book_objective
    max_norm: float | None = 1.0
    label_smoothing: float = 0.0
    weight_decay: float = 0.0
    batches_per_update: int = 1
    seed: int | None = None
    skip_bad_batches: bool = False
    dtype: str = 'float32'

    def __post_init__(self):
        if self.max_norm is not None and not self.max_norm > 0:
            raise ValueError(f'expected a max_norm above 0, or None, got {self.max_norm}')
        for name in ('label_smoothing', 'weight_decay'):
            if not 0 <= getattr(self, name) < 1:
                raise ValueError(f'expected a {name} from 0 to 1, got {getattr(self, name)}')
        if self.batches_per_update < 1:
            raise ValueError(
                f'expected a batches_per_update of at least 1, got {self.batches_per_update}'
            )


class TrainStep:
    """A function that updates a model's weights with some batches.

    Parameters
    ----------
    replicas : sequence of (Forward, FlatParameters or FlatCopy)
        The model, followed by its copies on other devices.  Each computes the gradient of the parts
        of a batch that are on its device.
    optimizer : Adam
    rules : UpdateRules
        Leave out the seed if the model draws no random numbers, because seeding takes a
        millisecond.
    workers : Workers
        The processes that share each batch.
    """

    def __init__(
        self,
        replicas: Sequence[tuple[Forward, FlatParameters | FlatCopy]],
        optimizer: Adam,
        rules: UpdateRules,
        workers: Workers = SingleWorker(),
    ):
        storages: list = [storage for _, storage in replicas]
        self._flat, *self._copies = storages
        self._optimizer, self._rules, self._workers = optimizer, rules, workers
        self._replicas = {
            storage.weights.context: (forward, storage) for forward, storage in replicas
        }

    def __call__(self, batches: Sequence[GlobalBatch], lr: float) -> mx.nd.NDArray:
        """Make one update.

        Parameters
        ----------
        batches : sequence of GlobalBatch
        lr : float

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
                _update_seed(self._rules.seed, self._optimizer.num_updates, self._workers.rank)
            )
        scale = self._rules.objective(batches)
        nlls, gradients = self._sum_gradients(batches, scale.weights)
        gradients, *nlls = self._workers.sum([gradients, *nlls])
        squared_norm = mx.nd.dot(gradients, gradients)  # (1,)
        before = scale.before * (scale.weights[0] if len(batches) == 1 else 1.0)
        clip = clip_factor(before, squared_norm, self._rules.max_norm)
        self._optimizer.update(self._flat, gradients, lr, clip, scale.after)
        for copy in self._copies:
            copy.refresh()
        return mx.nd.concat(*nlls, squared_norm, dim=0)

    def _sum_gradients(
        self, batches: Sequence[GlobalBatch], weights: Sequence[float]
    ) -> tuple[list[mx.nd.NDArray], mx.nd.NDArray]:
        """Return the batches' losses and their weighted gradients' sum.

        The gradient of a single batch is returned without its weight, which saves a pass over it.
        """
        if len(batches) == 1:
            return [self._compute_gradient(batches[0])], self._flat.gradients
        nlls, total = [], mx.nd.zeros_like(self._flat.gradients)
        for batch, weight in zip(batches, weights):
            nlls.append(self._compute_gradient(batch))
            total += weight * self._flat.gradients
        return nlls, total

    def _compute_gradient(self, batch: GlobalBatch) -> mx.nd.NDArray:
        """Write the gradient of a batch's loss to the storage, and return the loss, float32 (1,).

        All devices are given their work before the first result is needed.
        """
        main_device = self._flat.weights.context
        parts = {part.src.context: part for part in batch.parts if part.num_tokens}
        nlls = [self._backward(part) for part in parts.values()]
        if main_device not in parts:
            self._flat.gradients[:] = 0
        for device in parts:
            if device != main_device:
                _, storage = self._replicas[device]
                self._flat.gradients += storage.gradients.as_in_context(main_device)
        nlls = [nll.as_in_context(main_device) for nll in nlls] or [mx.nd.zeros(1, ctx=main_device)]
        return sum(nlls[1:], nlls[0])

    def _backward(self, part: DeviceBatch) -> mx.nd.NDArray:
        """Write the gradient of a part's loss to its device's storage, and return the loss."""
        forward, _ = self._replicas[part.src.context]
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
    """Return the factor that scales and clips a gradient: min(factor, max_norm / norm).

    Parameters
    ----------
    factor : float
        The factor without clipping.
    squared_norm : float32 NDArray of shape (1,)
        Of the gradient before it is scaled.  It stays on the device, so nothing waits for it.
    max_norm : float, optional
        Maximum norm of the scaled gradient; None does not clip it.

    Returns
    -------
    float32 NDArray of shape (1,)
        With `max_norm`, it is 0 if the norm is infinite, and NaN if the norm is NaN.  Without, it
        is NaN in both cases.
    """
    if max_norm is None:
        return factor + 0 * squared_norm
    return mx.nd.minimum(max_norm * mx.nd.rsqrt(squared_norm), factor)


def _update_seed(seed: int, update: int, rank: int) -> int:
    """Return the seed of MXNet's generator, 31 bits, for an update; it differs between workers."""
    words = f'{seed} {update}' if rank == 0 else f'{seed} {update} {rank}'
    return zlib.crc32(words.encode()) >> 1
