"""The English-French corpus of d2l 0.14, section 9.5.1, from disk, a cache or the network.

Support for `machine_translation`.  If the book's corpus is not available, a smaller one that comes
with the package is used instead.
"""

from __future__ import annotations

import contextlib
import hashlib
import io
import logging
import os
import pkgutil
import tempfile
import zipfile
from pathlib import Path

from ..errors import InputError

logger = logging.getLogger(__name__)

FRA_ENG_URL = 'https://d2l-data.s3-accelerate.amazonaws.com/fra-eng.zip'
FRA_ENG_ZIP_SHA1 = '94646ad1522d915e7b0f9296181140edcf86a4f5'  # of the zip at this address
# The checksum is that of the text, because zips of the same text differ from each other.
FRA_ENG_TEXT_SHA256 = '0bb85dbaa1c896844649094d7eaf2e34bee34e84fe362b26ce7e8f2e12aae104'
DATA_VARIABLE = 'D2L_SEQ2SEQ_DATA'
DOWNLOAD_TIMEOUT = 10  # seconds without a byte
MAX_BYTES = 1 << 26  # six times the book's text; nothing longer is downloaded, read or unpacked
_CHUNK_BYTES = 1 << 16
_HINT = f'Set {DATA_VARIABLE} to a copy of fra-eng.zip.'
_ZIP_SIGNATURE = b'PK\x03\x04'


def read_available_text() -> tuple[str, str]:
    """Return the book's corpus if it is available, otherwise the bundled one.

    Returns
    -------
    name : str
        ``fra-eng`` or ``bundled``.  In the second case, a warning in the log gives the reason.
    text : str
    """
    try:
        return 'fra-eng', read_fra_eng()
    except InputError as error:
        logger.warning("using the bundled corpus instead of the book's: %s", error)
        return 'bundled', read_bundled()


def read_bundled() -> str:
    """Return the text of the corpus that comes with the package."""
    data = pkgutil.get_data(__package__, 'bundled.tsv')
    assert data is not None  # a missing file is an OSError
    return data.decode('utf-8')


def read_fra_eng() -> str:
    """Return the text of the book's corpus, unchanged.

    It is read from the zip or folder that the variable ``D2L_SEQ2SEQ_DATA`` names, otherwise from
    the cache, otherwise it is downloaded to the cache.

    Raises
    ------
    InputError
        If it is not found, cannot be downloaded, or is not the book's text.
    """
    named = os.environ.get(DATA_VARIABLE)
    data = find_fra_eng(Path(named)) if named else _read_from_cache()
    return data.decode('utf-8')


def find_fra_eng(path: Path) -> bytes:
    """Return the book's text from a zip, a text file, or a folder that contains either.

    Raises
    ------
    InputError
        If there is none, or it is not the book's text.
    """
    candidates = [path / 'fra-eng.zip', path / 'fra.txt'] if path.is_dir() else [path]
    for candidate in candidates:
        if candidate.is_file():
            return _verified_text(read_bytes(candidate, MAX_BYTES), candidate)
    if path.is_dir():
        raise InputError(
            f'{DATA_VARIABLE}: neither {candidates[0]} nor {candidates[1]} exists',
            'Set it to a folder that contains fra-eng.zip, or unset it.',
        )
    raise InputError(
        f'{DATA_VARIABLE}: {path} does not exist', 'Correct the variable, or unset it.'
    )


def cached_fra_eng() -> Path:
    """Return the path of the book's zip in the cache, whether or not it exists."""
    import pooch  # takes a third of a second, which the other corpora do not need

    return Path(pooch.os_cache('d2l_seq2seq')) / 'fra-eng.zip'


def _read_from_cache() -> bytes:
    """Return the book's text from the cache; if it is missing or damaged there, download it."""
    path = cached_fra_eng()
    try:
        if path.is_file():
            return _verified_text(read_bytes(path, MAX_BYTES), path)
    except OSError as error:  # a parent folder without permission
        logger.warning('%s cannot be read (%s); downloading the corpus again', path, error.strerror)
    except InputError as error:
        logger.warning('%s; downloading the corpus again', error.problem)
    data = _download(FRA_ENG_URL)
    try:
        text = _verified_text(data, FRA_ENG_URL)  # before it is stored
    except InputError as error:
        raise InputError(error.problem, _HINT) from error
    try:
        replace_file(path, data)
    except OSError as error:
        logger.warning(
            '%s cannot be written (%s); the next run downloads the corpus again',
            path,
            error.strerror,
        )
    return text


def read_bytes(path: Path, limit: int = -1) -> bytes:
    """Return the contents of a file; raise `InputError` if it cannot be read.

    Parameters
    ----------
    path : Path
    limit : int, optional
        If given, a file of more bytes is refused.
    """
    try:
        with open(path, 'rb') as file:
            data = file.read(limit if limit < 0 else limit + 1)
    except OSError as error:
        raise InputError(f'{path}: cannot be read ({error.strerror})') from error
    if 0 <= limit < len(data):
        raise InputError(f'{path}: expected at most {limit:,} bytes, got more')
    return data


def replace_file(path: Path, data: bytes) -> None:
    """Write a file in one step, so that no reader finds a part of it; create its folder if needed.

    Raises
    ------
    OSError
        If the file cannot be written.  The previous one is then unchanged.
    """
    path.parent.mkdir(parents=True, exist_ok=True)
    descriptor, partial = tempfile.mkstemp(dir=path.parent, prefix='.', suffix='.part')
    try:
        with open(descriptor, 'wb') as file:
            file.write(data)
        os.replace(partial, path)
    finally:
        with contextlib.suppress(OSError):  # it was renamed
            os.unlink(partial)


def _download(url: str) -> bytes:
    """Return the file at an address, with a progress bar on a terminal.

    If a secure connection cannot be made, for example through a proxy with its own certificate, a
    plain one is tried: the checksum of the text shows whether it is the book's.

    Raises
    ------
    InputError
        If it does not arrive completely, or has more than `MAX_BYTES` bytes.
    """
    import requests  # takes a while to load

    try:
        try:
            return _fetch(url)
        except requests.exceptions.SSLError:
            return _fetch(url.replace('https://', 'http://', 1))
    except _TooLong:
        raise _download_error(url, f'it has more than {MAX_BYTES:,} bytes') from None
    except (OSError, ValueError) as error:  # includes the exceptions of requests
        raise _download_error(url, error) from error


class _TooLong(Exception):
    """Raised when a download has more than `MAX_BYTES` bytes."""


def _fetch(url: str) -> bytes:
    """Return the file at an address; raise an exception of requests if that fails."""
    import requests
    from tqdm import tqdm

    # Without the header, the server may compress the file, and a bar could not show its size.
    with requests.get(
        url, headers={'Accept-Encoding': 'identity'}, stream=True, timeout=DOWNLOAD_TIMEOUT
    ) as response:
        response.raise_for_status()
        length, data = response.headers.get('Content-Length', ''), bytearray()
        with tqdm(
            desc=url.rpartition('/')[2],
            total=int(length) if length.isdecimal() else None,
            unit='B',
            unit_scale=True,
            leave=False,
            disable=None,
        ) as bar:
            for chunk in response.iter_content(_CHUNK_BYTES):
                data += chunk
                if len(data) > MAX_BYTES:
                    raise _TooLong
                bar.update(len(chunk))
    return bytes(data)


def try_download(timeout: float) -> None:
    """Request the first bytes of the book's zip, to find out whether it can be downloaded.

    Parameters
    ----------
    timeout : float
        Seconds to wait for a connection, and for each answer.

    Raises
    ------
    InputError
        If the bytes do not arrive, or are not those of a zip.
    """
    import requests  # pooch downloads with it

    try:
        with requests.get(
            FRA_ENG_URL,
            headers={'Range': f'bytes=0-{len(_ZIP_SIGNATURE) - 1}'},
            stream=True,
            timeout=timeout,
        ) as response:
            response.raise_for_status()
            start = next(response.iter_content(len(_ZIP_SIGNATURE)), b'')
    except OSError as error:
        raise _download_error(FRA_ENG_URL, error) from error
    if start != _ZIP_SIGNATURE:
        raise _download_error(FRA_ENG_URL, 'the answer is not a zip file')


def _download_error(url: str, reason: Exception | str) -> InputError:
    if isinstance(reason, Exception):
        response = getattr(reason, 'response', None)
        reason = type(reason).__name__ if response is None else f'HTTP {response.status_code}'
    return InputError(f'{url} could not be downloaded ({reason})', _HINT)


def _verified_text(data: bytes, place: Path | str) -> bytes:
    """Return the bytes of fra.txt, from a zip or the file itself, if they are the book's."""
    if data.startswith(b'PK'):  # as all zips do
        data = _fra_txt_in_zip(data, place)
    digest = hashlib.sha256(data).hexdigest()
    if digest != FRA_ENG_TEXT_SHA256:
        raise InputError(
            f"{place}: expected the text of the book's fra.txt (SHA-256 "
            f'{FRA_ENG_TEXT_SHA256[:12]}...), got {len(data):,} bytes with {digest[:12]}...',
            'Pass your own text with --corpus FILE.',
        )
    return data


def _fra_txt_in_zip(data: bytes, place: Path | str) -> bytes:
    """Return the bytes of the file fra.txt in a zip, whatever its folder there."""
    try:
        with zipfile.ZipFile(io.BytesIO(data)) as archive:
            for member in archive.infolist():
                if Path(member.filename).name == 'fra.txt' and member.file_size <= MAX_BYTES:
                    return archive.read(member)
    except Exception as error:  # of many types, depending on what is damaged
        raise InputError(f'{place}: the zip is damaged ({error})') from error
    raise InputError(f'{place}: expected a zip that contains fra.txt, got one without it')
