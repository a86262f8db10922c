"""Functions of arrays, traced once for each shape."""

import numpy as onp
import pytest

from d2l_seq2seq import Decoder, EncoderDecoder, ModelConfig, build_model, initialize
from d2l_seq2seq._mxnet import mx, np, npx, shape_of
from d2l_seq2seq.book.seq2seq import Seq2SeqEncoder
from d2l_seq2seq.engine.compiled import CompiledFunctions
from d2l_seq2seq.engine.graphs import merge_equal_nodes as _merge_equal_nodes
from d2l_seq2seq.engine.graphs import without_idle_swaps as _without_idle_swaps


@pytest.fixture
def model(seed):
    model = build_model(ModelConfig(4, 8, 2, masked=True, attention='general'), 9, 9)
    initialize(model, npx.cpu())
    return model


def encode(model, times, arrays):
    (src, valid_len), nothing = arrays
    assert nothing is None
    outputs, state = model.encoder(src, valid_len)
    return [outputs * times, None, [state]]


def test_it_is_the_function_itself(model):
    compiled = CompiledFunctions(model)
    for batch_size, times in ((2, 1.0), (3, 1.0), (2, 5.0), (2, 1.0)):
        src = np.array(onp.random.randint(4, 9, (batch_size, 6)), dtype='float32')
        arrays = [src, np.full((batch_size,), 4)], None
        expected = encode(model, times, arrays)
        found = compiled(encode, (model, times), arrays)
        onp.testing.assert_allclose(found[0].asnumpy(), expected[0].asnumpy(), atol=1e-6)
        assert found[1] is None
        for own, other in zip(found[2][0], expected[2][0]):
            onp.testing.assert_allclose(own.asnumpy(), other.asnumpy(), atol=1e-6)


def test_it_is_traced_once_for_each_shape(model):
    calls = []

    def count(number, arrays):
        calls.append(number)
        return arrays[0] + number

    compiled = CompiledFunctions(model)
    for number, size in ((1, 2), (1, 2), (1, 3), (2, 2), (1, 2), (2, 2)):
        found = compiled(count, (number,), [np.ones((size,))])
        assert found.asnumpy().tolist() == [1 + number] * size
    assert calls == [1, 1, 2]


def test_old_graphs_are_given_up(model, monkeypatch):
    monkeypatch.setattr('d2l_seq2seq.engine.compiled.MAX_GRAPHS', 2)
    calls = []

    def count(arrays):
        calls.append(shape_of(arrays[0])[0])
        return arrays[0] + 1

    compiled = CompiledFunctions(model)
    for size in (1, 2, 1, 3, 1, 2):  # 3 takes the place of 2, which was used less recently than 1
        assert compiled(count, (), [np.ones((size,))]).asnumpy().tolist() == [2] * size
    assert calls == [1, 2, 3, 2]


def test_an_idle_swap_copies_nothing():
    x = mx.sym.var('x')
    idle, real = mx.sym.SwapAxis(x, dim1=0, dim2=1), mx.sym.SwapAxis(x, dim1=0, dim2=2)
    graph, largest = _without_idle_swaps(mx.sym.Group([idle, real]), {'x': (2, 1, 3)})
    assert largest == 6
    assert 'SwapAxis' in graph.tojson() and 'Reshape' in graph.tojson()
    values = mx.nd.arange(6).reshape((2, 1, 3))
    for found, expected in zip(
        mx.nd.CachedOp(graph)(values), (values.swapaxes(0, 1), values.swapaxes(0, 2))
    ):
        assert (found.asnumpy() == expected.asnumpy()).all()


def test_the_same_is_computed_once():
    x, w = (mx.sym.var(name) for name in 'xw')
    twice = [mx.sym.FullyConnected(x, w, num_hidden=3, no_bias=True) for _ in range(2)]
    other = mx.sym.FullyConnected(x, w, num_hidden=3, no_bias=True, flatten=False)
    merged = _merge_equal_nodes(mx.sym.exp(twice[0]) + mx.sym.exp(twice[1]) + other)
    names = [node for node in merged.get_internals().list_outputs() if 'fullyconnected' in node]
    assert len(names) == 2
    assert merged.list_inputs() == ['x', 'w']


def test_what_can_not_be_traced_is_refused():
    class Eager(Decoder):
        def init_state(self, enc_outputs, *args):
            return enc_outputs[1]

        def forward(self, X, state):
            return np.ones(X.shape), state

    model = EncoderDecoder(Seq2SeqEncoder(5, 4, 4, 1), Eager())
    initialize(model, npx.cpu())
    with pytest.raises(TypeError, match='expected a model of hybridizable blocks'):
        CompiledFunctions(model)
