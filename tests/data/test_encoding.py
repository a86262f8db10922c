"""Sentence pairs to arrays of token ids, against the chapter's own functions."""

import numpy as onp
import pytest

from d2l_seq2seq import Vocab, build_array
from d2l_seq2seq.data.encoding import EncodedCorpus, encode_tokens, first_examples, tokenize_pairs
from d2l_seq2seq.data.pipeline import load_pairs


def test_one_example_more_than_asked_for():
    pairs = [(str(i), str(i)) for i in range(10)]
    assert first_examples(pairs, 3) == pairs[:4]
    assert first_examples(pairs, None) == first_examples(pairs, 100) == pairs


@pytest.mark.parametrize('num_steps', [2, 3, 10])
def test_ids_and_lengths_are_those_of_the_chapters_build_array(bundled, num_steps):
    source, target = tokenize_pairs(bundled.pairs[::20])
    vocab = Vocab(source + target, 2, ['<pad>', '<bos>', '<eos>'])
    encoded = encode_tokens(source, target, vocab, vocab, num_steps)
    expected = [
        *build_array(source, vocab, num_steps, is_source=True),
        *build_array(target, vocab, num_steps, is_source=False),
    ]
    for array, theirs in zip(encoded, expected):
        assert isinstance(array, onp.ndarray)
        assert onp.array_equal(array, theirs.asnumpy())
    assert [array.dtype for array in encoded] == [onp.int32, onp.int64] * 2


def test_losses_are_reported(caplog):
    load_pairs([('a b c', 'd'), ('a', 'd e')], 2, 3)
    assert '1 of 4 sentences are longer than num_steps = 3 and were cut' in caplog.messages
    assert 'no source token occurs often enough to have its own id' in caplog.text


def test_nothing_is_lost_of_the_chapters_data(corpus, caplog):
    load_pairs(first_examples(corpus.pairs, 1000), 64, 10)
    assert caplog.text == ''


def test_a_corpus_has_the_books_order():
    assert EncodedCorpus._fields == ('src', 'src_valid_len', 'tgt', 'tgt_valid_len')
