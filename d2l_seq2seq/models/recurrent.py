"""Recurrent layers that do what one expects of them: padding changes nothing, and dropout is on.

Gluon's layers alone do neither on a CPU.  They read padding like any other token (``valid_length``
is ignored by MXNet 1.9.1 there), and their dropout is never applied.  Here they are put together
with what is missing; they stay `gluon.rnn.LSTM`, `GRU` and `RNN` inside, and as fast.

A *layer class* below is `rnn.LSTM`, `rnn.GRU`, `tanh_rnn`, or another callable that takes
`num_hiddens`, `num_layers` and the keyword arguments of Gluon's layers.
"""
from __future__ import annotations

from typing import Callable

from .._mxnet import init, mx, nn, rnn
from .._operators import operators_of, shape_of

CLOSED = 100.0  # added to a gate's input, it is as good as infinite: 1 / (1 + exp(-100)) is 1


def tanh_rnn(num_hiddens: int, num_layers: int = 1, **kwargs) -> rnn.RNN:
    """Elman's layer: h_t = tanh(W_xh x_t + W_hh h_(t-1) + b); Gluon's own default is relu."""
    return rnn.RNN(num_hiddens, num_layers, activation='tanh', **kwargs)


def num_states(layer: Callable) -> int:
    """How many arrays a layer's state has: 2 for an LSTM (with its memory cell), else 1."""
    return len(layer(1).state_info())


def zero_state(F, X, num_states: int, num_layers: int, num_hiddens: int) -> list:
    """The state before the first step, for inputs X of shape (num_steps, batch_size, size).

    A symbolic graph doesn't know its batch size, so the zeros take it from the inputs.
    """
    zeros = F.np.zeros_like(X[:1, :, :1])  # (1, batch_size, 1)
    zeros = F.broadcast_axis(zeros.as_nd_ndarray(), axis=(0, 2), size=(num_layers, num_hiddens))
    return [zeros.as_np_ndarray()] * num_states  # (num_layers, batch_size, num_hiddens)


def reordered(state: list, rows) -> list:
    """Layers' state, arrays (num_layers, batch_size, num_hiddens), with row rows[i] in place i."""
    F = operators_of(rows)
    num_layers, batch_size, num_hiddens = shape_of(state[0])
    # Whole rows of one long table are copied faster than entries of a middle axis.
    table_rows = F.np.concatenate([rows + layer * batch_size for layer in range(num_layers)])
    return [F.np.take(part.reshape((-1, num_hiddens)), table_rows, axis=0, mode='clip')
            .reshape((num_layers, -1, num_hiddens)) for part in state]


def stacked(layer: Callable, num_hiddens: int, num_layers: int, dropout: float) -> nn.HybridBlock:
    """Recurrent layers over each other: Gluon's own, or a `Stack` where there is dropout."""
    return (Stack(layer, num_hiddens, num_layers, dropout) if dropout > 0
            else layer(num_hiddens, num_layers))


class Stack(nn.HybridBlock):
    """Recurrent layers with dropout between them (Zaremba et al. 2014), which is on on a CPU too.

    Inputs and outputs are those of Gluon's layers in their default layout:

    Inputs:
        - **X**: float32 array of shape (num_steps, batch_size, input_size).
        - **state**: list of arrays of shape (num_layers, batch_size, num_hiddens).

    Outputs:
        - **outputs**: float32 array of shape (num_steps, batch_size, num_hiddens).
        - **state**: as the input, after the last step.
    """

    def __init__(self, layer: Callable, num_hiddens: int, num_layers: int, dropout: float,
                 **kwargs):
        super().__init__(**kwargs)
        self._num_layers = num_layers
        for number in range(num_layers):
            setattr(self, f'layer{number}', layer(num_hiddens))
        self.dropout = nn.Dropout(dropout)

    def hybrid_forward(self, F, X, state):
        last = []
        for number in range(self._num_layers):
            if number > 0:
                X = self.dropout(X)
            X, own = getattr(self, f'layer{number}')(X, [part[number:number + 1]
                                                         for part in state])
            last.append(own)
        return X, [F.np.concatenate(parts, axis=0) for parts in zip(*last)]


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

    def __init__(self, layer: Callable, num_hiddens: int, num_layers: int, dropout: float = 0,
                 bidirectional: bool = False, **kwargs):
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
        self.rnn = (layer(num_hiddens, i2h_weight_initializer=KeepMemory()) if self._has_memory
                    else layer(num_hiddens))

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
        array[num_hiddens:2 * num_hiddens, -1] = CLOSED

    @staticmethod
    def hold_still(decaying) -> None:
        """Take that column out of what may decay, an array of the weight's shape."""
        decaying[:, -1] = 0


def _reversed(X, valid_len):
    """Each sentence of X (num_steps, batch_size, size) backwards, its padding still at the end."""
    return operators_of(X).SequenceReverse(X.as_nd_ndarray(), valid_len.as_nd_ndarray(),
                                           use_sequence_length=True).as_np_ndarray()


def _last(X, valid_len):
    """The last step (1, batch_size, size) of each sentence; a sentence has one at least."""
    F = operators_of(X)
    last = F.SequenceLast(X.as_nd_ndarray(), F.maximum(valid_len.as_nd_ndarray(), 1),
                          use_sequence_length=True)
    return F.expand_dims(last, axis=0).as_np_ndarray()
