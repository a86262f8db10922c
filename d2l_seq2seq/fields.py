"""What a configuration's field is: its default, its help text, and the values that it accepts.

A set of values has a name and a test, and knows how a word of the command line is read.
"""

from __future__ import annotations

import dataclasses
import math
import re
from dataclasses import dataclass
from typing import Any, Callable

from .errors import InputError


@dataclass(frozen=True)
class Domain:
    """A set of values: how a word of the command line is read, and which values belong to it."""

    description: str
    parse: Callable[[str], Any]
    contains: Callable[[Any], bool]

    def check(self, name: str, value: Any) -> None:
        """Raise `InputError` unless `value` belongs to the set."""
        if not self.contains(value):
            raise InputError(f'{name}: expected {self.description}, got {repr(value)[:100]}')


def _is_whole(value: Any) -> bool:
    return isinstance(value, int) and not isinstance(value, bool)


def _is_finite(value: Any) -> bool:
    return isinstance(value, (int, float)) and not isinstance(value, bool) and math.isfinite(value)


def whole(least: int, most: int | None = None) -> Domain:
    """Whole numbers from `least` to `most`, both included."""
    limits = f'of at least {least}' if most is None else f'from {least} to {most}'
    return Domain(
        f'a whole number {limits}',
        int,
        lambda value: _is_whole(value) and least <= value <= (math.inf if most is None else most),
    )


def one_of(*words: str) -> Domain:
    """Some words."""
    return Domain(f'one of {", ".join(words)}', str, lambda value: value in words)


# The largest sizes: a configuration from a stranger must not make a process run out of memory.
SIZE = whole(1, 1 << 16)
LAYERS = whole(1, 10)  # MXNet 1.9.1 finds the weights of ten
STEPS = whole(2, 10_000)
COUNT = whole(1, 10**9)
WORD = Domain('a word', str, lambda value: isinstance(value, str) and value != '')
_DEVICE = r'(auto|(cpu|gpu)(\(\d+\))?)'
DEVICES = Domain(
    'auto, cpu, cpu(N), gpu or gpu(N), or several with commas between',
    str,
    lambda value: (
        isinstance(value, str) and re.fullmatch(f'{_DEVICE}( *, *{_DEVICE})*', value) is not None
    ),
)
POSITIVE = Domain('a number above 0', float, lambda value: _is_finite(value) and value > 0)
EXPONENT = Domain(
    "a number from 0 to 10, or 'auto'",
    lambda text: None if text == 'auto' else float(text),
    lambda value: value is None or (_is_finite(value) and 0 <= value <= 10),
)
TEMPERATURE = Domain(
    'a number from 0.001 to 1000', float, lambda value: _is_finite(value) and 0.001 <= value <= 1000
)
PROBABILITY = Domain(
    'a number from 0 up to, not including, 1',
    float,
    lambda value: _is_finite(value) and 0 <= value < 1,
)
FRACTION = Domain(
    'a number from 0 to 1', float, lambda value: _is_finite(value) and 0 <= value <= 1
)
FLAG = Domain('true or false', bool, lambda value: isinstance(value, bool))
POSITIVE_OR_NONE = Domain(
    "a number above 0, or 'none'",
    lambda text: None if text == 'none' else float(text),
    lambda value: value is None or (_is_finite(value) and value > 0),
)
SHARE = Domain(
    'a number from 0 to 0.4', float, lambda value: _is_finite(value) and 0 <= value <= 0.4
)


def count_or(word: str) -> Domain:
    """Whole numbers from 1, or None, which has a word on the command line."""
    return Domain(
        f"a whole number of at least 1, or '{word}'",
        lambda text: None if text == word else int(text),
        lambda value: value is None or (_is_whole(value) and value >= 1),
    )


def field(default: Any, domain: Domain, help: str, may_change: bool = False) -> Any:
    """A dataclass field that carries what the command line needs to know of it.

    One that `may_change` doesn't touch what is learned, so a run can be gone on with another value.
    """
    return dataclasses.field(
        default=default, metadata={'domain': domain, 'help': help, 'may_change': may_change}
    )


class Checked:
    """Refuses a field's value outside of its domain, whoever gives it."""

    def __post_init__(self):
        for own in dataclasses.fields(self):
            own.metadata['domain'].check(own.name, getattr(self, own.name))
