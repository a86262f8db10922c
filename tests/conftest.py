"""What the tests share: the real corpus where it is, drawn seeds, no network."""

import os
import random
from pathlib import Path

import pytest

ROOT = Path(__file__).resolve().parents[1]
_SHARED_DATA = ROOT.parent / 'shared' / 'data'
if _SHARED_DATA.exists():
    os.environ.setdefault('D2L_SEQ2SEQ_DATA', str(_SHARED_DATA))


@pytest.fixture(autouse=True)
def no_network(monkeypatch, tmp_path):
    """The download goes to a port of this machine where nothing listens; the cache is empty.

    And a command that is called in this process leaves no choice of threads behind.
    """
    import pooch

    from d2l_seq2seq.book import fra_eng

    monkeypatch.setattr(fra_eng, 'FRA_ENG_URL', 'http://127.0.0.1:9/fra-eng.zip')
    monkeypatch.setattr(pooch, 'os_cache', lambda project: tmp_path / 'cache' / project)
    monkeypatch.setenv('OMP_NUM_THREADS', '1')  # a command that is called in here chooses nothing


@pytest.fixture
def seed(request):
    """A seed drawn for this test, put into both generators; MXNET_TEST_SEED replays one."""
    from d2l_seq2seq._mxnet import seed_generators

    value = int(os.environ.get('MXNET_TEST_SEED', random.randrange(2**31)))
    seed_generators(value)
    request.node.user_properties.append(('seed', value))
    return value


@pytest.hookimpl(hookwrapper=True)
def pytest_runtest_makereport(item, call):
    report = (yield).get_result()
    if report.failed:
        for name, value in item.user_properties:
            report.sections.append(('replay', f'MXNET_TEST_SEED={value}'))


@pytest.fixture(scope='session')
def fra_eng():
    """The book's corpus, for tests of the figures that the book prints."""
    from d2l_seq2seq.data.corpus import read_corpus

    if 'D2L_SEQ2SEQ_DATA' not in os.environ:
        pytest.skip('the real corpus is not here: let D2L_SEQ2SEQ_DATA name a copy of fra-eng.zip')
    return read_corpus('fra-eng')


@pytest.fixture(scope='session')
def bundled():
    """The corpus that comes with the package."""
    from d2l_seq2seq.data.corpus import read_corpus

    return read_corpus('bundled')


@pytest.fixture(params=['fra_eng', 'bundled'])
def corpus(request):
    """Each of the two corpora in turn."""
    return request.getfixturevalue(request.param)
