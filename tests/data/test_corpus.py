"""Sentence pairs from every source, and one clear line for each way in which it can go wrong."""

import pytest

from d2l_seq2seq import InputError, preprocess_nmt, read_corpus
from d2l_seq2seq.data import corpus

from local_server import PAIRS, TEXT

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
    from d2l_seq2seq.data.pipeline import load_pairs

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
    assert 'dropped 3 of 5 lines that do not have a source, a tab and a target' in caplog.text
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
    with pytest.raises(InputError, match=f'^{folder}/t: file not found'):
        read_corpus(name)


def test_two_files_of_different_length_are_refused(tmp_path):
    (tmp_path / 'src').write_text('Go.\nHi.\n')
    (tmp_path / 'tgt').write_text('Va.\n')
    with pytest.raises(InputError, match='src,.*tgt: expected the same .*, got 2 and 1$'):
        read_corpus(f'{tmp_path / "src"},{tmp_path / "tgt"}')


def test_a_file_with_a_comma_in_its_name(tmp_path):
    path = tmp_path / 'a,b.tsv'
    path.write_text(TEXT, encoding='utf-8')
    assert read_corpus(str(path)).pairs == PAIRS


@pytest.mark.parametrize(
    'data, message',
    [
        (b'', 'found none .there is no text'),
        (b'\n\n', 'found none .there is no text'),
        (b'\nonly words\n', 'found none .line 2 has no tab'),
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
    with pytest.raises(InputError, match='missing.tsv: file not found. Pass auto, fra-eng, '):
        read_corpus(str(tmp_path / 'missing.tsv'))
    with pytest.raises(InputError, match='^,missing.tsv: file not found'):
        read_corpus(',missing.tsv')
