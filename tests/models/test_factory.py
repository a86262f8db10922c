"""Building a model: shared embeddings, tied outputs, and what does not fit together."""

import pytest

from d2l_seq2seq import EncoderDecoder, ModelConfig, initialize
from d2l_seq2seq._mxnet import rnn
from d2l_seq2seq.models.decoders import ContextDecoder, LuongDecoder, Seq2SeqDecoder
from d2l_seq2seq.models.encoders import MaskedEncoder, Seq2SeqEncoder
from d2l_seq2seq.models.factory import build_model, share_embedding, tie_output

from random_batch import CTX, VOCAB_SIZE


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


def test_tying_needs_equal_sizes():
    with pytest.raises(
        ValueError,
        match='^expected an embed_size equal to num_hiddens for a tied output, got 8 and 16$',
    ):
        tie_output(Seq2SeqDecoder(12, 8, 16, 1))


def test_sharing_comes_before_tying():
    model = EncoderDecoder(Seq2SeqEncoder(12, 8, 8, 1), Seq2SeqDecoder(12, 8, 8, 1))
    share_embedding(model)
    tie_output(model.decoder)
    assert model.decoder.dense.weight is model.encoder.embedding.weight
    with pytest.raises(ValueError, match='call share_embedding before tie_output$'):
        share_embedding(model)


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
