"""Mixed precision: the matrix products of a graph in 16 bits, all else and the weights in 32."""
from __future__ import annotations

import json

from .._mxnet import mx

# What MXNet 1.9.1 can compute in each type: float16 on a GPU, bfloat16 on a CPU.
MATRIX_PRODUCTS = {'float16': ('FullyConnected', 'RNN', 'batch_dot'),
                   'bfloat16': ('FullyConnected',)}


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
            nodes.append({'op': 'amp_cast', 'name': f'cast{len(nodes)}', 'attrs': {'dtype': to},
                          'inputs': [[*output, 0]]})
        return casts[key], 0

    def place_of(node: int, output: int) -> tuple[int, int]:
        """The place of an old node's output, as float32."""
        place = places[node], output
        return in_type(place, 'float32') if node in products else place

    for number, node in enumerate(saved['nodes']):
        inputs = [place_of(*source[:2]) for source in node['inputs']]
        if node['op'] in MATRIX_PRODUCTS[dtype]:
            products.add(number)
            inputs = [in_type(source, dtype) for source in inputs]
        places.append(len(nodes))
        nodes.append({**node, 'inputs': [[*source, 0] for source in inputs]})
    heads = [[*place_of(*head[:2]), 0] for head in saved['heads']]
    return mx.sym.load_json(json.dumps({
        **saved, 'nodes': nodes, 'heads': heads, 'node_row_ptr': list(range(len(nodes) + 1)),
        'arg_nodes': [number for number, node in enumerate(nodes) if node['op'] == 'null']}))
