"""Errors that the user can fix, and a check of values that were read from a file.

`InputError` stands for mistakes that the user can fix, in options, files or settings.  The commands
print it in one line and exit with 2.  Any other exception that ends a command is a bug and keeps
its traceback.

A message often contains text from a file, which may hold anything.  `one_line` makes it printable.
"""

from __future__ import annotations

import difflib
import re
import shlex
from typing import Any, Iterable, Mapping

MAX_PROBLEM, MAX_HINT = 1000, 5000  # characters; a hint may contain two long paths
# Characters that do not stand for themselves in a line: control characters, line separators, and
# halves of surrogate pairs, which have no encoding.
CONTROL = re.compile('[\x00-\x1f\x7f-\x9f\u2028\u2029\ud800-\udfff]')
# A terminal would also obey the marks that change the order in which letters are displayed.
_ESCAPED = re.compile(f'{CONTROL.pattern}|[\u202a-\u202e\u2066-\u2069]')


def one_line(text: object, limit: int = MAX_HINT) -> str:
    r"""Return a text as it can be printed in one line, whatever it contains.

    Control characters, line breaks and others that a terminal obeys are escaped as in a Python
    literal, and the middle of a long text is left out.

    Parameters
    ----------
    text : object
        It is converted with `str`.
    limit : int
        Maximum number of characters of the result.

    Examples
    --------
    >>> print(one_line('a line\nand an \x1b[31mescape'))
    a line\nand an \x1b[31mescape
    >>> one_line('abcdefghijklmnopqrstuvwxyz', 15)
    'abcde ... vwxyz'
    """
    escaped = _ESCAPED.sub(lambda match: ascii(match[0])[1:-1], str(text))
    if len(escaped) <= limit:
        return escaped
    half = (limit - len(' ... ')) // 2
    return f'{escaped[:half]} ... {escaped[-half:]}'


def shell_quote(word: object) -> str:
    r"""Return a text as one word of a shell command, in printable characters.

    Parameters
    ----------
    word : object
        Usually a path; it is converted with `str`.  Bytes that are not UTF-8 and control characters
        are escaped in the form ``$'...'`` of bash and zsh.

    Examples
    --------
    >>> import os
    >>> print(shell_quote('my run'), shell_quote(os.fsdecode(b'caf\xe9')))
    'my run' $'caf\xe9'
    """
    text = str(word)
    if not _ESCAPED.search(text):
        return shlex.quote(text)
    escaped = ''.join(
        chr(byte) if 32 <= byte < 127 and chr(byte) not in "\\'" else f'\\x{byte:02x}'
        for byte in text.encode('utf-8', 'surrogateescape')
    )
    return f"$'{escaped}'"


class InputError(ValueError):
    """Bad input, described in one line for the person who gave it.

    Both texts are made printable by `one_line`.

    Parameters
    ----------
    problem : str
        What is wrong, without a full stop at the end: ``runs/x: not a run folder``.
    hint : str
        What to do about it, in complete sentences: ``Pass the folder that train wrote.``  A shell
        command comes last and without a full stop, so that it can be copied: ``Type: rm x``

    Examples
    --------
    >>> print(InputError('runs/x: not a run folder', 'Pass the folder that train wrote.'))
    runs/x: not a run folder. Pass the folder that train wrote.
    """

    def __init__(self, problem: str, hint: str = ''):
        self.problem, self.hint = one_line(problem, MAX_PROBLEM), one_line(hint, MAX_HINT)
        super().__init__(self.problem, self.hint)

    def __str__(self) -> str:
        return f'{self.problem}. {self.hint}' if self.hint else self.problem

    def within(self, place: object) -> InputError:
        """Return the same error with the name of a file, folder or option before the problem."""
        return InputError(f'{place}: {self.problem}', self.hint)


def suggestion(word: str, words: Iterable[str]) -> str:
    """Return the question whether the most similar of some words was meant, or an empty text."""
    similar = difflib.get_close_matches(word, list(words), n=1, cutoff=0.75)
    return f'; did you mean {similar[0]}?' if similar else ''


def check_types(values: Any, types: Mapping[str, Any]) -> None:
    """Check the fields of an object that was read from JSON.

    Parameters
    ----------
    values : Any
        The object, which should be a dict.
    types : mapping of str to type or tuple of types
        The expected type of each field.  An int is accepted for a float; a bool is neither.

    Raises
    ------
    ValueError
        If `values` is not a dict, or a field is missing or of another type.
    """
    for name, expected in types.items():
        value = values.get(name, ...) if isinstance(values, dict) else ...
        if expected is float:
            expected = (int, float)
        if isinstance(value, bool) or not isinstance(value, expected):
            raise ValueError(f'{name}: {str(value)[:40]!r}')
