"""Recurrent layers that do what one expects of them: padding changes nothing, and dropout is on.

Gluon's layers alone do neither on a CPU.  They read padding like any other token (``valid_length``
is ignored by MXNet 1.9.1 there), and their dropout is never applied.  Here they are put together
with what is missing; they stay `gluon.rnn.LSTM`, `GRU` and `RNN` inside, and as fast.

A *layer class* below is `rnn.LSTM`, `rnn.GRU`, `tanh_rnn`, or another callable that takes
`num_hiddens`, `num_layers` and the keyword arguments of Gluon's layers.
"""

from __future__ import annotations

from typing import Callable

from .._mxnet import init, mx, nn, operators_of, rnn
from ..book.recurrent_layers import num_states, zero_state

CLOSED = 100.0  # added to a gate's input, it is as good as infinite: 1 / (1 + exp(-100)) is 1


def tanh_rnn(num_hiddens: int, num_layers: int = 1, **kwargs) -> rnn.RNN:
    """Elman's layer: h_t = tanh(W_xh x_t + W_hh h_(t-1) + b); Gluon's own default is relu."""
    return rnn.RNN(num_hiddens, num_layers, activation='tanh', **kwargs)


class MaskedStack(nn.HybridBlock):
    """Recurrent layers that read sentences up to their valid lengths, in one direction or both.

    A sentence's outputs and state are the same alone, in any batch and with any padding behind it.
    With both directions a layer's outputs are joined before the next one reads them.

    Parameters
    ----------
    layer : layer class
    num_hiddens : int
        Of each direction.
    num_layers : int
    dropout : float
        Between layers.
    bidirectional : bool
        True: each layer also reads the sentences from their last token to their first.

    Inputs:
        - **X**: float32 array of shape (num_steps, batch_size, input_size).
        - **valid_len**: array of shape (batch_size,); tokens that are not padding.  A length beyond
          num_steps counts as num_steps.

    Outputs:
        - **outputs**: float32 array of shape (num_steps, batch_size, num_directions * num_hiddens);
          0 behind a sentence's end.
        - **state**: list of arrays of shape (num_layers * num_directions, batch_size, num_hiddens):
          after each sentence's last token, for the backward direction after its first; both
          directions of a layer follow each other.
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
        for number in range(num_layers):
            setattr(self, f'forward{number}', _MaskedLayer(layer, num_hiddens))
            if bidirectional:
                setattr(self, f'backward{number}', _MaskedLayer(layer, num_hiddens))
        self.dropout = nn.Dropout(dropout)

    def hybrid_forward(self, F, X, valid_len):
        is_token = F.npx.sequence_mask(F.np.ones_like(X[:, :, :1]), valid_len, True)
        valid_len = is_token[:, :, 0].sum(axis=0)  # no more than there are steps
        states = []
        for number in range(self._num_layers):
            if number > 0:
                X = self.dropout(X)
            outputs, state = getattr(self, f'forward{number}')(X, is_token, valid_len)
            states.append(state)
            if self._is_bidirectional:
                reverse = getattr(self, f'backward{number}')
                backward, state = reverse(_reversed(X, valid_len), is_token, valid_len)
                states.append(state)
                outputs = F.np.concatenate([outputs, _reversed(backward, valid_len)], axis=-1)
            X = outputs
        return X, [F.np.concatenate(parts, axis=0) for parts in zip(*states)]


class _MaskedLayer(nn.HybridBlock):
    """One layer in one direction over sentences of different lengths.

    What comes after a sentence's last token can't change what came before, so its last output is
    the hidden state that we want.  An LSTM's memory cell is not among the outputs.  It has to stay
    what it is while the layer runs over the padding, and does where the input gate is closed and
    the forget gate open: one more input, 1 at padding, whose weights see to that.
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
        return outputs, [_last(outputs, valid_len), *state[1:]]


@mx.init.register
class KeepMemory(init.Initializer):
    """Xavier, with a last column that keeps an LSTM's memory cell as it is where that input is 1.

    It is the weight's own initializer, so it goes before the one that a model is initialized with.
    That column stays what it is in training: closed gates have a gradient of exactly 0, and so has
    what is behind them.
    """

    def _init_weight(self, name, array):
        num_hiddens = array.shape[0] // 4  # the gates in MXNet's order: input, forget, cell, output
        weight = array[:, :-1].copy()
        init.Xavier()._init_weight(name, weight)
        array[:, :-1] = weight
        array[:, -1] = 0
        array[:num_hiddens, -1] = -CLOSED
        array[num_hiddens : 2 * num_hiddens, -1] = CLOSED

    @staticmethod
    def exclude_from_decay(decay_mask) -> None:
        """Take that column out of what may decay, an array of the weight's shape."""
        decay_mask[:, -1] = 0


def _reversed(X, valid_len):
    """Each sentence of X (num_steps, batch_size, size) backwards, its padding still at the end."""
    return (
        operators_of(X)
        .SequenceReverse(X.as_nd_ndarray(), valid_len.as_nd_ndarray(), use_sequence_length=True)
        .as_np_ndarray()
    )


def _last(X, valid_len):
    """The last step (1, batch_size, size) of each sentence; a sentence has one at least."""
    F = operators_of(X)
    last = F.SequenceLast(
        X.as_nd_ndarray(), F.maximum(valid_len.as_nd_ndarray(), 1), use_sequence_length=True
    )
    return F.expand_dims(last, axis=0).as_np_ndarray()


def keras_lstm(num_hiddens: int, num_layers: int = 1, **kwargs) -> rnn.LSTM:
    """An LSTM whose forget gates begin with a bias of 1, as Keras's do.

    Keras has one bias where MXNet has two that are added; the second is 0.
    """
    kwargs.setdefault('i2h_bias_initializer', init.LSTMBias(forget_bias=1.0))
    return rnn.LSTM(num_hiddens, num_layers, **kwargs)


@mx.init.register
class KerasDefaults(init.Initializer):
    """The initial weights of Keras's `Embedding`, `LSTM`, `GRU` and `Dense`.

    Embeddings are uniform within 0.05, kernels Glorot uniform, and recurrent kernels orthogonal.
    Biases have initializers of their own in Gluon; see `keras_lstm`.
    """

    def _init_weight(self, name, array):
        if 'embedding' in name:
            init.Uniform(0.05)._init_weight(name, array)
        elif 'h2h' in name:
            init.Orthogonal(scale=1)._init_weight(name, array)
        else:
            init.Xavier()._init_weight(name, array)
