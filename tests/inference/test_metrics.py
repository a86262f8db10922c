"""Metrics against values worked out by hand, the book's own function, and sacreBLEU itself."""

import math
import sys

import pytest
import sacrebleu
from hypothesis import given
from hypothesis import strategies as st

from d2l_seq2seq import InputError
from d2l_seq2seq.inference.metrics import (
    bleu,
    bleu_tokenizer,
    corpus_scores,
    require_sacrebleu,
    sentence_scores,
)

SENTENCES = st.lists(st.sampled_from('abc'), min_size=1, max_size=6).map(' '.join)


@pytest.mark.parametrize(
    'pred, label, k, expected',
    [
        ('va !', 'va !', 2, 1.0),
        ('va', 'va !', 2, math.exp(1 - 2)),  # too short, but its only unigram is correct
        ('a b c d', 'a b d c', 2, 1 * (1 / 3) ** 0.25),
        ('a a a', 'a b', 1, (1 / 3) ** 0.5),  # a word counts at most as often as it is in the label
        ('x', 'y', 1, 0.0),
        ('', 'a', 2, 0.0),
        ('a b', 'b a', 2, 0.0),
    ],
)
def test_the_books_bleu_by_hand(pred, label, k, expected):
    assert bleu(pred, label, k) == pytest.approx(expected)


@given(SENTENCES, SENTENCES, SENTENCES)
def test_bleu_is_from_0_to_1_and_1_for_the_label_itself(pred, label, other):
    assert 0 <= bleu(pred, label, 4) <= 1
    assert bleu(label, label, 4) == 1
    assert bleu('ab c', 'a bc', 2) == 0  # n-grams are tokens, not letters


def test_bleu_equals_that_of_later_editions():
    from d2l import mxnet as d2l  # 1.0.3: for predictions with at least k tokens

    @given(SENTENCES.filter(lambda text: len(text.split()) >= 3), SENTENCES)
    def compare(pred, label):
        assert bleu(pred, label, 3) == pytest.approx(d2l.bleu(pred, label, 3))

    compare()


def test_numbers_of_references_may_differ():
    translations = ['the cat sat on the mat', 'a dog barks at night', 'go']
    references = [
        ['a cat sat on the mat', 'the cat sat on a mat'],
        ['a dog barks at night'],
        ['Go', 'run', 'move'],
    ]
    scores = corpus_scores(translations, references)
    streams = [
        [sentence[number] if number < len(sentence) else None for sentence in references]
        for number in range(3)
    ]
    metric = sacrebleu.BLEU(lowercase=True)
    assert scores['BLEU'].value == metric.corpus_score(translations, streams).score
    assert scores['BLEU'].signature == str(metric.get_signature())
    assert 'case:lc' in scores['chrF'].signature and scores['chrF'].value > 80
    assert corpus_scores(['Va !', 'un deux trois quatre'], [['va !'], ['un deux trois quatre']])[
        'BLEU'
    ].value == pytest.approx(100)


def test_short_sentences_can_be_correct():
    assert sentence_scores(['va !', 'va'], [['Va !'], ['reste', 'Va']]) == pytest.approx([100, 100])
    assert sentence_scores(['non'], [['oui']]) == [0]


@pytest.mark.parametrize(
    'references, tokenizer',
    [
        (['Je suis là.', 'Va !'], '13a'),
        (['नमस्ते दुनिया।', 'أنا بخير.', 'Я дома.'], '13a'),
        (['我是学生。', '他说“Tom”。'], 'zh'),
        (['私は学生です。', 'ありがとう。'], 'char'),
        (['น้ำ', 'สวัสดี'], 'char'),
        (['저는 학생입니다.'], 'char'),
        (['Tom est à 東京.'], '13a'),
        (['123 !'], '13a'),
        ([], '13a'),
    ],
)
def test_the_tokenizer_of_bleu_is_chosen_by_the_references(references, tokenizer):
    assert bleu_tokenizer(references) == tokenizer


def test_correct_sentences_have_a_bleu_of_100_in_every_script():
    for text in ('我是学生。', '私は学生です。', 'ฉันเป็นนักเรียน', '저는 학생입니다.', 'मैं एक छात्र हूँ।'):
        scores = corpus_scores([text] * 3, [[text]] * 3)
        assert scores['BLEU'].value == pytest.approx(100)
        assert sentence_scores([text], [[text]]) == pytest.approx([100])
        name = bleu_tokenizer([text])
        assert f'tok:{name}|' in scores['BLEU'].signature
        assert corpus_scores([text], [[text]], 'char')['BLEU'].signature.count('tok:char') == 1
    assert corpus_scores(['我是学生。'], [['我是学生。']], '13a')['BLEU'].value == 0


def test_a_tokenizer_that_is_not_installed_is_reported(monkeypatch):
    monkeypatch.setitem(sys.modules, 'MeCab', None)
    monkeypatch.delitem(sys.modules, 'sacrebleu.tokenizers.tokenizer_ja_mecab', raising=False)
    with pytest.raises(InputError, match='bleu_tokenize ja-mecab: cannot be used .*MeCab|mecab'):
        require_sacrebleu('ja-mecab')
    require_sacrebleu('zh')
