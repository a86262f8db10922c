"""The losses of batches, added up without waiting for the device.

A training step returns its loss while the device is still computing it.  The accumulator reads the
loss some steps later, when the device has finished it, so the device is never idle.  The delay is
limited, so that a loss that is not finite, or a signal to stop, is noticed soon.
"""

from __future__ import annotations

import collections
import dataclasses
import time
from dataclasses import dataclass
from typing import Iterable, Sequence

import numpy as onp

from .._mxnet import mx
from ..data.feed import DeviceBatch, GlobalBatch

MAX_AHEAD = 16  # updates that may be pending
MAX_LAG = 0.5  # seconds that an update may be pending


@dataclass(frozen=True)
class LossSums:
    """Sums of the losses of batches, and their denominator."""

    nll_sum: float  # nats
    book_sum: float  # each batch's nll_sum divided by its number of label positions per sentence
    num_tokens: int  # labels

    @property
    def nll_per_token(self) -> float:
        """Negative log-likelihood in nats per label."""
        return self.nll_sum / self.num_tokens

    @property
    def book_loss(self) -> float:
        """The loss that the book prints; see `train_s2s_ch9`."""
        return self.book_sum / self.num_tokens


@dataclass(frozen=True)
class EpochSums:
    """Sums over the batches of an epoch up to some moment."""

    losses: LossSums = LossSums(0.0, 0.0, 0)
    num_skipped: int = 0  # batches whose loss or gradient was not finite
    seconds: float = 0.0


class LossAccumulator:
    """An accumulator of losses that are still being computed.

    Parameters
    ----------
    sums : EpochSums
        The sums to start from.
    skip_bad_batches : bool
        If True, batches whose loss or gradient is not finite are left out and counted.  If False,
        they raise an error.
    """

    def __init__(self, sums: EpochSums = EpochSums(), skip_bad_batches: bool = False):
        self._sums, self._skip_bad_batches = sums, skip_bad_batches
        self._pending: collections.deque = collections.deque()

    def add(
        self, batches: Sequence[GlobalBatch | DeviceBatch], values: mx.nd.NDArray, where: str = ''
    ) -> None:
        """Add the losses of an update, and read those that have been pending too long.

        Parameters
        ----------
        batches : sequence of batches
        values : float32 NDArray of shape (num_batches,) or (num_batches + 1,)
            Each batch's nll_sum, and the squared norm of the gradient if there is one, as
            `TrainStep` returns them.
        where : str
            The end of the error message if a value is not finite.

        Raises
        ------
        FloatingPointError
            If a value that is read is not finite.
        """
        counts = [(batch.num_label_steps, batch.num_tokens) for batch in batches]
        now = time.monotonic()
        self._pending.append((now, counts, values, where))
        while len(self._pending) > MAX_AHEAD or now - self._pending[0][0] > MAX_LAG:
            self._read_oldest()

    def flush(self, seconds: float = 0.0) -> EpochSums:
        """Wait for all pending losses, add `seconds` to the time, and return the sums.

        Raises
        ------
        FloatingPointError
            If a value is not finite.
        """
        while self._pending:
            self._read_oldest()
        self._sums = dataclasses.replace(self._sums, seconds=self._sums.seconds + seconds)
        return self._sums

    def _read_oldest(self) -> None:
        """Read the values of the oldest pending update.

        Losses are added one by one in the order of the batches, so the sums of an epoch that was
        interrupted and resumed are the same bit for bit.
        """
        _, counts, values, where = self._pending.popleft()
        values = values.asnumpy().astype('float64')
        sums = self._sums
        if not onp.isfinite(values).all():
            if not self._skip_bad_batches:
                raise FloatingPointError(_describe_bad_value(values, len(counts)) + where)
            self._sums = dataclasses.replace(sums, num_skipped=sums.num_skipped + len(counts))
            return
        nll_sum, book_sum, num_tokens = dataclasses.astuple(sums.losses)
        for (num_label_steps, num_batch_tokens), nll in zip(counts, values.tolist()):
            nll_sum += nll
            book_sum += nll / num_label_steps
            num_tokens += num_batch_tokens
        self._sums = dataclasses.replace(sums, losses=LossSums(nll_sum, book_sum, num_tokens))


def sum_losses(results: Iterable[tuple[DeviceBatch, mx.nd.NDArray]]) -> LossSums:
    """Add up the losses of batches.

    Parameters
    ----------
    results : iterable of (DeviceBatch, NDArray)
        Batches and their nll_sum, float32 of shape (1,).
    """
    accumulator = LossAccumulator()
    for batch, nll_sum in results:
        accumulator.add([batch], nll_sum)
    return accumulator.flush().losses


def _describe_bad_value(values: onp.ndarray, num_batches: int) -> str:
    """Describe the first value of an update that is not finite."""
    losses, norms = values[:num_batches], values[num_batches:]
    if onp.isfinite(losses).all():
        return f"the gradient's squared norm is {norms[0]}"
    return f'the loss is {losses[~onp.isfinite(losses)][0]}'
