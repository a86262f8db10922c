"""Building a model: sizes of the encoder and the decoder, and what does not fit together."""

import pytest

from d2l_seq2seq import Bridge, EncoderDecoder, ModelConfig, initialize
from d2l_seq2seq._mxnet import rnn
from d2l_seq2seq.models.decoders import ContextDecoder, LuongDecoder, Seq2SeqDecoder
from d2l_seq2seq.models.encoders import MaskedEncoder
from d2l_seq2seq.models.factory import build_model

from random_batch import CTX, NUM_SENTENCES, NUM_STEPS, VOCAB_SIZE, random_batch


@pytest.mark.parametrize(
    'build_decoder',
    [
        lambda: Seq2SeqDecoder(VOCAB_SIZE, 8, 16, 2),
        lambda: Seq2SeqDecoder(VOCAB_SIZE, 8, 8, 1),
        lambda: ContextDecoder(VOCAB_SIZE, 8, 8, 2, layer=rnn.GRU),
        lambda: LuongDecoder(VOCAB_SIZE, 8, 8, 3, None),
    ],
)
def test_a_decoder_of_other_sizes_than_the_encoder_is_refused(build_decoder):
    encoder = MaskedEncoder(VOCAB_SIZE, 8, 8, 2)
    with pytest.raises(
        ValueError,
        match='state has . arrays of . layers and .* got 2 of 2 layers '
        'and 8 units; wrap the encoder in d2l_seq2seq.Bridge',
    ):
        initialize(EncoderDecoder(encoder, build_decoder()), CTX)


def test_an_encoder_of_other_sizes_than_the_decoder_gets_a_bridge():
    config = ModelConfig(6, 8, 2, masked=True, encoder_hiddens=10, encoder_layers=3)
    model = build_model(config, VOCAB_SIZE, VOCAB_SIZE)
    initialize(model, CTX)
    assert isinstance(model.encoder, Bridge)
    batch = random_batch(0)
    outputs, state = model.encoder(batch.src, batch.src_valid_len)
    assert outputs.shape == (NUM_STEPS, NUM_SENTENCES, 10)
    assert [part.shape for part in state] == [(2, NUM_SENTENCES, 8)] * 2
    assert len(model.encoder.encoder.rnn._children) == 3 + 1  # the layers, and their dropout
    assert not isinstance(build_model(ModelConfig(6, 8, 2), 9, 9).encoder, Bridge)
