"""Checks of the machine, and of the corpus in every place where it may or may not be."""

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

from d2l_seq2seq import _runtime
from d2l_seq2seq.book import fra_eng
from d2l_seq2seq.data.corpus import read_corpus
from d2l_seq2seq.doctor import machine, speed
from d2l_seq2seq.doctor.report import INFO, OK, WARNING

from local_server import TEXT, serving, zip_of


def only(check):
    """Return the only finding of a check."""
    (finding,) = check('subject')
    return finding


@pytest.fixture(autouse=True)
def small_fra_eng(monkeypatch):
    """Let a text of two pairs pass as the book's, with no variable that names it."""
    monkeypatch.setattr(fra_eng, 'FRA_ENG_TEXT_SHA256', hashlib.sha256(TEXT.encode()).hexdigest())
    monkeypatch.delenv('D2L_SEQ2SEQ_DATA', raising=False)
    monkeypatch.setattr(machine, 'CORPUS_TIMEOUT', 60)


# The corpus on disk


def test_variable_names_the_corpus(monkeypatch, tmp_path):
    (tmp_path / 'fra.txt').write_bytes(TEXT.encode())
    monkeypatch.setenv('D2L_SEQ2SEQ_DATA', str(tmp_path))
    finding = only(machine.check_corpus)
    assert finding.severity == OK
    assert finding.text == f"the book's corpus, named by D2L_SEQ2SEQ_DATA: {tmp_path}"


@pytest.mark.parametrize(
    'name, data, text, hint',
    [
        (
            'missing',
            None,
            'D2L_SEQ2SEQ_DATA: .*missing does not exist$',
            'Correct the variable, or unset it.',
        ),
        (
            '.',
            None,
            'D2L_SEQ2SEQ_DATA: neither .*fra-eng.zip nor .*fra.txt exists$',
            'Set it to a folder that contains fra-eng.zip, or unset it.',
        ),
        (
            'fra.txt',
            b'other',
            'expected the text of the book.* got 5 bytes',
            'Pass your own text with --corpus FILE.',
        ),
        (
            'fra-eng.zip',
            zip_of(TEXT).replace(b'PK\x03\x04', b'PK\x03\x00'),
            'the zip is damaged',
            '',
        ),
    ],
)
def test_variable_names_something_else(monkeypatch, tmp_path, name, data, text, hint):
    if data is not None:
        (tmp_path / name).write_bytes(data)
    monkeypatch.setenv('D2L_SEQ2SEQ_DATA', str(tmp_path / name))
    finding = only(machine.check_corpus)
    assert finding.severity == WARNING and re.search(text, finding.text)
    assert finding.hint == hint


def test_path_without_permission(monkeypatch):
    def refuse(path):
        raise PermissionError(13, 'Permission denied', str(path))

    monkeypatch.setenv('D2L_SEQ2SEQ_DATA', 'closed')
    monkeypatch.setattr(fra_eng, 'find_fra_eng', refuse)
    finding = only(machine.check_corpus)
    assert finding.severity == WARNING
    assert finding.text == 'closed: cannot be read (Permission denied)'
    assert finding.hint == 'Correct its permissions, or set D2L_SEQ2SEQ_DATA to a copy.'


@pytest.fixture
def cache():
    """The path of the zip in the cache, in a folder that exists."""
    path = fra_eng.cached_fra_eng()
    path.parent.mkdir(parents=True)
    return path


def test_corpus_in_the_cache(cache):
    cache.write_bytes(zip_of(TEXT))
    finding = only(machine.check_corpus)
    assert (finding.severity, finding.text) == (OK, f"the book's corpus, in the cache: {cache}")


@pytest.mark.parametrize('data', [b'', zip_of(TEXT)[:-40], zip_of('Go.\tVa.\n')])
def test_cache_is_damaged(cache, data):
    cache.write_bytes(data)
    finding = only(machine.check_corpus)
    assert finding.severity == WARNING and str(cache) in finding.text
    assert finding.hint == f'Type: rm {cache}'
    assert cache.read_bytes() == data  # the doctor repairs nothing


# The corpus for download


def test_server_answers_and_nothing_is_kept(monkeypatch, tmp_path):
    def send_if_only_the_start_is_requested(server):
        assert server.headers['Range'] == 'bytes=0-3'
        server.send(zip_of(TEXT))

    with serving(send_if_only_the_start_is_requested) as (handler, url):
        monkeypatch.setattr(fra_eng, 'FRA_ENG_URL', url)
        finding = only(machine.check_corpus)
    assert finding.severity == OK
    assert finding.text.startswith(
        f"the book's corpus, not downloaded yet: {url} can be reached, and "
    )
    assert handler.num_requests == 1 and list(tmp_path.iterdir()) == []


def test_endless_file_is_not_downloaded(monkeypatch):
    """The server ignores the requested range and never stops sending."""

    def send_endlessly(server):
        server.send(zip_of(TEXT), length=10**12)
        try:
            while True:
                server.wfile.write(b'0' * 65536)
        except OSError:  # the client has closed the connection
            pass

    with serving(send_endlessly) as (handler, url):
        monkeypatch.setattr(fra_eng, 'FRA_ENG_URL', url)
        assert only(machine.check_corpus).severity == OK


UNREACHABLE = {
    'could not be downloaded (HTTP 404)': lambda server: server.send(b'not found', status=404),
    'could not be downloaded (HTTP 503)': lambda server: server.send(b'', status=503),
    'could not be downloaded (the answer is not a zip file)': lambda server: server.send(
        b'<html>log in'
    ),
    'not a zip file': lambda server: server.send(b''),
    'could not be downloaded (C': lambda server: server.send(b'PK', length=5000),
}


@pytest.mark.parametrize('reason', UNREACHABLE)
def test_server_answers_badly(monkeypatch, tmp_path, reason):
    with serving(UNREACHABLE[reason]) as (handler, url):
        monkeypatch.setattr(fra_eng, 'FRA_ENG_URL', url)
        finding = only(machine.check_corpus)
    assert finding.severity == WARNING and f'{url} ' in finding.text and reason in finding.text
    assert finding.text.endswith('; the bundled corpus is used instead')
    assert finding.hint == 'Set D2L_SEQ2SEQ_DATA to a copy of fra-eng.zip.'
    assert list(tmp_path.iterdir()) == []


def test_server_does_not_answer(monkeypatch):
    is_over = threading.Event()
    with serving(lambda server: is_over.wait(60)) as (_, url):
        monkeypatch.setattr(fra_eng, 'FRA_ENG_URL', url)
        monkeypatch.setattr(
            fra_eng,
            'try_download',
            functools.partial(
                lambda try_download, timeout: try_download(0.2), fra_eng.try_download
            ),
        )
        finding = only(machine.check_corpus)
        is_over.set()
    assert finding.severity == WARNING and 'could not be downloaded (ReadTimeout)' in finding.text


def test_cache_without_permission(monkeypatch):
    def refuse(path, **kwargs):
        raise PermissionError(13, 'Permission denied', str(path))

    monkeypatch.setattr(type(fra_eng.cached_fra_eng()), 'stat', refuse)
    monkeypatch.setattr(type(fra_eng.cached_fra_eng()), 'exists', refuse)
    finding = only(machine.check_corpus)
    assert finding.severity == WARNING and 'cannot be read (Permission denied)' in finding.text
    assert read_corpus('auto').name == 'bundled'


def test_connection_is_refused():
    finding = only(machine.check_corpus)
    assert finding.severity == WARNING and '(ConnectionError)' in finding.text


def test_attempt_without_a_timeout_is_abandoned(monkeypatch):
    """For instance a name resolution."""
    monkeypatch.setattr(fra_eng, 'try_download', lambda timeout: time.sleep(5))
    monkeypatch.setattr(machine, 'CORPUS_TIMEOUT', 0.1)
    finding = only(machine.check_corpus)
    assert finding.severity == WARNING and 'did not answer within 0.1 seconds' in finding.text


def test_requests_is_missing(monkeypatch):
    monkeypatch.setitem(sys.modules, 'requests', None)
    with pytest.raises(ImportError):  # `run_checks` turns it into a finding
        only(machine.check_corpus)


# The machine


def test_threads_are_reported_and_not_set(monkeypatch):
    for name in [name for name in os.environ if name.startswith(machine._VARIABLE_PREFIXES)]:
        monkeypatch.delenv(name)
    threads, variables = machine.check_threads('threads')
    cores = len(os.sched_getaffinity(0)) if hasattr(os, 'sched_getaffinity') else os.cpu_count()
    assert threads.text.startswith(
        f'number of threads: 1 for 64 x 32 and {cores} for 64 x 512 hidden values per batch, '
    )
    assert variables.text == 'environment variables: none'
    assert 'OMP_NUM_THREADS' not in os.environ
    monkeypatch.setenv('OMP_NUM_THREADS', '3')
    monkeypatch.setenv('MXNET_ENGINE_TYPE', 'NaiveEngine')
    _, variables = machine.check_threads('threads')
    assert variables.text.endswith(': MXNET_ENGINE_TYPE=NaiveEngine, OMP_NUM_THREADS=3')


@pytest.mark.parametrize(
    'milliseconds, threads, severity, hint',
    [
        (2.2, '1', OK, ''),
        (80.0, '1', WARNING, 'To see what else uses the processor, type: top'),
        (
            80.0,
            '64',
            WARNING,
            'To let the size of a training step determine the number of threads, type: '
            'unset OMP_NUM_THREADS',
        ),
    ],
)
def test_slow_machine_is_a_warning(monkeypatch, milliseconds, threads, severity, hint):
    monkeypatch.setattr(speed, 'milliseconds_per_batch', lambda ctx: milliseconds)
    monkeypatch.setenv('OMP_NUM_THREADS', threads)
    finding = only(machine.check_speed)
    assert (finding.severity, finding.hint) == (severity, hint)
    assert finding.text == (
        f"{milliseconds:.1f} ms per batch of the chapter's model on cpu(0); "
        '1.9 to 2.7 is typical of two idle cores, above 8 is slow'
    )


@pytest.mark.parametrize('available, severity', [(16e9, OK), (0.2e9, WARNING)])
def test_memory(monkeypatch, available, severity):
    files = {
        '/proc/meminfo': f'MemFree: 1 kB\nMemAvailable:  {int(available / 1024)} kB\n',
        '/sys/fs/cgroup/memory.max': 'max',
    }
    monkeypatch.setattr(_runtime, '_read_text', lambda path: files.get(path, ''))
    monkeypatch.setattr(os, 'sysconf', {'SC_PAGE_SIZE': 4096, 'SC_PHYS_PAGES': 8_000_000}.get)
    finding = only(machine.check_memory)
    assert finding.severity == severity
    assert finding.text == f'32.8 GB, {available / 1e9:.1f} GB available'
    assert ('--batch-size' in finding.hint) == (severity == WARNING)
    files['/sys/fs/cgroup/memory.max'] = '500000000'  # the limit of a container
    assert only(machine.check_memory).severity == WARNING
    files['/sys/fs/cgroup/memory.max'] = '20000000000'
    files['/sys/fs/cgroup/memory.current'] = '19900000000'
    assert only(machine.check_memory).text == '20.0 GB, 0.1 GB available'
    files['/sys/fs/cgroup/memory.stat'] = 'anon 7\ninactive_file 19800000000\n'  # cached files
    free = min(available, 19.9e9)
    assert only(machine.check_memory).text == f'20.0 GB, {free / 1e9:.1f} GB available'
    files['/sys/fs/cgroup/memory.max'] = str(
        2**63 - 4096
    )  # no limit, in version 1 of control groups
    assert only(machine.check_memory).severity == severity
    files['/proc/meminfo'] = ''  # as on a Mac
    assert only(machine.check_memory).severity == INFO


def test_disk(monkeypatch, tmp_path):
    monkeypatch.chdir(tmp_path)
    finding = only(machine.check_disk)
    assert finding.severity == OK and f'free in {tmp_path}, where runs are saved' in finding.text
    (tmp_path / 'runs').mkdir()
    assert f'free in {tmp_path / "runs"}, where' in only(machine.check_disk).text
    assert list(tmp_path.rglob('*')) == [tmp_path / 'runs']
    monkeypatch.setattr(
        shutil, 'disk_usage', lambda path: shutil._ntuple_diskusage(10**9, 10**9 - 1000, 1000)
    )
    finding = only(machine.check_disk)
    assert finding.severity == WARNING and finding.hint == (
        'Free some space, or choose another folder with --out.'
    )


@pytest.mark.skipif(
    not os.path.isdir('/proc/self'), reason='needs a folder that nobody can write to'
)
def test_folder_that_cannot_be_written_to(monkeypatch):
    monkeypatch.chdir('/proc/self')
    finding = only(machine.check_disk)
    assert finding.severity == WARNING and 'cannot be written to (' in finding.text
    assert finding.hint == 'Choose another folder with --out.'


def test_file_in_place_of_the_folder(monkeypatch, tmp_path):
    (tmp_path / 'runs').write_text('')
    monkeypatch.chdir(tmp_path)
    assert 'cannot be written to (Not a directory)' in only(machine.check_disk).text


def test_cache_is_in_the_folder_of_pooch(tmp_path):
    assert fra_eng.cached_fra_eng().parent == pooch.os_cache('d2l_seq2seq')
