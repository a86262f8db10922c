"""book.encoder_decoder."""

from __future__ import annotations

from .._mxnet import nn


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
            f'{type(self).__name__} has to define init_state(enc_outputs, *args)'
        )

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
            f'{type(self).__name__} has to define reorder(state, rows) for a beam search'
        )


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
