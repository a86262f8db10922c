"""Decoders: the chapter's, one with the context at every step, and decoders with attention.

All of them can be hybridized or traced.  They implement `book.encoder_decoder.Decoder`, and also
``reorder(state, rows)``, which a beam search needs: row i of its result is row ``rows[i]`` of the
state.  Both rows belong to the same source sentence, so parts of the state that depend on the
source only are returned unchanged.  One call for many steps returns the same logits as a call for
each step.

The decoders with attention have one more method, `AttentionDecoder.attend`, which also returns the
attention weights.
"""

from __future__ import annotations

from typing import Callable

from .._mxnet import nn, operators_of, rnn, shape_of
from ..book.encoder_decoder import Decoder
from .attention import AdditiveAttention, Attention
from .contexts import last_state
from .recurrent_layers import check_state, num_states, reorder_state, stack_layers


class Seq2SeqDecoder(nn.HybridBlock, Decoder):
    """The chapter's decoder: an embedding, a multi-layer LSTM and a dense layer (section 9.7.2).

    With the same seed it has the weights of `book.seq2seq.Seq2SeqDecoder` and returns the same
    bits.  Unlike that block it can be hybridized, can have other recurrent layers, and applies its
    dropout on a CPU as well.
    The LSTM starts from the encoder's last state, so both need the same `num_layers` and
    `num_hiddens`.

    Parameters
    ----------
    vocab_size, embed_size, num_hiddens, num_layers : int
    dropout : float
        Dropout probability between the recurrent layers.
    layer : layer class
        The recurrent layers; see `models.recurrent`.

    Inputs:
        - **X**: array of shape (batch_size, num_steps), target token ids.
        - **state**: list of the hidden state and the memory cell, each of shape (num_layers,
          batch_size, num_hiddens).  For a GRU it is a list of the hidden state only.

    Outputs:
        - **logits**: float32 array of shape (batch_size, num_steps, vocab_size).
        - **state**: the state after the last step, in the same form as the input.

    Notes
    -----
    In Eq. (9.7.4) the decoder also reads the context c at every step.  In the chapter's code, and
    so in this class, the context is only the initial state.
    """

    def __init__(
        self,
        vocab_size: int,
        embed_size: int,
        num_hiddens: int,
        num_layers: int,
        dropout: float = 0,
        *,
        layer: Callable = rnn.LSTM,
        **kwargs,
    ):
        super().__init__(**kwargs)
        self._state_sizes = num_states(layer), num_layers, num_hiddens
        self.embedding = nn.Embedding(vocab_size, embed_size)
        self.rnn = stack_layers(layer, num_hiddens, num_layers, dropout)
        self.dense = nn.Dense(vocab_size, flatten=False)

    def init_state(self, enc_outputs, *args):
        """Return the encoder's state after its last step."""
        return check_state(enc_outputs[1], *self._state_sizes)

    def reorder(self, state, rows):
        """Return the state with its rows in another order; see `reorder_state`."""
        return reorder_state(state, rows)

    def hybrid_forward(self, F, X, state):
        X = F.np.swapaxes(self.embedding(X), 0, 1)  # (num_steps, batch_size, embed_size)
        outputs, state = self.rnn(X, state)  # (num_steps, batch_size, num_hiddens)
        logits = F.np.swapaxes(self.dense(outputs), 0, 1)  # (batch_size, num_steps, vocab_size)
        return logits, state


class ContextDecoder(Seq2SeqDecoder):
    """A decoder that reads the context c at every step (d2l 0.14, Eq. (9.7.4)).

    The chapter's decoder gets the context only as its first state.  Here c is concatenated with the
    embedding of every token, and does not change from step to step.  The first state is the
    encoder's last state, whatever the context is.  The parameters are those of `Seq2SeqDecoder`,
    and one more.

    Parameters
    ----------
    context : Callable
        The function q of Eq. (9.7.2), which computes c from the encoder's hidden states:
        `last_state`, `mean_state`, `max_state`, or your own; see `models.contexts`.

    Inputs:
        - **X**: array of shape (batch_size, num_steps), target token ids.
        - **state**: list of the recurrent layers' state, a list of arrays of shape (num_layers,
          batch_size, num_hiddens), and the context of shape (1, batch_size, context_size).

    Outputs:
        - **logits**: float32 array of shape (batch_size, num_steps, vocab_size).
        - **state**: as the input, after the last step.
    """

    def __init__(self, *args, context: Callable = last_state, **kwargs):
        super().__init__(*args, **kwargs)
        self._context = context

    def init_state(self, enc_outputs, valid_len=None, *args):
        """Return the encoder's last state, and the context.

        Parameters
        ----------
        enc_outputs
            The encoder's outputs and state.
        valid_len : array of shape (batch_size,), optional
            The source valid lengths, which exclude padding from the context.  By default all steps
            count.
        """
        outputs, _ = enc_outputs
        state = super().init_state(enc_outputs)
        return [state, self._context(outputs, state, valid_len)]

    def reorder(self, state, rows):
        """Return the state with its rows in another order; see `reorder_state`."""
        state, context = state
        return [super().reorder(state, rows), context]

    def hybrid_forward(self, F, X, state):
        state, context = state
        X = F.np.swapaxes(self.embedding(X), 0, 1)  # (num_steps, batch_size, embed_size)
        contexts = F.np.zeros_like(X[:, :, :1]) + context  # (num_steps, batch_size, context_size)
        outputs, state = self.rnn(F.np.concatenate([X, contexts], axis=-1), state)
        return F.np.swapaxes(self.dense(outputs), 0, 1), [state, context]


class AttentionDecoder(nn.HybridBlock, Decoder):
    """The base class of the decoders with attention.

    Inputs:
        - **X**: array of shape (batch_size, num_steps), target token ids.
        - **state**: list of three items: the encoder's outputs, batch first, of shape (batch_size,
          num_src_steps, size); the recurrent layers' state, a list of arrays of shape (num_layers,
          batch_size, num_hiddens); the source valid lengths, of shape (batch_size,).

    Outputs:
        - **logits**: float32 array of shape (batch_size, num_steps, vocab_size).
        - **state**: as the input, after the last step.
    """

    def init_state(self, enc_outputs, src_valid_len, *args):
        """Return the encoder's outputs, its last state and the source valid lengths.

        Raises
        ------
        ValueError
            If the encoder's state does not have the layers and hidden units of this decoder.
        """
        outputs, state = enc_outputs
        return [outputs.swapaxes(0, 1), check_state(state, *self._state_sizes), src_valid_len]

    def reorder(self, state, rows):
        """Return the state with its rows in another order; see `reorder_state`."""
        values, state, valid_len = state
        return [values, reorder_state(state, rows), valid_len]

    def attend(self, X, state):
        """Return what a call returns, and the attention weights.

        Parameters
        ----------
        X, state
            As for a call.

        Returns
        -------
        logits, state
            As from a call.
        weights : float32 array of shape (batch_size, num_steps, num_src_steps)
            The weight of each source step for each target step; 0 at padding.
        """
        return self._decode(operators_of(X), X, state)

    def hybrid_forward(self, F, X, state):
        logits, state, _ = self._decode(F, X, state)
        return logits, state

    def _decode(self, F, X, state):
        """Return logits, state and attention weights."""
        raise NotImplementedError(f'{type(self).__name__} must define _decode(F, X, state)')


class Seq2SeqAttentionDecoder(AttentionDecoder):
    """A decoder that attends before each step (d2l 0.14, section 10.2; Bahdanau et al. 2015).

    The query is the top hidden state after the previous step.  The context that attention returns
    for it is concatenated with the token's embedding.  No step can begin before the previous one
    has ended, so the recurrent layers run step by step.

    This is a fast version of the book's decoder in `book.seq2seq_attention`.  The mathematics is
    the same, so with the same weights it returns the same logits.  The keys are projected once per
    call rather than at every step, and the dropout between the recurrent layers also works on a
    CPU.  The same seed gives other initial weights, because the weights are used, and therefore
    drawn, in another order.

    Parameters
    ----------
    vocab_size, embed_size, num_hiddens, num_layers : int
    dropout : float
        Dropout probability between the recurrent layers, and of the weights of the default
        `attention`.
    layer : layer class
        The recurrent layers; see `models.recurrent`.
    attention : Attention, optional
        ``AdditiveAttention(num_hiddens, dropout)`` by default, as in the book.
    """

    def __init__(
        self,
        vocab_size: int,
        embed_size: int,
        num_hiddens: int,
        num_layers: int,
        dropout: float = 0,
        *,
        layer: Callable = rnn.LSTM,
        attention: Attention | None = None,
        **kwargs,
    ):
        super().__init__(**kwargs)
        self._state_sizes = num_states(layer), num_layers, num_hiddens
        self.attention = attention or AdditiveAttention(num_hiddens, dropout)
        self.embedding = nn.Embedding(vocab_size, embed_size)
        self.rnn = stack_layers(layer, num_hiddens, num_layers, dropout)
        self.dense = nn.Dense(vocab_size, flatten=False)

    def _decode(self, F, X, state):
        values, state, valid_len = state
        keys = self.attention.project_keys(values)
        num_steps = shape_of(X)[1]
        X = F.np.swapaxes(self.embedding(X), 0, 1)  # (num_steps, batch_size, embed_size)
        outputs, weights = [], []
        for step in range(num_steps):
            query = F.np.swapaxes(state[0][-1:], 0, 1)  # (batch_size, 1, num_hiddens)
            context, step_weights = self.attention(query, keys, values, valid_len)
            step_input = F.np.concatenate(
                [F.np.swapaxes(context, 0, 1), X[step : step + 1]], axis=-1
            )  # (1, batch_size, size + embed_size)
            output, state = self.rnn(step_input, state)  # (1, batch_size, num_hiddens)
            outputs.append(output)
            weights.append(step_weights)
        outputs = F.np.concatenate(outputs, axis=0)  # (num_steps, batch_size, num_hiddens)
        logits = F.np.swapaxes(self.dense(outputs), 0, 1)  # (batch_size, num_steps, vocab_size)
        return logits, [values, state, valid_len], F.np.concatenate(weights, axis=1)


class LuongDecoder(AttentionDecoder):
    """A decoder that attends after the recurrent layers (Luong et al. 2015, Eqs. (5) and (6)).

    The recurrent layers do not read the context (there is no input feeding), so they run over all
    steps at once, and attention for all steps is one batched product.  The dense layer reads the
    attentional vector tanh(W_c [context; h_t]).

    Parameters
    ----------
    vocab_size, embed_size, num_hiddens, num_layers : int
    attention : Attention
    dropout : float
        Dropout probability between the recurrent layers.
    layer : layer class
        The recurrent layers; see `models.recurrent`.
    """

    def __init__(
        self,
        vocab_size: int,
        embed_size: int,
        num_hiddens: int,
        num_layers: int,
        attention: Attention,
        dropout: float = 0,
        *,
        layer: Callable = rnn.LSTM,
        **kwargs,
    ):
        super().__init__(**kwargs)
        self._state_sizes = num_states(layer), num_layers, num_hiddens
        self.attention = attention
        self.embedding = nn.Embedding(vocab_size, embed_size)
        self.rnn = stack_layers(layer, num_hiddens, num_layers, dropout)
        self.W_c = nn.Dense(num_hiddens, activation='tanh', use_bias=False, flatten=False)
        self.dense = nn.Dense(vocab_size, flatten=False)

    def _decode(self, F, X, state):
        values, state, valid_len = state
        X = F.np.swapaxes(self.embedding(X), 0, 1)  # (num_steps, batch_size, embed_size)
        outputs, state = self.rnn(X, state)
        queries = F.np.swapaxes(outputs, 0, 1)  # (batch_size, num_steps, num_hiddens)
        keys = self.attention.project_keys(values)
        attentional, weights = self._attentional(F, queries, keys, values, valid_len)
        return self.dense(attentional), [values, state, valid_len], weights

    def _attentional(self, F, queries, keys, values, valid_len):
        """Return the attentional vectors of some hidden states, and the attention weights."""
        context, weights = self.attention(queries, keys, values, valid_len)
        return self.W_c(F.np.concatenate([context, queries], axis=-1)), weights


class InputFeedingDecoder(LuongDecoder):
    """Luong's decoder with input feeding (Luong et al. 2015, section 3.3).

    The recurrent layers read each token's embedding concatenated with the attentional vector of the
    step before, so they know what the decoder has attended to.  No step can begin before the
    previous one has ended, so the layers run step by step.

    Parameters
    ----------
    vocab_size, embed_size, num_hiddens, num_layers, attention, dropout, layer
        As for `LuongDecoder`.

    Inputs:
        - **X**: array of shape (batch_size, num_steps), target token ids.
        - **state**: the list of the other decoders with attention, and the attentional vector of
          the step before, of shape (1, batch_size, num_hiddens).

    Outputs:
        - **logits**: float32 array of shape (batch_size, num_steps, vocab_size).
        - **state**: as the input, after the last step.
    """

    def init_state(self, enc_outputs, src_valid_len, *args):
        """Return the state of `LuongDecoder`, and an attentional vector of zeros."""
        values, state, valid_len = super().init_state(enc_outputs, src_valid_len)
        zeros = operators_of(values).np.zeros_like(state[0][-1:])
        return [values, state, valid_len, zeros]

    def reorder(self, state, rows):
        """Return the state with its rows in another order; see `reorder_state`."""
        *others, attentional = state
        return [*super().reorder(others, rows), *reorder_state([attentional], rows)]

    def _decode(self, F, X, state):
        values, state, valid_len, attentional = state
        keys = self.attention.project_keys(values)
        num_steps = shape_of(X)[1]
        X = F.np.swapaxes(self.embedding(X), 0, 1)  # (num_steps, batch_size, embed_size)
        vectors, weights = [], []
        for step in range(num_steps):
            step_input = F.np.concatenate([X[step : step + 1], attentional], axis=-1)
            output, state = self.rnn(step_input, state)  # (1, batch_size, num_hiddens)
            query = F.np.swapaxes(output, 0, 1)  # (batch_size, 1, num_hiddens)
            vector, step_weights = self._attentional(F, query, keys, values, valid_len)
            attentional = F.np.swapaxes(vector, 0, 1)  # (1, batch_size, num_hiddens)
            vectors.append(vector)
            weights.append(step_weights)
        logits = self.dense(F.np.concatenate(vectors, axis=1))
        return logits, [values, state, valid_len, attentional], F.np.concatenate(weights, axis=1)
