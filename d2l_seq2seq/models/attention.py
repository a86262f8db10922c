"""Attention: how well each source token fits a query, and the mean of the values by that measure.

Bahdanau et al. 2015 and Luong et al. 2015; d2l 0.14, section 10.1, has the first under the name
of MLP attention.  Blocks return the weights next to the result and keep nothing.

All arrays are batch first, (batch_size, num_steps, size): queries are the decoder's, keys and
values the encoder's steps.
"""

from __future__ import annotations

from .._mxnet import nn

EXCLUDED = -1e9  # added to a score; a softmax makes 0 of it


class Attention(nn.HybridBlock):
    """What all kinds have in common: masked softmax of the scores, weighted mean of the values.

    A kind says how it scores.  The part of the work that does not depend on the query is `project_keys`:
    a decoder that goes step by step does it once in a call, for all steps.

    Parameters
    ----------
    dropout : float
        Of the weights, in training.

    Inputs:
        - **queries**: float32 array of shape (batch_size, num_queries, query_size).
        - **keys**: what `project_keys` made of the values.
        - **values**: float32 array of shape (batch_size, num_steps, value_size).
        - **valid_len**: array of shape (batch_size,); values behind it get a weight of 0.  Where it
          is 0, all values weigh the same.

    Outputs:
        - **context**: float32 array of shape (batch_size, num_queries, value_size).
        - **weights**: float32 array of shape (batch_size, num_queries, num_steps); the sum over
          the last axis is 1.
    """

    def __init__(self, dropout: float = 0, **kwargs):
        super().__init__(**kwargs)
        self.dropout = nn.Dropout(dropout)

    def project_keys(self, values):
        """The keys of some values: here the values themselves."""
        return values

    def scores(self, F, queries, keys):
        """Scores of shape (batch_size, num_queries, num_steps)."""
        raise NotImplementedError(f'{type(self).__name__} has to define scores(F, queries, keys)')

    def hybrid_forward(self, F, queries, keys, values, valid_len):
        excluded = F.npx.sequence_mask(
            F.np.zeros_like(keys[:, :, 0]), valid_len, True, value=EXCLUDED, axis=1
        )  # (batch_size, num_steps)
        scores = self.scores(F, queries, keys) + F.np.expand_dims(excluded, axis=1)
        weights = F.npx.softmax(scores, axis=-1)
        return F.npx.batch_dot(self.dropout(weights), values), weights


class AdditiveAttention(Attention):
    """score = v^T tanh(W_q q + W_k k): Bahdanau et al. 2015, A.1.2; d2l 0.14, section 10.1 (MLP).

    Parameters
    ----------
    units : int
        Rows of W_q and W_k.
    dropout : float
    """

    def __init__(self, units: int, dropout: float = 0, **kwargs):
        super().__init__(dropout, **kwargs)
        self.W_k = nn.Dense(units, use_bias=False, flatten=False)
        self.W_q = nn.Dense(units, use_bias=False, flatten=False)
        self.v = nn.Dense(1, use_bias=False, flatten=False)

    def project_keys(self, values):
        """W_k k, of shape (batch_size, num_steps, units)."""
        return self.W_k(values)

    def scores(self, F, queries, keys):
        # (batch_size, num_queries, num_steps, units)
        features = F.np.tanh(
            F.np.expand_dims(self.W_q(queries), axis=2) + F.np.expand_dims(keys, axis=1)
        )
        return F.np.squeeze(self.v(features), axis=-1)


class DotAttention(Attention):
    """score = q^T k: Luong et al. 2015, Eq. (8), dot; queries and values of the same size.

    d2l's dot-product attention divides by the square root of that size; this one doesn't.
    """

    def scores(self, F, queries, keys):
        return F.npx.batch_dot(queries, keys, transpose_b=True)


class GeneralAttention(DotAttention):
    """score = q^T W k: Luong et al. 2015, Eq. (8), general.

    Parameters
    ----------
    query_size : int
    dropout : float
    """

    def __init__(self, query_size: int, dropout: float = 0, **kwargs):
        super().__init__(dropout, **kwargs)
        self.W = nn.Dense(query_size, use_bias=False, flatten=False)

    def project_keys(self, values):
        """W k, of shape (batch_size, num_steps, query_size)."""
        return self.W(values)
