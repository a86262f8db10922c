"""What a run is made of: frozen dataclasses for data, model and training.

Every default stands here, once, and is the book's (d2l 0.14, section 9.7.4).  A field knows its
help text and which values it accepts, so the commands make their options from the fields, and the
same check guards the command line, a configuration file and a call from Python.
"""
from __future__ import annotations

import dataclasses
import math
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
            raise InputError(f'{name}: expected {self.description}, got {value!r}')


def _is_whole(value: Any) -> bool:
    return isinstance(value, int) and not isinstance(value, bool)


def _is_finite(value: Any) -> bool:
    return isinstance(value, (int, float)) and not isinstance(value, bool) and math.isfinite(value)


def _whole(least: int, most: int | None = None) -> Domain:
    """Whole numbers from `least` to `most`, both included."""
    limits = f'of at least {least}' if most is None else f'from {least} to {most}'
    return Domain(f'a whole number {limits}', int, lambda value: _is_whole(value) and
                  least <= value <= (math.inf if most is None else most))


_WORD = Domain('a word', str, lambda value: isinstance(value, str) and value != '')
_POSITIVE = Domain('a number above 0', float, lambda value: _is_finite(value) and value > 0)
_PROBABILITY = Domain('a number from 0 up to, not including, 1', float,
                      lambda value: _is_finite(value) and 0 <= value < 1)
_COUNT_OR_ALL = Domain("a whole number of at least 1, or 'all'",
                       lambda text: None if text == 'all' else int(text),
                       lambda value: value is None or (_is_whole(value) and value >= 1))


def _field(default: Any, domain: Domain, help: str) -> Any:
    """A dataclass field that carries what the command line needs to know of it."""
    return dataclasses.field(default=default, metadata={'domain': domain, 'help': help})


class _Checked:
    """Refuses a field's value outside of its domain, whoever gives it."""

    def __post_init__(self):
        for field in dataclasses.fields(self):
            field.metadata['domain'].check(field.name, getattr(self, field.name))


@dataclass(frozen=True)
class DataConfig(_Checked):
    """Which sentence pairs, and how they become batches."""

    corpus: str = _field('auto', _WORD, 'auto, fra-eng, bundled, FILE.tsv, or two files SRC,TGT')
    num_examples: int | None = _field(
        1000, _COUNT_OR_ALL, 'sentence pairs to train on, or all; like the book, one more is taken')
    batch_size: int = _field(64, _whole(1), 'sentence pairs in a batch')
    num_steps: int = _field(10, _whole(2), 'tokens a sentence is cut or padded to')


@dataclass(frozen=True)
class ModelConfig(_Checked):
    """The sizes of encoder and decoder, equal for both."""

    embed_size: int = _field(32, _whole(1), 'size of a word vector')
    num_hiddens: int = _field(32, _whole(1), 'hidden units of an LSTM layer')
    num_layers: int = _field(2, _whole(1), 'LSTM layers')
    dropout: float = _field(
        0.0, _PROBABILITY, 'dropout between LSTM layers; MXNet ignores it on a CPU')


@dataclass(frozen=True)
class TrainingConfig(_Checked):
    """How the model is trained."""

    lr: float = _field(0.005, _POSITIVE, 'learning rate of Adam')
    num_epochs: int = _field(300, _whole(1), 'passes over the training pairs')
    seed: int = _field(0, _whole(0, 2 ** 31 - 1), 'seed of initialization and shuffling')
    device: str = _field('auto', _WORD, 'auto, cpu, cpu(N), gpu or gpu(N)')


@dataclass(frozen=True)
class RunConfig:
    """All of a run's settings, as they stand in its ``config.json``."""

    data: DataConfig = DataConfig()
    model: ModelConfig = ModelConfig()
    training: TrainingConfig = TrainingConfig()

    def to_dict(self) -> dict:
        """A JSON object with one object for each part."""
        return dataclasses.asdict(self)

    @classmethod
    def from_dict(cls, values: Any) -> RunConfig:
        """The configuration that `to_dict` wrote.

        Raises
        ------
        InputError
            If a part or a field is unknown or missing, or a value is outside of its domain.
        """
        parts = {'data': DataConfig, 'model': ModelConfig, 'training': TrainingConfig}
        _check_keys('the configuration', values, parts)
        for name, part in parts.items():
            _check_keys(name, values[name], [field.name for field in dataclasses.fields(part)])
        return cls(**{name: part(**values[name]) for name, part in parts.items()})


def _check_keys(name: str, values: Any, expected) -> None:
    """Raise `InputError` unless `values` is an object with just the expected keys."""
    if not isinstance(values, dict) or set(values) != set(expected):
        found = ', '.join(sorted(values)) if isinstance(values, dict) else type(values).__name__
        raise InputError(f"{name}: expected the fields {', '.join(sorted(expected))}, got {found}")
