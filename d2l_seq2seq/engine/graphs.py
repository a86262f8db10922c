"""The rewriting of graphs: passes over the graphs of models that `tracing` returns.

Two of the functions are for every graph that is trained with, one is for mixed precision, two are
for inference, one is for graphs that were recorded and one for export.  Only mixed precision
changes results.

No other file reads or writes the JSON of a graph.
"""

from __future__ import annotations

import json
import math
from typing import Sequence

from .._mxnet import mx

# Graphs with larger arrays allocate their memory at each call.  Memory that is planned once saves
# time if the model and the batches are small, but it is kept for each shape of batch: with a
# vocabulary of 10,000 words, that is more than a gigabyte.
MAX_STATIC_SIZE = 1 << 20  # float32 values

# The operators that MXNet 1.9.1 can compute in each type: float16 on a GPU, bfloat16 on a CPU.
MATRIX_PRODUCTS = {
    'float16': ('FullyConnected', 'RNN', 'batch_dot'),
    'bfloat16': ('FullyConnected',),
}


def static_flags(size: int) -> list[tuple[str, bool]]:
    """Return the flags of a `CachedOp` that plan its memory once, or at each call if it is large.

    Parameters
    ----------
    size : int
        Number of values in the largest array, or in all weights together, whichever is more.
    """
    is_static = size < MAX_STATIC_SIZE
    return [('static_alloc', is_static), ('static_shape', is_static)]


def draws_random_numbers(symbol: mx.sym.Symbol) -> bool:
    """Return whether a graph draws random numbers in training, such as those of dropout."""
    return any(map(_is_random, _read(symbol)['nodes']))


def pack_recurrent_weights(symbol: mx.sym.Symbol) -> tuple[mx.sym.Symbol, dict[str, list[str]]]:
    """Replace each concatenation of recurrent weights by an input.

    Gluon's recurrent layers concatenate their weights at every call.  `FlatParameters` keeps these
    weights next to each other in memory, so that the vector is a view.

    Returns
    -------
    symbol : Symbol
    packed : dict of str to list of str
        For each new input, the names of the weights in it.  An input is named after its first
        weight, so all graphs of a model use the same names.
    """
    graph = _read(symbol)
    nodes, packed = graph['nodes'], {}
    concatenations: dict[tuple[str, ...], int] = {}
    replacements = list(range(len(nodes)))
    for number, node in enumerate(nodes):
        node['inputs'] = _redirect(node['inputs'], replacements)
        if node['op'] != '_rnn_param_concat':
            continue
        flattened = [nodes[index] for index, *_ in node['inputs']]  # reshapes of the weights
        names = tuple(nodes[reshape['inputs'][0][0]]['name'] for reshape in flattened)
        # A layer that is called twice concatenates the same weights twice.
        replacements[number] = concatenations.setdefault(names, number)
        if replacements[number] == number:
            packed[f'{names[0]}_packed'] = list(names)
            node.update(op='null', name=f'{names[0]}_packed', inputs=[])
            del node['attrs']
    return _to_symbol(graph), packed


def take_positions(logits: mx.sym.Symbol, positions: mx.sym.Symbol) -> mx.sym.Symbol:
    """Return the logits at some positions of a batch, without computing the others if possible.

    The last layer is usually dense, and the largest matrix product of the model.  It treats all
    positions alike, so the positions can be selected before it.  The chapter's decoder ends with a
    dense layer and a swap of the first two axes; either of them, or both, are recognized.

    Parameters
    ----------
    logits : Symbol
        Of shape (batch_size, num_steps, vocab_size).
    positions : Symbol
        Of shape (num_labels,): sentence * num_steps + step.

    Returns
    -------
    Symbol
        Of shape (num_labels, vocab_size).
    """
    swapped_axes = {logits.attr('dim1'), logits.attr('dim2')}
    is_swapped = _operator(logits) == 'SwapAxis' and swapped_axes == {'0', '1'}
    dense = logits.get_children()[0] if is_swapped else logits
    if _operator(dense) != 'FullyConnected':
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


def cast_matrix_products(symbol: mx.sym.Symbol, dtype: str) -> mx.sym.Symbol:
    """Compute the matrix products of a graph in 16 bits, and everything else in float32.

    The inputs of each product are cast to 16 bits and its result to float32.  Weights are cast
    where they are used, so the weights that are trained and saved stay float32, and gradients
    arrive in float32 (Micikevicius et al. 2018, section 3.1).

    Parameters
    ----------
    symbol : Symbol
    dtype : str
        ``float16``, which needs a GPU, or ``bfloat16``.

    Raises
    ------
    ValueError
        If `dtype` is neither of them.

    Notes
    -----
    MXNet's own conversion, ``amp.convert_symbol``, does not replace this function.  It accepts
    neither ``batch_dot`` as an operator for float16 nor the operators of ``mxnet.np`` as operators
    for float32, so it computes activations in 16 bits.
    """
    if dtype not in MATRIX_PRODUCTS:
        raise ValueError(f'expected float16 or bfloat16, got {dtype!r}')
    graph = _read(symbol)
    nodes, casts = graph['nodes'], {}
    products = {number for number, node in enumerate(nodes) if node['op'] in MATRIX_PRODUCTS[dtype]}

    def cast(entry: Sequence[int], to: str) -> list[int]:
        """Return the entry of an output in another type; an output is cast once per type."""
        key = (*entry, to)
        if key not in casts:
            casts[key] = len(nodes)
            attrs, name = {'dtype': to}, f'cast{len(casts)}'
            nodes.append({'op': 'amp_cast', 'name': name, 'attrs': attrs, 'inputs': [entry]})
        return [casts[key], 0, 0]

    def as_float32(entry: Sequence[int]) -> Sequence[int]:
        return cast(entry, 'float32') if entry[0] in products else entry

    for number, node in enumerate(list(nodes)):  # without the casts, which are appended to `nodes`
        node['inputs'] = [as_float32(entry) for entry in node['inputs']]
        if number in products:
            node['inputs'] = [cast(entry, dtype) for entry in node['inputs']]
    graph['heads'] = [as_float32(entry) for entry in graph['heads']]
    return _to_symbol(graph)


def replace_idle_swaps(
    symbol: mx.sym.Symbol, input_shapes: dict[str, tuple[int, ...]]
) -> tuple[mx.sym.Symbol, int]:
    """Replace each swap with an axis of size 1 by a reshape, which copies nothing.

    Returns
    -------
    symbol : Symbol
    largest : int
        Number of values in the largest array of the graph.
    """
    internals = symbol.get_internals()
    _, shapes, _ = internals.infer_shape(**input_shapes)
    shape_of_output = dict(zip(internals.list_outputs(), shapes))
    graph = _read(symbol)
    for node in graph['nodes']:
        if node['op'] == 'SwapAxis':
            shape = shape_of_output[f'{node["name"]}_output']
            if 1 in (shape[int(node['attrs'][axis])] for axis in ('dim1', 'dim2')):
                node.update(op='Reshape', attrs={'shape': str(shape)})
    return _to_symbol(graph), max(map(math.prod, shapes))


def merge_equal_nodes(symbol: mx.sym.Symbol) -> mx.sym.Symbol:
    """Merge nodes that compute the same from the same inputs.

    Nodes that draw random numbers, and nodes that depend on them, differ from all others.
    """
    graph = _read(symbol)
    replacements: list[int] = []
    numbers: dict[str, int] = {}
    for number, node in enumerate(graph['nodes']):
        node['inputs'] = _redirect(node['inputs'], replacements)
        is_unique = node['op'] == 'null' or _is_random(node)
        key = number if is_unique else [node['op'], node.get('attrs'), node['inputs']]
        replacements.append(numbers.setdefault(json.dumps(key, sort_keys=True), number))
    graph['heads'] = _redirect(graph['heads'], replacements)
    return _to_symbol(graph)


def to_json_without_shapes(symbol: mx.sym.Symbol) -> str:
    """Return the JSON of a graph, without shapes, so that its inputs may have any size."""
    graph = _read(symbol)
    for node in graph['nodes']:
        if node['op'] == 'null':
            node.get('attrs', {}).pop('__shape__', None)
    return json.dumps(graph, indent=1)


def _is_random(node: dict) -> bool:
    """Return whether a node of a graph draws random numbers in training."""
    dropout = node.get('attrs', {}).get('p', '0') if node['op'] in ('Dropout', 'RNN') else '0'
    return 'random' in node['op'] or float(dropout) > 0


def _operator(symbol: mx.sym.Symbol) -> str:
    """Return the name of the operator that computes the first output of a graph."""
    graph = _read(symbol)
    return graph['nodes'][graph['heads'][0][0]]['op']


def _read(symbol: mx.sym.Symbol) -> dict:
    """Return a graph as MXNet saves it.

    Its nodes are in topological order.  The operator of an input is ``null``.  The inputs of a node
    and the outputs of the graph, its *heads*, are entries [node, output, version], the first two of
    which are the number of a node and the number of one of its outputs.
    """
    return json.loads(symbol.tojson())


def _redirect(entries: Sequence[Sequence[int]], replacements: Sequence[int]) -> list[list[int]]:
    """Return entries in which each node is replaced by another one that computes the same."""
    return [[replacements[number], *rest] for number, *rest in entries]


def _to_symbol(graph: dict) -> mx.sym.Symbol:
    """Return the symbol of a graph; MXNet drops nodes on which no output depends."""
    return mx.sym.load_json(json.dumps(graph))
