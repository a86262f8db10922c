"""A run's folder: its settings, its checkpoints, and the record of its epochs (see `layout`).

From the first checkpoint on there is a whole one at every instant.  The latest few are kept, and
the best one in validation.
"""

from __future__ import annotations

import contextlib
import json
import shutil
from pathlib import Path
from typing import Callable, Iterator

from .._mxnet import mx, use_np
from ..config import RunConfig
from ..errors import InputError, check_types
from .atomic import (
    LOCK,
    append_line,
    locked,
    make_folder,
    read_lines,
    remove_folder,
    remove_leftovers,
    sync_file,
    write_file,
)
from .checkpoint import Progress, Run, load_checkpoint, load_values, save_checkpoint
from .layout import (
    CHECKPOINTS,
    CONFIG_FILE,
    METRICS,
    Result,
    checkpoint_name,
    checkpoint_position,
    checkpoints_of,
    first_valid,
)
from .manifest import Manifest, has_manifest, parse_json, to_json


class RunFolder:
    """A run's folder, while a training writes into it; see `new_run` and `existing_run`.

    Attributes
    ----------
    path : Path
    last_epoch : int
        The last one on record; 0 before the first.
    """

    def __init__(self, path: Path):
        self.path = path
        self.last_epoch = max((row['epoch'] for row in self.rows()), default=0)

    def checkpoints(self) -> list[Path]:
        """Its checkpoints, the latest last."""
        return checkpoints_of(self.path)

    def save(
        self,
        run: Run,
        progress: Progress | None,
        epoch: int,
        batch: int,
        keep: int,
        best: str | None,
    ) -> None:
        """Write a checkpoint, then remove those that are not kept.

        Parameters
        ----------
        run : Run
        progress : Progress, optional
        epoch, batch : int
            Epochs done, and batches of the next one.  No checkpoint is further than that.
        keep : int
            How many of the latest are kept.
        best : str, optional
            The name of another one that is.

        Raises
        ------
        InputError
            If it can't be written; what was there is as it was.
        """
        path = self.path / CHECKPOINTS / checkpoint_name(epoch, batch)
        try:
            make_folder(path.parent)
            sync_file(self.path / METRICS)  # what is in the checkpoint is on record
            save_checkpoint(path, run, progress)
            for old in self.checkpoints()[:-keep]:
                if old.name != best:
                    remove_folder(old)
        except OSError as error:
            raise self._failure('a checkpoint', error) from error

    def record(self, epoch: int, row: dict) -> None:
        """Add a line for an epoch, unless it has one from before the training was gone on with."""
        if epoch <= self.last_epoch:
            return
        try:
            append_line(self.path / METRICS, json.dumps(row))
        except OSError as error:
            raise self._failure(METRICS, error) from error
        self.last_epoch = epoch

    def rows(self) -> list[dict]:
        """What was recorded.

        Raises
        ------
        InputError
            If the file can't be read, or holds something else.
        """
        path = self.path / METRICS
        try:
            rows = [parse_json(path, line) for line in read_lines(path)]
        except OSError as error:
            raise self._failure(METRICS, error) from error
        for row in rows:
            try:
                check_types(row, {'epoch': int, 'book_loss': float, 'nll_per_token': float})
            except ValueError as error:
                raise InputError(
                    f'{path}: expected the figures of an epoch in each line, got '
                    f'{str(row)[:100]!r} ({error}); mend or remove the file'
                ) from error
        return rows

    def write_config(self, config: RunConfig) -> None:
        """Write the settings down."""
        try:
            write_file(self.path / CONFIG_FILE, to_json(config.to_dict()))
        except OSError as error:
            raise self._failure(CONFIG_FILE, error) from error

    def quarantine_after(self, checkpoint: Path) -> None:
        """Give those that are further than a checkpoint, and damaged, other names.

        They would be taken for the latest ones.
        """
        for other in self.checkpoints():
            if checkpoint_position(other) > checkpoint_position(checkpoint):
                aside = other.with_name(f'damaged-{other.name}')
                try:
                    remove_folder(aside)
                    other.rename(aside)
                except OSError as error:
                    raise self._failure(str(aside), error) from error

    def discard(self) -> None:
        """Remove a run in which nothing was learned; what others put into its folder stays."""
        shutil.rmtree(self.path / CHECKPOINTS, ignore_errors=True)
        for name in (CONFIG_FILE, METRICS, LOCK):
            with contextlib.suppress(OSError):
                (self.path / name).unlink()
        with contextlib.suppress(OSError):
            self.path.rmdir()

    def _failure(self, what: str, error: OSError) -> InputError:
        latest = self.checkpoints()[-1:]
        last = f'the last good one is {latest[0]}' if latest else 'there is none from before'
        return InputError(
            f'{self.path}: {what} can not be written ({error.strerror}); {last}; '
            'make room or mend the folder, then go on with --resume '
            f'{self.path}'
        )


class ReadOnlyRunFolder(RunFolder):
    """The folder of a run that another worker writes.

    Parameters
    ----------
    path : Path, optional
        Where it can be gone on from; None: it is a new one, wherever the other has it.
    """

    def __init__(self, path: Path | None):
        self.path, self.last_epoch = path, 0

    def checkpoints(self) -> list[Path]:
        """None of a new run, even where an old one lies in the place of its folder."""
        return [] if self.path is None else checkpoints_of(self.path)

    def save(self, *args) -> None:
        """Leave it to the other."""

    def record(self, epoch: int, row: dict) -> None:
        """Leave it to the other."""

    def quarantine_after(self, checkpoint: Path) -> None:
        """Leave it to the other."""


def check_new(path: str | Path) -> None:
    """Raise `InputError` if something is in the way of a new run at that path."""
    path = Path(path)
    if not path.exists():
        return
    taken = (
        path
        if not path.is_dir()
        else next((entry for entry in path.iterdir() if not entry.name.startswith('.')), None)
    )
    if (path / CONFIG_FILE).exists():
        found = checkpoints_of(path)
        state = f'up to {found[-1].name}' if found else 'without a checkpoint yet'
        raise InputError(
            f'{path}: expected a new or an empty folder, got a run ({state}); go on '
            f'with it by --resume {path}, or name another folder with --out'
        )
    if taken is not None:
        raise InputError(
            f'{path}: expected a new or an empty folder, found {taken}; name another with --out'
        )


@contextlib.contextmanager
def new_run(path: str | Path, config: RunConfig) -> Iterator[RunFolder]:
    """The folder of a new run, made with its parents, its settings written.

    Of two processes that want the same folder at the same time, one gets it.

    Raises
    ------
    InputError
        If the path is taken by a file or by a folder that isn't empty, or can't be made.
    """
    path = Path(path)
    check_new(path)
    try:
        path.mkdir(parents=True, exist_ok=True)
    except OSError as error:
        raise InputError(
            f'{path}: can not be made a folder ({error.strerror}); name another with --out'
        ) from error
    with _locked(path):
        check_new(path)  # now nobody else writes to it
        folder = RunFolder(path)
        folder.write_config(config)
        yield folder


def save_run(path: str | Path, run: Run, epoch: int = 0, batch: int = 0) -> None:
    """Write a run with one checkpoint, which `load_run` and the commands read.

    Parameters
    ----------
    path : str or Path
        A new folder, or an empty one.
    run : Run
    epoch, batch : int
        What it was trained for: epochs, and batches of the next.

    Raises
    ------
    InputError
        If the path is taken, or can't be written to.
    """
    with new_run(path, run.config) as folder:
        folder.save(run, None, epoch, batch, keep=1, best=None)


@contextlib.contextmanager
def existing_run(path: str | Path) -> Iterator[RunFolder]:
    """The folder of a run that is to go on.

    Raises
    ------
    InputError
        If there is none, or another process trains into it.
    """
    path = Path(path)
    with _locked(path):
        remove_leftovers(path)
        if (path / CHECKPOINTS).is_dir():
            remove_leftovers(path / CHECKPOINTS)
        yield RunFolder(path)


@use_np
def load_run(path: str | Path, ctx: mx.Context) -> Run:
    """Read the model of a run, or of one of its checkpoints, and bring it to a context.

    Of a run it is the best one in validation where there was any, else the latest.  Where that is
    damaged, the one before it is taken, and the log says so.

    Parameters
    ----------
    path : str or Path
        A run's folder, or one of those in its ``checkpoints``.
    ctx : mxnet.Context

    Raises
    ------
    InputError
        If there is none, or none that is whole.
    """
    path = Path(path)
    if has_manifest(path):
        return load_checkpoint(path, ctx)
    return load_latest_valid(
        path, lambda checkpoint: load_checkpoint(checkpoint, ctx), best_checkpoint(path)
    )


def completion_reason(run: Path, num_epochs: int) -> str | None:
    """Why there is nothing left to train of a run, or None."""

    def read(checkpoint: Path) -> str | None:
        Manifest(checkpoint).check_files()
        values = load_values(checkpoint)
        return values['ended'] or (
            f'{values["epoch"]} epochs are done' if values['epoch'] >= num_epochs else None
        )

    return load_latest_valid(run, read) if checkpoints_of(run) else None


def load_latest_valid(
    run: Path, load: Callable[[Path], Result], preferred: Path | None = None
) -> Result:
    """What `load` makes of a run's latest checkpoint, or the one before it where it is damaged.

    Raises
    ------
    InputError
        If there is none that is whole.
    """
    found = checkpoints_of(run)[::-1]
    if preferred in found:
        found.remove(preferred)
        found.insert(0, preferred)
    if not found:
        raise InputError(_why_there_is_none(run))
    return first_valid(found, load)


def best_checkpoint(run: Path) -> Path | None:
    """The checkpoint that was the best in validation; None where nothing was validated."""
    for checkpoint in reversed(checkpoints_of(run)):
        with contextlib.suppress(InputError):
            best = load_values(checkpoint)['hooks'].get('best')
            if isinstance(best, dict) and isinstance(best.get('epoch'), int):
                return run / CHECKPOINTS / checkpoint_name(best['epoch'], 0)
            return None
    return None


def _why_there_is_none(run: Path) -> str:
    """What a folder without checkpoints is, and what to do."""
    if (run / 'weights.npz').exists():
        return (
            f'{run}: expected a run with {CHECKPOINTS}, got one that an earlier version '
            'wrote; train it again, or read it with that version'
        )
    if (run / CONFIG_FILE).exists():
        return (
            f'{run}: expected the folder of a trained run, but it ended before its first '
            f'checkpoint; python -m d2l_seq2seq.train --resume {run} starts it over'
        )
    return (
        f'{run}: expected the folder of a trained run, but it has no {CHECKPOINTS}; '
        'python -m d2l_seq2seq.train makes one'
    )


@contextlib.contextmanager
def _locked(path: Path) -> Iterator[None]:
    with contextlib.ExitStack() as stack:
        try:
            stack.enter_context(locked(path))
        except OSError as error:
            raise InputError(
                f'{path}: can not be written to ({error.strerror}); make it writable, '
                'or name another folder with --out'
            ) from error
        yield
