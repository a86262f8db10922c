"""The installed d2l, loaded after MXNet has been prepared: the only file that imports it."""

from __future__ import annotations

from .. import _mxnet  # noqa: F401  (d2l imports MXNet, which must be prepared first)

# isort: split
from d2l import mxnet as d2l

__all__ = ['d2l']


def _use_svg_display() -> None:
    """Show plots in notebooks as SVG."""
    from matplotlib_inline import backend_inline

    backend_inline.set_matplotlib_formats('svg')


# The function of d2l 0.16, which Python 3.12 and later install, calls one that IPython 9 removed.
# `set_figsize`, `plot` and `show_heatmaps` all call it.
if hasattr(d2l, 'display') and not hasattr(d2l.display, 'set_matplotlib_formats'):
    d2l.use_svg_display = _use_svg_display
