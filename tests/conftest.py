"""Fixtures of all tests: the corpora, seeds that can be replayed, no network."""

import os
import random
from pathlib import Path

import pytest

ROOT = Path(__file__).resolve().parents[1]
# It imports TensorFlow, which is in another environment; pytest looks for doctests in each module.
collect_ignore = ['peer_tensorflow_addons.py']
_SHARED_DATA = ROOT.parent / 'shared' / 'data'
if _SHARED_DATA.exists():
    os.environ.setdefault('D2L_SEQ2SEQ_DATA', str(_SHARED_DATA))


@pytest.fixture(autouse=True)
def no_network(monkeypatch, tmp_path):
    """Send the download to a local port where nothing listens, and use an empty cache.

    Also fix the number of threads, which a command that is called in this process would choose.
    """
    import pooch

    from d2l_seq2seq.book import fra_eng

    monkeypatch.setattr(fra_eng, 'FRA_ENG_URL', 'http://127.0.0.1:9/fra-eng.zip')
    monkeypatch.setattr(pooch, 'os_cache', lambda project: tmp_path / 'cache' / project)
    monkeypatch.setenv('OMP_NUM_THREADS', '1')


@pytest.fixture
def seed(request):
    """Draw a seed for this test and seed both generators; MXNET_TEST_SEED replays one."""
    from d2l_seq2seq._mxnet import seed_generators

    value = int(os.environ.get('MXNET_TEST_SEED', random.randrange(2**31)))
    seed_generators(value)
    request.node.user_properties.append(('seed', value))
    return value


@pytest.hookimpl(hookwrapper=True)
def pytest_runtest_makereport(item, call):
    report = (yield).get_result()
    if report.failed:
        for _name, value in item.user_properties:
            report.sections.append(('replay', f'MXNET_TEST_SEED={value}'))


@pytest.fixture(scope='session')
def fra_eng():
    """Return the book's corpus, for tests of the figures that the book prints."""
    from d2l_seq2seq.data.corpus import read_corpus

    if 'D2L_SEQ2SEQ_DATA' not in os.environ:
        pytest.skip(
            "the book's corpus is not available: set D2L_SEQ2SEQ_DATA to a copy of fra-eng.zip"
        )
    return read_corpus('fra-eng')


@pytest.fixture(scope='session')
def bundled():
    """Return the corpus that comes with the package."""
    from d2l_seq2seq.data.corpus import read_corpus

    return read_corpus('bundled')


@pytest.fixture(params=['fra_eng', 'bundled'])
def corpus(request):
    """Return each of the two corpora in turn."""
    return request.getfixturevalue(request.param)


@pytest.fixture
def held_out_run(bundled):
    """Return an untrained run on a few pairs, some of them held out, and its data."""
    from d2l_seq2seq import DataConfig, ModelConfig, RunConfig
    from d2l_seq2seq._mxnet import npx
    from d2l_seq2seq.data.pipeline import encode_corpus
    from d2l_seq2seq.training.trainer import new_model

    config = RunConfig(DataConfig(num_examples=200, held_out=0.2, min_freq=1), ModelConfig(8, 8, 1))
    data = encode_corpus(config.data, bundled)
    return new_model(config, data, npx.cpu()), data
