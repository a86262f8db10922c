"""Figures: their texts and places, the same bytes each time, and what a notebook displays."""

import ast
import html
import inspect
import math
import re

import numpy as onp
import pytest
from matplotlib.figure import Figure

from d2l_seq2seq import Vocab, truncate_pad
from d2l_seq2seq.book.animator import figure_bytes
from d2l_seq2seq.inference.beam_search import TreeNode
from d2l_seq2seq.plotting import (
    attention_figure,
    layers_diagram,
    show,
    show_code,
    tree_figure,
    unrolled_diagram,
    without_docstrings,
)

SOURCE, TARGET = ['they', 'watch', '.'], ['ils', 'regardent', '.']


def texts(figure):
    """Return the texts of a figure with their places."""
    return [
        (text.get_text(), *text.get_position()) for text in figure.axes[0].texts if text.get_text()
    ]


def texts_at(figure, height):
    """Return the texts at a height, from left to right."""
    return [text for x, text in sorted((x, text) for text, x, y in texts(figure) if y == height)]


def inputs(figure):
    """Return the tokens that the cells of an unrolled diagram read."""
    return texts_at(figure, 0)


def outputs(figure):
    """Return the tokens that the cells of an unrolled diagram write."""
    return texts_at(figure, 2)


def test_attention_weights_are_labelled_with_their_tokens():
    weights = onp.array([[0.25, 0.75], [1, 0], [0.5, 0.5]])
    tokens = [['i', 'won']], [["j'ai", 'gagné', '<eos>']]
    figure = attention_figure([weights], *tokens)
    ax = figure.axes[0]
    assert [label.get_text() for label in ax.get_xticklabels()] == ['i', 'won']
    assert [label.get_text() for label in ax.get_yticklabels()] == ["j'ai", 'gagné', '<eos>']
    assert (ax.images[0].get_array() == weights).all()
    assert figure_bytes(figure, '.svg') == figure_bytes(
        attention_figure([weights], *tokens), '.svg'
    )


def test_in_training_the_decoder_reads_the_target_one_step_late():
    figure = unrolled_diagram(SOURCE, TARGET)
    assert inputs(figure) == [*SOURCE, '<bos>', *TARGET]
    assert outputs(figure) == [*TARGET, '<eos>']


def test_in_prediction_the_decoder_reads_its_own_output():
    figure = unrolled_diagram(SOURCE, TARGET, feeds_back=True)
    assert inputs(figure) == [*SOURCE, '<bos>']
    assert outputs(figure) == [*TARGET, '<eos>']
    assert len(figure.axes[0].lines) == len(TARGET)


def test_layers_are_stacked_in_a_column_for_each_part():
    figure = layers_diagram(
        {'encoder': ['source', 'LSTM'], 'decoder': ['target', 'LSTM', 'dense']},
        [(('encoder', 'LSTM'), ('decoder', 'LSTM'))],
    )
    heights = {(text, x): y for text, x, y in texts(figure)}
    left, right = sorted({x for _, x in heights})
    assert heights['source', left] == heights['target', right]
    assert heights['LSTM', left] == heights['LSTM', right] < heights['dense', right]


def test_a_link_to_a_missing_layer_is_an_error():
    with pytest.raises(KeyError):
        layers_diagram({'encoder': ['source']}, [(('encoder', 'source'), ('decoder', 'target'))])


TREE = [
    TreeNode(5, math.log(0.6), None),
    TreeNode(6, math.log(0.4), None),
    TreeNode(7, math.log(0.5), 0),
    TreeNode(8, math.log(0.3), 1),
    TreeNode(3, math.log(0.45), 2),
    TreeNode(9, math.log(0.05), 2),
]
TOKENS = ['je', 'nous', 'vais', 'allons', '<eos>', 'bien']


def test_a_tree_shows_each_node_once_with_its_probability():
    figure = tree_figure(TREE, TOKENS, ['je', 'vais', '<eos>'])
    assert sorted(text for text, _, _ in texts(figure)) == sorted(
        ['<bos>', 'je  0.6', 'nous  0.4', 'vais  0.5', 'allons  0.3', '<eos>  0.45', 'bien  0.05']
    )
    colors = {text.get_text().split()[0]: text.get_color() for text in figure.axes[0].texts}
    assert colors['je'] == colors['vais'] == colors['<eos>'] != colors['nous']
    assert colors['nous'] == colors['allons'] == colors['bien']


def test_the_nodes_of_a_tree_are_in_different_places():
    places = [(x, y) for _, x, y in texts(tree_figure(TREE, TOKENS, ['je', 'vais', '<eos>']))]
    assert len(set(places)) == len(places) == len(TREE) + 1


def test_the_same_diagram_has_the_same_bytes():
    first, second = (figure_bytes(unrolled_diagram(SOURCE, TARGET), '.svg') for _ in range(2))
    assert first == second


@pytest.fixture
def displayed(monkeypatch):
    """Collect what is displayed in a notebook."""
    objects = []
    monkeypatch.setattr('IPython.display.display', objects.append)
    return objects


def test_code_is_displayed_without_docstrings(monkeypatch):
    outputs = []
    monkeypatch.setattr('IPython.display.display', lambda data, raw: outputs.append(data))
    show_code(Vocab, truncate_pad)
    for output, definition in zip(outputs, (Vocab, truncate_pad)):
        shown, code = ast.parse(output['text/plain']), ast.parse(inspect.getsource(definition))
        for node in ast.walk(code):
            if isinstance(node, (ast.ClassDef, ast.FunctionDef)) and ast.get_docstring(node):
                del node.body[0]
        assert ast.dump(shown) == ast.dump(code)
        text = html.unescape(re.sub('<[^>]*>', '', output['text/html']))
        assert text.strip() == output['text/plain'].strip()
        assert 'white-space: pre;' in output['text/html']


def test_a_definition_that_is_only_a_docstring_keeps_a_body():
    assert (
        without_docstrings('class A:\n    """Text.\n\n    More.\n    """\n')
        == 'class A:\n    ...\n'
    )


def test_two_links_between_the_same_layers_are_drawn_apart():
    left, right = ('encoder', 'LSTM'), ('decoder', 'LSTM')
    figure = layers_diagram(
        {'encoder': ['LSTM'], 'decoder': ['LSTM']},
        [(left, right, 'context'), (right, left, 'query')],
    )
    heights = {text: y for text, _, y in texts(figure)}
    assert heights['query'] < heights['LSTM'] < heights['context']


def test_an_object_without_source_is_refused(displayed):
    with pytest.raises(TypeError):
        show_code(3)


def test_a_figure_is_displayed_as_one_svg(displayed):
    show(Figure())
    (picture,) = displayed
    assert picture.data.startswith('<svg')
