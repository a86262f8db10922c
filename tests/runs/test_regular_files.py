"""Files of an untrusted folder: nothing outside of it is read or written, and nothing blocks."""

import os
import re
import socket

import pytest

from d2l_seq2seq.runs.regular_files import (
    make_folder,
    make_folders,
    open_lock,
    open_new,
    open_to_append,
    open_to_read,
    remove,
    require_real_folder,
)

from conftest import ROOT

# The calls that open, create or replace files, other than those of the module under test.
_OPENING = re.compile(
    r'(?<!def )(?<![\w.])open\(|\bos\.(open|mkdir|makedirs)\('
    r'|\.(mkdir|touch|(read|write)_(bytes|text))\('
)


@pytest.fixture
def outside(tmp_path_factory):
    """A file outside of the folder, which nobody may write to."""
    path = tmp_path_factory.mktemp('outside') / 'file'
    path.write_bytes(b'precious')
    return path


def make_socket(path):
    here = os.getcwd()
    os.chdir(path.parent)  # the names of sockets must be short
    try:
        socket.socket(socket.AF_UNIX).bind(path.name)
    finally:
        os.chdir(here)


OBSTACLES = {
    'a symbolic link': lambda path, outside: path.symlink_to(outside),
    'a pipe': lambda path, outside: os.mkfifo(path),
    'a folder': lambda path, outside: path.mkdir(),
    'a socket': lambda path, outside: make_socket(path),
}


@pytest.mark.parametrize('kind', OBSTACLES)
@pytest.mark.parametrize('function', [open_to_read, open_to_append, open_lock])
def test_only_regular_files_are_opened(tmp_path, outside, kind, function):
    path = tmp_path / 'file'
    OBSTACLES[kind](path, outside)
    with pytest.raises(OSError) as error:
        function(path)
    assert error.value.strerror == f'expected a regular file, got {kind}'
    assert outside.read_bytes() == b'precious'


@pytest.mark.parametrize('target', ['missing', '/dev/zero'])
def test_links_to_nothing_and_to_devices_are_refused(tmp_path, target):
    path = tmp_path / 'file'
    path.symlink_to(target)
    for function in (open_to_read, open_to_append, open_lock):
        with pytest.raises(OSError, match='expected a regular file, got a symbolic link'):
            function(path)
    assert not (tmp_path / 'missing').exists()


@pytest.mark.parametrize('kind', ['a symbolic link', 'a pipe', 'a socket'])
def test_a_new_file_takes_the_place_of_whatever_had_its_name(tmp_path, outside, kind):
    path = tmp_path / 'file'
    OBSTACLES[kind](path, outside)
    with open_new(path) as file:
        file.write(b'new')
    assert path.read_bytes() == b'new' and not path.is_symlink()
    assert outside.read_bytes() == b'precious'


def test_a_file_with_a_second_name_elsewhere_is_not_written_to(tmp_path, outside):
    os.link(outside, tmp_path / 'file')
    with open_new(tmp_path / 'file') as file:
        file.write(b'new')
    assert outside.read_bytes() == b'precious'


def test_a_folder_is_not_a_link_to_one(tmp_path, outside):
    (tmp_path / 'link').symlink_to(outside.parent)
    for function in (make_folder, require_real_folder):
        with pytest.raises(OSError, match='expected a folder, got a symbolic link'):
            function(tmp_path / 'link')
        with pytest.raises(OSError, match='expected a folder, got a file'):
            function(outside)
    make_folders(tmp_path / 'link' / 'a' / 'b')  # a link that the user typed
    make_folder(outside.parent / 'a' / 'b')
    require_real_folder(outside.parent / 'a' / 'b')


def test_removing_a_link_keeps_what_it_points_to(tmp_path, outside):
    (tmp_path / 'folder').mkdir()
    (tmp_path / 'folder' / 'link').symlink_to(outside.parent)
    (tmp_path / 'link').symlink_to(outside.parent)
    for name in ('folder', 'link', 'missing'):
        remove(tmp_path / name)
    assert list(tmp_path.iterdir()) == [] and outside.read_bytes() == b'precious'


def test_no_other_code_opens_the_files_of_runs():
    package = ROOT / 'd2l_seq2seq'
    paths = [*package.glob('runs/*.py'), *package.glob('training/*.py')]
    paths += [package / f'{command}.py' for command in ('average', 'evaluate', 'export', 'train')]
    found = {
        (path.name, line.strip())
        for path in paths
        if path.name != 'regular_files.py'
        for line in path.read_text().splitlines()
        if _OPENING.search(line)
    }
    assert found == {
        ('atomic.py', 'os.mkdir(partial)'),  # fails if there is anything of that name
        ('atomic.py', 'path.write_bytes(data)'),  # a file that the user named
    }
