"""The masked softmax cross-entropy of d2l 0.14, section 9.7.3."""
from __future__ import annotations

import numpy as onp

from ._mxnet import gluon, mx


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


def cross_entropy_and_gradient(shape: tuple[int, int]) -> mx.sym.Symbol:
    """Softmax cross-entropy with its gradient written down: softmax minus one-hot.

    Autograd would go back through the logarithm and the choice of labels, over arrays as large as
    the logits at each step; the gradient is the probabilities with 1 taken off at the label.

    Parameters
    ----------
    shape : (int, int)
        (num_rows, vocab_size) of the logits.

    Returns
    -------
    symbol of the inputs, in this order,
        - logits : float32 array of shape (num_rows, vocab_size)
        - label_index : float32 array of shape (2, num_rows), the rows' numbers and their labels
        - row_weight : float32 array of shape (num_rows,), 0 keeps a row out of the sum
    with the outputs
        - nll_sum : float32 array of shape (1,), in nats; a label of a probability below 1.2e-38
          counts as 87.3 nats
        - gradient : float32 array of shape (num_rows, vocab_size), of the sum of all rows' losses
          with respect to the logits, whatever their weight: the caller clears the others' rows
    """
    logits, label_index, row_weight = map(mx.sym.var, ('logits', 'label_index', 'row_weight'))
    probs = mx.sym.softmax(logits)
    label_probs = mx.sym.gather_nd(probs, label_index)  # (num_rows,)
    log_probs = mx.sym.log(mx.sym.maximum(label_probs, float(onp.finfo('float32').tiny)))
    nll_sum = -mx.sym.sum(log_probs * row_weight)
    # Sets the places of the labels, in the memory of `probs` itself where MXNet can arrange it.
    gradient = mx.sym._internal._scatter_set_nd(probs, label_probs - 1, label_index, shape=shape)
    # MXNet wants a gradient for every operator, and setting places has none: both end here.
    return mx.sym.Group([mx.sym.BlockGrad(nll_sum), mx.sym.BlockGrad(gradient)])
