"""Text in, text out, with a trained run."""
from __future__ import annotations

import numpy as onp

from ._mxnet import mx, np
from .checkpoint import Run
from .data import truncate_pad
from .decoders import AttentionDecoder
from .errors import InputError
from .model import EncoderDecoder
from .vocab import Vocab
from .wiring import text_rules


def source_text(run: Run, sentence: str) -> str:
    """A sentence as the run's model was trained to read it, its tokens separated by spaces."""
    return ' '.join(text_rules(run.config.data).src_tokens(' '.join(sentence.split())))


def attention_of(model: EncoderDecoder, src_sentence: str, translation: str, src_vocab: Vocab,
                 tgt_vocab: Vocab, num_steps: int, ctx: mx.Context) -> onp.ndarray:
    """What the decoder looked at while it wrote a translation.

    Step by step or all at once, an attention decoder computes the same, so the translation is given
    to it as if it were the target.

    Parameters
    ----------
    model : EncoderDecoder
    src_sentence, translation : str
        Tokens separated by spaces: what `predict_s2s_ch9` was given, and what it returned.
    src_vocab, tgt_vocab, num_steps, ctx
        As for `predict_s2s_ch9`.

    Returns
    -------
    float32 array of shape (num_target_tokens + 1, num_source_tokens)
        A row for each token of the translation and one for what comes behind it, each with a sum
        of 1.

    Raises
    ------
    InputError
        If the model has no attention.
    """
    check_attention(model)
    src_ids = src_vocab[src_sentence.lower().split(' ')][:num_steps]
    src = np.array([truncate_pad(src_ids, num_steps, src_vocab['<pad>'])], ctx=ctx)
    valid_len = np.array([len(src_ids)], ctx=ctx)
    tgt = np.array([tgt_vocab[['<bos>', *translation.split()]]], ctx=ctx)
    state = model.decoder.init_state(model.encoder(src, valid_len), valid_len)
    _, _, weights = model.decoder.attend(tgt, state)
    return weights[0, :, :len(src_ids)].asnumpy()


def check_attention(model: EncoderDecoder) -> None:
    """Raise `InputError` unless the model's decoder has attention."""
    if not isinstance(model.decoder, AttentionDecoder):
        raise InputError('expected a model with attention, got one without; train one with '
                         '--attention additive, dot or general')
