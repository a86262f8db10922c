"""book.recurrent_layers."""

from __future__ import annotations

from typing import Callable

from .._mxnet import nn, np, operators_of, shape_of


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


def reorder_state(state: list, rows) -> list:
    """Layers' state, arrays (num_layers, batch_size, num_hiddens), with row rows[i] in place i."""
    F = operators_of(rows)
    num_layers, batch_size, num_hiddens = shape_of(state[0])
    # Whole rows of one long table are copied faster than entries of a middle axis.
    table_rows = F.np.concatenate([rows + layer * batch_size for layer in range(num_layers)])
    return [
        F.np.take(part.reshape((-1, num_hiddens)), table_rows, axis=0, mode='clip').reshape(
            (num_layers, -1, num_hiddens)
        )
        for part in state
    ]


def stacked(layer: Callable, num_hiddens: int, num_layers: int, dropout: float) -> nn.HybridBlock:
    """Recurrent layers over each other: Gluon's own, or a `Stack` where there is dropout."""
    return (
        Stack(layer, num_hiddens, num_layers, dropout)
        if dropout > 0
        else layer(num_hiddens, num_layers)
    )


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

    def __init__(
        self, layer: Callable, num_hiddens: int, num_layers: int, dropout: float, **kwargs
    ):
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
            X, own = getattr(self, f'layer{number}')(
                X, [part[number : number + 1] for part in state]
            )
            last.append(own)
        return X, [F.np.concatenate(parts, axis=0) for parts in zip(*last)]


def check_state(state: list, num_states: int, num_layers: int, num_hiddens: int) -> list:
    """A state that a decoder of these sizes can start from, as it is.

    Raises
    ------
    ValueError
        If it has other sizes, or another number of arrays.  Symbols have no sizes to be looked at.
    """
    if isinstance(state[0], np.ndarray):
        found = len(state), state[0].shape[0], state[0].shape[2]
        if found != (num_states, num_layers, num_hiddens):
            raise ValueError(
                f'expected an encoder whose state has {num_states} arrays of {num_layers} layers '
                f'and {num_hiddens} units, like the decoder, got {found[0]} of {found[1]} layers '
                f'and {found[2]} units; encoders.Bridge makes other layers and units fit'
            )
    return state
