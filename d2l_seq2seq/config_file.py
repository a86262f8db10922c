"""Files of settings for ``--config``: JSON, such as the ``config.json`` of a run, TOML or YAML.

A file has the names of the configuration's fields, at the top level or in sections of any name,
such as ``[data]``, ``[model]`` and ``[training]``.  Words that an option accepts, such as ``all``
and ``none``, mean the same in a file.
"""

from __future__ import annotations

import contextlib
import dataclasses
import importlib
import json
import sys
from pathlib import Path
from typing import Any, Callable, Iterable

from .errors import InputError, suggestion
from .fields import FLAG


def read_settings(path: str, config_classes: Iterable[type]) -> dict[str, Any]:
    """Read a file of settings.

    Parameters
    ----------
    path : str
        A file whose name ends with .json, .toml, .yaml or .yml.
    config_classes : iterable of type
        The configurations whose fields may be set.

    Returns
    -------
    dict of str to Any
        The values by field name, each of them in the domain of its field.

    Raises
    ------
    InputError
        If the file cannot be read, a name is unknown or given twice, or a value is outside of the
        domain of its field.
    """
    try:
        return _checked(_parse(Path(path)), config_classes)
    except InputError as error:
        raise error.within(f'--config {path}') from error


def _parse(path: Path) -> Any:
    """Return the contents of the file."""
    suffix = path.suffix.lower()
    if suffix not in _PARSERS:
        raise InputError('expected a file that ends with .json, .toml or .yaml')
    parse = _PARSERS[suffix]()
    try:
        return parse(path.read_text(encoding='utf-8'))
    except OSError as error:
        raise InputError(f'cannot be read ({error.strerror})') from None
    except (ValueError, RecursionError) as error:  # the errors of JSON and TOML are ValueErrors
        raise InputError(
            f'not valid {suffix[1:].upper()} ({" ".join(str(error).split())})'
        ) from None


def _json_parser() -> Callable[[str], Any]:
    return json.loads


def _toml_parser() -> Callable[[str], Any]:
    name = 'tomllib' if sys.version_info >= (3, 11) else 'tomli'
    return _library(name, 'tomli').loads


def _yaml_parser() -> Callable[[str], Any]:
    yaml = _library('yaml', 'pyyaml')

    def parse(text: str) -> Any:
        try:
            return yaml.safe_load(text)
        except yaml.YAMLError as error:
            raise ValueError(error) from None

    return parse


def _library(name: str, package: str) -> Any:
    """Import a library that not every installation has."""
    try:
        return importlib.import_module(name)
    except ImportError:
        raise InputError(f'needs the package {package}', f'Type: pip install {package}') from None


_PARSERS = {
    '.json': _json_parser,
    '.toml': _toml_parser,
    '.yaml': _yaml_parser,
    '.yml': _yaml_parser,
}


def _checked(contents: Any, config_classes: Iterable[type]) -> dict[str, Any]:
    """Return the values by field name."""
    fields = {}
    for config_class in config_classes:
        for field in dataclasses.fields(config_class):
            fields[field.metadata.get('option') or field.name] = field
            fields[field.name] = field
    values: dict[str, Any] = {}
    for name, value in _pairs(contents):
        if name not in fields:
            hint = 'The names are those of the options of train, with _ in place of -.'
            raise InputError(f'unknown setting {name}{suggestion(name, fields)}', hint)
        field = fields[name]
        if field.name in values:
            raise InputError(f'{name}: given twice')
        values[field.name] = _value(field, value)
    return values


def _pairs(contents: Any) -> list[tuple[str, Any]]:
    """Return the names and values of all sections and of the top level."""
    if not isinstance(contents, dict):
        raise InputError('expected names and values')
    pairs: list[tuple[str, Any]] = []
    for name, value in contents.items():
        pairs += value.items() if isinstance(value, dict) else [(name, value)]
    return [(str(name), value) for name, value in pairs]


def _value(field: dataclasses.Field, value: Any) -> Any:
    """Return a value of the file as a value of the field; a text is read like an option's."""
    domain = field.metadata['domain']
    if isinstance(value, str) and domain is not FLAG:
        with contextlib.suppress(ValueError):  # the check below has the message
            value = domain.parse(value)
    domain.check(field.name, value)
    return value
