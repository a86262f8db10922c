"""The code blocks of the documentation, and how each of them is tested.

A page is README.md or a Markdown file in docs/.  The language of a fenced block says what it is:

- ``sh``: commands to type, run in a new folder of the page, in the order of the page;
- ``python``: code, which is run in one namespace per page; or an interactive session with ``>>>``;
- ``text``: the output of the block before it in the same section;
- ``json``, ``toml``, ``yaml``: a file.

A comment on the line before a block decides how it is tested.  Only ``none`` with a reason leaves a
block untested.

- no comment: run by `make test`, and its output is compared;
- ``<!-- test: small -->``: run with small settings by `make test`, as shown by `make test-slow`;
- ``<!-- test: small-only: REASON -->``: run with small settings only;
- ``<!-- test: slow -->``: run as shown by `make test-slow`;
- ``<!-- test: none: REASON -->``: not run, but its options must exist;
- ``<!-- test: file NAME -->``: a file that is written to the page's folder;
- ``<!-- test: listing -->``: a ``text`` that is not output.

``small`` and ``small-only`` accept replacements: ``small: num_epochs=300 -> num_epochs=1; a -> b``,
and ``small-only: REASON | a -> b``.  ``exit N``, alone or after a comma at the end, is the exit
code of a command that fails on purpose.  ``<!-- test: given: COMMAND -->``, anywhere on a page, is
a command that the page needs but does not show; it is run like a ``small`` block.
"""

from __future__ import annotations

import os
import re
from dataclasses import dataclass

from conftest import ROOT

PAGES = [
    ROOT / 'README.md',
    *sorted(path for path in (ROOT / 'docs').rglob('*.md') if path.parent.name != 'api'),
]
FILES = ('json', 'toml', 'yaml')
LANGUAGES = ('sh', 'python', 'text', *FILES)
_FENCE = re.compile(r'^( *)(```+|~~~+) *(\S*) *$')
_COMMENT = re.compile(r'^ *<!-- test: (.*?) -->\s*$')
_GIVEN = 'given: '
_DECISION = re.compile(
    r'(?:(?P<kind>small-only|small|slow|none|listing|file)(?:(?::| ) *(?P<rest>.*?))?)?'
    r'(?:(?:^|, *)exit (?P<exit>\d+))?$'
)


@dataclass
class Block:
    """A code block of a page.

    Parameters
    ----------
    place : str
        The page and the line.
    language, code : str
    kind : str
        run, small, small-only, slow, none, listing or file; given for a command that is not shown.
    detail : str
        The reason, or the name of the file.
    replacements : list of (str, str)
        Texts of the code, and what small settings have instead.
    exit_code : int
    output : str or None
        The output that the page shows.
    """

    place: str
    language: str
    code: str
    kind: str = 'run'
    detail: str = ''
    replacements: tuple = ()
    exit_code: int = 0
    output: str | None = None


def read_blocks(path) -> list[Block]:
    """Return the code blocks of a page; raise ValueError for one without a valid decision."""
    blocks: list[Block] = []
    lines = path.read_text(encoding='utf-8').splitlines()
    number, comment, last = 0, None, None
    while number < len(lines):
        line, place = lines[number], f'{os.path.relpath(path, ROOT)}:{number + 1}'
        number += 1
        opening = _FENCE.match(line)
        if opening:
            end = next(
                (
                    index
                    for index in range(number, len(lines))
                    if lines[index].strip() == opening[2]
                ),
                None,
            )
            if end is None:
                raise ValueError(f'{place}: the block is not closed')
            code = '\n'.join(
                text[len(opening[1]) :] if text.startswith(opening[1]) else text.lstrip()
                for text in lines[number:end]
            )
            number = end + 1
            block = _block(place, opening[3], code, comment)
            if block.language == 'text' and block.kind != 'listing':
                if last is None or last.output is not None:
                    raise ValueError(f'{place}: output, but of which block? Or is it a listing?')
                last.output = block.code
            else:
                blocks.append(block)
                if block.language in ('sh', 'python'):
                    last = block
            comment = None
            continue
        if comment is not None and not comment.startswith(_GIVEN):
            raise ValueError(f'{place}: expected a code block after "test: {comment}"')
        match = _COMMENT.match(line)
        comment = match[1] if match else None
        if comment is not None and comment.startswith(_GIVEN):
            blocks.append(Block(place, 'sh', comment[len(_GIVEN) :], 'given'))
            comment = None
        elif line.startswith('#'):
            last = None
    return blocks


def _block(place: str, language: str, code: str, comment: str | None) -> Block:
    if language not in LANGUAGES:
        raise ValueError(f'{place}: expected one of the languages {LANGUAGES}, got {language!r}')
    match = _DECISION.match(comment or '')
    if match is None:
        raise ValueError(f'{place}: "test: {comment}" is not known')
    block = Block(place, language, code, match['kind'] or 'run', (match['rest'] or '').strip())
    block.exit_code = int(match['exit'] or 0)
    if block.kind in ('small', 'small-only'):
        block.detail, bar, replacements = block.detail.rpartition('|')
        if block.kind == 'small-only' and not bar:
            block.detail, replacements = replacements, ''
        block.detail = block.detail.strip()
        block.replacements = tuple(
            _replacement(place, text, code) for text in replacements.split(';') if text.strip()
        )
    if block.kind in ('none', 'small-only') and len(block.detail.split()) < 2:
        raise ValueError(f'{place}: "{block.kind}" needs a reason')
    if block.kind == 'file' and not (block.detail and language in FILES):
        raise ValueError(f'{place}: "file" needs a name and a json, toml or yaml block')
    if language in FILES and block.kind not in ('file', 'run'):
        raise ValueError(f'{place}: a {language} block is a file, and is not run')
    if block.kind == 'listing' and language != 'text':
        raise ValueError(f'{place}: a listing is a text')
    return block


def _replacement(place: str, text: str, code: str) -> tuple:
    old, arrow, new = (part.strip() for part in text.partition('->'))
    if not arrow or old not in code:
        raise ValueError(f'{place}: {old!r} is not in the block')
    return old, new
