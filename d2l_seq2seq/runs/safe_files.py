"""Reading the files of an untrusted folder, and the manifest that verifies them.

Only regular files are opened (see `regular_files`), JSON is limited in size and in the length of
its numbers, and a manifest lists the size and SHA-256 of each file of a checkpoint.

The manifest detects damage, not tampering: whoever can change a file can change the manifest too.
Therefore a file that matches the manifest is still untrusted, and no reader takes more than a fixed
number of bytes into memory.
"""

from __future__ import annotations

import contextlib
import hashlib
import json
import os
import re
from pathlib import Path
from typing import Any, BinaryIO, Iterator, Mapping

from ..errors import InputError
from .regular_files import open_new, open_to_read

MANIFEST = 'manifest.json'
FORMAT = 2  # of a checkpoint folder; format 1 had no manifest
MAX_JSON_BYTES = 1 << 20  # unless the caller allows more
MAX_FILE_BYTES = 1 << 36  # of any file; it takes a minute to verify one of this size
_CHUNK_BYTES = 1 << 20  # hashed at a time
_MAX_DIGITS = 40  # of an integer in JSON
_FILE_NAME = re.compile(r'\w[\w.-]{0,99}')  # cannot be a path that leads out of the folder


def write_manifest(folder: Path, versions: Mapping[str, str]) -> None:
    """Write the manifest of a folder that holds files only.

    Parameters
    ----------
    folder : Path
    versions : mapping of str to str
        The versions of the software that wrote the files, for information.

    Raises
    ------
    OSError
        If a file cannot be read, or the manifest cannot be written.
    """
    files = {}
    for path in sorted(folder.iterdir()):
        with open_to_read(path) as file:
            files[path.name] = {'bytes': path.stat().st_size, 'sha256': _sha256(file)}
    values = {'format': FORMAT, 'versions': dict(versions), 'files': files}
    with open_new(folder / MANIFEST) as file:
        file.write(to_json(values))
        file.flush()
        os.fsync(file.fileno())


class Manifest:
    """The files of a folder, as listed in its manifest.

    Parameters
    ----------
    folder : Path

    Raises
    ------
    InputError
        If there is no manifest, or it is damaged or of another format.
    """

    def __init__(self, folder: Path):
        self._folder = folder
        path = folder / MANIFEST
        values = read_json(path)
        try:
            format_number, self._files = values['format'], values['files']
            if format_number == FORMAT:
                for name, entry in self._files.items():
                    if set(entry) != {'bytes', 'sha256'} or not _FILE_NAME.fullmatch(name):
                        raise ValueError(name)
        except (TypeError, KeyError, ValueError, AttributeError) as error:
            raise InputError(
                f'{path}: expected the size and SHA-256 of files in the folder, '
                f'got something else ({str(error)[:60]})'
            ) from error
        if format_number != FORMAT:
            raise InputError(
                f'{path}: expected format {FORMAT}, got {repr(format_number)[:100]}',
                'Read it with the version that wrote it.',
            )

    def __contains__(self, name: str) -> bool:
        return name in self._files

    @contextlib.contextmanager
    def open(self, name: str, limit: int = MAX_FILE_BYTES) -> Iterator[tuple[BinaryIO, int]]:
        """Verify a file and open it.

        An `InputError` that is raised in the body of the ``with`` statement gets the path of the
        file before its message.

        Parameters
        ----------
        name : str
        limit : int
            Maximum size in bytes.  A longer file is not read.

        Yields
        ------
        file : binary file
            At its beginning.
        size : int
            Its size in bytes.

        Raises
        ------
        InputError
            If the file is not listed, cannot be read, is longer than `limit` bytes, or differs from
            the manifest.
        """
        path = self._folder / name
        if name not in self._files:
            raise InputError(
                f'{self._folder / MANIFEST}: expected {name} in the list of files',
                'Pass the folder of a checkpoint.',
            )
        entry = self._files[name]
        with _open_regular(path) as file:
            size = os.fstat(file.fileno()).st_size
            if size > limit:
                raise InputError(f'{path}: expected at most {limit:,} bytes, got {size:,}')
            if size != entry['bytes'] or _sha256(file) != entry['sha256']:
                raise InputError(
                    f'{path}: expected the original file, got a damaged or different one '
                    f'(its size or SHA-256 differs from {MANIFEST})'
                )
            file.seek(0)
            try:
                yield file, size
            except InputError as error:
                raise error.within(path) from error

    def check_files(self) -> None:
        """Raise `InputError` unless every file has the listed size and SHA-256."""
        for name in self._files:
            with self.open(name):
                pass

    def read(self, name: str, limit: int) -> bytes:
        """Read a file; raise `InputError` if it is longer than `limit` bytes."""
        with self.open(name, limit) as (file, _):
            return file.read(limit)

    def read_json(self, name: str, limit: int = MAX_JSON_BYTES) -> Any:
        """Read a JSON file; raise `InputError` if it is longer than `limit` bytes, or not JSON."""
        data = self.read(name, limit)
        return parse_json(self._folder / name, data)


def read_json(path: Path, limit: int = MAX_JSON_BYTES) -> Any:
    """Read a JSON file that is not listed in a manifest.

    Raises
    ------
    InputError
        If the file cannot be read, is longer than `limit` bytes, or is not JSON.
    """
    with _open_regular(path) as file:
        data = file.read(limit + 1)
    if len(data) > limit:
        raise InputError(f'{path}: expected at most {limit:,} bytes, got more')
    return parse_json(path, data)


def parse_json(path: Path, data: bytes) -> Any:
    """Parse the UTF-8 bytes of a JSON text.

    Parameters
    ----------
    path : Path
        The file that the bytes come from, for the error message.
    data : bytes

    Raises
    ------
    InputError
        If it is not JSON, is nested too deeply, or holds NaN, an infinity, or an integer of more
        than 40 digits.
    """
    try:
        return json.loads(
            data.decode('utf-8'), parse_int=_parse_int, parse_constant=_refuse_constant
        )
    except (ValueError, RecursionError, MemoryError) as error:
        raise InputError(f'{path}: expected JSON, got a damaged file ({error})') from error


def to_json(values: Any) -> bytes:
    """Return an indented JSON text, encoded in UTF-8.

    A path that is not UTF-8 has halves of surrogate pairs in Python, which JSON can only escape.
    """
    text = json.dumps(values, ensure_ascii=False, indent=1, allow_nan=False)
    return f'{text}\n'.encode('utf-8', 'backslashreplace')  # a backslash escape is that of JSON


@contextlib.contextmanager
def _open_regular(path: Path) -> Iterator[BinaryIO]:
    """Open a file for reading; raise `InputError` if it cannot be opened or read."""
    try:
        file = open_to_read(path)
    except FileNotFoundError as error:
        raise InputError(f'{path}: file not found') from error
    except (OSError, ValueError) as error:
        reason = getattr(error, 'strerror', None) or error
        raise InputError(f'{path}: cannot be read ({reason})') from error
    with file:
        try:
            yield file
        except OSError as error:
            raise InputError(f'{path}: cannot be read ({error.strerror})') from error


def _sha256(file: BinaryIO) -> str:
    digest = hashlib.sha256()
    for chunk in iter(lambda: file.read(_CHUNK_BYTES), b''):
        digest.update(chunk)
    return digest.hexdigest()


def _parse_int(text: str) -> int:
    if len(text) > _MAX_DIGITS:  # parsing a million digits would take minutes
        raise ValueError(f'an integer of {len(text):,} digits')
    return int(text)


def _refuse_constant(text: str):
    """Reject ``NaN``, ``Infinity`` and ``-Infinity``, which Python's parser would accept."""
    raise ValueError(f'{text} is not JSON')
