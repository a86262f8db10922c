"""The layout of a run folder, and its configuration.

::

    RUN/config.json                        the settings, written before anything else
    RUN/checkpoints/epoch-40/              a checkpoint after 40 epochs, see `checkpoint`
    RUN/checkpoints/epoch-40-batch-7/      a checkpoint after 7 batches of the next epoch
    RUN/metrics.jsonl                      one line for each epoch, only ever appended to

This module does not import NumPy or MXNet, so that commands can read a configuration before they
load anything heavy.
"""

from __future__ import annotations

import logging
import re
from pathlib import Path
from typing import Any, Callable, Sequence, TypeVar

from ..config import RunConfig
from ..errors import InputError
from .safe_files import MANIFEST, read_json

CONFIG_FILE = 'config.json'
METRICS_FILE = 'metrics.jsonl'
CHECKPOINTS_DIR = 'checkpoints'
_CHECKPOINT_NAME = re.compile(r'epoch-(\d{1,9})(?:-batch-(\d{1,9}))?')

logger = logging.getLogger(__name__)
Result = TypeVar('Result')


def checkpoint_name(epoch: int, batch: int) -> str:
    """Return the folder name of a checkpoint.

    Parameters
    ----------
    epoch : int
        Number of completed epochs.
    batch : int
        Number of completed batches of the next epoch.

    Examples
    --------
    >>> checkpoint_name(40, 0), checkpoint_name(40, 7)
    ('epoch-40', 'epoch-40-batch-7')
    """
    return f'epoch-{epoch}' + (f'-batch-{batch}' if batch else '')


def checkpoint_position(checkpoint: Path) -> tuple[int, int]:
    """Return the completed epochs, and batches of the next epoch, from a checkpoint's name."""
    match = _CHECKPOINT_NAME.fullmatch(checkpoint.name)
    assert match is not None  # only checkpoints are listed
    return int(match.group(1)), int(match.group(2) or 0)


def list_checkpoints(run: Path) -> list[Path]:
    """Return the checkpoint folders of a run, the latest last; empty if there is no run.

    Raises
    ------
    InputError
        If the folder of the checkpoints or one of them is a link, which might lead out of the run.
    """
    folder = run / CHECKPOINTS_DIR
    try:
        paths = list(folder.iterdir())
    except OSError:
        return []
    checkpoints = [path for path in paths if _CHECKPOINT_NAME.fullmatch(path.name)]
    for path in (folder, *checkpoints):
        if path.is_symlink():
            raise InputError(
                f'{path}: expected a folder, got a symbolic link',
                'Replace the link with the folder.',
            )
    return sorted(checkpoints, key=checkpoint_position)


def is_checkpoint(folder: Path) -> bool:
    """Return whether a folder is a checkpoint, rather than a run folder."""
    return (folder / MANIFEST).exists()


def read_run_config(folder: Path) -> RunConfig:
    """Read the configuration of a run.

    If the ``config.json`` of the run is damaged, that of its latest valid checkpoint is used, and a
    warning is logged.

    Parameters
    ----------
    folder : Path
        A run folder.

    Raises
    ------
    InputError
        If the folder has no ``config.json``, or neither this file nor one of a checkpoint can be
        read.
    """
    if not (folder / CONFIG_FILE).is_file():
        raise InputError(
            f'{folder}: not a run folder (no {CONFIG_FILE})', 'Pass the folder that train wrote.'
        )
    return load_first_valid([folder, *reversed(list_checkpoints(folder))], _read_config)


def load_first_valid(folders: Sequence[Path], load: Callable[[Path], Result]) -> Result:
    """Load the first of several folders that is valid.

    A warning is logged for each invalid folder before it.

    Parameters
    ----------
    folders : sequence of Path
        In order of preference; at least one.
    load : function of a folder
        Raises `InputError` if the folder is invalid.

    Returns
    -------
    Any
        The return value of `load` for the first valid folder.

    Raises
    ------
    InputError
        If no folder is valid: the error of the first one.
    """
    failures = []
    for folder in folders:
        try:
            result = load(folder)
        except InputError as error:
            failures.append(error)
            continue
        for failure in failures:
            logger.warning('%s (using %s instead)', failure, folder)
        return result
    raise failures[0]


def parse_config(folder: Path, values: Any) -> RunConfig:
    """Return the configuration that a folder's JSON file holds; errors name the file."""
    try:
        return RunConfig.from_dict(values)
    except InputError as error:
        raise error.within(folder / CONFIG_FILE) from error


def _read_config(folder: Path) -> RunConfig:
    return parse_config(folder, read_json(folder / CONFIG_FILE))
