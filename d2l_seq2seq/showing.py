"""What a notebook shows of the package: a definition as it stands there, a figure as SVG."""
from __future__ import annotations

import inspect
from typing import Any

from matplotlib.figure import Figure

from .book.animator import figure_bytes


def show_code(*definitions: Any) -> None:
    """Show the source of functions and classes, highlighted.

    Raises
    ------
    TypeError
        If one of them is neither.
    """
    from IPython.display import Markdown, display

    for definition in definitions:
        display(Markdown(f'```python\n{inspect.getsource(definition)}```'))


def show(figure: Figure) -> None:
    """Show a figure as SVG, the same bytes each time it is drawn alike."""
    from IPython.display import SVG, display

    display(SVG(figure_bytes(figure, '.svg')))
