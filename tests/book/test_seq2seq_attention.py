"""The attention decoder of section 10.2 against the book's shapes and a NumPy loop."""

import numpy as onp
import pytest
from test_seq2seq_blocks import lstm_by_loop

from d2l_seq2seq._mxnet import init, np, npx
from d2l_seq2seq.book.encoder_decoder import EncoderDecoder
from d2l_seq2seq.book.seq2seq import Seq2SeqEncoder, predict_s2s_ch9, train_s2s_ch9
from d2l_seq2seq.book.seq2seq_attention import Seq2SeqAttentionDecoder
from d2l_seq2seq.data.pipeline import load_pairs

SIZES = {'vocab_size': 10, 'embed_size': 8, 'num_hiddens': 16, 'num_layers': 2}


@pytest.fixture
def model(seed):
    model = EncoderDecoder(Seq2SeqEncoder(**SIZES), Seq2SeqAttentionDecoder(**SIZES))
    model.initialize(init.Xavier())
    return model


def draw_ids(seed, *shape):
    return onp.random.RandomState(seed).randint(SIZES['vocab_size'], size=shape)


def test_the_books_cell(model):
    X = np.zeros((4, 7))
    state = model.decoder.init_state(model.encoder(X), None)
    out, state = model.decoder(X, state)
    assert (out.shape, len(state), state[0].shape, len(state[1]), state[1][0].shape) == (
        (4, 7, 10),
        3,
        (4, 7, 16),
        2,
        (2, 4, 16),
    )


def decoder_by_loop(decoder, tgt, enc_outputs, state, valid_len):
    """Return the logits and the last state of the decoder, computed in NumPy."""
    W_q, W_k, v = (
        layer.weight.data().asnumpy()
        for layer in (
            decoder.attention_cell.W_q,
            decoder.attention_cell.W_k,
            decoder.attention_cell.v,
        )
    )
    embedding = decoder.embedding.weight.data().asnumpy()
    W, b = decoder.dense.weight.data().asnumpy(), decoder.dense.bias.data().asnumpy()
    logits = []
    for token_ids in tgt.T:
        contexts = []
        for query, outputs, length in zip(state[0][-1], enc_outputs, valid_len):
            scores = onp.tanh(outputs[:length] @ W_k.T + W_q @ query) @ v[0]
            weights = onp.exp(scores) / onp.exp(scores).sum()
            contexts.append(weights @ outputs[:length])
        x = onp.concatenate([onp.array(contexts), embedding[token_ids]], axis=1)
        (output,), state = lstm_by_loop(decoder.rnn, [x], state)
        logits.append(output @ W.T + b)
    return onp.stack(logits, axis=1), state


def test_logits_and_state_equal_a_numpy_loop(model, seed):
    src, tgt, valid_len = draw_ids(seed, 3, 5), draw_ids(seed + 1, 3, 4), [5, 2, 1]
    outputs, enc_state = model.encoder(np.array(src))
    logits, state = model(np.array(src), np.array(tgt), np.array(valid_len))
    loop_logits, loop_state = decoder_by_loop(
        model.decoder,
        tgt,
        outputs.asnumpy().swapaxes(0, 1),
        [part.asnumpy() for part in enc_state],
        valid_len,
    )
    onp.testing.assert_allclose(logits.asnumpy(), loop_logits, atol=1e-5)
    assert (state[0] == outputs.swapaxes(0, 1)).all() and state[2].tolist() == valid_len
    for part, loop_part in zip(state[1], loop_state):
        onp.testing.assert_allclose(part.asnumpy(), loop_part, atol=1e-5)


def test_single_steps_equal_teacher_forcing(model, seed):
    src, tgt = np.array(draw_ids(seed, 3, 5)), np.array(draw_ids(seed + 1, 3, 6))
    valid_len = np.array([3, 5, 1])
    logits, _ = model(src, tgt, valid_len)
    state = model.decoder.init_state(model.encoder(src, valid_len), valid_len, 'ignored')
    for step in range(6):
        step_logits, state = model.decoder(tgt[:, step : step + 1], state)
        onp.testing.assert_allclose(
            step_logits[:, 0].asnumpy(), logits[:, step].asnumpy(), rtol=1e-4, atol=1e-5
        )


def test_encoder_outputs_of_padding_change_nothing(model, seed):
    tgt, valid_len = np.array(draw_ids(seed, 2, 4)), np.array([3, 1])
    outputs, state = model.encoder(np.array(draw_ids(seed + 1, 2, 5)))  # (5, 2, 16)
    logits, _ = model.decoder(tgt, model.decoder.init_state((outputs, state), valid_len))
    changed = outputs.copy()
    changed[3:, 0], changed[1:, 1] = 7, -7
    other_logits, _ = model.decoder(tgt, model.decoder.init_state((changed, state), valid_len))
    assert (logits == other_logits).all()
    unmasked_logits, _ = model.decoder(tgt, model.decoder.init_state((changed, state), None))
    assert (logits != unmasked_logits).any()


def test_a_toy_language_is_learned(seed):
    """Each word has one translation; after training (nearly) all sentences are translated well."""
    words = {'one': 'un', 'two': 'deux', 'three': 'trois'}
    pairs = [(f'{a} {b} .', f'{words[a]} {words[b]} .') for a in words for b in words] * 2
    src_vocab, tgt_vocab, data_iter = load_pairs(pairs, 6, 6)
    model = EncoderDecoder(
        Seq2SeqEncoder(len(src_vocab), 16, 16, 1),
        Seq2SeqAttentionDecoder(len(tgt_vocab), 16, 16, 1),
    )
    train_s2s_ch9(model, data_iter, 0.02, 60, npx.cpu())
    num_correct = sum(
        predict_s2s_ch9(model, src, src_vocab, tgt_vocab, 6, npx.cpu()) == tgt
        for src, tgt in set(pairs)
    )
    assert num_correct >= 8  # of 9
