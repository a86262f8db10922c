"""Encoders beyond the chapter's: masked, bidirectional, and with a bridge to the decoder.

The chapter's own encoder, `book.seq2seq.Seq2SeqEncoder`, reads padding like any other token.
"""

from __future__ import annotations

from typing import Callable

from .._mxnet import nn, rnn
from ..book.encoder_decoder import Encoder
from ..book.recurrent_layers import num_states
from .recurrent import MaskedStack


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
    def reads_padding(self) -> bool:  # type: ignore[override]
        """True if padding changes the encoder's outputs."""
        return self.encoder.reads_padding

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
