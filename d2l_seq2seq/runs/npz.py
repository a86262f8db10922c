"""Named float32 arrays in an ``.npz`` file, read without trusting the file.

The format is NumPy's own, so ``numpy.load`` reads it too.  The reader here knows the names and
shapes beforehand, because they follow from the configuration.  The file must match them byte for
byte in everything except the numbers, and no memory is allocated before the sizes have been
checked.  Headers are compared rather than parsed, and nothing is unpickled.
"""

from __future__ import annotations

import io
import math
import zipfile
from typing import BinaryIO, Mapping, cast

import numpy as onp

from ..errors import InputError

MAX_READ_BYTES = 1 << 20  # read at a time
_HEADER = "{{'descr': '<f4', 'fortran_order': False, 'shape': {shape}, }}"
_MAGIC = b'\x93NUMPY\x01\x00'
_MAX_HEADER_BYTES = 1024
_MAX_ENTRY_BYTES = 1024  # of the zip file for each array, without the name


def write_arrays(file: BinaryIO, arrays: Mapping[str, onp.ndarray]) -> None:
    """Write float32 arrays, uncompressed, in the given order; the same arrays give the same bytes.

    Parameters
    ----------
    file : binary file
    arrays : mapping of str to float32 array
        Each with at least one axis.
    """
    with zipfile.ZipFile(file, 'w', zipfile.ZIP_STORED) as archive:
        for name, array in arrays.items():
            with archive.open(zipfile.ZipInfo(f'{name}.npy'), 'w', force_zip64=True) as member:
                onp.lib.format.write_array(
                    member,
                    onp.ascontiguousarray(array, dtype='<f4'),
                    version=(1, 0),
                    allow_pickle=False,
                )


def max_file_bytes(shapes: Mapping[str, tuple[int, ...]]) -> int:
    """Return an upper bound for the size of a file with arrays of these names and shapes."""
    return _MAX_ENTRY_BYTES + sum(
        4 * math.prod(shape) + 2 * len(name) + _MAX_HEADER_BYTES + _MAX_ENTRY_BYTES
        for name, shape in shapes.items()
    )


def read_arrays(
    file: BinaryIO, size: int, shapes: Mapping[str, tuple[int, ...]]
) -> dict[str, onp.ndarray]:
    """Read arrays of known names and shapes.

    Parameters
    ----------
    file : binary file
        At its beginning.
    size : int
        The size of the file in bytes.
    shapes : mapping of str to tuple of int
        The expected shape of each array.

    Returns
    -------
    dict of str to float32 array
        All values are finite.

    Raises
    ------
    InputError
        If the file holds anything else.  The message does not name the file.
    """
    min_size = 4 * sum(map(math.prod, shapes.values()))
    if size < min_size:
        raise InputError(
            f'expected at least {min_size:,} bytes of numbers, got a file of {size:,} bytes'
        )
    try:
        with zipfile.ZipFile(_BoundedReader(file)) as archive:
            _check_names(archive, shapes)
            return {
                name: _read_array(archive, name, tuple(shape)) for name, shape in shapes.items()
            }
    except InputError:
        raise
    except (
        ValueError,
        OSError,
        EOFError,
        NotImplementedError,
        RuntimeError,
        OverflowError,
        MemoryError,
        zipfile.BadZipFile,
    ) as error:
        raise InputError(f'expected arrays in an uncompressed npz ({str(error)[:200]})') from error


def _check_names(archive: zipfile.ZipFile, shapes: Mapping[str, tuple[int, ...]]) -> None:
    """Raise `InputError` unless the archive has exactly one member for each expected array."""
    names = sorted(member.filename for member in archive.infolist())
    expected = sorted(f'{name}.npy' for name in shapes)
    if names != expected:
        differing = sorted(set(names) ^ set(expected)) or ['a duplicate name']
        raise InputError(
            f'expected {len(expected)} arrays, got {len(names)} '
            f'(the difference: {", ".join(differing)[:200]!r})'
        )


def _read_array(archive: zipfile.ZipFile, name: str, shape: tuple[int, ...]) -> onp.ndarray:
    """Read an array of this shape, or raise `InputError`."""
    info = archive.getinfo(f'{name}.npy')
    num_bytes = 4 * math.prod(shape)
    if (
        info.compress_type != zipfile.ZIP_STORED
        or not num_bytes < info.file_size <= num_bytes + _MAX_HEADER_BYTES
    ):
        raise InputError(
            f'expected {name} as float32 {shape}, uncompressed, got {info.file_size:,} bytes'
        )
    with cast(zipfile.ZipExtFile, archive.open(info)) as member:
        header = member.read(info.file_size - num_bytes)
        # No part of the header is interpreted.  It must equal the expected one, up to the padding
        # at its end; the two bytes after the magic string are its length.
        description = header[len(_MAGIC) + 2 :].rstrip()
        if header[: len(_MAGIC)] != _MAGIC or description != _HEADER.format(shape=shape).encode():
            raise InputError(f'expected {name} as float32 {shape}, got {description[:120]!r}')
        array = onp.empty(math.prod(shape), dtype='<f4')
        remaining = memoryview(array).cast('B')
        while remaining:
            num_read = member.readinto(remaining[:MAX_READ_BYTES])
            if not num_read:
                raise InputError(f'expected {num_bytes:,} bytes in {name}, got fewer')
            remaining = remaining[num_read:]
        member.read(1)  # zipfile verifies the CRC when the end is reached
    if not onp.isfinite(array).all():
        raise InputError(f'expected finite numbers in {name}, got NaN or infinity')
    return array.reshape(shape)


class _BoundedReader(io.RawIOBase):
    """A file that rejects large reads, so that a size claimed in the zip cannot exhaust memory."""

    def __init__(self, file: BinaryIO):
        self._file = file

    def read(self, size: int = -1) -> bytes:
        data = self._file.read(MAX_READ_BYTES + 1 if size < 0 else min(size, MAX_READ_BYTES + 1))
        if len(data) > MAX_READ_BYTES:
            raise ValueError('the zip directory asks for too many bytes at a time')
        return data

    def seek(self, offset: int, whence: int = io.SEEK_SET) -> int:
        return self._file.seek(offset, whence)

    def tell(self) -> int:
        return self._file.tell()

    def seekable(self) -> bool:
        return True

    def readable(self) -> bool:
        return True
