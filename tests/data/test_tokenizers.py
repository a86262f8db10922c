"""Words and subwords: sentences are split and joined again."""

import sys

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from d2l_seq2seq import DataConfig, InputError
from d2l_seq2seq.data.tokenizers import (
    Subwords,
    build_tokenizer,
    detokenize_words,
    tokenize_words,
    train_subwords,
)


@pytest.mark.parametrize(
    'text, tokens',
    [
        ('Go.', ['go', '.']),
        ('go .', ['go', '.']),
        ('Who?', ['who', '?']),
        ("J’ai l'oiseau aujourd'hui\u202f!", ["j'", 'ai', "l'", 'oiseau', "aujourd'hui", '!']),
        ('Va-t-il à 14\xa0h\xa030 ?', ['va-t-il', 'à', '14', 'h', '30', '?']),
        ('«\u202fNon\u202f», dit-elle…', ['«', 'non', '»', ',', 'dit-elle', '.', '.', '.']),
        ('soft\xadhyphen zero\u200bwidth', ['softhyphen', 'zerowidth']),
        ('\x00\x1b[31mred', ['[', '31mred']),
        ('', []),
        (' \t\n', []),
    ],
)
def test_word_tokens(text, tokens):
    assert tokenize_words(text) == tokens


@pytest.mark.parametrize(
    'text',
    ["l'histoire, j'y crois !", "qu'il aille.", "it's late, isn't it ?", '1, 2, 3.', 'a ! ! ! b'],
)
def test_joined_words_read_well(text):
    assert detokenize_words(tokenize_words(text)) == text


@given(st.text(max_size=40))
def test_splitting_a_joined_sentence_gives_the_same_words(text):
    tokens = tokenize_words(text)
    assert tokenize_words(detokenize_words(tokens)) == tokens
    assert not any(char.isspace() for token in tokens for char in token)


@pytest.fixture(scope='module')
def subwords(bundled):
    return Subwords.train([tgt for _, tgt in bundled.pairs], 500)


def test_subwords_split_and_join(subwords, bundled):
    assert len(subwords.tokenize('Je suis anticonstitutionnellement là.')) > 4
    for _, tgt in bundled.pairs[:300]:
        assert subwords.detokenize(subwords.tokenize(tgt)) == detokenize_words(tokenize_words(tgt))
    assert subwords.tokenize('Va !') == subwords.tokenize('va!')


@given(st.text(max_size=40))
@settings(deadline=None)
def test_any_text_can_be_split(subwords, text):
    assert all(isinstance(piece, str) for piece in subwords.tokenize(text))


def test_the_same_sentences_give_the_same_subwords(subwords, bundled):
    again = Subwords.train([tgt for _, tgt in bundled.pairs], 500)
    assert again.model == subwords.model == Subwords(subwords.model).model


def test_a_shared_vocabulary_has_one_set_of_subwords(bundled):
    config = DataConfig(text_rules='subwords', num_subwords=300, share_vocab=True)
    both = train_subwords(config, bundled.pairs)
    assert both.src is both.tgt
    tokenizer = build_tokenizer(config, both)
    assert tokenizer.detokenize(tokenizer.tokenize_tgt('Va!')) == 'va !' and tokenizer.share_vocab
    assert train_subwords(DataConfig(), bundled.pairs) is None


def test_bytes_that_are_not_a_model_are_refused():
    with pytest.raises(InputError, match='expected a SentencePiece model, got something else'):
        Subwords(b'nothing of the kind')


def test_a_missing_library_is_reported_with_the_command_that_installs_it(monkeypatch):
    monkeypatch.setitem(sys.modules, 'sentencepiece', None)
    with pytest.raises(InputError, match=r"pip install 'd2l-seq2seq\[subwords\]'"):
        Subwords.train(['a'], 30)


def test_too_few_subwords_for_the_characters_are_refused(bundled):
    with pytest.raises(
        InputError, match='num_subwords: expected at least one piece for each character'
    ):
        Subwords.train([tgt for _, tgt in bundled.pairs], 30)
