"""Tokens and ids in the order of d2l 0.14, and the counts behind it."""

import itertools

import pytest

from d2l_seq2seq.book.vocab import Vocab, count_corpus

SENTENCES = [['b', 'a', '.'], ['b', 'c', '.'], ['c', 'a', '.'], ['once']]


def test_order_is_reserved_then_by_frequency_then_alphabetical():
    vocab = Vocab(SENTENCES, min_freq=2, reserved_tokens=['<pad>', '<bos>', '<eos>'])
    assert vocab.idx_to_token == ['<unk>', '<pad>', '<bos>', '<eos>', '.', 'a', 'b', 'c']
    assert vocab.token_freqs == [('.', 3), ('a', 2), ('b', 2), ('c', 2), ('once', 1)]
    assert len(vocab) == 8 and vocab.unk == 0


def test_a_reserved_token_in_the_corpus_keeps_its_reserved_id():
    vocab = Vocab([['<pad>', '<unk>', 'a']], reserved_tokens=['<pad>'])
    assert vocab.idx_to_token == ['<unk>', '<pad>', 'a']


def test_look_up_of_a_token_a_list_and_a_nested_list():
    vocab = Vocab(SENTENCES)
    assert vocab['nowhere'] == 0
    assert vocab.to_tokens(vocab['b']) == 'b'
    assert vocab.to_tokens(vocab[['a', 'nowhere', '.']]) == ['a', '<unk>', '.']
    assert vocab[[['a'], ['b', 'c']]] == [[vocab['a']], [vocab['b'], vocab['c']]]


def test_iteration_yields_the_tokens_and_ends():
    vocab = Vocab(SENTENCES)
    assert list(itertools.islice(vocab, len(vocab) + 1)) == vocab.idx_to_token
    assert '<unk>' in vocab and 'once' in vocab and 'nowhere' not in vocab


def test_from_tokens_gives_the_same_ids():
    vocab = Vocab(SENTENCES, min_freq=2)
    restored = Vocab.from_tokens(vocab.idx_to_token)
    assert restored.token_to_idx == vocab.token_to_idx and restored.unk == vocab.unk
    assert restored.token_freqs == []


@pytest.mark.parametrize('tokens', [[], ['a', 'b'], ['<unk>', 'a', 'a']])
def test_from_tokens_refuses_missing_unk_and_duplicates(tokens):
    with pytest.raises(ValueError, match="expected distinct tokens that include '<unk>', got "):
        Vocab.from_tokens(tokens)


def test_count_corpus_counts_the_tokens_of_all_sentences():
    assert count_corpus(SENTENCES) == {'b': 2, 'a': 2, 'c': 2, '.': 3, 'once': 1}
    assert count_corpus([]) == {}
