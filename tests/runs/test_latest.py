"""The link runs/latest."""

from pathlib import Path

import pytest

from d2l_seq2seq.runs.latest import link_latest


@pytest.fixture(autouse=True)
def here(tmp_path, monkeypatch):
    monkeypatch.chdir(tmp_path)
    for name in ('runs/a', 'runs/b', 'elsewhere/a'):
        Path(name).mkdir(parents=True)


def test_the_link_follows_the_runs():
    for name in ('a', 'b', 'a'):
        link_latest(Path('runs', name))
        assert Path('runs/latest').resolve() == Path('runs', name).resolve()
    assert sorted(path.name for path in Path('runs').iterdir()) == ['a', 'b', 'latest']


def test_a_link_to_a_run_that_was_deleted_is_replaced():
    link_latest(Path('runs/a'))
    Path('runs/a').rmdir()
    link_latest(Path('runs/b'))
    assert Path('runs/latest').resolve() == Path('runs/b').resolve()


def test_no_link_among_other_folders():
    link_latest(Path('elsewhere/a'))
    link_latest(Path('a'))
    assert not Path('elsewhere/latest').is_symlink() and not Path('latest').is_symlink()


def test_a_folder_named_latest_is_left_alone():
    Path('runs/latest').mkdir()
    link_latest(Path('runs/latest'))
    link_latest(Path('runs/a'))
    assert not Path('runs/latest').is_symlink()


def test_a_file_system_without_links(monkeypatch):
    def refuse(self, target):
        raise OSError('no links here')

    monkeypatch.setattr(Path, 'symlink_to', refuse)
    link_latest(Path('runs/a'))
    assert not Path('runs/latest').exists()
