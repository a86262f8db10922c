"""Recording the metrics of training: JSON lines, a plot of the loss, and TensorBoard events."""

from __future__ import annotations

import contextlib
import logging
import os
import time
from pathlib import Path
from typing import Any, Mapping

from ..book.animator import Animator
from ..config import RunConfig
from ..engine.fit import EpochMetrics
from ..errors import InputError
from ..runs.atomic import write_file
from ..runs.folder import RunFolder
from ..runs.regular_files import make_folder, open_new
from .callbacks import ValidationMetrics

logger = logging.getLogger(__name__)


class Recorder:
    """A recorder that writes the metrics of each epoch to the run folder, and plots the loss.

    Parameters
    ----------
    folder : RunFolder
        If it has metrics of earlier epochs, the plot starts with them.
    config : RunConfig
    epoch : int
        The number of epochs that are done at the checkpoint from which training is resumed.

    Raises
    ------
    InputError
        If the metrics of earlier epochs cannot be read or do not fit `epoch`.
    """

    def __init__(self, folder: RunFolder, config: RunConfig, epoch: int = 0):
        self._folder, self._validates = folder, config.training.validate
        folder.check_metrics(epoch)
        self._tensorboard = (
            TensorBoardWriter(folder.path / 'tensorboard') if config.training.tensorboard else None
        )
        self.animator = Animator(
            xlabel='epoch',
            ylabel='nats per token' if self._validates else 'loss',
            legend=['train', 'validation'] if self._validates else None,
            xlim=[1, config.training.num_epochs],
            ylim=[0, None],
        )
        self._validation: ValidationMetrics | None = None
        for metrics in folder.read_metrics():
            self._add_point(metrics)

    def add_validation(self, validation: ValidationMetrics) -> None:
        """Print the metrics of a validation, and keep them for the line of the epoch."""
        self._validation = validation
        samples = ''.join(
            f'\n  {src} => {translation} ({reference})'
            for src, translation, reference in validation.samples
        )
        self.animator.print(
            f'epoch {validation.epoch}: validation nll_per_token '
            f'{validation.losses.nll_per_token:.3f}, BLEU {validation.bleu:.1f}{samples}'
        )

    def record(self, metrics: EpochMetrics) -> None:
        """Write the metrics of an epoch, with those of its validation if there was one."""
        values: dict[str, Any] = {
            'epoch': metrics.epoch,
            'book_loss': metrics.train.book_loss,
            'nll_per_token': metrics.train.nll_per_token,
            'tokens_per_sec': metrics.tokens_per_sec,
            'lr': metrics.lr,
        }
        if metrics.num_skipped:
            values['skipped_batches'] = metrics.num_skipped
            self.animator.print(
                f'epoch {metrics.epoch}: skipped {metrics.num_skipped} batches whose loss or '
                'gradient was not finite'
            )
        validation, self._validation = self._validation, None
        if validation:
            values.update(
                valid_nll_per_token=validation.losses.nll_per_token, valid_bleu=validation.bleu
            )
        if metrics.epoch <= self._folder.last_epoch:  # recorded before the training was resumed
            return
        self._add_to_tensorboard(values)
        self._folder.append_metrics(metrics.epoch, values)
        self._add_point(values)

    def close(self) -> None:
        """Remove the progress bar from the terminal, and write the plot to the folder."""
        self.animator.close()
        if self._folder.last_epoch:
            with contextlib.suppress(OSError):  # the plot can be made again from the metrics
                write_file(self._folder.path / 'loss.svg', self.animator.to_bytes('.svg'))

    def _add_to_tensorboard(self, values: dict) -> None:
        """Write the metrics for TensorBoard; if that fails, training continues without it."""
        if self._tensorboard is None:
            return
        try:
            self._tensorboard.add(
                {name: value for name, value in values.items() if name != 'epoch'}, values['epoch']
            )
        except OSError as error:
            logger.warning('TensorBoard events are no longer written (%s)', error.strerror)
            self._tensorboard = None

    def _add_point(self, values: dict) -> None:
        if self._validates:
            losses = values['nll_per_token'], values.get('valid_nll_per_token')
            self.animator.add(values['epoch'], losses)
        else:
            self.animator.add(values['epoch'], values['book_loss'])


class NoRecorder:
    """A recorder that does nothing, because another worker records the metrics."""

    def add_validation(self, validation: ValidationMetrics) -> None:
        """Do nothing."""

    def record(self, metrics: EpochMetrics) -> None:
        """Do nothing."""

    def close(self) -> None:
        """Do nothing."""


class TensorBoardWriter:
    """A file of TensorBoard events, written with tensorboardX, an optional dependency.

    tensorboardX's own writer has a thread that dies when the disk is full and leaves the process
    waiting, so each event is written here at once.

    Parameters
    ----------
    folder : Path
        The folder of the file, which is created if it does not exist.

    Raises
    ------
    InputError
        If tensorboardX is not installed, or the file cannot be written.
    """

    def __init__(self, folder: Path):
        try:
            from tensorboardX.proto.event_pb2 import Event
            from tensorboardX.proto.summary_pb2 import Summary
            from tensorboardX.record_writer import RecordWriter
        except ImportError as error:
            raise InputError(
                'tensorboard: tensorboardX is not installed',
                "Type: pip install 'd2l-seq2seq[tensorboard]'",
            ) from error
        self._event, self._summary = Event, Summary
        name = f'events.out.tfevents.{time.time():.0f}.{os.getpid()}'
        try:
            make_folder(folder)
            open_new(folder / name).close()
            # The path is absolute, because tensorboardX takes s3: and gs: at its start for a store.
            self._writer = RecordWriter(str((folder / name).absolute()))
            self._write(Event(wall_time=time.time(), file_version='brain.Event:2'))
        except OSError as error:
            raise InputError(
                f'{folder}: cannot be written to ({error.strerror})',
                'Remove it, or leave out --tensorboard.',
            ) from error

    def add(self, values: Mapping[str, float], epoch: int) -> None:
        """Write the metrics of an epoch; raises OSError if they cannot be written."""
        summary = self._summary(
            value=[
                self._summary.Value(tag=name, simple_value=value) for name, value in values.items()
            ]
        )
        self._write(self._event(wall_time=time.time(), step=epoch, summary=summary))

    def _write(self, event: Any) -> None:
        self._writer.write(event.SerializeToString())
        self._writer.flush()
