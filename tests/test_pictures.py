"""The pictures of the documentation: all are made by a notebook, none is pasted."""

import re

import pytest
from test_notebooks import notebooks

from conftest import ROOT
from documentation_blocks import PAGES

PICTURE = re.compile(r'!\[[^\]]*\]\(([^)\s]+\.(?:svg|png|jpe?g|gif))\)')


def shown_pictures():
    """Return the files that the pages show."""
    for page in PAGES:
        for path in PICTURE.findall(page.read_text(encoding='utf-8')):
            if '://' not in path:
                yield (page.parent / path).resolve()


def made_pictures():
    """Return the files that executing the notebooks makes."""
    return {
        notebooks.PICTURES / name
        for source in notebooks.SOURCES
        for name in notebooks.picture_names(notebooks.read_source(source))
    }


def test_each_picture_that_is_shown_is_made():
    assert set(shown_pictures()) <= made_pictures()


@pytest.mark.parametrize('path', sorted((ROOT / 'notebooks' / 'pictures').iterdir()))
def test_each_picture_is_made(path):
    assert path in made_pictures()
