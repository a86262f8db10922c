"""Where sentence pairs come from: the book's file, the bundled corpus, the user's files, a task.

All of them become a `Corpus`: pairs of sentences, and how many lines were unusable.
Tokens and ids are `data.py`'s business.
"""
from __future__ import annotations

import codecs
import hashlib
import io
import logging
import os
import pkgutil
import re
import zipfile
import zlib
from dataclasses import dataclass
from pathlib import Path
from typing import Iterable, Sequence

from . import synthetic
from ..errors import InputError

logger = logging.getLogger(__name__)

FRA_ENG_URL = 'http://d2l-data.s3-accelerate.amazonaws.com/fra-eng.zip'
# The text is what has to be right: zips of the same text differ from each other.
FRA_ENG_TEXT_SHA256 = '0bb85dbaa1c896844649094d7eaf2e34bee34e84fe362b26ce7e8f2e12aae104'
DATA_VARIABLE = 'D2L_SEQ2SEQ_DATA'
DOWNLOAD_TIMEOUT = 10  # seconds without a byte
_ZIP_STARTS = b'PK\x03\x04'
MAX_TEXT_BYTES = 1 << 26  # six times the book's text; a zip that unpacks to more is not the book's


@dataclass(frozen=True)
class Corpus:
    """Sentence pairs and their origin."""

    name: str  # what to call it in a message: fra-eng, bundled, or the user's words
    pairs: list[tuple[str, str]]  # (source, target), as they stand but for needless spaces
    num_dropped: int = 0  # lines that were neither blank nor a pair
    is_ids: bool = False  # True: the words are token ids, not text


# Tasks are the same on every machine.  Their sentences fit the chapter's num_steps of 10.
_TASKS = {
    'copy': lambda: Corpus('copy', synthetic.copy_pairs(5000, 8, seed=0)),
    'reverse': lambda: Corpus('reverse', synthetic.reverse_pairs(5000, 8, seed=0)),
    'numbers': lambda: Corpus('numbers', synthetic.number_pairs(5000, 100_000, seed=0)),
    'pseudo': lambda: Corpus('pseudo', synthetic.pseudo_pairs(seed=0), is_ids=True),
}


def located(name: str) -> str:
    """The word that names the same corpus from any folder: files by their absolute paths."""
    if name in ('auto', 'fra-eng', 'bundled', *_TASKS):
        return name
    return ','.join(map(os.path.abspath, _two_files(name) or [name]))


def _two_files(name: str) -> tuple[str, str] | None:
    """The files of ``SRC,TGT``, which may have commas of their own; None of any other name."""
    if Path(name).exists():
        return None
    parts = name.split(',')
    pairs = [(','.join(parts[:place]), ','.join(parts[place:])) for place in range(1, len(parts))]
    return max(filter(all, pairs), default=None, key=lambda pair: (
        sum(Path(path).exists() for path in pair), len(set(map(os.path.isabs, pair))) == 1))


def read_corpus(name: str) -> Corpus:
    """The corpus that a command-line word names.

    Parameters
    ----------
    name : str
        - ``fra-eng``: the book's, from the place that ``D2L_SEQ2SEQ_DATA`` names (a zip, or a
          folder with ``fra-eng.zip`` or ``fra.txt``), else from the cache, else downloaded.
        - ``bundled``: the one that comes with this package.
        - ``auto``: ``fra-eng`` where it can be had, else ``bundled``; the log says why.
        - ``FILE``: two or three tab-separated columns, the third one (an attribution) ignored.
        - ``SRC,TGT``: two files with a sentence a line.
        - ``copy``, ``reverse``, ``numbers``, ``pseudo``: made up; see `synthetic`.

    Raises
    ------
    InputError
        If it isn't there, isn't UTF-8, holds no pair, or can't be downloaded intact.
    """
    if name == 'auto':
        return _read_auto()
    if name == 'fra-eng':
        return _read_fra_eng()
    if name == 'bundled':
        return _read_bundled()
    if name in _TASKS:
        return _TASKS[name]()
    two = _two_files(name)
    if two is not None:
        return _read_two_files(*two)
    return _from_columns(name, _decode(_read_file(Path(name)), name))


def _read_auto() -> Corpus:
    try:
        return _read_fra_eng()
    except InputError as error:
        logger.warning('taking the bundled corpus instead of the book\'s: %s', error)
        return _read_bundled()


def _read_bundled() -> Corpus:
    return _from_columns('bundled', pkgutil.get_data('d2l_seq2seq.book', 'bundled.tsv').decode('utf-8'))


def _read_fra_eng() -> Corpus:
    named = os.environ.get(DATA_VARIABLE)
    data = fra_eng_at(Path(named)) if named else _fra_eng_from_cache()
    return _from_columns('fra-eng', data.decode('utf-8'))


def fra_eng_at(path: Path) -> bytes:
    """The book's text from a zip, a text file, or a folder that holds either.

    Raises
    ------
    InputError
        If there is none, or another text than the book's.
    """
    candidates = [path / 'fra-eng.zip', path / 'fra.txt'] if path.is_dir() else [path]
    for candidate in candidates:
        if candidate.is_file():
            return _checked_text(_read_file(candidate), candidate)
    raise InputError(f"{DATA_VARIABLE}: expected {' or '.join(map(str, candidates))}, found neither"
                     if path.is_dir() else
                     f'{DATA_VARIABLE} names {path}, which is not there; correct it, or unset it')


def cached_fra_eng() -> Path:
    """Where the book's zip is kept, whether or not it is there yet."""
    import pooch  # a third of a second that the other corpora don't need

    return Path(pooch.os_cache('d2l_seq2seq')) / 'fra-eng.zip'


def _fra_eng_from_cache() -> bytes:
    """The book's text from the cache; downloaded to it when it isn't there."""
    path = cached_fra_eng()
    try:
        is_there = path.exists()
    except OSError as error:  # a folder on the way that can't be looked into
        raise InputError(f'{path}: can not be read ({error.strerror})') from error
    if not is_there:
        _download(FRA_ENG_URL, path)
    data = _read_file(path)
    try:
        return _checked_text(data, path)
    except InputError:
        path.unlink()  # so that the next run downloads it again
        raise


def _download(url: str, path: Path) -> None:
    """Bring a file to `path` whole or not at all; the bar shows on a terminal only."""
    import pooch
    from tqdm import tqdm

    pooch.get_logger().setLevel(logging.WARNING)
    try:
        # pooch puts the true total in, but asks before that whether the bar is true.
        with tqdm(desc=path.name, total=1, unit='B', unit_scale=True, leave=False,
                  disable=None) as bar:
            downloader = pooch.HTTPDownloader(progressbar=bar, timeout=DOWNLOAD_TIMEOUT)
            pooch.retrieve(url, known_hash=None, fname=path.name, path=path.parent,
                           downloader=downloader)
    except OSError as error:  # requests' exceptions are OSErrors
        raise _not_downloaded(url, error) from error


def try_download(timeout: float) -> None:
    """Ask for the first bytes of the book's zip, and keep nothing.

    Parameters
    ----------
    timeout : float
        Seconds to wait for a connection, and for each of its answers.

    Raises
    ------
    InputError
        If they don't come, or aren't those of a zip.
    """
    import requests  # by which pooch downloads

    try:
        with requests.get(FRA_ENG_URL, headers={'Range': f'bytes=0-{len(_ZIP_STARTS) - 1}'},
                          stream=True, timeout=timeout) as response:
            response.raise_for_status()
            start = next(response.iter_content(len(_ZIP_STARTS)), b'')
    except OSError as error:
        raise _not_downloaded(FRA_ENG_URL, error) from error
    if start != _ZIP_STARTS:
        raise _not_downloaded(FRA_ENG_URL, 'what comes is no zip')


def _not_downloaded(url: str, why: OSError | str) -> InputError:
    """Why a download failed, in a line."""
    if isinstance(why, OSError):
        response = getattr(why, 'response', None)
        why = type(why).__name__ if response is None else f'HTTP {response.status_code}'
    return InputError(f'{url} could not be downloaded ({why}); let {DATA_VARIABLE} name a copy of '
                      f"{url.rpartition('/')[2]}")


def _checked_text(data: bytes, path: Path) -> bytes:
    """The bytes of fra.txt, from a zip or as it is, refused unless they are the book's."""
    if zipfile.is_zipfile(io.BytesIO(data)):
        data = _fra_txt_in_zip(data, path)
    digest = hashlib.sha256(data).hexdigest()
    if digest != FRA_ENG_TEXT_SHA256:
        raise InputError(
            f"{path}: expected the text of the book's fra.txt (SHA-256 "
            f'{FRA_ENG_TEXT_SHA256[:12]}...), got {len(data):,} bytes with {digest[:12]}...; give '
            'a text of your own as --corpus FILE')
    return data


def _fra_txt_in_zip(data: bytes, path: Path) -> bytes:
    """The bytes of the zip's member fra.txt, wherever in the zip it lies."""
    try:
        with zipfile.ZipFile(io.BytesIO(data)) as archive:
            for member in archive.infolist():
                if Path(member.filename).name == 'fra.txt' and member.file_size <= MAX_TEXT_BYTES:
                    return archive.read(member)
    except (zipfile.BadZipFile, zlib.error, EOFError, NotImplementedError, RuntimeError) as error:
        raise InputError(f'{path}: the zip is damaged ({error})') from error
    raise InputError(f'{path}: expected a zip that holds fra.txt, found none in it')


def _read_two_files(src_name: str, tgt_name: str) -> Corpus:
    """Two files whose lines of the same number translate each other."""
    src_lines, tgt_lines = (_decode(_read_file(Path(name)), name).split('\n')
                            for name in (src_name, tgt_name))
    if len(src_lines) != len(tgt_lines):
        raise InputError(f'expected files with a line for each line, got {len(src_lines):,} lines '
                         f'in {src_name} and {len(tgt_lines):,} in {tgt_name}')
    return _from_rows(f'{src_name},{tgt_name}', zip(src_lines, tgt_lines),
                      'a sentence in both files')


def _from_columns(name: str, text: str) -> Corpus:
    """Pairs from the first two of two or three tab-separated columns."""
    rows = (line.split('\t') for line in text.split('\n'))
    return _from_rows(name, (row[:2] if len(row) <= 3 else row for row in rows),
                      'a source, a tab and a target')


def _from_rows(name: str, rows: Iterable[Sequence[str]], expected: str) -> Corpus:
    """The rows that are pairs of sentences; others are counted, blank ones passed over."""
    pairs, dropped = [], []
    for number, row in enumerate(rows, 1):
        columns = [re.sub('  +', ' ', column.strip()) for column in row]
        if len(columns) == 2 and all(columns):
            pairs.append((columns[0], columns[1]))
        elif any(columns):
            dropped.append(number)
    if not pairs:
        found = f'line {dropped[0]} is not' if dropped else 'it is empty'
        raise InputError(f'{name}: expected lines with {expected}, got no pair ({found})')
    if dropped:
        logger.warning('%s: %d of %d lines dropped for want of %s, the first is line %d', name,
                       len(dropped), len(pairs) + len(dropped), expected, dropped[0])
    return Corpus(name, pairs, len(dropped))


def _read_file(path: Path) -> bytes:
    """The bytes of an ordinary file."""
    if not path.exists():
        raise InputError(f'{path}: expected a corpus (auto, fra-eng, bundled, FILE.tsv, '
                         'SRC,TGT, copy, reverse, numbers or pseudo), but there is no such file')
    if not path.is_file():
        raise InputError(f'{path}: expected a file, got a folder or a device')
    try:
        return path.read_bytes()
    except OSError as error:
        raise InputError(f'{path}: can not be read ({error.strerror})') from error


def _decode(data: bytes, name: str) -> str:
    """UTF-8 text with plain line ends, without a byte-order mark."""
    if data.startswith((codecs.BOM_UTF16_LE, codecs.BOM_UTF16_BE)):
        raise InputError(f'{name}: expected UTF-8, got UTF-16; save it as UTF-8 '
                         '(iconv -f UTF-16 -t UTF-8)')
    try:
        text = data.decode('utf-8-sig')
    except UnicodeDecodeError as error:
        line = data.count(b'\n', 0, error.start) + 1
        raise InputError(f'{name}: expected UTF-8, got the byte 0x{data[error.start]:02x} in line '
                         f'{line:,}; save it as UTF-8') from error
    return text.replace('\r\n', '\n').rstrip('\n')
