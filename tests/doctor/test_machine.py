"""What the machine is said to have, and every place at which the corpus may or may not be."""

import functools
import hashlib
import os
import re
import shutil
import sys
import threading
import time

import pooch
import pytest

from d2l_seq2seq.book import fra_eng
from d2l_seq2seq.data import corpus
from d2l_seq2seq.doctor import machine
from d2l_seq2seq.doctor.report import INFO, OK, WARNING

from local_server import TEXT, serving, zip_of


def only(check):
    """The one finding of a check."""
    (finding,) = check('subject')
    return finding


@pytest.fixture(autouse=True)
def small_fra_eng(monkeypatch):
    """Two pairs that count as the book's text, and no variable that names it."""
    monkeypatch.setattr(fra_eng, 'FRA_ENG_TEXT_SHA256', hashlib.sha256(TEXT.encode()).hexdigest())
    monkeypatch.delenv('D2L_SEQ2SEQ_DATA', raising=False)
    monkeypatch.setattr(machine, 'SECONDS_TO_REACH', 60)


# The corpus on the disk


def test_the_variable_names_the_corpus(monkeypatch, tmp_path):
    (tmp_path / 'fra.txt').write_bytes(TEXT.encode())
    monkeypatch.setenv('D2L_SEQ2SEQ_DATA', str(tmp_path))
    found = only(machine.check_corpus)
    assert found.severity == OK and found.text.endswith(f'D2L_SEQ2SEQ_DATA names: {tmp_path}')


@pytest.mark.parametrize(
    'named, data, text, remedy',
    [
        (
            'missing',
            None,
            'D2L_SEQ2SEQ_DATA names .*missing, which is not there',
            'correct it, or uns',
        ),
        ('.', None, 'D2L_SEQ2SEQ_DATA: expected .*fra-eng.zip or .*fra.txt, found neither', ''),
        (
            'fra.txt',
            b'other',
            'expected the text of the book.* got 5 bytes',
            'give a text of your own',
        ),
        (
            'fra-eng.zip',
            zip_of(TEXT).replace(b'PK\x03\x04', b'PK\x03\x00'),
            'the zip is damaged',
            '',
        ),
    ],
)
def test_the_variable_names_something_else(monkeypatch, tmp_path, named, data, text, remedy):
    if data is not None:
        (tmp_path / named).write_bytes(data)
    monkeypatch.setenv('D2L_SEQ2SEQ_DATA', str(tmp_path / named))
    found = only(machine.check_corpus)
    assert found.severity == WARNING and re.search(text, found.text)
    assert found.remedy.startswith(remedy)


def test_a_path_that_can_not_be_looked_at(monkeypatch):
    def refuse(path):
        raise PermissionError(13, 'Permission denied', str(path))

    monkeypatch.setenv('D2L_SEQ2SEQ_DATA', 'closed')
    monkeypatch.setattr(corpus, 'find_fra_eng', refuse)
    found = only(machine.check_corpus)
    assert found.severity == WARNING and found.text == 'closed can not be read (Permission denied)'


@pytest.fixture
def cache():
    """The place of the zip in the cache, its folder made."""
    path = fra_eng.cached_fra_eng()
    path.parent.mkdir(parents=True)
    return path


def test_the_cache_has_it(cache):
    cache.write_bytes(zip_of(TEXT))
    found = only(machine.check_corpus)
    assert (found.severity, found.text) == (OK, f"the book's, in the cache: {cache}")


@pytest.mark.parametrize('data', [b'', zip_of(TEXT)[:-40], zip_of('Go.\tVa.\n')])
def test_the_cache_is_damaged(cache, data):
    cache.write_bytes(data)
    found = only(machine.check_corpus)
    assert found.severity == WARNING and str(cache) in found.text
    assert found.remedy == f'type: rm {cache}'
    assert cache.read_bytes() == data  # a diagnosis mends nothing


# The corpus to be downloaded


def test_the_place_answers_and_nothing_is_kept(monkeypatch, tmp_path):
    def send_and_see_whether_all_is_wanted(server):
        assert server.headers['Range'] == 'bytes=0-3'
        server.send(zip_of(TEXT))

    with serving(send_and_see_whether_all_is_wanted) as (handler, url):
        monkeypatch.setattr(fra_eng, 'FRA_ENG_URL', url)
        found = only(machine.check_corpus)
    assert found.severity == OK and url in found.text
    assert handler.num_requests == 1 and list(tmp_path.iterdir()) == []


def test_a_file_of_any_size_is_not_downloaded(monkeypatch):
    """From a server that doesn't know ranges and never comes to an end."""

    def send_for_ever(server):
        server.send(zip_of(TEXT), length=10**12)
        try:
            while True:
                server.wfile.write(b'0' * 65536)
        except OSError:  # the other side has heard enough
            pass

    with serving(send_for_ever) as (handler, url):
        monkeypatch.setattr(fra_eng, 'FRA_ENG_URL', url)
        assert only(machine.check_corpus).severity == OK


UNREACHABLE = {
    'could not be downloaded (HTTP 404)': lambda server: server.send(b'not found', status=404),
    'could not be downloaded (HTTP 503)': lambda server: server.send(b'', status=503),
    'could not be downloaded (what comes is no zip)': lambda server: server.send(b'<html>log in'),
    'no zip': lambda server: server.send(b''),
    'could not be downloaded (C': lambda server: server.send(b'PK', length=5000),
}


@pytest.mark.parametrize('reason', UNREACHABLE)
def test_the_place_does_not_answer_well(monkeypatch, tmp_path, reason):
    with serving(UNREACHABLE[reason]) as (handler, url):
        monkeypatch.setattr(fra_eng, 'FRA_ENG_URL', url)
        found = only(machine.check_corpus)
    assert found.severity == WARNING and f'{url} ' in found.text and reason in found.text
    assert found.text.endswith('; the bundled corpus takes its place')
    assert found.remedy == 'let D2L_SEQ2SEQ_DATA name a copy of fra-eng.zip'
    assert list(tmp_path.iterdir()) == []


def test_the_place_does_not_answer_at_all(monkeypatch):
    is_over = threading.Event()
    with serving(lambda server: is_over.wait(60)) as (_, url):
        monkeypatch.setattr(fra_eng, 'FRA_ENG_URL', url)
        monkeypatch.setattr(
            fra_eng,
            'try_download',
            functools.partial(lambda ask, timeout: ask(0.2), fra_eng.try_download),
        )
        found = only(machine.check_corpus)
        is_over.set()
    assert found.severity == WARNING and 'could not be downloaded (ReadTimeout)' in found.text


def test_a_cache_that_can_not_be_looked_into(monkeypatch):
    def refuse(path, **kwargs):
        raise PermissionError(13, 'Permission denied', str(path))

    monkeypatch.setattr(type(fra_eng.cached_fra_eng()), 'stat', refuse)
    monkeypatch.setattr(type(fra_eng.cached_fra_eng()), 'exists', refuse)
    found = only(machine.check_corpus)
    assert found.severity == WARNING and 'can not be read (Permission denied)' in found.text
    assert corpus.read_corpus('auto').name == 'bundled'


def test_nothing_listens_at_the_place():
    found = only(machine.check_corpus)
    assert found.severity == WARNING and '(ConnectionError)' in found.text


def test_an_attempt_that_no_time_out_ends_is_left(monkeypatch):
    """As the look-up of a name may be."""
    monkeypatch.setattr(fra_eng, 'try_download', lambda timeout: time.sleep(5))
    monkeypatch.setattr(machine, 'SECONDS_TO_REACH', 0.1)
    found = only(machine.check_corpus)
    assert found.severity == WARNING and 'did not answer within 0.1 seconds' in found.text


def test_what_downloads_is_missing(monkeypatch):
    monkeypatch.setitem(sys.modules, 'requests', None)
    with pytest.raises(ImportError):  # which `run_checks` makes a finding of
        only(machine.check_corpus)


# The machine


def test_threads_are_said_and_not_chosen(monkeypatch):
    for name in [name for name in os.environ if name.startswith(machine._READ_BY_OTHERS)]:
        monkeypatch.delenv(name)
    chosen, given = machine.check_threads('threads')
    cores = len(os.sched_getaffinity(0)) if hasattr(os, 'sched_getaffinity') else os.cpu_count()
    assert chosen.text.startswith(f'chosen are 1 for 64 x 32 and {cores} for 64 x 512 hidden')
    assert given.text == 'set in the environment: nothing of it'
    assert 'OMP_NUM_THREADS' not in os.environ
    monkeypatch.setenv('OMP_NUM_THREADS', '3')
    monkeypatch.setenv('MXNET_ENGINE_TYPE', 'NaiveEngine')
    _, given = machine.check_threads('threads')
    assert given.text.endswith(': MXNET_ENGINE_TYPE=NaiveEngine, OMP_NUM_THREADS=3')


@pytest.mark.parametrize('available, severity', [(16e9, OK), (0.2e9, WARNING)])
def test_memory(monkeypatch, available, severity):
    files = {
        '/proc/meminfo': f'MemFree: 1 kB\nMemAvailable:  {int(available / 1024)} kB\n',
        '/sys/fs/cgroup/memory.max': 'max',
    }
    monkeypatch.setattr(machine, '_text_of', lambda path: files.get(path, ''))
    monkeypatch.setattr(os, 'sysconf', {'SC_PAGE_SIZE': 4096, 'SC_PHYS_PAGES': 8_000_000}.get)
    found = only(machine.check_memory)
    assert found.severity == severity
    assert found.text == f'32.8 GB, {available / 1e9:.1f} GB of it available'
    assert ('--batch-size' in found.remedy) == (severity == WARNING)
    files['/sys/fs/cgroup/memory.max'] = '500000000'  # a container's
    assert only(machine.check_memory).severity == WARNING
    files['/sys/fs/cgroup/memory.max'] = '20000000000'
    files['/sys/fs/cgroup/memory.current'] = '19900000000'
    assert only(machine.check_memory).text == '20.0 GB, 0.1 GB of it available'
    files['/sys/fs/cgroup/memory.stat'] = 'anon 7\ninactive_file 19800000000\n'  # of files read
    free = min(available, 19.9e9)
    assert only(machine.check_memory).text == f'20.0 GB, {free / 1e9:.1f} GB of it available'
    files['/sys/fs/cgroup/memory.max'] = str(2**63 - 4096)  # no limit, in the first version
    assert only(machine.check_memory).severity == severity
    files['/proc/meminfo'] = ''  # a Mac's
    assert only(machine.check_memory).severity == INFO


def test_disk(monkeypatch, tmp_path):
    monkeypatch.chdir(tmp_path)
    found = only(machine.check_disk)
    assert found.severity == OK and f'free in {tmp_path}, where runs' in found.text
    (tmp_path / 'runs').mkdir()
    assert f'free in {tmp_path / "runs"}, where' in only(machine.check_disk).text
    assert list(tmp_path.rglob('*')) == [tmp_path / 'runs']
    monkeypatch.setattr(
        shutil, 'disk_usage', lambda path: shutil._ntuple_diskusage(10**9, 10**9 - 1000, 1000)
    )
    found = only(machine.check_disk)
    assert found.severity == WARNING and found.remedy.startswith('make room')


@pytest.mark.skipif(not os.path.isdir('/proc/self'), reason='needs a folder nobody can write to')
def test_a_folder_that_can_not_be_written(monkeypatch):
    monkeypatch.chdir('/proc/self')
    found = only(machine.check_disk)
    assert found.severity == WARNING and 'can not be written to (' in found.text
    assert found.remedy == 'name another folder with --out'


def test_something_else_has_the_name(monkeypatch, tmp_path):
    (tmp_path / 'runs').write_text('')
    monkeypatch.chdir(tmp_path)
    assert 'can not be written to (Not a directory)' in only(machine.check_disk).text


def test_the_cache_is_where_pooch_says(tmp_path):
    assert fra_eng.cached_fra_eng().parent == pooch.os_cache('d2l_seq2seq')
