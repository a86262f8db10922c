"""CITATION.cff, which forges and reference managers read."""

import pytest

from d2l_seq2seq import __version__

from conftest import ROOT


@pytest.fixture(scope='module')
def citation():
    yaml = pytest.importorskip('yaml')
    return yaml.safe_load((ROOT / 'CITATION.cff').read_text(encoding='utf-8'))


def test_the_version_is_the_packages(citation):
    assert citation['version'] == __version__


def test_it_has_what_the_format_requires(citation):
    assert citation['cff-version'] == '1.2.0' and citation['message'] and citation['title']
    assert citation['authors'] == [{'name': 'the d2l_seq2seq developers'}]


def test_the_book_is_a_reference(citation):
    (book,) = citation['references']
    assert (book['type'], book['title']) == ('book', 'Dive into Deep Learning')
    assert {'Zhang', 'Lipton', 'Li', 'Smola'} == {
        author['family-names'] for author in book['authors']
    }


def test_the_license_is_the_packages(citation):
    settings = (ROOT / 'setup.cfg').read_text(encoding='utf-8')
    assert f'license = {citation["license"]}\n' in settings
