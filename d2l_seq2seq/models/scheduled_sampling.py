"""Scheduled sampling: training a decoder that reads its own predictions at some or all steps.

With teacher forcing, the decoder reads the target's tokens in training.  At inference it reads the
tokens that it has predicted itself.  Scheduled sampling (Bengio et al. 2015) is between the two: at
each step it chooses one of the two tokens at random.

The choice is made by a *chooser*, a function of three arguments: F (the operators for arrays or for
symbols), the target's tokens, and the tokens that the decoder predicted, both of shape
(batch_size, 1).  It returns the tokens to read next, of the same shape.
"""

from __future__ import annotations

from typing import Callable

from .._mxnet import operators_of, shape_of
from ..book.encoder_decoder import Decoder, Encoder, EncoderDecoder


class SteppedEncoderDecoder(EncoderDecoder):
    """An encoder and a decoder that runs step by step, with a chooser of its next input.

    The first input is the target's first token, ``<bos>``.  No gradient flows through the choice.

    This class is for training only, because `ScheduledSampling` also draws outside of training.  To
    validate and to translate, use an `EncoderDecoder` of the same encoder and decoder, which has
    the same weights.

    Parameters
    ----------
    encoder : Encoder
    decoder : Decoder
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
                predicted = F.np.argmax(logits[-1], axis=-1).astype('float32')  # (batch_size, 1)
                tokens = self._chooser(F, dec_X[:, step : step + 1], predicted)
            step_logits, state = self.decoder(tokens, state)
            logits.append(step_logits)  # (batch_size, 1, vocab_size)
        return F.np.concatenate(logits, axis=1), state


def teacher_forcing(F, target, predicted):
    """Choose the target's tokens.

    Parameters
    ----------
    F : module
        `mxnet.nd` or `mxnet.sym`.
    target, predicted : array of shape (batch_size,)
        Token ids.

    Returns
    -------
    array of shape (batch_size,)
        The tokens that the decoder reads next.
    """
    return target


def feedback(F, target, predicted):
    """Choose the decoder's own predictions, the most likely tokens, as at inference.

    Parameters
    ----------
    F : module
        `mxnet.nd` or `mxnet.sym`.
    target, predicted : array of shape (batch_size,)
        Token ids.

    Returns
    -------
    array of shape (batch_size,)
        The tokens that the decoder reads next.
    """
    return predicted


class ScheduledSampling:
    """A chooser of the target's token with probability `ratio`, and of the decoder's otherwise.

    It draws for each sentence and step, from MXNet's generator.

    Parameters
    ----------
    ratio : float
        From 0 to 1: 1 is teacher forcing, 0 is feedback.

    Raises
    ------
    ValueError
        If `ratio` is not between 0 and 1.
    """

    def __init__(self, ratio: float):
        if not 0 <= ratio <= 1:
            raise ValueError(f'expected a ratio from 0 to 1, got {ratio}')
        self.ratio = ratio

    def __call__(self, F, target, predicted):
        # In np mode only the classic operator draws on the device of another array.
        draws = F.random.uniform_like(target.as_nd_ndarray()).as_np_ndarray()
        return F.np.where(draws < self.ratio, target, predicted)
