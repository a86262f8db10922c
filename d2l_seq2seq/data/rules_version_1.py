"""Version 1 of the text rules, for runs of version 0.2 of the package.

It gives the tokens with which these runs were trained.  Its words separate the marks of many
scripts from their letters, and its joined text has spaces within numbers; see `scripts` for the
rules of new runs.
"""

from __future__ import annotations

import re
import unicodedata
from typing import Iterable

# An elided word (l', qu', I'), a word that may contain apostrophes or hyphens, or another sign.
_WORD = re.compile(r"\w{1,2}'(?=\w)|\w+(?:['-]\w+)*|[^\w\s]")
_APOSTROPHES = str.maketrans({'’': "'", '‘': "'"})


def split_words(sentence: str) -> list[str]:
    """Split a sentence into lower-case words and punctuation marks.

    Examples
    --------
    >>> split_words("Don't you know l'histoire ?")
    ["don't", 'you', 'know', "l'", 'histoire', '?']
    """
    text = unicodedata.normalize('NFKC', sentence).translate(_APOSTROPHES).lower()
    text = ''.join(
        char for char in text if unicodedata.category(char) not in ('Cf', 'Cc') or char.isspace()
    )
    return _WORD.findall(text)


def join_words(tokens: Iterable[str]) -> str:
    """Join words and punctuation marks to a sentence, without superfluous spaces.

    Examples
    --------
    >>> join_words(["l'", 'histoire', ',', "j'", 'y', 'crois', '!'])
    "l'histoire, j'y crois !"
    """
    return re.sub(r"(?<=\b\w') | (?=[.,](?: |$))|(?<=\b\w\w') ", '', ' '.join(tokens))


def split_opengenus(sentence: str) -> list[str]:
    """Split a sentence into lower-case words without punctuation, as the OpenGenus article does.

    Examples
    --------
    >>> split_opengenus("I'm OK, you see!")
    ['im', 'ok', 'you', 'see']
    """
    return re.sub(r'[^\w\s]|_', '', sentence.lower()).split()
