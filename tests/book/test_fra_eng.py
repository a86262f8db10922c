"""The book's corpus: read from a disk, downloaded, and one clear line for each way to fail."""

import contextlib
import hashlib
import logging
import time
from pathlib import Path

import pytest

from d2l_seq2seq import InputError, read_corpus
from d2l_seq2seq.book import fra_eng

from local_server import PAIRS, TEXT, serving, zip_of


@pytest.fixture
def small_fra_eng(monkeypatch):
    """Accept two pairs as the book's text."""
    digest = hashlib.sha256(TEXT.encode()).hexdigest()
    monkeypatch.setattr(fra_eng, 'FRA_ENG_TEXT_SHA256', digest)


@pytest.mark.parametrize(
    'name, data, named',
    [
        ('fra.txt', TEXT.encode(), '.'),
        ('fra-eng.zip', zip_of(TEXT), '.'),
        ('copy.zip', zip_of(TEXT, 'fra.txt'), 'copy.zip'),
        ('copy.txt', TEXT.encode(), 'copy.txt'),
    ],
)
def test_the_variable_names_a_zip_a_text_or_a_folder(
    tmp_path, monkeypatch, small_fra_eng, name, data, named
):
    (tmp_path / name).write_bytes(data)
    monkeypatch.setenv('D2L_SEQ2SEQ_DATA', str(tmp_path / named))
    assert read_corpus('fra-eng').pairs == PAIRS
    assert read_corpus('auto').name == 'fra-eng'


@pytest.mark.parametrize(
    'name, data, message',
    [
        ('fra-eng.zip', zip_of('Go.\tVa.\n'), 'expected the text of the book'),
        ('fra-eng.zip', zip_of(TEXT)[:-40], 'the zip is damaged'),
        ('fra-eng.zip', zip_of(TEXT).replace(b'PK\x03\x04', b'PK\x03\x00'), 'the zip is damaged'),
        ('fra-eng.zip', zip_of(TEXT, 'deu.txt'), 'expected a zip that contains fra.txt'),
        ('fra.txt', b'<html>404</html>', 'expected the text of the book'),
        ('other.txt', b'', 'neither .*fra-eng.zip nor .*fra.txt exists'),
    ],
)
def test_another_text_is_refused(tmp_path, monkeypatch, small_fra_eng, name, data, message):
    (tmp_path / name).write_bytes(data)
    monkeypatch.setenv('D2L_SEQ2SEQ_DATA', str(tmp_path))
    with pytest.raises(InputError, match=message):
        read_corpus('fra-eng')


def test_a_zip_that_unpacks_to_too_much_is_not_unpacked(tmp_path, monkeypatch, small_fra_eng):
    monkeypatch.setattr(fra_eng, 'MAX_BYTES', 1000)
    (tmp_path / 'fra-eng.zip').write_bytes(zip_of('x' * 1001))
    monkeypatch.setenv('D2L_SEQ2SEQ_DATA', str(tmp_path))
    with pytest.raises(InputError, match='expected a zip that contains fra.txt'):
        read_corpus('fra-eng')


def test_the_variable_names_nothing(tmp_path, monkeypatch):
    monkeypatch.setenv('D2L_SEQ2SEQ_DATA', str(tmp_path / 'missing'))
    with pytest.raises(
        InputError, match='missing does not exist. Correct the variable, or unset it.'
    ):
        read_corpus('fra-eng')


# The download


@pytest.fixture
def serve(monkeypatch, small_fra_eng):
    """Start a server on this machine in place of the book's."""
    monkeypatch.delenv('D2L_SEQ2SEQ_DATA', raising=False)
    monkeypatch.setattr(fra_eng, 'DOWNLOAD_TIMEOUT', 0.5)
    with contextlib.ExitStack() as stack:

        def start(behaviour):
            handler, url = stack.enter_context(serving(behaviour))
            monkeypatch.setattr(fra_eng, 'FRA_ENG_URL', url)
            return handler

        yield start


def test_download_happens_once(serve):
    handler = serve(lambda self: self.send(zip_of(TEXT)))
    assert read_corpus('fra-eng').pairs == PAIRS
    assert read_corpus('auto').pairs == PAIRS
    assert handler.num_requests == 1


BROKEN_SERVERS = {
    'HTTP 404': lambda self: self.send(b'not found', status=404),
    'HTTP 500': lambda self: self.send(b'', status=500),
    'Timeout': lambda self: time.sleep(2),
    'Error': lambda self: self.send(zip_of(TEXT)[:50], length=5000),
    'expected the text': lambda self: self.send(b'<html>please log in</html>'),
    'bytes with': lambda self: self.send(zip_of('Hello.\tBonjour.\n')),
}


@pytest.mark.parametrize('message', BROKEN_SERVERS)
def test_a_failed_download_is_one_line_and_leaves_nothing(serve, tmp_path, message):
    serve(BROKEN_SERVERS[message])
    with pytest.raises(InputError, match=message) as error:
        read_corpus('fra-eng')
    assert '\n' not in str(error.value)
    assert not [path for path in (tmp_path / 'cache').rglob('*') if path.is_file()]


def test_a_failed_download_is_tried_again(serve):
    serve(BROKEN_SERVERS['expected the text'])
    with pytest.raises(InputError):
        read_corpus('fra-eng')
    serve(lambda self: self.send(zip_of(TEXT)))
    assert read_corpus('fra-eng').pairs == PAIRS


def test_a_download_that_is_too_long_is_stopped(serve, monkeypatch):
    """The server announces no length, and never stops sending."""
    monkeypatch.setattr(fra_eng, 'MAX_BYTES', 200_000)

    def send_endlessly(server):
        server.send_response(200)
        server.end_headers()
        with contextlib.suppress(OSError):  # the client has closed the connection
            while True:
                server.wfile.write(b'PK' * 5000)

    serve(send_endlessly)
    with pytest.raises(InputError, match='it has more than 200,000 bytes.*Set D2L_SEQ2SEQ_DATA'):
        read_corpus('fra-eng')


def test_without_https_plain_http_is_tried(serve, monkeypatch):
    serve(lambda self: self.send(zip_of(TEXT)))  # which cannot answer in TLS
    monkeypatch.setattr(fra_eng, 'FRA_ENG_URL', fra_eng.FRA_ENG_URL.replace('http:', 'https:'))
    assert read_corpus('fra-eng').pairs == PAIRS


def test_the_address_is_a_secure_one():
    source = Path(fra_eng.__file__).read_text(encoding='utf-8')
    assert "FRA_ENG_URL = 'https://" in source


# Damaged files


def damaged(data):
    """Yield copies of a zip: each byte of it changed, and each length of it cut."""
    for index in range(len(data)):
        for mask in (0x40, 0xFF):
            yield data[:index] + bytes([data[index] ^ mask]) + data[index + 1 :]
        yield data[:index]


def test_a_zip_that_is_damaged_anywhere_is_one_line_or_read(tmp_path, small_fra_eng):
    path = tmp_path / 'fra-eng.zip'
    messages = set()
    for data in damaged(zip_of(TEXT)):
        path.write_bytes(data)
        try:
            assert fra_eng.find_fra_eng(path) == TEXT.encode()
        except InputError as error:
            messages.add(str(error))
    assert len(messages) > 10
    assert not [message for message in messages if len(message.splitlines()) > 1]


def end_record_flipped():
    """Return a zip whose directory seems to begin before the file."""
    data = bytearray(zip_of(TEXT))
    data[data.rindex(b'PK\5\6') + 15] ^= 0x40  # of the directory's size
    return bytes(data)


@pytest.fixture(params=['flipped', 'cut', 'empty', 'another text'])
def damaged_cache(request, tmp_path):
    """A file in the cache that is not the book's zip."""
    path = fra_eng.cached_fra_eng()
    path.parent.mkdir(parents=True)
    data = {
        'flipped': end_record_flipped(),
        'cut': zip_of(TEXT)[:100],
        'empty': b'',
        'another text': zip_of('Hello.\tBonjour.\n'),
    }
    path.write_bytes(data[request.param])
    return path


def test_a_damaged_file_in_the_cache_is_replaced(serve, damaged_cache, caplog):
    handler = serve(lambda self: self.send(zip_of(TEXT)))
    for _ in range(2):
        assert read_corpus('fra-eng').pairs == PAIRS
    assert damaged_cache.read_bytes() == zip_of(TEXT)
    assert handler.num_requests == 1
    assert caplog.text.count('downloading the corpus again') == 1


def test_a_damaged_file_in_the_cache_does_not_defeat_the_fallback(
    monkeypatch, small_fra_eng, damaged_cache
):
    monkeypatch.delenv('D2L_SEQ2SEQ_DATA', raising=False)  # and nothing listens at the URL
    before = damaged_cache.read_bytes()
    for _ in range(2):
        assert read_corpus('auto').name == 'bundled'
    assert damaged_cache.read_bytes() == before


def test_a_cache_that_cannot_be_written_does_not_matter(serve, tmp_path, caplog):
    (tmp_path / 'cache').write_text('a file in place of the folder')
    serve(lambda self: self.send(zip_of(TEXT)))
    assert read_corpus('fra-eng').pairs == PAIRS
    assert 'the next run downloads the corpus again' in caplog.text


def test_a_folder_in_place_of_the_file_does_not_matter(serve, caplog):
    (fra_eng.cached_fra_eng() / 'x').mkdir(parents=True)
    serve(lambda self: self.send(zip_of(TEXT)))
    assert read_corpus('fra-eng').pairs == PAIRS
    assert 'cannot be written' in caplog.text
    leftovers = [path.name for path in fra_eng.cached_fra_eng().parent.iterdir()]
    assert leftovers == ['fra-eng.zip']


def test_auto_falls_back_with_a_warning(monkeypatch, caplog):
    monkeypatch.delenv('D2L_SEQ2SEQ_DATA', raising=False)  # and nothing listens at the URL
    with caplog.at_level(logging.WARNING):
        assert read_corpus('auto').name == 'bundled'
    assert 'bundled corpus' in caplog.text and 'ConnectionError' in caplog.text
