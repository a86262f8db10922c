"""What files a folder has to have, and what they have to be: their sizes and SHA-256.

The manifest finds damage.  It doesn't find malice, since who changes a file can change the manifest
too; so what is opened here is still a stranger's, and never more than a limit of it is read.
"""

from __future__ import annotations

import contextlib
import hashlib
import json
import os
import re
import stat
from pathlib import Path
from typing import Any, BinaryIO, Iterator, Mapping

from ..errors import InputError

MANIFEST = 'manifest.json'
FORMAT = 2  # of the folder; 1 had no manifest
MAX_JSON = 1 << 20  # bytes, unless a caller allows more
_PIECE = 1 << 20  # bytes that are hashed at once
_MAX_DIGITS = 40  # of a whole number in JSON
_NAME = re.compile(r'\w[\w.-]{0,99}')  # leads out of no folder


def write_manifest(folder: Path, versions: Mapping[str, str]) -> None:
    """Write down what the files of a folder are, and by what versions they were written."""
    files = {}
    for path in sorted(folder.iterdir()):
        with open(path, 'rb') as file:
            files[path.name] = {'bytes': path.stat().st_size, 'sha256': _sha256(file)}
    values = {'format': FORMAT, 'versions': dict(versions), 'files': files}
    with open(folder / MANIFEST, 'wb') as file:
        file.write(to_json(values))
        file.flush()
        os.fsync(file.fileno())


def has_manifest(folder: Path) -> bool:
    """Whether a folder is a model's own, and not that of a run with several."""
    return (folder / MANIFEST).exists()


class Manifest:
    """The files of a folder, as its manifest describes them.

    Parameters
    ----------
    folder : Path
        Its name is part of each message.

    Raises
    ------
    InputError
        If there is no manifest, or it is damaged, or of another format.
    """

    def __init__(self, folder: Path):
        self._folder = folder
        values = read_json(folder / MANIFEST)
        try:
            found, self._files = values['format'], values['files']
            if found == FORMAT:
                for name, entry in self._files.items():
                    if set(entry) != {'bytes', 'sha256'} or not _NAME.fullmatch(name):
                        raise ValueError(name)
        except (TypeError, KeyError, ValueError, AttributeError) as error:
            raise InputError(
                f'{folder / MANIFEST}: expected sizes and SHA-256 of files in the '
                f'folder, got something else ({str(error)[:60]})'
            ) from error
        if found != FORMAT:
            raise InputError(
                f'{folder / MANIFEST}: expected format {FORMAT}, got '
                f'{repr(found)[:100]}; read it with the version that wrote it'
            )

    def __contains__(self, name: str) -> bool:
        return name in self._files

    @contextlib.contextmanager
    def open(self, name: str) -> Iterator[tuple[BinaryIO, int]]:
        """A file that is what the manifest says, at its beginning, and its size.

        Raises
        ------
        InputError
            If it isn't; also what the body of the ``with`` raises as `InputError` gets the file's
            name in front.
        """
        path = self._folder / name
        if name not in self._files:
            raise InputError(
                f'{self._folder / MANIFEST}: expected {name} in it; the folder is not '
                'that of a model'
            )
        entry = self._files[name]
        with _open_regular(path) as file:
            size = os.fstat(file.fileno()).st_size
            if size != entry['bytes'] or _sha256(file) != entry['sha256']:
                raise InputError(
                    f'{path}: expected the file that was written, got another or a '
                    f'damaged one (its size or SHA-256 is not that of {MANIFEST})'
                )
            file.seek(0)
            try:
                yield file, size
            except InputError as error:
                raise InputError(f'{path}: {error}') from error

    def check_files(self) -> None:
        """Raise `InputError` unless all files are what the manifest says."""
        for name in self._files:
            with self.open(name):
                pass

    def read(self, name: str, limit: int) -> bytes:
        """All of a file; `InputError` if it is longer than `limit` bytes."""
        with self.open(name) as (file, size):
            if size > limit:
                raise InputError(f'expected {limit:,} bytes at most, got {size:,}')
            return file.read(limit)

    def read_json(self, name: str, limit: int = MAX_JSON) -> Any:
        """What a JSON file holds."""
        data = self.read(name, limit)
        return parse_json(self._folder / name, data)


def read_json(path: Path, limit: int = MAX_JSON) -> Any:
    """What a JSON file holds.

    Raises
    ------
    InputError
        If it can't be read, is longer than `limit` bytes, or holds something else.
    """
    with _open_regular(path) as file:
        data = file.read(limit + 1)
    if len(data) > limit:
        raise InputError(f'{path}: expected {limit:,} bytes at most, got more')
    return parse_json(path, data)


def parse_json(path: Path, data: bytes) -> Any:
    """What the bytes of a JSON file stand for; `path` is for the message."""
    try:
        return json.loads(data.decode('utf-8'), parse_int=_whole, parse_constant=_no_constant)
    except (ValueError, RecursionError, MemoryError) as error:
        raise InputError(f'{path}: expected JSON; the file is damaged ({error})') from error


def to_json(values: Any) -> bytes:
    """A JSON file, for people to read as well."""
    text = json.dumps(values, ensure_ascii=False, indent=1, allow_nan=False)
    return f'{text}\n'.encode('utf-8')


@contextlib.contextmanager
def _open_regular(path: Path) -> Iterator[BinaryIO]:
    """A file of bytes on the disk: not a link, a device, or a pipe that would be waited for."""
    try:
        descriptor = os.open(path, os.O_RDONLY | os.O_NOFOLLOW | os.O_NONBLOCK)
    except FileNotFoundError as error:
        raise InputError(f'{path}: expected a file, and it is not there') from error
    except (OSError, ValueError) as error:
        reason = getattr(error, 'strerror', None) or error
        raise InputError(f'{path}: can not be read ({reason})') from error
    if not stat.S_ISREG(os.fstat(descriptor).st_mode):
        os.close(descriptor)
        raise InputError(f'{path}: expected a file, got something else')
    with open(descriptor, 'rb') as file:
        try:
            yield file
        except OSError as error:
            raise InputError(f'{path}: can not be read ({error.strerror})') from error


def _sha256(file: BinaryIO) -> str:
    digest = hashlib.sha256()
    for piece in iter(lambda: file.read(_PIECE), b''):
        digest.update(piece)
    return digest.hexdigest()


def _whole(text: str) -> int:
    """A whole number; one of a million digits takes minutes to read."""
    if len(text) > _MAX_DIGITS:
        raise ValueError(f'a number of {len(text):,} digits')
    return int(text)


def _no_constant(text: str):
    raise ValueError(f'{text} is no JSON')
