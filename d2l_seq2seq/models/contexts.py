"""Choices of the function q in c = q(h_1, ..., h_T) (d2l 0.14, Eq. (9.7.2)).

The context c is what a decoder knows about the source.  A `ContextDecoder` calls one of these
functions once for each batch, with the result of the encoder and the source valid lengths.  Your
own function works as well, with symbols as with arrays (see `operators_of`) if `fit` is to train it
or a search to run it as a graph.

The functions exclude padding: T is the valid length of each sentence.  A sentence without tokens
counts as one with a single token.

Parameters of each function:

- **outputs**: float32 array of shape (num_steps, batch_size, size), time-major: the hidden state of
  the encoder's top layer at every step.
- **state**: list of arrays of shape (num_layers, batch_size, num_hiddens), the state from which the
  decoder starts.
- **valid_len**: array of shape (batch_size,), number of tokens that are not padding; None counts
  all steps.

Each returns the context, a float32 array of shape (1, batch_size, context_size).
"""

from __future__ import annotations

from .._mxnet import operators_of
from .attention import EXCLUDED


def last_state(outputs, state, valid_len):
    """Return the hidden state after the last token, h_T, of the state that the decoder starts from.

    An encoder that reads padding returns the state after its last step, which may be padding.
    """
    return state[0][-1:]


def mean_state(outputs, state, valid_len):
    """Return the mean of the hidden states at the tokens, (h_1 + ... + h_T) / T."""
    F = operators_of(outputs)
    is_token = _mask_padding(F.np.ones_like(outputs[:, :, :1]), valid_len, 0)
    total = (outputs * is_token).sum(axis=0, keepdims=True)  # (1, batch_size, size)
    return total / is_token.sum(axis=0, keepdims=True)


def max_state(outputs, state, valid_len):
    """Return the largest value of each hidden unit at the tokens, max(h_1, ..., h_T)."""
    F = operators_of(outputs)
    return F.np.max(_mask_padding(outputs, valid_len, EXCLUDED), axis=0, keepdims=True)


def _mask_padding(X, valid_len, value: float):
    """Replace the steps after the end of each sentence of a time-major array by a value."""
    if valid_len is None:
        return X
    F = operators_of(X)
    return F.npx.sequence_mask(X, F.np.maximum(valid_len, 1), True, value=value)
