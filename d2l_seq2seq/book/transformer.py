"""Transformer (d2l 0.14, section 10.3): attention with several heads, blocks, encoder, decoder.

The encoder and the decoder have attention in place of recurrent layers, so they compute all steps
of a sentence at once.  The loss, training and prediction are those of section 9.7; see `seq2seq`.

With the same seed and data, the blocks here return bit for bit what the chapter's code returns.
They keep three of its quirks, each of which is explained where it occurs:

- with several sentences in a batch, the source valid lengths are assigned to the wrong heads
  (`MultiHeadAttention`);
- the decoder hides later tokens in training mode only (`DecoderBlock`);
- in prediction, every token has the position 0 (`TransformerDecoder`).

As in `seq2seq`, the layers infer their input sizes during the first forward pass, and the order of
that pass is the order of the initial draws.
"""

from __future__ import annotations

import math

from .._mxnet import autograd, nn, np
from .attention import DotProductAttention
from .encoder_decoder import Decoder, Encoder


class MultiHeadAttention(nn.Block):
    """Attention with several heads (section 10.3.1).

    Head i returns o_i = attention(W_q,i q, W_k,i k, W_v,i v), and the layer returns the product of
    W_o and the concatenated outputs of the heads.  Each of the three projections is one dense
    layer for all heads.

    Parameters
    ----------
    num_hiddens : int
        Size of the result, and total size of the heads.  It must be a multiple of `num_heads`.
    num_heads : int
    dropout : float
        Dropout probability of the attention weights.
    use_bias : bool
        Whether the four dense layers have biases.

    Inputs:
        - **query**: float32 array of shape (batch_size, num_queries, query_size).
        - **key**: float32 array of shape (batch_size, num_pairs, key_size).
        - **value**: float32 array of shape (batch_size, num_pairs, value_size).
        - **valid_len**: array of shape (batch_size,) or (batch_size, num_queries), the numbers of
          pairs to attend to, or None, which masks nothing.

    Outputs:
        - **output**: float32 array of shape (batch_size, num_queries, num_hiddens).

    Notes
    -----
    The heads are stacked along the batch axis: row r contains a head of sentence r // num_heads.
    The chapter copies the valid lengths with ``np.tile``, which gives row r the valid length of
    sentence r % batch_size.  In a batch of several sentences, a head is therefore masked with the
    length of another sentence unless the lengths are equal.  A batch of one sentence, as in
    prediction, and the causal mask, which has the same lengths for all sentences, are not affected.

    One would expect ``valid_len.repeat(num_heads, axis=0)``, which d2l uses from 0.16 on.  The
    chapter's version is kept because the published results were computed with it.  To correct it,
    replace the line.

    Examples
    --------
    >>> attention = MultiHeadAttention(num_hiddens=6, num_heads=3, dropout=0)
    >>> attention.initialize()
    >>> X = np.ones((2, 4, 5))
    >>> attention(X, X, X, np.array([2, 3])).shape
    (2, 4, 6)
    """

    def __init__(
        self, num_hiddens: int, num_heads: int, dropout: float, use_bias: bool = False, **kwargs
    ):
        super().__init__(**kwargs)
        self.num_heads = num_heads
        self.attention = DotProductAttention(dropout)
        self.W_q = nn.Dense(num_hiddens, use_bias=use_bias, flatten=False)
        self.W_k = nn.Dense(num_hiddens, use_bias=use_bias, flatten=False)
        self.W_v = nn.Dense(num_hiddens, use_bias=use_bias, flatten=False)
        self.W_o = nn.Dense(num_hiddens, use_bias=use_bias, flatten=False)

    def forward(self, query, key, value, valid_len):
        # each: (batch_size * num_heads, number of queries or pairs, num_hiddens / num_heads)
        queries = transpose_qkv(self.W_q(query), self.num_heads)
        keys = transpose_qkv(self.W_k(key), self.num_heads)
        values = transpose_qkv(self.W_v(value), self.num_heads)
        if valid_len is not None:
            # (batch_size * num_heads,) or (batch_size * num_heads, num_queries); see the notes
            valid_len = np.tile(valid_len, (self.num_heads,) + (1,) * (valid_len.ndim - 1))
        heads = self.attention(queries, keys, values, valid_len)
        return self.W_o(transpose_output(heads, self.num_heads))


def transpose_qkv(X: np.ndarray, num_heads: int) -> np.ndarray:
    """Divide the last axis into heads, and stack the heads along the batch axis.

    Parameters
    ----------
    X : float32 array of shape (batch_size, num_steps, num_hiddens)
    num_heads : int

    Returns
    -------
    float32 array of shape (batch_size * num_heads, num_steps, num_hiddens / num_heads)
        The heads of the first sentence, then those of the second, and so on.

    Examples
    --------
    >>> transpose_qkv(np.array([[[1, 2, 3, 4], [5, 6, 7, 8]]]), 2).tolist()
    [[[1.0, 2.0], [5.0, 6.0]], [[3.0, 4.0], [7.0, 8.0]]]
    """
    batch_size, num_steps, _ = X.shape
    X = X.reshape(batch_size, num_steps, num_heads, -1)
    X = X.transpose(0, 2, 1, 3)  # (batch_size, num_heads, num_steps, head_size)
    return X.reshape(batch_size * num_heads, num_steps, -1)


def transpose_output(X: np.ndarray, num_heads: int) -> np.ndarray:
    """Concatenate the heads again; the inverse of `transpose_qkv`.

    Parameters
    ----------
    X : float32 array of shape (batch_size * num_heads, num_steps, head_size)
    num_heads : int

    Returns
    -------
    float32 array of shape (batch_size, num_steps, num_heads * head_size)
    """
    _, num_steps, head_size = X.shape
    X = X.reshape(-1, num_heads, num_steps, head_size)
    X = X.transpose(0, 2, 1, 3)  # (batch_size, num_steps, num_heads, head_size)
    return X.reshape(X.shape[0], num_steps, -1)


class PositionWiseFFN(nn.Block):
    """Two dense layers that are applied to each position separately (section 10.3.2).

    Parameters
    ----------
    ffn_num_hiddens : int
        Size of the hidden layer, whose activation is ReLU.
    pw_num_outputs : int
        Size of the result.

    Inputs:
        - **X**: float32 array of shape (batch_size, num_steps, num_hiddens).

    Outputs:
        - **output**: float32 array of shape (batch_size, num_steps, pw_num_outputs).
    """

    def __init__(self, ffn_num_hiddens: int, pw_num_outputs: int, **kwargs):
        super().__init__(**kwargs)
        self.dense1 = nn.Dense(ffn_num_hiddens, flatten=False, activation='relu')
        self.dense2 = nn.Dense(pw_num_outputs, flatten=False)

    def forward(self, X):
        return self.dense2(self.dense1(X))


class AddNorm(nn.Block):
    """A residual connection followed by layer normalization (section 10.3.3).

    Parameters
    ----------
    dropout : float
        Dropout probability of the layer's output Y, before X is added.

    Inputs:
        - **X**: float32 array of shape (batch_size, num_steps, num_hiddens), a layer's input.
        - **Y**: float32 array of the same shape, the layer's output.

    Outputs:
        - **output**: float32 array of the same shape, normalized over its last axis.
    """

    def __init__(self, dropout: float, **kwargs):
        super().__init__(**kwargs)
        self.dropout = nn.Dropout(dropout)
        self.ln = nn.LayerNorm()

    def forward(self, X, Y):
        return self.ln(self.dropout(Y) + X)


class PositionalEncoding(nn.Block):
    """An encoding of the positions, which is added to the embeddings (section 10.3.4).

    The encoding of position i has sin(i / 10000^(2j/d)) in column 2j and cos(i / 10000^(2j/d)) in
    column 2j + 1, where d is `num_hiddens`.  It has no parameters.

    Parameters
    ----------
    num_hiddens : int
        Size of the embeddings, an even number.
    dropout : float
        Dropout probability of the sum.
    max_len : int
        Maximum number of steps.

    Inputs:
        - **X**: float32 array of shape (batch_size, num_steps, num_hiddens).

    Outputs:
        - **output**: float32 array of the same shape.

    Attributes
    ----------
    P : float32 array of shape (1, max_len, num_hiddens)
        The encodings.  They are an ordinary array, so they stay on the device on which the block
        was created and are copied at each call.

    Notes
    -----
    The block does not know which part of a sentence it gets: the first step of `X` has the
    position 0.
    """

    def __init__(self, num_hiddens: int, dropout: float, max_len: int = 1000):
        super().__init__()
        self.dropout = nn.Dropout(dropout)
        positions = np.arange(max_len).reshape(-1, 1)
        angles = positions / np.power(10000, np.arange(0, num_hiddens, 2) / num_hiddens)
        self.P = np.zeros((1, max_len, num_hiddens))
        self.P[:, :, 0::2] = np.sin(angles)  # (max_len, num_hiddens / 2)
        self.P[:, :, 1::2] = np.cos(angles)

    def forward(self, X):
        num_steps = X.shape[1]
        return self.dropout(X + self.P[:, :num_steps, :].as_in_ctx(X.ctx))


class EncoderBlock(nn.Block):
    """Self-attention and a position-wise network with residual connections (section 10.3.5).

    Parameters
    ----------
    num_hiddens, ffn_num_hiddens, num_heads : int
    dropout : float
        Dropout probability of the attention weights and of the outputs of both parts.
    use_bias : bool
        Whether the dense layers of the attention have biases.

    Inputs:
        - **X**: float32 array of shape (batch_size, num_steps, num_hiddens).
        - **valid_len**: array of shape (batch_size,), or None; see `MultiHeadAttention`.

    Outputs:
        - **output**: float32 array of the same shape as **X**.
    """

    def __init__(
        self,
        num_hiddens: int,
        ffn_num_hiddens: int,
        num_heads: int,
        dropout: float,
        use_bias: bool = False,
        **kwargs,
    ):
        super().__init__(**kwargs)
        self.attention = MultiHeadAttention(num_hiddens, num_heads, dropout, use_bias)
        self.addnorm1 = AddNorm(dropout)
        self.ffn = PositionWiseFFN(ffn_num_hiddens, num_hiddens)
        self.addnorm2 = AddNorm(dropout)

    def forward(self, X, valid_len):
        Y = self.addnorm1(X, self.attention(X, X, X, valid_len))
        return self.addnorm2(Y, self.ffn(Y))


class TransformerEncoder(Encoder):
    """Embeddings with positions, and a number of encoder blocks (section 10.3.5).

    Parameters
    ----------
    vocab_size, num_hiddens, ffn_num_hiddens, num_heads, num_layers : int
        `num_hiddens` is also the size of the embeddings.
    dropout : float
        Dropout probability, also that of the embeddings with positions.
    use_bias : bool
        Whether the dense layers of the attention have biases.

    Inputs:
        - **X**: array of shape (batch_size, num_steps), source token ids.
        - **valid_len**: array of shape (batch_size,), the source valid lengths, or None.
        - **args**: ignored.

    Outputs:
        - **outputs**: float32 array of shape (batch_size, num_steps, num_hiddens), batch-major in
          contrast to `Seq2SeqEncoder`.

    Notes
    -----
    The embeddings are multiplied by the square root of `num_hiddens` before the encodings of the
    positions, which are between -1 and 1, are added.
    """

    def __init__(
        self,
        vocab_size: int,
        num_hiddens: int,
        ffn_num_hiddens: int,
        num_heads: int,
        num_layers: int,
        dropout: float,
        use_bias: bool = False,
        **kwargs,
    ):
        super().__init__(**kwargs)
        self.num_hiddens = num_hiddens
        self.embedding = nn.Embedding(vocab_size, num_hiddens)
        self.pos_encoding = PositionalEncoding(num_hiddens, dropout)
        self.blks = nn.Sequential()
        for _ in range(num_layers):
            self.blks.add(EncoderBlock(num_hiddens, ffn_num_hiddens, num_heads, dropout, use_bias))

    def forward(self, X, valid_len, *args):
        # (batch_size, num_steps, num_hiddens)
        X = self.pos_encoding(self.embedding(X) * math.sqrt(self.num_hiddens))
        for block in self.blks:
            X = block(X, valid_len)
        return X


class DecoderBlock(nn.Block):
    """Self-attention, attention to the source, and a position-wise network (section 10.3.6).

    Parameters
    ----------
    num_hiddens, ffn_num_hiddens, num_heads : int
    dropout : float
        Dropout probability of the attention weights and of the outputs of the three parts.
    i : int
        Number of this block in the decoder, from 0.  It selects the block's part of the state.

    Inputs:
        - **X**: float32 array of shape (batch_size, num_steps, num_hiddens).
        - **state**: the result of `TransformerDecoder.init_state`, or the state that the previous
          call returned.

    Outputs:
        - **output**: float32 array of the same shape as **X**.
        - **state**: the same list that was passed, changed in place.

    Notes
    -----
    ``state[2][i]`` contains the block's inputs of all steps so far, of shape (batch_size,
    num_past_steps, num_hiddens).  Each call appends the new steps, so the list grows in prediction,
    and the self-attention attends to the previous steps as well as to the new ones.  In training,
    all steps come in one call and start from None.

    A target token must not attend to later ones.  The chapter uses `autograd.is_training` to decide
    whether there are later ones: in training mode, step t attends to the first t steps.  Otherwise
    nothing is masked, because `predict_s2s_ch9` passes one step at a time.  Outside of training
    mode, for example to compute the loss of validation data, a call with several steps therefore
    attends to later tokens.  Use ``autograd.train_mode()`` for such a call, with a dropout of 0.
    """

    def __init__(
        self,
        num_hiddens: int,
        ffn_num_hiddens: int,
        num_heads: int,
        dropout: float,
        i: int,
        **kwargs,
    ):
        super().__init__(**kwargs)
        self.i = i
        self.attention1 = MultiHeadAttention(num_hiddens, num_heads, dropout)
        self.addnorm1 = AddNorm(dropout)
        self.attention2 = MultiHeadAttention(num_hiddens, num_heads, dropout)
        self.addnorm2 = AddNorm(dropout)
        self.ffn = PositionWiseFFN(ffn_num_hiddens, num_hiddens)
        self.addnorm3 = AddNorm(dropout)

    def forward(self, X, state):
        enc_outputs, enc_valid_len, past_inputs = state
        if past_inputs[self.i] is None:
            key_values = X
        else:
            # (batch_size, num_past_steps + num_steps, num_hiddens)
            key_values = np.concatenate((past_inputs[self.i], X), axis=1)
        past_inputs[self.i] = key_values
        valid_len = None
        if autograd.is_training():
            batch_size, num_steps, _ = X.shape
            steps = np.arange(1, num_steps + 1, ctx=X.ctx)
            valid_len = np.tile(steps, (batch_size, 1))  # each row: 1, 2, ..., num_steps
        Y = self.addnorm1(X, self.attention1(X, key_values, key_values, valid_len))
        Z = self.addnorm2(Y, self.attention2(Y, enc_outputs, enc_outputs, enc_valid_len))
        return self.addnorm3(Z, self.ffn(Z)), state


class TransformerDecoder(Decoder):
    """Embeddings with positions, a number of decoder blocks and a dense layer (section 10.3.6).

    Parameters
    ----------
    vocab_size, num_hiddens, ffn_num_hiddens, num_heads, num_layers : int
        `num_hiddens` is also the size of the embeddings.
    dropout : float
        Dropout probability, also that of the embeddings with positions.

    Inputs:
        - **X**: array of shape (batch_size, num_steps), target token ids.
        - **state**: the result of `init_state`, or the state that the previous call returned.

    Outputs:
        - **logits**: float32 array of shape (batch_size, num_steps, vocab_size).
        - **state**: the same list that was passed, changed in place; see `DecoderBlock`.

    Notes
    -----
    `PositionalEncoding` counts from the start of each call.  In training, the tokens of a sentence
    have the positions 0, 1, 2, ...  In prediction, `predict_s2s_ch9` passes one token at a time,
    and each of them has the position 0, so the model computes other logits than in training.  The
    chapter's version is kept.  To correct it, add the number of past steps to the positions.
    Measured on the chapter's data with the seeds 0 to 4, the chapter's model translates 253 to 374
    of the 546 different source sentences exactly, and 418 to 432 with corrected positions.

    The chapter creates its decoder with ``len(src_vocab)`` in place of ``len(tgt_vocab)``.  This
    works there because the source vocabulary is the larger one (180 and 162 tokens).  The logits of
    the surplus ids are never the label, so they only add to the sum in the softmax.  A source
    vocabulary that is smaller than the target's would be an error that MXNet does not report.
    """

    def __init__(
        self,
        vocab_size: int,
        num_hiddens: int,
        ffn_num_hiddens: int,
        num_heads: int,
        num_layers: int,
        dropout: float,
        **kwargs,
    ):
        super().__init__(**kwargs)
        self.num_hiddens = num_hiddens
        self.num_layers = num_layers
        self.embedding = nn.Embedding(vocab_size, num_hiddens)
        self.pos_encoding = PositionalEncoding(num_hiddens, dropout)
        self.blks = nn.Sequential()
        for i in range(num_layers):
            self.blks.add(DecoderBlock(num_hiddens, ffn_num_hiddens, num_heads, dropout, i))
        self.dense = nn.Dense(vocab_size, flatten=False)

    def init_state(self, enc_outputs, enc_valid_len, *args):
        """Return the state before the first step.

        Parameters
        ----------
        enc_outputs : float32 array of shape (batch_size, num_src_steps, num_hiddens)
        enc_valid_len : array of shape (batch_size,), or None
            The source valid lengths.  None attends to the padding as well.
        args
            Ignored.

        Returns
        -------
        list
            `enc_outputs`, `enc_valid_len`, and a list with None for each block.
        """
        return [enc_outputs, enc_valid_len, [None] * self.num_layers]

    def forward(self, X, state):
        # (batch_size, num_steps, num_hiddens)
        X = self.pos_encoding(self.embedding(X) * math.sqrt(self.num_hiddens))
        for block in self.blks:
            X, state = block(X, state)
        return self.dense(X), state
