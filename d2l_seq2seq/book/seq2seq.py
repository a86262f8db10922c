"""The encoder-decoder architecture and the chapter's LSTM encoder and decoder.

Sections 9.6 and 9.7 of d2l 0.14.  `Encoder`, `Decoder` and `EncoderDecoder` are the interface
that training and prediction rely on: a model of yours that keeps to it works with both.  Here is
no text, no loss and no training.

Initialisation is part of being faithful: the layers infer their input sizes at the first forward
pass, as the chapter's do, because weights of known shape would be drawn earlier, in another order,
and the same seed would no longer give the book's model.
"""
from __future__ import annotations

from typing import Callable

from .._mxnet import init, nn, np, rnn, use_np
from ..models.recurrent import num_states, reordered, stacked, zero_state


class Encoder(nn.Block):
    """Turns a source sequence into whatever its decoder needs (d2l 0.14, section 9.6.1).

    Inputs:
        - **X**: array of shape (batch_size, num_steps), source token ids.
        - **args**: the source valid lengths of shape (batch_size,), for encoders that use them.

    Attributes
    ----------
    reads_padding : bool
        True: how far a sentence is padded changes what comes out, so it has to be padded in
        prediction as in training.
    """

    reads_padding = True

    def forward(self, X, *args):
        raise NotImplementedError(f'{type(self).__name__} has to define forward(X, *args)')


class Decoder(nn.Block):
    """Turns target tokens and a state into logits and the next state (d2l 0.14, section 9.6.2).

    Inputs:
        - **X**: array of shape (batch_size, num_steps), target token ids; one step when decoding
          token by token.
        - **state**: what `init_state` or the previous call returned.

    Outputs:
        - **logits**: array of shape (batch_size, num_steps, vocab_size).
        - **state**: the state after the last step.
    """

    def init_state(self, enc_outputs, *args):
        """The first state, from the encoder's outputs (and the source valid lengths)."""
        raise NotImplementedError(
            f'{type(self).__name__} has to define init_state(enc_outputs, *args)')

    def forward(self, X, state):
        raise NotImplementedError(f'{type(self).__name__} has to define forward(X, state)')

    def reorder(self, state, rows):
        """The state in which row i is what row ``rows[i]`` was; a beam search asks for it.

        Both rows are of the same source sentence, so what depends on the source alone stays.

        Parameters
        ----------
        state
            What a call returned.
        rows : float32 array of shape (batch_size,)
        """
        raise NotImplementedError(
            f'{type(self).__name__} has to define reorder(state, rows) for a beam search')


class EncoderDecoder(nn.Block):
    """An encoder and a decoder joined for teacher forcing (d2l 0.14, section 9.6.3).

    Inputs:
        - **enc_X**: array of shape (batch_size, num_src_steps), source token ids.
        - **dec_X**: array of shape (batch_size, num_tgt_steps), the target tokens that the decoder
          reads: ``<bos>`` and all target tokens but the last.
        - **args**: handed to both `Encoder.forward` and `Decoder.init_state`; the chapter passes
          the source and target valid lengths.

    Outputs:
        - What the decoder returns: logits of shape (batch_size, num_tgt_steps, vocab_size) and the
          last state.
    """

    def __init__(self, encoder: Encoder, decoder: Decoder, **kwargs):
        super().__init__(**kwargs)
        self.encoder = encoder
        self.decoder = decoder

    def forward(self, enc_X, dec_X, *args):
        enc_outputs = self.encoder(enc_X, *args)
        dec_state = self.decoder.init_state(enc_outputs, *args)
        return self.decoder(dec_X, dec_state)


class Seq2SeqEncoder(nn.HybridBlock, Encoder):
    """An embedding and a multi-layer LSTM (d2l 0.14, section 9.7.1, Eq. (9.7.1)).

    The context c of Eq. (9.7.2) is the state after the last step.

    Parameters
    ----------
    vocab_size, embed_size, num_hiddens, num_layers : int
    dropout : float
        Between the recurrent layers.
    layer : layer class
        What to take in place of the LSTM; see `recurrent`.

    Inputs:
        - **X**: array of shape (batch_size, num_steps), source token ids.
        - **args**: accepted and not used.

    Outputs:
        - **outputs**: float32 array of shape (num_steps, batch_size, num_hiddens), time first: the
          top layer's hidden state at every step.
        - **state**: list of the hidden state and the memory cell after the last step, each of shape
          (num_layers, batch_size, num_hiddens).  A GRU has no memory cell: its list has one array.

    Notes
    -----
    The LSTM reads the padding too, so a sentence's state depends on how far it is padded.  The
    chapter trains and predicts with all sentences padded to the same `num_steps`; so must you.
    """

    def __init__(self, vocab_size: int, embed_size: int, num_hiddens: int, num_layers: int,
                 dropout: float = 0, *, layer: Callable = rnn.LSTM, **kwargs):
        super().__init__(**kwargs)
        self._state_sizes = num_states(layer), num_layers, num_hiddens
        self.embedding = nn.Embedding(vocab_size, embed_size)
        self.rnn = stacked(layer, num_hiddens, num_layers, dropout)

    def forward(self, X, *args):
        return super().forward(X)  # a hybridized block warns of inputs that it doesn't use

    def hybrid_forward(self, F, X):
        X = F.np.swapaxes(self.embedding(X), 0, 1)  # (num_steps, batch_size, embed_size)
        return self.rnn(X, zero_state(F, X, *self._state_sizes))


class Seq2SeqDecoder(nn.HybridBlock, Decoder):
    """An embedding, a multi-layer LSTM and a dense layer over the words (d2l 0.14, section 9.7.2).

    The encoder's last state starts the LSTM, so both need the same `num_layers` and `num_hiddens`.
    Eq. (9.7.4) has the context c at every step as well; the chapter's code, and so this class,
    gives it at the start only.

    Parameters
    ----------
    vocab_size, embed_size, num_hiddens, num_layers : int
    dropout : float
        Between the recurrent layers.
    layer : layer class
        What to take in place of the LSTM; see `recurrent`.

    Inputs:
        - **X**: array of shape (batch_size, num_steps), target token ids.
        - **state**: list of hidden state and memory cell, each of shape (num_layers, batch_size,
          num_hiddens); for a GRU of the hidden state alone.

    Outputs:
        - **logits**: float32 array of shape (batch_size, num_steps, vocab_size).
        - **state**: as the input, after the last step.
    """

    def __init__(self, vocab_size: int, embed_size: int, num_hiddens: int, num_layers: int,
                 dropout: float = 0, *, layer: Callable = rnn.LSTM, **kwargs):
        super().__init__(**kwargs)
        self._state_sizes = num_states(layer), num_layers, num_hiddens
        self.embedding = nn.Embedding(vocab_size, embed_size)
        self.rnn = stacked(layer, num_hiddens, num_layers, dropout)
        self.dense = nn.Dense(vocab_size, flatten=False)

    def init_state(self, enc_outputs, *args):
        """The encoder's state after its last step."""
        return check_state(enc_outputs[1], *self._state_sizes)

    def reorder(self, state, rows):
        """See `Decoder.reorder`."""
        return reordered(state, rows)

    def hybrid_forward(self, F, X, state):
        X = F.np.swapaxes(self.embedding(X), 0, 1)  # (num_steps, batch_size, embed_size)
        outputs, state = self.rnn(X, state)  # (num_steps, batch_size, num_hiddens)
        logits = F.np.swapaxes(self.dense(outputs), 0, 1)  # (batch_size, num_steps, vocab_size)
        return logits, state


@use_np
def initialize(model: EncoderDecoder, ctx, initializer: init.Initializer | None = None) -> None:
    """Draw the weights as the chapter does (Xavier) and in its order, with a plain forward pass.

    Hybridizing first, or giving the layers their input sizes, would draw in another order, and the
    same seed would give another model.

    Parameters
    ----------
    model : EncoderDecoder
        Weights that it has already are drawn anew.
    ctx : mxnet.Context
    initializer : Initializer, optional
        Xavier by default.
    """
    model.initialize(initializer or init.Xavier(), force_reinit=True, ctx=ctx)
    two_tokens = np.zeros((1, 2), ctx=ctx)
    one_length = np.ones((1,), ctx=ctx)
    model(two_tokens, two_tokens, one_length, one_length)


def check_state(state: list, num_states: int, num_layers: int, num_hiddens: int) -> list:
    """A state that a decoder of these sizes can start from, as it is.

    Raises
    ------
    ValueError
        If it has other sizes, or another number of arrays.  Symbols have no sizes to be looked at.
    """
    if isinstance(state[0], np.ndarray):
        found = len(state), state[0].shape[0], state[0].shape[2]
        if found != (num_states, num_layers, num_hiddens):
            raise ValueError(
                f'expected an encoder whose state has {num_states} arrays of {num_layers} layers '
                f'and {num_hiddens} units, like the decoder, got {found[0]} of {found[1]} layers '
                f'and {found[2]} units; encoders.Bridge makes other layers and units fit')
    return state


def share_embedding(model: EncoderDecoder) -> None:
    """Let both sides read with the encoder's embedding; they have to have the same vocabulary.

    Raises
    ------
    ValueError
        If the decoder's embedding is tied to its output already: share first, then tie.
    """
    if model.decoder.dense.weight is model.decoder.embedding.weight:
        raise ValueError('expected a decoder without a tied output; call share_embedding before '
                         'tie_output')
    model.decoder.embedding = model.encoder.embedding


def tie_output(decoder: Decoder) -> None:
    """Let the dense layer's weight be the embedding's (Press and Wolf 2017).

    The decoder is one of the package's, not yet initialized; an embedding to be shared has to be
    shared before.

    Raises
    ------
    ValueError
        If what goes into the dense layer isn't as large as a word vector.
    """
    vocab_size, embed_size = decoder.embedding.weight.shape
    num_hiddens = decoder._state_sizes[-1]
    if embed_size != num_hiddens:
        raise ValueError(f'expected an embed_size equal to num_hiddens, got {embed_size} and '
                         f'{num_hiddens}; a tied output needs them equal')
    decoder.dense = nn.Dense(vocab_size, flatten=False, in_units=num_hiddens,
                             params=decoder.embedding.params)
