"""Pictures: the loss as it grows, in a notebook, a terminal or a file; what attention looks at.

`Animator` has the signature of d2l's (0.14, section 3.6.5).  d2l's needs a notebook: elsewhere it
prints ``<Figure size ...>`` at every point.  This one draws with matplotlib's `Figure` alone, so
it neither needs a display nor touches pyplot's state.
"""

from __future__ import annotations

import io
import itertools
import sys
from pathlib import Path
from typing import Sequence

import matplotlib
from matplotlib.figure import Figure

from ..errors import InputError

_FORMATS = ('.svg', '.png', '.pdf')
# Without these two a drawing holds its date and random ids, and no two files are the same.
_REPRODUCIBLE = {'svg.hashsalt': 'd2l_seq2seq'}
_NO_DATE = {'.svg': {'Date': None}, '.png': {}, '.pdf': {'CreationDate': None}}


class Animator:
    """Lines to which points are added while they are looked at.

    In a notebook there is one figure, which is redrawn in place and stays in the saved file.  In a
    terminal there is one progress bar that runs over `xlim` and shows the latest values.  Where
    there is neither, points are only kept.  `save` writes the picture from anywhere.

    Parameters
    ----------
    xlabel, ylabel : str, optional
    legend : list of str, optional
        A name for each line.
    xlim, ylim : (float, float), optional
    xscale, yscale : str
        As matplotlib names them, such as ``linear`` or ``log``.
    fmts : sequence of str
        Matplotlib's format of each line; used again from the first when there are more lines.
    nrows, ncols : int
        Panels; the points go to the first.
    figsize : (float, float)
        Inches.

    Attributes
    ----------
    X, Y : list of list of float, or None
        The points of each line; None before the first.
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
        self.fig = Figure(figsize=figsize, layout='tight')
        self.axes = list(self.fig.subplots(nrows, ncols, squeeze=False).flat)
        self.X, self.Y, self.fmts = None, None, fmts
        self._names = legend or [ylabel or '']
        self._legend = legend
        # Matplotlib warns of an axis from 1 to 1, which is what one epoch asks for.
        limits = {
            name: ends
            for name, ends in (('xlim', xlim), ('ylim', ylim))
            if ends and ends[0] != ends[1]
        }
        self._settings = {
            'xlabel': xlabel,
            'ylabel': ylabel,
            'xscale': xscale,
            'yscale': yscale,
            **limits,
        }
        self._view = _NotebookFigure() if _in_notebook() else _ProgressBar(xlabel, xlim)

    def add(self, x, y) -> None:
        """Add a point to each line and show it.

        Parameters
        ----------
        x : float or sequence of float
            Common to all lines, or one for each.
        y : float or sequence of float
            One for each line; a line whose `x` or `y` is None gets no point.
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
        """Print lines without getting into the progress bar's way."""
        self._view.print(text)

    def latest(self) -> tuple[float, str]:
        """The largest x so far, and each line's name with its last value."""
        values = [
            f'{name} {ys[-1]:.3f}'.strip()
            for name, ys in zip(itertools.cycle(self._names), self.Y)
            if ys
        ]
        return max(xs[-1] for xs in self.X if xs), ', '.join(values)

    def to_bytes(self, suffix: str) -> bytes:
        """The picture as a file of that suffix; the same points always give the same bytes."""
        ax = self.axes[0]
        ax.cla()
        for xs, ys, fmt in zip(self.X or [], self.Y or [], itertools.cycle(self.fmts)):
            ax.plot(xs, ys, fmt)
        ax.set(**self._settings)
        if self._legend and self.X:
            ax.legend(self._legend)
        ax.grid(True)
        return figure_bytes(self.fig, suffix)

    def save(self, path: str | Path) -> None:
        """Write the picture to a file.

        Raises
        ------
        InputError
            If the file's suffix isn't .svg, .png or .pdf.
        """
        Path(path).write_bytes(self.to_bytes(picture_suffix(path)))

    def close(self) -> None:
        """Take the progress bar off the terminal; a figure in a notebook stays."""
        self._view.close()


def picture_suffix(path: str | Path) -> str:
    """The suffix of a picture's file name.

    Raises
    ------
    InputError
        If it isn't .svg, .png or .pdf.
    """
    suffix = Path(path).suffix.lower()
    if suffix not in _FORMATS:
        raise InputError(
            f"{path}: expected a picture's name to end in {', '.join(_FORMATS)}, got "
            f'{suffix or "no suffix"}'
        )
    return suffix


def figure_bytes(figure: Figure, suffix: str) -> bytes:
    """A figure as a file of that suffix; the same figure always gives the same bytes."""
    buffer = io.BytesIO()
    with matplotlib.rc_context(_REPRODUCIBLE):
        figure.savefig(buffer, format=suffix[1:], metadata=_NO_DATE[suffix])
    return buffer.getvalue()


def _in_notebook() -> bool:
    """Whether the code runs in a Jupyter kernel; without loading IPython to find out."""
    if 'IPython' not in sys.modules:
        return False
    shell = sys.modules['IPython'].get_ipython()
    return getattr(shell, 'kernel', None) is not None


class _NotebookFigure:
    """One output cell, filled anew."""

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
    """One line on a terminal, and nothing where standard error is not one."""

    def __init__(self, unit: str | None, xlim: tuple[float, float] | None):
        from tqdm import tqdm

        self._bar = tqdm(
            total=xlim and xlim[1], unit=f' {unit or "points"}', disable=None, leave=False
        )

    def show(self, animator: Animator) -> None:
        x, text = animator.latest()
        self._bar.set_postfix_str(text, refresh=False)
        self._bar.update(x - self._bar.n)

    def print(self, text: str) -> None:
        with self._bar.external_write_mode(file=sys.stdout):
            print(text, flush=True)

    def close(self) -> None:
        self._bar.close()
