"""The book's corpus: read from a disk, downloaded, and one clear line for each way to fail."""

import contextlib
import hashlib
import logging
import time

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
        ('fra-eng.zip', zip_of(TEXT)[:-40], 'expected the text of the book'),
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
    monkeypatch.setattr(fra_eng, 'MAX_TEXT_BYTES', 1000)
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


def test_auto_falls_back_with_a_warning(monkeypatch, caplog):
    monkeypatch.delenv('D2L_SEQ2SEQ_DATA', raising=False)  # and nothing listens at the URL
    with caplog.at_level(logging.WARNING):
        assert read_corpus('auto').name == 'bundled'
    assert 'bundled corpus' in caplog.text and 'ConnectionError' in caplog.text
