"""The English-French corpus of d2l 0.14, section 9.5.1, from disk, a cache or the network.

Support for `machine_translation`.  If the book's corpus is not available, a smaller one that comes
with the package is used instead.
"""

from __future__ import annotations

import hashlib
import io
import logging
import os
import pkgutil
import zipfile
import zlib
from pathlib import Path

from ..errors import InputError

logger = logging.getLogger(__name__)

FRA_ENG_URL = 'http://d2l-data.s3-accelerate.amazonaws.com/fra-eng.zip'
FRA_ENG_ZIP_SHA1 = '94646ad1522d915e7b0f9296181140edcf86a4f5'  # of the zip at this address
# The checksum is that of the text, because zips of the same text differ from each other.
FRA_ENG_TEXT_SHA256 = '0bb85dbaa1c896844649094d7eaf2e34bee34e84fe362b26ce7e8f2e12aae104'
DATA_VARIABLE = 'D2L_SEQ2SEQ_DATA'
DOWNLOAD_TIMEOUT = 10  # seconds without a byte
MAX_TEXT_BYTES = 1 << 26  # six times the book's text; a longer text in a zip is not unpacked
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
            return _verified_text(read_bytes(candidate), candidate)
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
    """Return the book's text from the cache, downloading it first if needed."""
    path = cached_fra_eng()
    try:
        is_cached = path.exists()
    except OSError as error:  # a parent folder without permission
        raise InputError(f'{path}: cannot be read ({error.strerror})') from error
    if not is_cached:
        _download(FRA_ENG_URL, path)
    data = read_bytes(path)
    try:
        return _verified_text(data, path)
    except InputError:
        path.unlink()  # so that the next run downloads it again
        raise


def read_bytes(path: Path) -> bytes:
    """Return the contents of a file; raise `InputError` if it cannot be read."""
    try:
        return path.read_bytes()
    except OSError as error:
        raise InputError(f'{path}: cannot be read ({error.strerror})') from error


def _download(url: str, path: Path) -> None:
    """Download a file to `path`, completely or not at all, with a progress bar on a terminal."""
    import pooch
    from tqdm import tqdm

    pooch.get_logger().setLevel(logging.WARNING)
    try:
        # The total of 1 makes the bar true, which pooch checks before it sets the real total.
        with tqdm(
            desc=path.name, total=1, unit='B', unit_scale=True, leave=False, disable=None
        ) as bar:
            downloader = pooch.HTTPDownloader(progressbar=bar, timeout=DOWNLOAD_TIMEOUT)
            pooch.retrieve(
                url, known_hash=None, fname=path.name, path=path.parent, downloader=downloader
            )
    except OSError as error:  # includes the exceptions of requests
        raise _download_error(url, error) from error


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


def _download_error(url: str, reason: OSError | str) -> InputError:
    if isinstance(reason, OSError):
        response = getattr(reason, 'response', None)
        reason = type(reason).__name__ if response is None else f'HTTP {response.status_code}'
    return InputError(
        f'{url} could not be downloaded ({reason})',
        f'Set {DATA_VARIABLE} to a copy of {url.rpartition("/")[2]}.',
    )


def _verified_text(data: bytes, path: Path) -> bytes:
    """Return the bytes of fra.txt, from a zip or the file itself, if they are the book's."""
    if zipfile.is_zipfile(io.BytesIO(data)):
        data = _fra_txt_in_zip(data, path)
    digest = hashlib.sha256(data).hexdigest()
    if digest != FRA_ENG_TEXT_SHA256:
        raise InputError(
            f"{path}: expected the text of the book's fra.txt (SHA-256 "
            f'{FRA_ENG_TEXT_SHA256[:12]}...), got {len(data):,} bytes with {digest[:12]}...',
            'Pass your own text with --corpus FILE.',
        )
    return data


def _fra_txt_in_zip(data: bytes, path: Path) -> bytes:
    """Return the bytes of the file fra.txt in a zip, whatever its folder there."""
    try:
        with zipfile.ZipFile(io.BytesIO(data)) as archive:
            for member in archive.infolist():
                if Path(member.filename).name == 'fra.txt' and member.file_size <= MAX_TEXT_BYTES:
                    return archive.read(member)
    except (zipfile.BadZipFile, zlib.error, EOFError, NotImplementedError, RuntimeError) as error:
        raise InputError(f'{path}: the zip is damaged ({error})') from error
    raise InputError(f'{path}: expected a zip that contains fra.txt, got one without it')
