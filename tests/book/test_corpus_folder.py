"""``download_extract``: the folder of the corpus that the book's first cell reads."""

import hashlib
import os
import subprocess
import sys
import threading

import pytest

from d2l_seq2seq import InputError, book
from d2l_seq2seq.book import corpus_folder, fra_eng

from local_server import TEXT, serving, zip_of

BOOKS_SHA1 = '94646ad1522d915e7b0f9296181140edcf86a4f5'


@pytest.fixture
def named(monkeypatch, tmp_path):
    """Accept two pairs as the book's text, and name a zip of them."""
    digest = hashlib.sha256(TEXT.encode()).hexdigest()
    monkeypatch.setattr(fra_eng, 'FRA_ENG_TEXT_SHA256', digest)
    (tmp_path / 'fra-eng.zip').write_bytes(zip_of(TEXT))
    monkeypatch.setenv('D2L_SEQ2SEQ_DATA', str(tmp_path))


@pytest.fixture
def temporary_folder(monkeypatch, tmp_path):
    """Use a new temporary folder in place of the one that this process has already used."""
    (tmp_path / 'temporary').mkdir()
    monkeypatch.setattr('tempfile.tempdir', str(tmp_path / 'temporary'))
    corpus_folder._temporary_folder.cache_clear()
    yield tmp_path / 'temporary'
    corpus_folder._temporary_folder.cache_clear()


def read_like_the_book(data_dir):
    """Open the file as the book's cell does: without an encoding."""
    with open(os.path.join(data_dir, 'fra.txt')) as file:
        return file.read()


def files_in(folder):
    return [path for path in folder.rglob('*') if path.is_file()]


def test_the_books_cell_reads_the_named_corpus(named, monkeypatch):
    entry = (book.DATA_URL + 'fra-eng.zip', BOOKS_SHA1)
    monkeypatch.setitem(book.DATA_HUB, 'fra-eng', entry)
    data_dir = book.download_extract('fra-eng')
    assert isinstance(data_dir, str)
    assert read_like_the_book(data_dir) == TEXT
    assert os.path.basename(data_dir) == 'fra-eng'
    assert book.download_extract('fra-eng', 'fra-eng') == data_dir


def test_the_book_corpus_is_that_of_read_data_nmt(fra_eng):
    assert read_like_the_book(book.download_extract('fra-eng')) == book.read_data_nmt()


def test_the_bundled_corpus_stands_in_with_a_warning(monkeypatch, caplog):
    monkeypatch.delenv('D2L_SEQ2SEQ_DATA', raising=False)
    data_dir = book.download_extract('fra-eng')
    assert 'using the bundled corpus' in caplog.text
    assert read_like_the_book(data_dir) == fra_eng.read_bundled()


def test_each_corpus_has_its_own_folder(named, monkeypatch):
    of_book = book.download_extract('fra-eng')
    monkeypatch.delenv('D2L_SEQ2SEQ_DATA')
    of_package = book.download_extract('fra-eng')
    assert of_book != of_package
    assert read_like_the_book(of_book) == TEXT != read_like_the_book(of_package)


def test_the_file_is_written_once(named, tmp_path):
    path = os.path.join(book.download_extract('fra-eng'), 'fra.txt')
    before = os.stat(path)
    book.download_extract('fra-eng')
    after = os.stat(path)
    assert (before.st_ino, before.st_mtime_ns) == (after.st_ino, after.st_mtime_ns)
    assert [file.name for file in files_in(tmp_path / 'cache')] == ['fra.txt']


@pytest.mark.parametrize('data', [b'', TEXT.encode()[:-5], TEXT.encode() + b'x', b'\xff'])
def test_a_file_that_was_cut_or_edited_is_replaced(named, data):
    data_dir = book.download_extract('fra-eng')
    with open(os.path.join(data_dir, 'fra.txt'), 'wb') as file:
        file.write(data)
    assert book.download_extract('fra-eng') == data_dir
    assert read_like_the_book(data_dir) == TEXT


def test_several_threads_read_whole_texts(named):
    results = []

    def read():
        results.append(read_like_the_book(book.download_extract('fra-eng')))

    threads = [threading.Thread(target=read) for _ in range(8)]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join()
    assert results == [TEXT] * 8


def test_without_a_cache_the_folder_is_temporary(named, tmp_path, temporary_folder):
    (tmp_path / 'cache').write_text('a file in place of the folder')
    data_dir = book.download_extract('fra-eng')
    assert str(temporary_folder) in data_dir
    assert read_like_the_book(data_dir) == TEXT
    assert book.download_extract('fra-eng') == data_dir


def test_a_cache_that_cannot_be_replaced_keeps_no_parts(named, tmp_path, temporary_folder):
    blocked = fra_eng.cached_fra_eng().parent / 'fra-eng' / 'fra.txt'
    blocked.mkdir(parents=True)  # a folder of the file's name
    data_dir = book.download_extract('fra-eng')
    assert read_like_the_book(data_dir) == TEXT
    assert str(temporary_folder) in data_dir
    assert not files_in(tmp_path / 'cache')


def test_nowhere_to_write_is_one_line(named, tmp_path, temporary_folder):
    (tmp_path / 'cache').write_text('')
    temporary_folder.rmdir()
    with pytest.raises(InputError, match='^fra.txt cannot be written .*Set TMPDIR') as error:
        book.download_extract('fra-eng')
    assert '\n' not in str(error.value)


@pytest.mark.skipif(sys.platform == 'win32', reason='the encoding is not chosen by LC_ALL')
def test_an_encoding_that_would_garble_the_text_is_refused(tmp_path):
    environment = {
        **os.environ,
        'LC_ALL': 'C',
        'PYTHONUTF8': '0',
        'PYTHONCOERCECLOCALE': '0',
        'D2L_SEQ2SEQ_DATA': str(tmp_path),
    }
    code = 'import d2l_seq2seq.book as d2l; d2l.download_extract("fra-eng")'
    result = subprocess.run(
        [sys.executable, '-c', code], env=environment, capture_output=True, encoding='utf-8'
    )
    last = result.stderr.strip().splitlines()[-1]
    assert 'fra.txt is UTF-8, and this Python opens text files as' in last
    assert 'PYTHONUTF8=1' in last


@pytest.mark.parametrize('name', ['UTF-8', 'utf8', 'cp65001'])
def test_every_name_of_utf_8_is_accepted(named, monkeypatch, name):
    monkeypatch.setattr('locale.getpreferredencoding', lambda *args: name)
    assert book.download_extract('fra-eng')


# Other data sets


@pytest.mark.parametrize('name', ['tiny', 'fra-eng'])
def test_other_files_are_downloaded_by_d2l(named, monkeypatch, tmp_path, name):
    """Also another file that the reader assigns to the book's name."""
    data = zip_of('Hi.\tHallo!\n', f'{name}/fra.txt')
    (tmp_path / 'work').mkdir()
    monkeypatch.chdir(tmp_path / 'work')  # d2l writes to ../data
    with serving(lambda self: self.send(data)) as (handler, url):
        entry = (url.replace('fra-eng', name), hashlib.sha1(data).hexdigest())
        monkeypatch.setitem(book.DATA_HUB, name, entry)
        data_dir = book.download_extract(name)
        assert os.path.samefile(data_dir, tmp_path / 'data' / name)
        assert read_like_the_book(data_dir) == 'Hi.\tHallo!\n'
        assert handler.num_requests == 1


def test_an_unknown_name_is_d2ls_error():
    # The error of d2l 1.0.3, or of d2l 0.16, which newer Pythons install.
    with pytest.raises((KeyError, AssertionError), match='no such data set'):
        book.download_extract('no such data set')
