"""A power cut at any moment: the calls to the system are recorded, and their worst result checked.

A disk may lose whatever was not flushed: the content of a file until the file is, and a name in a
folder until the folder is.
"""

import os
import re

import pytest

from d2l_seq2seq import ModelConfig, Run, RunConfig, Vocab, build_model, initialize
from d2l_seq2seq._mxnet import npx
from d2l_seq2seq.models.factory import named_parameters
from d2l_seq2seq.runs.atomic import append_line, write_file, write_folder
from d2l_seq2seq.runs.checkpoint import Progress
from d2l_seq2seq.runs.export import export_run
from d2l_seq2seq.runs.folder import new_run

CONFIG = RunConfig(model=ModelConfig(4, 6, 1))
VOCAB = Vocab([['go', '.']], reserved_tokens=['<pad>', '<bos>', '<eos>'])
_TEMPORARY = re.compile(r'\..*\.(part|removed)')


class Node:
    """A file or folder: what a program sees of it, and what is certainly on the disk."""

    def __init__(self, is_folder):
        self.is_folder, self.is_flushed = is_folder, is_folder
        self.names, self.flushed_names = {}, {}

    def tree(self, prefix=''):
        """Return the names on the disk, and whether the content of each file is there too."""
        found = {}
        for name, node in self.flushed_names.items():
            if not _TEMPORARY.fullmatch(name):
                found[prefix + name] = node.is_flushed
                found.update(node.tree(f'{prefix}{name}/'))
        return found


class Disk:
    """A disk that records what happens in a folder; `states` are those after each call."""

    def __init__(self, folder, monkeypatch):
        self.folder, self.root, self.open_nodes, self.states = folder, Node(True), {}, []
        for name in ('open', 'mkdir', 'rename', 'replace', 'fsync'):
            monkeypatch.setattr(os, name, self.recorded(getattr(os, name), getattr(self, name)))

    def recorded(self, call, record):
        def wrapper(*args, **kwargs):
            result = call(*args, **kwargs)
            record(result, *args)
            state = self.root.tree()
            if not self.states or state != self.states[-1]:
                self.states.append(state)
            return result

        return wrapper

    def find(self, path):
        """Return the node of the parent folder and the last name, or None if it is elsewhere."""
        try:
            parts = os.path.relpath(path, self.folder).split(os.sep)
        except TypeError:  # a descriptor
            return None
        node = self.root
        for part in parts[:-1]:
            node = None if node is None else node.names.get(part)
        return None if node is None else (node, parts[-1])

    def open(self, descriptor, path, flags, *args, **kwargs):
        parent, name = self.find(path) or (None, None)
        if parent is None:
            self.open_nodes.pop(descriptor, None)
            return
        node = self.root if name == '.' else parent.names.get(name)
        if node is None:
            node = parent.names[name] = Node(False)
        if flags & (os.O_WRONLY | os.O_RDWR):
            node.is_flushed = False
        self.open_nodes[descriptor] = node

    def mkdir(self, _, path, *args):
        parent, name = self.find(path)
        parent.names[name] = Node(True)

    def rename(self, _, source, target):
        (old, old_name), (new, new_name) = self.find(source), self.find(target)
        new.names[new_name] = old.names.pop(old_name)

    replace = rename

    def fsync(self, _, descriptor):
        node = self.open_nodes.get(descriptor)
        if node is not None:
            node.is_flushed, node.flushed_names = True, dict(node.names)


@pytest.fixture
def disk(tmp_path, monkeypatch):
    return Disk(tmp_path, monkeypatch)


@pytest.fixture
def run(seed):
    model = build_model(CONFIG.model, len(VOCAB), len(VOCAB))
    initialize(model, npx.cpu())
    return Run(CONFIG, VOCAB, VOCAB, model)


def save(folder, run, epoch):
    moments = {name: value.data().asnumpy() for name, value in named_parameters(run.model).items()}
    values = {'epoch': epoch, 'hooks': {}, 'ended': None}
    folder.append_metrics(epoch, {'epoch': epoch, 'book_loss': 0.5, 'nll_per_token': 1.5})
    folder.save_checkpoint(run, Progress({'mean': moments}, values), epoch, 0, 1, None)


def names_in(state, folder):
    return {name[len(folder) :] for name in state if name.startswith(folder)}


def test_a_run_loses_at_most_what_follows_its_latest_checkpoint(run, disk, tmp_path):
    with new_run(tmp_path / 'a' / 'b' / 'run', CONFIG) as folder:
        assert disk.states[-1]['a/b/run/config.json']
        save(folder, run, 1)
        first = len(disk.states)
        save(folder, run, 2)
    files = {path.name for path in (folder.path / 'checkpoints' / 'epoch-2').iterdir()}
    assert {'manifest.json', 'weights.npz', 'optimizer.npz', 'progress.json'} < files
    for number, state in enumerate(disk.states):
        if 'a/b/run/config.json' in state:
            assert state['a/b/run/config.json']
        checkpoints = names_in(state, 'a/b/run/checkpoints/epoch-')
        for checkpoint in {name.split('/')[0] for name in checkpoints}:
            prefix = f'a/b/run/checkpoints/epoch-{checkpoint}/'
            assert names_in(state, prefix) == files
            assert all(state[prefix + name] for name in files)
            assert 'a/b/run/metrics.jsonl' in state
        assert checkpoints or number < first - 1
    assert {'1', '2'} == {
        name for state in disk.states for name in names_in(state, 'a/b/run/checkpoints/epoch-')
    } & {'1', '2'}
    assert disk.states[-1]['a/b/run/metrics.jsonl']


@pytest.mark.parametrize('exists', [False, True])
def test_an_export_is_on_the_disk_when_it_is_reported(run, disk, tmp_path, exists):
    folder = tmp_path / 'a' / 'exported'
    if exists:
        folder.parent.mkdir()
        folder.mkdir()
        disk.root.flushed_names = {'a': disk.root.names['a']}
        disk.root.names['a'].flushed_names = dict(disk.root.names['a'].names)
    names = export_run(run, folder)
    assert sorted(path.name for path in folder.iterdir()) == names
    for state in disk.states:
        assert all(state[f'a/exported/{name}'] for name in names_in(state, 'a/exported/'))
    assert names_in(disk.states[-1], 'a/exported/') == set(names)


def test_files_are_flushed_before_they_get_their_names(disk, tmp_path):
    write_file(tmp_path / 'file', b'old')
    write_file(tmp_path / 'file', b'new')
    write_folder(tmp_path / 'folder', {'a': lambda file: file.write(b'a')})
    append_line(tmp_path / 'lines', 'one')
    for state in disk.states:
        assert all(state[name] for name in state if name != 'lines')
    assert {'file', 'folder', 'folder/a', 'lines'} == set(disk.states[-1])
