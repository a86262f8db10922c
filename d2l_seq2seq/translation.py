"""Text in, text out, with a trained run."""
from __future__ import annotations

import numpy as onp

from ._mxnet import mx, np
from .checkpoint import Run
from .data import truncate_pad
from .decoders import AttentionDecoder
from .errors import InputError
from .wiring import text_rules


def source_text(run: Run, sentence: str) -> str:
    """A sentence as the run's model was trained to read it, its tokens separated by spaces."""
    return ' '.join(text_rules(run.config.data).src_tokens(' '.join(sentence.split())))


def attention_of(run: Run, source: str, translation: str, ctx: mx.Context) -> onp.ndarray:
    """What the decoder looked at while it wrote a translation.

    Step by step or all at once, an attention decoder computes the same, so the translation is given
    to it as if it were the target.

    Parameters
    ----------
    run : Run
    source, translation : str
        Tokens separated by spaces, as `source_text` and `predict_s2s_ch9` give them.
    ctx : mxnet.Context
        Where the run's model is.

    Returns
    -------
    float32 array of shape (num_target_tokens + 1, num_source_tokens)
        A row for each token of the translation and one for the end, each with a sum of 1.

    Raises
    ------
    InputError
        If the model has no attention.
    """
    check_attention(run)
    num_steps = run.config.data.num_steps
    src_ids = run.src_vocab[source.lower().split(' ')][:num_steps]
    src = np.array([truncate_pad(src_ids, num_steps, run.src_vocab['<pad>'])], ctx=ctx)
    valid_len = np.array([len(src_ids)], ctx=ctx)
    tgt = np.array([run.tgt_vocab[['<bos>', *translation.split()]]], ctx=ctx)
    state = run.model.decoder.init_state(run.model.encoder(src, valid_len), valid_len)
    _, _, weights = run.model.decoder.attend(tgt, state)
    return weights[0, :, :len(src_ids)].asnumpy()


def check_attention(run: Run) -> None:
    """Raise `InputError` unless the run's decoder has attention."""
    if not isinstance(run.model.decoder, AttentionDecoder):
        raise InputError('expected a run with attention, got one without; train one with '
                         '--attention additive, dot or general')
