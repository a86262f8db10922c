"""Atomic writes: files are complete or absent, whatever interrupts the writing."""

import os
import subprocess
import sys

import pytest

from d2l_seq2seq import InputError
from d2l_seq2seq.runs import atomic
from d2l_seq2seq.runs.atomic import (
    append_line,
    fill_folder,
    locked,
    read_lines,
    remove_folder,
    remove_leftovers,
    write_file,
    write_folder,
    write_output,
)


def full_disk(*args):
    raise OSError(28, 'No space left on device')


def visible(folder):
    return sorted(str(path.relative_to(folder)) for path in folder.rglob('*'))


def test_a_file_is_replaced(tmp_path):
    write_file(tmp_path / 'file', b'old')
    write_file(tmp_path / 'file', b'new')
    assert (tmp_path / 'file').read_bytes() == b'new' and visible(tmp_path) == ['file']


@pytest.mark.parametrize('function', ['fsync', 'replace'])
def test_a_failed_write_leaves_the_old_file(tmp_path, monkeypatch, function):
    write_file(tmp_path / 'file', b'old')
    monkeypatch.setattr(atomic.os, function, full_disk)
    with pytest.raises(OSError):
        write_file(tmp_path / 'file', b'new')
    assert (tmp_path / 'file').read_bytes() == b'old' and visible(tmp_path) == ['file']


def write(path, text, finish=lambda folder: None):
    write_folder(path, {'a': lambda file: file.write(text), 'b': lambda file: None}, finish)


def test_a_folder_appears_complete(tmp_path):
    def finish(folder):
        assert visible(folder) == ['a', 'b'] and not path.exists()

    path = tmp_path / 'folder'
    write(path, b'old', finish)
    write(path, b'new')
    assert (path / 'a').read_bytes() == b'new'
    assert visible(tmp_path) == ['folder', 'folder/a', 'folder/b']


@pytest.mark.parametrize('function', ['fsync', 'rename'])
def test_a_failed_folder_write_leaves_the_old_folder(tmp_path, monkeypatch, function):
    path = tmp_path / 'folder'
    write(path, b'old')
    before = visible(tmp_path)
    monkeypatch.setattr(atomic.os, function, full_disk)
    with pytest.raises(OSError):
        write(path, b'new')
    monkeypatch.undo()
    remove_leftovers(tmp_path)
    assert visible(tmp_path) == before and (path / 'a').read_bytes() == b'old'


@pytest.mark.parametrize('function', ['fsync', 'replace'])
def test_a_folder_is_filled_completely_or_not_at_all(tmp_path, monkeypatch, function):
    folder = tmp_path / 'folder'
    folder.mkdir(mode=0o700)
    before = os.stat(folder)
    writers = {name: lambda file: file.write(b'new') for name in 'ba'}
    monkeypatch.setattr(atomic.os, function, full_disk)
    with pytest.raises(OSError):
        fill_folder(folder, writers)
    monkeypatch.undo()
    assert visible(tmp_path) == ['folder']
    fill_folder(folder, writers)
    assert visible(tmp_path) == ['folder', 'folder/a', 'folder/b']
    assert (folder / 'a').read_bytes() == b'new'
    after = os.stat(folder)
    assert (after.st_ino, after.st_mode) == (before.st_ino, before.st_mode)


def test_output_replaces_a_file_and_keeps_its_permissions(tmp_path):
    path = tmp_path / 'file'
    write_output(path, b'first')
    path.chmod(0o600)
    inode = path.stat().st_ino
    write_output(path, b'second')
    assert path.read_bytes() == b'second' and path.stat().st_ino != inode
    assert path.stat().st_mode & 0o777 == 0o600 and visible(tmp_path) == ['file']


def test_output_is_written_into_what_is_not_a_file(tmp_path):
    os.mkfifo(tmp_path / 'pipe')
    with subprocess.Popen(['cat', str(tmp_path / 'pipe')], stdout=subprocess.PIPE) as reader:
        write_output(tmp_path / 'pipe', b'data')
        assert reader.stdout.read() == b'data'
    (tmp_path / 'file').write_bytes(b'old data')
    (tmp_path / 'link').symlink_to('file')
    write_output(tmp_path / 'link', b'data')
    assert (tmp_path / 'file').read_bytes() == b'data'
    (tmp_path / 'device').symlink_to(os.devnull)
    write_output(tmp_path / 'device', b'data')
    assert visible(tmp_path) == ['device', 'file', 'link', 'pipe']
    assert (tmp_path / 'pipe').is_fifo() and (tmp_path / 'link').is_symlink()
    assert (tmp_path / 'device').is_char_device()


def test_output_into_a_folder_is_an_error(tmp_path):
    with pytest.raises(OSError):
        write_output(tmp_path, b'data')


def test_removing_a_missing_folder_is_not_an_error(tmp_path):
    remove_folder(tmp_path / 'nothing')
    assert visible(tmp_path) == []


def test_only_leftovers_are_removed(tmp_path):
    for name in ('.epoch-3.part', '.epoch-1.removed', '.git', 'epoch-2'):
        (tmp_path / name).mkdir()
        (tmp_path / name / 'file').write_text('')
    (tmp_path / '.config.json.part').write_text('half')
    remove_leftovers(tmp_path)
    assert sorted(path.name for path in tmp_path.iterdir()) == ['.git', 'epoch-2']


def test_lines_are_appended_in_full_or_not_at_all(tmp_path):
    """A file size limit simulates a disk that becomes full in the middle of a line."""
    path = tmp_path / 'lines'
    code = (
        'import resource, sys\n'
        'from pathlib import Path\n'
        'from d2l_seq2seq.runs.atomic import append_line\n'
        'resource.setrlimit(resource.RLIMIT_FSIZE, (100, 100))\n'
        'for number in range(10):\n'
        f'    append_line(Path({str(path)!r}), str(number) * 29)\n'
    )
    result = subprocess.run([sys.executable, '-c', code], capture_output=True, text=True)
    assert 'OSError' in result.stderr and 'File too large' in result.stderr
    assert path.read_bytes() == b''.join(f'{str(number) * 29}\n'.encode() for number in range(3))


def test_an_incomplete_line_is_cut_off(tmp_path):
    path = tmp_path / 'lines'
    assert read_lines(path, 100) == []
    path.write_bytes(b'one\ntwo\nthr')
    assert read_lines(path, 100) == [b'one', b'two']
    assert path.read_bytes() == b'one\ntwo\nthr'  # reading changes nothing
    append_line(path, 'four')
    assert path.read_bytes() == b'one\ntwo\nfour\n'


def test_one_process_at_a_time_holds_the_lock(tmp_path):
    code = (
        'import sys\nfrom pathlib import Path\nfrom d2l_seq2seq.runs.atomic import locked\n'
        f'with locked(Path({str(tmp_path)!r})):\n'
        '    print("locked", flush=True)\n'
        '    sys.stdin.readline()\n'
    )
    other = subprocess.Popen(
        [sys.executable, '-c', code], stdin=subprocess.PIPE, stdout=subprocess.PIPE
    )
    try:
        assert other.stdout.readline() == b'locked\n'
        with pytest.raises(
            InputError, match='another process is training in this folder. Wait until it'
        ), locked(tmp_path):
            pass
    finally:
        other.kill()
        other.communicate()
    with locked(tmp_path):  # the system has released the lock
        assert os.listdir(tmp_path) == ['.lock']
