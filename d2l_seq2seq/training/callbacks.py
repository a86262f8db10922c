"""Training callbacks: validation, the best validation so far, early stopping, a time limit.

A callback is a function of `EpochMetrics` and `TrainState` that is called after each epoch.  It
raises `StopTraining` to end training.  A callback whose state must survive a restart has the
methods `state`, which returns it as a JSON object, and `restore`.
"""

from __future__ import annotations

import dataclasses
import time
from dataclasses import dataclass
from typing import Callable, Sequence

from ..data.encoding import group_references
from ..data.feed import Feed
from ..engine.fit import EpochMetrics, TrainState, evaluate_loss
from ..engine.loss_accumulator import LossSums
from ..engine.workers import SingleWorker, Workers
from ..errors import check_types
from ..inference.metrics import corpus_scores
from ..inference.translator import Translator


class StopTraining(Exception):
    """Raised by a callback to end training; the message says why."""

    is_final = True  # False: training may be resumed


class OutOfTime(StopTraining):
    """Raised when the time limit is reached."""

    is_final = False


@dataclass(frozen=True)
class ValidationMetrics:
    """The metrics of one validation."""

    epoch: int
    losses: LossSums
    bleu: float  # sacreBLEU of greedy translations, from 0 to 100
    samples: list[tuple[str, str, str]]  # source, translation and a reference of some sentences


class Validation:
    """A callback that evaluates the model on held-out sentence pairs every few epochs.

    Parameters
    ----------
    translator : Translator
        A translator with the model that is being trained.
    feed : Feed
        The held-out pairs, encoded.
    pairs : sequence of (str, str)
        The held-out pairs as text.
    every : int
        Number of epochs between validations.
    report : function of ValidationMetrics
        Called with the metrics of each validation.
    num_samples : int
        Number of translations to show, spread over the pairs.
    workers : Workers
        The processes that train together.  Worker 0 validates, and all report its metrics; the
        others have no samples.
    """

    def __init__(
        self,
        translator: Translator,
        feed: Feed,
        pairs: Sequence[tuple[str, str]],
        every: int,
        report: Callable[[ValidationMetrics], None],
        num_samples: int = 3,
        workers: Workers = SingleWorker(),
    ):
        self._translator, self._feed, self._report = translator, feed, report
        self._workers = workers
        self._every, self._num_samples = every, num_samples
        self._references = group_references(pairs, translator.tokenizer)
        self._feed_state = feed.random_state.get_state()

    def __call__(self, metrics: EpochMetrics, state: TrainState) -> None:
        """Validate if a validation is due after this epoch."""
        if self.is_due(metrics.epoch):
            self._report(self._broadcast_metrics(metrics.epoch))

    def is_due(self, epoch: int) -> bool:
        """Return whether there is a validation after an epoch."""
        return epoch % self._every == 0

    def evaluate(self, epoch: int) -> ValidationMetrics:
        """Validate the model as it is now; the same weights always give the same metrics."""
        sources, references = list(self._references), list(self._references.values())
        translations = self._translator(sources)
        step = max(1, len(sources) // self._num_samples)
        samples = list(zip(sources, translations, (group[0] for group in references)))[::step]
        self._feed.random_state.set_state(self._feed_state)  # same order, same rounding
        return ValidationMetrics(
            epoch,
            evaluate_loss(self._translator.model, self._feed),
            corpus_scores(translations, references)['BLEU'].value,
            samples[: self._num_samples],
        )

    def _broadcast_metrics(self, epoch: int) -> ValidationMetrics:
        """Return the metrics of worker 0, so that all workers make the same decisions."""
        metrics = ValidationMetrics(epoch, LossSums(0.0, 0.0, 0), 0.0, [])
        if self._workers.rank == 0:
            metrics = self.evaluate(epoch)
        nll_sum, book_sum, num_tokens, bleu = self._workers.broadcast(
            [*dataclasses.astuple(metrics.losses), metrics.bleu]
        )
        losses = LossSums(nll_sum, book_sum, int(num_tokens))
        return dataclasses.replace(metrics, losses=losses, bleu=bleu)


class BestValidation:
    """A record of the best validation, which stops training when there is no improvement.

    Parameters
    ----------
    score : function of ValidationMetrics
        Returns a number; greater is better.
    patience : int, optional
        Number of consecutive validations without improvement after which training stops.  None
        never stops it.

    Attributes
    ----------
    epoch : int or None
        Epoch of the best validation so far; None before the first.
    description : str
        The metrics of the best validation.
    """

    def __init__(self, score: Callable[[ValidationMetrics], float], patience: int | None):
        self._score, self._patience = score, patience
        self.epoch: int | None = None
        self.description = ''
        self._best: float | None = None
        self._num_worse = 0

    def __call__(self, validation: ValidationMetrics) -> None:
        """Compare a validation with the best so far; raise `StopTraining` if patience runs out."""
        score = self._score(validation)
        if self._best is None or score > self._best:
            self._best, self._num_worse, self.epoch = score, 0, validation.epoch
            self.description = (
                f'nll_per_token {validation.losses.nll_per_token:.3f}, BLEU {validation.bleu:.1f}'
            )
            return
        self._num_worse += 1
        if self._patience is not None and self._num_worse >= self._patience:
            raise StopTraining(f'no improvement in validation since epoch {self.epoch}')

    def state(self) -> dict:
        """Return what `restore` needs, as a JSON object."""
        return {
            'goodness': self._best,  # the name that checkpoints of version 0.2 have
            'num_worse': self._num_worse,
            'epoch': self.epoch,
            'description': self.description,
        }

    def restore(self, state: dict) -> None:
        """Continue from a state that `state` returned, or raise ValueError."""
        check_types(
            state,
            {
                'goodness': (int, float, type(None)),
                'num_worse': int,
                'epoch': (int, type(None)),
                'description': str,
            },
        )
        self._best, self._num_worse = state['goodness'], state['num_worse']
        self.epoch, self.description = state['epoch'], state['description']


class TimeLimit:
    """A callback that ends training if another epoch like the last one would exceed a time limit.

    Parameters
    ----------
    minutes : float
        The time limit, starting now.
    """

    def __init__(self, minutes: float):
        self._minutes, self._last = minutes, time.monotonic()
        self._end = self._last + 60 * minutes

    def __call__(self, metrics: EpochMetrics, state: TrainState) -> None:
        """Raise `OutOfTime` if there is no time for another epoch."""
        now = time.monotonic()
        if now + (now - self._last) > self._end:
            raise OutOfTime(f'no time for another epoch within {self._minutes:g} minutes')
        self._last = now
