"""Reading untrusted files: checksums, regular files only, and limits on JSON."""

import json
import os

import pytest

from d2l_seq2seq import InputError
from d2l_seq2seq.runs.safe_files import FORMAT, MANIFEST, Manifest, read_json, write_manifest


@pytest.fixture
def folder(tmp_path):
    (tmp_path / 'a.json').write_text('{"b": [1, 2.5, "é"]}', encoding='utf-8')
    (tmp_path / 'b.bin').write_bytes(bytes(range(100)))
    write_manifest(tmp_path, {'python': '3'})
    return tmp_path


def rewrite(folder, change):
    values = json.loads((folder / MANIFEST).read_text())
    change(values)
    (folder / MANIFEST).write_text(json.dumps(values))


def test_written_files_are_read(folder):
    manifest = Manifest(folder)
    assert manifest.read_json('a.json') == {'b': [1, 2.5, 'é']}
    assert manifest.read('b.bin', 100) == bytes(range(100))
    assert 'a.json' in manifest and 'c' not in manifest
    values = json.loads((folder / MANIFEST).read_text())
    assert values['versions'] == {'python': '3'} and values['format'] == FORMAT


@pytest.mark.parametrize(
    'damage',
    [
        lambda data: data[:-1],
        lambda data: data + b'\0',
        lambda data: b'',
        lambda data: bytes([data[0] ^ 1]) + data[1:],
        lambda data: data[::-1],
    ],
)
def test_a_damaged_file_is_named(folder, damage):
    path = folder / 'b.bin'
    path.write_bytes(damage(path.read_bytes()))
    with pytest.raises(InputError, match=r'b\.bin: expected the original file'):
        Manifest(folder).read('b.bin', 1000)


def test_swapped_files_are_refused(folder):
    os.rename(folder / 'a.json', folder / 'c')
    os.rename(folder / 'b.bin', folder / 'a.json')
    with pytest.raises(InputError, match='a.json'):
        Manifest(folder).read_json('a.json')


def test_a_missing_file_is_named(folder):
    (folder / 'b.bin').unlink()
    with pytest.raises(InputError, match=r'b\.bin: file not found'):
        Manifest(folder).read('b.bin', 1000)


def test_a_file_above_the_limit_is_refused(folder):
    with pytest.raises(InputError, match='b.bin: expected at most 99 bytes, got 100'):
        Manifest(folder).read('b.bin', 99)


@pytest.mark.parametrize(
    'make',
    [
        lambda path, outside: path.symlink_to(outside),
        lambda path, outside: os.mkfifo(path),
        lambda path, outside: path.mkdir(),
        lambda path, outside: path.symlink_to('/dev/zero'),
    ],
)
def test_only_files_of_the_folder_are_opened(folder, tmp_path_factory, make):
    outside = tmp_path_factory.mktemp('outside') / 'file'
    outside.write_bytes(bytes(range(100)))
    (folder / 'b.bin').unlink()
    make(folder / 'b.bin', outside)
    with pytest.raises(
        InputError, match=r'b\.bin: (cannot be read|expected a regular file, got something else)'
    ):
        Manifest(folder).read('b.bin', 1000)


@pytest.mark.parametrize('name', ['../a.json', '/etc/passwd', '..', 'x/../a.json', '', '.', 'a\0b'])
def test_names_cannot_lead_out_of_the_folder(folder, name):
    rewrite(folder, lambda values: values['files'].update({name: values['files']['a.json']}))
    with pytest.raises(InputError, match=MANIFEST):
        Manifest(folder)


@pytest.mark.parametrize(
    'change, message',
    [
        (lambda values: values.update(format=3), 'expected format 2, got 3'),
        (
            lambda values: values.update(format='a' * 1000),
            "expected format 2, got 'a{99}. Read it with",
        ),
        (lambda values: values.pop('format'), 'expected the size and SHA-256'),
        (lambda values: values.update(files=[1]), 'expected the size and SHA-256'),
        (lambda values: values['files'].update(a=None), 'expected the size and SHA-256'),
    ],
)
def test_an_invalid_manifest_is_refused(folder, change, message):
    rewrite(folder, change)
    with pytest.raises(InputError, match=message):
        Manifest(folder)


@pytest.mark.parametrize(
    'data',
    [
        b'[' * 100_000,
        b'{"a":' * 100_000,
        b'1' * 100_000,
        b'nan',
        b'[NaN]',
        b'-Infinity',
        b'\xff',
        b'',
        b'{',
        b'"\x00"',
    ],
)
def test_json_bombs_are_refused(tmp_path, data):
    path = tmp_path / 'file'
    path.write_bytes(data)
    with pytest.raises(InputError, match='expected JSON, got a damaged file'):
        read_json(path)
    path.write_bytes(b' ' * 2_000_000)
    with pytest.raises(InputError, match='expected at most 1,048,576 bytes, got more'):
        read_json(path)
