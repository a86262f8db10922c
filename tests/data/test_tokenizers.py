"""The text rules of a configuration, and subwords: sentences are split and joined again."""

import sys

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from d2l_seq2seq import DataConfig, InputError, RunConfig
from d2l_seq2seq.data.scripts import join_words, split_words
from d2l_seq2seq.data.tokenizers import (
    SubwordPair,
    Subwords,
    build_tokenizer,
    tokenize_opengenus,
    train_subwords,
)


def test_each_name_of_text_rules_has_its_own_tokens():
    text = "L'été: 3.14!"
    tokens = {
        name: build_tokenizer(DataConfig(text_rules=name)).tokenize_tgt(text)
        for name in ('chapter', 'words', 'characters', 'opengenus')
    }
    assert tokens == {
        'chapter': ["l'été:", '3', '.14', '!'],
        'words': ["l'\uffed", 'été', '\uffed:', '3', '\uffed.\uffed', '14', '\uffed!'],
        'characters': ['L', "'", 'é', 't', 'é', ':', '\u2581', '3', '.', '1', '4', '!'],
        'opengenus': ['lété', '314'],
    }


@pytest.mark.parametrize('rules', ['words', 'characters'])
def test_a_translation_reads_like_its_reference(bundled, rules):
    tokenizer = build_tokenizer(DataConfig(text_rules=rules))
    for text in ('नमस्ते। 3.14 और 10:30', *(tgt for _, tgt in bundled.pairs[:200])):
        joined = tokenizer.detokenize(tokenizer.tokenize_tgt(text))
        assert joined.lower() == ' '.join(text.lower().replace('’', "'").split())


def test_words_without_punctuation_keep_their_marks():
    assert tokenize_opengenus('नमस्ते, दुनिया!') == ['नमस्ते', 'दुनिया']


@pytest.mark.parametrize(
    'rules, text, tokens, joined',
    [
        ('words', 'L’ami: 3.14', ["l'", 'ami', ':', '3', '.', '14'], "l'ami : 3. 14"),
        ('words', 'नमस्ते', ['नमस', '्', 'त', 'े'], 'नमस ् त े'),
        ('opengenus', 'नमस्ते', ['नमसत'], 'नमसत'),
    ],
)
def test_runs_of_version_0_2_keep_their_text_rules(rules, text, tokens, joined):
    saved = RunConfig(DataConfig(text_rules=rules)).to_dict()
    del saved['data']['rules_version']
    tokenizer = build_tokenizer(RunConfig.from_dict(saved).data)
    assert tokenizer.tokenize_tgt(text) == tokens
    assert tokenizer.detokenize(tokens) == joined
    new = build_tokenizer(
        RunConfig.from_dict(RunConfig(DataConfig(text_rules=rules)).to_dict()).data
    )
    assert new.tokenize_tgt(text) != tokens


@pytest.fixture(scope='module')
def subwords(bundled):
    config = DataConfig(text_rules='subwords', num_subwords=500)
    return train_subwords(config, bundled.pairs)


@pytest.fixture(scope='module')
def tokenizer(subwords):
    return build_tokenizer(DataConfig(text_rules='subwords'), subwords)


def test_subwords_split_and_join(tokenizer, bundled):
    assert len(tokenizer.tokenize_tgt('Je suis anticonstitutionnellement là.')) > 5
    for text in ('3.14, 10:30 (p.m.)', 'नमस्ते।', *(tgt for _, tgt in bundled.pairs[:300])):
        assert tokenizer.detokenize(tokenizer.tokenize_tgt(text)) == join_words(split_words(text))
    assert tokenizer.tokenize_tgt('Va\xa0!') == tokenizer.tokenize_tgt('va !')


@given(st.text(max_size=40))
@settings(deadline=None)
def test_any_text_can_be_split_into_subwords(tokenizer, text):
    joined = join_words(split_words(text))
    assert tokenizer.detokenize(tokenizer.tokenize_tgt(text)) == joined
    assert not {'<pad>', '<bos>', '<eos>'} & set(tokenizer.tokenize_tgt(text))


def test_the_same_sentences_give_the_same_subwords(subwords, bundled):
    again = train_subwords(DataConfig(text_rules='subwords', num_subwords=500), bundled.pairs)
    assert [side.model for side in again] == [side.model for side in subwords]
    assert Subwords(again.src.model).model == again.src.model != again.tgt.model


def test_subwords_of_version_0_2_are_pieces_of_its_words(bundled):
    config = DataConfig(text_rules='subwords', num_subwords=500, rules_version=1)
    pieces = train_subwords(config, bundled.pairs)
    tokenizer = build_tokenizer(config, SubwordPair(*pieces))
    assert '\uffed' not in ''.join(tokenizer.tokenize_tgt("L'ami, 3.14"))
    assert tokenizer.detokenize(tokenizer.tokenize_tgt("L'ami, 3.14")) == "l'ami, 3. 14"


def test_a_shared_vocabulary_has_one_set_of_subwords(bundled):
    config = DataConfig(text_rules='subwords', num_subwords=300, share_vocab=True)
    both = train_subwords(config, bundled.pairs)
    assert both.src is both.tgt
    tokenizer = build_tokenizer(config, both)
    assert tokenizer.detokenize(tokenizer.tokenize_tgt('Va!')) == 'va!' and tokenizer.share_vocab
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
