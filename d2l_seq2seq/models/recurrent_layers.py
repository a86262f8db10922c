"""Stacks of recurrent layers, and their states.

`stack_layers` returns the layers of an encoder or decoder.  The other functions create, check and
reorder their state, which is a list of arrays of shape (num_layers, batch_size, num_hiddens): the
hidden state and the memory cell of an LSTM, or the hidden state of a GRU or plain RNN.

A *layer class* below is `rnn.LSTM`, `rnn.GRU`, or another callable that takes `num_hiddens`,
`num_layers` and the keyword arguments of Gluon's layers.
"""

from __future__ import annotations

from typing import Callable

from .._mxnet import nn, np, operators_of, shape_of


def stack_layers(
    layer: Callable, num_hiddens: int, num_layers: int, dropout: float
) -> nn.HybridBlock:
    """Return a stack of recurrent layers: Gluon's own block, or a `Stack` if there is dropout."""
    if dropout > 0:
        return Stack(layer, num_hiddens, num_layers, dropout)
    return layer(num_hiddens, num_layers)


class Stack(nn.HybridBlock):
    """Recurrent layers with dropout between them (Zaremba et al. 2014), also on a CPU.

    MXNet 1.9.1 ignores the dropout of Gluon's own layers on a CPU.

    Parameters
    ----------
    layer : layer class
    num_hiddens, num_layers : int
    dropout : float
        Probability of dropping a layer's output before the next layer reads it.

    Inputs:
        - **X**: float32 array of shape (num_steps, batch_size, input_size), as for Gluon's layers.
        - **state**: list of arrays of shape (num_layers, batch_size, num_hiddens).

    Outputs:
        - **outputs**: float32 array of shape (num_steps, batch_size, num_hiddens).
        - **state**: the state after the last step, in the same form as the input.
    """

    def __init__(
        self, layer: Callable, num_hiddens: int, num_layers: int, dropout: float, **kwargs
    ):
        super().__init__(**kwargs)
        self._num_layers = num_layers
        for number in range(num_layers):
            setattr(self, f'layer{number}', layer(num_hiddens))
        self.dropout = nn.Dropout(dropout)

    def hybrid_forward(self, F, X, state):
        last_states = []  # of each layer
        for number in range(self._num_layers):
            if number > 0:
                X = self.dropout(X)
            layer = getattr(self, f'layer{number}')
            X, layer_state = layer(X, [part[number : number + 1] for part in state])
            last_states.append(layer_state)
        return X, [F.np.concatenate(parts, axis=0) for parts in zip(*last_states)]


def num_states(layer: Callable) -> int:
    """Return the number of arrays in a layer's state: 2 for an LSTM, otherwise 1."""
    return len(layer(1).state_info())


def zero_state(F, X, num_states: int, num_layers: int, num_hiddens: int) -> list:
    """Return the initial state of zeros for inputs X of shape (num_steps, batch_size, input_size).

    The zeros are computed from X because the batch size is unknown in a symbolic graph.
    """
    zeros = F.np.zeros_like(X[:1, :, :1])  # (1, batch_size, 1)
    zeros = F.broadcast_axis(zeros.as_nd_ndarray(), axis=(0, 2), size=(num_layers, num_hiddens))
    return [zeros.as_np_ndarray()] * num_states  # (num_layers, batch_size, num_hiddens)


def check_state(state: list, num_states: int, num_layers: int, num_hiddens: int) -> list:
    """Return a state unchanged if a decoder of the given sizes can start from it.

    The sizes of symbols are unknown, so symbols are not checked.

    Raises
    ------
    ValueError
        If the state has another number of arrays, layers or hidden units.
    """
    if isinstance(state[0], np.ndarray):
        sizes = len(state), state[0].shape[0], state[0].shape[2]
        if sizes != (num_states, num_layers, num_hiddens):
            raise ValueError(
                f'expected an encoder whose state has {num_states} arrays of {num_layers} layers '
                f'and {num_hiddens} units, like the decoder, got {sizes[0]} of {sizes[1]} layers '
                f'and {sizes[2]} units; wrap the encoder in d2l_seq2seq.Bridge to convert its state'
            )
    return state


def reorder_state(state: list, rows) -> list:
    """Return a state with its rows reordered: row i of the result is row ``rows[i]`` of `state`.

    Parameters
    ----------
    state : list of arrays of shape (num_layers, batch_size, num_hiddens)
    rows : float32 array of shape (batch_size,)
        Row numbers.
    """
    F = operators_of(rows)
    num_layers, batch_size, num_hiddens = shape_of(state[0])
    # Copying whole rows of a matrix is faster than copying entries of a middle axis.
    matrix_rows = F.np.concatenate([rows + layer * batch_size for layer in range(num_layers)])
    return [
        F.np.take(part.reshape((-1, num_hiddens)), matrix_rows, axis=0, mode='clip').reshape(
            (num_layers, -1, num_hiddens)
        )
        for part in state
    ]
