"""The record of a training's epochs: lines of JSON, a picture, TensorBoard's files."""
from __future__ import annotations

import contextlib
from pathlib import Path
from typing import Any

from .config import RunConfig
from .durable import write_file
from .errors import InputError
from .hooks import ValidationMetrics
from .plotting import Animator
from .run_folder import RunFolder
from .training import EpochMetrics


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
        self.animator = Animator(
            xlabel='epoch', ylabel='nats per token' if self._validates else 'loss',
            xlim=[1, config.training.num_epochs], ylim=[0, None], **lines)
        rows = folder.rows()
        self._tensorboard = (_tensorboard(folder.path / 'tensorboard', len(rows) + 1)
                             if config.training.tensorboard else None)
        self._validation: ValidationMetrics | None = None
        self._last_epoch = 0
        for row in rows:
            self._add_point(row)

    def add_validation(self, found: ValidationMetrics) -> None:
        """Print what an epoch's validation found, and keep it for the epoch's line."""
        self._validation = found
        samples = ''.join(f'\n  {src} => {translation} ({reference})'
                          for src, translation, reference in found.samples)
        self.animator.print(f'epoch {found.epoch}: validation nll_per_token '
                            f'{found.losses.nll_per_token:.3f}, BLEU {found.bleu:.1f}{samples}')

    def record(self, metrics: EpochMetrics) -> None:
        """Write the epoch down, with its validation if there was one."""
        row: dict[str, Any] = {
            'epoch': metrics.epoch, 'book_loss': metrics.train.book_loss,
            'nll_per_token': metrics.train.nll_per_token,
            'tokens_per_sec': metrics.tokens_per_sec, 'lr': metrics.lr}
        if metrics.num_skipped:
            row['skipped_batches'] = metrics.num_skipped
            self.animator.print(f'epoch {metrics.epoch}: {metrics.num_skipped} batches skipped, '
                                'whose loss or gradient was not finite')
        found, self._validation = self._validation, None
        if found:
            row.update(valid_nll_per_token=found.losses.nll_per_token, valid_bleu=found.bleu)
        self._folder.record(metrics.epoch, row)
        if metrics.epoch <= self._last_epoch:  # it was seen before the training was gone on with
            return
        self._add_point(row)
        if self._tensorboard:
            for name, value in row.items():
                if name != 'epoch':
                    self._tensorboard.add_scalar(name, value, metrics.epoch)
            self._tensorboard.flush()

    def close(self) -> None:
        """Leave the terminal, and the picture in the folder."""
        self.animator.close()
        if self._tensorboard:
            self._tensorboard.close()
        if self._last_epoch:
            with contextlib.suppress(OSError):  # it is made of what the lines say
                write_file(self._folder.path / 'loss.svg', self.animator.to_bytes('.svg'))

    def _add_point(self, row: dict) -> None:
        self._last_epoch = row['epoch']
        self.animator.add(row['epoch'], (row['nll_per_token'], row.get('valid_nll_per_token'))
                          if self._validates else row['book_loss'])


def _tensorboard(folder: Path, first_epoch: int):
    """What writes TensorBoard's files, or what to type where it is missing."""
    try:
        from tensorboardX import SummaryWriter
    except ImportError as error:
        raise InputError("tensorboard: tensorboardX is not installed; type: pip install "
                         "'d2l-seq2seq[tensorboard]'") from error
    return SummaryWriter(str(folder), purge_step=first_epoch)
