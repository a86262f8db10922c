"""Words and characters of many scripts: sentences are split, and joined again without a loss."""

import re
import unicodedata

import pytest
from hypothesis import given
from hypothesis import strategies as st

from d2l_seq2seq.data.scripts import (
    JOINER,
    SPACE,
    join_characters,
    join_words,
    normalize,
    split_characters,
    split_words,
)

J = JOINER


@pytest.mark.parametrize(
    'text, tokens',
    [
        ('Go.', ['go', f'{J}.']),
        ('go .', ['go', '.']),
        (
            "J’ai l'oiseau aujourd'hui\u202f!",
            [f"j'{J}", 'ai', f"l'{J}", 'oiseau', "aujourd'hui", '!'],
        ),
        ('Va-t-il à 14\xa0h\xa030 ?', ['va-t-il', 'à', '14', 'h', '30', '?']),
        ('«\u202fNon\u202f», dit-elle…', ['«', 'non', '»', f'{J},', 'dit-elle', f'{J}…']),
        ('3.14', ['3', f'{J}.{J}', '14']),
        ('(a) ...', [f'({J}', 'a', f'{J})', '.', f'{J}.', f'{J}.']),
        ('soft\xadhyphen zero\u200bwidth', ['softhyphen', 'zerowidth']),
        ('\x00\x1b[31mred', [f'[{J}', '31mred']),
        ('', []),
        (' \t\n\u200b', []),
    ],
)
def test_words(text, tokens):
    assert split_words(text) == tokens


# A sentence of each script, and the words in it.
SENTENCES = {
    'Devanagari': ('नमस्ते हिन्दी दुनिया।', ['नमस्ते', 'हिन्दी', 'दुनिया', f'{J}।']),
    'Bengali': ('আমি বাংলায় গান গাই।', ['আমি', 'বাংলায়', 'গান', 'গাই', f'{J}।']),
    'Tamil': ('நான் தமிழ் பேசுகிறேன்.', ['நான்', 'தமிழ்', 'பேசுகிறேன்', f'{J}.']),
    'Arabic': ('أنا أيضاً، شكراً!', ['أنا', 'أيضاً', f'{J}،', 'شكراً', f'{J}!']),
    'Persian': ('می\u200cخواهم بروم؟', ['می\u200cخواهم', 'بروم', f'{J}؟']),
    'Hebrew': ('עֲלֵיכֶם.', ['עֲלֵיכֶם', f'{J}.']),
    'Thai': ('น้ำ ทำไม?', ['น้ำ', 'ทำไม', f'{J}?']),
    'Vietnamese': ('Tie\u0302\u0301ng Vie\u0302\u0323t.', ['tiếng', 'việt', f'{J}.']),
    'Turkish': ("İstanbul'da ışık.", ["istanbul'da", 'ışık', f'{J}.']),
    'Russian': ('Я жил там.', ['я', 'жил', 'там', f'{J}.']),
    'Greek': ('Ο Οδυσσέας.', ['ο', 'οδυσσέας', f'{J}.']),
    'Chinese': ('你好！我是学生。', ['你好', f'{J}！{J}', '我是学生', f'{J}。']),
    'Korean': ('저는 학생입니다.', ['저는', '학생입니다', f'{J}.']),
    'emoji': ('ok 👍🏽 ❤️!', ['ok', '👍🏽', '❤️', f'{J}!']),
}  # fmt: skip


@pytest.mark.parametrize('script', SENTENCES)
def test_a_mark_belongs_to_the_letter_before_it(script):
    text, words = SENTENCES[script]
    assert split_words(text) == words
    for token in split_words(text) + split_characters(text):
        assert unicodedata.category(token.lstrip(J)[0])[0] != 'M', token


# Pieces of sentences whose spaces carry meaning.
PIECES = re.findall(
    r'\S+',
    """
    3.14 1,000.50 10:30 10:30-11:45 2,5 % 12/25/2024 -5 °C $5 5€ #1 1/2 3×4=12 ٣٫١٤ १०:३० １０：３０
    p.m. U.S.A. e.g. z.B. и т.д. Dr. l' rock'n'roll 'tis students' C++ AT&T a_b @me ~/x
    https://example.org/a_b/c?d=1&e=%20#f www.example.org. first.last+tag@mail.example.co.uk
    «Да» „Nein“ ¿Qué? 「はい」 (a) [b] "c," … -- — !! ?! नमस्ते น้ำ سلام، 你好！ word Été
    👨\u200d👩\u200d👧 🇫🇷🇩🇪
""",
)


@given(st.lists(st.tuples(st.sampled_from(PIECES), st.sampled_from(['', ' '])), max_size=8))
def test_joining_is_the_inverse_of_splitting(pieces):
    text = ''.join(piece + space for piece, space in pieces).strip()
    assert join_words(split_words(text)) == text.lower().replace('’', "'")
    assert join_characters(split_characters(text)) == text


def plain(text: str) -> str:
    """Return a text without case, kinds of apostrophes and kinds of white space."""
    return re.sub(r'\s+', ' ', unicodedata.normalize('NFC', text)).lower().replace('’', "'")


def test_joining_is_the_inverse_of_splitting_for_the_corpus(bundled):
    for sentence in (sentence for pair in bundled.pairs for sentence in pair):
        assert join_words(split_words(sentence)) == plain(sentence)
        assert join_characters(split_characters(sentence)).lower().replace('’', "'") == plain(
            sentence
        )


@given(st.text(max_size=40))
def test_any_text_can_be_split_and_joined(text):
    words, characters = split_words(text), split_characters(text)
    assert split_words(join_words(words)) == words
    assert split_characters(join_characters(characters)) == characters
    assert join_characters(characters) == normalize(text).replace(SPACE, '_')
    assert not any(char.isspace() for token in words + characters for char in token)


@pytest.mark.parametrize(
    'text, characters',
    [
        ('Où ça', ['O', 'ù', SPACE, 'ç', 'a']),
        ('नमस्ते', ['न', 'म', 'स्', 'ते']),
        ('น้ำ', ['น้ำ']),
        ('e\u0301te\u0301', ['é', 't', 'é']),
        ('👨\u200d👩\u200d👧👍🏽', ['👨\u200d👩\u200d👧', '👍🏽']),
        ('🇫🇷🇩🇪', ['🇫🇷', '🇩🇪']),
        ('a \u3000b\u200b', ['a', SPACE, 'b']),
        ('한국', ['한', '국']),
        ('', []),
    ],
)
def test_characters(text, characters):
    assert split_characters(text) == characters
