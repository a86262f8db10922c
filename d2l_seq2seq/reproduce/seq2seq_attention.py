"""The cells of section 10.2: the shapes of the decoder, training and translations."""

from __future__ import annotations

from .._mxnet import np
from ..book.encoder_decoder import EncoderDecoder
from ..book.seq2seq import Seq2SeqEncoder
from ..book.seq2seq_attention import Seq2SeqAttentionDecoder
from .cells import Cell, Settings, equal_cell
from .published import PUBLISHED
from .training import training_cells


def section_cells(settings: Settings) -> list[Cell]:
    """Run the section."""
    sizes = {'vocab_size': 10, 'embed_size': 8, 'num_hiddens': 16, 'num_layers': 2}
    with settings.ctx:
        encoder, decoder = Seq2SeqEncoder(**sizes), Seq2SeqAttentionDecoder(**sizes)
        encoder.initialize()
        decoder.initialize()
        X = np.zeros((4, 7))
        logits, state = decoder(X, decoder.init_state(encoder(X), None))
    cell = equal_cell(
        'decoder output and state',
        ((4, 7, 10), 3, (4, 7, 16), 2, (2, 4, 16)),
        (logits.shape, len(state), state[0].shape, len(state[1]), state[1][0].shape),
    )
    return [cell, *training_cells(PUBLISHED['10.2'], settings, _new_model)]


def _new_model(src_vocab_size: int, tgt_vocab_size: int) -> EncoderDecoder:
    """Return the section's model."""
    return EncoderDecoder(
        Seq2SeqEncoder(src_vocab_size, embed_size=32, num_hiddens=32, num_layers=2),
        Seq2SeqAttentionDecoder(tgt_vocab_size, embed_size=32, num_hiddens=32, num_layers=2),
    )
