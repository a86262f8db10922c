"""Training a run, from its configuration to its last checkpoint.

`Trainer` combines the parts: the model and the feed, `fit`, the callbacks, the checkpoints and the
recorder.  All workers of a group take the same steps; only worker 0 writes files.
"""

from __future__ import annotations

import dataclasses
import logging
import sys
from dataclasses import dataclass
from pathlib import Path
from typing import Sequence

from .._mxnet import mx
from .._signals import SIGTERM_CODE, Interrupted, Interruption
from ..config import RunConfig, TrainingConfig, resolve_implications
from ..data.pipeline import TrainingData, build_feed
from ..engine.fit import EpochMetrics, TrainState, fit
from ..engine.schedules import (
    Constant,
    DecayToZero,
    HalvingOnPlateau,
    InverseSqrt,
    Schedule,
    cosine,
    linear,
)
from ..engine.step import UpdateRules, book_objective, per_token_objective
from ..engine.workers import SingleWorker, Workers
from ..errors import InputError, shell_quote
from ..inference.translator import Translator
from ..models.factory import (
    INITIALIZERS,
    build_model,
    initialize,
    named_parameters,
    set_weights,
    with_scheduled_sampling,
)
from ..runs.checkpoint import Run, load_checkpoint, load_progress, load_weights
from ..runs.folder import RunFolder
from ..runs.loading import best_checkpoint, load_latest_valid
from .callbacks import (
    BestValidation,
    OutOfTime,
    StopTraining,
    TimeLimit,
    Validation,
    ValidationMetrics,
)
from .checkpointing import MOMENTS, CheckpointWriter, restore_state
from .divergence import divergence
from .recorder import NoRecorder, Recorder

logger = logging.getLogger(__name__)

_OBJECTIVES = {'book': book_objective, 'per-token': per_token_objective}
_CURVES = {'linear': linear, 'cosine': cosine}


@dataclass(frozen=True)
class Outcome:
    """The result of training."""

    run: Run  # with the weights of the best validated epoch, or the latest ones
    last: EpochMetrics | None  # of the last epoch of this process
    exit_code: int  # 130 or 143 after a signal, otherwise 0
    notes: list[str]  # lines for the user


def new_model(
    config: RunConfig, data: TrainingData, ctx: mx.Context, source: Run | None = None
) -> Run:
    """Return a run whose model has its initial weights, or those of another run."""
    model = build_model(config.model, len(data.src_vocab), len(data.tgt_vocab))
    initialize(model, ctx, INITIALIZERS[config.model.initializer]())
    if source is not None:
        weights = {
            name: parameter.data() for name, parameter in named_parameters(source.model).items()
        }
        set_weights(model, weights)
    return Run(config, data.src_vocab, data.tgt_vocab, model, data.subwords)


def build_schedule(config: TrainingConfig, updates_per_epoch: int) -> Schedule:
    """Build the learning-rate schedule of a configuration."""
    if config.lr_schedule == 'inverse-sqrt':
        return InverseSqrt(config.lr, config.warmup_updates)
    if config.lr_schedule == 'plateau':
        return HalvingOnPlateau(config.lr, config.halve_after)
    if config.lr_schedule in _CURVES:
        num_updates = config.num_epochs * updates_per_epoch
        curve = _CURVES[config.lr_schedule]
        return DecayToZero(config.lr, config.warmup_updates, num_updates, curve)
    return Constant(config.lr)


def update_rules(config: TrainingConfig, ctx: mx.Context) -> UpdateRules:
    """Return the update rules of a configuration, for a device of this kind."""
    dtype = 'float32'
    if config.amp:
        dtype = 'float16' if ctx.device_type == 'gpu' else 'bfloat16'
    return UpdateRules(
        objective=_OBJECTIVES[config.objective],
        max_norm=config.max_norm,
        label_smoothing=config.label_smoothing,
        weight_decay=config.weight_decay,
        batches_per_update=config.batches_per_update,
        seed=config.seed,
        skip_bad_batches=config.skip_bad_batches,
        dtype=dtype,
    )


def train(
    config: RunConfig,
    data: TrainingData,
    folder: RunFolder,
    devices: Sequence[mx.Context],
    workers: Workers = SingleWorker(),
    source: Run | None = None,
) -> Outcome:
    """Train a run, starting from its latest checkpoint if it has one.

    Parameters
    ----------
    config : RunConfig
        With its implications resolved; see `config.resolve_implications`.
    data : TrainingData
    folder : RunFolder
        A `ReadOnlyRunFolder` on all workers except worker 0.
    devices : sequence of mxnet.Context
        The devices of this process that share each batch.
    workers : Workers
        The processes that train together; each of them calls this function.
    source : Run, optional
        The run whose weights a new run starts with.  Its vocabularies must be those of `data`.

    Raises
    ------
    InputError
        If the run cannot be resumed, a loss or gradient is not finite, or a file cannot be written.
    """
    _, notes = resolve_implications(config)
    if notes:
        raise InputError(
            f'expected a configuration whose implications are resolved, but {", ".join(notes)}',
            'Call config.resolve_implications first.',
        )
    with Interruption() as interruption:
        return Trainer(config, data, folder, devices, workers, interruption, source).train()


class Trainer:
    """The parts that `train` combines; see `train` for the parameters."""

    def __init__(
        self,
        config: RunConfig,
        data: TrainingData,
        folder: RunFolder,
        devices: Sequence[mx.Context],
        workers: Workers,
        interruption: Interruption,
        source: Run | None = None,
    ):
        self._config, self._folder, self._interruption = config, folder, interruption
        self._workers, ctx = workers, devices[0]
        self._last: EpochMetrics | None = None
        self._feed = build_feed(
            config.data,
            data.train,
            config.training.seed,
            devices,
            (workers.rank, workers.num_workers),
        )
        valid_feed = None if data.valid is None else build_feed(config.data, data.valid, 0, ctx)
        self._fingerprint = data.fingerprint()
        self._rules = update_rules(config.training, ctx)
        self._updates_per_epoch = -(-len(self._feed) // config.training.batches_per_update)
        self._schedule = build_schedule(config.training, self._updates_per_epoch)
        self._best = BestValidation(
            config.training.keep_best,
            None if config.training.early_stopping == 'none' else config.training.patience,
        )
        self._callbacks = {'schedule': self._schedule, 'best': self._best}
        self._run, self._state = self._load_or_initialize(data, ctx, source)
        self._require_same_start()
        self._writer = CheckpointWriter(folder, self._run, self._callbacks, self._fingerprint)
        self._validation = None
        if config.training.validate:
            assert valid_feed is not None  # a validated run holds out sentences
            self._validation = Validation(
                Translator.of(self._run),
                valid_feed,
                data.pairs.valid,
                config.training.validate_every,
                self._after_validation,
                bleu_tokenize=config.training.bleu_tokenize,
                workers=workers,
            )
        minutes = config.training.max_minutes
        self._time_limit = None if minutes is None else TimeLimit(minutes)
        if self._time_limit is None:
            self._expect_end()  # the run may be resumed with another number of epochs
        num_done = 0 if self._state is None else self._state.epoch
        self._recorder = Recorder(folder, config, num_done) if workers.rank == 0 else NoRecorder()

    def train(self) -> Outcome:
        """Train to the end, or until a signal arrives."""
        # Only now, so that a resume that is refused leaves the settings of the run as they are.
        self._folder.write_config(self._config)
        try:
            exit_code, notes = self._fit_until_stopped()
        except FloatingPointError as error:
            raise self._not_finite(error) from error
        finally:
            self._recorder.close()
        if exit_code == 0 and self._workers.rank == 0:
            self._warn_if_diverged()
            notes += self._validate_at_end() + self._use_best_weights()
        return Outcome(self._run, self._last, exit_code, notes)

    def _fit_until_stopped(self) -> tuple[int, list[str]]:
        """Train; return the exit code, and a line for the user if the training stopped early."""
        try:
            self._fit()
        except StopTraining as stop:
            assert self._last is not None  # callbacks are called after an epoch
            num_epochs = self._config.training.num_epochs
            return 0, [f'stopped after epoch {self._last.epoch} of {num_epochs}: {stop}']
        except Interrupted:
            # If another worker received the signal, this process has no exit code of its own.
            return self._interruption.exit_code or SIGTERM_CODE, [self._save_for_resuming()]
        return 0, []

    def _save_for_resuming(self) -> str:
        """Write a checkpoint within the epoch; return a line for the user."""
        assert self._state is not None  # it is set after the first update
        self._writer.write(self._state)
        self._workers.barrier()  # a worker that ends before the others would count as failed
        return (
            f'stopped in epoch {self._state.epoch + 1} of {self._config.training.num_epochs}. '
            f'Resume with: {self._resume_command()}'
        )

    def _fit(self) -> None:
        """Train the model with `fit`."""
        self._state = fit(
            with_scheduled_sampling(self._run.model, self._config.training),
            self._feed,
            lr=self._schedule,
            num_epochs=self._config.training.num_epochs,
            state=self._state,
            rules=self._rules,
            workers=self._workers,
            on_epoch_end=self._after_epoch,
            on_update=self._after_update,
        )

    def _after_update(self, state: TrainState) -> None:
        """Stop after a signal, or write a checkpoint if one is due."""
        self._state = state
        # All workers stop after the same update; otherwise the others would wait for this one.
        is_polled = state.optimizer.num_updates % self._workers.poll_interval == 0
        if is_polled and self._workers.any(self._interruption.exit_code is not None):
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
        # All workers decide by the same metrics, but each has its own clock.
        if self._workers.any(reason is not None) and reason is None:
            reason = OutOfTime('another worker reached its time limit')
        if reason is None:
            self._expect_end()
        self._recorder.record(metrics)
        self._writer.after_epoch(metrics, state, reason)
        if reason is not None:
            raise reason

    def _expect_end(self) -> None:
        """Tell the schedule the number of updates of the whole training."""
        num_epochs = self._config.training.num_epochs
        if self._time_limit is not None and self._time_limit.num_epochs:
            (planned,) = self._workers.broadcast([self._time_limit.num_epochs])
            num_epochs = min(num_epochs, int(planned))
        self._schedule.expect_end(num_epochs * self._updates_per_epoch)

    def _after_validation(self, validation: ValidationMetrics) -> None:
        self._recorder.add_validation(validation)
        self._schedule.observe(validation.losses.nll_per_token)
        self._best(validation)

    def _load_or_initialize(
        self, data: TrainingData, ctx: mx.Context, source: Run | None
    ) -> tuple[Run, TrainState | None]:
        """Return the run and state of the latest valid checkpoint, or a new run and no state."""
        if not self._folder.checkpoints():
            return new_model(self._config, data, ctx, source), None
        path, run, state = load_latest_valid(
            self._folder.path, lambda path: (path, *self._load(path, data, ctx))
        )
        self._folder.quarantine_after(path)
        return run, state

    def _load(self, path: Path, data: TrainingData, ctx: mx.Context) -> tuple[Run, TrainState]:
        """Return the run and state of a checkpoint, if it has the same settings and data."""
        run = load_checkpoint(path, ctx)
        progress = load_progress(path, run.model, MOMENTS)
        parts = self._config.to_dict().values()
        settings = {name: value for part in parts for name, value in part.items()}
        try:
            run.config.updated(settings)
            if (run.src_vocab.idx_to_token, run.tgt_vocab.idx_to_token) != (
                data.src_vocab.idx_to_token,
                data.tgt_vocab.idx_to_token,
            ):
                raise InputError(
                    'the vocabularies are not those of the run: the corpus has changed',
                    'Restore the corpus, or start a new run.',
                )
            state = restore_state(
                progress, run.model, self._feed, self._rules, self._callbacks, self._fingerprint
            )
        except InputError as error:
            raise error.within(path) from error
        return dataclasses.replace(run, config=self._config), state

    def _require_same_start(self) -> None:
        """Raise `InputError` unless all workers have the same sentences and the same checkpoint."""
        start = None if self._state is None else (self._state.epoch, self._state.batch)
        self._workers.require_equal(
            f'{self._fingerprint} {start}'.encode(), 'the sentences or the checkpoint'
        )

    def _warn_if_diverged(self) -> None:
        """Log a warning if the loss is above where it began, or above that of a blind guess."""
        losses = [metrics['nll_per_token'] for metrics in self._folder.read_metrics()]
        problem = divergence(losses, len(self._run.tgt_vocab))
        if self._last is not None and problem:
            settings = self._config.training
            clipping = '' if settings.max_norm is not None else ' and with --max-norm 1'
            logger.warning(
                '%s; start a new run with --lr below %g%s', problem, settings.lr, clipping
            )

    def _validate_at_end(self) -> list[str]:
        """Validate after the last epoch if no validation was due; return a line for the user.

        These metrics are only shown.  They must not affect the training: otherwise a run that is
        resumed with more epochs would differ from one that was started with all of them.
        """
        if (
            self._validation is None
            or self._last is None
            or self._validation.is_due(self._last.epoch)
        ):
            return []
        validation = self._validation.evaluate(self._last.epoch)
        return [
            f'after the last epoch: validation nll_per_token '
            f'{validation.losses.nll_per_token:.3f}, BLEU {validation.bleu:.1f}'
        ]

    def _use_best_weights(self) -> list[str]:
        """Give the model the weights of the best validation; return a line for the user."""
        best = best_checkpoint(self._folder.path)
        if best is None:
            return []
        try:
            set_weights(self._run.model, load_weights(best, self._run.model))
        except InputError as error:
            logger.warning('%s (using the latest weights instead)', error.problem)
            return []
        return [
            f'using the weights of epoch {self._best.epoch}, the best validated epoch: '
            f'{self._best.description}'
        ]

    def _resume_command(self) -> str:
        """Return the command that resumes the run, with the same number of workers."""
        python = [sys.executable, '-m']
        command = [*python, 'd2l_seq2seq.train', '--resume', str(self._folder.path)]
        if self._config.training.kvstore != 'none':
            num_workers = str(self._workers.num_workers)
            command = [*python, 'd2l_seq2seq.launch', '-n', num_workers, '--', *command]
        return ' '.join(map(shell_quote, command))

    def _not_finite(self, error: FloatingPointError) -> InputError:
        """Return the error for a loss or gradient that is not finite."""
        hint = (
            f'Start a new run with --lr below {self._config.training.lr:g}, or with '
            '--skip-bad-batches.'
        )
        if self._workers.rank == 0:
            hint = f'{self._folder.describe_last_checkpoint()} {hint}'
        return InputError(str(error), hint)
