"""Atomic writes: a file or folder exists in full or not at all, even after a crash or power cut.

Everything is written under a temporary name in the same folder, flushed to the disk, and then
renamed, which the file system does in one step.  Temporary names begin with a dot and end with
``.part`` or ``.removed``.  A killed process may leave them behind; a process that holds the lock of
the folder may remove them.
"""

from __future__ import annotations

import contextlib
import os
import shutil
from pathlib import Path
from typing import BinaryIO, Callable, Mapping

from ..errors import InputError

LOCK_FILE = '.lock'


def write_file(path: Path, data: bytes) -> None:
    """Write a file atomically, replacing any file of that name.

    Raises
    ------
    OSError
        If the file cannot be written.  An existing file of that name is then unchanged.
    """
    partial = _partial_path(path)
    try:
        _write_to_disk(partial, lambda file: file.write(data))
        os.replace(partial, path)
        _sync(path.parent)
    finally:
        with contextlib.suppress(OSError):
            partial.unlink()


def write_folder(
    path: Path, writers: Mapping[str, Callable[[BinaryIO], object]], finish: Callable[[Path], None]
) -> None:
    """Write a folder of files atomically, replacing any folder of that name.

    Parameters
    ----------
    path : Path
        The parent folder must exist.  An existing folder of this name is removed just before the
        new one is renamed.
    writers : dict of str to function of a binary file
        The function that writes each file, by file name.
    finish : function of a folder
        Called with the temporary folder when all files are written.

    Raises
    ------
    OSError
        If the folder cannot be written.  No new file then exists under its final name.
    """
    partial = _partial_path(path)
    remove_folder(partial)
    try:
        partial.mkdir()
        for name, write in writers.items():
            _write_to_disk(partial / name, write)
        finish(partial)
        _sync(partial)
        remove_folder(path)
        os.rename(partial, path)
        _sync(path.parent)
    finally:
        remove_folder(partial)


def make_folder(path: Path) -> None:
    """Create a folder unless it exists.  The parent folder must exist."""
    if not path.is_dir():
        path.mkdir()
        _sync(path.parent)


def sync_file(path: Path) -> None:
    """Flush a file to the disk, if it exists."""
    with contextlib.suppress(FileNotFoundError):
        _sync(path)


def remove_folder(path: Path) -> None:
    """Remove a folder, if it exists.

    The folder is renamed first, so that there is never an incomplete folder of its name.
    """
    removed = path.with_name(f'.{path.name.lstrip(".")}.removed')
    shutil.rmtree(removed, ignore_errors=True)
    with contextlib.suppress(FileNotFoundError):
        os.rename(path, removed)
        shutil.rmtree(removed, ignore_errors=True)


def remove_leftovers(folder: Path) -> None:
    """Remove the temporary files and folders that a killed process left in a folder."""
    for path in folder.glob('.*'):
        if path.suffix in ('.part', '.removed'):
            shutil.rmtree(path, ignore_errors=True)
            with contextlib.suppress(OSError):
                path.unlink()


def append_line(path: Path, line: str) -> None:
    """Append a line to a file, which is created if it does not exist.

    Raises
    ------
    OSError
        If the line cannot be written in full.  The file is then unchanged.
    """
    data = f'{line}\n'.encode()
    with open(path, 'ab', buffering=0) as file:
        size = file.tell()
        try:
            # A write that fills the disk may write only a part; the next one raises the error.
            while data:
                data = data[file.write(data) :]
        except OSError:
            file.truncate(size)
            raise


def read_lines(path: Path) -> list[bytes]:
    """Read the lines that `append_line` wrote, without their line ends.

    A power cut may leave an incomplete line at the end, which is removed from the file.  The result
    is empty if the file does not exist.
    """
    try:
        data = path.read_bytes()
    except FileNotFoundError:
        return []
    complete = data.rfind(b'\n') + 1
    if complete < len(data):
        os.truncate(path, complete)
    return data[:complete].splitlines()


@contextlib.contextmanager
def locked(folder: Path):
    """Hold the lock of a folder, which only one process can hold at a time.

    The operating system releases the lock when the process ends, however it ends.

    Raises
    ------
    InputError
        If another process holds the lock.
    OSError
        If the lock file cannot be created.
    """
    import fcntl  # does not exist on Windows, where MXNet does not run either

    descriptor = os.open(folder / LOCK_FILE, os.O_RDWR | os.O_CREAT, 0o666)
    try:
        try:
            fcntl.flock(descriptor, fcntl.LOCK_EX | fcntl.LOCK_NB)
        except BlockingIOError:
            raise InputError(
                f'{folder}: another process is training in this folder',
                'Wait until it has ended, or choose another folder with --out.',
            ) from None
        yield
    finally:
        os.close(descriptor)


def _partial_path(path: Path) -> Path:
    return path.with_name(f'.{path.name}.part')


def _write_to_disk(path: Path, write: Callable[[BinaryIO], object]) -> None:
    with open(path, 'wb') as file:
        write(file)
        file.flush()
        os.fsync(file.fileno())


def _sync(path: Path) -> None:
    """Flush a file, or the names in a folder, to the disk."""
    descriptor = os.open(path, os.O_RDONLY)
    try:
        os.fsync(descriptor)
    finally:
        os.close(descriptor)
