"""The cells of section 10.3: layers, blocks, training and translations of the transformer."""

from __future__ import annotations

from .._mxnet import autograd, nn, np, seed_generators
from ..book.encoder_decoder import EncoderDecoder
from ..book.transformer import (
    AddNorm,
    DecoderBlock,
    EncoderBlock,
    MultiHeadAttention,
    PositionalEncoding,
    PositionWiseFFN,
    TransformerDecoder,
    TransformerEncoder,
)
from .cells import Cell, Settings, close_cell, equal_cell
from .published import PUBLISHED
from .training import training_cells

# Printed for each of the three positions.
FFN_OUTPUT = [
    9.15348239e-04, -7.27669394e-04, 1.14063594e-04, -8.76279722e-04,
    -1.02867256e-03, 8.02748313e-04, -4.53725770e-05, 2.15598906e-04,
]  # fmt: skip
# Read from the plot: columns 4 to 7 of the encoding at positions 0, 20, 40, 60 and 80.
ENCODING = [
    [0, -0.0282, 0.0564, -0.0845, 0.1125],
    [1, -0.9996, 0.9984, -0.9964, 0.9936],
    [0, 0.9527, 0.5792, -0.6005, -0.9443],
    [1, 0.3040, -0.8152, -0.7996, 0.3290],
]


def section_cells(settings: Settings) -> list[Cell]:
    """Run the section."""
    seed_generators(0)  # see Settings.draws_as_book
    with settings.ctx:
        cells = [*_layer_cells(settings.draws_as_book), *_block_cells()]
    return cells + training_cells(PUBLISHED['10.3'], settings, _new_model)


def _new_model(src_vocab_size: int, tgt_vocab_size: int) -> EncoderDecoder:
    """Return the section's model.

    The section gives the decoder the size of the source vocabulary, which is the larger one; see
    `TransformerDecoder`.  In another corpus, it may be the smaller one.
    """
    num_hiddens, ffn_num_hiddens, num_heads, num_layers, dropout = 32, 64, 4, 2, 0.0
    sizes = (num_hiddens, ffn_num_hiddens, num_heads, num_layers, dropout)
    return EncoderDecoder(
        TransformerEncoder(src_vocab_size, *sizes),
        TransformerDecoder(max(src_vocab_size, tgt_vocab_size), *sizes),
    )


def _layer_cells(draws_as_book: bool) -> list[Cell]:
    """Return the cells of the layers, in the order of the section."""
    attention = MultiHeadAttention(90, 9, 0.5)
    attention.initialize()
    X = np.ones((2, 4, 5))
    shape = attention(X, X, X, np.array([2, 3])).shape

    ffn = PositionWiseFFN(4, 8)
    ffn.initialize()
    ffn_output = ffn(np.ones((2, 3, 4)))[0].asnumpy()

    layer_norm, batch_norm = nn.LayerNorm(), nn.BatchNorm()
    X = np.array([[1, 2], [2, 3]])
    normalized = []
    for layer in (layer_norm, batch_norm):
        layer.initialize()
        with autograd.record():
            normalized.append(layer(X).asnumpy())

    add_norm = AddNorm(0.5)
    add_norm.initialize()
    encoding = PositionalEncoding(20, 0)
    encoding.initialize()
    encoded = encoding(np.zeros((1, 100, 20))).asnumpy()
    x = 0.99998
    return [
        equal_cell('multi-head attention', (2, 4, 90), shape),
        _ffn_cell(ffn_output, draws_as_book),
        close_cell('layer norm, to 1e-5', [[-x, x], [-x, x]], normalized[0], 1e-5, digits=5),
        close_cell('batch norm, to 1e-5', [[-x, -x], [x, x]], normalized[1], 1e-5, digits=5),
        equal_cell(
            'add and norm', (2, 3, 4), add_norm(np.ones((2, 3, 4)), np.ones((2, 3, 4))).shape
        ),
        close_cell(
            'plot of the encoding, to 1e-3', ENCODING, encoded[0, ::20, 4:8].T, 1e-3, digits=4
        ),
    ]


def _ffn_cell(output, draws_as_book: bool) -> Cell:
    """Return the cell of the position-wise network: the book's numbers, or at least equal rows."""
    cell = close_cell('position-wise FFN, to 1e-8', [FFN_OUTPUT] * 3, output, 1e-8, digits=9)
    if draws_as_book:
        return cell
    rows_are_equal = output.shape == (3, 8) and bool((output == output[0]).all())
    return Cell('position-wise FFN: equal rows', cell.book, cell.ours, rows_are_equal)


def _block_cells() -> list[Cell]:
    """Return the shapes of the blocks and of the encoder."""
    X, valid_len = np.ones((2, 100, 24)), np.array([2, 3])
    encoder_block = EncoderBlock(24, 48, 8, 0.5)
    encoder_block.initialize()
    encoder = TransformerEncoder(200, 24, 48, 8, 2, 0.5)
    encoder.initialize()
    decoder_block = DecoderBlock(24, 48, 8, 0.5, 0)
    decoder_block.initialize()
    encoded = encoder_block(X, valid_len)
    decoded, _ = decoder_block(X, [encoded, valid_len, [None]])
    return [
        equal_cell('encoder block', (2, 100, 24), encoded.shape),
        equal_cell('encoder', (2, 100, 24), encoder(np.ones((2, 100)), valid_len).shape),
        equal_cell('decoder block', (2, 100, 24), decoded.shape),
    ]
