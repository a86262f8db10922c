"""Encoders: the chapter's, a masked and bidirectional one, and a bridge to the decoder.

All of them can be hybridized.  `Seq2SeqEncoder` reads padding like any other token, as the block
that the chapter prints does, `book.seq2seq.Seq2SeqEncoder`.
"""

from __future__ import annotations

from typing import Callable

from .._mxnet import nn, rnn
from ..book.encoder_decoder import Encoder
from .recurrent import MaskedStack
from .recurrent_layers import num_states, stack_layers, zero_state


def reads_padding(encoder: nn.Block) -> bool:
    """Return whether padding changes the result of an encoder.

    An encoder that does not say so, with an attribute `reads_padding` that is False, reads it.
    Sentences must then be padded to the same length in prediction as in training.
    """
    return getattr(encoder, 'reads_padding', True)


class Seq2SeqEncoder(nn.HybridBlock, Encoder):
    """The chapter's encoder: an embedding and a multi-layer LSTM (d2l 0.14, Eq. (9.7.1)).

    With the same seed it has the weights of `book.seq2seq.Seq2SeqEncoder` and returns the same
    bits.  Unlike that block it can be hybridized, can have other recurrent layers, and applies its
    dropout on a CPU as well.

    Parameters
    ----------
    vocab_size, embed_size, num_hiddens, num_layers : int
    dropout : float
        Dropout probability between the recurrent layers.
    layer : layer class
        The recurrent layers; see `models.recurrent`.

    Inputs:
        - **X**: array of shape (batch_size, num_steps), source token ids.
        - **args**: ignored.

    Outputs:
        - **outputs**: float32 array of shape (num_steps, batch_size, num_hiddens), time-major: the
          hidden state of the top layer at every step.
        - **state**: list of the hidden state and the memory cell after the last step, each of shape
          (num_layers, batch_size, num_hiddens).  A GRU has no memory cell: its list has one array.

    Notes
    -----
    The LSTM also reads the padding, so the state of a sentence depends on the amount of padding.
    The chapter pads all sentences to the same `num_steps` in training and in prediction, and you
    must do the same.
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

    def forward(self, X, *args):
        return super().forward(X)  # without args: a hybridized block warns of unused inputs

    def hybrid_forward(self, F, X):
        X = F.np.swapaxes(self.embedding(X), 0, 1)  # (num_steps, batch_size, embed_size)
        return self.rnn(X, zero_state(F, X, *self._state_sizes))


class MaskedEncoder(nn.HybridBlock, Encoder):
    """An embedding and recurrent layers that stop at the end of each sentence.

    Parameters
    ----------
    vocab_size, embed_size, num_hiddens, num_layers : int
        With two directions, `num_hiddens` is the number of hidden units of each.
    dropout : float
        Dropout probability between the recurrent layers.
    layer : layer class
        The recurrent layers; see `models.recurrent`.
    bidirectional : bool
        If True, each layer also reads the sentences from the last token to the first, so the state
        has two entries for each layer.  A `Bridge` maps it to the state of a decoder.

    Inputs:
        - **X**: array of shape (batch_size, num_steps), source token ids.
        - **valid_len**: array of shape (batch_size,), number of tokens that are not padding.
        - **args**: ignored.

    Outputs:
        - **outputs**: float32 array of shape (num_steps, batch_size, num_directions * num_hiddens),
          time-major; 0 at padding.
        - **state**: list of arrays of shape (num_layers * num_directions, batch_size, num_hiddens):
          the hidden state and the memory cell of an LSTM, or the hidden state alone of other
          layers.
    """

    reads_padding = False

    def __init__(
        self,
        vocab_size: int,
        embed_size: int,
        num_hiddens: int,
        num_layers: int,
        dropout: float = 0,
        *,
        layer: Callable = rnn.LSTM,
        bidirectional: bool = False,
        **kwargs,
    ):
        super().__init__(**kwargs)
        self.embedding = nn.Embedding(vocab_size, embed_size)
        self.rnn = MaskedStack(layer, num_hiddens, num_layers, dropout, bidirectional)

    def forward(self, X, valid_len, *args):
        return super().forward(X, valid_len)  # a hybridized block warns about unused inputs

    def hybrid_forward(self, F, X, valid_len):
        X = F.np.swapaxes(self.embedding(X), 0, 1)  # (num_steps, batch_size, embed_size)
        return self.rnn(X, valid_len)


class Bridge(nn.HybridBlock, Encoder):
    """An encoder with dense layers that map its state to the sizes of a decoder.

    A dense layer reads each array of the state, with all its layers and directions concatenated,
    and returns the array of the decoder's layers.  A tanh keeps hidden states between -1 and 1; the
    memory cell of an LSTM is not bounded and has no tanh.  Bahdanau et al. 2015 map only the
    backward direction.

    Parameters
    ----------
    encoder : Encoder
    num_layers, num_hiddens : int
        Sizes of the decoder.
    layer : layer class
        The recurrent layers of both the encoder and the decoder: a bridge does not change the
        number of arrays in a state.

    Inputs:
        - as for the encoder

    Outputs:
        - **outputs**: the encoder's outputs, unchanged.
        - **state**: list of arrays of shape (num_layers, batch_size, num_hiddens).
    """

    def __init__(
        self,
        encoder: Encoder,
        num_layers: int,
        num_hiddens: int,
        layer: Callable = rnn.LSTM,
        **kwargs,
    ):
        super().__init__(**kwargs)
        self._decoder_shape = (-2, num_layers, num_hiddens)  # -2 keeps the batch size
        self.encoder = encoder
        size = num_layers * num_hiddens
        self.hidden = nn.Dense(size, activation='tanh')
        self.memory = nn.Dense(size) if num_states(layer) == 2 else None

    @property
    def embedding(self) -> nn.Embedding:
        """The encoder's embedding."""
        return self.encoder.embedding

    @property
    def reads_padding(self) -> bool:
        """True if padding changes the encoder's outputs."""
        return reads_padding(self.encoder)

    def forward(self, X, valid_len, *args):
        return super().forward(X, valid_len)  # a hybridized block warns about unused inputs

    def hybrid_forward(self, F, X, valid_len):
        outputs, state = self.encoder(X, valid_len)
        # A dense layer flattens (batch_size, num_layers, num_hiddens) to two axes by itself.
        mapped = [
            dense(F.np.swapaxes(part, 0, 1))
            for dense, part in zip((self.hidden, self.memory), state)
        ]  # (batch_size, num_layers * num_hiddens), of the decoder
        return outputs, [
            F.np.swapaxes(F.npx.reshape(part, self._decoder_shape), 0, 1) for part in mapped
        ]
