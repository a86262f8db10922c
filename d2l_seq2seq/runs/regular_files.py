"""Opening the files of a folder that may come from someone else: the one way for all of them.

A run folder may contain anything: links that lead out of it, pipes that block, devices without an
end.  Therefore everything in a run folder is opened by a function of this module.  It follows no
link at the end of a path, and opens regular files and real folders only.  A file that is written
from its beginning is a new file, so that whatever had its name before is not written to.

All functions raise `OSError`, with a reason for the user in `strerror`.
"""

from __future__ import annotations

import contextlib
import errno
import os
import shutil
import stat
from pathlib import Path
from typing import BinaryIO, cast

_KINDS = {
    stat.S_IFLNK: 'a symbolic link',
    stat.S_IFDIR: 'a folder',
    stat.S_IFIFO: 'a pipe',
    stat.S_IFSOCK: 'a socket',
    stat.S_IFCHR: 'a device',
    stat.S_IFBLK: 'a device',
    stat.S_IFREG: 'a file',
}


def open_to_read(path: Path) -> BinaryIO:
    """Open a file for reading."""
    return open(_descriptor(path, os.O_RDONLY), 'rb')


def open_new(path: Path) -> BinaryIO:
    """Create a file for writing.  A file or link of that name is removed before, not written to."""
    with contextlib.suppress(FileNotFoundError):
        path.unlink()
    return open(_descriptor(path, os.O_WRONLY | os.O_CREAT | os.O_EXCL), 'wb')


def open_to_append(path: Path) -> BinaryIO:
    """Open a file for reading and appending, without a buffer; it is created if necessary."""
    descriptor = _descriptor(path, os.O_RDWR | os.O_CREAT | os.O_APPEND)
    return cast(BinaryIO, open(descriptor, 'r+b', buffering=0))


def open_lock(path: Path) -> int:
    """Open a file that serves as a lock, and return its descriptor."""
    return _descriptor(path, os.O_RDWR | os.O_CREAT)


def make_folder(path: Path) -> None:
    """Create a folder, durably, unless it exists.  The parent folder must exist."""
    try:
        os.mkdir(path)
    except FileExistsError:
        require_real_folder(path)
    else:
        sync(path.parent)


def make_folders(path: Path) -> None:
    """Create a folder and its parents, durably, unless they exist.

    Links in the path are followed, because the user typed it.
    """
    if not path.is_dir():
        if path.parent != path:
            make_folders(path.parent)
        make_folder(path)


def require_real_folder(path: Path) -> None:
    """Raise an error unless the path is a folder that exists, and not a link to one."""
    mode = os.lstat(path).st_mode
    if not stat.S_ISDIR(mode):
        raise _error(errno.ENOTDIR, path, 'a folder', mode)


def remove(path: Path) -> None:
    """Remove a file, a link or a folder with all that it contains, as far as possible."""
    if path.is_dir() and not path.is_symlink():
        shutil.rmtree(path, ignore_errors=True)
    else:
        with contextlib.suppress(OSError):
            path.unlink()


def sync(path: Path) -> None:
    """Flush a file, or the names in a folder, to the disk."""
    descriptor = os.open(path, os.O_RDONLY | os.O_NONBLOCK)
    try:
        os.fsync(descriptor)
    finally:
        os.close(descriptor)


def _descriptor(path: Path, flags: int) -> int:
    """Open a regular file.  A pipe does not block, and a link is not followed."""
    try:
        descriptor = os.open(path, flags | os.O_NOFOLLOW | os.O_NONBLOCK, 0o666)
    except OSError as error:
        try:
            mode = os.lstat(path).st_mode
        except (OSError, ValueError):
            raise error from None
        if stat.S_ISREG(mode):
            raise
        # The system's reason, such as "Too many levels of symbolic links", says less.
        raise _error(error.errno or errno.EINVAL, path, 'a regular file', mode) from error
    mode = os.fstat(descriptor).st_mode
    if not stat.S_ISREG(mode):
        os.close(descriptor)
        raise _error(errno.EINVAL, path, 'a regular file', mode)
    return descriptor


def _error(number: int, path: Path, expected: str, mode: int) -> OSError:
    kind = _KINDS.get(stat.S_IFMT(mode), 'something else')
    return OSError(number, f'expected {expected}, got {kind}', str(path))
