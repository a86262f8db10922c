"""The fast path: `fit` trains any model of hybridizable blocks with the chapter's mathematics.

Here is the loop over epochs, and nothing of plots or files: whoever wants to log, save or stop
hands in `on_epoch_end` and `on_update`.  What makes it fast lives in a few rooms below: batches
that are on the device before they are needed (`feed`), all weights in one array (`flat`), the model
as one graph without padding in its head (`graph`), and a step that never waits for the device
(`step`).
"""

from __future__ import annotations

import dataclasses
import itertools
import time
from dataclasses import dataclass
from typing import Callable, Iterator

from .._mxnet import mx, use_np
from ..book.encoder_decoder import EncoderDecoder
from ..data.feed import Feed, GlobalBatch
from .flat_parameters import FlatParameters, storage_of
from .graphs import trace, uses_random_numbers
from .loss_accumulator import EpochSums, LossAccumulator, LossSums, sum_losses
from .optimizer import Adam
from .step import Forward, TrainStep, UpdateRules
from .workers import SingleWorker


@dataclass(frozen=True)
class EpochMetrics:
    """What an epoch brought."""

    epoch: int  # from 1
    train: LossSums
    valid: LossSums | None
    seconds: float  # of training, from the first batch laid out to the last weight changed
    lr: float  # of the last update
    num_skipped: int = 0  # batches that were left out, see `UpdateRules.skip_bad_batches`

    @property
    def tokens_per_sec(self) -> float:
        """Labels trained on in a second, padding not counted."""
        return self.train.num_tokens / self.seconds


@dataclass
class TrainState:
    """What `fit` needs, next to the model's weights, to go on as if it had not stopped.

    `fit` changes it in place: after an update or an epoch it holds for that moment, and a hook that
    wants to keep it copies it.
    """

    epoch: int  # epochs done
    batch: int  # batches done of the epoch under way
    optimizer: Adam
    feed_state: tuple  # of the training feed's random generator, before it drew that epoch's order
    tally: LossAccumulator  # of that epoch's batches
    started: float  # when that epoch's training began or was gone on with, by time.perf_counter

    def sums(self) -> EpochSums:
        """What the epoch under way brought so far; waits for the device.

        Raises
        ------
        FloatingPointError
            If a loss or a gradient was not finite.
        """
        now = time.perf_counter()
        sums = self.tally.settle(now - self.started)
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
    group: SingleWorker = SingleWorker(),
    on_epoch_end: Callable[[EpochMetrics, TrainState], None] = lambda metrics, state: None,
    on_update: Callable[[TrainState], None] = lambda state: None,
) -> TrainState:
    """Train a model with Adam, its gradient clipped.

    Parameters
    ----------
    model : EncoderDecoder
        Initialized (see `model.initialize`), of blocks that can be hybridized.  It stays what it
        is: it can be called and saved while it is trained and afterwards.
    train_feed, valid_feed : Feed
        On the model's context; the first may have further devices, which share each batch.  The
        second is evaluated after each epoch, by each worker, in the type of `rules`.
    num_epochs : int
        Epochs in all, those of `state` included.
    lr : float, or function of int
        The learning rate, or what gives it for the number of an update, from 1; see `schedule`.
    state : TrainState, optional
        What an earlier call returned or handed to a hook: training goes on from there.
    rules : UpdateRules
    group : OneWorker or WorkerGroup
        The processes that train together; the feed's `worker` says which one this is.
    on_epoch_end : function of EpochMetrics and TrainState
        Called after each epoch.  What it raises ends the training and leaves the model as it is.
    on_update : function of TrainState
        Called after each update, of which the device may still be computing some.  What it raises
        ends the training likewise.

    Returns
    -------
    TrainState
        After the last epoch.

    Raises
    ------
    TypeError
        If the model can't be traced with symbols.
    ValueError
        If its parameters can't be trained as one (see `FlatParameters`), or a feed is on another
        device or for another worker.
    InputError
        If the workers' weights are no longer the same.
    FloatingPointError
        If a loss or a gradient is not finite, or `rules` skip such batches and an epoch has no
        other.  The message names update and learning rate.
    """
    flat, packed = storage_of_model(model)
    _check_places(train_feed, flat, group)
    if valid_feed is not None:
        _check_alone(valid_feed, flat)
    if rules.seed is not None and not uses_random_numbers(model):
        rules = dataclasses.replace(rules, seed=None)
    if state is None:
        state = initial_state(model, train_feed, rules)
    train_feed.random_state.set_state(state.feed_state)
    group.broadcast_arrays([flat.weights, state.optimizer.mean, state.optimizer.variance])
    replicas = [
        (Forward(model, storage.variables(packed), rules.dtype), storage)
        for storage in (flat, *map(flat.copy_to, train_feed.devices[1:]))
    ]
    step = TrainStep(replicas, state.optimizer, rules, group)
    lr_of = lr if callable(lr) else lambda update: lr
    for epoch in range(state.epoch + 1, num_epochs + 1):
        mx.nd.waitall()  # MXNet computes behind the caller's back: a clock needs both ends still
        state.started = time.perf_counter()
        for batches in _groups(train_feed.batches(state.batch), rules.batches_per_update):
            update = state.optimizer.num_updates + 1
            rate = lr_of(update)
            values = step(batches, rate)
            state.batch += len(batches)
            state.tally.add(
                batches,
                values,
                f' in epoch {epoch}, batch {state.batch} (update {update}, learning rate {rate:g})',
            )
            on_update(state)
        mx.nd.waitall()
        sums = state.sums()
        if sums.losses.num_tokens == 0:
            raise FloatingPointError(f'no batch of epoch {epoch} has a finite loss and gradient')
        if group.num_workers > 1:
            group.require_equal(flat.weights.asnumpy().tobytes(), f'their weights, epoch {epoch}')
        valid = None if valid_feed is None else _losses_of(replicas[0][0], valid_feed)
        state.epoch, state.batch, state.tally = (
            epoch,
            0,
            LossAccumulator(EpochSums(), rules.skip_bad_batches),
        )
        state.feed_state = train_feed.random_state.get_state()
        on_epoch_end(
            EpochMetrics(
                epoch,
                sums.losses,
                valid,
                sums.seconds,
                lr_of(max(1, state.optimizer.num_updates)),
                sums.num_skipped,
            ),
            state,
        )
    return state


def initial_state(model: EncoderDecoder, train_feed: Feed, rules: UpdateRules) -> TrainState:
    """The state of a training that has not begun."""
    flat, _ = storage_of_model(model)
    optimizer = Adam(flat, rules.weight_decay, is_guarded=rules.skip_bad_batches)
    return TrainState(
        0,
        0,
        optimizer,
        train_feed.random_state.get_state(),
        LossAccumulator(EpochSums(), rules.skip_bad_batches),
        time.perf_counter(),
    )


def storage_of_model(model: EncoderDecoder) -> tuple[FlatParameters, dict[str, list[str]]]:
    """Where a model's parameters lie, and those that its graph reads as one; see `trace`."""
    packed = trace(model).packed
    return storage_of(model.collect_params().values(), packed.values()), packed


@use_np
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
    ValueError
        If its parameters don't fit in one storage (see `FlatParameters`), or the feed is not on
        the model's context alone.
    """
    flat, packed = storage_of_model(model)
    _check_alone(feed, flat)
    return _losses_of(Forward(model, flat.variables(packed)), feed)


def _losses_of(forward: Forward, feed: Feed) -> LossSums:
    return sum_losses((batch, forward(batch)[1][0]) for batch in feed)


def _check_places(feed: Feed, flat: FlatParameters, group: SingleWorker) -> None:
    """Raise ValueError unless a feed brings its batches to where they are wanted."""
    if feed.devices[0] != flat.weights.context:
        raise ValueError(
            f"expected a feed on the model's device, {flat.weights.context}, got one "
            f'on {feed.devices[0]}'
        )
    if feed.worker != (group.rank, group.num_workers):
        raise ValueError(
            f'expected a feed for worker {(group.rank, group.num_workers)}, got one '
            f'for {feed.worker}'
        )


def _check_alone(feed: Feed, flat: FlatParameters) -> None:
    """Raise ValueError unless a feed brings whole batches to the model's device."""
    if feed.devices != [flat.weights.context] or feed.worker != (0, 1):
        raise ValueError(
            f'expected a feed for one worker on {flat.weights.context} alone, got one '
            f'on {feed.devices} for worker {feed.worker}'
        )


def _groups(batches: Iterator[GlobalBatch], size: int) -> Iterator[list[GlobalBatch]]:
    """So many batches at a time, fewer at the end."""
    return iter(lambda: list(itertools.islice(batches, size)), [])
