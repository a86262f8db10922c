"""Attention (d2l 0.14, section 10.1): masked softmax, dot product attention and MLP attention.

An attention layer compares a query with the key of every key-value pair.  The scores become
weights that sum to 1, and the result is the mean of the values with these weights.

With the same seed and inputs, the layers here return bit for bit what those of d2l 0.14.0 return.
`models.attention` contains the layers that the package trains with: its `AdditiveAttention`
computes the same contexts as `MLPAttention` and also returns the weights.
"""

from __future__ import annotations

import math

from .._mxnet import nn, np, npx

MASKED_SCORE = -1e6  # replaces the score of a masked pair, whose weight is then exp(-1e6) = 0


def masked_softmax(X: np.ndarray, valid_len: np.ndarray | None) -> np.ndarray:
    """Apply a softmax to the last axis, with a weight of 0 for elements after a valid length.

    Parameters
    ----------
    X : float32 array of shape (batch_size, num_queries, num_pairs)
        The scores of the key-value pairs for each query.
    valid_len : array of shape (batch_size,) or (batch_size, num_queries), or None
        The number of elements that count: one for all queries of a batch element, or one for each
        query.  None masks nothing.

    Returns
    -------
    float32 array of shape (batch_size, num_queries, num_pairs)
        Weights whose sum over the last axis is 1.

    Notes
    -----
    The scores of masked elements are replaced by -1e6.  With a valid length of 0 all scores are
    equal, so every element gets the same weight.

    Examples
    --------
    >>> from mxnet import np
    >>> masked_softmax(np.zeros((2, 1, 4)), np.array([1, 2])).tolist()
    [[[1.0, 0.0, 0.0, 0.0]], [[0.5, 0.5, 0.0, 0.0]]]
    """
    if valid_len is None:
        return npx.softmax(X)
    _, num_queries, num_pairs = X.shape
    if valid_len.ndim == 1:
        valid_len = valid_len.repeat(num_queries, axis=0)
    # sequence_mask takes one length per row, so each query becomes a row of a matrix.
    scores = npx.sequence_mask(
        X.reshape(-1, num_pairs), valid_len.reshape(-1), True, value=MASKED_SCORE, axis=1
    )
    return npx.softmax(scores).reshape(X.shape)


class DotProductAttention(nn.Block):
    """Scaled dot product attention: the score of query q and key k of size d is q^T k / sqrt(d).

    Parameters
    ----------
    dropout : float
        Dropout probability of the weights.

    Inputs:
        - **query**: float32 array of shape (batch_size, num_queries, size).
        - **key**: float32 array of shape (batch_size, num_pairs, size).
        - **value**: float32 array of shape (batch_size, num_pairs, value_size).
        - **valid_len**: the numbers of pairs to attend to, as in `masked_softmax`; None by default.

    Outputs:
        - **context**: float32 array of shape (batch_size, num_queries, value_size), the weighted
          means of the values.
    """

    def __init__(self, dropout: float, **kwargs):
        super().__init__(**kwargs)
        self.dropout = nn.Dropout(dropout)

    def forward(self, query, key, value, valid_len=None):
        scores = npx.batch_dot(query, key, transpose_b=True) / math.sqrt(query.shape[-1])
        weights = masked_softmax(scores, valid_len)  # (batch_size, num_queries, num_pairs)
        return npx.batch_dot(self.dropout(weights), value)


class MLPAttention(nn.Block):
    """MLP attention: the score of query q and key k is v^T tanh(W_k k + W_q q).

    This is the additive attention of Bahdanau et al. 2015, A.1.2.  Queries and keys may differ in
    size.

    Parameters
    ----------
    units : int
        Size of the hidden layer: the number of rows of W_k and W_q.
    dropout : float
        Dropout probability of the weights.

    Inputs:
        - **query**: float32 array of shape (batch_size, num_queries, query_size).
        - **key**: float32 array of shape (batch_size, num_pairs, key_size).
        - **value**: float32 array of shape (batch_size, num_pairs, value_size).
        - **valid_len**: the numbers of pairs to attend to, as in `masked_softmax`.

    Outputs:
        - **context**: float32 array of shape (batch_size, num_queries, value_size), the weighted
          means of the values.
    """

    def __init__(self, units: int, dropout: float, **kwargs):
        super().__init__(**kwargs)
        self.W_k = nn.Dense(units, use_bias=False, flatten=False)
        self.W_q = nn.Dense(units, use_bias=False, flatten=False)
        self.v = nn.Dense(1, use_bias=False, flatten=False)
        self.dropout = nn.Dropout(dropout)

    def forward(self, query, key, value, valid_len):
        # The query comes first: the order of the first calls is the order of the initial draws.
        queries = np.expand_dims(self.W_q(query), axis=2)  # (batch_size, num_queries, 1, units)
        keys = np.expand_dims(self.W_k(key), axis=1)  # (batch_size, 1, num_pairs, units)
        hidden = np.tanh(queries + keys)  # (batch_size, num_queries, num_pairs, units)
        scores = np.squeeze(self.v(hidden), axis=-1)
        weights = masked_softmax(scores, valid_len)  # (batch_size, num_queries, num_pairs)
        return npx.batch_dot(self.dropout(weights), value)
