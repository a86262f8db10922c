"""Encoders: a bridge against NumPy, and other cells than the LSTM."""

import numpy as onp
import pytest

from d2l_seq2seq import EncoderDecoder, initialize
from d2l_seq2seq._mxnet import np, rnn
from d2l_seq2seq.models.decoders import Seq2SeqDecoder
from d2l_seq2seq.models.encoders import Bridge, MaskedEncoder, Seq2SeqEncoder

from random_batch import CTX, NUM_SENTENCES, VOCAB_SIZE, random_batch


@pytest.mark.parametrize('layer', [rnn.GRU, rnn.LSTM])
def test_a_bridge_maps_the_state_of_any_encoder_to_any_decoder(layer, seed):
    encoder = MaskedEncoder(VOCAB_SIZE, 8, 6, 3, layer=layer, bidirectional=True)
    model = EncoderDecoder(
        Bridge(encoder, 2, 10, layer), Seq2SeqDecoder(VOCAB_SIZE, 8, 10, 2, layer=layer)
    )
    initialize(model, CTX)
    batch = random_batch(seed)
    _, encoder_state = encoder(batch.src, batch.src_valid_len)
    _, state = model.encoder(batch.src, batch.src_valid_len)
    assert [part.shape for part in state] == [(2, NUM_SENTENCES, 10)] * len(encoder_state)
    for dense, source, mapped in zip(
        (model.encoder.hidden, model.encoder.memory), encoder_state, state
    ):
        flat = source.asnumpy().transpose(1, 0, 2).reshape(NUM_SENTENCES, -1)
        expected = flat @ dense.weight.data().asnumpy().T + dense.bias.data().asnumpy()
        expected = onp.tanh(expected) if dense is model.encoder.hidden else expected
        onp.testing.assert_allclose(
            mapped.asnumpy().transpose(1, 0, 2).reshape(expected.shape),
            expected,
            rtol=1e-4,
            atol=1e-5,
        )


@pytest.mark.parametrize('layer, num_states', [(rnn.LSTM, 2), (rnn.GRU, 1)])
def test_the_chapters_encoder_takes_other_cells(layer, num_states):
    """The state of a GRU is a list of one array, as the chapter says."""
    encoder = Seq2SeqEncoder(10, 8, 16, 2, layer=layer)
    encoder.initialize()
    outputs, state = encoder(np.zeros((4, 7)))
    assert outputs.shape == (7, 4, 16)
    assert [part.shape for part in state] == [(2, 4, 16)] * num_states
