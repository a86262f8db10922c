"""Encoders beyond the chapter's: unmoved by padding, in both directions, and with a bridge.

The chapter's own, `model.Seq2SeqEncoder`, reads padding as if it were words.
"""

from __future__ import annotations

from typing import Callable

from .._mxnet import nn, rnn
from ..book.encoder_decoder import Encoder
from ..book.recurrent_layers import num_states
from .recurrent import MaskedStack


class MaskedEncoder(nn.HybridBlock, Encoder):
    """An embedding and recurrent layers that end where the sentence ends.

    Parameters
    ----------
    vocab_size, embed_size, num_hiddens, num_layers : int
        `num_hiddens` is each direction's.
    dropout : float
        Between layers.
    layer : layer class
        See `recurrent`.
    bidirectional : bool
        True: each layer reads the sentence backwards as well, and both directions of a layer are
        two layers of the state.  `Bridge` makes of it what a decoder starts from.

    Inputs:
        - **X**: array of shape (batch_size, num_steps), source token ids.
        - **valid_len**: array of shape (batch_size,), tokens that are not padding.
        - **args**: accepted and not used.

    Outputs:
        - **outputs**: float32 array of shape (num_steps, batch_size, num_directions * num_hiddens),
          time first; 0 at padding.
        - **state**: list of arrays of shape (num_layers * num_directions, batch_size, num_hiddens),
          for an LSTM the hidden state and the memory cell, else the hidden state alone.
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
        return super().forward(X, valid_len)  # a hybridized block warns of unused inputs

    def hybrid_forward(self, F, X, valid_len):
        X = F.np.swapaxes(self.embedding(X), 0, 1)  # (num_steps, batch_size, embed_size)
        return self.rnn(X, valid_len)


class Bridge(nn.HybridBlock, Encoder):
    """An encoder whose state is made to fit a decoder of other sizes.

    Each array of the state, all its layers and directions together, goes through a dense layer into
    the decoder's layers.  Hidden states, which lie between -1 and 1, go through a tanh behind it;
    an LSTM's memory cell doesn't.  (Bahdanau et al. 2015 map the backward direction alone.)

    Parameters
    ----------
    encoder : Encoder
    num_layers, num_hiddens : int
        The decoder's.
    layer : layer class
        Of both, since the arrays of a state are not turned into others.

    Inputs:
        - the encoder's

    Outputs:
        - **outputs**: the encoder's.
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
        self._decoder_sizes = (-2, num_layers, num_hiddens)  # -2: the batch stays what it is
        self.encoder = encoder
        size = num_layers * num_hiddens
        self.hidden = nn.Dense(size, activation='tanh')
        self.memory = nn.Dense(size) if num_states(layer) == 2 else None

    @property
    def embedding(self) -> nn.Embedding:
        """The encoder's."""
        return self.encoder.embedding

    @property
    def reads_padding(self) -> bool:
        """Whether the encoder does."""
        return self.encoder.reads_padding

    def forward(self, X, valid_len, *args):
        return super().forward(X, valid_len)

    def hybrid_forward(self, F, X, valid_len):
        outputs, state = self.encoder(X, valid_len)
        # Dense flattens (batch_size, num_layers, num_hiddens) to (batch_size, all of them).
        mapped = [
            dense(F.np.swapaxes(part, 0, 1))
            for dense, part in zip((self.hidden, self.memory), state)
        ]
        return outputs, [
            F.np.swapaxes(F.npx.reshape(part, self._decoder_sizes), 0, 1) for part in mapped
        ]
