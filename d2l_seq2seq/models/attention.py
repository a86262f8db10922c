"""Attention layers: additive, dot and general scores.

An attention layer scores how well each source step fits a query, turns the scores into weights with
a masked softmax, and returns the weighted mean of the source steps together with the weights.  The
scores are those of Bahdanau et al. 2015 and Luong et al. 2015.

The book's layers are in `book.attention` (d2l 0.14, section 10.1).  The docstring of each layer
here names the one that it corresponds to.  All layers here differ from the book's in four ways:

- The keys are projected by a separate method, `Attention.project_keys`.  A decoder that runs step
  by step calls it once rather than at every step.
- Padding is excluded by adding `EXCLUDED` to its scores.  The book's `masked_softmax` replaces the
  scores by -1e6.  The weight of padding is 0 either way.
- There is one valid length for each sentence.  `masked_softmax` also accepts one for each query, or
  None.
- The weights are returned with the context.  The book's layers return the context alone.

All arrays are batch first, of shape (batch_size, num_steps, size).  The queries are steps of the
decoder; the keys and values are steps of the encoder.
"""

from __future__ import annotations

from .._mxnet import nn

EXCLUDED = -1e9  # adding this to a score makes the weight exactly 0


class Attention(nn.HybridBlock):
    """The base class of the attention layers: a masked softmax and a weighted mean of the values.

    A subclass defines `scores`.  It can override `project_keys` to do the part of the computation
    that does not depend on the query.

    Parameters
    ----------
    dropout : float
        Dropout probability of the weights in training.

    Inputs:
        - **queries**: float32 array of shape (batch_size, num_queries, query_size).
        - **keys**: float32 array of shape (batch_size, num_steps, key_size), the result of
          `project_keys` for the values.
        - **values**: float32 array of shape (batch_size, num_steps, value_size).
        - **valid_len**: array of shape (batch_size,), the number of values to attend to.  Later
          values get a weight of 0.  With a length of 0, all values get the same weight.

    Outputs:
        - **context**: float32 array of shape (batch_size, num_queries, value_size).
        - **weights**: float32 array of shape (batch_size, num_queries, num_steps), before dropout.
          They sum to 1 over the last axis.
    """

    def __init__(self, dropout: float = 0, **kwargs):
        super().__init__(**kwargs)
        self.dropout = nn.Dropout(dropout)

    def project_keys(self, values):
        """Return the keys of some values: by default the values themselves."""
        return values

    def scores(self, F, queries, keys):
        """Return the scores, of shape (batch_size, num_queries, num_steps)."""
        raise NotImplementedError(f'{type(self).__name__} must define scores(F, queries, keys)')

    def hybrid_forward(self, F, queries, keys, values, valid_len):
        excluded = F.npx.sequence_mask(
            F.np.zeros_like(keys[:, :, 0]), valid_len, True, value=EXCLUDED, axis=1
        )  # (batch_size, num_steps)
        scores = self.scores(F, queries, keys) + F.np.expand_dims(excluded, axis=1)
        weights = F.npx.softmax(scores, axis=-1)  # (batch_size, num_queries, num_steps)
        return F.npx.batch_dot(self.dropout(weights), values), weights


class AdditiveAttention(Attention):
    """Additive attention, score = v^T tanh(W_q q + W_k k) (Bahdanau et al. 2015, A.1.2).

    This is a fast version of the book's `MLPAttention`.  The mathematics is the same, so with the
    same W_k, W_q and v it returns the same contexts.  The same seed gives other initial weights,
    because here W_k is used, and therefore drawn, before W_q.

    Parameters
    ----------
    units : int
        Size of the hidden layer: the number of rows of W_k and W_q.
    dropout : float
        Dropout probability of the weights in training.
    """

    def __init__(self, units: int, dropout: float = 0, **kwargs):
        super().__init__(dropout, **kwargs)
        self.W_k = nn.Dense(units, use_bias=False, flatten=False)
        self.W_q = nn.Dense(units, use_bias=False, flatten=False)
        self.v = nn.Dense(1, use_bias=False, flatten=False)

    def project_keys(self, values):
        """Return W_k k, of shape (batch_size, num_steps, units)."""
        return self.W_k(values)

    def scores(self, F, queries, keys):
        """Return v^T tanh(W_q q + W_k k), of shape (batch_size, num_queries, num_steps)."""
        queries = F.np.expand_dims(self.W_q(queries), axis=2)  # (batch_size, num_queries, 1, units)
        keys = F.np.expand_dims(keys, axis=1)  # (batch_size, 1, num_steps, units)
        return F.np.squeeze(self.v(F.np.tanh(queries + keys)), axis=-1)


class DotAttention(Attention):
    """Dot-product attention, score = q^T k (Luong et al. 2015, Eq. (8), dot).

    Queries and values have the same size.  The book's `DotProductAttention` divides the scores by
    the square root of that size; this layer does not.

    Parameters
    ----------
    dropout : float
        Dropout probability of the attention weights.
    """

    def scores(self, F, queries, keys):
        """Return q^T k, of shape (batch_size, num_queries, num_steps)."""
        return F.npx.batch_dot(queries, keys, transpose_b=True)


class GeneralAttention(DotAttention):
    """General attention, score = q^T W k (Luong et al. 2015, Eq. (8), general).

    The book has no corresponding class.  Queries and values may have different sizes.

    Parameters
    ----------
    query_size : int
    dropout : float
        Dropout probability of the weights in training.
    """

    def __init__(self, query_size: int, dropout: float = 0, **kwargs):
        super().__init__(dropout, **kwargs)
        self.W = nn.Dense(query_size, use_bias=False, flatten=False)

    def project_keys(self, values):
        """Return W k, of shape (batch_size, num_steps, query_size)."""
        return self.W(values)
