"""The cells of section 9.7: shapes, `sequence_mask`, the loss, training and translations."""

from __future__ import annotations

from .._mxnet import np, npx
from ..book.encoder_decoder import EncoderDecoder
from ..book.seq2seq import MaskedSoftmaxCELoss, Seq2SeqDecoder, Seq2SeqEncoder
from .cells import Cell, Settings, close_cell, equal_cell
from .published import PUBLISHED
from .training import training_cells


def section_cells(settings: Settings) -> list[Cell]:
    """Run the section."""
    with settings.ctx:
        cells = [*_block_cells(), *_loss_cells()]
    return cells + training_cells(PUBLISHED['9.7'], settings, _new_model)


def _new_model(src_vocab_size: int, tgt_vocab_size: int) -> EncoderDecoder:
    """Return the chapter's model."""
    return EncoderDecoder(
        Seq2SeqEncoder(src_vocab_size, embed_size=32, num_hiddens=32, num_layers=2),
        Seq2SeqDecoder(tgt_vocab_size, embed_size=32, num_hiddens=32, num_layers=2),
    )


def _block_cells() -> list[Cell]:
    """Return the shapes of the encoder's and the decoder's output."""
    sizes = {'vocab_size': 10, 'embed_size': 8, 'num_hiddens': 16, 'num_layers': 2}
    encoder, decoder = Seq2SeqEncoder(**sizes), Seq2SeqDecoder(**sizes)
    encoder.initialize()
    decoder.initialize()
    X = np.zeros((4, 7))
    output, enc_state = encoder(X)
    logits, state = decoder(X, decoder.init_state((output, enc_state)))
    return [
        equal_cell('encoder output', (7, 4, 16), output.shape),
        equal_cell(
            'encoder state',
            (2, (2, 4, 16), (2, 4, 16)),
            (len(enc_state), enc_state[0].shape, enc_state[1].shape),
        ),
        equal_cell(
            'decoder output and state',
            ((4, 7, 10), 2, (2, 4, 16), (2, 4, 16)),
            (logits.shape, len(state), state[0].shape, state[1].shape),
        ),
    ]


def _loss_cells() -> list[Cell]:
    """Return the masked arrays and the masked loss."""
    lengths = np.array([1, 2])
    masked = npx.sequence_mask(np.array([[1, 2, 3], [4, 5, 6]]), lengths, True, axis=1)
    filled = npx.sequence_mask(np.ones((2, 3, 4)), lengths, True, value=-1, axis=1)
    loss = MaskedSoftmaxCELoss()(np.ones((3, 4, 10)), np.ones((3, 4)), np.array([4, 2, 0]))
    return [
        equal_cell('sequence_mask', [[1, 0, 0], [4, 5, 0]], masked.astype('int32').tolist()),
        equal_cell(
            'sequence_mask, value=-1',
            [[[1] * 4, [-1] * 4, [-1] * 4], [[1] * 4, [1] * 4, [-1] * 4]],
            filled.astype('int32').tolist(),
        ),
        # oneDNN's logarithm on a CPU is accurate to 3e-6, that of the book's MXNet to the last
        # digit.
        close_cell(
            'masked loss, to 1e-5', [2.3025851, 1.1512926, 0.0], loss.asnumpy(), 1e-5, digits=8
        ),
    ]
