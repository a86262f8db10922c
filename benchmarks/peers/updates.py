"""The time of an update of `fit` at many sizes: python updates.py JOB

The job has the settings and the number of rounds.  In each round, every setting is trained for a
few updates.  The script prints a line of JSON with two values.  ``seconds`` has, for each setting
and round, the processor seconds per update of the thread that gives the orders and of the threads
that carry them out.  ``gather_rate`` is the rate of adding up the vectors of two devices.  The
script is meant for OMP_NUM_THREADS=1: then an update on an otherwise idle machine takes the larger
of the two times.
"""

from __future__ import annotations

import json
import sys
import time
from pathlib import Path

sys.path.insert(0, str(Path(__file__).resolve().parents[2]))
import numpy as onp  # noqa: E402

from d2l_seq2seq import Feed, ModelConfig, build_model, fit, initialize  # noqa: E402
from d2l_seq2seq._mxnet import mx, npx  # noqa: E402
from d2l_seq2seq.data.encoding import EncodedCorpus  # noqa: E402

WARM_UP = 2  # updates at the start of a turn that are not counted: graphs are compiled in them


class PacedTraining:
    """The training of a model, a few updates at a time."""

    def __init__(self, setting: dict, num_updates: int):
        self._num_updates = num_updates + WARM_UP
        config = ModelConfig(
            **{name: setting[name] for name in ('embed_size', 'num_hiddens', 'num_layers')}
        )
        self._model = build_model(config, setting['vocab_size'], setting['vocab_size'])
        initialize(self._model, npx.cpu())
        self._feed = Feed(self._random_corpus(**setting), setting['batch_size'], 0)
        self._state = None

    def _random_corpus(self, batch_size, vocab_size, num_steps, label_share, **_):
        """Return random sentences; `label_share` of their label positions are not padding."""
        rng = onp.random.RandomState(0)
        shape = batch_size * self._num_updates, num_steps
        src, tgt = rng.randint(4, vocab_size, (2, *shape))
        full = onp.full(shape[0], num_steps)
        # Every second sentence is shorter, so that the longest is as long as without padding.
        lengths = full - (onp.arange(shape[0]) % 2) * round(2 * (1 - label_share) * (num_steps - 1))
        tgt = onp.where(onp.arange(num_steps) < lengths[:, None], tgt, 1)
        return EncodedCorpus(*(array.astype('int32') for array in (src, full, tgt, lengths)))

    def turn(self) -> tuple[float, float]:
        """Train, and return the seconds per update of the main thread and of the others."""
        times = []

        def record_time(state):
            if state.batch in (WARM_UP, self._num_updates):
                mx.nd.waitall()
                times.append((time.thread_time(), time.process_time()))

        epoch = 0 if self._state is None else self._state.epoch
        self._state = fit(
            self._model,
            self._feed,
            num_epochs=epoch + 1,
            lr=0.001,
            state=self._state,
            on_update=record_time,
        )
        main, total = ((end - start) / (self._num_updates - WARM_UP) for start, end in zip(*times))
        return main, total - main


def gather_rate() -> float:
    """Return the bytes per second of copying a vector to a device, adding it, and copying back."""
    home, away = (mx.nd.ones(1 << 22, ctx=mx.cpu(number)) for number in (0, 1))
    times = []
    for _ in range(7):
        mx.nd.waitall()
        start = time.process_time()
        home += away.as_in_context(home.context)
        home.copyto(away)
        mx.nd.waitall()
        times.append(time.process_time() - start)
    return 4 * home.size / sorted(times)[3]


job = json.loads(Path(sys.argv[1]).read_text())
trainings = [
    PacedTraining(setting, count) for setting, count in zip(job['settings'], job['num_updates'])
]
for training in trainings:
    training.turn()
rounds = [[training.turn() for training in trainings] for _ in range(job['num_rounds'])]
print(json.dumps({'seconds': list(zip(*rounds)), 'gather_rate': gather_rate()}))
