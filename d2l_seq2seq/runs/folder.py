"""Writing run folders: settings, checkpoints and metrics (see `layout` for the files).

One process at a time writes into a run folder: it holds the folder's lock.  From the first
checkpoint on, a complete checkpoint exists at every moment.  The latest checkpoints and the best
validated one are kept.
"""

from __future__ import annotations

import contextlib
import json
from pathlib import Path
from typing import Iterator, Sequence

from ..config import RunConfig
from ..errors import InputError, shell_quote
from .atomic import (
    LOCK_FILE,
    append_line,
    locked,
    remove_folder,
    remove_leftovers,
    sync_file,
    write_file,
)
from .checkpoint import OPTIMIZER_FILE, Progress, Run, save_checkpoint
from .layout import (
    CHECKPOINTS_DIR,
    CONFIG_FILE,
    METRICS_FILE,
    checkpoint_name,
    checkpoint_position,
    list_checkpoints,
)
from .metrics import check_metrics, read_metrics
from .regular_files import make_folder, make_folders, remove
from .safe_files import to_json

_OTHER_FOLDER = 'choose another folder with --out.'


@contextlib.contextmanager
def new_run(path: str | Path, config: RunConfig) -> Iterator[RunFolder]:
    """Create the folder of a new run and lock it.

    The folder and its parents are created, and the settings are written into it.  If two processes
    create the same folder at the same time, only one of them succeeds.

    Parameters
    ----------
    path : str or Path
        A new or empty folder.
    config : RunConfig

    Yields
    ------
    RunFolder

    Raises
    ------
    InputError
        If the path is a file or a folder that is not empty, or the folder cannot be created.
    """
    path = Path(path)
    require_new_folder(path)
    created = [folder for folder in (path, *path.parents) if not folder.exists()]
    try:
        make_folders(path)
    except OSError as error:
        _remove_empty(created)
        raise InputError(
            f'{path}: the folder cannot be created ({error.strerror})',
            'Choose another folder with --out.',
        ) from error
    with _locked(path, f', or {_OTHER_FOLDER}'):
        require_new_folder(path)  # again, because now no other process can write into it
        folder = RunFolder(path, created)
        try:
            folder.write_config(config)
        except BaseException:
            folder.discard()
            raise
        yield folder


@contextlib.contextmanager
def existing_run(path: str | Path) -> Iterator[RunFolder]:
    """Lock the folder of a run that is to be resumed.

    Incomplete files and folders that a killed process left behind are removed.

    Parameters
    ----------
    path : str or Path

    Yields
    ------
    RunFolder

    Raises
    ------
    InputError
        If the folder does not exist or cannot be written to, or another process is training in it.
    """
    path = Path(path)
    with _locked(path, '.'):
        remove_leftovers(path)
        list_checkpoints(path)  # refuses links
        if (path / CHECKPOINTS_DIR).is_dir():
            remove_leftovers(path / CHECKPOINTS_DIR)
        yield RunFolder(path)


def save_run(path: str | Path, run: Run, epoch: int = 0, batch: int = 0) -> None:
    """Write a run folder with a single checkpoint, which `load_run` and the commands can read.

    Parameters
    ----------
    path : str or Path
        A new or empty folder.
    run : Run
    epoch, batch : int
        Number of completed epochs, and of completed batches of the next epoch.

    Raises
    ------
    InputError
        If the folder is not empty, or cannot be written to.
    """
    with new_run(path, run.config) as folder:
        folder.can_resume = False
        try:
            folder.save_checkpoint(run, None, epoch, batch, keep=1, best=None)
        except BaseException:
            folder.discard()
            raise


def require_new_folder(path: str | Path) -> None:
    """Raise `InputError` unless a new run can be written to this path.

    Files whose names begin with a dot do not count.
    """
    path = Path(path)
    if not path.exists():
        return
    if (path / CONFIG_FILE).exists():
        checkpoints = list_checkpoints(path)
        state = f'up to {checkpoints[-1].name}' if checkpoints else 'without a checkpoint yet'
        hint = 'Choose another folder with --out.'
        if not checkpoints or (checkpoints[-1] / OPTIMIZER_FILE).exists():
            hint = (
                f'To resume it, pass --resume {shell_quote(path)} to train; otherwise '
                f'{_OTHER_FOLDER}'
            )
        raise InputError(f'{path}: expected a new or empty folder, found a run ({state})', hint)
    obstacles = [path]
    if path.is_dir():
        obstacles = [entry for entry in path.iterdir() if not entry.name.startswith('.')]
    if obstacles:
        raise InputError(
            f'{path}: expected a new or empty folder, found '
            f'{"a file" if obstacles == [path] else obstacles[0]}',
            'Choose another folder with --out.',
        )


class RunFolder:
    """A run folder that is being written to, as `new_run` and `existing_run` provide it.

    Parameters
    ----------
    path : Path
        The caller holds its lock.
    created : sequence of Path
        The folders that were created for the run, `path` first; `discard` removes them.

    Attributes
    ----------
    path : Path
    last_epoch : int
        The last epoch whose metrics are written; 0 if there is none.
    can_resume : bool
        True: after an error, training can be resumed in the folder.

    Raises
    ------
    InputError
        If the metrics that it holds cannot be read.
    """

    def __init__(self, path: Path, created: Sequence[Path] = ()):
        self.path, self._created = path, created
        self.can_resume = True
        self.last_epoch = max((row['epoch'] for row in self.read_metrics()), default=0)

    def checkpoints(self) -> list[Path]:
        """Return the checkpoint folders, the latest last."""
        return list_checkpoints(self.path)

    def write_config(self, config: RunConfig) -> None:
        """Write the settings."""
        try:
            write_file(self.path / CONFIG_FILE, to_json(config.to_dict()))
        except OSError as error:
            raise self._error(f'{CONFIG_FILE} cannot be written', error) from error

    def save_checkpoint(
        self,
        run: Run,
        progress: Progress | None,
        epoch: int,
        batch: int,
        keep: int,
        best: str | None,
    ) -> None:
        """Write a checkpoint, then remove the old ones.

        Parameters
        ----------
        run : Run
        progress : Progress, optional
            See `save_checkpoint`.
        epoch, batch : int
            Number of completed epochs, and of completed batches of the next epoch.  No existing
            checkpoint may be later.
        keep : int
            Number of latest checkpoints to keep.
        best : str, optional
            The name of another checkpoint to keep.

        Raises
        ------
        InputError
            If it cannot be written.  The existing checkpoints are then unchanged.
        """
        path = self.path / CHECKPOINTS_DIR / checkpoint_name(epoch, batch)
        try:
            make_folder(path.parent)
            # The metrics of every epoch in the checkpoint must survive a power cut too.
            sync_file(self.path / METRICS_FILE)
            save_checkpoint(path, run, progress)
            for old in self.checkpoints()[:-keep]:
                if old.name != best:
                    remove_folder(old)
        except OSError as error:
            raise self._error('a checkpoint cannot be written', error) from error

    def append_metrics(self, epoch: int, row: dict) -> None:
        """Append the metrics of an epoch.

        Nothing is written if the epoch already has a line, from before the training was resumed.

        Parameters
        ----------
        epoch : int
        row : dict
            JSON values by name, with ``epoch``, ``book_loss`` and ``nll_per_token`` among them.

        Raises
        ------
        InputError
            If the line cannot be written.  The file is then unchanged.
        """
        if epoch <= self.last_epoch:
            return
        try:
            append_line(self.path / METRICS_FILE, json.dumps(row))
        except OSError as error:
            raise self._error(f'{METRICS_FILE} cannot be written', error) from error
        self.last_epoch = epoch

    def read_metrics(self) -> list[dict]:
        """Read the metrics of all epochs; see `metrics.read_metrics`."""
        return read_metrics(self.path / METRICS_FILE)

    def check_metrics(self, epoch: int) -> None:
        """Compare the metrics with a checkpoint after an epoch; see `metrics.check_metrics`."""
        check_metrics(self.path / METRICS_FILE, self.read_metrics(), epoch)

    def quarantine_after(self, checkpoint: Path) -> None:
        """Rename the damaged checkpoints that are later than the latest valid one.

        Otherwise they would be mistaken for the latest ones.

        Parameters
        ----------
        checkpoint : Path
            The latest valid checkpoint.

        Raises
        ------
        InputError
            If a folder cannot be renamed.
        """
        for later in self.checkpoints():
            if checkpoint_position(later) > checkpoint_position(checkpoint):
                renamed = later.with_name(f'damaged-{later.name}')
                try:
                    remove_folder(renamed)
                    later.rename(renamed)
                except OSError as error:
                    raise self._error(f'{renamed} cannot be written', error) from error

    def describe_last_checkpoint(self) -> str:
        """Return a sentence for the user that names the latest checkpoint."""
        checkpoints = self.checkpoints()
        if not checkpoints:
            return 'There is no checkpoint yet.'
        return f'The last good checkpoint is {checkpoints[-1]}.'

    def discard(self) -> None:
        """Remove a run that has not been trained yet; other files in its folder are kept."""
        for name in (CHECKPOINTS_DIR, CONFIG_FILE, METRICS_FILE, LOCK_FILE):
            remove(self.path / name)
        _remove_empty(self._created)

    def _error(self, problem: str, error: OSError) -> InputError:
        hint = f'Free space, or {_OTHER_FOLDER}'
        if self.can_resume and (self.path / CONFIG_FILE).exists():
            hint = (
                f'{self.describe_last_checkpoint()} Free space or fix the folder, then resume the '
                f'run with --resume {shell_quote(self.path)}'
            )
        return InputError(f'{self.path}: {problem} ({error.strerror})', hint)


class ReadOnlyRunFolder(RunFolder):
    """A run folder that another worker writes to; nothing is written through this object.

    Parameters
    ----------
    path : Path
        The folder, which need not exist on this machine if the run is new.
    is_new : bool
        If True, the run starts from the beginning, and existing checkpoints are ignored.
    """

    def __init__(self, path: Path, is_new: bool):
        self.path, self._created = path, ()
        self.last_epoch, self.can_resume = 0, True
        self._is_new = is_new

    def checkpoints(self) -> list[Path]:
        """Return the checkpoint folders, the latest last; none for a new run."""
        return [] if self._is_new else list_checkpoints(self.path)

    def save_checkpoint(self, *args) -> None:
        """Do nothing."""

    def append_metrics(self, epoch: int, row: dict) -> None:
        """Do nothing."""

    def write_config(self, config: RunConfig) -> None:
        """Do nothing."""

    def quarantine_after(self, checkpoint: Path) -> None:
        """Do nothing."""

    def discard(self) -> None:
        """Do nothing."""


def _remove_empty(folders: Sequence[Path]) -> None:
    """Remove folders that are empty; each of them may be in the next one."""
    for folder in folders:
        with contextlib.suppress(OSError):
            folder.rmdir()


@contextlib.contextmanager
def _locked(path: Path, alternative: str) -> Iterator[None]:
    """Lock a run folder; raise `InputError`, with the end of its hint, if that is not possible."""
    with contextlib.ExitStack() as stack:
        try:
            stack.enter_context(locked(path, f'Wait until it has ended{alternative}'))
        except OSError as error:
            raise InputError(
                f'{error.filename or path}: cannot be written to ({error.strerror})',
                f'Make it writable{alternative}',
            ) from error
        yield
