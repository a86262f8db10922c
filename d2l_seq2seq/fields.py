"""The fields of a configuration: default, help text, and the set of values that each accepts.

A set of values is a `Domain`: it has a description and a test, and it parses an argument of the
command line.  The same check applies to the command line, a configuration file and a call from
Python.
"""

from __future__ import annotations

import dataclasses
import math
import re
from dataclasses import dataclass
from typing import Any, Callable

from .errors import InputError

# Of float32, in which MXNet computes; it refuses numbers that are closer to 0, but not 0.
LEAST_FLOAT, GREATEST_FLOAT = 2.0**-126, (2 - 2.0**-23) * 2.0**127


@dataclass(frozen=True)
class Domain:
    """A set of values, with its description, a parser and a test of membership."""

    description: str
    parse: Callable[[str], Any]
    contains: Callable[[Any], bool]
    none_word: str | None = None  # the word for None on the command line
    words: tuple[str, ...] = ()  # the values, if they are a few words

    def check(self, name: str, value: Any) -> None:
        """Raise `InputError` unless `value` belongs to the set."""
        if not self.contains(value):
            raise InputError(f'{name}: expected {self.instead_of(value)}, got {repr(value)[:100]}')

    def instead_of(self, value: Any) -> str:
        """Return the description, with a remark if a number is too large or too small."""
        if not isinstance(value, float) or not math.isfinite(value) or _is_float32(value):
            return self.description
        return f'{self.description}, in the range of float32 (1.2e-38 to 3.4e38)'


def whole(least: int, most: int | None = None) -> Domain:
    """Return the whole numbers from `least` to `most`, both included."""
    limits = f'of at least {least}' if most is None else f'from {least} to {most}'
    upper = math.inf if most is None else most
    return Domain(
        f'a whole number {limits}', int, lambda value: _is_whole(value) and least <= value <= upper
    )


def numbers(description: str, contains: Callable[[float], bool]) -> Domain:
    """Return the numbers in the range of float32 for which `contains` is true."""
    return Domain(description, float, lambda value: _is_float32(value) and contains(value))


def one_of(*words: str) -> Domain:
    """Return a set of words."""
    return Domain(f'one of {", ".join(words)}', str, lambda value: value in words, words=words)


def optional(domain: Domain, none_word: str) -> Domain:
    """Return a set with None added, which is written `none_word` on the command line."""
    return Domain(
        f"{domain.description}, or '{none_word}'",
        lambda text: None if text == none_word else domain.parse(text),
        lambda value: value is None or domain.contains(value),
        none_word,
    )


def _is_whole(value: Any) -> bool:
    return isinstance(value, int) and not isinstance(value, bool)


def _is_float32(value: Any) -> bool:
    """Return whether a value is 0 or a normal number of float32, before it is rounded to one."""
    if isinstance(value, bool) or not isinstance(value, (int, float)):
        return False
    return value == 0 or LEAST_FLOAT <= abs(value) <= GREATEST_FLOAT


# Sizes have upper limits, so that an untrusted configuration cannot exhaust the memory.
SIZE = whole(1, 1 << 16)
LAYERS = whole(1, 10)  # MXNet 1.9.1 supports ten layers
STEPS = whole(2, 10_000)
COUNT = whole(1, 10**9)
MAX_LENGTH = 10_000  # tokens of a translation
LENGTH = whole(1, MAX_LENGTH)
WORD = Domain('a text that is not empty', str, lambda value: isinstance(value, str) and value != '')
FLAG = Domain('true or false', bool, lambda value: isinstance(value, bool))
POSITIVE = numbers('a number above 0', lambda value: value > 0)
POSITIVE_OR_NONE = optional(POSITIVE, 'none')
FRACTION = numbers('a number from 0 to 1', lambda value: 0 <= value <= 1)
PROBABILITY = numbers('a number of at least 0 and below 1', lambda value: 0 <= value < 1)
HELD_OUT = numbers('a number from 0 to 0.4', lambda value: 0 <= value <= 0.4)
TEMPERATURE = numbers('a number from 0.001 to 1000', lambda value: 0.001 <= value <= 1000)
EXPONENT = optional(numbers('a number from 0 to 10', lambda value: 0 <= value <= 10), 'auto')
_DEVICE = r'(auto|(cpu|gpu)(\(\d+\))?)'
DEVICES = Domain(
    'auto, cpu, cpu(N), gpu or gpu(N), or several separated by commas',
    str,
    lambda value: (
        isinstance(value, str) and re.fullmatch(f'{_DEVICE}( *, *{_DEVICE})*', value) is not None
    ),
)


def field(
    default: Any,
    domain: Domain,
    help: str,
    may_change: bool = False,
    option: str | None = None,
) -> Any:
    """Return a dataclass field with the metadata that the command line needs.

    Parameters
    ----------
    default : Any
    domain : Domain
        The values that the field accepts.
    help : str
        The help text for ``-h``.
    may_change : bool
        If True, a run may be resumed with another value, because the value does not affect what is
        learned.
    option : str, optional
        The name of the option on the command line, if it is not the name of the field.
    """
    metadata = {'domain': domain, 'help': help, 'may_change': may_change, 'option': option}
    return dataclasses.field(default=default, metadata=metadata)


class Checked:
    """A base class for dataclasses that reject a value outside the domain of its field."""

    def __post_init__(self):
        for checked in dataclasses.fields(self):
            checked.metadata['domain'].check(checked.name, getattr(self, checked.name))
