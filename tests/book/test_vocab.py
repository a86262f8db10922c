"""Tokens and ids in the edition's order."""

import pytest

from d2l_seq2seq import Vocab

SENTENCES = [['b', 'a', '.'], ['b', 'c', '.'], ['c', 'a', '.'], ['once']]


def test_order_is_special_then_frequency_then_alphabet():
    vocab = Vocab(SENTENCES, min_freq=2, reserved_tokens=['<pad>', '<bos>', '<eos>'])
    assert vocab.idx_to_token == ['<unk>', '<pad>', '<bos>', '<eos>', '.', 'a', 'b', 'c']
    assert vocab.token_freqs == [('.', 3), ('a', 2), ('b', 2), ('c', 2), ('once', 1)]
    assert len(vocab) == 8 and vocab.unk == 0


def test_a_reserved_token_in_the_corpus_keeps_its_reserved_id():
    vocab = Vocab([['<pad>', '<unk>', 'a']], reserved_tokens=['<pad>'])
    assert vocab.idx_to_token == ['<unk>', '<pad>', 'a']


def test_look_up_of_one_of_many_and_of_nested_lists():
    vocab = Vocab(SENTENCES)
    assert vocab['nowhere'] == 0
    assert vocab.to_tokens(vocab['b']) == 'b'
    assert vocab.to_tokens(vocab[['a', 'nowhere', '.']]) == ['a', '<unk>', '.']
    assert vocab[[['a'], ['b', 'c']]] == [[vocab['a']], [vocab['b'], vocab['c']]]


def test_from_tokens_gives_the_same_ids():
    vocab = Vocab(SENTENCES, min_freq=2)
    again = Vocab.from_tokens(vocab.idx_to_token)
    assert again.token_to_idx == vocab.token_to_idx and again.unk == vocab.unk


@pytest.mark.parametrize('tokens', [[], ['a', 'b'], ['<unk>', 'a', 'a']])
def test_from_tokens_refuses_what_is_no_vocabulary(tokens):
    with pytest.raises(ValueError, match="'<unk>' one of them"):
        Vocab.from_tokens(tokens)
