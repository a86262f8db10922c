"""What an installation stands in: processor, memory, disk, and the place the book's corpus is at.

Each check looks at one thing, changes nothing and keeps nothing.  It imports what it needs itself,
so that one can still speak where another has nothing to import.
"""

from __future__ import annotations

import contextlib
import os
import random
import re
import shutil
import tempfile
import threading
import time
from concurrent import futures
from pathlib import Path
from typing import Callable, Iterator

from .._mxnet import mx
from ..config import DataConfig, ModelConfig, TrainingConfig
from ..data.encoding import encode_pairs
from ..data.feed import Feed
from ..engine.fit import TrainState, fit
from ..errors import InputError
from ..models.factory import build_model, initialize
from .report import INFO, OK, WARNING, Finding, finding_from_error

SECONDS_TO_REACH = 5  # for all of an attempt to reach the corpus, looking up the name included
ENOUGH_DISK = 100e6  # bytes; three checkpoints of a large model
ENOUGH_MEMORY = 1e9  # bytes; twice what the chapter's training takes
# What MXNet, OpenMP and the C library read from the environment.
_READ_BY_OTHERS = (
    'MXNET_',
    'OMP_',
    'GOMP_',
    'KMP_',
    'MALLOC_',
    'DMLC_ROLE',
    'CUDA_VISIBLE_DEVICES',
)
# A container's limit, what it uses, and of what: in the second version of control groups and the
# first.
_CONTAINERS = tuple(
    tuple(f'/sys/fs/cgroup/{name}' for name in names)
    for names in (
        ('memory.max', 'memory.current', 'memory.stat'),
        ('memory/memory.limit_in_bytes', 'memory/memory.usage_in_bytes', 'memory/memory.stat'),
    )
)


def check_threads(subject: str) -> Iterator[Finding]:
    """What is chosen for the chapter's size and a large one, and what the environment says."""
    from .._runtime import thread_settings
    from ..config import DataConfig, ModelConfig

    batch_size = DataConfig.batch_size
    chosen = [
        f'{threads} for {batch_size} x {units}'
        for units in (ModelConfig.num_hiddens, 512)
        for threads in [thread_settings(batch_size, units)['OMP_NUM_THREADS']]
    ]
    given = [
        f'{name}={value}'
        for name, value in sorted(os.environ.items())
        if name.startswith(_READ_BY_OTHERS)
    ]
    yield Finding(
        subject,
        INFO,
        f'chosen are {" and ".join(chosen)} hidden values a batch, unless OMP_NUM_THREADS is set',
    )
    yield Finding(subject, INFO, f'set in the environment: {", ".join(given) or "nothing of it"}')


def check_memory(subject: str) -> Iterator[Finding]:
    """Main memory, as far as a container may use it, and how much of it is free."""
    total = os.sysconf('SC_PAGE_SIZE') * os.sysconf('SC_PHYS_PAGES')
    found = re.search(r'MemAvailable: *(\d+) kB', _text_of('/proc/meminfo'))
    if found is None:  # as on a Mac
        yield Finding(subject, INFO, f'{total / 1e9:.1f} GB')
        return
    available = int(found.group(1)) * 1024
    for paths in _CONTAINERS:
        limit, used, stat = map(_text_of, paths)
        if limit.isdecimal() and int(limit) < total:
            total = int(limit)
            # Pages of files that were read are given up for a program's.
            files = dict(line.split() for line in stat.splitlines() if line.count(' ') == 1)
            unused = files.get('total_inactive_file') or files.get('inactive_file', '0')
            needed = int(used or 0) - int(unused)
            available = min(available, max(0, total - needed))
    yield _enough(
        subject,
        f'{total / 1e9:.1f} GB, {available / 1e9:.1f} GB of it available',
        available >= ENOUGH_MEMORY,
        'end other programs, or train with a smaller --batch-size',
    )


def _text_of(path: str) -> str:
    """What a file of the system says; nothing where there is none."""
    try:
        return Path(path).read_text().strip()
    except OSError:
        return ''


def check_disk(subject: str) -> Iterator[Finding]:
    """The folder that `train` makes its runs in: room in it, and whether it can be written to."""
    folder = Path('runs').absolute()
    while not folder.exists():
        folder = folder.parent
    free = shutil.disk_usage(folder).free
    try:
        with tempfile.TemporaryFile(dir=folder) as file:  # has no name, or not for long
            file.write(b'0')
            file.flush()
    except OSError as error:
        yield Finding(
            subject,
            WARNING,
            f'{folder}, where runs would be written, can not be written to ({error.strerror})',
            'name another folder with --out',
        )
        return
    yield _enough(
        subject,
        f'{free / 1e9:.1f} GB free in {folder}, where runs are written',
        free >= ENOUGH_DISK,
        'make room, or name another folder with --out',
    )


def _enough(subject: str, text: str, is_enough: bool, remedy: str) -> Finding:
    return Finding(subject, OK, text) if is_enough else Finding(subject, WARNING, text, remedy)


def check_corpus(subject: str) -> Iterator[Finding]:
    """The book's corpus: where the environment says, else in the cache, else to be downloaded."""
    from ..book.fra_eng import DATA_VARIABLE, cached_fra_eng

    named = os.environ.get(DATA_VARIABLE)
    if named:
        yield _readable(subject, Path(named), f"the book's, which {DATA_VARIABLE} names: {named}")
        return
    cached = cached_fra_eng()
    try:
        is_there = cached.exists()
    except OSError:  # which reading it will tell
        is_there = True
    if is_there:
        yield _readable(
            subject, cached, f"the book's, in the cache: {cached}", f'type: rm {cached}'
        )
    else:
        yield _downloadable(subject, cached)


def _readable(subject: str, path: Path, text: str, remedy: str = '') -> Finding:
    """Whether what is on the disk is the book's corpus."""
    from ..book.fra_eng import find_fra_eng

    try:
        find_fra_eng(path)
    except InputError as error:
        found = finding_from_error(subject, WARNING, error)
        return Finding(subject, WARNING, found.text, remedy or found.remedy)
    except OSError as error:  # a folder on the way that can't be looked into
        return Finding(
            subject,
            WARNING,
            f'{path} can not be read ({error.strerror})',
            remedy or 'mend its permissions, or name a copy',
        )
    return Finding(subject, OK, text)


def _downloadable(subject: str, cached: Path) -> Finding:
    """Whether the book's corpus could be downloaded; it isn't."""
    import requests  # noqa: F401, so that the seconds below are the network's alone

    from ..book.fra_eng import DATA_VARIABLE, FRA_ENG_URL, try_download

    try:
        # Half of it for a connection, and half for an answer.
        _within(SECONDS_TO_REACH, lambda: try_download(timeout=SECONDS_TO_REACH / 2))
    except (InputError, futures.TimeoutError) as error:
        reason = str(error).partition('; ')[0] or (
            f'{FRA_ENG_URL} did not answer within {SECONDS_TO_REACH} seconds'
        )
        return Finding(
            subject,
            WARNING,
            f'{reason}; the bundled corpus takes its place',
            f'let {DATA_VARIABLE} name a copy of {cached.name}',
        )
    return Finding(
        subject,
        OK,
        f"the book's, not yet downloaded: {FRA_ENG_URL} answers, and {cached} will keep it",
    )


def _within(seconds: float, function: Callable[[], object]) -> None:
    """Call a function, and wait for it so long at most: looking up a name has no time-out."""
    future = futures.Future()

    def call():
        try:
            future.set_result(function())
        except BaseException as error:
            future.set_exception(error)

    threading.Thread(target=call, daemon=True).start()
    future.result(seconds)


SECONDS_OF_TRAINING = 1.0


def milliseconds_per_batch(ctx: mx.Context) -> float:
    """How long `fit` takes for a batch, over a second of training on sentences of random words.

    Their number, their lengths and the vocabularies' sizes are about the chapter's.
    """
    rng = random.Random(0)
    pairs = [
        (
            ' '.join(str(rng.randrange(176)) for _ in range(rng.randint(2, 4))),
            ' '.join(str(rng.randrange(158)) for _ in range(rng.randint(2, 5))),
        )
        for _ in range(1001)
    ]
    src_vocab, tgt_vocab, arrays = encode_pairs(pairs, DataConfig.num_steps)
    model = build_model(ModelConfig(), len(src_vocab), len(tgt_vocab))
    initialize(model, ctx)
    feed, stopwatch = Feed(arrays, DataConfig.batch_size, 0, ctx), _Stopwatch()
    with contextlib.suppress(_TimeIsUp):
        fit(model, feed, num_epochs=100_000, lr=TrainingConfig.lr, on_update=stopwatch.after_update)
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
