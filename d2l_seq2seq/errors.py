"""Errors that the user can fix, and a check of values that were read from a file.

`InputError` stands for mistakes that the user can fix, in options, files or settings.  The commands
print it in one line and exit with 2.  Any other exception that ends a command is a bug and keeps
its traceback.
"""

from __future__ import annotations

from typing import Any, Mapping


class InputError(ValueError):
    """Bad input, described in one line for the person who gave it.

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
        super().__init__(problem, hint)
        self.problem = problem
        self.hint = hint

    def __str__(self) -> str:
        return f'{self.problem}. {self.hint}' if self.hint else self.problem

    def within(self, place: object) -> InputError:
        """Return the same error with the name of a file, folder or option before the problem."""
        return InputError(f'{place}: {self.problem}', self.hint)


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
