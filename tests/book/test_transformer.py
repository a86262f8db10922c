"""The transformer of section 10.3 against the book's shapes, NumPy loops and identities."""

import math

import numpy as onp
import pytest

from d2l_seq2seq._mxnet import autograd, init, np, npx
from d2l_seq2seq.book.encoder_decoder import EncoderDecoder
from d2l_seq2seq.book.machine_translation import preprocess_nmt
from d2l_seq2seq.book.seq2seq import predict_s2s_ch9, train_s2s_ch9
from d2l_seq2seq.book.transformer import (
    AddNorm,
    DecoderBlock,
    EncoderBlock,
    MultiHeadAttention,
    PositionalEncoding,
    PositionWiseFFN,
    TransformerDecoder,
    TransformerEncoder,
    transpose_output,
    transpose_qkv,
)
from d2l_seq2seq.data.pipeline import load_pairs

VOCAB_SIZE, NUM_HIDDENS, FFN_NUM_HIDDENS, NUM_HEADS, NUM_LAYERS = 12, 8, 16, 2, 2
SIZES = (VOCAB_SIZE, NUM_HIDDENS, FFN_NUM_HIDDENS, NUM_HEADS, NUM_LAYERS)


def new_model(dropout=0.0):
    model = EncoderDecoder(TransformerEncoder(*SIZES, dropout), TransformerDecoder(*SIZES, dropout))
    model.initialize(init.Xavier(magnitude=6))  # large enough that attention is not uniform
    return model


@pytest.fixture
def model(seed):
    return new_model()


def draw_ids(seed, *shape):
    ids = onp.random.RandomState(seed).randint(VOCAB_SIZE, size=shape)
    return np.array(ids, dtype='float32')  # as the book's data sets


def draw_array(seed, *shape):
    return onp.random.RandomState(seed).randn(*shape).astype('float32')


def training_logits(model, src, tgt, valid_len):
    """Return the logits of a whole target under the causal mask."""
    with autograd.train_mode():
        return model(src, tgt, valid_len)[0].asnumpy()


def weights_of(layer):
    return layer.weight.data().asnumpy()


# The book's cells.


def test_the_books_attention_cell():
    attention = MultiHeadAttention(90, 9, 0.5)
    attention.initialize()
    X = np.ones((2, 4, 5))
    assert attention(X, X, X, np.array([2, 3])).shape == (2, 4, 90)


def test_the_books_feed_forward_cell():
    """All positions have the same input, so they have the same output."""
    ffn = PositionWiseFFN(4, 8)
    ffn.initialize()
    output = ffn(np.ones((2, 3, 4)))
    assert output.shape == (2, 3, 8)
    assert (output == output[0, 0]).all() and (output != 0).any()


def test_the_books_add_and_norm_cell():
    add_norm = AddNorm(0.5)
    add_norm.initialize()
    assert add_norm(np.ones((2, 3, 4)), np.ones((2, 3, 4))).shape == (2, 3, 4)


def test_the_books_cells_of_blocks():
    X, valid_len = np.ones((2, 100, 24)), np.array([2, 3])
    encoder_block, decoder_block = EncoderBlock(24, 48, 8, 0.5), DecoderBlock(24, 48, 8, 0.5, 0)
    encoder = TransformerEncoder(200, 24, 48, 8, 2, 0.5)
    for block in (encoder_block, decoder_block, encoder):
        block.initialize()
    assert encoder_block(X, valid_len).shape == (2, 100, 24)
    assert encoder(np.ones((2, 100)), valid_len).shape == (2, 100, 24)
    state = [encoder_block(X, valid_len), valid_len, [None]]
    assert decoder_block(X, state)[0].shape == (2, 100, 24)


def test_shapes_of_the_model(model, seed):
    logits, state = model(draw_ids(seed, 3, 5), draw_ids(seed, 3, 7), np.array([5, 2, 1]))
    assert logits.shape == (3, 7, VOCAB_SIZE)
    assert state[0].shape == (3, 5, NUM_HIDDENS)
    assert [inputs.shape for inputs in state[2]] == [(3, 7, NUM_HIDDENS)] * NUM_LAYERS


# The layers, each against a loop in NumPy.


def test_heads_are_the_columns_of_each_sentence(seed):
    X = draw_array(seed, 2, 3, 6)
    heads = transpose_qkv(np.array(X), 3).asnumpy()
    for row in range(6):
        sentence, head = divmod(row, 3)
        assert (heads[row] == X[sentence, :, 2 * head : 2 * head + 2]).all()


def test_transpose_output_is_the_inverse_of_transpose_qkv(seed):
    X = draw_array(seed, 2, 3, 12)
    assert (transpose_output(transpose_qkv(np.array(X), 4), 4).asnumpy() == X).all()


def softmax(scores):
    exp = onp.exp(scores - scores.max())
    return exp / exp.sum()


def attention_by_loop(layer, query, key, value, lengths):
    """Return multi-head attention; `lengths` is the number of pairs of a sentence and a head."""
    queries, keys, values = (
        X @ weights_of(dense).T
        for X, dense in ((query, layer.W_q), (key, layer.W_k), (value, layer.W_v))
    )
    size = queries.shape[-1] // layer.num_heads
    heads = onp.zeros_like(queries)
    for sentence, step in onp.ndindex(*queries.shape[:2]):
        for head in range(layer.num_heads):
            columns = slice(head * size, (head + 1) * size)
            length = lengths(sentence, head, step)
            scores = keys[sentence, :length, columns] @ queries[sentence, step, columns]
            weights = softmax(scores / math.sqrt(size))
            heads[sentence, step, columns] = weights @ values[sentence, :length, columns]
    return heads @ weights_of(layer.W_o).T


LENGTHS, LENGTHS_OF_QUERIES = [4, 1, 2], [[4, 1], [2, 3], [1, 4]]
BATCH_SIZE = len(LENGTHS)


@pytest.mark.parametrize(
    'valid_len, lengths',
    [
        (None, lambda sentence, head, step: 4),
        # The chapter gives row r = sentence * num_heads + head the length of r % batch_size.
        (LENGTHS, lambda sentence, head, step: LENGTHS[(2 * sentence + head) % BATCH_SIZE]),
        (
            LENGTHS_OF_QUERIES,
            lambda sentence, head, step: LENGTHS_OF_QUERIES[(2 * sentence + head) % BATCH_SIZE][
                step
            ],
        ),
    ],
    ids=['no mask', 'one length', 'a length per query'],
)
def test_attention_equals_a_loop(valid_len, lengths, seed):
    layer = MultiHeadAttention(6, 2, 0.0)
    layer.initialize(init.Uniform(1))
    query, key, value = (
        draw_array(seed + i, BATCH_SIZE, *shape) for i, shape in enumerate([(2, 5), (4, 3), (4, 7)])
    )
    output = layer(*map(np.array, (query, key, value)), valid_len and np.array(valid_len))
    onp.testing.assert_allclose(
        output.asnumpy(), attention_by_loop(layer, query, key, value, lengths), rtol=1e-4, atol=1e-5
    )


def test_the_wrong_lengths_do_not_matter_if_all_are_equal(seed):
    """Then each sentence is masked as it is in a batch of its own."""
    layer = MultiHeadAttention(6, 2, 0.0)
    layer.initialize(init.Uniform(1))
    X = np.array(draw_array(seed, 3, 4, 5))
    batch = layer(X, X, X, np.array([2, 2, 2])).asnumpy()
    for i in range(3):
        x = X[i : i + 1]
        onp.testing.assert_allclose(layer(x, x, x, np.array([2])).asnumpy()[0], batch[i], atol=1e-6)


def test_use_bias_adds_biases_to_the_dense_layers():
    for use_bias in (False, True):
        layer = MultiHeadAttention(6, 2, 0.0, use_bias)
        names = [name for name in layer.collect_params() if name.endswith('bias')]
        assert len(names) == 4 * use_bias


def test_positional_encoding_equals_the_formula():
    encoding = PositionalEncoding(6, 0, max_len=50)
    encoding.initialize()
    P = encoding(np.zeros((1, 40, 6))).asnumpy()[0]
    for i, column in onp.ndindex(40, 6):
        angle = i / 10000 ** ((column - column % 2) / 6)
        expected = math.cos(angle) if column % 2 else math.sin(angle)
        assert P[i, column] == pytest.approx(expected, abs=1e-5)


def test_positional_encoding_is_added_to_every_sentence(seed):
    encoding = PositionalEncoding(6, 0)
    X = np.array(draw_array(seed, 2, 3, 6))
    onp.testing.assert_allclose(
        (encoding(X) - X).asnumpy(), onp.repeat(encoding.P[:, :3].asnumpy(), 2, axis=0), atol=1e-6
    )


def layer_norm(X):
    centered = X - X.mean(axis=-1, keepdims=True)
    return centered / onp.sqrt((centered**2).mean(axis=-1, keepdims=True) + 1e-5)


def ffn_by_loop(ffn, X):
    for dense, activation in ((ffn.dense1, lambda Y: onp.maximum(Y, 0)), (ffn.dense2, lambda Y: Y)):
        X = activation(X @ weights_of(dense).T + dense.bias.data().asnumpy())
    return X


def test_blocks_equal_numpy(seed):
    """The sublayers of both blocks are connected as in the architecture of the section."""
    X, outputs = draw_array(seed, 1, 3, 8), draw_array(seed + 1, 1, 5, 8)
    encoder_block, decoder_block = EncoderBlock(8, 16, 2, 0.0), DecoderBlock(8, 16, 2, 0.0, 0)
    for block in (encoder_block, decoder_block):
        block.initialize(init.Uniform(0.5))
    encoded = encoder_block(np.array(X), np.array([2])).asnumpy()
    with autograd.train_mode():
        state = [np.array(outputs), np.array([4]), [None]]
        decoded = decoder_block(np.array(X), state)[0].asnumpy()

    def source_mask(length):
        return lambda sentence, head, step: length

    Y = layer_norm(X + attention_by_loop(encoder_block.attention, X, X, X, source_mask(2)))
    onp.testing.assert_allclose(
        encoded, layer_norm(Y + ffn_by_loop(encoder_block.ffn, Y)), atol=1e-4
    )
    causal_mask = lambda sentence, head, step: step + 1  # noqa: E731
    Y = layer_norm(X + attention_by_loop(decoder_block.attention1, X, X, X, causal_mask))
    Z = layer_norm(
        Y + attention_by_loop(decoder_block.attention2, Y, outputs, outputs, source_mask(4))
    )
    onp.testing.assert_allclose(
        decoded, layer_norm(Z + ffn_by_loop(decoder_block.ffn, Z)), atol=1e-4
    )


# The model.


def test_later_target_tokens_do_not_change_earlier_logits_in_training(model, seed):
    src, tgt, valid_len = draw_ids(seed, 3, 5), draw_ids(seed + 1, 3, 6), np.array([5, 2, 1])
    logits = training_logits(model, src, tgt, valid_len)
    tgt[:, 4:] = (tgt[:, 4:] + 1) % VOCAB_SIZE
    changed = training_logits(model, src, tgt, valid_len)
    assert (changed[:, :4] == logits[:, :4]).all()
    assert (changed[:, 4:] != logits[:, 4:]).any(axis=-1).all()


def test_outside_of_training_the_first_logits_see_the_whole_target(model, seed):
    """This is the chapter's quirk that is explained at DecoderBlock."""
    src, tgt, valid_len = draw_ids(seed, 1, 5), draw_ids(seed + 1, 1, 6), np.array([5])
    logits, _ = model(src, tgt, valid_len)
    tgt[:, 5] = (tgt[:, 5] + 1) % VOCAB_SIZE
    assert (model(src, tgt, valid_len)[0][:, 0] != logits[:, 0]).any()


def stepwise_logits(decoder, tgt, state):
    """Return the logits of a target whose tokens are passed one at a time, as in prediction."""
    logits = []
    for t in range(tgt.shape[1]):
        step, state = decoder(tgt[:, t : t + 1], state)
        logits.append(step.asnumpy())
    return onp.concatenate(logits, axis=1)


def test_stepwise_logits_equal_those_of_training_at_position_0(model, seed):
    """The only difference is the position, which is 0 for every step in prediction."""
    src, tgt, valid_len = draw_ids(seed, 3, 5), draw_ids(seed + 1, 3, 6), np.array([5, 2, 1])
    outputs = model.encoder(src, valid_len)
    init_state = model.decoder.init_state
    stepwise = stepwise_logits(model.decoder, tgt, init_state(outputs, valid_len))
    with autograd.train_mode():
        logits = model.decoder(tgt, init_state(outputs, valid_len))[0].asnumpy()
        P = model.decoder.pos_encoding.P
        P[:] = P[:, :1]
        logits_at_0 = model.decoder(tgt, init_state(outputs, valid_len))[0].asnumpy()
    onp.testing.assert_allclose(stepwise, logits_at_0, atol=1e-4)
    onp.testing.assert_allclose(stepwise[:, 0], logits[:, 0], atol=1e-4)
    assert abs(stepwise[:, 1:] - logits[:, 1:]).max() > 1e-2


def test_padding_of_a_single_source_changes_nothing(model, seed):
    src, tgt, valid_len = draw_ids(seed, 1, 3), draw_ids(seed + 1, 1, 4), np.array([3])
    padded = np.concatenate([src, np.ones((1, 4))], axis=1)
    onp.testing.assert_allclose(
        training_logits(model, padded, tgt, valid_len),
        training_logits(model, src, tgt, valid_len),
        atol=1e-5,
    )


def test_in_a_batch_the_padding_is_read(model, seed):
    """This is the chapter's quirk that is explained at MultiHeadAttention."""
    src, tgt = draw_ids(seed, 2, 5), draw_ids(seed + 1, 2, 4)
    valid_len = np.array([2, 5])
    logits = training_logits(model, src, tgt, valid_len)
    src[0, 2:] = (src[0, 2:] + 1) % VOCAB_SIZE
    assert abs(training_logits(model, src, tgt, valid_len) - logits)[0].max() > 1e-4


def test_the_state_is_changed_in_place_and_grows(model, seed):
    src, tgt = draw_ids(seed, 1, 5), draw_ids(seed + 1, 1, 3)
    state = model.decoder.init_state(model.encoder(src, None), None)
    past_inputs = state[2]
    assert past_inputs == [None] * NUM_LAYERS
    for t in range(3):
        _, new_state = model.decoder(tgt[:, t : t + 1], state)
        assert new_state is state and new_state[2] is past_inputs
        assert [inputs.shape[1] for inputs in past_inputs] == [t + 1] * NUM_LAYERS


def test_dropout_acts_in_training_only(seed):
    model = new_model(dropout=0.5)
    src, tgt, valid_len = draw_ids(seed, 2, 5), draw_ids(seed + 1, 2, 1), np.array([5, 2])
    assert (model(src, tgt, valid_len)[0] == model(src, tgt, valid_len)[0]).all()
    assert (
        training_logits(model, src, tgt, valid_len) != training_logits(model, src, tgt, valid_len)
    ).any()


def test_a_toy_language_is_learned(seed):
    """Each word has one translation, and the chapter's own functions train and translate."""
    words = {'one': 'un', 'two': 'deux', 'three': 'trois'}
    pairs = [(f'{a} {b}.', f'{words[a]} {words[b]}.') for a in words for b in words]
    src_vocab, tgt_vocab, data_iter = load_pairs(pairs, 9, 6)
    model = EncoderDecoder(
        TransformerEncoder(len(src_vocab), 16, 32, 2, 1, 0.0),
        TransformerDecoder(len(tgt_vocab), 16, 32, 2, 1, 0.0),
    )
    losses = []
    train_s2s_ch9(
        model, data_iter, 0.01, 100, npx.cpu(), on_epoch_end=lambda *args: losses.append(args)
    )
    _, loss_sum, num_tokens = losses[-1]
    assert loss_sum / num_tokens < 0.05 * math.log(len(tgt_vocab))
    first_words = [
        predict_s2s_ch9(model, preprocess_nmt(src), src_vocab, tgt_vocab, 6, npx.cpu()).split()[0]
        for src, _ in pairs
    ]
    # Only the first word is translated at the position of training.
    assert first_words == [tgt.split()[0] for _, tgt in pairs]
