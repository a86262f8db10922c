"""The page that lists both documents: it is complete, and what it names exists."""

import collections
import importlib
import re

import nbformat
import pytest

from conftest import ROOT

PAGE = ROOT / 'docs' / 'both-documents.md'
TEXT = PAGE.read_text(encoding='utf-8')
LINK = re.compile(r'\[([^\]]+)\]\(([^)]+)\)')
NOTEBOOK_LINK = re.compile(r'(\w+), \[([^\]]+)\]\((\.\./notebooks/(\w+)\.ipynb)\)')
DEFINITIONS = re.compile(r'((?:`\w+`, )*`\w+`) in \[([\w/.]+)\]\(\.\./d2l_seq2seq/\2\)')
CHAPTER, ARTICLE = 'Section 9.7 of the book', 'The OpenGenus article'
# The numbers of what can be counted in the documents.
COUNTS = {
    CHAPTER: {'Code': 14, 'Equation': 4, 'Exercise': 3, 'Figure': 3, 'Output': 9},
    ARTICLE: {'Code': 8, 'Equation': 1, 'Figure': 3, 'Output': 1},
}


def rows(document):
    """Return the cells of each row of the tables on a document, without the headers."""
    (text,) = re.findall(rf'^## {document}\n(.*?)(?=^## |\Z)', TEXT, re.MULTILINE | re.DOTALL)
    cells = [
        [cell.strip() for cell in line[1:-1].split('|')]
        for line in text.splitlines()
        if line.startswith('|') and line.endswith('|')
    ]
    return [row for row in cells if row[1] not in ('here', '---')]


def headings(path):
    """Return the headings of a notebook."""
    return {
        heading
        for cell in nbformat.read(path, as_version=4).cells
        if cell.cell_type == 'markdown'
        for heading in re.findall(r'^#+ (.*)', cell.source, re.MULTILINE)
    }


@pytest.mark.parametrize('document', COUNTS)
def test_every_row_says_where(document):
    assert len(rows(document)) > 40
    for row in rows(document):
        what, where = row
        assert re.match(r'(Claim|Code|Equation|Exercise|Figure|Output)[^:]*: \S', what)
        assert LINK.search(where), f'{what} has no place'


@pytest.mark.parametrize('document', COUNTS)
def test_no_equation_figure_output_or_exercise_is_missing(document):
    kinds = collections.Counter(re.match(r'\w+', what)[0] for what, where in rows(document))
    del kinds['Claim']
    assert kinds == COUNTS[document]


def test_no_row_occurs_twice():
    for document in COUNTS:
        counts = collections.Counter(what for what, where in rows(document))
        assert max(counts.values()) == 1, counts.most_common(1)


def anchors(page):
    """Return the anchors of the headings of a Markdown page, as a forge makes them."""
    lines = re.findall(r'^#+ (.*)', page.read_text(encoding='utf-8'), re.MULTILINE)
    return {re.sub(r'[^\w -]', '', line).lower().replace(' ', '-') for line in lines}


def test_linked_files_and_pages_exist():
    targets = {target for text, target in LINK.findall(TEXT)}
    assert targets
    for target in targets:
        path, _, anchor = target.partition('#')
        assert (PAGE.parent / path).exists(), target
        assert not anchor or anchor in anchors(PAGE.parent / path), target


def test_linked_headings_exist():
    links = NOTEBOOK_LINK.findall(TEXT)
    assert len(links) == TEXT.count('.ipynb)') > 0
    existing = {path: headings(PAGE.parent / path) for _, _, path, _ in links}
    for number, heading, path, name in links:
        assert name.startswith(f'{number}_')
        assert heading in existing[path], f'{path} has no heading {heading!r}'


def test_named_definitions_exist():
    named = DEFINITIONS.findall(TEXT)
    assert named
    for names, path in named:
        module = importlib.import_module('d2l_seq2seq.' + path[: -len('.py')].replace('/', '.'))
        for name in re.findall(r'\w+', names):
            assert getattr(module, name).__module__ == module.__name__
