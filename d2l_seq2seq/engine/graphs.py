"""A model's teacher-forced forward pass as one graph, cut down to what training needs.

Any `EncoderDecoder` of hybridizable blocks is traced with symbols in place of arrays, as Gluon does
when it hybridizes a block.  Then the graph is rewritten in two places, neither of which changes a
result:

- Gluon's recurrent layers join their weights into one vector at every call.  Here the vector is an
  input: `flat.py` lays those weights one after the other in memory, and the vector is a view.
- The dense layer comes last and is the largest product of all; here it is taken of the positions that
  have a label, and not of padding.
"""

from __future__ import annotations

import json
import math
from dataclasses import dataclass

from .._mxnet import mx
from ..book.encoder_decoder import EncoderDecoder

# Memory that is planned ahead saves time where model and batches are small, and is kept for each
# shape: at a vocabulary of 10,000 words more than a gigabyte.
MAX_STATIC_SIZE = 1 << 20  # float32 values

DATA = ('src', 'src_valid_len', 'tgt', 'tgt_valid_len', 'label_positions')


@dataclass(frozen=True)
class Graph:
    """The logits of a model as a function of a batch and its parameters."""

    # float32 (num_labels, vocab_size), of the inputs
    #   src (batch_size, num_src_steps) and tgt (batch_size, num_tgt_steps), token ids,
    #   src_valid_len and tgt_valid_len (batch_size,), where the model uses them,
    #   label_positions (num_labels,), places in the batch's label positions, sentence by sentence.
    logits: mx.sym.Symbol
    # For each input that stands for several parameters, their names in the order in which they lie.
    packed: dict[str, list[str]]

    @property
    def inputs(self) -> list[str]:
        """Names of what the graph reads, in the order in which a compiled graph takes them."""
        return self.logits.list_inputs()


def trace(
    model: EncoderDecoder, src_shape: tuple[int, int] = (1, 1), tgt_shape: tuple[int, int] = (1, 1)
) -> Graph:
    """The graph of a model whose blocks can all be hybridized.

    Parameters
    ----------
    model : EncoderDecoder
    src_shape, tgt_shape : (int, int)
        Of the batch that the graph is for: a decoder that goes step by step has its steps one after
        the other in it.  Which weights are packed does not depend on them.

    Raises
    ------
    TypeError
        If a block can't be traced with symbols.
    """
    logits, positions = _traced(model, src_shape, tgt_shape)
    logits, packed = pack_recurrent_weights(logits)
    return Graph(_at_positions(logits, positions), packed)


def parameter_shapes(model: EncoderDecoder) -> dict[str, tuple[int, ...]]:
    """The shapes of a model's parameters by their Gluon names; nothing is allocated.

    Raises
    ------
    TypeError
        If a block can't be traced with symbols.
    """
    logits, _ = _traced(model, (1, 1), (1, 1))
    shapes, _, _ = logits.infer_shape()
    return dict(zip(logits.list_arguments(), shapes))


def uses_random_numbers(model: EncoderDecoder) -> bool:
    """Whether training draws from MXNet's generator: for dropout, or to choose what is read next.

    Raises
    ------
    TypeError
        If a block can't be traced with symbols.
    """
    logits, _ = _traced(model, (1, 2), (1, 2))
    nodes = json.loads(logits.tojson())['nodes']
    return any(
        'random' in node['op'] or (node['op'] == 'Dropout' and float(node['attrs']['p']) > 0)
        for node in nodes
    )


def _traced(
    model: EncoderDecoder, src_shape: tuple[int, int], tgt_shape: tuple[int, int]
) -> tuple[mx.sym.Symbol, mx.sym.Symbol]:
    """The logits of a model for a batch of some shape, and the symbol of label positions."""
    shapes = src_shape, src_shape[:1], tgt_shape, tgt_shape[:1], None
    src, src_valid_len, tgt, tgt_valid_len, positions = (
        mx.sym.var(name, shape=shape).as_np_ndarray() for name, shape in zip(DATA, shapes)
    )
    try:
        logits, _ = model(src, tgt, src_valid_len, tgt_valid_len)
    except Exception as error:
        raise TypeError(
            'expected a model of hybridizable blocks, got one that can not be traced '
            f'({error}); write hybrid_forward in place of forward, or train it with '
            'train_s2s_ch9'
        ) from error
    return logits.as_nd_ndarray(), positions.as_nd_ndarray()


def pack_recurrent_weights(symbol: mx.sym.Symbol) -> tuple[mx.sym.Symbol, dict[str, list[str]]]:
    """Make each concatenation of recurrent weights an input, and name the weights in it.

    The input has the name of its first weight, so that graphs of the same model agree on it.
    """
    graph = json.loads(symbol.tojson())
    nodes, packed, hash_to_unit_interval = graph['nodes'], {}, {}
    same = list(range(len(nodes)))  # a layer that is called twice joins the same weights twice
    for place, node in enumerate(nodes):
        node['inputs'] = [[same[index], *rest] for index, *rest in node['inputs']]
        if node['op'] == '_rnn_param_concat':
            flattened = [nodes[index] for index, *_ in node['inputs']]
            names = tuple(nodes[reshape['inputs'][0][0]]['name'] for reshape in flattened)
            same[place] = hash_to_unit_interval.setdefault(names, place)
            if same[place] == place:
                packed[f'{names[0]}_packed'] = list(names)
                node.update(op='null', inputs=[], name=f'{names[0]}_packed')
                del node['attrs']
    return mx.sym.load_json(json.dumps(_without_unused(graph))), packed


def _without_unused(graph: dict) -> dict:
    """The graph's JSON without the nodes that nothing leads to any more."""
    nodes, used = graph['nodes'], set()
    stack = [index for index, *_ in graph['heads']]
    while stack:
        index = stack.pop()
        if index not in used:
            used.add(index)
            stack.extend(source for source, *_ in nodes[index]['inputs'])
    number = {index: new for new, index in enumerate(sorted(used))}

    def renumbered(entries):
        return [[number[index], *rest] for index, *rest in entries]

    kept = [{**nodes[index], 'inputs': renumbered(nodes[index]['inputs'])} for index in number]
    return {
        'nodes': kept,
        'heads': renumbered(graph['heads']),
        'attrs': graph['attrs'],
        'arg_nodes': [new for new, node in enumerate(kept) if node['op'] == 'null'],
    }


def _at_positions(logits: mx.sym.Symbol, positions: mx.sym.Symbol) -> mx.sym.Symbol:
    """The logits (num_labels, vocab_size) of some label positions.

    A dense layer treats every row alike, so the positions can be chosen before it.  The chapter's
    decoder ends in a dense layer and a swap of axes; both are recognized, alone or together.
    """
    is_swapped = _op_of(logits) == 'SwapAxis' and {logits.attr('dim1'), logits.attr('dim2')} == {
        '0',
        '1',
    }
    dense = logits.get_children()[0] if is_swapped else logits
    if _op_of(dense) != 'FullyConnected':
        return mx.sym.take(mx.sym.reshape(logits, shape=(-3, 0)), positions)
    features, *weights = dense.get_children()
    if is_swapped:
        features = mx.sym.SwapAxis(features, dim1=0, dim2=1)  # (batch_size, num_steps, num_hiddens)
    features = mx.sym.take(mx.sym.reshape(features, shape=(-3, 0)), positions)
    return mx.sym.FullyConnected(
        features,
        *weights,
        flatten=False,
        no_bias=len(weights) == 1,
        num_hidden=int(dense.attr('num_hidden')),
    )


def _op_of(symbol: mx.sym.Symbol) -> str:
    """The name of the operator whose output the symbol is."""
    graph = json.loads(symbol.tojson())
    return graph['nodes'][graph['heads'][0][0]]['op']


# What MXNet 1.9.1 can compute in each type: float16 on a GPU, bfloat16 on a CPU.
MATRIX_PRODUCTS = {
    'float16': ('FullyConnected', 'RNN', 'batch_dot'),
    'bfloat16': ('FullyConnected',),
}


def in_low_precision(graph: mx.sym.Symbol, dtype: str) -> mx.sym.Symbol:
    """The same graph with its matrix products in another type, and casts around them.

    Weights are cast where they are used, so what is trained and saved stays float32, and gradients
    arrive in float32 as well (Micikevicius et al. 2018, section 3.1).

    Parameters
    ----------
    graph : Symbol
    dtype : str
        ``float16``, which needs a GPU, or ``bfloat16``.

    Returns
    -------
    Symbol

    Raises
    ------
    ValueError
        If `dtype` is another one.
    """
    if dtype not in MATRIX_PRODUCTS:
        raise ValueError(f'expected float16 or bfloat16, got {dtype!r}')
    saved = json.loads(graph.tojson())
    nodes, places, products = [], [], set()  # the new ones; where the old ones are among them
    casts = {}  # (node, output, type): place of the cast

    def in_type(output: tuple[int, int], to: str) -> tuple[int, int]:
        """The place of a node's output in another type."""
        key = (*output, to)
        if key not in casts:
            casts[key] = len(nodes)
            nodes.append(
                {
                    'op': 'amp_cast',
                    'name': f'cast{len(nodes)}',
                    'attrs': {'dtype': to},
                    'inputs': [[*output, 0]],
                }
            )
        return casts[key], 0

    def hash_to_unit_interval(node: int, output: int) -> tuple[int, int]:
        """The place of an old node's output, as float32."""
        place = places[node], output
        return in_type(place, 'float32') if node in products else place

    for number, node in enumerate(saved['nodes']):
        inputs = [hash_to_unit_interval(*source[:2]) for source in node['inputs']]
        if node['op'] in MATRIX_PRODUCTS[dtype]:
            products.add(number)
            inputs = [in_type(source, dtype) for source in inputs]
        places.append(len(nodes))
        nodes.append({**node, 'inputs': [[*source, 0] for source in inputs]})
    heads = [[*hash_to_unit_interval(*head[:2]), 0] for head in saved['heads']]
    return mx.sym.load_json(
        json.dumps(
            {
                **saved,
                'nodes': nodes,
                'heads': heads,
                'node_row_ptr': list(range(len(nodes) + 1)),
                'arg_nodes': [number for number, node in enumerate(nodes) if node['op'] == 'null'],
            }
        )
    )


def without_idle_swaps(
    symbol: mx.sym.Symbol, shapes: dict[str, tuple]
) -> tuple[mx.sym.Symbol, int]:
    """The graph in which a swap of an axis of one step is a reshape, which copies nothing.

    And the size of the largest array in it.
    """
    internals = symbol.get_internals()
    _, found, _ = internals.infer_shape(**shapes)
    shape_of_output = dict(zip(internals.list_outputs(), found))
    graph = json.loads(symbol.tojson())
    for node in graph['nodes']:
        if node['op'] == 'SwapAxis':
            shape = shape_of_output[f'{node["name"]}_output']
            if 1 in (shape[int(node['attrs'][axis])] for axis in ('dim1', 'dim2')):
                node.update(op='Reshape', attrs={'shape': str(shape)})
    return mx.sym.load_json(json.dumps(graph)), max(map(math.prod, found))


def merge_equal_nodes(symbol: mx.sym.Symbol) -> mx.sym.Symbol:
    """The graph in which nodes that compute the same from the same inputs are one node."""
    graph = json.loads(symbol.tojson())
    same, hash_to_unit_interval = [], {}
    for place, node in enumerate(graph['nodes']):
        node['inputs'] = [[same[index], *rest] for index, *rest in node['inputs']]
        key = json.dumps(
            [node['op'], node.get('attrs'), node['inputs']] if node['op'] != 'null' else place,
            sort_keys=True,
        )
        same.append(hash_to_unit_interval.setdefault(key, place))
    graph['heads'] = [[same[index], *rest] for index, *rest in graph['heads']]
    return mx.sym.load_json(json.dumps(graph))


def without_shapes_json(graph: mx.sym.Symbol) -> str:
    """The graph's JSON for inputs of any size; those that it was traced with are taken out."""
    values = json.loads(graph.tojson())
    for node in values['nodes']:
        if node['op'] == 'null':
            node.get('attrs', {}).pop('__shape__', None)
    return json.dumps(values, indent=1)
