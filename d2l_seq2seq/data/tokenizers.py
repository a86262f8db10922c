"""Words as one would cut them today: punctuation split off, elisions split at the apostrophe.

The chapter's own rules, which leave ``?`` with its word, are in `data.py`.
"""
from __future__ import annotations

import re
import unicodedata
from typing import Iterable

# An elided word (l', qu', I'), a word with apostrophes or hyphens in it, or a sign.
_TOKEN = re.compile(r"\w{1,2}'(?=\w)|\w+(?:['-]\w+)*|[^\w\s]")
_APOSTROPHES = str.maketrans({'’': "'", '‘': "'"})


def word_tokens(sentence: str) -> list[str]:
    """The words and signs of a sentence in lower case.

    Compatible characters become one (NFKC), curly apostrophes straight; what has no width goes.

    Examples
    --------
    >>> word_tokens("Who? Don't you know l'histoire ?")
    ['who', '?', "don't", 'you', 'know', "l'", 'histoire', '?']
    """
    text = unicodedata.normalize('NFKC', sentence).translate(_APOSTROPHES).lower()
    text = ''.join(char for char in text if unicodedata.category(char) not in ('Cf', 'Cc')
                   or char.isspace())
    return _TOKEN.findall(text)


def join_words(tokens: Iterable[str]) -> str:
    """A sentence of words: full stops, commas and elided words have no space beside them.

    Examples
    --------
    >>> join_words(["l'", 'histoire', ',', "j'", 'y', 'crois', '!'])
    "l'histoire, j'y crois !"
    """
    return re.sub(r"(?<=\b\w') | (?=[.,](?: |$))|(?<=\b\w\w') ", '', ' '.join(tokens))
