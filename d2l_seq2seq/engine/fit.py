"""The fast path: `fit` trains any encoder and decoder with the chapter's mathematics.

`fit` is the loop over epochs.  It plots nothing and writes no files: pass `on_epoch_end` and
`on_update` to log, save or stop.  The modules that make it fast are `data.feed` (batches reach the
device before they are needed), `flat_parameters` (all weights are one array), `graphs` (the model
is one graph, whose last layer skips padding) and `step` (an update never waits for the device).
The blocks may be hybridizable, or plain blocks as in the book; see `tracing`.
"""

from __future__ import annotations

import dataclasses
import itertools
import time
from dataclasses import dataclass
from typing import Any, Callable, Iterator

from .._mxnet import mx, use_np
from ..book.encoder_decoder import EncoderDecoder
from ..data.feed import Feed, GlobalBatch
from .flat_parameters import FlatCopy, FlatParameters, check_parameter, storage_of
from .forward import Forward
from .loss_accumulator import EpochSums, LossAccumulator, LossSums, sum_losses
from .optimizer import Adam
from .recording import TraceError
from .step import TrainStep, UpdateRules
from .tracing import trace, uses_random_numbers
from .workers import SingleWorker, Workers


@dataclass(frozen=True)
class EpochMetrics:
    """The results of an epoch."""

    epoch: int  # from 1
    train: LossSums
    valid: LossSums | None  # None: there is no validation feed
    seconds: float  # of training, from the first batch's upload to the last weight's update
    lr: float  # of the last update
    num_skipped: int = 0  # batches, see `UpdateRules.skip_bad_batches`

    @property
    def tokens_per_sec(self) -> float:
        """Number of labels per second of training, without padding."""
        return self.train.num_tokens / self.seconds


@dataclass
class TrainState:
    """Everything that `fit` needs, besides the model's weights, to resume training exactly.

    `fit` updates it in place, after each update and each epoch.  Copy it to keep its values.

    Attributes
    ----------
    epoch : int
        Completed epochs.
    batch : int
        Completed batches of the epoch in progress.
    optimizer : Adam
    feed_state : Any
        The state of the training feed's generator, before it drew the order of this epoch.
    losses : LossAccumulator
        The losses of the epoch in progress.
    started : float
        The result of `time.perf_counter` when this epoch was started or resumed.
    """

    epoch: int
    batch: int
    optimizer: Adam
    feed_state: Any
    losses: LossAccumulator
    started: float

    def sums(self) -> EpochSums:
        """Return the sums of the epoch in progress, after waiting for the device.

        Raises
        ------
        FloatingPointError
            If a loss or a gradient was not finite.
        """
        now = time.perf_counter()
        sums = self.losses.flush(now - self.started)
        self.started = now
        return sums


@use_np
def fit(
    model: EncoderDecoder,
    train_feed: Feed,
    valid_feed: Feed | None = None,
    *,
    num_epochs: int,
    lr: float | Callable[[int], float],
    state: TrainState | None = None,
    rules: UpdateRules = UpdateRules(),
    workers: Workers = SingleWorker(),
    on_epoch_end: Callable[[EpochMetrics, TrainState], None] = lambda metrics, state: None,
    on_update: Callable[[TrainState], None] = lambda state: None,
) -> TrainState:
    """Train a model with Adam and gradient clipping.

    Parameters
    ----------
    model : EncoderDecoder
        Initialized (see `models.factory.initialize`).  It can be called and saved as usual during
        and after the training.  Its blocks may be hybridizable blocks, or plain blocks as in the
        book: their forward pass is recorded once for each shape of batch.  A model whose operators
        depend on the values of its arrays cannot be recorded.  It trains operator by operator,
        which is slower, and a warning in the log says so.
    train_feed, valid_feed : Feed
        Feeds on the model's device.  The training feed may have more devices, which share each
        batch.  The validation feed is evaluated after each epoch, by each worker, in the type of
        `rules`.
    num_epochs : int
        Number of epochs in total, including those of `state`.
    lr : float or Callable
        The learning rate, or a function from the number of an update, from 1, to the rate; see
        `Schedule`.
    state : TrainState, optional
        The state to resume from, as an earlier call returned it or passed it to a callback.
    rules : UpdateRules
    workers : Workers
        The processes that train together.  `train_feed.worker` must be the number of this process
        and their number.
    on_epoch_end : Callable
        Called with an `EpochMetrics` and the `TrainState` after each epoch.  An exception that it
        raises ends training, and leaves the model usable.
    on_update : Callable
        Called with the `TrainState` after each update, which the device may still be computing.
        Exceptions have the same effect as those of `on_epoch_end`.

    Returns
    -------
    TrainState
        The state after the last epoch.

    Raises
    ------
    ValueError
        If the parameters cannot share one array (see `FlatParameters`), or a feed is on another
        device or for another worker.
    InputError
        If the workers no longer have the same weights.
    FloatingPointError
        If a loss or a gradient is not finite; if `rules` skip such batches, only if an epoch has no
        other batch.  The message names the update and the learning rate.
    """
    flat, packed = storage_of_model(model)
    _check_train_feed(train_feed, flat, workers)
    if valid_feed is not None:
        _check_undivided(valid_feed, flat)
    if rules.seed is not None and not uses_random_numbers(model):
        rules = dataclasses.replace(rules, seed=None)
    if state is None:
        state = initial_state(model, train_feed, rules)
    train_feed.random_state.set_state(state.feed_state)
    workers.broadcast_arrays([flat.weights, state.optimizer.mean, state.optimizer.variance])
    storages: list[FlatParameters | FlatCopy] = [flat]
    storages += [flat.copy_to(device) for device in train_feed.devices[1:]]
    replicas = [
        (Forward(model, storage.variables(packed), rules.dtype), storage) for storage in storages
    ]
    step = TrainStep(replicas, state.optimizer, rules, workers)
    lr_of_update = lr if callable(lr) else lambda update: lr
    for epoch in range(state.epoch + 1, num_epochs + 1):
        sums = _train_epoch(
            epoch,
            train_feed,
            step,
            state,
            batches_per_update=rules.batches_per_update,
            lr_of_update=lr_of_update,
            on_update=on_update,
        )
        if workers.num_workers > 1:
            workers.require_equal(
                flat.weights.asnumpy().tobytes(), f'their weights after epoch {epoch}'
            )
        valid = None if valid_feed is None else _sum_losses(replicas[0][0], valid_feed)
        metrics = EpochMetrics(
            epoch=epoch,
            train=sums.losses,
            valid=valid,
            seconds=sums.seconds,
            lr=lr_of_update(max(1, state.optimizer.num_updates)),
            num_skipped=sums.num_skipped,
        )
        state.epoch, state.batch = epoch, 0
        state.losses = LossAccumulator(skip_bad_batches=rules.skip_bad_batches)
        state.feed_state = train_feed.random_state.get_state()
        on_epoch_end(metrics, state)
    return state


def _train_epoch(
    epoch: int,
    feed: Feed,
    step: TrainStep,
    state: TrainState,
    *,
    batches_per_update: int,
    lr_of_update: Callable[[int], float],
    on_update: Callable[[TrainState], None],
) -> EpochSums:
    """Train on the remaining batches of an epoch, and return the sums over all of its batches."""
    mx.nd.waitall()  # MXNet is asynchronous: time is measured between moments when it is idle
    state.started = time.perf_counter()
    for batches in _grouped(feed.batches(state.batch), batches_per_update):
        update = state.optimizer.num_updates + 1
        lr = lr_of_update(update)
        values = step(batches, lr)
        state.batch += len(batches)
        state.losses.add(
            batches,
            values,
            f' in epoch {epoch}, batch {state.batch} (update {update}, learning rate {lr:g})',
        )
        on_update(state)
    mx.nd.waitall()
    sums = state.sums()
    if sums.losses.num_tokens == 0:
        raise FloatingPointError(f'no batch of epoch {epoch} has a finite loss and gradient')
    return sums


def initial_state(model: EncoderDecoder, train_feed: Feed, rules: UpdateRules) -> TrainState:
    """Return the state before the first update."""
    flat, _ = storage_of_model(model)
    return TrainState(
        epoch=0,
        batch=0,
        optimizer=Adam(flat, rules.weight_decay, is_guarded=rules.skip_bad_batches),
        feed_state=train_feed.random_state.get_state(),
        losses=LossAccumulator(skip_bad_batches=rules.skip_bad_batches),
        started=time.perf_counter(),
    )


def storage_of_model(model: EncoderDecoder) -> tuple[FlatParameters, dict[str, list[str]]]:
    """Return the storage of a model's parameters, and `Graph.packed` of its graphs, if any."""
    parameters = list(model.collect_params().values())
    for parameter in parameters:
        check_parameter(parameter)
    try:
        packed = trace(model).packed
    except TraceError:  # `Forward` logs the reason
        packed = {}
    return storage_of(parameters, packed.values()), packed


@use_np
def evaluate_loss(model: EncoderDecoder, feed: Feed) -> LossSums:
    """Return the losses of a model over one pass of a feed, without training.

    Parameters
    ----------
    model : EncoderDecoder
        Initialized.  A model that is being trained can be evaluated too, because nothing is
        changed.  A `SteppedEncoderDecoder` reads its own predictions here as it does in training.
    feed : Feed
        A feed on the model's device.

    Returns
    -------
    LossSums
        In nats.

    Raises
    ------
    ValueError
        If the parameters cannot share one array (see `FlatParameters`), or the feed is not on the
        model's device alone.
    """
    flat, packed = storage_of_model(model)
    _check_undivided(feed, flat)
    return _sum_losses(Forward(model, flat.variables(packed)), feed)


def _sum_losses(forward: Forward, feed: Feed) -> LossSums:
    """Return the losses over one pass of a feed."""
    # Of the logits and the outputs of the loss, only nll_sum is kept.
    return sum_losses((batch, forward(batch)[1][0]) for batch in feed)


def _check_train_feed(feed: Feed, flat: FlatParameters, workers: Workers) -> None:
    """Raise ValueError unless the feed's first device is the model's and its worker is this one."""
    if feed.devices[0] != flat.weights.context:
        raise ValueError(
            f"expected a feed on the model's device, {flat.weights.context}, got one on "
            f'{feed.devices[0]}'
        )
    if feed.worker != (workers.rank, workers.num_workers):
        raise ValueError(
            f'expected a feed for worker {(workers.rank, workers.num_workers)}, got one for '
            f'{feed.worker}'
        )


def _check_undivided(feed: Feed, flat: FlatParameters) -> None:
    """Raise ValueError unless the feed brings whole batches to the model's device."""
    if feed.devices != [flat.weights.context] or feed.worker != (0, 1):
        raise ValueError(
            f'expected a feed for one worker on {flat.weights.context} alone, got one on '
            f'{feed.devices} for worker {feed.worker}'
        )


def _grouped(batches: Iterator[GlobalBatch], size: int) -> Iterator[list[GlobalBatch]]:
    """Yield lists of `size` batches; the last list may be shorter."""
    return iter(lambda: list(itertools.islice(batches, size)), [])
