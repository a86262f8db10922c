"""The encoder-decoder architecture and the chapter's LSTM encoder and decoder.

Sections 9.6 and 9.7 of d2l 0.14.  `Encoder`, `Decoder` and `EncoderDecoder` are the interface
that training and prediction rely on: a model of yours that keeps to it works with both.  Here is
no text, no loss and no training.

Initialisation is part of being faithful: the layers infer their input sizes at the first forward
pass, as the chapter's do, because weights of known shape would be drawn earlier, in another order,
and the same seed would no longer give the book's model.
"""

from __future__ import annotations

from typing import Callable, Iterable, Iterator

from d2l import mxnet as d2l

from .._mxnet import autograd, gluon, init, mx, nn, np, rnn
from .animator import Animator
from .encoder_decoder import Decoder, Encoder, EncoderDecoder
from .machine_translation import truncate_pad
from .recurrent_layers import check_state, num_states, reorder_state, stacked, zero_state
from .vocab import Vocab


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

    def __init__(
        self,
        vocab_size: int,
        embed_size: int,
        num_hiddens: int,
        num_layers: int,
        dropout: float = 0,
        *,
        layer: Callable = rnn.LSTM,
        **kwargs,
    ):
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

    def __init__(
        self,
        vocab_size: int,
        embed_size: int,
        num_hiddens: int,
        num_layers: int,
        dropout: float = 0,
        *,
        layer: Callable = rnn.LSTM,
        **kwargs,
    ):
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
        return reorder_state(state, rows)

    def hybrid_forward(self, F, X, state):
        X = F.np.swapaxes(self.embedding(X), 0, 1)  # (num_steps, batch_size, embed_size)
        outputs, state = self.rnn(X, state)  # (num_steps, batch_size, num_hiddens)
        logits = F.np.swapaxes(self.dense(outputs), 0, 1)  # (batch_size, num_steps, vocab_size)
        return logits, state


class MaskedSoftmaxCELoss(gluon.loss.SoftmaxCELoss):
    """Softmax cross-entropy that leaves padding out of the sum, but not out of the mean.

    A label counts when its position is below its sentence's valid length.  `npx.sequence_mask`
    turns the lengths into weights of one and zero for Gluon's own loss.

    Inputs:
        - **pred**: float32 array of shape (batch_size, num_steps, vocab_size), the logits.
        - **label**: array of shape (batch_size, num_steps), token ids.
        - **valid_len**: array of shape (batch_size,), the number of labels that count.

    Outputs:
        - **loss**: float32 array of shape (batch_size,), natural logarithms.

    Notes
    -----
    Gluon's loss divides each sentence's sum by `num_steps`, the masked positions included.  One
    would expect a division by the valid length.  The chapter trains with it, and prints the sum
    over sentences divided by the number of labels that count, so this is kept; to have the honest
    figure, multiply the loss by `num_steps` (0.026 at 9 positions is 0.234 nats per token).

    Examples
    --------
    Three equal sentences over 10 words with 4, 2 and 0 valid labels of 4, all words equally
    likely: ln 10 times 4/4, 2/4 and 0/4.

    >>> from mxnet import np
    >>> losses = MaskedSoftmaxCELoss()(np.ones((3, 4, 10)), np.ones((3, 4)), np.array([4, 2, 0]))
    >>> [round(loss, 4) for loss in losses.asnumpy().tolist()]
    [2.3026, 1.1513, 0.0]
    """

    def hybrid_forward(self, F, pred, label, valid_len):
        weights = F.np.expand_dims(F.np.ones_like(label), axis=-1)  # (batch_size, num_steps, 1)
        weights = F.npx.sequence_mask(weights, valid_len, True, axis=1)
        return super().hybrid_forward(F, pred, label, weights)


SENTENCES = ('Go .', 'Wow !', "I'm OK .", 'I won !')  # what the chapter translates


def s2s_epochs_ch9(
    model: EncoderDecoder, data_iter: Iterable, lr: float, num_epochs: int, ctx: mx.Context
) -> Iterator[tuple[int, d2l.Accumulator, d2l.Timer]]:
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
            raise ValueError(
                f'expected batches with target tokens, got none in epoch {epoch}; '
                'data_iter has to start anew each time it is iterated over, as a '
                'list does and a generator does not'
            )
        yield epoch, metric, timer


def train_s2s_ch9(
    model: EncoderDecoder, data_iter: Iterable, lr: float, num_epochs: int, ctx: mx.Context
) -> None:
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
    print(f'loss {metric[0] / metric[1]:.3f}, {metric[1] / seconds:.1f} tokens/sec on {str(ctx)}')


def predict_s2s_ch9(
    model: EncoderDecoder,
    src_sentence: str,
    src_vocab: Vocab,
    tgt_vocab: Vocab,
    num_steps: int,
    ctx: mx.Context,
) -> str:
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
