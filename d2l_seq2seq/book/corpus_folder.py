"""`download_extract` (d2l 0.14, section 4.10.1), which finds the corpus of section 9.5 offline too.

The section's first cell asks this function for the folder of the corpus and opens the file
``fra.txt`` in it.  The text comes from the same places as that of `read_data_nmt`; see `fra_eng`.
"""

from __future__ import annotations

import codecs
import functools
import locale
import tempfile
from pathlib import Path

from ..errors import InputError
from .fra_eng import FRA_ENG_ZIP_SHA1, cached_fra_eng, read_available_text, replace_file


def download_extract(name: str, folder: str | None = None) -> str:
    """Return the folder of a data set, which is downloaded and unpacked if needed.

    Parameters
    ----------
    name : str
        A key of `DATA_HUB`.  For ``fra-eng``, the folder contains the file ``fra.txt``.
    folder : str, optional
        Name of a folder next to that of the data set, to return instead.

    Returns
    -------
    str
        The path of the folder.

    Raises
    ------
    InputError
        If this Python opens text files in an encoding other than UTF-8, or if the text cannot be
        written.

    Notes
    -----
    The text of ``fra-eng`` is that of `read_data_nmt`: the book's corpus if it can be found or
    downloaded, otherwise the one that comes with the package, with the reason in the log.  It is
    written to the cache of the package, or to a temporary folder if the cache cannot be written.  A
    file that is already there is used if it is equal to the text, and is replaced if it is not.

    The file is UTF-8 with plain line ends.  The book's cell opens it without naming an encoding.
    Python then decodes it with the encoding of the system, which is UTF-8 on Linux and macOS.  On
    Windows it is another one before Python 3.15, which cannot represent all of the text, so this
    function stops instead of letting the cell read other letters.

    All other data sets are downloaded by d2l's own function, and so is ``fra-eng`` if you assign
    another file to ``DATA_HUB['fra-eng']``.
    """
    from ._d2l import d2l  # takes seconds, which reading a corpus does not need

    if name != 'fra-eng' or d2l.DATA_HUB[name][1] != FRA_ENG_ZIP_SHA1:
        return d2l.download_extract(name, folder)
    _check_encoding(locale.getpreferredencoding(False))
    corpus, text = read_available_text()
    data_dir = _folder_with(text.encode('utf-8'), corpus)
    return str(data_dir.parent / folder if folder else data_dir)


def _check_encoding(encoding: str) -> None:
    """Raise `InputError` unless `encoding`, in which ``open`` reads text files, is UTF-8."""
    if codecs.lookup(encoding).name != 'utf-8':
        raise InputError(
            f'fra.txt is UTF-8, and this Python opens text files as {encoding}',
            'Start Python with the option -X utf8, or set PYTHONUTF8=1.',
        )


def _folder_with(data: bytes, corpus: str) -> Path:
    """Return a folder whose file ``fra.txt`` has the given contents.

    Raises
    ------
    InputError
        If neither the cache nor a temporary folder can be written.
    """
    try:
        return _write_text(cached_fra_eng().parent / corpus, data)
    except OSError:  # a home without write permission, or a full disk
        pass
    try:
        return _write_text(Path(_temporary_folder().name) / corpus, data)
    except OSError as error:
        raise InputError(
            f'fra.txt cannot be written ({error.strerror})',
            'Set TMPDIR to a folder that can be written.',
        ) from error


@functools.lru_cache(maxsize=None)
def _temporary_folder() -> tempfile.TemporaryDirectory:
    """Return a folder of this process, which is removed when the process ends."""
    return tempfile.TemporaryDirectory(prefix='d2l_seq2seq-')


def _write_text(folder: Path, data: bytes) -> Path:
    """Write ``fra.txt`` to a folder, in one step, unless it has these contents; return the folder.

    Raises
    ------
    OSError
        If the file can be neither read nor written.
    """
    path = folder / 'fra.txt'
    if path.is_file() and path.read_bytes() == data:
        return folder
    replace_file(path, data)
    return folder
