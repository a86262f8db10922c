"""What watches a training: validation, the best one so far, early stopping, a limit of time.

A hook is a function of `EpochMetrics` and `TrainState`, called after each epoch; one that has seen
enough raises `StopTraining`.  What a hook would have to know to go on in another process is its
`state`, as JSON has it, and `restore` takes it back.
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
from ..engine.workers import SingleWorker
from ..errors import check_types
from ..inference.metrics import corpus_scores
from ..inference.translator import Translator


class StopTraining(Exception):
    """Raised by a hook to end the training; the message says why."""

    is_final = True  # False: another session may go on with it


class OutOfTime(StopTraining):
    """There is no more time for now."""

    is_final = False


@dataclass(frozen=True)
class ValidationMetrics:
    """What a look at held-out sentences brought."""

    epoch: int
    losses: LossSums
    bleu: float  # sacreBLEU's, from 0 to 100, of greedy translations
    samples: list[tuple[str, str, str]]  # some sources, their translations, a reference of each


class Validation:
    """Looks at held-out sentence pairs every so many epochs.

    Parameters
    ----------
    translator : Translator
        Of the model that is trained.
    feed : Feed
        The held-out pairs as arrays.
    pairs : sequence of (str, str)
        The held-out pairs as text.
    every : int
        Epochs from one look to the next.
    report : function of ValidationMetrics
    num_samples : int
        How many translations to show, spread over the pairs.
    group : OneWorker or WorkerGroup
        The processes that train together: the first looks, and all report what it found, with no
        samples where they didn't look themselves.
    """

    def __init__(
        self,
        translator: Translator,
        feed: Feed,
        pairs: Sequence[tuple[str, str]],
        every: int,
        report: Callable[[ValidationMetrics], None],
        num_samples: int = 3,
        group: SingleWorker = SingleWorker(),
    ):
        self._translator, self._feed, self._report = translator, feed, report
        self._group = group
        self._every, self._num_samples = every, num_samples
        self._references = group_references(pairs, translator.tokenizer)
        self._feed_state = feed.random_state.get_state()

    def __call__(self, metrics: EpochMetrics, state: TrainState) -> None:
        if self.is_due(metrics.epoch):
            self._report(self._shared(metrics.epoch))

    def is_due(self, epoch: int) -> bool:
        """Whether there is a look after an epoch."""
        return epoch % self._every == 0

    def _shared(self, epoch: int) -> ValidationMetrics:
        """What the first worker finds, told to all: so all learn from the same figures."""
        found = (
            self.look(epoch)
            if self._group.rank == 0
            else ValidationMetrics(epoch, LossSums(0.0, 0.0, 0), 0.0, [])
        )
        *losses, num_tokens, bleu = self._group.broadcast(
            [*dataclasses.astuple(found.losses), found.bleu]
        )
        return dataclasses.replace(found, losses=LossSums(*losses, int(num_tokens)), bleu=bleu)

    def look(self, epoch: int) -> ValidationMetrics:
        """Validate the model as it is now; the same weights give the same bits."""
        sources, references = list(self._references), list(self._references.values())
        translations = self._translator(sources)
        step = max(1, len(sources) // self._num_samples)
        samples = list(zip(sources, translations, (own[0] for own in references)))[::step]
        self._feed.random_state.set_state(self._feed_state)  # the order in which sums are rounded
        return ValidationMetrics(
            epoch,
            evaluate_loss(self._translator.model, self._feed),
            corpus_scores(translations, references)['BLEU'].value,
            samples[: self._num_samples],
        )


class BestValidation:
    """Remembers the best validation, and stops when there is no better one for a while.

    Parameters
    ----------
    goodness : function of ValidationMetrics
        A number, the greater the better.
    patience : int, optional
        Validations in a row that are no better, after which the training ends; None: it goes on.

    Attributes
    ----------
    epoch : int or None
        Of the best validation so far; None before the first.
    description : str
        Its figures.
    """

    def __init__(self, goodness: Callable[[ValidationMetrics], float], patience: int | None):
        self._goodness, self._patience = goodness, patience
        self.epoch: int | None = None
        self.description = ''
        self._best, self._num_worse = None, 0

    def __call__(self, validation: ValidationMetrics) -> None:
        goodness = self._goodness(validation)
        if self._best is None or goodness > self._best:
            self._best, self._num_worse, self.epoch = goodness, 0, validation.epoch
            self.description = (
                f'nll_per_token {validation.losses.nll_per_token:.3f}, BLEU {validation.bleu:.1f}'
            )
            return
        self._num_worse += 1
        if self._patience is not None and self._num_worse >= self._patience:
            raise StopTraining(f'no better validation since epoch {self.epoch}')

    def state(self) -> dict:
        """What `restore` needs."""
        return {
            'goodness': self._best,
            'num_worse': self._num_worse,
            'epoch': self.epoch,
            'description': self.description,
        }

    def restore(self, state: dict) -> None:
        """Go on from a `state`; raises ValueError if it is none."""
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
    """Ends the training when another epoch like the last would not be over in time.

    Parameters
    ----------
    minutes : float
        From now on.
    """

    def __init__(self, minutes: float):
        self._minutes, self._last = minutes, time.monotonic()
        self._end = self._last + 60 * minutes

    def __call__(self, metrics: EpochMetrics, state: TrainState) -> None:
        now = time.monotonic()
        if now + (now - self._last) > self._end:
            raise OutOfTime(f'{self._minutes:g} minutes have no room for another epoch')
        self._last = now
