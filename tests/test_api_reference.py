"""The API reference in docs/api: every public name is in it, and has a docstring worth showing."""

import importlib
import inspect
import re
from dataclasses import fields

import pytest

import d2l_seq2seq
from d2l_seq2seq import book

from conftest import ROOT

PAGES = sorted((ROOT / 'docs' / 'api').glob('*.md'))
TEXT = '\n'.join(page.read_text(encoding='utf-8') for page in PAGES)
DIRECTIVES = re.findall(r'^::: (\S+)$', TEXT, re.MULTILINE)
# Their docstrings are d2l's, and the page of the book names them.
HELPERS = set(book._D2L_NAMES)
OURS = sorted(
    {('d2l_seq2seq', name) for name in d2l_seq2seq.__all__ if name not in HELPERS}
    | {('d2l_seq2seq.book', name) for name in book.__all__ if name not in HELPERS}
)


def resolve(path):
    """Return the object of a dotted name, such as d2l_seq2seq.engine.fit.fit."""
    module, _, name = path.rpartition('.')
    return getattr(importlib.import_module(module), name)


def object_of(module, name):
    value = getattr(importlib.import_module(module), name)
    return inspect.unwrap(value)  # train_s2s_ch9 and others are wrapped


@pytest.mark.parametrize('module, name', OURS)
def test_every_public_name_is_in_the_reference(module, name):
    value = object_of(module, name)
    assert f'{value.__module__}.{value.__name__}' in DIRECTIVES


@pytest.mark.parametrize('name', sorted(HELPERS))
def test_helpers_of_d2l_are_named(name):
    assert f'`{name}`' in TEXT


@pytest.mark.parametrize('path', DIRECTIVES)
def test_every_entry_exists_and_is_documented(path):
    value = inspect.unwrap(resolve(path))
    text = inspect.getdoc(value)
    assert text, 'no docstring'
    assert re.match(r'[A-Z`].*\.$', text.splitlines()[0]), 'a summary is one sentence'
    names = documented(text)
    assert set(parameters(value)) <= names, f'{path}: {set(parameters(value)) - names}'
    if inspect.isfunction(value) and returns(value) and not text.startswith('Return '):
        assert re.search(r'^(Returns|Yields)\n-+$', text, re.MULTILINE)


@pytest.mark.parametrize('path', DIRECTIVES)
def test_public_methods_are_documented(path):
    value = resolve(path)
    if inspect.isclass(value):
        for name, member in vars(value).items():
            if inspect.isfunction(member) and not name.startswith('_') and name != 'forward':
                assert inspect.getdoc(getattr(value, name)), f'{path}.{name}'


def test_no_entry_is_there_twice():
    assert len(DIRECTIVES) == len(set(DIRECTIVES))


def test_every_page_is_in_the_navigation():
    navigation = (ROOT / 'mkdocs.yml').read_text(encoding='utf-8')
    pages = [path.relative_to(ROOT / 'docs').as_posix() for path in (ROOT / 'docs').rglob('*.md')]
    assert [page for page in pages if f' {page}\n' not in navigation] == []


def parameters(value):
    """Return the names of the parameters that a docstring has to explain."""
    if inspect.isclass(value) and not {'__init__', '__new__'} & set(vars(value)):
        return
    if hasattr(value, '__dataclass_fields__') and 'help' in next(iter(fields(value))).metadata:
        assert all(field.metadata['help'] for field in fields(value))  # shown by docs/site
        return
    for parameter in inspect.signature(value).parameters.values():
        if parameter.kind not in (parameter.VAR_KEYWORD, parameter.VAR_POSITIONAL):
            yield parameter.name


def documented(text):
    """Return the names in the sections of a docstring that list names."""
    names = set()
    for section in re.findall(
        r'^(?:Parameters|Attributes)\n-+\n(.*?)(?=^\w[\w ]*\n-+\n|\Z)', text, re.M | re.S
    ):
        for line in re.findall(r'^(\w[\w, *]*?)(?: : .*)?$', section, re.MULTILINE):
            names.update(part.strip('* ') for part in line.split(','))
    return names


def returns(value):
    annotation = inspect.signature(value).return_annotation
    return annotation not in (inspect.Signature.empty, None, 'None')
