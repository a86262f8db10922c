"""A run's training from its settings to its last checkpoint: what `train` does, wired together."""
from __future__ import annotations

import contextlib
import logging
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from ._mxnet import mx
from .checkpoint import Run, load_checkpoint, load_progress, load_weights, set_weights
from .config import RunConfig
from .errors import InputError
from .hooks import BestValidation, StopTraining, TimeLimit, Validation
from .interruption import Interrupted, Interruption
from .model import initialize
from .recorder import Recorder
from .resume import MOMENTS, CheckpointWriter, to_state
from .run_folder import RunFolder, best_of, checkpoints_of, newest_good
from .training import EpochMetrics, TrainState, fit
from .translation import Translator
from .wiring import (INITIALIZERS, TrainingData, build_feed, build_model, build_schedule,
                     for_training, update_rules)

logger = logging.getLogger(__name__)


@dataclass(frozen=True)
class Outcome:
    """How a training ended."""

    run: Run  # with the weights that it is to be used with
    last: EpochMetrics | None  # of the last epoch of this process
    exit_code: int  # 130 or 143 after a signal, else 0
    notes: list[str]  # what there is to say of it


def begin(config: RunConfig, data: TrainingData, ctx: mx.Context) -> Run:
    """A run whose model has its initial weights."""
    model = build_model(config.model, len(data.src_vocab), len(data.tgt_vocab))
    initialize(model, ctx, INITIALIZERS[config.model.initializer]())
    return Run(config, data.src_vocab, data.tgt_vocab, model, data.subwords)


def train(config: RunConfig, data: TrainingData, folder: RunFolder, ctx: mx.Context) -> Outcome:
    """Train a run, from its latest checkpoint if it has one.

    Raises
    ------
    InputError
        If what it has can't be gone on from, a loss or gradient is not finite, or a file can't be
        written.
    """
    with Interruption() as interruption:
        return _Session(config, data, folder, ctx, interruption).train()


class _Session:
    """What takes part in a training."""

    def __init__(self, config: RunConfig, data: TrainingData, folder: RunFolder, ctx: mx.Context,
                 interruption: Interruption):
        self._config, self._folder, self._ctx = config, folder, ctx
        self._interruption = interruption
        self._last: EpochMetrics | None = None
        self._feed = build_feed(config.data, data.train, config.training.seed, ctx)
        self._rules = update_rules(config.training)
        self._schedule = build_schedule(config.training)
        # The hooks that have something to remember.
        self._parts: dict[str, Any] = {}
        if hasattr(self._schedule, 'restore'):
            self._parts['schedule'] = self._schedule
        if config.training.validate:
            patience = config.training.patience
            self._parts['best'] = BestValidation(
                _GOODNESS[config.training.keep_best],
                patience if config.training.early_stopping != 'none' else None)
        self._run, self._state = self._model_and_state(data)
        self._recorder = Recorder(folder, config)
        self._writer = CheckpointWriter(folder, self._run, self._feed, self._parts)
        self._validation = self._build_validation(data)
        minutes = config.training.max_minutes
        self._time_limit = None if minutes is None else TimeLimit(minutes)

    def _model_and_state(self, data: TrainingData) -> tuple[Run, TrainState | None]:
        """As the latest checkpoint has them, or as they are in the beginning."""
        if not checkpoints_of(self._folder.path):
            return begin(self._config, data, self._ctx), None
        return newest_good(self._folder.path, lambda path: self._load(path, data))

    def _load(self, path: Path, data: TrainingData) -> tuple[Run, TrainState]:
        run = load_checkpoint(path, self._ctx)
        if (run.src_vocab.idx_to_token, run.tgt_vocab.idx_to_token) != (
                data.src_vocab.idx_to_token, data.tgt_vocab.idx_to_token):
            raise InputError(f'{path}: the vocabularies are no longer those of the run: the corpus '
                             'has changed; bring it back, or start a new run')
        progress = load_progress(path, run.model, MOMENTS)
        try:
            state = to_state(progress, run.model, self._feed, self._rules, self._parts)
        except InputError as error:
            raise InputError(f'{path}: {error}') from error
        return Run(self._config, run.src_vocab, run.tgt_vocab, run.model, run.subwords), state

    def _build_validation(self, data: TrainingData) -> Validation | None:
        if not self._config.training.validate:
            return None
        feed = build_feed(self._config.data, data.valid, 0, self._ctx)
        return Validation(Translator.of(self._run), feed, data.pairs.valid,
                          self._config.training.validate_every, self._report)

    def _report(self, found) -> None:
        """Pass on what a validation found."""
        self._recorder.add_validation(found)
        if 'schedule' in self._parts:
            self._schedule.observe(found.losses.nll_per_token)
        self._parts['best'](found)

    def train(self) -> Outcome:
        """Train to the end, or to a signal."""
        config, notes, exit_code = self._config.training, [], 0
        try:
            self._state = fit(
                for_training(self._run.model, config), self._feed, num_epochs=config.num_epochs,
                lr=self._schedule, state=self._state, rules=self._rules,
                on_epoch_end=self._after_epoch, on_update=self._after_update)
        except StopTraining as reason:
            notes.append(f'stopped after epoch {self._last.epoch} of {config.num_epochs}: {reason}')
        except Interrupted:
            exit_code = self._interruption.exit_code
            notes.append(self._interrupt())
        except FloatingPointError as error:
            raise InputError(self._not_finite(error)) from error
        finally:
            self._recorder.close()
        best = best_of(self._folder.path)
        if exit_code == 0 and best is not None and best != checkpoints_of(self._folder.path)[-1]:
            set_weights(self._run.model, load_weights(best, self._run.model))
        if exit_code == 0 and best is not None:
            notes.append(f"the weights are those of epoch {self._parts['best'].epoch}, the best in "
                         f"validation: {self._parts['best'].description}")
        return Outcome(self._run, self._last, exit_code, notes)

    def _after_update(self, state: TrainState) -> None:
        self._state = state
        self._interruption.check()
        self._writer.after_update(state)

    def _after_epoch(self, metrics: EpochMetrics, state: TrainState) -> None:
        """Validate, record, and write a checkpoint, in an order in which a kill loses nothing."""
        self._last, reason = metrics, None
        if self._validation is None and 'schedule' in self._parts:
            self._schedule.observe(metrics.train.nll_per_token)
        try:
            if self._validation is not None:
                if metrics.epoch == self._config.training.num_epochs:
                    self._validation.close(metrics.epoch)
                else:
                    self._validation(metrics, state)
            if self._time_limit is not None:
                self._time_limit(metrics, state)
        except StopTraining as stop:
            reason = stop
            if self._validation is not None:
                with contextlib.suppress(StopTraining):  # it has ended
                    self._validation.close(metrics.epoch)
        self._recorder.record(metrics)
        self._writer.after_epoch(metrics, state, reason)
        if reason is not None:
            raise reason

    def _interrupt(self) -> str:
        """Keep what was learned; returns what to say."""
        self._writer.write(self._state)
        return (f'stopped in epoch {self._state.epoch + 1} of {self._config.training.num_epochs}; '
                f'go on with: python -m d2l_seq2seq.train --resume {self._folder.path}')

    def _not_finite(self, error: FloatingPointError) -> str:
        found = checkpoints_of(self._folder.path)
        last = f'the last good checkpoint is {found[-1]}' if found else 'there is no checkpoint yet'
        return (f'{error}; {last}; try a --lr below {self._config.training.lr:g} in a new run, or '
                '--skip-bad-batches')


_GOODNESS = {'nll': lambda found: -found.losses.nll_per_token, 'bleu': lambda found: found.bleu}
