"""Section 9.5, from text to minibatches, against the book's figures and plain loops."""

import numpy as onp
import pytest
from hypothesis import given
from hypothesis import strategies as st

from d2l_seq2seq import InputError, Vocab, build_array, load_data_nmt, preprocess_nmt, truncate_pad
from d2l_seq2seq.book.machine_translation import RESERVED_TOKENS, read_data_nmt, tokenize_nmt
from d2l_seq2seq.data.encoding import first_examples
from d2l_seq2seq.data.pipeline import load_pairs


def preprocess_by_loop(text):
    """Put a space before each comma, full stop and exclamation mark that has none."""
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


def tokenize_by_loop(text, num_examples=None):
    """Count lines from 0, stop after line number `num_examples`, keep those with two columns."""
    source, target = [], []
    for number, line in enumerate(text.split('\n')):
        if num_examples and number > num_examples:
            break
        columns = line.split('\t')
        if len(columns) == 2:
            source.append(columns[0].split(' '))
            target.append(columns[1].split(' '))
    return source, target


@given(
    st.lists(st.lists(st.sampled_from(['a', 'b c', '', 'd  e']), max_size=3), max_size=8),
    st.one_of(st.none(), st.integers(0, 9)),
)
def test_tokenizing_is_the_books_loop(lines, num_examples):
    text = '\n'.join('\t'.join(columns) for columns in lines)
    assert tokenize_nmt(text, num_examples) == tokenize_by_loop(text, num_examples)


def test_one_example_more_than_asked_for():
    text = '\n'.join(f'{number}\t{number}' for number in range(10))
    assert len(tokenize_nmt(text, 3)[0]) == 4
    assert len(tokenize_nmt(text)[0]) == len(tokenize_nmt(text, 100)[0]) == 10


@given(st.lists(st.integers()), st.integers(0, 20))
def test_truncate_pad(line, num_steps):
    padded = truncate_pad(line, num_steps, None)
    assert len(padded) == num_steps
    assert padded == [line[i] if i < len(line) else None for i in range(num_steps)]


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
    source, target = tokenize_nmt(preprocess_nmt(read_data_nmt()))
    assert len(source) == len(target) == len(fra_eng.pairs) == 167_130
    assert len(Vocab(source, 3, list(RESERVED_TOKENS))) == 9140


def test_each_epoch_has_every_pair_once_in_a_drawn_order(seed):
    _, _, data_iter = load_data_nmt(32, 10, num_examples=99)

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


def test_the_bundled_corpus_stands_in_for_the_books(monkeypatch, bundled, seed, caplog):
    """Without the book's corpus, the toolkit's own path from text to batches is the oracle."""
    monkeypatch.delenv('D2L_SEQ2SEQ_DATA', raising=False)
    src_vocab, tgt_vocab, data_iter = load_data_nmt(64, 10)
    assert 'using the bundled corpus' in caplog.text
    expected = load_pairs(first_examples(bundled.pairs, 1000), 64, 10)
    assert src_vocab.idx_to_token == expected[0].idx_to_token
    assert tgt_vocab.idx_to_token == expected[1].idx_to_token
    for loader in (data_iter, expected[2]):
        onp.random.seed(seed)
        batches = [[array.asnumpy() for array in batch] for batch in loader]
        if loader is data_iter:
            ours = batches
    assert len(ours) == len(batches) == 16
    for batch, other in zip(ours, batches):
        for array, same in zip(batch, other):
            assert array.dtype == same.dtype and onp.array_equal(array, same)


@pytest.mark.parametrize('arguments', [(0, 10), (64, 1), (64, 10, 0)])
def test_arguments_out_of_range_are_refused(arguments):
    with pytest.raises(InputError, match='expected batch_size and num_examples of at least 1'):
        load_data_nmt(*arguments)
