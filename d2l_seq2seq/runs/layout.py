"""What things in a run's folder are called.

::

    RUN/config.json                the settings, written before anything else
    RUN/checkpoints/epoch-40/      a model's folder, see `checkpoint`
    RUN/checkpoints/epoch-40-batch-7/
    RUN/metrics.jsonl              a line for each epoch, only ever added to
"""

from __future__ import annotations

import logging
import re
from pathlib import Path
from typing import Callable, Sequence, TypeVar

from ..errors import InputError

CONFIG_FILE = 'config.json'
METRICS = 'metrics.jsonl'
CHECKPOINTS = 'checkpoints'
_NAME = re.compile(r'epoch-(\d{1,9})(?:-batch-(\d{1,9}))?')


def checkpoint_name(epoch: int, batch: int) -> str:
    """What the checkpoint after some epochs, and some batches of the next one, is called."""
    return f'epoch-{epoch}' + (f'-batch-{batch}' if batch else '')


def checkpoint_position(checkpoint: Path) -> tuple[int, int]:
    """The epochs and batches that a checkpoint's name stands for."""
    match = _NAME.fullmatch(checkpoint.name)
    return int(match.group(1)), int(match.group(2) or 0)


def checkpoints_of(run: Path) -> list[Path]:
    """The folders of a run's checkpoints, the oldest first; none where there is no such run."""
    try:
        paths = list((run / CHECKPOINTS).iterdir())
    except OSError:
        return []
    return sorted((path for path in paths if _NAME.fullmatch(path.name)), key=checkpoint_position)


logger = logging.getLogger(__name__)
Result = TypeVar('Result')


def first_valid(places: Sequence[Path], load: Callable[[Path], Result]) -> Result:
    """What `load` makes of the first folder, of one at least, that it doesn't refuse.

    The log names those before it.

    Raises
    ------
    InputError
        That of the first folder, if all are refused.
    """
    failures = []
    for place in places:
        try:
            result = load(place)
        except InputError as error:
            failures.append(error)
            continue
        for failure in failures:
            logger.warning('%s; %s is taken in its place', failure, place)
        return result
    raise failures[0]
