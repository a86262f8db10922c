"""Compiled functions and the rewriting of their graphs, against the functions themselves."""

import numpy as onp
import pytest
from plain_models import PLAIN_MODELS, plain_model

from d2l_seq2seq import Decoder, EncoderDecoder, ModelConfig, build_model, initialize
from d2l_seq2seq._mxnet import mx, np, npx, shape_of
from d2l_seq2seq.engine.compiled import CompiledFunctions
from d2l_seq2seq.engine.graphs import merge_equal_nodes, replace_idle_swaps
from d2l_seq2seq.engine.recording import TraceError
from d2l_seq2seq.models.encoders import Seq2SeqEncoder


@pytest.fixture
def model(seed):
    model = build_model(ModelConfig(4, 8, 2, masked=True, attention='general'), 9, 9)
    initialize(model, npx.cpu())
    return model


def encode(model, times, arrays):
    (src, valid_len), none = arrays
    assert none is None
    outputs, state = model.encoder(src, valid_len)
    return [outputs * times, None, [state]]


def test_a_compiled_function_returns_what_the_function_returns(model):
    compiled = CompiledFunctions(model)
    for batch_size, times in ((2, 1.0), (3, 1.0), (2, 5.0), (2, 1.0)):
        src = np.array(onp.random.randint(4, 9, (batch_size, 6)), dtype='float32')
        arrays = [src, np.full((batch_size,), 4)], None
        expected = encode(model, times, arrays)
        result = compiled(encode, (model, times), arrays)
        onp.testing.assert_allclose(result[0].asnumpy(), expected[0].asnumpy(), atol=1e-6)
        assert result[1] is None
        for state, expected_state in zip(result[2][0], expected[2][0]):
            onp.testing.assert_allclose(state.asnumpy(), expected_state.asnumpy(), atol=1e-6)


def test_a_function_is_traced_once_per_shape_and_static_argument(model):
    calls = []

    def count(number, arrays):
        calls.append(number)
        return arrays[0] + number

    compiled = CompiledFunctions(model)
    for number, size in ((1, 2), (1, 2), (1, 3), (2, 2), (1, 2), (2, 2)):
        result = compiled(count, (number,), [np.ones((size,))])
        assert result.asnumpy().tolist() == [1 + number] * size
    assert calls == [1, 1, 2]


def test_the_least_recently_used_graph_is_dropped(model, monkeypatch):
    monkeypatch.setattr('d2l_seq2seq.engine.compiled.MAX_GRAPHS', 2)
    calls = []

    def count(arrays):
        calls.append(shape_of(arrays[0])[0])
        return arrays[0] + 1

    compiled = CompiledFunctions(model)
    for size in (1, 2, 1, 3, 1, 2):  # 3 replaces 2, which was used less recently than 1
        assert compiled(count, (), [np.ones((size,))]).asnumpy().tolist() == [2] * size
    assert calls == [1, 2, 3, 2]


def test_a_swap_with_an_axis_of_size_1_becomes_a_reshape():
    x = mx.sym.var('x')
    idle, real = mx.sym.SwapAxis(x, dim1=0, dim2=1), mx.sym.SwapAxis(x, dim1=0, dim2=2)
    graph, largest = replace_idle_swaps(mx.sym.Group([idle, real]), {'x': (2, 1, 3)})
    assert largest == 6
    assert 'SwapAxis' in graph.tojson() and 'Reshape' in graph.tojson()
    values = mx.nd.arange(6).reshape((2, 1, 3))
    for result, expected in zip(
        mx.nd.CachedOp(graph)(values), (values.swapaxes(0, 1), values.swapaxes(0, 2))
    ):
        assert (result.asnumpy() == expected.asnumpy()).all()


def test_equal_nodes_are_merged():
    x, w = (mx.sym.var(name) for name in 'xw')
    twice = [mx.sym.FullyConnected(x, w, num_hidden=3, no_bias=True) for _ in range(2)]
    other = mx.sym.FullyConnected(x, w, num_hidden=3, no_bias=True, flatten=False)
    merged = merge_equal_nodes(mx.sym.exp(twice[0]) + mx.sym.exp(twice[1]) + other)
    names = [node for node in merged.get_internals().list_outputs() if 'fullyconnected' in node]
    assert len(names) == 2
    assert merged.list_inputs() == ['x', 'w']


def test_a_model_that_cannot_be_traced_is_rejected():
    class Eager(Decoder):
        def init_state(self, enc_outputs, *args):
            return enc_outputs[1]

        def forward(self, X, state):
            return np.ones(X.shape) * X.sum().item(), state

    model = EncoderDecoder(Seq2SeqEncoder(5, 4, 4, 1), Eager())
    initialize(model, npx.cpu())
    with pytest.raises(TraceError, match='depend on the values of arrays'):
        CompiledFunctions(model)


@pytest.mark.parametrize('blocks', PLAIN_MODELS.values(), ids=PLAIN_MODELS)
def test_calls_of_plain_blocks_are_recorded_once(blocks, seed):
    model, calls = plain_model(blocks, 9, 9), []
    initialize(model, npx.cpu())

    def decode(number, arrays):
        calls.append(number)
        src, valid_len, tgt = arrays
        state = model.decoder.init_state(model.encoder(src, valid_len), valid_len)
        first, state = model.decoder(tgt[:, :1], state)
        second, _ = model.decoder(tgt[:, 1:], state)
        return [first, [second * number, None]]

    compiled = CompiledFunctions(model)
    rng = onp.random.RandomState(seed)
    for _ in range(3):
        src, tgt = (np.array(rng.randint(9, size=(3, size)), dtype='float32') for size in (5, 2))
        arrays = [src, np.array(rng.randint(1, 6, size=3), dtype='float32'), tgt]
        first, (second, none) = compiled(decode, (2.0,), arrays)
        expected_first, (expected_second, _) = decode(0.0, arrays)[0], decode(2.0, arrays)[1]
        onp.testing.assert_allclose(first.asnumpy(), expected_first.asnumpy(), atol=1e-5)
        onp.testing.assert_allclose(second.asnumpy(), expected_second.asnumpy(), atol=1e-5)
        assert none is None
    assert calls == [2.0, 0.0, 2.0, 0.0, 2.0, 0.0, 2.0]  # the first is the one that was recorded
