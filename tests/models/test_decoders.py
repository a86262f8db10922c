"""Decoders: the book's shapes with attention, the context at every step, and input feeding."""

import numpy as onp
import pytest

from d2l_seq2seq import ModelConfig, initialize
from d2l_seq2seq._mxnet import mx, np, seed_generators
from d2l_seq2seq.models.decoders import AttentionDecoder
from d2l_seq2seq.models.factory import build_model, named_parameters

from random_batch import CTX, VOCAB_SIZE, logits_of, random_batch


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


def test_input_feeding_without_weights_for_it_is_luongs_decoder(seed):
    """The recurrent layer's weights for the fed vector are 0, and all others are shared."""
    seed_generators(seed)
    batch = random_batch(seed)
    models = []
    for feeding in (False, True):
        config = ModelConfig(6, 8, 1, masked=True, attention='general', input_feeding=feeding)
        models.append(build_model(config, VOCAB_SIZE, VOCAB_SIZE))
        initialize(models[-1], CTX, mx.init.Uniform(0.5))
    luong, feeding = models
    weights = named_parameters(luong)
    for name, parameter in named_parameters(feeding).items():
        value = weights[name].data()
        if name == 'decoder.rnn._unfused.0.i2h_weight':
            value = np.concatenate([value, np.zeros((4 * 8, 8))], axis=1)
        parameter.set_data(value)
    onp.testing.assert_allclose(
        logits_of(feeding, batch).asnumpy(), logits_of(luong, batch).asnumpy(), rtol=1e-5, atol=1e-6
    )
    parameter = named_parameters(feeding)['decoder.rnn._unfused.0.i2h_weight']
    parameter.set_data(np.ones(parameter.shape))
    assert abs(logits_of(feeding, batch) - logits_of(luong, batch)).max() > 0.01
