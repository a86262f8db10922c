"""Atomic writes: a file or folder exists in full or not at all, even after a crash or power cut.

Everything is written under a temporary name in the same folder, flushed to the disk, and then
renamed, which the file system does in one step.  Temporary names begin with a dot and end with
``.part`` or ``.removed``.  A killed process may leave them behind; a process that holds the lock of
the folder may remove them.

All files are opened by `regular_files`, because the folder may be an untrusted one.  The exception
is `write_output`, for a file that the user named.
"""

from __future__ import annotations

import contextlib
import errno
import os
import stat
from pathlib import Path
from typing import BinaryIO, Callable, Iterator, Mapping

from ..errors import InputError
from .regular_files import open_lock, open_new, open_to_append, open_to_read, remove, sync

LOCK_FILE = '.lock'


def write_file(path: Path, data: bytes, mode: int | None = None) -> None:
    """Write a file atomically, replacing any file of that name.

    Parameters
    ----------
    path : Path
    data : bytes
    mode : int, optional
        The permission bits of the file.  By default those of any new file.

    Raises
    ------
    OSError
        If the file cannot be written.  An existing file of that name is then unchanged.
    """
    partial = _partial_path(path)
    try:
        _write_to_disk(partial, writer_of(data))
        if mode is not None:
            os.chmod(partial, mode)
        os.replace(partial, path)
        sync(path.parent)
    finally:
        with contextlib.suppress(OSError):
            partial.unlink()


def write_output(path: Path, data: bytes) -> None:
    """Write a file whose name the user typed.

    A regular file is replaced atomically and keeps its permissions.  Anything else, such as a
    device, a pipe or a link, is written into.

    Raises
    ------
    OSError
        If the file cannot be written.
    """
    try:
        mode = os.lstat(path).st_mode
    except FileNotFoundError:
        write_file(path, data)
        return
    if stat.S_ISREG(mode):
        write_file(path, data, stat.S_IMODE(mode))
    else:
        path.write_bytes(data)


def write_folder(
    path: Path,
    writers: Mapping[str, Callable[[BinaryIO], object]],
    finish: Callable[[Path], None] = lambda folder: None,
) -> None:
    """Write a folder of files atomically, replacing any folder of that name.

    Parameters
    ----------
    path : Path
        The parent folder must exist.  An existing folder of this name is removed just before the
        new one is renamed.
    writers : dict of str to function of a binary file
        The function that writes each file, by file name.
    finish : function of a folder, optional
        Called with the temporary folder when all files are written.

    Raises
    ------
    OSError
        If the folder cannot be written.  No new file then exists under its final name.
    """
    partial = _partial_path(path)
    try:
        _write_partial_folder(partial, writers, finish)
        remove_folder(path)
        os.rename(partial, path)
        sync(path.parent)
    finally:
        remove(partial)


def fill_folder(folder: Path, writers: Mapping[str, Callable[[BinaryIO], object]]) -> None:
    """Write files into an existing folder, which remains the same folder with the same permissions.

    The files appear when all of them are written, one after the other in the given order.

    Parameters
    ----------
    folder : Path
        An existing folder.  Files of these names in it are replaced.
    writers : dict of str to function of a binary file
        See `write_folder`.

    Raises
    ------
    OSError
        If a file cannot be written.  Unless the renaming fails, no file has then been added.
    """
    partial = _partial_path(folder / folder.name)
    try:
        _write_partial_folder(partial, writers)
        for name in writers:
            os.replace(partial / name, folder / name)
        sync(folder)
    finally:
        remove(partial)


def writer_of(data: bytes) -> Callable[[BinaryIO], object]:
    """Return a function that writes some bytes to a file, for `write_folder`."""
    return lambda file: file.write(data)


def sync_file(path: Path) -> None:
    """Flush a file to the disk, if it exists."""
    with contextlib.suppress(FileNotFoundError), open_to_read(path) as file:
        os.fsync(file.fileno())


def remove_folder(path: Path) -> None:
    """Remove a folder, if it exists.

    The folder is renamed first, so that there is never an incomplete folder of its name.
    """
    removed = path.with_name(f'.{path.name.lstrip(".")}.removed')
    remove(removed)
    with contextlib.suppress(FileNotFoundError):
        os.rename(path, removed)
        remove(removed)


def remove_leftovers(folder: Path) -> None:
    """Remove the temporary files and folders that a killed process left in a folder."""
    for path in folder.glob('.*'):
        if path.suffix in ('.part', '.removed'):
            remove(path)


def append_line(path: Path, line: str) -> None:
    """Append a line to a file, durably created if it does not exist.

    An incomplete line at its end, which a power cut may leave, is removed.  A file with several
    names (hard links), as in a snapshot of the folder, is copied first: only the file of this name
    is changed.

    Raises
    ------
    OSError
        If the line cannot be written in full.  The file is then unchanged.
    """
    data = f'{line}\n'.encode()
    with contextlib.ExitStack() as stack:
        file = stack.enter_context(open_to_append(path))
        if os.fstat(file.fileno()).st_nlink > 1:
            write_file(path, file.read(), stat.S_IMODE(os.fstat(file.fileno()).st_mode))
            file = stack.enter_context(open_to_append(path))
        size = _remove_incomplete_line(file)
        try:
            # A write that fills the disk may write only a part; the next one raises the error.
            while data:
                data = data[file.write(data) :]
        except OSError:
            file.truncate(size)
            raise
    if size == 0:
        sync(path.parent)  # the file may be new


def _remove_incomplete_line(file: BinaryIO) -> int:
    """Remove an incomplete line at the end of a file; return the size of the file."""
    size = file.seek(0, os.SEEK_END)
    if size == 0 or os.pread(file.fileno(), 1, size - 1) == b'\n':
        return size
    file.seek(0)
    size = file.read(size).rfind(b'\n') + 1
    file.truncate(size)
    return size


def read_lines(path: Path, limit: int) -> list[bytes]:
    """Read the lines that `append_line` wrote, without their line ends.

    The result is empty if the file does not exist.  A power cut may leave an incomplete line at the
    end, which is left out.

    Parameters
    ----------
    path : Path
    limit : int
        Maximum size of the file in bytes.

    Raises
    ------
    OSError
        If the file cannot be read, or is larger.
    """
    try:
        with open_to_read(path) as file:
            data = file.read(limit + 1)
    except FileNotFoundError:
        return []
    if len(data) > limit:
        raise OSError(errno.EFBIG, f'expected at most {limit:,} bytes, got more', str(path))
    return data.split(b'\n')[:-1]


@contextlib.contextmanager
def locked(folder: Path, hint: str = 'Wait until it has ended.') -> Iterator[None]:
    """Hold the lock of a folder, which only one process can hold at a time.

    The operating system releases the lock when the process ends, however it ends.

    Parameters
    ----------
    folder : Path
    hint : str
        Advice for the user if another process holds the lock.

    Raises
    ------
    InputError
        If another process holds the lock.
    OSError
        If the lock file cannot be created.
    """
    import fcntl  # does not exist on Windows, where MXNet does not run either

    descriptor = open_lock(folder / LOCK_FILE)
    try:
        try:
            fcntl.flock(descriptor, fcntl.LOCK_EX | fcntl.LOCK_NB)
        except BlockingIOError:
            raise InputError(
                f'{folder}: another process is training in this folder', hint
            ) from None
        yield
    finally:
        os.close(descriptor)


def _partial_path(path: Path) -> Path:
    # The process id, because two processes may write a file of the same name.
    return path.with_name(f'.{path.name}.{os.getpid()}.part')


def _write_partial_folder(
    partial: Path,
    writers: Mapping[str, Callable[[BinaryIO], object]],
    finish: Callable[[Path], None] = lambda folder: None,
) -> None:
    """Write a folder under its temporary name, and flush it to the disk."""
    remove(partial)
    os.mkdir(partial)
    for name, write in writers.items():
        _write_to_disk(partial / name, write)
    finish(partial)
    sync(partial)


def _write_to_disk(path: Path, write: Callable[[BinaryIO], object]) -> None:
    with open_new(path) as file:
        write(file)
        file.flush()
        os.fsync(file.fileno())
