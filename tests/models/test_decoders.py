"""Decoders: the book's shapes with attention, and the context at every step."""

import pytest

from d2l_seq2seq import ModelConfig, initialize
from d2l_seq2seq._mxnet import np
from d2l_seq2seq.models.decoders import AttentionDecoder
from d2l_seq2seq.models.factory import build_model

from random_batch import CTX, VOCAB_SIZE, random_batch


def test_the_books_attention_shapes():
    config = ModelConfig(8, 16, 2, attention='additive')
    model = build_model(config, 10, 10)
    model.initialize()
    X = np.zeros((4, 7))
    state = model.decoder.init_state(model.encoder(X, np.full(4, 7)), np.full(4, 7))
    out, state = model.decoder(X, state)
    assert (out.shape, len(state), state[0].shape, len(state[1]), state[1][0].shape) == (
        (4, 7, 10),
        3,
        (4, 7, 16),
        2,
        (2, 4, 16),
    )


def test_the_context_stays_the_same_at_every_step(seed):
    model = build_model(ModelConfig(8, 8, 2, context_every_step=True), VOCAB_SIZE, VOCAB_SIZE)
    initialize(model, CTX)
    batch = random_batch(seed)
    enc_outputs = model.encoder(batch.src)
    state = model.decoder.init_state(enc_outputs)
    context = enc_outputs[1][0][-1].asnumpy()
    for step in range(3):
        _, state = model.decoder(batch.tgt[:, step : step + 1], state)
        assert (state[1].asnumpy()[0] == context).all()


def test_a_decoder_that_does_not_define_its_steps_says_so():
    with pytest.raises(NotImplementedError, match='AttentionDecoder must define _decode'):
        AttentionDecoder().attend(np.zeros((1, 1)), None)
