"""The file ``metrics.jsonl`` of a run: one line of JSON for each epoch, in order."""

from __future__ import annotations

import logging
import math
from pathlib import Path
from typing import Any

from ..errors import InputError, check_types
from .atomic import read_lines
from .safe_files import parse_json

_MAX_BYTES = 1 << 26  # a line has about 150 bytes
_HINT = 'Restore the file, or remove it to continue without the metrics of earlier epochs.'

logger = logging.getLogger(__name__)


def read_metrics(path: Path) -> list[dict[str, Any]]:
    """Read the metrics of a run; there are none if the file does not exist.

    Parameters
    ----------
    path : Path

    Returns
    -------
    list of dict
        Numbers by name, in the order of their ``epoch``.

    Raises
    ------
    InputError
        If the file cannot be read, a line is not the metrics of an epoch, or the lines are not in
        order.
    """
    try:
        rows = [parse_json(path, line) for line in read_lines(path, _MAX_BYTES)]
    except OSError as error:
        raise InputError(f'{path}: cannot be read ({error.strerror})', _HINT) from error
    except InputError as error:
        raise InputError(error.problem, _HINT) from error
    last = 0
    for row in rows:
        try:
            _check_row(row)
        except ValueError as error:
            raise InputError(
                f'{path}: expected the metrics of an epoch in each line, got '
                f'{str(row)[:100]!r} ({error})',
                _HINT,
            ) from error
        if row['epoch'] <= last:
            raise InputError(
                f'{path}: expected the epochs in order, got epoch {row["epoch"]} after epoch '
                f'{last}',
                _HINT,
            )
        last = row['epoch']
    return rows


def check_metrics(path: Path, rows: list[dict[str, Any]], epoch: int) -> None:
    """Compare the metrics of a run with the checkpoint from which it is resumed.

    A warning is logged if lines are missing.

    Parameters
    ----------
    path : Path
        The file, for messages.
    rows : list of dict
        From `read_metrics`.
    epoch : int
        The number of epochs that are done at the checkpoint.  The file may have later ones, from
        before the training was stopped.

    Raises
    ------
    InputError
        If a later epoch is missing before another one, so that it could not be recorded any more.
    """
    gaps, last = [], 0
    for number in [row['epoch'] for row in rows if row['epoch'] <= epoch] + [epoch + 1]:
        if number > last + 1:
            gaps.append(f'{last + 1} to {number - 1}' if number > last + 2 else str(last + 1))
        last = number
    if gaps:
        logger.warning(
            '%s: epochs %s are missing, of the %d that are done; the record and its plot remain '
            'incomplete',
            path,
            ', '.join(gaps),
            epoch,
        )
    last = epoch
    for row in rows:
        if row['epoch'] > epoch:
            if row['epoch'] != last + 1:
                raise InputError(
                    f'{path}: expected epoch {last + 1} next, because {epoch} are done at the '
                    f'latest checkpoint, got epoch {row["epoch"]}',
                    _HINT,
                )
            last = row['epoch']


def _check_row(row: Any) -> None:
    """Raise ValueError unless these are the metrics of an epoch: finite numbers by name."""
    check_types(row, {'epoch': int, 'book_loss': float, 'nll_per_token': float})
    check_types(row, dict.fromkeys(row, float))
    if row['epoch'] < 1 or not all(map(math.isfinite, map(float, row.values()))):
        raise ValueError('a number out of range')
