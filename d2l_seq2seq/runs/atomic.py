"""Files that are there whole or not at all, whatever happens to the process or the machine.

What is written goes beside its place, to the disk, and then takes its name, which is one step of
the file system.  Names that begin with a dot are under way; whoever holds the folder's lock may
remove them.
"""

from __future__ import annotations

import contextlib
import os
import shutil
from pathlib import Path
from typing import BinaryIO, Callable

from ..errors import InputError

LOCK = '.lock'


def write_file(path: Path, data: bytes) -> None:
    """Write a file so that its name never stands for half of it.

    Raises
    ------
    OSError
        If it can't be written; what had the name before has it still.
    """
    beside = path.with_name(f'.{path.name}.part')
    try:
        _write(beside, lambda file: file.write(data))
        os.replace(beside, path)
        _sync(path.parent)
    finally:
        with contextlib.suppress(OSError):
            beside.unlink()


def write_folder(
    path: Path, writers: dict[str, Callable[[BinaryIO], object]], finish: Callable[[Path], None]
) -> None:
    """Write a folder of files so that its name never stands for a part of them.

    Parameters
    ----------
    path : Path
        Its parent is there.  A folder of that name goes the moment before.
    writers : dict of str to function of a binary file
        What writes each file.
    finish : function of a folder
        Called when all are written, with the folder under the name that it has until then.

    Raises
    ------
    OSError
        If it can't be written; then there is nothing new under any final name.
    """
    beside = path.with_name(f'.{path.name}.part')
    remove_folder(beside)
    try:
        beside.mkdir()
        for name, write in writers.items():
            _write(beside / name, write)
        finish(beside)
        _sync(beside)
        remove_folder(path)
        os.rename(beside, path)
        _sync(path.parent)
    finally:
        remove_folder(beside)


def make_folder(path: Path) -> None:
    """Make a folder, unless it is there, whose parent is."""
    if not path.is_dir():
        path.mkdir()
        _sync(path.parent)


def sync_file(path: Path) -> None:
    """Bring to the disk what was written to a file, if there is one."""
    with contextlib.suppress(FileNotFoundError):
        _sync(path)


def remove_folder(path: Path) -> None:
    """Remove a folder, if there is one; its name is gone at once, and not file by file."""
    doomed = path.with_name(f'.{path.name.lstrip(".")}.removed')
    shutil.rmtree(doomed, ignore_errors=True)
    with contextlib.suppress(FileNotFoundError):
        os.rename(path, doomed)
        shutil.rmtree(doomed, ignore_errors=True)


def remove_leftovers(folder: Path) -> None:
    """Remove what a process that was killed was writing into a folder, or removing from it."""
    for path in folder.glob('.*'):
        if path.suffix in ('.part', '.removed'):
            shutil.rmtree(path, ignore_errors=True)
            with contextlib.suppress(OSError):
                path.unlink()


def append_line(path: Path, line: str) -> None:
    """Write a line to the end of a file, whole or not at all.

    Raises
    ------
    OSError
        If it can't be written; then the file is as it was.
    """
    data = f'{line}\n'.encode()
    with open(path, 'ab', buffering=0) as file:
        size = file.tell()
        try:
            while data:  # a part of it where the disk becomes full; the next time tells why
                data = data[file.write(data) :]
        except OSError:
            file.truncate(size)
            raise


def read_lines(path: Path) -> list[bytes]:
    """The whole lines of a file of `append_line`; a part behind the last one is cut off the file.

    Such a part is what a power cut may leave.
    """
    try:
        data = path.read_bytes()
    except FileNotFoundError:
        return []
    whole = data.rfind(b'\n') + 1
    if whole < len(data):
        os.truncate(path, whole)
    return data[:whole].splitlines()


@contextlib.contextmanager
def locked(folder: Path):
    """Within it, no other process gets the folder; the system lets go of it when this one ends.

    Raises
    ------
    InputError
        If another process has it.
    """
    import fcntl  # not on Windows, where MXNet isn't either

    descriptor = os.open(folder / LOCK, os.O_RDWR | os.O_CREAT, 0o666)
    try:
        try:
            fcntl.flock(descriptor, fcntl.LOCK_EX | fcntl.LOCK_NB)
        except BlockingIOError:
            raise InputError(
                f'{folder}: another process is training into it; wait for its end, or '
                'name another folder with --out'
            ) from None
        yield
    finally:
        os.close(descriptor)


def _write(path: Path, write: Callable[[BinaryIO], object]) -> None:
    """Write a file to the disk."""
    with open(path, 'wb') as file:
        write(file)
        file.flush()
        os.fsync(file.fileno())


def _sync(path: Path) -> None:
    """Bring a folder's names, or a file, to the disk."""
    descriptor = os.open(path, os.O_RDONLY)
    try:
        os.fsync(descriptor)
    finally:
        os.close(descriptor)
