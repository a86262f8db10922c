"""The fast attention layer and decoder of the family equal those of the book."""

import numpy as onp
from book_losses import book_losses

from d2l_seq2seq import AdditiveAttention, EncoderDecoder, Seq2SeqAttentionDecoder, Seq2SeqEncoder
from d2l_seq2seq import book as d2l
from d2l_seq2seq._mxnet import init, np, npx, seed_generators

CTX = npx.cpu()
VOCAB_SIZE, BATCH_SIZE, NUM_STEPS = 20, 6, 7


def copy_weights(source, target):
    """Copy the parameters of a block of the book to the corresponding block of the family."""
    weights = {
        name.replace('attention_cell.', 'attention.'): parameter.data()
        for name, parameter in source._collect_params_with_prefix().items()
    }
    parameters = target._collect_params_with_prefix()
    assert weights.keys() == parameters.keys()
    for name, weight in weights.items():
        parameters[name].set_data(weight)


def random_batch(seed):
    """Return source ids and valid lengths, then target ids and valid lengths, with padding."""
    rng = onp.random.RandomState(seed)

    def sentences(min_length):
        lengths = rng.randint(min_length, NUM_STEPS + 1, BATCH_SIZE)
        lengths[0] = min_length  # at least one sentence is padded
        ids = rng.randint(4, VOCAB_SIZE, (BATCH_SIZE, NUM_STEPS))
        ids[onp.arange(NUM_STEPS) >= lengths[:, None]] = 1  # <pad>
        return np.array(ids, dtype='float32'), np.array(lengths, dtype='int64')

    return (*sentences(1), *sentences(2))


def new_models():
    """Return a model of the book and one of the family, neither with weights yet."""
    sizes = {'vocab_size': VOCAB_SIZE, 'embed_size': 8, 'num_hiddens': 16, 'num_layers': 2}
    return (
        EncoderDecoder(Seq2SeqEncoder(**sizes), d2l.Seq2SeqAttentionDecoder(**sizes)),
        EncoderDecoder(Seq2SeqEncoder(**sizes), Seq2SeqAttentionDecoder(**sizes)),
    )


def test_additive_attention_equals_mlp_attention(seed):
    query, value = np.random.normal(size=(3, 2, 4)), np.random.normal(size=(3, 5, 6))
    valid_len = np.array([5, 2, 1])
    slow, fast = d2l.MLPAttention(7, 0), AdditiveAttention(7)
    for block in (slow, fast):
        block.initialize(init.Uniform(0.8))
    slow_context = slow(query, value, value, valid_len)
    fast(query, fast.project_keys(value), value, valid_len)  # the parameters get their shapes
    copy_weights(slow, fast)
    context, weights = fast(query, fast.project_keys(value), value, valid_len)
    onp.testing.assert_allclose(context.asnumpy(), slow_context.asnumpy(), rtol=0, atol=1e-6)
    onp.testing.assert_allclose(
        npx.batch_dot(weights, value).asnumpy(), slow_context.asnumpy(), rtol=0, atol=1e-6
    )


def test_logits_and_state_equal_those_of_the_book(seed):
    slow, fast = new_models()
    src, src_valid_len, tgt, tgt_valid_len = random_batch(seed)
    for model in (slow, fast):
        model.initialize(init.Uniform(0.5))
        model(src, tgt, src_valid_len, tgt_valid_len)
    copy_weights(slow, fast)
    slow_logits, slow_state = slow(src, tgt, src_valid_len, tgt_valid_len)
    logits, state = fast(src, tgt, src_valid_len, tgt_valid_len)
    onp.testing.assert_allclose(logits.asnumpy(), slow_logits.asnumpy(), rtol=0, atol=1e-6)
    (outputs, layers, valid_len), (slow_outputs, slow_layers, slow_valid_len) = state, slow_state
    assert (outputs == slow_outputs).all() and (valid_len == slow_valid_len).all()
    for part, slow_part in zip(layers, slow_layers):
        onp.testing.assert_allclose(part.asnumpy(), slow_part.asnumpy(), rtol=0, atol=1e-6)


def test_training_losses_equal_those_of_the_book(seed):
    """After a forward pass all shapes are known, so both models draw their weights in one order."""
    batches = [random_batch(seed), random_batch(seed + 1)]
    losses = []
    for model in new_models():
        model.initialize()
        model(*(batches[0][column] for column in (0, 2, 1, 3)))
        seed_generators(seed)
        losses.append(book_losses(model, batches, 0.005, 2, CTX))
    slow_losses, fast_losses = losses
    assert slow_losses[1] < slow_losses[0]
    onp.testing.assert_allclose(fast_losses, slow_losses, rtol=0, atol=1e-5)
