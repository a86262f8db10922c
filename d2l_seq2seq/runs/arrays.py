"""Named float32 arrays in a file, as NumPy writes them, read with suspicion.

The file is an ``.npz``: NumPy, and whoever has it, reads it too.  Here nothing in it is taken at
its word.  What is expected follows from a configuration; the file has to be that, byte for byte in
all but the numbers, and nothing is allocated before it is known to be.
"""

from __future__ import annotations

import io
import math
import zipfile
from typing import BinaryIO, Mapping

import numpy as onp

from ..errors import InputError

MAX_READ = 1 << 20  # bytes that are read at once
_HEADER = "{{'descr': '<f4', 'fortran_order': False, 'shape': {shape}, }}"
_MAGIC, _MAX_HEADER = b'\x93NUMPY\x01\x00', 1024


def write_arrays(file: BinaryIO, arrays: Mapping[str, onp.ndarray]) -> None:
    """Write float32 arrays of one axis or more under their names, one after the other."""
    with zipfile.ZipFile(file, 'w', zipfile.ZIP_STORED) as archive:
        for name, array in arrays.items():
            with archive.open(zipfile.ZipInfo(f'{name}.npy'), 'w', force_zip64=True) as member:
                onp.lib.format.write_array(
                    member,
                    onp.ascontiguousarray(array, dtype='<f4'),
                    version=(1, 0),
                    allow_pickle=False,
                )


def read_arrays(
    file: BinaryIO, size: int, shapes: Mapping[str, tuple[int, ...]]
) -> dict[str, onp.ndarray]:
    """Read the arrays of these names and shapes, and no others.

    Parameters
    ----------
    file : binary file
        At its beginning.
    size : int
        Its bytes.
    shapes : dict of str to tuple of int
        What is expected.

    Returns
    -------
    dict of str to float32 array
        Of finite numbers.

    Raises
    ------
    InputError
        If the file holds anything else; the message names what, and not the file.
    """
    expected = 4 * sum(map(math.prod, shapes.values()))
    if size < expected:
        raise InputError(
            f'expected {expected:,} bytes of numbers at least, got a file of {size:,} bytes'
        )
    try:
        with zipfile.ZipFile(_Bounded(file)) as archive:
            found = sorted(member.filename for member in archive.infolist())
            wanted = sorted(f'{name}.npy' for name in shapes)
            if found != wanted:
                unlike = sorted(set(found) ^ set(wanted)) or ['a name twice']
                raise InputError(
                    f'expected {len(wanted)} arrays, got {len(found)} (they differ in '
                    f'{", ".join(unlike)[:200]!r})'
                )
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


def _read_array(archive: zipfile.ZipFile, name: str, shape: tuple[int, ...]) -> onp.ndarray:
    """An array of that shape, or `InputError`."""
    info = archive.getinfo(f'{name}.npy')
    num_bytes = 4 * math.prod(shape)
    if (
        info.compress_type != zipfile.ZIP_STORED
        or not num_bytes < info.file_size <= num_bytes + _MAX_HEADER
    ):
        raise InputError(
            f'expected {name} as float32 {shape}, uncompressed, got {info.file_size:,} bytes'
        )
    with archive.open(info) as member:
        header = member.read(info.file_size - num_bytes)
        # No part of a header is interpreted: it is the expected one, but for the blanks at its end.
        wanted = _HEADER.format(shape=shape).encode()
        if header[: len(_MAGIC)] != _MAGIC or header[len(_MAGIC) + 2 :].rstrip() != wanted:
            raise InputError(
                f'expected {name} as float32 {shape}, got '
                f'{header[len(_MAGIC) + 2 :].rstrip()[:120]!r}'
            )
        array = onp.empty(math.prod(shape), dtype='<f4')
        rest = memoryview(array).cast('B')
        while rest:
            count = member.readinto(rest[:MAX_READ])
            if not count:
                raise InputError(f'expected {num_bytes:,} bytes in {name}, and they end before')
            rest = rest[count:]
        member.read(1)  # at the end the checksum is looked at
    if not onp.isfinite(array).all():
        raise InputError(f'expected finite numbers in {name}, got some that are not')
    return array.reshape(shape)


class _Bounded(io.RawIOBase):
    """A file that is read in small pieces only, whatever size its own tables claim for a piece."""

    def __init__(self, file: BinaryIO):
        self._file = file

    def read(self, size: int = -1) -> bytes:
        data = self._file.read(MAX_READ + 1 if size < 0 else min(size, MAX_READ + 1))
        if len(data) > MAX_READ:
            raise ValueError('its tables ask for too many bytes at once')
        return data

    def seek(self, offset: int, whence: int = io.SEEK_SET) -> int:
        return self._file.seek(offset, whence)

    def tell(self) -> int:
        return self._file.tell()

    def seekable(self) -> bool:
        return True

    def readable(self) -> bool:
        return True
