"""The chapter as printed: training and greedy prediction of d2l 0.14, sections 9.7.4 and 9.7.5.

This is the executable specification.  Given the same seed and data it does what d2l 0.14.0 does,
operation for operation and so bit for bit, its quirks included; each is explained where it lives.
It is written to be read beside the book, in the book's variables, and is not meant to be fast.  It
stands on d2l's own timer, accumulator and gradient clipping, as the chapter does.
"""
from __future__ import annotations

from typing import Iterable, Iterator

from d2l import mxnet as d2l

from .._mxnet import autograd, gluon, init, mx, np
from ..data.encoding import truncate_pad
from .loss import MaskedSoftmaxCELoss
from .seq2seq import EncoderDecoder
from .animator import Animator
from .vocab import Vocab

SENTENCES = ('Go .', 'Wow !', "I'm OK .", 'I won !')  # what the chapter translates


def s2s_epochs_ch9(model: EncoderDecoder, data_iter: Iterable, lr: float, num_epochs: int,
                   ctx: mx.Context) -> Iterator[tuple[int, d2l.Accumulator, d2l.Timer]]:
    """The loop inside `train_s2s_ch9`, which takes the same arguments: one epoch at a time.

    Yields
    ------
    epoch : int
        From 1.
    metric : d2l.Accumulator
        Sums over the epoch: [0] the book's loss, [1] target labels, [2] negative log-likelihood in
        nats.  ``metric[0] / metric[1]`` is the figure that the book prints.
    timer : d2l.Timer
        Started with the epoch and still running.
    """
    if num_epochs < 1:
        raise ValueError(f'expected num_epochs of at least 1, got {num_epochs}')
    model.initialize(init.Xavier(), force_reinit=True, ctx=ctx)
    trainer = gluon.Trainer(model.collect_params(), 'adam', {'learning_rate': lr})
    loss = MaskedSoftmaxCELoss()
    for epoch in range(1, num_epochs + 1):
        timer = d2l.Timer()
        metric = d2l.Accumulator(3)  # loss_sum, num_tokens, nll_sum
        for batch in data_iter:
            X, X_vlen, Y, Y_vlen = [x.as_in_ctx(ctx) for x in batch]
            Y_input, Y_label, Y_vlen = Y[:, :-1], Y[:, 1:], Y_vlen - 1
            with autograd.record():
                Y_hat, _ = model(X, Y_input, X_vlen, Y_vlen)
                l = loss(Y_hat, Y_label, Y_vlen)  # (batch_size,)
            l.backward()
            # The norm of the summed gradient is clipped to 1, then `step` divides by the number of
            # labels.  Clipping the mean would be the usual thing; Adam hardly sees the scale.
            d2l.grad_clipping(model, 1)
            num_tokens = Y_vlen.sum()
            trainer.step(num_tokens)
            # The loss is a mean over label positions, padding included.  Undoing that mean gives
            # the negative log-likelihood; the book divides the mean by the labels as it stands.
            l_sum = float(l.sum())
            metric.add(l_sum, num_tokens, l_sum * Y_label.shape[1])
        if metric[1] == 0:
            raise ValueError(f'expected batches with target tokens, got none in epoch {epoch}; '
                             'data_iter has to start anew each time it is iterated over, as a '
                             'list does and a generator does not')
        yield epoch, metric, timer


def train_s2s_ch9(model: EncoderDecoder, data_iter: Iterable, lr: float, num_epochs: int,
                  ctx: mx.Context) -> None:
    """Train a sequence-to-sequence model and print the book's line (d2l 0.14, section 9.7.4).

    Parameters
    ----------
    model : EncoderDecoder
        Or any block called in the same way.  It is initialized anew (Xavier).
    data_iter : iterable of four arrays
        As `load_data_nmt` gives them: source ids (batch_size, num_steps), source valid lengths
        (batch_size,), target ids (batch_size, num_steps) between ``<bos>`` and ``<eos>``, target
        valid lengths (batch_size,).  One pass is an epoch.
    lr : float
        Adam's learning rate.
    num_epochs : int
        Every tenth gives a point of the plot.
    ctx : mxnet.Context
        Where to train; batches are brought there.

    Raises
    ------
    ValueError
        If `num_epochs` is below 1, or an epoch brings no target token.

    Notes
    -----
    The printed loss is the masked loss of `MaskedSoftmaxCELoss` summed over sentences and divided
    by the number of target labels, so it is the negative log-likelihood per token divided by
    `num_steps` - 1 once more (0.026 is 0.234 nats per token).  The speed counts target labels only
    and is the last epoch's, a redraw of the plot included.
    """
    animator = Animator(xlabel='epoch', ylabel='loss', xlim=[1, num_epochs], ylim=[0, 0.25])
    for epoch, metric, timer in s2s_epochs_ch9(model, data_iter, lr, num_epochs, ctx):
        if epoch % 10 == 0:
            animator.add(epoch, (metric[0] / metric[1],))
    seconds = timer.stop()
    animator.close()
    print(f'loss {metric[0] / metric[1]:.3f}, {metric[1] / seconds:.1f} '
          f'tokens/sec on {str(ctx)}')


def predict_s2s_ch9(model: EncoderDecoder, src_sentence: str, src_vocab: Vocab, tgt_vocab: Vocab,
                    num_steps: int, ctx: mx.Context) -> str:
    """Translate one sentence greedily (d2l 0.14, section 9.7.5).

    Parameters
    ----------
    model : EncoderDecoder
    src_sentence : str
        Its tokens separated by spaces, punctuation too: ``Go .``
    src_vocab, tgt_vocab : Vocab
    num_steps : int
        Tokens that the sentence is cut or padded to, and the most tokens that come out.  Give the
        number that the model was trained with: the encoder reads the padding.
    ctx : mxnet.Context
        Where the model is.

    Returns
    -------
    str
        The tokens with spaces between them, without ``<bos>`` and ``<eos>``.

    Notes
    -----
    Quirks of the chapter: the sentence is lower-cased, but its punctuation is not split off, so
    ``Go.`` is one unknown token (`preprocess_nmt` splits it); a longer sentence is cut without a
    word.
    """
    src_tokens = src_vocab[src_sentence.lower().split(' ')]
    enc_valid_len = np.array([min(len(src_tokens), num_steps)], ctx=ctx)
    src_tokens = truncate_pad(src_tokens, num_steps, src_vocab['<pad>'])
    enc_X = np.expand_dims(np.array(src_tokens, ctx=ctx), axis=0)  # (1, num_steps)
    enc_outputs = model.encoder(enc_X, enc_valid_len)
    dec_state = model.decoder.init_state(enc_outputs, enc_valid_len)
    dec_X = np.array([[tgt_vocab['<bos>']]], ctx=ctx)  # (1, 1)
    predict_tokens = []
    for _ in range(num_steps):
        Y, dec_state = model.decoder(dec_X, dec_state)  # (1, 1, vocab_size)
        dec_X = Y.argmax(axis=2)  # the likeliest token is what the decoder reads next
        py = int(dec_X.item())
        if py == tgt_vocab['<eos>']:
            break
        predict_tokens.append(py)
    return ' '.join(tgt_vocab.to_tokens(predict_tokens))
