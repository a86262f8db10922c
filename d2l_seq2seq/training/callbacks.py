"""Training callbacks: validation, the best validation so far, early stopping, a time limit.

A callback is a function of `EpochMetrics` and `TrainState` that is called after each epoch.  It
raises `StopTraining` to end training.  A callback whose state must survive a restart has the
methods `state`, which returns it as a JSON object, and `restore`.
"""

from __future__ import annotations

import dataclasses
import logging
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

logger = logging.getLogger(__name__)


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
    bleu_tokenize : str
        The name of sacreBLEU's tokenizer; ``auto`` chooses it by the references.
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
        bleu_tokenize: str = 'auto',
        workers: Workers = SingleWorker(),
    ):
        self._translator, self._feed, self._report = translator, feed, report
        self._workers, self._bleu_tokenize = workers, bleu_tokenize
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
            corpus_scores(translations, references, self._bleu_tokenize)['BLEU'].value,
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

    A BLEU that has been 0.0 in all validations does not stop it: the figure says nothing then.

    Parameters
    ----------
    metric : str
        ``nll``, the loss per token, or ``bleu``.  Of validations with the same BLEU, that with the
        smaller loss is better; differences below 0.1 do not count.
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

    def __init__(self, metric: str, patience: int | None):
        self._metric, self._patience = metric, patience
        self.epoch: int | None = None
        self.description = ''
        self._best: list[float] | None = None  # the greater, the better; compared in order
        self._num_worse = 0

    def __call__(self, validation: ValidationMetrics) -> None:
        """Compare a validation with the best so far; raise `StopTraining` if patience runs out."""
        score = [-validation.losses.nll_per_token]
        if self._metric == 'bleu':
            score.insert(0, round(validation.bleu, 1))  # as it is printed
        if self._best is None or score > self._best:
            self._best, self._num_worse, self.epoch = score, 0, validation.epoch
            self.description = (
                f'nll_per_token {validation.losses.nll_per_token:.3f}, BLEU {validation.bleu:.1f}'
            )
            return
        self._num_worse += 1
        if self._patience is not None and self._num_worse >= self._patience:
            if self._metric != 'bleu' or self._best[0] > 0:
                raise StopTraining(f'no improvement in validation since epoch {self.epoch}')
            if self._num_worse == self._patience:
                logger.warning(
                    'BLEU has been 0 in all validations up to epoch %d, so it does not stop the '
                    'training; use --early-stopping nll, or another --bleu-tokenize',
                    validation.epoch,
                )

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
                'goodness': (int, float, list, type(None)),
                'num_worse': int,
                'epoch': (int, type(None)),
                'description': str,
            },
        )
        best = state['goodness']
        if isinstance(best, (int, float)):  # a checkpoint of version 0.2, without the loss
            best = [best]
        if best is not None and not all(isinstance(part, (int, float)) for part in best):
            raise ValueError(f'goodness: {str(best)[:40]!r}')
        self._best, self._num_worse = best, state['num_worse']
        self.epoch, self.description = state['epoch'], state['description']


class TimeLimit:
    """A callback that ends training after the last epoch that fits into a time limit.

    Parameters
    ----------
    minutes : float
        The time limit, starting now.

    Attributes
    ----------
    num_epochs : int
        Number of epochs that fit if each of the next ones takes as long as the last one; 0 before
        the first.  It changes as little as possible, because a learning-rate schedule that ends at
        0 follows it.
    """

    _MARGIN = 1.05  # an epoch is added to the plan only if it fits with this factor

    def __init__(self, minutes: float):
        self._minutes, self._last = minutes, time.monotonic()
        self._end = self._last + 60 * minutes
        self.num_epochs = 0

    def __call__(self, metrics: EpochMetrics, state: TrainState) -> None:
        """Raise `OutOfTime` if there is no time for another epoch."""
        now = time.monotonic()
        seconds, remaining = now - self._last, max(0.0, self._end - now)
        self._last = now
        cautious = metrics.epoch + int(remaining / (self._MARGIN * seconds))
        possible = metrics.epoch + int(remaining / seconds)
        self.num_epochs = min(max(self.num_epochs, cautious), possible)
        if self.num_epochs == metrics.epoch:
            raise OutOfTime(f'no time for another epoch within {self._minutes:g} minutes')
