"""The training speed of this machine, measured in about a second.

The doctor reports it for orientation.  Claims about speed are based on the benchmarks.
"""

from __future__ import annotations

import contextlib
import random
import time

from .._mxnet import mx
from ..config import DataConfig, ModelConfig, TrainingConfig
from ..data.encoding import encode_pairs
from ..data.feed import Feed
from ..engine.fit import TrainState, fit
from ..models.factory import build_model, initialize

MEASURED_SECONDS = 1.0


def milliseconds_per_batch(ctx: mx.Context) -> float:
    """Return the time that `fit` takes per batch, in milliseconds.

    It is measured over a second of training on sentences of random words.  The number of sentences,
    their lengths and the sizes of the vocabularies are about those of the chapter's data.
    """
    src_vocab, tgt_vocab, arrays = encode_pairs(_random_pairs(), DataConfig.num_steps)
    model = build_model(ModelConfig(), len(src_vocab), len(tgt_vocab))
    initialize(model, ctx)
    feed, stopwatch = Feed(arrays, DataConfig.batch_size, 0, ctx), _Stopwatch()
    with contextlib.suppress(_TimeIsUp):
        fit(model, feed, num_epochs=100_000, lr=TrainingConfig.lr, on_update=stopwatch.after_update)
    return stopwatch.milliseconds


def _random_pairs() -> list[tuple[str, str]]:
    rng = random.Random(0)
    return [
        (
            ' '.join(str(rng.randrange(176)) for _ in range(rng.randint(2, 4))),
            ' '.join(str(rng.randrange(158)) for _ in range(rng.randint(2, 5))),
        )
        for _ in range(1001)
    ]


class _TimeIsUp(Exception):
    """The measurement is complete; raised to stop the training."""


class _Stopwatch:
    """A callback of `fit` that times the updates for about a second and then stops the training."""

    def __init__(self):
        self.milliseconds = None  # per update; set at the end
        self._created = time.perf_counter()
        self._start = None  # time and number of updates at the start of the measurement

    def after_update(self, state: TrainState) -> None:
        """Start or end the measurement when it is time to do so."""
        now, num_updates = time.perf_counter(), state.optimizer.num_updates
        if self._start is None:
            # Graphs are built during the first epoch, so the measurement starts after it, or after
            # a second if the epoch takes longer than that.
            if state.epoch > 0 or now - self._created >= MEASURED_SECONDS:
                self._start = _time_when_idle(), num_updates
        elif now - self._start[0] >= MEASURED_SECONDS:
            seconds = _time_when_idle() - self._start[0]
            self.milliseconds = seconds / (num_updates - self._start[1]) * 1000
            raise _TimeIsUp


def _time_when_idle() -> float:
    """Wait for the device to finish its work, and return the time."""
    mx.nd.waitall()
    return time.perf_counter()
