"""The encoder-decoder architecture (d2l 0.14, section 9.6).

`Encoder`, `Decoder` and `EncoderDecoder` are the interface that training and prediction rely on.
Your own encoder and decoder work with both if they define the methods below.
"""

from __future__ import annotations

from .._mxnet import nn


class Encoder(nn.Block):
    """The interface of encoders: a source sequence becomes outputs and a state (section 9.6.1).

    A subclass defines ``forward(X, *args)``.  Its result is passed to `Decoder.init_state`
    unchanged, so the encoder and its decoder must agree on its form.

    Inputs:
        - **X**: array of shape (batch_size, num_steps), source token ids.
        - **args**: the source valid lengths of shape (batch_size,), for encoders that use them.
    """

    def forward(self, X, *args):
        raise NotImplementedError(f'{type(self).__name__} must define forward(X, *args)')


class Decoder(nn.Block):
    """The interface of decoders: target tokens and a state become logits (section 9.6.2).

    A subclass defines ``init_state(enc_outputs, *args)`` and ``forward(X, state)``.

    Inputs:
        - **X**: array of shape (batch_size, num_steps), target token ids.  When decoding token by
          token, `num_steps` is 1.
        - **state**: the result of `init_state`, or the state that the previous call returned.

    Outputs:
        - **logits**: array of shape (batch_size, num_steps, vocab_size).
        - **state**: the state after the last step.
    """

    def init_state(self, enc_outputs, *args):
        """Return the initial state.

        Parameters
        ----------
        enc_outputs
            The encoder's result.
        args
            The source valid lengths of shape (batch_size,), for decoders that use them.
        """
        raise NotImplementedError(
            f'{type(self).__name__} must define init_state(enc_outputs, *args)'
        )

    def forward(self, X, state):
        raise NotImplementedError(f'{type(self).__name__} must define forward(X, state)')


class EncoderDecoder(nn.Block):
    """An encoder and a decoder combined for teacher forcing (section 9.6.3).

    Parameters
    ----------
    encoder : Encoder
    decoder : Decoder

    Inputs:
        - **enc_X**: array of shape (batch_size, num_src_steps), source token ids.
        - **dec_X**: array of shape (batch_size, num_tgt_steps), the decoder's input tokens:
          ``<bos>`` and all target tokens except the last.
        - **args**: passed to both `Encoder.forward` and `Decoder.init_state`.  The chapter passes
          the source and target valid lengths.

    Outputs:
        - **logits**: array of shape (batch_size, num_tgt_steps, vocab_size).
        - **state**: the decoder's state after the last step.
    """

    def __init__(self, encoder: Encoder, decoder: Decoder, **kwargs):
        super().__init__(**kwargs)
        self.encoder = encoder
        self.decoder = decoder

    def forward(self, enc_X, dec_X, *args):
        enc_outputs = self.encoder(enc_X, *args)
        dec_state = self.decoder.init_state(enc_outputs, *args)
        return self.decoder(dec_X, dec_state)
