"""Decoders beyond the chapter's: the context at every step, and attention.

The chapter's own is `model.Seq2SeqDecoder`.  All of them keep to `model.Decoder`, and one call with
many steps gives the logits that as many calls with one step give.

The attention decoders have `attend` as well, which also returns the weights.
"""

from __future__ import annotations

from typing import Callable

from .._mxnet import nn, operators_of, rnn, shape_of
from ..book.encoder_decoder import Decoder
from ..book.recurrent_layers import check_state, num_states, reorder_state, stacked
from ..book.seq2seq import Seq2SeqDecoder
from .attention import AdditiveAttention, Attention


class ContextDecoder(Seq2SeqDecoder):
    """The context c at every step, and not only as the start: d2l 0.14, Eq. (9.7.4).

    c is the encoder's top hidden state after the last token; it is joined to each step's embedding
    and stays what it is, also when decoding step by step.  The parameters are those of
    `Seq2SeqDecoder`.

    Inputs:
        - **X**: array of shape (batch_size, num_steps), target token ids.
        - **state**: list of the layers' state, a list of arrays (num_layers, batch_size,
          num_hiddens), and the context of shape (1, batch_size, num_hiddens).

    Outputs:
        - **logits**: float32 array of shape (batch_size, num_steps, vocab_size).
        - **state**: as the input, after the last step.
    """

    def init_state(self, enc_outputs, *args):
        """The encoder's last state, and its top hidden state as the context."""
        state = super().init_state(enc_outputs)
        return [state, state[0][-1:]]

    def reorder(self, state, rows):
        """See `Decoder.reorder`."""
        state, context = state
        return [super().reorder(state, rows), context]

    def hybrid_forward(self, F, X, state):
        state, context = state
        X = F.np.swapaxes(self.embedding(X), 0, 1)  # (num_steps, batch_size, embed_size)
        contexts = F.np.zeros_like(X[:, :, :1]) + context  # (num_steps, batch_size, num_hiddens)
        outputs, state = self.rnn(F.np.concatenate([X, contexts], axis=-1), state)
        return F.np.swapaxes(self.dense(outputs), 0, 1), [state, context]


class AttentionDecoder(nn.HybridBlock, Decoder):
    """What the decoders with attention have in common.

    Inputs:
        - **X**: array of shape (batch_size, num_steps), target token ids.
        - **state**: list of the encoder's outputs, batch first, of shape (batch_size,
          num_src_steps, size); the layers' state, a list of arrays (num_layers, batch_size,
          num_hiddens); and the source valid lengths, of shape (batch_size,).

    Outputs:
        - **logits**: float32 array of shape (batch_size, num_steps, vocab_size).
        - **state**: as the input, after the last step.
    """

    def init_state(self, enc_outputs, src_valid_len, *args):
        """The encoder's outputs, its last state, and where each source sentence ends."""
        outputs, state = enc_outputs
        return [outputs.swapaxes(0, 1), check_state(state, *self._state_sizes), src_valid_len]

    def reorder(self, state, rows):
        """See `Decoder.reorder`."""
        values, state, valid_len = state
        return [values, reorder_state(state, rows), valid_len]

    def hybrid_forward(self, F, X, state):
        logits, state, _ = self._decode(F, X, state)
        return logits, state

    def attend(self, X, state):
        """Logits and state as from a call, and the attention weights.

        Returns
        -------
        logits, state
        weights : float32 array of shape (batch_size, num_steps, num_src_steps)
            How much each target step looks at each source step; 0 behind the sentence's end.
        """
        return self._decode(operators_of(X), X, state)

    def _decode(self, F, X, state):
        """Logits, state and weights."""
        raise NotImplementedError(f'{type(self).__name__} has to define _decode(F, X, state)')


class Seq2SeqAttentionDecoder(AttentionDecoder):
    """Attention before each step (d2l 0.14, section 10.2; Bahdanau et al. 2015).

    The query is the top hidden state of the step before; what it finds is joined to the token's
    embedding.  So no step can begin before the last one has ended, and the layers run step by step.

    Parameters
    ----------
    vocab_size, embed_size, num_hiddens, num_layers : int
    dropout : float
        Between layers, and of the weights of the default `attention`.
    layer : layer class
        See `recurrent`.
    attention : Attention, optional
        `AdditiveAttention(num_hiddens, dropout)` by default, as in the book.
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
        self.rnn = stacked(layer, num_hiddens, num_layers, dropout)
        self.dense = nn.Dense(vocab_size, flatten=False)

    def _decode(self, F, X, state):
        values, state, valid_len = state
        keys = self.attention.project_keys(values)
        num_steps = shape_of(X)[1]
        X = F.np.swapaxes(self.embedding(X), 0, 1)  # (num_steps, batch_size, embed_size)
        outputs, weights = [], []
        for step in range(num_steps):
            query = F.np.swapaxes(state[0][-1:], 0, 1)  # (batch_size, 1, num_hiddens)
            context, own_weights = self.attention(query, keys, values, valid_len)
            own_input = F.np.concatenate(
                [F.np.swapaxes(context, 0, 1), X[step : step + 1]], axis=-1
            )
            output, state = self.rnn(own_input, state)  # (1, batch_size, num_hiddens)
            outputs.append(output)
            weights.append(own_weights)
        # (num_steps, batch_size, vocab_size)
        logits = self.dense(F.np.concatenate(outputs, axis=0))
        return (
            F.np.swapaxes(logits, 0, 1),
            [values, state, valid_len],
            F.np.concatenate(weights, axis=1),
        )


class LuongDecoder(AttentionDecoder):
    """Attention behind the recurrent layers (Luong et al. 2015, Eqs. (5), (6)), no input feeding.

    The layers never see what attention finds, so they run over all steps at once, and attention for
    all steps is one batched product.  The attentional vector tanh(W_c [context; h_t]) goes into the
    dense layer.

    Parameters
    ----------
    vocab_size, embed_size, num_hiddens, num_layers : int
    attention : Attention
    dropout : float
        Between layers.
    layer : layer class
        See `recurrent`.
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
        self.rnn = stacked(layer, num_hiddens, num_layers, dropout)
        self.W_c = nn.Dense(num_hiddens, activation='tanh', use_bias=False, flatten=False)
        self.dense = nn.Dense(vocab_size, flatten=False)

    def _decode(self, F, X, state):
        values, state, valid_len = state
        X = F.np.swapaxes(self.embedding(X), 0, 1)  # (num_steps, batch_size, embed_size)
        outputs, state = self.rnn(X, state)
        queries = F.np.swapaxes(outputs, 0, 1)  # (batch_size, num_steps, num_hiddens)
        context, weights = self.attention(
            queries, self.attention.project_keys(values), values, valid_len
        )
        attentional = self.W_c(F.np.concatenate([context, queries], axis=-1))
        return self.dense(attentional), [values, state, valid_len], weights
