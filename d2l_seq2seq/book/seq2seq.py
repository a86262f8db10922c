"""Sequence to sequence (d2l 0.14, section 9.7): encoder, decoder, loss, training, prediction.

This file is the specification of the section.  With the same seed and data it performs the same
operations in the same order as d2l 0.14.0, so the results are the same bit for bit.  It keeps the
chapter's quirks, and explains each of them where it occurs.  It is written to be read next to the
book and uses the book's variable names; it is not meant to be fast.  `engine.fit` trains these
blocks, or your changed copies of them, faster.

The order of the random draws is part of the specification.  The layers infer their input sizes
during the first forward pass, as the chapter's layers do.  Weights of known shape would be drawn
earlier and in another order, and the same seed would no longer give the book's model.
"""

from __future__ import annotations

from typing import Callable, Iterable

from .. import book as d2l  # for the helpers that are d2l's own, which load on first use
from .._mxnet import autograd, gluon, init, mx, nn, np, npx, rnn
from .animator import Animator
from .encoder_decoder import Decoder, Encoder, EncoderDecoder
from .machine_translation import truncate_pad
from .vocab import Vocab

SENTENCES = ('Go .', 'Wow !', "I'm OK .", 'I won !')  # the sentences that the chapter translates


class Seq2SeqEncoder(Encoder):
    """An embedding and a multi-layer LSTM (section 9.7.1, Eq. (9.7.1)).

    The context c of Eq. (9.7.2) is the state after the last step.

    Parameters
    ----------
    vocab_size, embed_size, num_hiddens, num_layers : int
    dropout : float
        Dropout probability between the layers of the LSTM.

    Inputs:
        - **X**: array of shape (batch_size, num_steps), source token ids.
        - **args**: ignored.

    Outputs:
        - **outputs**: float32 array of shape (num_steps, batch_size, num_hiddens), time-major: the
          hidden state of the top layer at every step.
        - **state**: list of the hidden state and the memory cell after the last step, each of shape
          (num_layers, batch_size, num_hiddens).

    Notes
    -----
    The LSTM also reads the padding, so the state of a sentence depends on the amount of padding.
    The chapter pads all sentences to the same `num_steps` in training and in prediction, and you
    must do the same.

    MXNet 1.9.1 ignores the dropout of its LSTM on a CPU.  `models.encoders.Seq2SeqEncoder` applies
    it there as well.
    """

    def __init__(
        self,
        vocab_size: int,
        embed_size: int,
        num_hiddens: int,
        num_layers: int,
        dropout: float = 0,
        **kwargs,
    ):
        super().__init__(**kwargs)
        self.embedding = nn.Embedding(vocab_size, embed_size)
        self.rnn = rnn.LSTM(num_hiddens, num_layers, dropout=dropout)

    def forward(self, X, *args):
        X = self.embedding(X).swapaxes(0, 1)  # (num_steps, batch_size, embed_size)
        state = self.rnn.begin_state(batch_size=X.shape[1], ctx=X.ctx)
        outputs, state = self.rnn(X, state)
        # outputs: (num_steps, batch_size, num_hiddens)
        # state: the hidden state and the memory cell, each (num_layers, batch_size, num_hiddens)
        return outputs, state


class Seq2SeqDecoder(Decoder):
    """An embedding, a multi-layer LSTM and a dense output layer (section 9.7.2).

    The LSTM starts from the encoder's last state, so both need the same `num_layers` and
    `num_hiddens`.

    Parameters
    ----------
    vocab_size, embed_size, num_hiddens, num_layers : int
    dropout : float
        Dropout probability between the layers of the LSTM; ignored on a CPU, as in the encoder.

    Inputs:
        - **X**: array of shape (batch_size, num_steps), target token ids.
        - **state**: list of the hidden state and the memory cell, each of shape (num_layers,
          batch_size, num_hiddens).

    Outputs:
        - **logits**: float32 array of shape (batch_size, num_steps, vocab_size).
        - **state**: the state after the last step, in the same form as the input.

    Notes
    -----
    In Eq. (9.7.4) the decoder also reads the context c at every step.  In the chapter's code, and
    so in this class, the context is only the initial state.
    """

    def __init__(
        self,
        vocab_size: int,
        embed_size: int,
        num_hiddens: int,
        num_layers: int,
        dropout: float = 0,
        **kwargs,
    ):
        super().__init__(**kwargs)
        self.embedding = nn.Embedding(vocab_size, embed_size)
        self.rnn = rnn.LSTM(num_hiddens, num_layers, dropout=dropout)
        self.dense = nn.Dense(vocab_size, flatten=False)

    def init_state(self, enc_outputs, *args):
        """Return the encoder's state after its last step."""
        return enc_outputs[1]

    def forward(self, X, state):
        X = self.embedding(X).swapaxes(0, 1)  # (num_steps, batch_size, embed_size)
        outputs, state = self.rnn(X, state)  # (num_steps, batch_size, num_hiddens)
        logits = self.dense(outputs).swapaxes(0, 1)  # (batch_size, num_steps, vocab_size)
        return logits, state


class MaskedSoftmaxCELoss(gluon.loss.SoftmaxCELoss):
    """Softmax cross-entropy without the padding (section 9.7.3).

    A label counts if its position is below the valid length of its sentence.  `npx.sequence_mask`
    converts the valid lengths to weights of one and zero, which Gluon's loss multiplies with the
    losses of the labels.

    Inputs:
        - **pred**: float32 array of shape (batch_size, num_steps, vocab_size), the logits.
        - **label**: array of shape (batch_size, num_steps), token ids.
        - **valid_len**: array of shape (batch_size,), the number of labels that count.

    Outputs:
        - **loss**: float32 array of shape (batch_size,): the mean over all positions, in nats.

    Notes
    -----
    Gluon's loss divides the sum of each sentence by `num_steps`, which includes the masked
    positions.  One would expect a division by the valid length.  The division is kept because the
    chapter trains with it and prints the sum over sentences divided by the number of labels that
    count.  To convert a printed loss to nats per token, multiply it by `num_steps`: 0.026 with 9
    positions is 0.234 nats per token.

    Examples
    --------
    Three sentences over 10 equally likely tokens, of which 4, 2 and 0 of 4 labels count.  The
    losses are ln 10 times 4/4, 2/4 and 0/4.

    >>> from mxnet import np
    >>> losses = MaskedSoftmaxCELoss()(np.ones((3, 4, 10)), np.ones((3, 4)), np.array([4, 2, 0]))
    >>> [round(loss, 4) for loss in losses.asnumpy().tolist()]
    [2.3026, 1.1513, 0.0]
    """

    def forward(self, pred, label, valid_len):
        weights = np.expand_dims(np.ones_like(label), axis=-1)  # (batch_size, num_steps, 1)
        weights = npx.sequence_mask(weights, valid_len, True, axis=1)
        return super().forward(pred, label, weights)


def train_s2s_ch9(
    model: EncoderDecoder,
    data_iter: Iterable,
    lr: float,
    num_epochs: int,
    ctx: mx.Context,
    *,
    on_epoch_end: Callable[[int, float, float], None] = lambda epoch, loss_sum, num_tokens: None,
) -> None:
    """Train a sequence-to-sequence model (section 9.7.4).

    The loss is plotted every tenth epoch.  The loss and the speed of the last epoch are printed.

    Parameters
    ----------
    model : EncoderDecoder
        The model, or any block with the same inputs and outputs.  Its parameters are initialized
        (Xavier), even if they have values already.
    data_iter : iterable of batches
        Each batch has four arrays, as from `load_data_nmt`: source ids of shape (batch_size,
        num_steps), source valid lengths of shape (batch_size,), target ids of shape (batch_size,
        num_steps) from ``<bos>`` to ``<eos>``, and target valid lengths of shape (batch_size,).
        One pass is one epoch.
    lr : float
        Learning rate of Adam.
    num_epochs : int
        Number of epochs.
    ctx : mxnet.Context
        Device to train on.  The batches are copied to it.
    on_epoch_end : Callable
        Called after each epoch with the number of the epoch, from 1, the sum of
        `MaskedSoftmaxCELoss` over the epoch, and the number of target labels.  The book's function
        does not have this argument.

    Raises
    ------
    ValueError
        If `num_epochs` is less than 1, or an epoch has no target tokens.

    Notes
    -----
    The printed loss is the sum of `MaskedSoftmaxCELoss` over sentences, divided by the number of
    target labels.  Since `MaskedSoftmaxCELoss` is already a mean over `num_steps` - 1 positions,
    the printed loss is the negative log-likelihood per token divided by `num_steps` - 1: with
    `num_steps` = 10, a printed 0.026 is 0.234 nats per token.

    The printed speed is in target labels per second.  It is measured over the last epoch,
    including the time of a plot update.
    """
    if num_epochs < 1:
        raise ValueError(f'expected num_epochs of at least 1, got {num_epochs}')
    model.initialize(init.Xavier(), force_reinit=True, ctx=ctx)
    trainer = gluon.Trainer(model.collect_params(), 'adam', {'learning_rate': lr})
    loss = MaskedSoftmaxCELoss()
    animator = Animator(xlabel='epoch', ylabel='loss', xlim=[1, num_epochs], ylim=[0, 0.25])
    for epoch in range(1, num_epochs + 1):
        timer = d2l.Timer()
        metric = d2l.Accumulator(2)  # loss_sum, num_tokens
        for batch in data_iter:
            X, X_vlen, Y, Y_vlen = [x.as_in_ctx(ctx) for x in batch]
            Y_input, Y_label, Y_vlen = Y[:, :-1], Y[:, 1:], Y_vlen - 1
            with autograd.record():
                Y_hat, _ = model(X, Y_input, X_vlen, Y_vlen)
                l = loss(Y_hat, Y_label, Y_vlen)  # (batch_size,)
            l.backward()
            # This clips the norm of the summed gradient to 1, and `step` then divides by the number
            # of labels.  It is more usual to clip the mean gradient.  With Adam it makes little
            # difference, because Adam is almost invariant to the scale of the gradient.
            d2l.grad_clipping(model, 1)
            num_tokens = Y_vlen.sum()
            trainer.step(num_tokens)
            metric.add(l.sum(), num_tokens)
        if metric[1] == 0:
            raise ValueError(
                f'expected batches with target tokens, got none in epoch {epoch}; '
                'data_iter must restart each time it is iterated over, as a list does and a '
                'generator does not'
            )
        if epoch % 10 == 0:
            animator.add(epoch, (metric[0] / metric[1],))
        on_epoch_end(epoch, metric[0], metric[1])
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
    """Translate a sentence with greedy search (section 9.7.5).

    Parameters
    ----------
    model : EncoderDecoder
    src_sentence : str
        The sentence, with a space before each punctuation mark: ``Go .``
    src_vocab, tgt_vocab : Vocab
    num_steps : int
        Length that the source sentence is cut or padded to, and the maximum number of tokens in the
        translation.  Use the value that the model was trained with, because the encoder reads the
        padding.
    ctx : mxnet.Context
        Device of the model.

    Returns
    -------
    str
        The tokens of the translation joined by spaces, without ``<bos>`` and ``<eos>``.

    Notes
    -----
    The sentence is lower-cased but otherwise not preprocessed, as in the chapter: ``Go.`` is one
    unknown token.  Apply `preprocess_nmt` first to separate the punctuation.  A sentence of more
    than `num_steps` tokens is cut without a warning.
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
        dec_X = Y.argmax(axis=2)  # (1, 1), the most likely token, is the next input
        py = int(dec_X.item())
        if py == tgt_vocab['<eos>']:
            break
        predict_tokens.append(py)
    return ' '.join(tgt_vocab.to_tokens(predict_tokens))
