"""Loading a run: the choice of one of its checkpoints, and the fallback for damaged ones."""

from __future__ import annotations

import contextlib
from pathlib import Path
from typing import Callable

from .._mxnet import mx, use_np
from ..errors import InputError, shell_quote
from .checkpoint import WEIGHTS_FILE, Run, load_checkpoint, load_progress_values
from .layout import (
    CHECKPOINTS_DIR,
    CONFIG_FILE,
    Result,
    checkpoint_name,
    is_checkpoint,
    list_checkpoints,
    load_first_valid,
)
from .safe_files import Manifest


@use_np
def load_run(path: str | Path, ctx: mx.Context) -> Run:
    """Read the model of a run or of one of its checkpoints, and copy it to a device.

    From a run, the best validated checkpoint is loaded, or the latest one if nothing was validated.
    If that checkpoint is damaged, the latest valid one is loaded instead, and a warning is logged.

    Parameters
    ----------
    path : str or Path
        A run folder, or one of the folders in its ``checkpoints``.
    ctx : mxnet.Context

    Returns
    -------
    Run
        The model, its vocabularies and its settings.

    Raises
    ------
    InputError
        If there is no checkpoint, or none is valid.
    """
    path = Path(path)
    if is_checkpoint(path):
        return load_checkpoint(path, ctx)
    return load_latest_valid(
        path, lambda checkpoint: load_checkpoint(checkpoint, ctx), best_checkpoint(path)
    )


def load_latest_valid(
    run: Path, load: Callable[[Path], Result], preferred: Path | None = None
) -> Result:
    """Load the latest checkpoint of a run that is valid.

    Parameters
    ----------
    run : Path
    load : function of a checkpoint folder
        Raises `InputError` if the checkpoint is damaged.
    preferred : Path, optional
        A checkpoint of the run to try before the others.

    Returns
    -------
    Any
        The return value of `load`.

    Raises
    ------
    InputError
        If there is no checkpoint, or none is valid.
    """
    checkpoints = list_checkpoints(run)[::-1]
    if preferred in checkpoints:
        checkpoints.remove(preferred)
        checkpoints.insert(0, preferred)
    if not checkpoints:
        raise _no_checkpoint_error(run)
    return load_first_valid(checkpoints, load)


def best_checkpoint(run: Path) -> Path | None:
    """Return the best validated checkpoint of a run, or None if nothing was validated."""
    for checkpoint in reversed(list_checkpoints(run)):
        with contextlib.suppress(InputError):
            best = load_progress_values(checkpoint)['hooks'].get('best')
            if isinstance(best, dict) and isinstance(best.get('epoch'), int):
                return run / CHECKPOINTS_DIR / checkpoint_name(best['epoch'], 0)
            return None
    return None


def data_fingerprint(path: Path) -> str | None:
    """Return the fingerprint of the data that a run or checkpoint was trained on.

    Parameters
    ----------
    path : Path
        A run folder, or one of the folders in its ``checkpoints``.

    Returns
    -------
    str or None
        See `TrainingData.fingerprint`.  None if no checkpoint has one, as after `average`.
    """
    for checkpoint in [path] if is_checkpoint(path) else reversed(list_checkpoints(path)):
        with contextlib.suppress(InputError):
            fingerprint = load_progress_values(checkpoint).get('data')
            if isinstance(fingerprint, str):
                return fingerprint
    return None


def completion_reason(run: Path, num_epochs: int) -> str | None:
    """Return the reason why a run is complete, or None if it is not.

    Parameters
    ----------
    run : Path
    num_epochs : int
        The number of epochs to train in total.

    Raises
    ------
    InputError
        If there are checkpoints, but none is valid.
    """

    def read(checkpoint: Path) -> str | None:
        Manifest(checkpoint).check_files()
        values = load_progress_values(checkpoint)
        if values['ended']:
            return values['ended']
        return f'{values["epoch"]} epochs are done' if values['epoch'] >= num_epochs else None

    return load_latest_valid(run, read) if list_checkpoints(run) else None


def _no_checkpoint_error(run: Path) -> InputError:
    """Return the error for a folder without checkpoints."""
    if (run / WEIGHTS_FILE).exists():
        return InputError(
            f'{run}: expected a run with {CHECKPOINTS_DIR}, got one that an earlier version wrote',
            'Train the model again, or read it with that version.',
        )
    if (run / CONFIG_FILE).exists():
        return InputError(
            f'{run}: expected a trained run, got one that ended before its first checkpoint',
            f'To start it again, type: python -m d2l_seq2seq.train --resume {shell_quote(run)}',
        )
    return InputError(
        f'{run}: not a run folder (no {CONFIG_FILE})', 'Pass the folder that train wrote.'
    )
