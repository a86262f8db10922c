"""The fast path: `fit` trains any model of hybridizable blocks with the chapter's mathematics.

Here is the loop over epochs, and nothing of plots or files: whoever wants to log, save or stop
hands in `on_epoch_end`.  What makes it fast lives in a few rooms below: batches that are on the
device before they are needed (`feed`), all weights in one array (`flat`), the model as one graph
without padding in its head (`graph`), and a step that never waits for the device (`step`).
"""
from __future__ import annotations

import time
from dataclasses import dataclass
from typing import Callable, Iterable

from ._mxnet import mx
from .feed import DeviceBatch, Feed
from .flat import storage_of
from .graph import trace
from .model import EncoderDecoder
from .step import Adam, Forward, GradientScale, TrainStep, book_objective

MAX_AHEAD = 16  # batches


@dataclass(frozen=True)
class LossSums:
    """Losses of some batches as sums with their denominator, so that they can be added up."""

    nll_sum: float  # nats
    book_sum: float  # each batch's nll_sum over its number of label positions
    num_tokens: int  # labels

    @property
    def nll_per_token(self) -> float:
        """Nats per label."""
        return self.nll_sum / self.num_tokens

    @property
    def book_loss(self) -> float:
        """The figure that the book prints; see `train_s2s_ch9`."""
        return self.book_sum / self.num_tokens


@dataclass(frozen=True)
class EpochMetrics:
    """What an epoch brought."""

    epoch: int  # from 1
    train: LossSums
    valid: LossSums | None
    seconds: float  # of training, from the first batch laid out to the last weight changed

    @property
    def tokens_per_sec(self) -> float:
        """Labels trained on in a second, padding not counted."""
        return self.train.num_tokens / self.seconds


@dataclass
class TrainState:
    """What `fit` needs, next to the model's weights, to go on as if it had not stopped.

    `fit` changes it in place: after an epoch it holds for that moment, and a hook that wants to
    keep it copies it.  MXNet's own generator, which dropout draws from, is not in it.
    """

    epoch: int  # epochs done
    optimizer: Adam
    feed_state: tuple  # of the training feed's random generator


def fit(model: EncoderDecoder, train_feed: Feed, valid_feed: Feed | None = None, *,
        num_epochs: int, lr: float, state: TrainState | None = None,
        objective: Callable[[DeviceBatch], GradientScale] = book_objective,
        max_norm: float | None = 1.0,
        on_epoch_end: Callable[[EpochMetrics, TrainState], None] = lambda metrics, state: None,
        ) -> TrainState:
    """Train a model with Adam, its gradient clipped.

    Parameters
    ----------
    model : EncoderDecoder
        Initialized (see `model.initialize`), of blocks that can be hybridized.  It stays what it
        is: it can be called and saved while it is trained and afterwards.
    train_feed, valid_feed : Feed
        On the model's context.  The second is evaluated after each epoch.
    num_epochs : int
        Epochs in all, those of `state` included.
    lr : float
    state : TrainState, optional
        What an earlier call returned or handed to `on_epoch_end`: training goes on from there.
    objective : function of a batch
        `book_objective`, the chapter's, or `per_token_objective`.
    max_norm : float or None
        What the norm of the gradient is clipped to; None leaves it as it is.
    on_epoch_end : function of EpochMetrics and TrainState
        Called after each epoch.  What it raises ends the training and leaves the model as it is.

    Returns
    -------
    TrainState
        After the last epoch.

    Raises
    ------
    TypeError
        If the model can't be traced with symbols.
    ValueError
        If its parameters can't be trained as one; see `FlatParameters`.
    """
    packed = trace(model).packed
    flat = storage_of(model.collect_params().values(), packed.values())
    if state is None:
        state = TrainState(0, Adam(flat), train_feed.random_state.get_state())
    train_feed.random_state.set_state(state.feed_state)
    forward = Forward(model, flat.variables(packed))
    step = TrainStep(forward, flat, state.optimizer, objective, max_norm)
    for epoch in range(state.epoch + 1, num_epochs + 1):
        mx.nd.waitall()  # MXNet computes behind the caller's back: a clock needs both ends still
        start = time.perf_counter()
        train = sum_losses((batch, step(batch, lr)) for batch in train_feed)
        mx.nd.waitall()
        seconds = time.perf_counter() - start
        valid = None if valid_feed is None else _losses_of(forward, valid_feed)
        state.epoch, state.feed_state = epoch, train_feed.random_state.get_state()
        on_epoch_end(EpochMetrics(epoch, train, valid, seconds), state)
    return state


def evaluate_loss(model: EncoderDecoder, feed: Feed) -> LossSums:
    """The losses of a model over one pass of a feed, without training.

    Parameters
    ----------
    model : EncoderDecoder
        Initialized, of blocks that can be hybridized.  It may be in training: nothing is changed.
        One that feeds its own tokens back (`SteppedEncoderDecoder`) does so here too.
    feed : Feed
        On the model's context.

    Returns
    -------
    LossSums
        In nats.

    Raises
    ------
    TypeError
        If the model can't be traced with symbols.
    """
    packed = trace(model).packed
    flat = storage_of(model.collect_params().values(), packed.values())
    return _losses_of(Forward(model, flat.variables(packed)), feed)


def _losses_of(forward: Forward, feed: Feed) -> LossSums:
    return sum_losses((batch, forward(batch)[1][0]) for batch in feed)


def sum_losses(results: Iterable[tuple[DeviceBatch, mx.nd.NDArray]]) -> LossSums:
    """Add up the losses of batches.

    The losses are read after the last batch.  Until then the caller stays `MAX_AHEAD` batches ahead
    of the device: enough that it never idles, and few enough that Ctrl-C is heard.
    """
    num_label_steps, num_tokens, nlls = [], [], []
    for batch, nll_sum in results:
        num_label_steps.append(batch.num_label_steps)
        num_tokens.append(batch.num_tokens)
        nlls.append(nll_sum)
        if len(nlls) > MAX_AHEAD:
            nlls[-MAX_AHEAD].wait_to_read()
    values = mx.nd.concat(*nlls, dim=0).asnumpy().astype('float64')
    return LossSums(float(values.sum()), float((values / num_label_steps).sum()), sum(num_tokens))
