"""A run's training from its settings to its last checkpoint: what `train` does, wired together."""

from __future__ import annotations

import dataclasses
import logging
import shlex
import sys
from dataclasses import dataclass
from pathlib import Path
from typing import Sequence

from .._mxnet import mx
from .._signals import SIGTERM_CODE, Interrupted, Interruption
from ..config import RunConfig, TrainingConfig
from ..data.pipeline import TrainingData, build_feed
from ..engine.fit import EpochMetrics, TrainState, fit
from ..engine.optimizer import Constant, HalvingOnPlateau, InverseSqrt, Schedule
from ..engine.step import UpdateRules, book_objective, per_token_objective
from ..engine.workers import SingleWorker
from ..errors import InputError
from ..inference.translator import Translator
from ..models.factory import INITIALIZERS, build_model, for_training, initialize, set_weights
from ..runs.checkpoint import Run, load_checkpoint, load_progress, load_weights
from ..runs.folder import RunFolder, best_checkpoint, load_latest_valid
from .callbacks import (
    BestValidation,
    OutOfTime,
    StopTraining,
    TimeLimit,
    Validation,
    ValidationMetrics,
)
from .checkpointing import MOMENTS, CheckpointWriter, to_state
from .recorder import NoRecorder, Recorder

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


def train(
    config: RunConfig,
    data: TrainingData,
    folder: RunFolder,
    devices: Sequence[mx.Context],
    group: SingleWorker = SingleWorker(),
) -> Outcome:
    """Train a run, from its latest checkpoint if it has one.

    Of a group of workers each calls it, and all but the first with an `ReadOnlyRunFolder`.

    Raises
    ------
    InputError
        If what it has can't be gone on from, a loss or gradient is not finite, or a file can't be
        written.
    """
    with Interruption() as interruption:
        return _Session(config, data, folder, devices, group, interruption).train()


class _Session:
    """What takes part in a training."""

    def __init__(
        self,
        config: RunConfig,
        data: TrainingData,
        folder: RunFolder,
        devices: Sequence[mx.Context],
        group: SingleWorker,
        interruption: Interruption,
    ):
        self._config, self._folder, self._interruption = config, folder, interruption
        self._group, ctx = group, devices[0]
        self._last: EpochMetrics | None = None
        self._feed = build_feed(
            config.data, data.train, config.training.seed, devices, (group.rank, group.num_workers)
        )
        valid_feed = None if data.valid is None else build_feed(config.data, data.valid, 0, ctx)
        self._fingerprint = ' '.join(
            feed.fingerprint() for feed in (self._feed, valid_feed) if feed is not None
        )
        self._rules = update_rules(config.training, ctx)
        self._schedule = build_schedule(config.training)
        self._best = BestValidation(
            _GOODNESS[config.training.keep_best],
            None if config.training.early_stopping == 'none' else config.training.patience,
        )
        self._hooks = {'schedule': self._schedule, 'best': self._best}
        self._run, self._state = self._model_and_state(data, ctx)
        done = None if self._state is None else (self._state.epoch, self._state.batch)
        group.require_equal(
            f'{self._fingerprint} {done}'.encode(),
            'the sentences or the checkpoint that they begin with',
        )
        self._writer = CheckpointWriter(folder, self._run, self._hooks, self._fingerprint)
        self._validation = None
        if config.training.validate:
            self._validation = Validation(
                Translator.of(self._run),
                valid_feed,
                data.pairs.valid,
                config.training.validate_every,
                self._report,
                group=group,
            )
        minutes = config.training.max_minutes
        self._time_limit = None if minutes is None else TimeLimit(minutes)
        self._recorder = Recorder(folder, config) if group.rank == 0 else NoRecorder()

    def _model_and_state(self, data: TrainingData, ctx) -> tuple[Run, TrainState | None]:
        """As the latest good checkpoint has them, or as they are in the beginning."""
        if not self._folder.checkpoints():
            return begin(self._config, data, ctx), None
        path, run, state = load_latest_valid(
            self._folder.path, lambda path: (path, *self._load(path, data, ctx))
        )
        self._folder.quarantine_after(path)
        return run, state

    def _load(self, path: Path, data: TrainingData, ctx) -> tuple[Run, TrainState]:
        """The run and the state of a checkpoint, if they go with the settings and the data."""
        run = load_checkpoint(path, ctx)
        progress = load_progress(path, run.model, MOMENTS)
        try:
            run.config.updated(
                {
                    name: value
                    for part in self._config.to_dict().values()
                    for name, value in part.items()
                }
            )
            if (run.src_vocab.idx_to_token, run.tgt_vocab.idx_to_token) != (
                data.src_vocab.idx_to_token,
                data.tgt_vocab.idx_to_token,
            ):
                raise InputError(
                    'the vocabularies are no longer those of the run: the corpus has '
                    'changed; bring it back, or start a new run'
                )
            state = to_state(
                progress, run.model, self._feed, self._rules, self._hooks, self._fingerprint
            )
        except InputError as error:
            raise InputError(f'{path}: {error}') from error
        return dataclasses.replace(run, config=self._config), state

    def _report(self, found: ValidationMetrics) -> None:
        """Pass on what a validation found."""
        self._recorder.add_validation(found)
        self._schedule.observe(found.losses.nll_per_token)
        self._best(found)

    def train(self) -> Outcome:
        """Train to the end, or to a signal."""
        config, notes, exit_code = self._config.training, [], 0
        try:
            try:
                self._state = fit(
                    for_training(self._run.model, config),
                    self._feed,
                    lr=self._schedule,
                    num_epochs=config.num_epochs,
                    state=self._state,
                    rules=self._rules,
                    group=self._group,
                    on_epoch_end=self._after_epoch,
                    on_update=self._after_update,
                )
            except StopTraining as reason:
                notes.append(
                    f'stopped after epoch {self._last.epoch} of {config.num_epochs}: {reason}'
                )
            except Interrupted:
                exit_code = self._interruption.exit_code or SIGTERM_CODE  # another worker's
                self._writer.write(self._state)
                self._group.any(False)  # that nobody ends, and is taken for a failure, before this
                notes.append(
                    f'stopped in epoch {self._state.epoch + 1} of {config.num_epochs}; go '
                    f'on with: {self._resume_command()}'
                )
        except FloatingPointError as error:
            raise InputError(self._not_finite(error)) from error
        finally:
            self._recorder.close()
        if exit_code == 0 and self._group.rank == 0:
            notes += self._take_the_best()
        return Outcome(self._run, self._last, exit_code, notes)

    def _resume_command(self) -> str:
        """What to type to go on with the run, in as many workers."""
        run = [sys.executable, '-m']
        command = [*run, 'd2l_seq2seq.train', '--resume', str(self._folder.path)]
        if self._config.training.kvstore != 'none':
            launch = [*run, 'd2l_seq2seq.launch', '-n', str(self._group.num_workers), '--']
            command = [*launch, *command]
        return shlex.join(command)

    def _after_update(self, state: TrainState) -> None:
        self._state = state
        # Workers end after the same update, or the others would wait.
        if state.optimizer.num_updates % self._group.ask_every == 0 and self._group.any(
            self._interruption.exit_code is not None
        ):
            raise Interrupted
        self._writer.after_update(state)

    def _after_epoch(self, metrics: EpochMetrics, state: TrainState) -> None:
        """Validate, record, and write a checkpoint, in an order in which a kill loses nothing."""
        self._last, reason = metrics, None
        try:
            if self._validation is None:
                self._schedule.observe(metrics.train.nll_per_token)
            else:
                self._validation(metrics, state)
            if self._time_limit is not None:
                self._time_limit(metrics, state)
        except StopTraining as stop:
            reason = stop
        # All learn from the same figures, and have clocks of their own.
        if self._group.any(reason is not None) and reason is None:
            reason = OutOfTime('the time of another worker is over')
        self._recorder.record(metrics)
        self._writer.after_epoch(metrics, state, reason)
        if reason is not None:
            raise reason

    def _take_the_best(self) -> list[str]:
        """Give the model the weights of the best validation; returns what to say of the end.

        A last look where none was due is shown, and has no say: a run that goes on later, or had
        been meant to be longer, would otherwise learn something else.
        """
        notes = []
        if (
            self._validation is not None
            and self._last is not None
            and not self._validation.is_due(self._last.epoch)
        ):
            found = self._validation.look(self._last.epoch)
            notes.append(
                f'after the last epoch: validation nll_per_token '
                f'{found.losses.nll_per_token:.3f}, BLEU {found.bleu:.1f}'
            )
        best = best_checkpoint(self._folder.path)
        if best is not None:
            try:
                set_weights(self._run.model, load_weights(best, self._run.model))
            except InputError as error:
                logger.warning('%s; the weights are the latest ones', error)
            else:
                notes.append(
                    f'the weights are those of epoch {self._best.epoch}, the best in '
                    f'validation: {self._best.description}'
                )
        return notes

    def _not_finite(self, error: FloatingPointError) -> str:
        found, last = self._folder.checkpoints(), ''
        if self._group.rank == 0:
            last = (
                f' the last good checkpoint is {found[-1]};'
                if found
                else (' there is no checkpoint yet;')
            )
        return (
            f'{error};{last} try a --lr below {self._config.training.lr:g} in a new run, or '
            '--skip-bad-batches'
        )


_GOODNESS = {'nll': lambda found: -found.losses.nll_per_token, 'bleu': lambda found: found.bleu}
OBJECTIVES = {'book': book_objective, 'per-token': per_token_objective}


def build_schedule(config: TrainingConfig) -> Schedule:
    """The learning rates of a configuration."""
    if config.lr_schedule == 'inverse-sqrt':
        return InverseSqrt(config.lr, config.warmup_updates)
    if config.lr_schedule == 'plateau':
        return HalvingOnPlateau(config.lr, config.halve_after)
    return Constant(config.lr)


def update_rules(config: TrainingConfig, ctx: mx.Context) -> UpdateRules:
    """How a configuration wants batches to become updates, on a device of this kind."""
    dtype = 'float32'
    if config.amp:
        dtype = 'float16' if ctx.device_type == 'gpu' else 'bfloat16'
    return UpdateRules(
        OBJECTIVES[config.objective],
        config.max_norm,
        config.label_smoothing,
        config.weight_decay,
        config.batches_per_update,
        config.seed,
        config.skip_bad_batches,
        dtype,
    )
