"""Recurrent layers: `MaskedStack`, which padding does not change, and layers as in Keras.

On a CPU, Gluon's layers of MXNet 1.9.1 read padding like any other token, because they ignore
``valid_length``, and never apply their dropout.  `MaskedStack` does both correctly.  It is built
from Gluon's own layers and is as fast as they are.

A *layer class*, the argument `layer` of the encoders and decoders, is `rnn.LSTM`, `rnn.GRU`,
`tanh_rnn`, `keras_lstm`, or another callable that takes `num_hiddens`, `num_layers` and the keyword
arguments of Gluon's layers.
"""

from __future__ import annotations

from typing import Callable

from .._mxnet import init, mx, nn, operators_of, rnn
from .recurrent_layers import num_states, zero_state

# Adding this to the input of a gate opens the gate, and subtracting it closes the gate: in float32
# sigmoid(100) is 1 and sigmoid(-100) is 0.
SATURATED = 100.0


def tanh_rnn(num_hiddens: int, num_layers: int = 1, **kwargs) -> rnn.RNN:
    """Return a plain (Elman) recurrent layer, h_t = tanh(W_xh x_t + W_hh h_(t-1) + b).

    The default activation of `rnn.RNN` is relu.

    Parameters
    ----------
    num_hiddens, num_layers : int
    kwargs
        Passed to `rnn.RNN`.
    """
    return rnn.RNN(num_hiddens, num_layers, activation='tanh', **kwargs)


def keras_lstm(num_hiddens: int, num_layers: int = 1, **kwargs) -> rnn.LSTM:
    """Return an LSTM whose forget gates start with a bias of 1, as in Keras.

    Keras has one bias for each gate.  MXNet has two and adds them; the second one is 0 here.
    """
    kwargs.setdefault('i2h_bias_initializer', init.LSTMBias(forget_bias=1.0))
    return rnn.LSTM(num_hiddens, num_layers, **kwargs)


@mx.init.register
class KerasDefaults(init.Initializer):
    """The default initial weights of Keras's `Embedding`, `LSTM`, `GRU` and `Dense` layers.

    Embeddings are uniform between -0.05 and 0.05, kernels are Glorot uniform, and recurrent kernels
    are orthogonal.  In Gluon biases have initializers of their own; see `keras_lstm`.
    """

    def _init_weight(self, name, array):
        if 'embedding' in name:
            init.Uniform(0.05)._init_weight(name, array)
        elif 'h2h' in name:
            init.Orthogonal(scale=1)._init_weight(name, array)
        else:
            init.Xavier()._init_weight(name, array)


class MaskedStack(nn.HybridBlock):
    """Recurrent layers in one or both directions that stop at the end of each sentence.

    The outputs and the state of a sentence do not depend on the other sentences of the batch or on
    the amount of padding.  With two directions, each layer reads the concatenated outputs of both
    directions of the layer below.

    Parameters
    ----------
    layer : layer class
    num_hiddens : int
        Number of hidden units of each direction.
    num_layers : int
    dropout : float
        Dropout probability between the layers.
    bidirectional : bool
        If True, each layer also reads the sentences from the last token to the first.

    Inputs:
        - **X**: float32 array of shape (num_steps, batch_size, input_size).
        - **valid_len**: array of shape (batch_size,), number of tokens that are not padding.  A
          length above num_steps counts as num_steps.

    Outputs:
        - **outputs**: float32 array of shape (num_steps, batch_size, num_directions * num_hiddens);
          0 after the end of a sentence.
        - **state**: list of arrays of shape (num_layers * num_directions, batch_size, num_hiddens):
          the state after the last token of each sentence, and of the backward direction after the
          first token.  The backward direction of a layer follows the forward direction.
    """

    def __init__(
        self,
        layer: Callable,
        num_hiddens: int,
        num_layers: int,
        dropout: float = 0,
        bidirectional: bool = False,
        **kwargs,
    ):
        super().__init__(**kwargs)
        self._num_layers, self._is_bidirectional = num_layers, bidirectional
        for index in range(num_layers):
            setattr(self, f'forward{index}', _MaskedLayer(layer, num_hiddens))
            if bidirectional:
                setattr(self, f'backward{index}', _MaskedLayer(layer, num_hiddens))
        self.dropout = nn.Dropout(dropout)

    def hybrid_forward(self, F, X, valid_len):
        is_token = F.npx.sequence_mask(F.np.ones_like(X[:, :, :1]), valid_len, True)
        valid_len = is_token[:, :, 0].sum(axis=0)  # at most num_steps
        states = []
        for index in range(self._num_layers):
            if index > 0:
                X = self.dropout(X)
            forward_layer = getattr(self, f'forward{index}')
            outputs, state = forward_layer(X, is_token, valid_len)
            states.append(state)
            if self._is_bidirectional:
                backward_layer = getattr(self, f'backward{index}')
                reversed_outputs, state = backward_layer(
                    _reverse_steps(X, valid_len), is_token, valid_len
                )
                states.append(state)
                outputs = F.np.concatenate(
                    [outputs, _reverse_steps(reversed_outputs, valid_len)], axis=-1
                )
            X = outputs
        return X, [F.np.concatenate(parts, axis=0) for parts in zip(*states)]


class _MaskedLayer(nn.HybridBlock):
    """One recurrent layer in one direction, for sentences of different lengths.

    The tokens of a sentence come before its padding, so padding cannot change the outputs at the
    tokens.  The last of these outputs is the hidden state.  The memory cell of an LSTM is not among
    the outputs: it must keep its value while the layer runs over the padding.  It does so if the
    input gate is closed and the forget gate is open.  `KeepMemory` sets these gates, with the
    weights of an additional input that is 1 at padding and 0 at tokens.
    """

    def __init__(self, layer: Callable, num_hiddens: int, **kwargs):
        super().__init__(**kwargs)
        self._state_sizes = num_states(layer), 1, num_hiddens
        self._has_memory = num_states(layer) == 2
        self.rnn = (
            layer(num_hiddens, i2h_weight_initializer=KeepMemory())
            if self._has_memory
            else layer(num_hiddens)
        )

    def hybrid_forward(self, F, X, is_token, valid_len):
        if self._has_memory:
            X = F.np.concatenate([X, 1 - is_token], axis=-1)
        outputs, state = self.rnn(X, zero_state(F, X, *self._state_sizes))
        outputs = outputs * is_token  # (num_steps, batch_size, num_hiddens)
        return outputs, [_last_step(outputs, valid_len), *state[1:]]


@mx.init.register
class KeepMemory(init.Initializer):
    """Xavier, with a last column that makes an LSTM keep its memory cell if the last input is 1.

    It is the initializer of the weight itself, so it takes precedence over the initializer of the
    model.  Training does not change the last column, because its gradient is exactly 0: the input
    and forget gates are saturated at padding, and nothing else that is computed there is used.
    """

    def _init_weight(self, name, array):
        num_hiddens = array.shape[0] // 4  # MXNet's order of gates: input, forget, cell, output
        weight = array[:, :-1].copy()
        init.Xavier()._init_weight(name, weight)
        array[:, :-1] = weight
        array[:, -1] = 0
        array[:num_hiddens, -1] = -SATURATED
        array[num_hiddens : 2 * num_hiddens, -1] = SATURATED

    @staticmethod
    def exclude_from_decay(decay_mask) -> None:
        """Set the last column of a weight-decay mask, an array of the weight's shape, to 0."""
        decay_mask[:, -1] = 0


def _reverse_steps(X, valid_len):
    """Reverse the tokens of each sentence of a time-major array; padding stays at the end."""
    return (
        operators_of(X)
        .SequenceReverse(X.as_nd_ndarray(), valid_len.as_nd_ndarray(), use_sequence_length=True)
        .as_np_ndarray()
    )


def _last_step(X, valid_len):
    """Return each sentence's last step, (1, batch_size, size); the first if it has no token."""
    F = operators_of(X)
    last = F.SequenceLast(
        X.as_nd_ndarray(), F.maximum(valid_len.as_nd_ndarray(), 1), use_sequence_length=True
    )
    return F.expand_dims(last, axis=0).as_np_ndarray()
