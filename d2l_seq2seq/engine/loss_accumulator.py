"""The losses of batches, added up without waiting for the device.

What a step returns is still being computed.  It is read some steps later, when the device long has
it: so many that the device never idles, and so few that what is wrong, and a signal, is heard soon.
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

MAX_AHEAD = 16  # updates
MAX_LAG = 0.5  # seconds


@dataclass(frozen=True)
class LossSums:
    """Losses of some batches as sums with their denominator, so that they can be added up."""

    nll_sum: float  # nats
    book_sum: float  # each batch's nll_sum over its number of label positions
    num_tokens: int  # labels

    @property
    def nll_per_token(self) -> float:
        """Nats per label."""
        return self.nll_sum / self.num_tokens

    @property
    def book_loss(self) -> float:
        """The figure that the book prints; see `train_s2s_ch9`."""
        return self.book_sum / self.num_tokens


@dataclass(frozen=True)
class EpochSums:
    """What the batches of an epoch brought so far."""

    losses: LossSums = LossSums(0.0, 0.0, 0)
    num_skipped: int = 0  # batches
    seconds: float = 0.0


class LossAccumulator:
    """Adds up what batches bring, and looks at the device's numbers only when it long has them.

    Parameters
    ----------
    sums : EpochSums
        What it goes on from.
    skip_bad_batches : bool
        True: what is not finite is left out and counted.
    """

    def __init__(self, sums: EpochSums = EpochSums(), skip_bad_batches: bool = False):
        self._sums, self._skip = sums, skip_bad_batches
        self._waiting: collections.deque = collections.deque()

    def add(
        self, batches: Sequence[GlobalBatch | DeviceBatch], values: mx.nd.NDArray, where: str = ''
    ) -> None:
        """Take what `TrainStep` returned for some batches; `where` is for the error.

        Raises
        ------
        FloatingPointError
            If one that was added before was not finite.
        """
        counts = [(batch.num_label_steps, batch.num_tokens) for batch in batches]
        now = time.monotonic()
        self._waiting.append((now, counts, values, where))
        # Far enough ahead that the device never idles, and no further: a signal is heard here.
        while len(self._waiting) > MAX_AHEAD or now - self._waiting[0][0] > MAX_LAG:
            self._look()

    def settle(self, seconds: float = 0.0) -> EpochSums:
        """All of it, waited for; `seconds` are added.

        Raises
        ------
        FloatingPointError
            If something was not finite.
        """
        while self._waiting:
            self._look()
        self._sums = dataclasses.replace(self._sums, seconds=self._sums.seconds + seconds)
        return self._sums

    def _look(self) -> None:
        """Read the oldest numbers that wait.

        One is added to the other in the order of the batches, so that a tally that goes on from
        another's sums comes to the same bits.
        """
        _, counts, values, where = self._waiting.popleft()
        values = values.asnumpy().astype('float64')
        sums = self._sums
        if not onp.isfinite(values).all():
            if not self._skip:
                raise FloatingPointError(_what_is_wrong(values, len(counts)) + where)
            self._sums = dataclasses.replace(sums, num_skipped=sums.num_skipped + len(counts))
            return
        nll_sum, book_sum, num_tokens = dataclasses.astuple(sums.losses)
        for (num_label_steps, own_tokens), nll in zip(counts, values.tolist()):
            nll_sum += nll
            book_sum += nll / num_label_steps
            num_tokens += own_tokens
        self._sums = dataclasses.replace(sums, losses=LossSums(nll_sum, book_sum, num_tokens))


def _what_is_wrong(values: onp.ndarray, num_batches: int) -> str:
    """Which of the numbers of an update is not finite."""
    losses, norms = values[:num_batches], values[num_batches:]
    if onp.isfinite(losses).all():
        return f"the gradient's squared norm is {norms[0]}"
    return f'the loss is {losses[~onp.isfinite(losses)][0]}'


def sum_losses(results: Iterable[tuple[DeviceBatch, mx.nd.NDArray]]) -> LossSums:
    """Add up the losses of batches."""
    tally = LossAccumulator()
    for batch, nll_sum in results:
        tally.add([batch], nll_sum)
    return tally.settle().losses
