"""The model and its loss as graphs.

`Forward` runs a model on a batch: as a graph, compiled once for each shape of batch, or operator by
operator if the model cannot become a graph.  The loss comes with an explicit gradient, which is
faster than autograd.
"""

from __future__ import annotations

import logging
import math
from typing import NamedTuple

import numpy as onp

from .._mxnet import autograd, mx
from ..book.encoder_decoder import EncoderDecoder
from ..data.feed import DeviceBatch
from ..device import device_of
from .graphs import cast_matrix_products, static_flags
from .recording import TraceError, without_dropout
from .tracing import Graph, trace

logger = logging.getLogger(__name__)

MAX_DIFFERENCE = 1e-4  # between the logits of a recorded graph and of its model, of the largest


class _Operators(NamedTuple):
    """The operators for one shape of batch."""

    inputs: list[str]  # of the graph of the logits
    constants: dict[str, mx.nd.NDArray]
    compute_logits: mx.nd.CachedOp
    compute_loss: mx.nd.CachedOp


class Forward:
    """A model and its loss, traced and compiled once for each shape of batch.

    The first graph that is recorded, as those of plain blocks are, is compared with the model.  If
    its logits differ, or if the model cannot be traced at all, the model itself is called for each
    batch, and a warning in the log gives the reason.

    Parameters
    ----------
    model : EncoderDecoder
    variables : dict of str to NDArray
        The parameters as inputs of the graphs, as `FlatParameters.variables` returns them.
    dtype : str
        See `UpdateRules`.  A model that cannot be traced is computed in float32.
    """

    def __init__(
        self, model: EncoderDecoder, variables: dict[str, mx.nd.NDArray], dtype: str = 'float32'
    ):
        self._model, self._variables, self._dtype = model, variables, dtype
        # The keys are the shapes of a batch, and whether it is for training.
        self._compiled: dict[tuple, _Operators] = {}
        self._is_traceable = True
        self._compute_loss = mx.nd.CachedOp(label_cross_entropy())  # for a model without graphs
        self._is_checked = False  # True: a recorded graph has been compared with the model

    def __call__(self, batch: DeviceBatch) -> tuple[mx.nd.NDArray, list[mx.nd.NDArray]]:
        """Return the logits, and the outputs of `label_cross_entropy`, which are not recorded.

        The logits are float32 of shape (num_labels, vocab_size), including padding of the labels.
        """
        operators = self._operators_for(batch) if self._is_traceable else None
        if operators is None:
            logits, compute_loss = self._call_model(batch), self._compute_loss
        else:
            inputs = self._inputs(operators.inputs, operators.constants, batch)
            logits = operators.compute_logits(*inputs)
            compute_loss = operators.compute_loss
        with autograd.pause():
            return logits, compute_loss(logits, batch.label_index, batch.label_weight)

    def _operators_for(self, batch: DeviceBatch) -> _Operators | None:
        """Return the operators for the shapes of a batch, or None if there is no graph."""
        shapes = batch.src.shape, batch.tgt.shape, batch.label_positions.shape
        is_training = autograd.is_training()
        if (shapes, is_training) not in self._compiled:
            try:
                graph = self._trace(batch, is_training)
            except TraceError as error:
                logger.warning('the model runs operator by operator, which is slower: %s', error)
                self._is_traceable = False
                return None
            operators = self._compile(graph, batch)
            self._compiled[shapes, is_training] = operators
            if not graph.is_recorded:
                self._compiled[shapes, not is_training] = operators
        return self._compiled[shapes, is_training]

    def _trace(self, batch: DeviceBatch, is_training: bool) -> Graph:
        """Return the graph for the shapes of a batch.

        Raises
        ------
        TraceError
            If there is none, or if a recorded graph does not compute what the model computes.
        """
        with autograd.pause(train_mode=is_training):
            graph = trace(self._model, batch.src.shape, batch.tgt.shape, is_training)
            if not graph.is_recorded or self._is_checked:
                return graph
            with without_dropout(self._model):
                expected = self._call_model(batch).asnumpy()
                to_check = trace(self._model, batch.src.shape, batch.tgt.shape, is_training)
                inputs = self._inputs(to_check.inputs, to_check.constants, batch)
                actual = mx.nd.CachedOp(to_check.logits)(*inputs).asnumpy()
        if abs(actual - expected).max() > MAX_DIFFERENCE * abs(expected).max():
            raise TraceError(
                'its operators or constants differ from call to call, as random constants do'
            )
        self._is_checked = True
        return graph

    def _compile(self, graph: Graph, batch: DeviceBatch) -> _Operators:
        """Return the operators of a graph for batches of the shape of this one."""
        logits = graph.logits
        if self._dtype != 'float32':
            logits = cast_matrix_products(logits, self._dtype)
        names = logits.list_inputs()
        device = batch.src.context
        constants = {name: value.as_in_context(device) for name, value in graph.constants.items()}
        shapes = {
            name: array.shape for name, array in zip(names, self._inputs(names, constants, batch))
        }
        _, (logits_shape,), _ = logits.infer_shape(**shapes)
        num_weights = sum(variable.size for variable in self._variables.values())
        flags = static_flags(max(math.prod(logits_shape), num_weights))
        return _Operators(
            inputs=names,
            constants=constants,
            compute_logits=mx.nd.CachedOp(logits, flags),
            compute_loss=mx.nd.CachedOp(label_cross_entropy(), flags),
        )

    def _inputs(
        self, names: list[str], constants: dict[str, mx.nd.NDArray], batch: DeviceBatch
    ) -> list[mx.nd.NDArray]:
        """Return the inputs of a graph, given their names."""
        inputs = []
        for name in names:
            if name in self._variables:
                inputs.append(self._variables[name])
            elif name in constants:
                inputs.append(constants[name])
            else:
                inputs.append(getattr(batch, name))
        return inputs

    def _call_model(self, batch: DeviceBatch) -> mx.nd.NDArray:
        """Return the logits at the label positions, by calling the model.

        Raises
        ------
        ValueError
            If the model is on another device, as it is for the parts of a batch that is divided.
        """
        device = device_of(self._model)
        if batch.src.context != device:
            raise ValueError(
                f'expected a batch on {device}, got one on {batch.src.context}; a model that '
                'cannot be traced trains on one device'
            )
        arrays = (batch.src, batch.tgt, batch.src_valid_len, batch.tgt_valid_len)
        logits, *_ = self._model(*(array.as_np_ndarray() for array in arrays))
        rows = logits.reshape(-1, logits.shape[-1]).as_nd_ndarray()
        return mx.nd.take(rows, batch.label_positions)


def label_cross_entropy() -> mx.sym.Symbol:
    """Return a graph of the softmax cross-entropy, with the values that its gradient is made of.

    Autograd would compute the gradient through the logarithm and the selection of the labels, with
    arrays as large as the logits at each step.  But the gradient of a row's loss is known: its
    probabilities, minus 1 at the label.  `logits_gradient` computes it from the outputs.

    Returns
    -------
    Symbol
        A graph with these inputs, in this order:

        - logits : float32 array of shape (num_labels, vocab_size)
        - label_index : float32 array of shape (2, num_labels), the numbers of the rows and their
          labels
        - label_weight : float32 array of shape (num_labels,), 0 leaves a row out of the sum

        and these outputs:

        - nll_sum : float32 array of shape (1,), in nats.  A label whose probability is below
          1.2e-38 counts as 87.3 nats.
        - probs : float32 array of shape (num_labels, vocab_size)
        - label_probs : float32 array of shape (num_labels,), the probabilities of the labels
    """
    logits, label_index, label_weight = map(mx.sym.var, ('logits', 'label_index', 'label_weight'))
    probs = mx.sym.softmax(logits)
    label_probs = mx.sym.gather_nd(probs, label_index)
    log_probs = mx.sym.log(mx.sym.maximum(label_probs, float(onp.finfo('float32').tiny)))
    return mx.sym.Group([-mx.sym.sum(log_probs * label_weight), probs, label_probs])


def logits_gradient(
    probs: mx.nd.NDArray,
    label_probs: mx.nd.NDArray,
    label_index: mx.nd.NDArray,
    num_tokens: int,
    label_smoothing: float = 0.0,
) -> mx.nd.NDArray:
    """Return the gradient of `nll_sum` with respect to the logits.

    Parameters
    ----------
    probs, label_probs, label_index : float32 NDArray
        As for `label_cross_entropy`.  `probs` is overwritten with the result.
    num_tokens : int
        Number of labels: the gradient of the rows after them, which are padding, is 0.
    label_smoothing : float
        With label smoothing (Szegedy et al. 2016, section 7), the result is the gradient of the
        cross-entropy with a target distribution that spreads this share evenly over the
        vocabulary.

    Returns
    -------
    float32 NDArray of shape (num_labels, vocab_size)
    """
    label_gradient = label_probs - 1
    if label_smoothing > 0:
        share_per_token = label_smoothing / probs.shape[1]
        probs -= share_per_token
        label_gradient += label_smoothing - share_per_token
    mx.nd._internal._scatter_set_nd(
        probs, label_gradient, label_index, shape=probs.shape, out=probs
    )
    if num_tokens < len(probs):
        probs[num_tokens:] = 0
    return probs
