"""How fast this machine trains a model of the chapter's size, in about a second.

For a figure to look at; claims about speed come from the benchmarks.
"""
from __future__ import annotations

import contextlib
import random
import time

from .._mxnet import mx
from ..config import DataConfig, ModelConfig, TrainingConfig
from ..data.encoding import encode_pairs
from ..data.feed import Feed
from ..book.seq2seq import initialize
from ..engine.fit import TrainState, fit
from ..data.pipeline import build_model

SECONDS_OF_TRAINING = 1.0


def milliseconds_a_batch(ctx: mx.Context) -> float:
    """How long `fit` takes for a batch, over a second of training on sentences of random words.

    Their number, their lengths and the vocabularies' sizes are about the chapter's.
    """
    rng = random.Random(0)
    pairs = [(' '.join(str(rng.randrange(176)) for _ in range(rng.randint(2, 4))),
              ' '.join(str(rng.randrange(158)) for _ in range(rng.randint(2, 5))))
             for _ in range(1001)]
    src_vocab, tgt_vocab, arrays = encode_pairs(pairs, DataConfig.num_steps)
    model = build_model(ModelConfig(), len(src_vocab), len(tgt_vocab))
    initialize(model, ctx)
    feed, stopwatch = Feed(arrays, DataConfig.batch_size, 0, ctx), _Stopwatch()
    with contextlib.suppress(_TimeIsUp):
        fit(model, feed, num_epochs=100_000, lr=TrainingConfig.lr,
            on_update=stopwatch.after_update)
    return stopwatch.milliseconds


class _Stopwatch:
    """Times the updates of a training for about a second, and ends it."""

    def __init__(self):
        self.milliseconds = None  # an update; known at the end
        self._begun = time.perf_counter()
        self._start = None  # time and updates done, when the measurement began

    def after_update(self, state: TrainState) -> None:
        """A hook of `fit`."""
        now, num_updates = time.perf_counter(), state.optimizer.num_updates
        if self._start is None:
            # Graphs are made in the first epoch, which may take long enough as it is.
            if state.epoch > 0 or now - self._begun >= SECONDS_OF_TRAINING:
                self._start = _time_when_done(), num_updates
        elif now - self._start[0] >= SECONDS_OF_TRAINING:
            seconds = _time_when_done() - self._start[0]
            self.milliseconds = seconds / (num_updates - self._start[1]) * 1000
            raise _TimeIsUp


class _TimeIsUp(Exception):
    """The training has been measured for long enough."""


def _time_when_done() -> float:
    """The time when the device has computed all that it was given."""
    mx.nd.waitall()
    return time.perf_counter()
