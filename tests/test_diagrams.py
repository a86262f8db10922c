"""Diagrams: what stands in them, and where."""

import math

import pytest

from d2l_seq2seq.book.animator import figure_bytes
from d2l_seq2seq.inference.beam_search import TreeNode
from d2l_seq2seq.plotting import layers_diagram, tree_figure, unrolled_diagram

SOURCE, TARGET = ['they', 'watch', '.'], ['ils', 'regardent', '.']


def texts(figure):
    """The texts of a diagram with their places."""
    return [
        (text.get_text(), *text.get_position()) for text in figure.axes[0].texts if text.get_text()
    ]


def read(figure):
    """What the cells of an unrolled diagram read, from left to right."""
    return [text for text, x, y in sorted(texts(figure), key=lambda one: one[1]) if y == 0]


def written(figure):
    """What they write."""
    return [text for text, x, y in sorted(texts(figure), key=lambda one: one[1]) if y == 2]


def test_in_training_the_decoder_reads_one_token_behind():
    figure = unrolled_diagram(SOURCE, TARGET)
    assert read(figure) == [*SOURCE, '<bos>', *TARGET]
    assert written(figure) == [*TARGET, '<eos>']


def test_in_prediction_it_reads_what_it_wrote():
    figure = unrolled_diagram(SOURCE, TARGET, feeds_back=True)
    assert read(figure) == [*SOURCE, '<bos>']
    assert written(figure) == [*TARGET, '<eos>']
    assert len(figure.axes[0].lines) == len(TARGET)


def test_layers_stand_on_each_other_beside_those_of_the_other_part():
    figure = layers_diagram(
        {'encoder': ['source', 'LSTM'], 'decoder': ['target', 'LSTM', 'dense']},
        [(('encoder', 'LSTM'), ('decoder', 'LSTM'))],
    )
    places = {(text, x): y for text, x, y in texts(figure)}
    (left, right) = sorted({x for _, x in places})
    assert places['source', left] == places['target', right]
    assert places['LSTM', left] == places['LSTM', right] < places['dense', right]


def test_a_link_needs_layers_that_are_there():
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
NAMES = ['je', 'nous', 'vais', 'allons', '<eos>', 'bien']


def test_a_tree_has_each_node_once_with_its_probability():
    figure = tree_figure(TREE, NAMES, ['je', 'vais', '<eos>'])
    assert sorted(text for text, _, _ in texts(figure)) == sorted(
        ['<bos>', 'je  0.6', 'nous  0.4', 'vais  0.5', 'allons  0.3', '<eos>  0.45', 'bien  0.05']
    )
    colors = {text.get_text().split()[0]: text.get_color() for text in figure.axes[0].texts}
    assert colors['je'] == colors['vais'] == colors['<eos>'] != colors['nous']
    assert colors['nous'] == colors['allons'] == colors['bien']


def test_no_two_nodes_of_a_tree_are_in_one_place():
    places = [(x, y) for _, x, y in texts(tree_figure(TREE, NAMES, ['je', 'vais', '<eos>']))]
    assert len(set(places)) == len(places) == len(TREE) + 1


def test_the_same_diagram_gives_the_same_bytes():
    first, second = (figure_bytes(unrolled_diagram(SOURCE, TARGET), '.svg') for _ in range(2))
    assert first == second
