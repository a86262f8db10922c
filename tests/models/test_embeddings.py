"""Embeddings and output layers: dropout, sharing, tying, and initial values."""

import numpy as onp
import pytest

from d2l_seq2seq import EncoderDecoder, Feed, ModelConfig, encode_pairs, fit, initialize
from d2l_seq2seq._mxnet import autograd, mx, np, seed_generators
from d2l_seq2seq.models.decoders import Seq2SeqDecoder
from d2l_seq2seq.models.embeddings import NormalEmbeddings, share_embedding, tie_output
from d2l_seq2seq.models.encoders import Seq2SeqEncoder
from d2l_seq2seq.models.factory import build_model

from random_batch import CTX, VOCAB_SIZE, logits_of, random_batch


def test_shared_and_tied_weights_are_one_parameter():
    model = build_model(ModelConfig(8, 8, 1, tied=True, share_embedding=True), 12, 12)
    initialize(model, CTX)
    weight = model.encoder.embedding.weight
    assert model.decoder.embedding.weight is weight and model.decoder.dense.weight is weight
    separate = build_model(ModelConfig(8, 8, 1), 12, 12)
    initialize(separate, CTX)
    sizes = [
        sum(parameter.data().size for parameter in model.collect_params().values())
        for model in (separate, model)
    ]
    embedding_size = 12 * 8
    assert sizes[0] - sizes[1] == 2 * embedding_size


def test_sharing_comes_before_tying():
    model = EncoderDecoder(Seq2SeqEncoder(12, 8, 8, 1), Seq2SeqDecoder(12, 8, 8, 1))
    share_embedding(model)
    tie_output(model.decoder)
    assert model.decoder.dense.weight is model.encoder.embedding.weight
    with pytest.raises(ValueError, match='call share_embedding before tie_output$'):
        share_embedding(model)


def test_a_tied_output_of_another_size_is_projected(seed):
    """The logits are E W h + b, with E the embedding and W the projection."""
    seed_generators(seed)
    decoder = Seq2SeqDecoder(VOCAB_SIZE, 6, 8, 1)
    tie_output(decoder)
    model = EncoderDecoder(Seq2SeqEncoder(VOCAB_SIZE, 6, 8, 1), decoder)
    initialize(model, CTX, mx.init.Uniform(0.5))
    batch = random_batch(seed)
    state = model.encoder(batch.src, batch.src_valid_len)[1]
    hiddens, _ = decoder.rnn(decoder.embedding(batch.tgt).swapaxes(0, 1), state)
    projection = decoder.dense.projection.weight.data()
    expected = np.dot(np.dot(hiddens, projection.T), decoder.embedding.weight.data().T)
    onp.testing.assert_allclose(
        logits_of(model, batch).asnumpy(),
        (expected + decoder.dense.bias.data())
        .swapaxes(0, 1)[:, : batch.tgt.shape[1] - 1]
        .asnumpy(),
        rtol=1e-5,
        atol=1e-6,
    )


@pytest.mark.parametrize('tied', [False, True])
@pytest.mark.parametrize('name', ['embedding_dropout', 'output_dropout'])
def test_dropout_changes_training_only_and_keeps_the_names_of_the_weights(name, tied, seed):
    models = []
    for config in (ModelConfig(8, 8, 1, tied=tied), ModelConfig(8, 8, 1, tied=tied, **{name: 0.5})):
        seed_generators(seed)
        models.append(build_model(config, VOCAB_SIZE, VOCAB_SIZE))
        initialize(models[-1], CTX)
    plain, dropping = models
    weights = plain._collect_params_with_prefix()
    for weight_name, parameter in dropping._collect_params_with_prefix().items():
        parameter.set_data(weights[weight_name].data())
    batch = random_batch(seed)
    expected = logits_of(plain, batch).asnumpy()
    assert (logits_of(dropping, batch).asnumpy() == expected).all()
    with autograd.train_mode():
        assert (logits_of(dropping, batch).asnumpy() != expected).any()


def test_dropped_embeddings_are_zero_or_scaled(seed):
    seed_generators(seed)
    model = build_model(ModelConfig(16, 8, 1, embedding_dropout=0.25), VOCAB_SIZE, VOCAB_SIZE)
    initialize(model, CTX, mx.init.One())
    for block in (model.encoder, model.decoder):
        with autograd.train_mode():
            values = block.embedding(np.zeros((50, 40))).asnumpy()
        assert set(onp.unique(values)) == {0, onp.float32(1 / 0.75)}
        assert abs((values == 0).mean() - 0.25) < 0.02  # ten standard deviations of 32,000 draws


def test_a_shared_embedding_drops_on_both_sides():
    config = ModelConfig(8, 8, 1, embedding_dropout=0.5, share_embedding=True, bidirectional=True)
    model = build_model(config, 12, 12)
    assert model.decoder.embedding is model.encoder.embedding


def test_normal_embeddings_have_rows_of_norm_one(seed):
    seed_generators(seed)
    model = build_model(ModelConfig(256, 16, 1, tied=True), 400, 300)
    initialize(model, CTX, NormalEmbeddings())
    for block in (model.encoder, model.decoder):
        norms = onp.linalg.norm(block.embedding.weight.data().asnumpy(), axis=1)
        assert abs(norms.mean() - 1) < 0.02 and norms.std() < 0.1
    recurrent = model.encoder.rnn.l0_i2h_weight.data().asnumpy()
    assert abs(recurrent).max() <= (3 / ((256 + 4 * 16) / 2)) ** 0.5  # Xavier's range


def test_fit_trains_with_every_kind_of_dropout(seed):
    """Dropout draws from the generator of each update, so the same seed gives the same weights."""
    pairs = [(f'a{n} b', f'c d{n}') for n in range(6)]
    *vocabs, corpus = encode_pairs(pairs, 5)
    config = ModelConfig(6, 8, 1, tied=True, embedding_dropout=0.2, output_dropout=0.2)
    results = []
    for _ in range(2):
        seed_generators(seed)
        model = build_model(config, *map(len, vocabs))
        initialize(model, CTX, NormalEmbeddings())
        losses = []
        fit(
            model,
            Feed(corpus, 3, 0),
            num_epochs=30,
            lr=0.02,
            on_epoch_end=lambda metrics, state: losses.append(metrics.train.nll_per_token),
        )
        results.append(losses)
    assert results[0] == results[1]
    assert results[0][-1] < results[0][0] / 2
