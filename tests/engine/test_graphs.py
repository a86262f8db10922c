"""Logits and gradients of traced models against those of the models themselves."""

import numpy as onp
import pytest

from d2l_seq2seq import Decoder, Encoder, EncoderDecoder, ModelConfig
from d2l_seq2seq._mxnet import autograd, mx, nn, np, npx, rnn
from d2l_seq2seq.engine.flat_parameters import FlatParameters
from d2l_seq2seq.engine.graphs import take_positions
from d2l_seq2seq.engine.recording import TraceError
from d2l_seq2seq.engine.tracing import trace
from d2l_seq2seq.models.factory import build_model, initialize


class GRUEncoder(nn.HybridBlock, Encoder):
    def __init__(self):
        super().__init__()
        self.embedding, self.rnn = nn.Embedding(11, 4), rnn.GRU(6, 2)

    def forward(self, X, *args):
        return super().forward(X)

    def hybrid_forward(self, F, X):
        X = F.np.swapaxes(self.embedding(X), 0, 1)
        return self.rnn(X, [F.np.tile(F.np.zeros_like(X[:1, :, :1]), (2, 1, 6))])


class GRUDecoder(nn.HybridBlock, Decoder):
    """A batch-major decoder whose last operator is not a dense layer."""

    def __init__(self):
        super().__init__()
        self.embedding, self.rnn = nn.Embedding(13, 4), rnn.GRU(6, 2, layout='NTC')
        self.dense = nn.Dense(13, flatten=False)

    def init_state(self, enc_outputs, *args):
        return enc_outputs[1]

    def hybrid_forward(self, F, X, state):
        outputs, state = self.rnn(self.embedding(X), state)
        return F.np.tanh(self.dense(outputs)), state


class TwoPassEncoder(GRUEncoder):
    """An encoder that reads the source twice with the same layer."""

    def hybrid_forward(self, F, X):
        X = F.np.swapaxes(self.embedding(X), 0, 1)
        _, state = self.rnn(X, [F.np.tile(F.np.zeros_like(X[:1, :, :1]), (2, 1, 6))])
        return self.rnn(X, state)


MODELS = {
    'chapter': lambda: build_model(ModelConfig(5, 6, 2, 0.0), 11, 13),
    'gru, tanh after the dense layer': lambda: EncoderDecoder(GRUEncoder(), GRUDecoder()),
    'a layer called twice': lambda: EncoderDecoder(TwoPassEncoder(), GRUDecoder()),
}


@pytest.fixture(params=MODELS)
def model(request, seed):
    model = MODELS[request.param]()
    initialize(model, npx.cpu())
    return model


def test_the_graph_returns_the_models_logits_at_the_label_positions(model, seed):
    rng = onp.random.RandomState(seed)
    src, tgt = rng.randint(11, size=(3, 5)), rng.randint(13, size=(3, 4))
    expected = model(np.array(src), np.array(tgt), np.ones(3), np.ones(3))[0].asnumpy()
    positions = rng.permutation(12)[:7]

    traced = trace(model, (3, 5), (3, 4))
    flat = FlatParameters(model.collect_params().values(), traced.packed.values())
    data = {'src': src, 'tgt': tgt, 'label_positions': positions}
    variables = flat.variables(traced.packed)
    inputs = [
        mx.nd.array(data[name]) if name in data else variables[name] for name in traced.inputs
    ]
    ours = mx.nd.CachedOp(traced.logits)(*inputs).asnumpy()
    onp.testing.assert_allclose(ours, expected.reshape(12, 13)[positions], rtol=1e-5, atol=1e-6)


def test_the_graphs_gradients_are_the_models(model, seed):
    """Including those of parameters that are read in two places."""
    rng = onp.random.RandomState(seed)
    src, tgt = rng.randint(11, size=(3, 5)), rng.randint(13, size=(3, 4))
    logits_gradient = rng.randn(12, 13).astype('float32')
    with autograd.record():
        logits, _ = model(np.array(src), np.array(tgt), np.ones(3), np.ones(3))
        total = (logits.reshape(12, 13) * np.array(logits_gradient)).sum()
    total.backward()
    expected = {
        name: parameter.grad().asnumpy() for name, parameter in model.collect_params().items()
    }

    traced = trace(model, (3, 5), (3, 4))
    flat = FlatParameters(model.collect_params().values(), traced.packed.values())
    variables = flat.variables(traced.packed)
    data = {'src': src, 'tgt': tgt, 'label_positions': onp.arange(12)}
    with autograd.record():
        ours = mx.nd.CachedOp(traced.logits)(
            *(
                mx.nd.array(data[name]) if name in data else variables[name]
                for name in traced.inputs
            )
        )
    autograd.backward([ours], [mx.nd.array(logits_gradient)])
    for name, parameter in model.collect_params().items():
        onp.testing.assert_allclose(
            parameter.grad().asnumpy(), expected[name], rtol=1e-4, atol=1e-5
        )


def test_no_recurrent_weights_are_concatenated_at_run_time(model):
    """If Gluon's operator had another name, nothing would be packed."""
    traced = trace(model, (3, 5), (3, 4))
    assert len(traced.packed) == 2 and all(len(names) == 8 for names in traced.packed.values())
    assert '_rnn_param_concat' not in traced.logits.tojson().replace('_rnn_param_concat0', '')


def test_the_chapters_dense_layer_is_computed_at_the_label_positions_only():
    model = MODELS['chapter']()
    initialize(model, npx.cpu())
    internals = trace(model).logits.get_internals().list_outputs()
    assert 'take' in internals[-4] and internals[-1].startswith('fullyconnected')


def test_a_swap_of_other_axes_is_not_taken_for_the_chapters(seed):
    """The dense layer's (2, 6, 4) is swapped to (2, 4, 6), of 4 steps and 6 words."""
    rng = onp.random.RandomState(seed)
    arrays = {'features': rng.randn(2, 6, 3), 'weight': rng.randn(4, 3), 'positions': [3, 1]}
    features, weight, positions = map(mx.sym.var, arrays)
    dense = mx.sym.FullyConnected(features, weight, num_hidden=4, flatten=False, no_bias=True)
    selected = take_positions(mx.sym.SwapAxis(dense, dim1=1, dim2=2), positions)
    ours = mx.nd.CachedOp(selected)(*(mx.nd.array(arrays[name]) for name in selected.list_inputs()))
    expected = (arrays['features'] @ arrays['weight'].T).swapaxes(1, 2).reshape(8, 6)[[3, 1]]
    onp.testing.assert_allclose(ours.asnumpy(), expected, rtol=1e-4, atol=1e-5)


def test_a_model_that_cannot_be_traced_is_rejected():
    class Plain(Encoder):
        def forward(self, X, *args):
            state = np.ones((2, 1, 6)) * X.asnumpy().mean().item()
            return X, [state, state]

    model = EncoderDecoder(Plain(), MODELS['chapter']().decoder)
    initialize(model, npx.cpu())
    with pytest.raises(TraceError, match='depend on the values of arrays'):
        trace(model)
