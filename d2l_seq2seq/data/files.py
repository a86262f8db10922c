"""Reading the text files of a corpus: encodings, line ends, compression and columns."""

from __future__ import annotations

import codecs
import csv
import gzip
import io
import logging
import zlib
from pathlib import Path
from typing import Iterable, Sequence

from .._runtime import require_memory
from ..book.fra_eng import read_bytes
from ..errors import InputError, shell_quote

logger = logging.getLogger(__name__)

MAX_TEXT_BYTES = 1 << 31  # a file that is longer when it is unpacked is not read
_BYTES_PER_BYTE = 6  # of memory, as text, lines and sentences
_GZIP_SIGNATURE = b'\x1f\x8b'
_OTHER_SIGNATURES = {
    b'PK\x03\x04': 'a zip archive or a spreadsheet',
    b'\xd0\xcf\x11\xe0': 'a document or a spreadsheet',
    b'%PDF': 'a PDF document',
    b'BZh': 'a bzip2 file',
    b'\xfd7zXZ': 'an xz file',
    b'\x28\xb5\x2f\xfd': 'a zstd file',
}


def read_text(name: str) -> str:
    r"""Return the text of a UTF-8 file, which may be compressed with gzip.

    All line ends become ``\n``, and a byte-order mark is removed.

    Raises
    ------
    InputError
        If the file does not exist, or is not UTF-8 text.
    """
    data = _unpack(name, _read_file(Path(name)))
    if data.startswith((codecs.BOM_UTF16_LE, codecs.BOM_UTF16_BE)):
        raise InputError(
            f'{name}: expected UTF-8, got UTF-16', 'To convert it, type: iconv -f UTF-16 -t UTF-8'
        )
    for signature, kind in _OTHER_SIGNATURES.items():
        if data.startswith(signature):
            raise InputError(
                f'{name}: expected a text file, got {kind}',
                'Unpack it, or save it as UTF-8 text with tabs between the columns.',
            )
    try:
        text = data.decode('utf-8-sig')
    except UnicodeDecodeError as error:
        line = data.count(b'\n', 0, error.start) + 1
        raise InputError(
            f'{name}: expected UTF-8, got the byte 0x{data[error.start]:02x} in line {line:,}',
            'Save the file as UTF-8.',
        ) from error
    text = text.replace('\r\n', '\n')
    return text if '\n' in text else text.replace('\r', '\n')


def split_lines(text: str) -> list[str]:
    r"""Split a text at ``\n``, which may also end the last line."""
    lines = text.split('\n')
    return lines if lines[-1] else lines[:-1]


def split_columns(name: str, text: str) -> Iterable[Sequence[str]]:
    """Return the columns of each line of a file, without those that are not sentences.

    Of three columns, the first two are returned, and of Tatoeba's four (number, source, number,
    target) the sentences.  Lines with other numbers of columns are returned as they are.
    """
    if name.lower().endswith(('.csv', '.csv.gz')):
        candidates = [_read_quoted(name, text, delimiter) for delimiter in '\t;,']
        lines = max(candidates, key=lambda rows: sum(len(row) in (2, 3, 4) for row in rows))
    else:
        lines = [line.split('\t') for line in split_lines(text)]
        if _is_quoted(lines):
            logger.warning('%s: removed the quotation marks that a spreadsheet adds', name)
            lines = _read_quoted(name, text, '\t')
    return map(_sentence_columns, lines)


def _sentence_columns(columns: list[str]) -> list[str]:
    if len(columns) == 4 and columns[0].isdecimal() and columns[2].isdecimal():
        return [columns[1], columns[3]]
    return columns[:2] if len(columns) == 3 else columns


def _read_quoted(name: str, text: str, delimiter: str) -> list[list[str]]:
    try:
        return list(csv.reader(io.StringIO(text), delimiter=delimiter))
    except csv.Error as error:
        raise InputError(f'{name}: expected the export of a spreadsheet ({error})') from error


def _is_quoted(lines: Iterable[Sequence[str]]) -> bool:
    """Return whether quotation marks are those of a spreadsheet rather than of the sentences.

    A spreadsheet adds them to a field that has a comma or a quotation mark, which it doubles, or to
    all fields.
    """
    num_fields = num_quoted = 0
    is_needed = True  # True: each field with quotation marks has a reason for them
    for line in lines:
        for field in line:
            num_fields += 1
            if '"' in field:
                inner = field[1:-1]
                if field[0] + field[-1] != '""' or '"' in inner.replace('""', '') or not inner:
                    return False
                num_quoted += 1
                is_needed = is_needed and ('"' in inner or ',' in inner or ';' in inner)
    return num_quoted > 0 and (is_needed or num_quoted == num_fields)


def _unpack(name: str, data: bytes) -> bytes:
    """Return the contents of a gzip file; other data are returned as they are."""
    if not data.startswith(_GZIP_SIGNATURE):
        return data
    try:
        with gzip.GzipFile(fileobj=io.BytesIO(data)) as file:
            unpacked = file.read(MAX_TEXT_BYTES + 1)
    except (OSError, EOFError, zlib.error) as error:
        raise InputError(f'{name}: expected a complete gzip file, got a damaged one') from error
    if len(unpacked) > MAX_TEXT_BYTES:
        raise InputError(f'{name}: expected at most {MAX_TEXT_BYTES:,} bytes of text, got more')
    return unpacked


def _read_file(path: Path) -> bytes:
    if not path.exists():
        raise InputError(
            f'{path}: file not found',
            'Pass auto, fra-eng, bundled, FILE.tsv, SRC,TGT, copy, reverse, numbers or pseudo.',
        )
    if not path.is_file():
        raise InputError(f'{path}: expected a file, got a folder or a device')
    require_memory(
        _BYTES_PER_BYTE * path.stat().st_size,
        f'reading {path}',
        f'Pass a part of it, such as the first lines: head -n 1000000 {shell_quote(path)}',
    )
    return read_bytes(path)
