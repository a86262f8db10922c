"""Words and characters in any script, which the text rules build on.

In many scripts a letter consists of several code points: a base and its marks, such as the vowel
signs of Devanagari or the tone marks of Thai.  A mark always stays with its base here.

Joining is the inverse of splitting.  Words are separated by spaces, and a punctuation mark has a
`JOINER` on each side without a space, as in OpenNMT's tokenizer.  In a sequence of characters,
`SPACE` stands for a space.
"""

from __future__ import annotations

import re
import unicodedata
from typing import Iterable

from ..errors import CONTROL

JOINER = '\uffed'  # a small square; in text it becomes another square
SPACE = '\u2581'  # a low block, which SentencePiece uses in the same way; in text it becomes _


def _code_points(*categories: str) -> dict[str, list[str]]:
    """Return the code points of some Unicode categories, by category."""
    code_points: dict[str, list[str]] = {category: [] for category in categories}
    for code in (*range(0x1F000), *range(0xE0000, 0xE0200)):  # the other planes have none of them
        category = unicodedata.category(chr(code))
        if category in code_points:
            code_points[category].append(chr(code))
    return code_points


_CODE_POINTS = _code_points('Mn', 'Mc', 'Me', 'Cf')
_FORM_JOINERS = '\u200c\u200d'  # they have no width, but they change the form of letters and emoji
# The marks of all scripts, for a character class.
MARKS = ''.join(_CODE_POINTS['Mn'] + _CODE_POINTS['Mc'] + _CODE_POINTS['Me']) + _FORM_JOINERS
# Letters that are displayed as marks (Thai, Lao, half-width Japanese), and skin colors of emoji.
_MARKS_OF_CHARACTERS = MARKS + '\u0e33\u0eb3\uff9e\uff9f\U0001f3fb-\U0001f3ff'
# Characters that are not displayed.  The signs that surround Arabic numbers (AN) are.
_INVISIBLE = ''.join(
    char
    for char in _CODE_POINTS['Cf']
    if char not in _FORM_JOINERS and unicodedata.bidirectional(char) != 'AN'
)
_MAY_BE_DROPPED = frozenset(_INVISIBLE + _FORM_JOINERS)  # for a quick test
_DROPPED = re.compile(f'[{_INVISIBLE}]|(?<!\\S)[{_INVISIBLE}{_FORM_JOINERS}]+')
_CHARACTER = (  # a flag is a pair of letters; an emoji may consist of several
    f'(?:[\U0001f1e6-\U0001f1ff]{{2}}|\\S)[{_MARKS_OF_CHARACTERS}]*'
    f'(?:(?<=\u200d)\\S[{_MARKS_OF_CHARACTERS}]*)*'
)
_SPACE_OR_CHARACTER = re.compile(f' |{_CHARACTER}')
# An elided word (l', qu', I'), a word that may contain apostrophes or hyphens, or another sign.
_WORD = f'\\w+(?:[{MARKS}]+\\w*)*'
_WORD_OR_SIGN = re.compile(
    rf"(?P<elided>\w{{1,2}}'(?=\w))|{_WORD}(?:['-]{_WORD})*|(?P<sign>{_CHARACTER})"
)
_REPLACED = {
    '’': "'",
    '‘': "'",
    '\u0130': 'i',  # its lower case would be an i with a second dot
    JOINER: '\u25a0',
    SPACE: '_',
}


def normalize(sentence: str) -> str:
    """Return a sentence with composed characters (NFC) and single spaces.

    White space and control characters become spaces, and characters that are not displayed are
    dropped.

    Examples
    --------
    >>> normalize(' a\u200b\u3000b ')
    'a b'
    """
    text = CONTROL.sub(' ', sentence)
    if not _MAY_BE_DROPPED.isdisjoint(text):
        text = _DROPPED.sub('', text)
    return unicodedata.normalize('NFC', ' '.join(text.split()))


def split_words(sentence: str) -> list[str]:
    """Split a sentence into lower-case words and punctuation marks.

    Curly apostrophes become straight.

    Examples
    --------
    >>> split_words("Who? Don't you know l'histoire ?".replace('l', 'L'))
    ['who', '\uffed?', "don't", 'you', 'know', "l'\uffed", 'histoire', '?']
    """
    text = normalize(sentence)
    for char, replacement in _REPLACED.items():
        text = text.replace(char, replacement)
    text = unicodedata.normalize('NFC', text.lower())
    tokens = []
    for match in _WORD_OR_SIGN.finditer(text):
        token = match[0]
        if match.lastgroup is not None:
            start, end = match.span()
            if match.lastgroup == 'sign' and text[start - 1 : start].strip():
                token = JOINER + token
            if _begins_word(text[end : end + 1]):
                token += JOINER
        tokens.append(token)
    return tokens


def _begins_word(char: str) -> bool:
    return char.isalnum() or char == '_'


def join_words(tokens: Iterable[str]) -> str:
    """Join words and punctuation marks to a sentence.

    Examples
    --------
    >>> join_words(["l'\uffed", 'histoire', '\uffed,', "j'\uffed", 'y', 'crois', '!'])
    "l'histoire, j'y crois !"
    """
    return re.sub(f' ?{JOINER} ?', '', ' '.join(tokens))


def split_characters(sentence: str) -> list[str]:
    """Split a sentence into characters as a reader perceives them; a space is a token as well.

    Examples
    --------
    >>> split_characters('Où ça')
    ['O', 'ù', '\u2581', 'ç', 'a']
    """
    text = normalize(sentence).replace(SPACE, '_')
    return [SPACE if token == ' ' else token for token in _SPACE_OR_CHARACTER.findall(text)]


def join_characters(tokens: Iterable[str]) -> str:
    """Join characters to a sentence.

    Examples
    --------
    >>> join_characters(['O', 'ù', '\u2581', 'ç', 'a'])
    'Où ça'
    """
    return ''.join(tokens).replace(SPACE, ' ')
