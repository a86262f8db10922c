"""The animator: its points, its reproducible pictures, and its display in each environment."""

import io
import subprocess
import sys
import time
import types

import pytest

from d2l_seq2seq import Animator, InputError
from d2l_seq2seq.book import animator


def animator_with_points():
    animator = Animator(xlabel='epoch', ylabel='loss', xlim=[1, 30], ylim=[0, 0.25])
    for epoch in (10, 20, 30):
        animator.add(epoch, (2 / epoch,))
    return animator


def test_points_are_stored_by_line():
    animator = Animator(legend=['train', 'valid'])
    animator.add(1, (0.5, None))
    animator.add([2, 3], [0.4, 0.6])
    assert (animator.X, animator.Y) == ([[1, 2], [3]], [[0.5, 0.4], [0.6]])
    animator.add(4, [0.3, 0.2])
    assert animator.latest() == (4, 'train 0.300, valid 0.200')


def test_a_single_value_gives_one_line():
    animator = Animator(ylabel='loss')
    animator.add(1, 0.5)
    assert (animator.X, animator.Y) == ([[1]], [[0.5]])


@pytest.mark.parametrize(
    'name, start', [('loss.svg', b'<?xml'), ('loss.PNG', b'\x89PNG'), ('loss.pdf', b'%PDF')]
)
def test_saved_pictures_are_reproducible(tmp_path, name, start):
    pictures = []
    for folder in ('a', 'b'):
        (tmp_path / folder).mkdir()
        animator_with_points().save(tmp_path / folder / name)
        pictures.append((tmp_path / folder / name).read_bytes())
    assert pictures[0] == pictures[1] and pictures[0].startswith(start)


def test_the_picture_shows_the_points():
    one_point, all_points = Animator(), Animator()
    one_point.add(10, 0.2)
    all_points.add(10, 0.2)
    all_points.add(20, 0.1)
    assert one_point.to_bytes('.svg') != all_points.to_bytes('.svg')


def test_formats_repeat_if_there_are_more_lines():
    animator = Animator(fmts=('-',), legend=['a', 'b', 'c'])
    animator.add(1, [1, 2, 3])
    animator.to_bytes('.svg')
    assert len(animator.axes[0].lines) == 3


def test_a_picture_without_points_can_be_saved(tmp_path):
    Animator(xlim=[1, 10]).save(tmp_path / 'empty.svg')
    assert (tmp_path / 'empty.svg').stat().st_size > 0


def test_other_suffixes_are_refused(tmp_path):
    with pytest.raises(InputError, match='ends in .svg, .png or .pdf, got .jpg'):
        animator_with_points().save(tmp_path / 'loss.jpg')


def test_number_of_subplots():
    assert len(Animator(nrows=2, ncols=3).axes) == 6


class Terminal(io.StringIO):
    """A standard error that claims to be a terminal."""

    def isatty(self):
        return True


def test_a_terminal_shows_one_progress_bar_over_the_epochs(monkeypatch):
    terminal = Terminal()
    monkeypatch.setattr(sys, 'stderr', terminal)
    animator = Animator(xlabel='epoch', ylabel='loss', xlim=[1, 30])
    for epoch in (10, 20, 30):
        time.sleep(0.2)  # tqdm redraws ten times a second at most
        animator.add(epoch, (2 / epoch,))
    animator.close()
    shown = terminal.getvalue()
    assert '30/30' in shown and 'loss 0.067' in shown
    assert '\n' not in shown  # one line, which is removed at the end


def test_nothing_is_written_without_a_terminal_or_display():
    code = (
        'from d2l_seq2seq import Animator\n'
        'a = Animator(xlim=[1, 2])\na.add(1, 0.5)\na.add(2, 0.25)\na.close()\n'
        "import sys; assert 'matplotlib.pyplot' not in sys.modules"
    )
    result = subprocess.run(
        [sys.executable, '-c', code], capture_output=True, text=True, env={'PATH': ''}
    )
    assert (result.returncode, result.stdout, result.stderr) == (0, '', '')


@pytest.mark.parametrize(
    'limits, start', [({'xlim': [1, 30], 'xlabel': 'epoch'}, 'epoch 10 of 30: '), ({}, 'x 10: ')]
)
def test_a_log_gets_lines_with_the_latest_values(monkeypatch, capsys, limits, start):
    monkeypatch.setattr(animator, 'SECONDS_BETWEEN_LINES', 0)
    plot = Animator(ylabel='loss', **limits)
    plot.add(10, 0.5)
    plot.add(20, 0.25)
    plot.print('a validation')
    plot.close()
    printed = capsys.readouterr()
    assert printed.out == 'a validation\n'
    first, second = printed.err.splitlines()
    assert first == f'{start}loss 0.500' and second.endswith('loss 0.250')


def test_a_log_gets_no_line_within_half_a_minute(monkeypatch, capsys):
    seconds = iter([100, 129, 131, 131, 160])
    monkeypatch.setattr(animator.time, 'monotonic', lambda: next(seconds))
    plot = Animator(ylabel='loss')
    for x in (1, 2, 3):
        plot.add(x, 0.5)
    assert capsys.readouterr().err == 'x 2: loss 0.500\n'


def test_a_single_point_is_visible_and_epochs_are_whole_numbers():
    plot = Animator(xlabel='epoch', xlim=[1, 1], legend=['train', 'validation'])
    plot.add(1, [0.5, None])
    plot.to_bytes('.svg')
    (axes,) = plot.axes
    assert [line.get_marker() for line in axes.lines] == ['o', 'None']
    assert [float(x) for x in axes.get_xticks() if 0.9 < x < 1.1] == [1.0]
    plot.add(2, [0.4, 0.6])
    plot.to_bytes('.svg')
    assert [line.get_marker() for line in axes.lines] == ['None', 'o']
    assert all(float(x).is_integer() for x in axes.get_xticks())


def test_a_notebook_shows_one_figure_that_is_updated(monkeypatch):
    import IPython
    from IPython import display

    shown, updates = [], []

    class Handle:
        def update(self, figure):
            updates.append(figure.data)

    def show(figure, display_id):
        shown.append(figure.data)
        return Handle()

    monkeypatch.setattr(IPython, 'get_ipython', lambda: types.SimpleNamespace(kernel=object()))
    monkeypatch.setattr(display, 'display', show)
    assert animator._in_notebook()
    animator_with_points().close()
    assert len(shown) == 1 and len(updates) == 2
    assert len(set(shown + updates)) == 3
    assert all('<svg' in figure for figure in shown + updates)
