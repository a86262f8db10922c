"""A plot that is updated during training (d2l 0.14, section 3.6.5), and figures as files.

`Animator` has the signature of d2l's class.  The book's animator works in notebooks only: elsewhere
it prints ``<Figure size ...>`` at every update.  This one shows a progress bar in a terminal,
writes lines into a log file, and saves the plot to a file from anywhere.  It uses matplotlib's
`Figure` without pyplot, so it needs no display and leaves pyplot's state alone.
"""

from __future__ import annotations

import contextlib
import io
import itertools
import sys
import time
from pathlib import Path
from typing import TYPE_CHECKING, Sequence

if TYPE_CHECKING:
    from matplotlib.figure import Figure

from ..errors import InputError

SECONDS_BETWEEN_LINES = 30  # in a log file
_FORMATS = ('.svg', '.png', '.pdf')
# By default a file contains its date and random ids, so two files of the same figure differ.
_REPRODUCIBLE = {'svg.hashsalt': 'd2l_seq2seq'}
_NO_DATE = {'.svg': {'Date': None}, '.png': {}, '.pdf': {'CreationDate': None}}


class Animator:
    """A line plot that is updated as points are added.

    In a notebook, one figure is redrawn in place and remains in the saved notebook.  In a terminal,
    a progress bar runs over `xlim` and shows the latest values.  If standard error is a file, a
    line with the latest values is written to it every half minute.  `save` writes the plot to a
    file in all three.

    Parameters
    ----------
    xlabel, ylabel : str, optional
        Axis labels.
    legend : list of str, optional
        The name of each line.
    xlim, ylim : (float, float), optional
        Axis limits.
    xscale, yscale : str
        Axis scales as matplotlib names them, such as ``linear`` or ``log``.
    fmts : sequence of str
        The matplotlib format of each line.  The formats repeat if there are more lines.
    nrows, ncols : int
        Number of subplots.  The lines are drawn in the first.
    figsize : (float, float)
        Width and height in inches.

    Attributes
    ----------
    X, Y : list of list of float, or None
        The coordinates of each line's points; None until the first call of `add`.
    fig : matplotlib.figure.Figure
    axes : list of matplotlib.axes.Axes
    """

    def __init__(
        self,
        xlabel=None,
        ylabel=None,
        legend=None,
        xlim=None,
        ylim=None,
        xscale='linear',
        yscale='linear',
        fmts=('-', 'm--', 'g-.', 'r:'),
        nrows=1,
        ncols=1,
        figsize=(3.5, 2.5),
    ):
        from matplotlib.figure import Figure  # only plots need it, and it takes a while to load

        self.fig = Figure(figsize=figsize, layout='tight')
        self.axes = list(self.fig.subplots(nrows, ncols, squeeze=False).flat)
        self.X, self.Y, self.fmts = None, None, fmts
        self._names = legend or [ylabel or '']
        self._legend = legend
        # Training for one epoch gives an axis from 1 to 1, about which matplotlib would warn.
        limits = {
            name: limit
            for name, limit in (('xlim', xlim), ('ylim', ylim))
            if limit and limit[0] != limit[1]
        }
        self._settings = {
            'xlabel': xlabel,
            'ylabel': ylabel,
            'xscale': xscale,
            'yscale': yscale,
            **limits,
        }
        if _in_notebook():
            self._view = _NotebookFigure()
        elif sys.stderr is not None and sys.stderr.isatty():
            self._view = _ProgressBar(xlabel, xlim)
        else:
            self._view = _LogLines(xlabel, xlim)

    def add(self, x, y) -> None:
        """Add a point to each line and update the display.

        Parameters
        ----------
        x : float or sequence of float
            One value for all lines, or one value for each.
        y : float or sequence of float
            One value for each line.  A line whose `x` or `y` is None gets no point.
        """
        ys = list(y) if isinstance(y, Sequence) else [y]
        xs = list(x) if isinstance(x, Sequence) else [x] * len(ys)
        if self.X is None:
            self.X, self.Y = [[] for _ in ys], [[] for _ in ys]
        for line_x, line_y, point_x, point_y in zip(self.X, self.Y, xs, ys):
            if point_x is not None and point_y is not None:
                line_x.append(point_x)
                line_y.append(point_y)
        self._view.show(self)

    def print(self, text: str) -> None:
        """Print a text without disturbing the progress bar."""
        self._view.print(text)

    def latest(self) -> tuple[float, str]:
        """Return the largest x so far and a text with the last value of each line."""
        values = [
            f'{name} {ys[-1]:.3f}'.strip()
            for name, ys in zip(itertools.cycle(self._names), self.Y)
            if ys
        ]
        return max(xs[-1] for xs in self.X if xs), ', '.join(values)

    def to_bytes(self, suffix: str) -> bytes:
        """Return the plot in the format of a file suffix; see `figure_bytes`."""
        ax = self.axes[0]
        ax.cla()
        for xs, ys, fmt in zip(self.X or [], self.Y or [], itertools.cycle(self.fmts)):
            ax.plot(xs, ys, fmt, marker='o' if len(xs) == 1 else None)  # a line needs two points
        ax.set(**self._settings)
        if ax.get_xscale() == 'linear' and all(x == int(x) for xs in self.X or [] for x in xs):
            # There is no half epoch.
            ax.xaxis.get_major_locator().set_params(integer=True, min_n_ticks=1)
        if self._legend and self.X:
            ax.legend(self._legend)
        ax.grid(True)
        return figure_bytes(self.fig, suffix)

    def save(self, path: str | Path) -> None:
        """Write the plot to a file.

        Raises
        ------
        InputError
            If the file name does not end in .svg, .png or .pdf.
        """
        Path(path).write_bytes(self.to_bytes(picture_suffix(path)))

    def close(self) -> None:
        """Remove the progress bar from the terminal.  A figure in a notebook remains."""
        self._view.close()


def picture_suffix(path: str | Path) -> str:
    """Return the suffix of the file name of a picture, in lower case.

    Raises
    ------
    InputError
        If it is not .svg, .png or .pdf.
    """
    suffix = Path(path).suffix.lower()
    if suffix not in _FORMATS:
        raise InputError(
            f'{path}: expected a file name that ends in .svg, .png or .pdf, got '
            f'{suffix or "no suffix"}'
        )
    return suffix


def figure_bytes(figure: Figure, suffix: str) -> bytes:
    """Return a figure in the format of a file suffix: .svg, .png or .pdf.

    The same figure always gives the same bytes.
    """
    import matplotlib

    buffer = io.BytesIO()
    with matplotlib.rc_context(_REPRODUCIBLE):
        figure.savefig(buffer, format=suffix[1:], metadata=_NO_DATE[suffix])
    return buffer.getvalue()


def _in_notebook() -> bool:
    """Return True in a Jupyter kernel, without loading IPython to find out."""
    if 'IPython' not in sys.modules:
        return False
    shell = sys.modules['IPython'].get_ipython()
    return getattr(shell, 'kernel', None) is not None


class _NotebookFigure:
    """A display of one figure that is replaced in place."""

    def __init__(self):
        self._handle = None

    def show(self, animator: Animator) -> None:
        from IPython.display import SVG, display

        figure = SVG(animator.to_bytes('.svg'))
        if self._handle is None:
            self._handle = display(figure, display_id=True)
        else:
            self._handle.update(figure)

    def print(self, text: str) -> None:
        print(text, flush=True)

    def close(self) -> None:
        pass


class _ProgressBar:
    """A progress bar on standard error, which is a terminal."""

    def __init__(self, unit: str | None, xlim: tuple[float, float] | None):
        from tqdm import tqdm

        self._bar = tqdm(total=xlim and xlim[1], unit=f' {unit or "points"}', leave=False)

    def show(self, animator: Animator) -> None:
        x, text = animator.latest()
        self._bar.set_postfix_str(text, refresh=False)
        self._bar.update(x - self._bar.n)

    def print(self, text: str) -> None:
        with self._bar.external_write_mode(file=sys.stdout):
            print(text, flush=True)

    def close(self) -> None:
        self._bar.close()


class _LogLines:
    """A line on standard error now and then, for a log file."""

    def __init__(self, unit: str | None, xlim: tuple[float, float] | None):
        self._unit = unit or 'x'
        self._end = f' of {xlim[1]:g}' if xlim else ''
        self._last = time.monotonic()

    def show(self, animator: Animator) -> None:
        if time.monotonic() - self._last < SECONDS_BETWEEN_LINES:
            return
        self._last = time.monotonic()
        x, text = animator.latest()
        with contextlib.suppress(OSError):  # a full disk does not stop the training
            print(f'{self._unit} {x:g}{self._end}: {text}', file=sys.stderr, flush=True)

    def print(self, text: str) -> None:
        print(text, flush=True)

    def close(self) -> None:
        pass
