"""The record of a training's epochs: lines of JSON, a picture, TensorBoard's files."""

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
from .callbacks import ValidationMetrics

logger = logging.getLogger(__name__)


class Recorder:
    """Writes a line of metrics for each epoch, and a point of the picture.

    Parameters
    ----------
    folder : RunFolder
        What it has on record already is in the picture from the beginning.
    config : RunConfig
    """

    def __init__(self, folder: RunFolder, config: RunConfig):
        self._folder, self._validates = folder, config.training.validate
        lines = {'legend': ['train', 'validation']} if self._validates else {}
        self._tensorboard = (
            TensorBoardWriter(folder.path / 'tensorboard') if config.training.tensorboard else None
        )
        self.animator = Animator(
            xlabel='epoch',
            ylabel='nats per token' if self._validates else 'loss',
            xlim=[1, config.training.num_epochs],
            ylim=[0, None],
            **lines,
        )
        self._validation: ValidationMetrics | None = None
        for row in folder.rows():
            self._add_point(row)

    def add_validation(self, found: ValidationMetrics) -> None:
        """Print what an epoch's validation found, and keep it for the epoch's line."""
        self._validation = found
        samples = ''.join(
            f'\n  {src} => {translation} ({reference})'
            for src, translation, reference in found.samples
        )
        self.animator.print(
            f'epoch {found.epoch}: validation nll_per_token '
            f'{found.losses.nll_per_token:.3f}, BLEU {found.bleu:.1f}{samples}'
        )

    def record(self, metrics: EpochMetrics) -> None:
        """Write the epoch down, with its validation if there was one."""
        row: dict[str, Any] = {
            'epoch': metrics.epoch,
            'book_loss': metrics.train.book_loss,
            'nll_per_token': metrics.train.nll_per_token,
            'tokens_per_sec': metrics.tokens_per_sec,
            'lr': metrics.lr,
        }
        if metrics.num_skipped:
            row['skipped_batches'] = metrics.num_skipped
            self.animator.print(
                f'epoch {metrics.epoch}: {metrics.num_skipped} batches skipped, '
                'whose loss or gradient was not finite'
            )
        found, self._validation = self._validation, None
        if found:
            row.update(valid_nll_per_token=found.losses.nll_per_token, valid_bleu=found.bleu)
        if metrics.epoch <= self._folder.last_epoch:  # seen before the training was gone on with
            return
        self._add_to_tensorboard(row)
        self._folder.record(metrics.epoch, row)
        self._add_point(row)

    def _add_to_tensorboard(self, row: dict) -> None:
        """Write the epoch for TensorBoard too; where that fails, the training goes on without."""
        if self._tensorboard is None:
            return
        try:
            self._tensorboard.add(
                {name: value for name, value in row.items() if name != 'epoch'}, row['epoch']
            )
        except OSError as error:
            logger.warning('nothing more is written for TensorBoard (%s)', error.strerror)
            self._tensorboard = None

    def close(self) -> None:
        """Leave the terminal, and the picture in the folder."""
        self.animator.close()
        if self._folder.last_epoch:
            with contextlib.suppress(OSError):  # it is made of what the lines say
                write_file(self._folder.path / 'loss.svg', self.animator.to_bytes('.svg'))

    def _add_point(self, row: dict) -> None:
        self.animator.add(
            row['epoch'],
            (row['nll_per_token'], row.get('valid_nll_per_token'))
            if self._validates
            else row['book_loss'],
        )


class NoRecorder:
    """Records nothing: another worker does."""

    def add_validation(self, found: ValidationMetrics) -> None:
        """Leave it to the other."""

    def record(self, metrics: EpochMetrics) -> None:
        """Leave it to the other."""

    def close(self) -> None:
        """Nothing is open."""


class TensorBoardWriter:
    """A file of events in a folder.

    Parameters
    ----------
    folder : Path
        It is made where it is not there.

    Raises
    ------
    InputError
        If tensorboardX is not installed, or the file can't be written.
    """

    def __init__(self, folder: Path):
        try:
            from tensorboardX.proto.event_pb2 import Event
            from tensorboardX.proto.summary_pb2 import Summary
            from tensorboardX.record_writer import RecordWriter
        except ImportError as error:
            raise InputError(
                'tensorboard: tensorboardX is not installed; type: pip install '
                "'d2l-seq2seq[tensorboard]'"
            ) from error
        self._event, self._summary = Event, Summary
        name = f'events.out.tfevents.{time.time():.0f}.{os.getpid()}'
        try:
            folder.mkdir(exist_ok=True)
            self._writer = RecordWriter(str(folder / name))
            self._write(Event(wall_time=time.time(), file_version='brain.Event:2'))
        except OSError as error:
            raise InputError(
                f'{folder}: can not be written to ({error.strerror}); remove what is '
                'there, or leave --tensorboard out'
            ) from error

    def add(self, values: Mapping[str, float], epoch: int) -> None:
        """Write the figures of an epoch; raises OSError if that can't be."""
        summary = self._summary(
            value=[
                self._summary.Value(tag=name, simple_value=value) for name, value in values.items()
            ]
        )
        self._write(self._event(wall_time=time.time(), step=epoch, summary=summary))

    def _write(self, event) -> None:
        self._writer.write(event.SerializeToString())
        self._writer.flush()
