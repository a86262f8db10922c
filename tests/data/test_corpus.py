"""Sentence pairs from every source, and one clear line for each way in which it can go wrong."""

import contextlib
import hashlib
import logging
import time

import pytest

from d2l_seq2seq import InputError, preprocess_nmt, read_corpus
from d2l_seq2seq.book import fra_eng
from d2l_seq2seq.data import corpus

from local_server import TEXT, serving, zip_of

PAIRS = [('Go.', 'Va\u202f!'), ('Hi.', 'Salut\u00a0!')]


@pytest.fixture
def small_fra_eng(monkeypatch):
    """Two pairs that count as the book's text."""
    digest = hashlib.sha256(TEXT.encode()).hexdigest()
    monkeypatch.setattr(fra_eng, 'FRA_ENG_TEXT_SHA256', digest)


# The bundled corpus


def test_bundled_corpus_is_what_the_readme_says(bundled):
    assert len(bundled.pairs) >= 1000 and bundled.num_dropped == 0
    assert len(set(bundled.pairs)) == len(bundled.pairs)
    sources = [src for src, _ in bundled.pairs]
    assert len(set(sources)) >= 700 and len(set(sources[:1001])) >= 700
    assert {'Go.', 'Wow!', "I'm OK.", 'I won!'} <= set(sources[:1001])


def test_bundled_corpus_has_the_form_of_the_books(bundled):
    for src, tgt in bundled.pairs:
        assert src[0].isupper() and tgt[0].isupper()
        assert src[-1] in '.!?' and tgt[-1] in '.!?'
        assert ' !' not in tgt and ' ?' not in tgt  # a non-breaking space stands there
        assert len(preprocess_nmt(tgt).split(' ')) <= 8  # with <bos> and <eos>, ten steps
    lengths = [len(src) for src, _ in bundled.pairs]
    assert lengths == sorted(lengths)


def test_the_chapters_words_are_common_enough_to_be_learned(bundled):
    from d2l_seq2seq.data.feed import load_pairs

    src_vocab, tgt_vocab, _ = load_pairs(bundled.pairs[:1001], 64, 10)
    for src, tgt in bundled.pairs:
        if src in {'Go.', 'Wow!', "I'm OK.", 'I won!'}:
            assert src_vocab.unk not in src_vocab[preprocess_nmt(src).split(' ')], src
            assert tgt_vocab.unk not in tgt_vocab[preprocess_nmt(tgt).split(' ')], tgt


# The user's files


@pytest.mark.parametrize(
    'data',
    [
        TEXT.encode(),
        TEXT.rstrip('\n').encode(),
        b'\xef\xbb\xbf' + TEXT.encode(),
        TEXT.replace('\n', '\r\n').encode(),
        TEXT.replace('\n', '\n\n').encode() + b'\n\n',
        TEXT.replace('\n', '\tCC-BY 2.0 (France)\n').encode(),
        TEXT.replace('\n', ' \n').encode(),
    ],
)
def test_usual_forms_of_a_file_give_the_same_pairs(tmp_path, data):
    path = tmp_path / 'pairs.tsv'
    path.write_bytes(data)
    assert read_corpus(str(path)).pairs == PAIRS


def test_lines_that_are_no_pair_are_dropped_counted_and_reported(tmp_path, caplog):
    path = tmp_path / 'pairs.tsv'
    path.write_text(TEXT + 'no tab\nempty target\t\na\tb\tc\td\n \n', encoding='utf-8')
    read = read_corpus(str(path))
    assert (read.pairs, read.num_dropped) == (PAIRS, 3)
    assert '3 of 5 lines dropped for want of a source, a tab and a target' in caplog.text
    assert 'the first is line 3' in caplog.text


def test_two_files(tmp_path):
    (tmp_path / 'src').write_bytes(b'Go.\r\nHi.\r\n')
    (tmp_path / 'tgt').write_text('Va\u202f!\nSalut\u00a0!', encoding='utf-8')
    assert read_corpus(f'{tmp_path / "src"},{tmp_path / "tgt"}').pairs == PAIRS


def test_two_files_whose_names_have_commas(tmp_path, monkeypatch):
    folder = tmp_path / 'fr,en'
    folder.mkdir()
    (folder / 's,1').write_bytes(b'Go.\nHi.\n')
    (folder / 't').write_bytes(TEXT.encode().replace(b'Go.\t', b'').replace(b'Hi.\t', b''))
    monkeypatch.chdir(folder)
    name = corpus.resolve_corpus_name('s,1,t')
    assert name == f'{folder}/s,1,{folder}/t' and corpus.resolve_corpus_name(name) == name
    assert read_corpus('s,1,t').pairs == read_corpus(name).pairs == PAIRS
    (folder / 't').unlink()
    with pytest.raises(InputError, match=f'^{folder}/t: expected a corpus'):
        read_corpus(name)


def test_two_files_of_different_length_are_refused(tmp_path):
    (tmp_path / 'src').write_text('Go.\nHi.\n')
    (tmp_path / 'tgt').write_text('Va.\n')
    with pytest.raises(InputError, match='got 2 lines in .*src and 1 in'):
        read_corpus(f'{tmp_path / "src"},{tmp_path / "tgt"}')


def test_a_file_with_a_comma_in_its_name(tmp_path):
    path = tmp_path / 'a,b.tsv'
    path.write_text(TEXT, encoding='utf-8')
    assert read_corpus(str(path)).pairs == PAIRS


@pytest.mark.parametrize(
    'data, message',
    [
        (b'', 'it is empty'),
        (b'\n\n', 'it is empty'),
        (b'\nonly words\n', 'no pair .line 2 is not'),
        ('Été\tSummer\n'.encode('latin-1'), 'byte 0xc9 in line 1'),
        (TEXT.encode() + b'A\tB\xff\n', 'byte 0xff in line 3'),
        (TEXT.encode('utf-16'), 'got UTF-16'),
    ],
)
def test_unusable_files_are_refused(tmp_path, data, message):
    path = tmp_path / 'pairs.tsv'
    path.write_bytes(data)
    with pytest.raises(InputError, match=message) as error:
        read_corpus(str(path))
    assert str(path) in str(error.value) and '\n' not in str(error.value)


def test_a_folder_and_a_missing_file_are_refused(tmp_path):
    with pytest.raises(InputError, match='expected a file, got a folder'):
        read_corpus(str(tmp_path))
    with pytest.raises(InputError, match='there is no such file'):
        read_corpus(str(tmp_path / 'missing.tsv'))
    with pytest.raises(InputError, match='^,missing.tsv: .* there is no such file'):
        read_corpus(',missing.tsv')


# The book's corpus on disk


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
        ('fra-eng.zip', zip_of(TEXT, 'deu.txt'), 'holds fra.txt'),
        ('fra.txt', b'<html>404</html>', 'expected the text of the book'),
        ('other.txt', b'', 'fra-eng.zip or .*fra.txt, found neither'),
    ],
)
def test_another_text_is_refused(tmp_path, monkeypatch, small_fra_eng, name, data, message):
    (tmp_path / name).write_bytes(data)
    monkeypatch.setenv('D2L_SEQ2SEQ_DATA', str(tmp_path))
    with pytest.raises(InputError, match=message):
        read_corpus('fra-eng')


def test_a_zip_that_unpacks_to_too_much_is_not_unpacked(tmp_path, monkeypatch, small_fra_eng):
    monkeypatch.setattr(corpus, 'MAX_TEXT_BYTES', 1000)
    (tmp_path / 'fra-eng.zip').write_bytes(zip_of('x' * 1001))
    monkeypatch.setenv('D2L_SEQ2SEQ_DATA', str(tmp_path))
    with pytest.raises(InputError, match='holds fra.txt'):
        read_corpus('fra-eng')


def test_the_variable_names_nothing(tmp_path, monkeypatch):
    monkeypatch.setenv('D2L_SEQ2SEQ_DATA', str(tmp_path / 'missing'))
    with pytest.raises(InputError, match='missing, which is not there; correct it, or unset it'):
        read_corpus('fra-eng')


# The download


@pytest.fixture
def serve(monkeypatch, small_fra_eng):
    """A server on this machine that takes the place of the book's."""
    monkeypatch.delenv('D2L_SEQ2SEQ_DATA', raising=False)
    monkeypatch.setattr(corpus, 'DOWNLOAD_TIMEOUT', 0.5)
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


def test_after_a_failed_download_the_next_one_is_tried_anew(serve):
    serve(BROKEN_SERVERS['expected the text'])
    with pytest.raises(InputError):
        read_corpus('fra-eng')
    serve(lambda self: self.send(zip_of(TEXT)))
    assert read_corpus('fra-eng').pairs == PAIRS


def test_auto_falls_back_and_says_so(monkeypatch, caplog):
    monkeypatch.delenv('D2L_SEQ2SEQ_DATA', raising=False)  # and nothing listens at the URL
    with caplog.at_level(logging.WARNING):
        assert read_corpus('auto').name == 'bundled'
    assert 'bundled corpus' in caplog.text and 'ConnectionError' in caplog.text
