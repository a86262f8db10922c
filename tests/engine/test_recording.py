"""Graphs of recorded calls against the calls themselves."""

import numpy as onp
import pytest
from plain_models import (
    PLAIN_MODELS,
    UNTRACEABLE_MODELS,
    DeeperDecoder,
    DropoutDecoder,
    plain_model,
)

from d2l_seq2seq import book as d2l
from d2l_seq2seq import initialize
from d2l_seq2seq._mxnet import autograd, mx, nn, np, npx
from d2l_seq2seq.engine.flat_parameters import FlatParameters
from d2l_seq2seq.engine.recording import TraceError, record_call, without_dropout
from d2l_seq2seq.engine.tracing import trace, uses_random_numbers

SRC_SHAPE, TGT_SHAPE = (3, 5), (3, 4)


def new_model(blocks, seed):
    mx.random.seed(seed)
    model = plain_model(blocks, 11, 13)
    initialize(model, npx.cpu())
    return model


def random_batch(seed):
    """Return a batch as NumPy arrays, by the names of the inputs of a graph."""
    rng = onp.random.RandomState(seed)
    return {
        'src': rng.randint(11, size=SRC_SHAPE),
        'src_valid_len': rng.randint(1, 6, size=3),
        'tgt': rng.randint(13, size=TGT_SHAPE),
        'tgt_valid_len': rng.randint(1, 5, size=3),
        'label_positions': rng.permutation(12)[:7],
    }


def call(model, batch):
    """Return the logits of a model at the label positions."""
    names = ('src', 'tgt', 'src_valid_len', 'tgt_valid_len')
    logits, _ = model(*(np.array(batch[name], dtype='float32') for name in names))
    return logits.reshape(12, 13)[np.array(batch['label_positions'], dtype='int32')]


def gradients(model):
    return {
        name: parameter.grad().asnumpy().copy()
        for name, parameter in model.collect_params().items()
    }


@pytest.mark.parametrize('is_training', [True, False])
@pytest.mark.parametrize('blocks', PLAIN_MODELS.values(), ids=PLAIN_MODELS)
def test_the_graph_has_the_logits_and_gradients_of_the_model(blocks, is_training, seed):
    """The graph was recorded with other tokens and lengths than it is called with here."""
    model, batch = new_model(blocks, seed), random_batch(seed)
    with autograd.record(train_mode=is_training):
        expected = call(model, batch)
        (expected**2).sum().backward(train_mode=is_training)
    expected_gradients = gradients(model)

    graph = trace(model, SRC_SHAPE, TGT_SHAPE, is_training)
    assert graph.is_recorded
    flat = FlatParameters(model.collect_params().values(), graph.packed.values())
    data = {name: mx.nd.array(values) for name, values in batch.items()}
    known = {**flat.variables(graph.packed), **graph.constants, **data}
    with autograd.record(train_mode=is_training):
        logits = mx.nd.CachedOp(graph.logits)(*(known[name] for name in graph.inputs))
        (logits**2).sum().backward(train_mode=is_training)
    onp.testing.assert_allclose(logits.asnumpy(), expected.asnumpy(), rtol=1e-4, atol=1e-5)
    for name, gradient in gradients(model).items():
        scale = abs(expected_gradients[name]).max()
        onp.testing.assert_allclose(gradient, expected_gradients[name], rtol=0, atol=1e-4 * scale)


def test_recurrent_weights_are_packed_as_those_of_hybridizable_blocks(seed):
    """Eight parameters of each of the two LSTMs are one input."""
    graph = trace(new_model(PLAIN_MODELS['book'], seed), SRC_SHAPE, TGT_SHAPE)
    assert [len(names) for names in graph.packed.values()] == [8, 8]


def test_keys_are_projected_once_for_all_steps(seed):
    """The decoder of section 10.2 projects the same keys at every step."""
    model = new_model(PLAIN_MODELS['attention'], seed)
    graph = trace(model, SRC_SHAPE, TGT_SHAPE)
    names = [node for node in graph.logits.get_internals().list_outputs() if 'node' in node]
    keys_weight = model.decoder.attention_cell.W_k.weight.name
    uses = [
        symbol
        for symbol in (graph.logits.get_internals()[name] for name in names)
        if symbol.get_children() is not None
        and keys_weight in [child.name for child in symbol.get_children()]
    ]
    assert len(uses) == 1


def test_dropout_is_random_in_training_only(seed):
    plain, dropout = (
        new_model((d2l.Seq2SeqEncoder, decoder), seed)
        for decoder in (DeeperDecoder, DropoutDecoder)
    )
    assert uses_random_numbers(dropout) and not uses_random_numbers(plain)
    with without_dropout(dropout):
        assert not uses_random_numbers(dropout)
    assert uses_random_numbers(dropout)


def test_a_model_that_reads_values_cannot_be_recorded(seed):
    model = new_model(UNTRACEABLE_MODELS['values'], seed)
    with pytest.raises(TraceError, match='depend on the values of arrays'):
        trace(model)
    call(model, random_batch(seed))  # it can still be called


def test_an_array_of_unknown_origin_is_reported(seed):
    block, hidden = nn.Dense(3), np.ones((2, 3))
    block.initialize()
    inputs = {'x': np.ones((2, 4))}
    block(inputs['x'])
    with pytest.raises(TraceError, match='neither inputs, nor parameters, nor attributes'):
        record_call(lambda x: [block(x) + hidden], inputs, block, is_training=True)


def test_an_error_of_the_model_is_the_reason(seed):
    block = nn.Dense(3)
    block.initialize()
    block(np.ones((2, 4)))
    with pytest.raises(TraceError, match='ZeroDivisionError: division by zero'):
        record_call(lambda x: [block(x) * (1 / 0)], {'x': np.ones((2, 4))}, block, is_training=True)


def test_recording_leaves_inputs_and_autograd_as_they_were(seed):
    model, x = new_model(PLAIN_MODELS['book'], seed), np.ones((2, 3))
    with autograd.record():
        before = (x * model.encoder.embedding.weight.data()[:2, :3]).sum()
    record_call(lambda src: model.encoder(src)[:1], {'src': x}, model, is_training=True)
    before.backward()
    assert x.grad is None and not autograd.is_recording()
    gradient = model.encoder.embedding.weight.grad().asnumpy()
    assert gradient[:2, :3].tolist() == [[1, 1, 1], [1, 1, 1]] and gradient.sum() == 6
