"""Text to batches, against the book's figures and plain loops."""

import numpy as onp
import pytest
from hypothesis import given
from hypothesis import strategies as st

from d2l_seq2seq import Vocab, build_array, load_data_nmt, preprocess_nmt, truncate_pad
from d2l_seq2seq.data import encoding
from d2l_seq2seq.data.encoding import first_examples, tokenize_pairs
from d2l_seq2seq.data.feed import load_pairs


def preprocess_by_loop(text):
    """A space before each comma, full stop and exclamation mark that has none, not the first."""
    text = text.replace('\u202f', ' ').replace('\xa0', ' ').lower()
    result = ''
    for position, character in enumerate(text):
        if position > 0 and character in ',.!' and text[position - 1] != ' ':
            result += ' '
        result += character
    return result


@given(st.text(alphabet=st.one_of(st.sampled_from(" .,!?'\u202f\xa0AÉ"), st.characters())))
def test_preprocessing_is_the_books_rule(text):
    assert preprocess_nmt(text) == preprocess_by_loop(text)


@pytest.mark.parametrize(
    'text, expected',
    [
        ('Go.', 'go .'),
        ('Va\u202f!', 'va !'),
        ('Who?', 'who?'),
        ('Qui\u00a0?', 'qui ?'),
        ('Well...', 'well . . .'),
        ('I am, OK.', 'i am , ok .'),
    ],
)
def test_preprocessing_examples(text, expected):
    assert preprocess_nmt(text) == expected


@given(st.lists(st.integers()), st.integers(0, 20))
def test_truncate_pad(line, num_steps):
    padded = truncate_pad(line, num_steps, None)
    assert len(padded) == num_steps
    assert padded == [line[i] if i < len(line) else None for i in range(num_steps)]


def test_one_example_more_than_asked_for():
    pairs = [(str(i), str(i)) for i in range(10)]
    assert first_examples(pairs, 3) == pairs[:4]
    assert first_examples(pairs, None) == first_examples(pairs, 100) == pairs


def test_build_array():
    vocab = Vocab([['a', 'b']], reserved_tokens=['<pad>', '<bos>', '<eos>'])
    ids = {token: vocab[token] for token in ('<pad>', '<bos>', '<eos>', 'a', 'b')}
    pad, bos, eos, a, b = ids.values()
    src, src_valid_len = build_array([['a'], ['b', 'x', 'a', 'b', 'a']], vocab, 4, True)
    assert src.tolist() == [[a, pad, pad, pad], [b, 0, a, b]]
    assert src_valid_len.tolist() == [1, 4]
    tgt, tgt_valid_len = build_array([['a'], ['b', 'x', 'a', 'b', 'a']], vocab, 4, False)
    assert tgt.tolist() == [[bos, a, eos, pad], [bos, b, 0, a]]
    assert tgt_valid_len.tolist() == [3, 4]
    assert (src.dtype, src_valid_len.dtype) == (onp.float32, onp.int64)


def test_the_books_figures(fra_eng):
    src_vocab, tgt_vocab, data_iter = load_data_nmt(64, 10)
    assert (len(src_vocab), len(tgt_vocab), len(data_iter)) == (180, 162, 16)
    batches = list(data_iter)
    assert [len(src) for src, *_ in batches] == [64] * 15 + [41]
    assert sum(int((tgt_valid_len - 1).sum()) for *_, tgt_valid_len in batches) == 4437
    assert max(int(src_valid_len.max()) for _, src_valid_len, *_ in batches) == 4
    assert max(int(tgt_valid_len.max()) for *_, tgt_valid_len in batches) == 10
    source, _ = tokenize_pairs(fra_eng.pairs)
    assert len(Vocab(source, 3, ['<pad>', '<bos>', '<eos>'])) == 9140


def test_each_epoch_has_every_pair_once_in_a_drawn_order(bundled, seed):
    _, _, data_iter = load_pairs(bundled.pairs[:100], 32, 10)

    def one_epoch():
        return [
            ids
            for src, _, tgt, _ in data_iter
            for ids in onp.hstack([src.asnumpy(), tgt.asnumpy()]).tolist()
        ]

    first, second = one_epoch(), one_epoch()
    assert sorted(first) == sorted(second) and len(first) == 100
    assert first != second
    onp.random.seed(seed)
    assert one_epoch() == first


def test_what_is_lost_is_said(caplog):
    load_pairs([('a b c', 'd'), ('a', 'd e')], 2, 3)
    assert '1 of 4 sentences are longer than num_steps = 3' in caplog.text
    assert 'no source word occurs often enough' in caplog.text


def test_nothing_is_lost_of_the_chapters_data(corpus, caplog):
    load_pairs(first_examples(corpus.pairs, 1000), 64, 10)
    assert caplog.text == ''


def test_without_the_book_the_bundled_corpus_is_loaded(monkeypatch, bundled):
    monkeypatch.delenv('D2L_SEQ2SEQ_DATA', raising=False)
    src_vocab, _, data_iter = load_data_nmt(10, 8, num_examples=49)
    assert len(data_iter) == 5
    assert src_vocab.idx_to_token == load_pairs(bundled.pairs[:50], 10, 8)[0].idx_to_token


def test_batch_names_the_books_order():
    assert encoding.EncodedCorpus._fields == ('src', 'src_valid_len', 'tgt', 'tgt_valid_len')
