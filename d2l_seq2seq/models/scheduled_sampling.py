"""What the decoder reads next in training: the target's token, its own, or now one, now the other.

Teacher forcing gives it the target's; at inference it gets the one that it produced.  Between the
two lies scheduled sampling (Bengio et al. 2015).  A *chooser* is a function of F (MXNet's arrays or
symbols), the target's tokens and the decoder's own, both of shape (batch_size, 1).
"""

from __future__ import annotations

from typing import Callable

from .._mxnet import operators_of, shape_of
from ..book.encoder_decoder import Decoder, Encoder, EncoderDecoder


def teacher_forcing(F, target, own):
    """The target's token."""
    return target


def feedback(F, target, own):
    """The token that the decoder thinks most likely, as at inference."""
    return own


class ScheduledSampling:
    """The target's token with a probability of `ratio`, drawn for each sentence and step.

    Draws from MXNet's generator.

    Parameters
    ----------
    ratio : float
        1 is teacher forcing, 0 feedback.
    """

    def __init__(self, ratio: float):
        if not 0 <= ratio <= 1:
            raise ValueError(f'expected a ratio from 0 to 1, got {ratio}')
        self.ratio = ratio

    def __call__(self, F, target, own):
        # In np mode only the classic operator draws like another array, on that array's context.
        drawn = F.random.uniform_like(target.as_nd_ndarray()).as_np_ndarray()
        return F.np.where(drawn < self.ratio, target, own)


class SteppedEncoderDecoder(EncoderDecoder):
    """An encoder and a decoder that go step by step, with a chooser of the next input.

    The first input is the target's first token, ``<bos>``.  Choosing has no gradient.  It is a way
    to train: an `EncoderDecoder` of the same encoder and decoder has the same weights, and is what
    to validate and to translate with, since a `ScheduledSampling` draws there as well.

    Parameters
    ----------
    encoder, decoder : Encoder, Decoder
    chooser : Callable
        `teacher_forcing`, `feedback` or a `ScheduledSampling`.

    Inputs:
        - as for `EncoderDecoder`

    Outputs:
        - as for `EncoderDecoder`
    """

    def __init__(self, encoder: Encoder, decoder: Decoder, chooser: Callable, **kwargs):
        super().__init__(encoder, decoder, **kwargs)
        self._chooser = chooser

    def forward(self, enc_X, dec_X, *args):
        enc_outputs = self.encoder(enc_X, *args)
        state = self.decoder.init_state(enc_outputs, *args)
        F = operators_of(dec_X)
        tokens, logits = dec_X[:, :1], []
        for step in range(shape_of(dec_X)[1]):
            if step > 0:
                own = F.np.argmax(logits[-1], axis=-1).astype('float32')  # (batch_size, 1)
                tokens = self._chooser(F, dec_X[:, step : step + 1], own)
            step_logits, state = self.decoder(tokens, state)
            logits.append(step_logits)  # (batch_size, 1, vocab_size)
        return F.np.concatenate(logits, axis=1), state
