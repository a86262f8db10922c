"""plotting."""

from __future__ import annotations

import inspect
import math
from typing import Any, Mapping, Sequence

from matplotlib.axes import Axes
from matplotlib.figure import Figure

from .book.animator import figure_bytes


def attention_figure(
    weights: Sequence, sources: Sequence[Sequence[str]], targets: Sequence[Sequence[str]]
) -> Figure:
    """Heat-maps of attention weights, one for each sentence, side by side.

    Parameters
    ----------
    weights : sequence of arrays of shape (num_target_tokens, num_source_tokens)
        Dark where a target token looks.
    sources, targets : sequences of lists of str
        The tokens at the columns and at the rows.
    """
    figure = Figure(figsize=(0.4 + 1.8 * len(weights), 2.4), layout='tight')
    axes = figure.subplots(1, len(weights), squeeze=False)[0]
    for ax, values, source, target in zip(axes, weights, sources, targets):
        ax.imshow(values, cmap='Greys', vmin=0, vmax=1, aspect='auto')
        ax.set_xticks(range(len(source)), source, rotation=45, ha='right')
        ax.set_yticks(range(len(target)), target)
        ax.tick_params(labelsize=8)
    return figure


ENCODER_COLOR, DECODER_COLOR, PLAIN_COLOR = '#cfe2f3', '#fce5cd', '#eeeeee'
_FAINT, _BOLD = '#999999', '#c0392b'
_FONT_SIZE = 8  # points; the figures fit into a column of some 7.5 inches
_ARROW = {'arrowstyle': '-|>', 'color': 'black', 'shrinkA': 0, 'shrinkB': 0}


def unrolled_diagram(
    source: Sequence[str], target: Sequence[str], feeds_back: bool = False
) -> Figure:
    """An encoder and a decoder, a cell for each token (as d2l 0.14, Fig. 9.7.1 and 9.7.3 tell it).

    Parameters
    ----------
    source, target : sequences of str
        Tokens; the target without ``<bos>`` and ``<eos>``.
    feeds_back : bool
        True: the decoder reads what it has just written.  False: it reads the target.
    """
    figure, ax = _canvas(0.75 * (len(source) + len(target) + 3), 2.2)
    first = len(source) + 1  # place of the decoder's first cell
    read, written = ['<bos>', *target], [*target, '<eos>']
    for place, token in enumerate(source):
        _box(ax, (place, 1), '', ENCODER_COLOR)
        _arrow(ax, (place, 0.25), (place, 0.7))
        _text(ax, place, 0, token)
        _arrow(ax, (place + 0.35, 1), (place + (1.65 if place + 1 == len(source) else 0.65), 1))
    _text(ax, len(source), 1.2, r'$\mathbf{c}$')
    for step, (before, token) in enumerate(zip(read, written)):
        place = first + step
        _box(ax, (place, 1), '', DECODER_COLOR)
        _arrow(ax, (place, 0.25), (place, 0.7))
        _arrow(ax, (place, 1.3), (place, 1.75))
        _text(ax, place, 2, token)
        if step:
            _arrow(ax, (place - 0.65, 1), (place - 0.35, 1))
        if step and feeds_back:
            ax.plot(
                [place - 1, place - 0.5, place - 0.5, place, place],
                [2, 2, 0, 0, 0.25],
                '--',
                color=_FAINT,
            )
        else:
            _text(ax, place, 0, before)
    _text(ax, (len(source) - 1) / 2, 2.6, 'encoder', style='italic')
    _text(ax, first + len(target) / 2, 2.6, 'decoder', style='italic')
    ax.set(xlim=(-0.6, first + len(target) + 0.7), ylim=(-0.3, 2.8))
    return figure


def layers_diagram(
    columns: Mapping[str, Sequence[str]], links: Sequence[tuple[tuple[str, str], tuple[str, str]]]
) -> Figure:
    """Layers as boxes on top of each other, side by side for each part of a model.

    Parameters
    ----------
    columns : mapping of str to sequence of str
        For each part of the model its layers, from its input up; an empty name leaves a gap.
    links : sequence of pairs of (part, layer)
        What is handed from a layer of one part to a layer of another.
    """
    height = max(map(len, columns.values()))
    figure, ax = _canvas(2.2 * len(columns), 0.75 * height + 0.6)
    colors = (
        (ENCODER_COLOR, DECODER_COLOR)
        if len(columns) == 2
        else (ENCODER_COLOR, PLAIN_COLOR, DECODER_COLOR)
    )
    places = {}
    for (part, layers), color, x in zip(columns.items(), colors, range(len(columns))):
        _text(ax, 2 * x, height - 0.3, part, style='italic')
        for y, layer in enumerate(layers):
            if layer:
                places[part, layer] = (2 * x, y)
                _box(ax, (2 * x, y), layer, color, width=1.4)
            if y and layer and layers[y - 1]:
                _arrow(ax, (2 * x, y - 0.7), (2 * x, y - 0.3))
    for start, end in links:
        (start_x, start_y), (end_x, end_y) = places[start], places[end]
        side = math.copysign(0.7, end_x - start_x)
        _arrow(ax, (start_x + side, start_y), (end_x - side, end_y))
    ax.set(xlim=(-0.9, 2 * len(columns) - 1.1), ylim=(-0.5, height))
    return figure


def tree_figure(nodes: Sequence, tokens: Sequence[str], best: Sequence[str]) -> Figure:
    """The tree of a beam search: each node with its token and the probability of the way there.

    Parameters
    ----------
    nodes : sequence of TreeNode
        As `beam.search_tree` returns them.
    tokens : sequence of str
        The token of each node.
    best : sequence of str
        The tokens of the sequence that won, with ``<eos>`` if it ended: the way to stand out.
    """
    ways = []  # the tokens up to each node
    for node, token in zip(nodes, tokens):
        ways.append([*([] if node.parent is None else ways[node.parent]), token])
    heights = _heights(nodes)
    figure, ax = _canvas(1.05 * max(map(len, ways)) + 0.7, 0.25 * (max(heights) + 1) + 0.3)
    root = max(heights) / 2
    _text(ax, 0, root, '<bos>')
    for node, way, height in zip(nodes, ways, heights):
        color = _BOLD if way == list(best[: len(way)]) else _FAINT
        ax.plot(
            [len(way) - 1, len(way)],
            [root if node.parent is None else heights[node.parent], height],
            color=color,
        )
        _text(
            ax,
            len(way),
            height,
            f'{way[-1]}  {math.exp(node.log_prob):.2g}',
            color=color if color == _BOLD else 'black',
        )
    ax.set(xlim=(-0.4, max(map(len, ways)) + 0.6), ylim=(max(heights) + 0.6, -0.6))
    return figure


def _heights(nodes: Sequence) -> list[float]:
    """A line for each node that none continues, and the others in the middle of theirs."""
    children = [
        [number for number, node in enumerate(nodes) if node.parent == parent]
        for parent in [None, *range(len(nodes))]
    ]
    heights, lines = [0.0] * len(nodes), iter(range(len(nodes)))

    def place(node: int) -> float:
        own = [place(child) for child in children[node + 1]]
        heights[node] = (own[0] + own[-1]) / 2 if own else next(lines)
        return heights[node]

    for first in children[0]:
        place(first)
    return heights


def _canvas(width: float, height: float) -> tuple[Figure, Axes]:
    """A figure of so many inches with nothing on it."""
    figure = Figure(figsize=(width, height), layout='tight')
    ax = figure.subplots()
    ax.axis('off')
    return figure, ax


def _box(ax: Axes, center: tuple[float, float], text: str, color: str, width: float = 0.7) -> None:
    x, y = center
    ax.fill(
        [x - width / 2, x + width / 2, x + width / 2, x - width / 2],
        [y - 0.3, y - 0.3, y + 0.3, y + 0.3],
        facecolor=color,
        edgecolor='black',
        linewidth=1,
    )
    ax.text(x, y, text, ha='center', va='center', size=_FONT_SIZE)


def _text(ax: Axes, x: float, y: float, text: str, **look) -> None:
    """Text that hides what is behind it."""
    ax.text(
        x,
        y,
        text,
        ha='center',
        va='center',
        size=_FONT_SIZE,
        bbox={'facecolor': 'white', 'edgecolor': 'none', 'pad': 1},
        **look,
    )


def _arrow(ax: Axes, start: tuple[float, float], end: tuple[float, float]) -> None:
    ax.annotate('', xy=end, xytext=start, arrowprops=_ARROW)


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
