"""What things in a run's folder are called.

::

    RUN/config.json                the settings, written before anything else
    RUN/checkpoints/epoch-40/      a model's folder, see `checkpoint`
    RUN/checkpoints/epoch-40-batch-7/
    RUN/metrics.jsonl              a line for each epoch, only ever added to
"""
from __future__ import annotations

import re
from pathlib import Path

CONFIG_FILE = 'config.json'
METRICS = 'metrics.jsonl'
CHECKPOINTS = 'checkpoints'
_NAME = re.compile(r'epoch-(\d{1,9})(?:-batch-(\d{1,9}))?')


def checkpoint_name(epoch: int, batch: int) -> str:
    """What the checkpoint after some epochs, and some batches of the next one, is called."""
    return f'epoch-{epoch}' + (f'-batch-{batch}' if batch else '')


def position_of(checkpoint: Path) -> tuple[int, int]:
    """The epochs and batches that a checkpoint's name stands for."""
    match = _NAME.fullmatch(checkpoint.name)
    return int(match.group(1)), int(match.group(2) or 0)


def checkpoints_of(run: Path) -> list[Path]:
    """The folders of a run's checkpoints, the oldest first; none where there is no such run."""
    try:
        paths = list((run / CHECKPOINTS).iterdir())
    except OSError:
        return []
    return sorted((path for path in paths if _NAME.fullmatch(path.name)), key=position_of)
