"""Files of sentence pairs as other programs write them, and clear messages about the others."""

import csv
import gzip
import io

import pytest

from d2l_seq2seq import InputError, read_corpus

from local_server import PAIRS, TEXT


def read(tmp_path, data, name='pairs.tsv'):
    (tmp_path / name).write_bytes(data if isinstance(data, bytes) else data.encode())
    return read_corpus(str(tmp_path / name))


def exported(rows, **dialect):
    """The rows as a spreadsheet writes them."""
    file = io.StringIO()
    csv.writer(file, **dialect).writerows(rows)
    return file.getvalue()


@pytest.mark.parametrize(
    'data',
    [
        TEXT.replace('\n', '\r').encode(),
        gzip.compress(TEXT.encode()),
        gzip.compress(b'\xef\xbb\xbf' + TEXT.encode()),
        ''.join(f'12{n}\t{src}\t9{n}\t{tgt}\n' for n, (src, tgt) in enumerate(PAIRS)).encode(),
        exported(PAIRS, delimiter='\t', quoting=csv.QUOTE_ALL).encode(),
    ],
    ids=['line ends of old computers', 'gzip', 'gzip and mark', 'tatoeba', 'quoted'],
)
def test_files_of_other_programs_give_the_same_pairs(tmp_path, data):
    assert read(tmp_path, data).pairs == PAIRS


@pytest.mark.parametrize('delimiter', [',', ';', '\t'])
@pytest.mark.parametrize('quoting', [csv.QUOTE_MINIMAL, csv.QUOTE_ALL])
def test_a_csv_file(tmp_path, delimiter, quoting):
    pairs = [('Go, now; "go".', 'Va, maintenant.'), ('Line\none.', 'Ligne.'), ('A.', '"B"')]
    text = exported(pairs, delimiter=delimiter, quoting=quoting)
    assert read(tmp_path, text, 'pairs.csv').pairs == [pairs[0], ('Line one.', 'Ligne.'), pairs[2]]
    assert read(tmp_path, gzip.compress(text.encode()), 'p.CSV.gz').pairs[2] == pairs[2]


def test_quotation_marks_of_a_spreadsheet_are_removed(tmp_path, caplog):
    pairs = [('"Go," he said.', 'Il dit : « Va. »'), ('One, two.', 'Un.'), ('Hi.', 'Salut.')]
    assert read(tmp_path, exported(pairs, delimiter='\t')).pairs == pairs
    assert 'removed the quotation marks that a spreadsheet adds' in caplog.text


@pytest.mark.parametrize(
    'text',
    [
        '"Go!"\t« Va ! »\n',
        '"Go, now!"\t« Va ! »\n"Go!"\tVa.\n',
        '"Go," he said.\tIl dit.\n',
        'He said "go".\tIl dit.\n',
        '"Go," she said, "now."\tVa.\n',
        'A " sign.\tUn signe.\n',
    ],
)
def test_quotation_marks_of_the_sentences_stay(tmp_path, text, caplog):
    expected = [tuple(line.split('\t')) for line in text.splitlines()]
    assert read(tmp_path, text).pairs == expected
    assert caplog.text == ''


def read_two(tmp_path, src, tgt):
    (tmp_path / 'src').write_bytes(src.encode())
    (tmp_path / 'tgt').write_bytes(tgt.encode())
    return read_corpus(f'{tmp_path / "src"},{tmp_path / "tgt"}')


@pytest.mark.parametrize('end', ['', '\n', '\n\n', '\n \n\n'])
def test_blank_lines_at_the_end_of_one_of_two_files(tmp_path, end):
    assert read_two(tmp_path, 'a\nb', f'x\ny{end}').pairs == [('a', 'x'), ('b', 'y')]
    assert read_two(tmp_path, f'a\nb{end}', 'x\ny\n').pairs == [('a', 'x'), ('b', 'y')]


def test_an_empty_last_line_is_a_sentence_without_a_translation(tmp_path, caplog):
    corpus = read_two(tmp_path, 'a\nb\nc\n', 'x\n\n\n')
    assert (corpus.pairs, corpus.num_dropped) == ([('a', 'x')], 2)
    with pytest.raises(InputError, match='expected the same number of lines .* got 3 and 1'):
        read_two(tmp_path, 'a\nb\nc\n', 'x\n')


def test_control_characters_become_spaces(tmp_path, caplog):
    corpus = read_two(tmp_path, 'a\tb\x0bc\nd\ne\x00\x1bf\u2028\u0085 g\n', 'x\ny\tz\nw\n')
    assert corpus.pairs == [('a b c', 'x'), ('d', 'y z'), ('e f g', 'w')]
    (message,) = caplog.messages
    assert 'replaced the control characters in 3 of 3 lines by spaces' in message
    caplog.clear()
    assert read_two(tmp_path, 'a \t\n', ' x\r\n').pairs == [('a', 'x')]
    assert caplog.text == ''


@pytest.mark.parametrize(
    'data, message',
    [
        (b'PK\x03\x04...', 'got a zip archive or a spreadsheet'),
        (b'\xd0\xcf\x11\xe0...', 'got a document or a spreadsheet'),
        (b'BZh9...', 'got a bzip2 file'),
        (b'\xfd7zXZ\x00...', 'got an xz file'),
        (gzip.compress(TEXT.encode() * 99)[:-9], 'expected a complete gzip file'),
        (b'\x1f\x8bnothing', 'expected a complete gzip file'),
        (b'a,b\nc,d\n', 'line 1 has no tab'),
        (b'\na\tb\tc\td\te\n', 'line 2 has 5 columns'),
        (b'a\t\n', 'line 1 has an empty column'),
    ],
    ids=['zip', 'document', 'bzip2', 'xz', 'cut gzip', 'bad gzip', 'commas', 'columns', 'empty'],
)
def test_other_files_are_named(tmp_path, data, message):
    with pytest.raises(InputError, match=message) as error:
        read(tmp_path, data)
    assert 'pairs.tsv' in str(error.value)


def test_a_file_that_is_very_long_when_it_is_unpacked_is_refused(tmp_path, monkeypatch):
    monkeypatch.setattr('d2l_seq2seq.data.files.MAX_TEXT_BYTES', 1000)
    with pytest.raises(InputError, match='expected at most 1,000 bytes of text, got more'):
        read(tmp_path, gzip.compress(b'a\tb\n' * 1000))
