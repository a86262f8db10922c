"""Figures of attention weights, models and searches, and functions that display them in notebooks.

`attention_figure` draws attention weights, `unrolled_diagram` and `layers_diagram` draw a model,
and `tree_figure` draws a beam search.  Each returns a `matplotlib.figure.Figure`, which needs
neither a display nor pyplot.  In a notebook, `show` displays a figure, and `show_code` displays the
source of functions and classes.
"""

from __future__ import annotations

import ast
import html
import inspect
import math
import textwrap
from typing import Any, Mapping, Sequence

from matplotlib.axes import Axes
from matplotlib.figure import Figure

from .book.animator import figure_bytes

ENCODER_COLOR, DECODER_COLOR, PLAIN_COLOR = '#cfe2f3', '#fce5cd', '#eeeeee'
_FAINT_COLOR, _BEST_COLOR = '#999999', '#c0392b'
_FONT_SIZE = 8  # points; the figures fit into a column of 7.5 inches
# Lines are scrolled and not broken, also inside of Jupyter's styles.
_CODE_STYLE = (
    'white-space: pre; overflow-x: auto; overflow-wrap: normal; word-break: normal; '
    'font-family: var(--jp-code-font-family, monospace); font-size: var(--jp-code-font-size, 13px)'
)
_ARROW = {'arrowstyle': '-|>', 'color': 'black', 'shrinkA': 0, 'shrinkB': 0}


def attention_figure(
    weights: Sequence, sources: Sequence[Sequence[str]], targets: Sequence[Sequence[str]]
) -> Figure:
    """Draw the attention weights of some sentences as heatmaps, side by side.

    The darker a cell, the larger the weight of its source token for its target token.

    Parameters
    ----------
    weights : sequence of float arrays of shape (num_target_tokens, num_source_tokens)
        One array for each sentence, with values from 0 to 1.
    sources, targets : sequence of sequences of str
        The tokens of each sentence: sources label the columns, targets the rows.

    Returns
    -------
    matplotlib.figure.Figure
    """
    figure = Figure(figsize=(0.4 + 1.8 * len(weights), 2.4), layout='tight')
    axes = figure.subplots(1, len(weights), squeeze=False)[0]
    for ax, sentence_weights, source, target in zip(axes, weights, sources, targets):
        ax.imshow(sentence_weights, cmap='Greys', vmin=0, vmax=1, aspect='auto')
        ax.set_xticks(range(len(source)), source, rotation=45, ha='right')
        ax.set_yticks(range(len(target)), target)
        ax.tick_params(labelsize=8)
    return figure


def unrolled_diagram(
    source: Sequence[str], target: Sequence[str], feeds_back: bool = False
) -> Figure:
    """Draw an encoder and a decoder unrolled over time, with a cell for each token.

    The diagram corresponds to Figures 9.7.1 (training) and 9.7.3 (prediction) of d2l 0.14.

    Parameters
    ----------
    source, target : sequence of str
        Tokens; the target without ``<bos>`` and ``<eos>``.
    feeds_back : bool
        If True, the decoder reads the token that it predicted last, as in prediction.  If False, it
        reads the target, as in training.

    Returns
    -------
    matplotlib.figure.Figure
    """
    figure, ax = _canvas(0.75 * (len(source) + len(target) + 3), 2.2)
    for x, token in enumerate(source):
        is_last = x + 1 == len(source)
        _cell(ax, x, ENCODER_COLOR)
        _text(ax, x, 0, token)
        _arrow(ax, (x + 0.35, 1), (x + (1.65 if is_last else 0.65), 1))
    _text(ax, len(source), 1.2, r'$\mathbf{c}$')
    first = len(source) + 1  # x of the decoder's first cell
    inputs, outputs = ['<bos>', *target], [*target, '<eos>']
    for step, (input_token, output_token) in enumerate(zip(inputs, outputs)):
        x = first + step
        _cell(ax, x, DECODER_COLOR)
        _arrow(ax, (x, 1.3), (x, 1.75))
        _text(ax, x, 2, output_token)
        if step:
            _arrow(ax, (x - 0.65, 1), (x - 0.35, 1))
        if step and feeds_back:  # a line from the last output to this input
            path = [x - 1, x - 0.5, x - 0.5, x, x], [2, 2, 0, 0, 0.25]
            ax.plot(*path, '--', color=_FAINT_COLOR)
        else:
            _text(ax, x, 0, input_token)
    _text(ax, (len(source) - 1) / 2, 2.6, 'encoder', style='italic')
    _text(ax, first + len(target) / 2, 2.6, 'decoder', style='italic')
    ax.set(xlim=(-0.6, first + len(target) + 0.7), ylim=(-0.3, 2.8))
    return figure


def layers_diagram(columns: Mapping[str, Sequence[str]], links: Sequence[Sequence]) -> Figure:
    """Draw the layers of a model as stacks of boxes, with a column for each part of the model.

    The diagrams correspond to Figures 9.7.2 and 10.2.2 of d2l 0.14.

    Parameters
    ----------
    columns : mapping of str to sequence of str
        The names of the layers of each part, from its input upwards; an empty name leaves a gap.
        At most three parts.
    links : sequence of ((part, layer), (part, layer)) or ((part, layer), (part, layer), label)
        The arrows between columns: from a layer of one part to a layer of another.  The label says
        what is passed on.  Of two arrows between the same layers, the one to the left is drawn
        lower.

    Returns
    -------
    matplotlib.figure.Figure

    Raises
    ------
    KeyError
        If a link names a layer that is not in the columns.
    """
    height = max(map(len, columns.values()))
    spacing = 2.4  # between the centers of neighboring columns
    figure, ax = _canvas(spacing * len(columns), 0.75 * height + 0.6)
    colors = (
        (ENCODER_COLOR, DECODER_COLOR)
        if len(columns) == 2
        else (ENCODER_COLOR, PLAIN_COLOR, DECODER_COLOR)
    )
    centers = {}
    for index, ((part, layers), color) in enumerate(zip(columns.items(), colors)):
        x = spacing * index
        _text(ax, x, height - 0.3, part, style='italic')
        for y, layer in enumerate(layers):
            if layer:
                centers[part, layer] = (x, y)
                _box(ax, (x, y), layer, color, width=1.4)
            if y and layer and layers[y - 1]:
                _arrow(ax, (x, y - 0.7), (x, y - 0.3))
    pairs = [{start, end} for start, end, *_ in links]
    for start, end, *labels in links:
        (start_x, start_y), (end_x, end_y) = centers[start], centers[end]
        half_width = math.copysign(0.7, end_x - start_x)
        shift = math.copysign(0.15, half_width) if pairs.count({start, end}) > 1 else 0
        _arrow(ax, (start_x + half_width, start_y + shift), (end_x - half_width, end_y + shift))
        below = shift < 0
        ax.text(
            (start_x + end_x) / 2,
            (start_y + end_y) / 2 + shift + (-0.06 if below else 0.04),
            ''.join(labels),
            ha='center',
            va='top' if below else 'bottom',
            size=_FONT_SIZE,
        )
    ax.set(xlim=(-0.9, spacing * (len(columns) - 1) + 0.9), ylim=(-0.5, height))
    return figure


def tree_figure(nodes: Sequence, tokens: Sequence[str], best: Sequence[str]) -> Figure:
    """Draw the tree of a beam search: each node with its token and the probability of its sequence.

    The nodes of the best sequence are drawn in color.

    Parameters
    ----------
    nodes : sequence of TreeNode
        As `search_tree` returns them.
    tokens : sequence of str
        The token of each node.
    best : sequence of str
        The tokens of the best sequence, with ``<eos>`` if it has ended.

    Returns
    -------
    matplotlib.figure.Figure
    """
    sequences: list[list[str]] = []  # the tokens from the root to each node
    for node, token in zip(nodes, tokens):
        sequences.append([*([] if node.parent is None else sequences[node.parent]), token])
    longest = max(map(len, sequences))
    heights = _node_heights(nodes)
    figure, ax = _canvas(1.05 * longest + 0.7, 0.25 * (max(heights) + 1) + 0.3)
    root_height = max(heights) / 2
    _text(ax, 0, root_height, '<bos>')
    for node, sequence, height in zip(nodes, sequences, heights):
        x = len(sequence)
        parent_height = root_height if node.parent is None else heights[node.parent]
        is_best = sequence == list(best[:x])
        ax.plot([x - 1, x], [parent_height, height], color=_BEST_COLOR if is_best else _FAINT_COLOR)
        label = f'{sequence[-1]}  {math.exp(node.log_prob):.2g}'
        _text(ax, x, height, label, color=_BEST_COLOR if is_best else 'black')
    ax.set(xlim=(-0.4, longest + 0.6), ylim=(max(heights) + 0.6, -0.6))
    return figure


def show(figure: Figure) -> None:
    """Display a figure as SVG in a notebook; the same figure gives the same bytes each time."""
    from IPython.display import SVG, display

    display(SVG(figure_bytes(figure, '.svg')))


def show_code(*definitions: Any) -> None:
    """Display the source of functions and classes in a notebook, without docstrings.

    The text has a fixed-width font, and long lines are not broken.

    Raises
    ------
    TypeError
        If a definition is neither a function nor a class.
    """
    from IPython.display import display

    codes = [without_docstrings(inspect.getsource(definition)) for definition in definitions]
    for code in codes:
        display({'text/html': _code_html(code), 'text/plain': code}, raw=True)


def without_docstrings(code: str) -> str:
    """Return the code of a function or class without its docstrings and those inside it.

    A method of a class may be indented, as `inspect.getsource` returns it.
    """
    code = textwrap.dedent(code)
    lines = code.splitlines()
    hidden: set[int] = set()  # numbers of lines
    for node in ast.walk(ast.parse(code)):
        if isinstance(node, (ast.ClassDef, ast.FunctionDef)) and ast.get_docstring(node):
            docstring = node.body[0]
            first, last = docstring.lineno, docstring.end_lineno or docstring.lineno
            if len(node.body) == 1:  # there must be a statement
                lines[first - 1] = ' ' * docstring.col_offset + '...'
                first += 1
            elif last < len(lines) and not lines[last].strip():
                last += 1  # the empty line after the docstring
            hidden.update(range(first, last + 1))
    return ''.join(f'{line}\n' for number, line in enumerate(lines, 1) if number not in hidden)


def _code_html(code: str) -> str:
    """Return code as HTML, in the colors of the reader's Jupyter theme."""
    from pygments import lexers, token

    colors = {token.Keyword: 'keyword', token.Comment: 'comment', token.String: 'string'}
    parts = []
    for kind, text in lexers.PythonLexer(stripnl=False).get_tokens(code):
        text = html.escape(text, quote=False)
        for color_kind, name in colors.items():
            if kind in color_kind:
                style = f'color: var(--jp-mirror-editor-{name}-color)'
                text = f'<span style="{style}">{text}</span>'
        parts.append(text)
    return f'<pre style="{_CODE_STYLE}">{"".join(parts)}</pre>'


def _node_heights(nodes: Sequence) -> list[float]:
    """Return the height of each node: one line per leaf, a parent midway between its children."""
    children = [
        [index for index, node in enumerate(nodes) if node.parent == parent]
        for parent in [None, *range(len(nodes))]
    ]
    heights, lines = [0.0] * len(nodes), iter(range(len(nodes)))

    def set_height(index: int) -> float:
        child_heights = [set_height(child) for child in children[index + 1]]
        heights[index] = (
            (child_heights[0] + child_heights[-1]) / 2 if child_heights else next(lines)
        )
        return heights[index]

    for first in children[0]:
        set_height(first)
    return heights


def _canvas(width: float, height: float) -> tuple[Figure, Axes]:
    """Return an empty figure without visible axes; width and height are inches."""
    figure = Figure(figsize=(width, height), layout='tight')
    ax = figure.subplots()
    ax.axis('off')
    return figure, ax


def _cell(ax: Axes, x: float, color: str) -> None:
    """Draw the cell of a token, with an arrow from its input."""
    _box(ax, (x, 1), '', color)
    _arrow(ax, (x, 0.25), (x, 0.7))


def _box(ax: Axes, center: tuple[float, float], text: str, color: str, width: float = 0.7) -> None:
    x, y = center
    left, right, bottom, top = x - width / 2, x + width / 2, y - 0.3, y + 0.3
    ax.fill(
        [left, right, right, left],
        [bottom, bottom, top, top],
        facecolor=color,
        edgecolor='black',
        linewidth=1,
    )
    ax.text(x, y, text, ha='center', va='center', size=_FONT_SIZE)


def _text(ax: Axes, x: float, y: float, text: str, **style) -> None:
    """Draw a text on a white background, which hides the lines that it covers."""
    ax.text(
        x,
        y,
        text,
        ha='center',
        va='center',
        size=_FONT_SIZE,
        bbox={'facecolor': 'white', 'edgecolor': 'none', 'pad': 1},
        **style,
    )


def _arrow(ax: Axes, start: tuple[float, float], end: tuple[float, float]) -> None:
    ax.annotate('', xy=end, xytext=start, arrowprops=_ARROW)
