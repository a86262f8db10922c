"""The masked softmax cross-entropy of d2l 0.14, section 9.7.3."""
from __future__ import annotations

import numpy as onp

from .._mxnet import gluon, mx


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


def cross_entropy_of_rows() -> mx.sym.Symbol:
    """Softmax cross-entropy over rows, with what its gradient is made of.

    Autograd would go back through the logarithm and the choice of labels, over arrays as large as
    the logits at each step.  The gradient of a row's loss is known: its probabilities, with 1 taken
    off at the label; `logits_gradient` makes it of the outputs.

    Returns
    -------
    symbol of the inputs, in this order,
        - logits : float32 array of shape (num_rows, vocab_size)
        - label_index : float32 array of shape (2, num_rows), the rows' numbers and their labels
        - row_weight : float32 array of shape (num_rows,), 0 keeps a row out of the sum
    with the outputs
        - nll_sum : float32 array of shape (1,), in nats; a label of a probability below 1.2e-38
          counts as 87.3 nats
        - probs : float32 array of shape (num_rows, vocab_size)
        - label_probs : float32 array of shape (num_rows,), those of the labels
    """
    logits, label_index, row_weight = map(mx.sym.var, ('logits', 'label_index', 'row_weight'))
    probs = mx.sym.softmax(logits)
    label_probs = mx.sym.gather_nd(probs, label_index)
    log_probs = mx.sym.log(mx.sym.maximum(label_probs, float(onp.finfo('float32').tiny)))
    return mx.sym.Group([-mx.sym.sum(log_probs * row_weight), probs, label_probs])


def logits_gradient(probs: mx.nd.NDArray, label_probs: mx.nd.NDArray, label_index: mx.nd.NDArray,
                    num_tokens: int, label_smoothing: float = 0.0) -> mx.nd.NDArray:
    """The gradient of `nll_sum` with respect to the logits, in the memory of `probs`.

    The arrays are those of `cross_entropy_of_rows`; the first `num_tokens` rows count.  With label
    smoothing (Szegedy et al. 2016, section 7) it is the gradient of the cross-entropy with a target
    that has that share spread evenly over the vocabulary.
    """
    on_label = label_probs - 1
    if label_smoothing > 0:
        evenly = label_smoothing / probs.shape[1]
        probs -= evenly
        on_label += label_smoothing - evenly
    mx.nd._internal._scatter_set_nd(probs, on_label, label_index, shape=probs.shape, out=probs)
    if num_tokens < len(probs):
        probs[num_tokens:] = 0
    return probs
