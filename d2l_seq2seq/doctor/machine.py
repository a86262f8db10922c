"""Checks of the machine: threads, speed, memory, disk, and access to the book's corpus.

The checks change nothing and leave no files.  Each check imports what it needs itself, so that a
missing package affects only the checks that use it.
"""

from __future__ import annotations

import os
import shutil
import tempfile
import threading
from concurrent import futures
from pathlib import Path
from typing import Callable, Iterator

from .._runtime import main_memory
from ..errors import InputError, shell_quote
from .report import INFO, OK, WARNING, Finding

CORPUS_TIMEOUT = 5  # seconds for a whole attempt to reach the corpus, including name resolution
MIN_FREE_DISK = 100e6  # bytes; three checkpoints of a large model
MIN_FREE_MEMORY = 1e9  # bytes; twice what the chapter's training needs
SLOW_MILLISECONDS = 8.0  # per batch of the chapter's size; three times the usual time
_TYPICAL_SPEED = f'1.9 to 2.7 is typical of two idle cores, above {SLOW_MILLISECONDS:g} is slow'
LARGE_NUM_HIDDENS = 512  # a model for which several threads are worthwhile
# Prefixes of the environment variables that MXNet, OpenMP and the C library read.
_VARIABLE_PREFIXES = (
    'MXNET_',
    'OMP_',
    'GOMP_',
    'KMP_',
    'MALLOC_',
    'DMLC_ROLE',
    'CUDA_VISIBLE_DEVICES',
)


def check_threads(subject: str) -> Iterator[Finding]:
    """Report the number of threads for two sizes of a model, and variables that affect it."""
    from .._runtime import thread_settings
    from ..config import DataConfig, ModelConfig

    sizes = [(DataConfig.batch_size, n) for n in (ModelConfig.num_hiddens, LARGE_NUM_HIDDENS)]
    threads = ' and '.join(
        f'{thread_settings(*size)["OMP_NUM_THREADS"]} for {size[0]} x {size[1]}' for size in sizes
    )
    variables = [
        f'{name}={value}'
        for name, value in sorted(os.environ.items())
        if name.startswith(_VARIABLE_PREFIXES)
    ]
    yield Finding(
        subject,
        INFO,
        f'number of threads: {threads} hidden values per batch, unless OMP_NUM_THREADS is set',
    )
    yield Finding(subject, INFO, f'environment variables: {", ".join(variables) or "none"}')


def check_speed(subject: str) -> Iterator[Finding]:
    """Measure how fast `fit` trains the chapter's model."""
    from ..device import try_gpu
    from .speed import milliseconds_per_batch

    ctx = try_gpu()
    milliseconds = milliseconds_per_batch(ctx)
    text = f"{milliseconds:.1f} ms per batch of the chapter's model on {ctx}"
    if ctx.device_type == 'gpu':
        yield Finding(subject, INFO, text)
    elif milliseconds <= SLOW_MILLISECONDS:
        yield Finding(subject, OK, f'{text}; {_TYPICAL_SPEED}')
    else:
        yield Finding(subject, WARNING, f'{text}; {_TYPICAL_SPEED}', _how_to_speed_up())


def _how_to_speed_up() -> str:
    if os.environ.get('OMP_NUM_THREADS') != '1':
        return (
            'To let the size of a training step determine the number of threads, type: '
            'unset OMP_NUM_THREADS'
        )
    return 'To see what else uses the processor, type: top'


def check_memory(subject: str) -> Iterator[Finding]:
    """Report the main memory that this process may use, and how much of it is available."""
    total, available = main_memory()
    if available is None:  # for example on macOS
        yield Finding(subject, INFO, f'{total / 1e9:.1f} GB')
        return
    yield _ok_or_warning(
        subject,
        f'{total / 1e9:.1f} GB, {available / 1e9:.1f} GB available',
        available >= MIN_FREE_MEMORY,
        'Close other programs, or train with a smaller --batch-size.',
    )


def check_disk(subject: str) -> Iterator[Finding]:
    """Check that the folder of runs can be written to, and report the free space."""
    folder = Path('runs').absolute()
    while not folder.exists():
        folder = folder.parent
    free = shutil.disk_usage(folder).free
    try:
        with tempfile.TemporaryFile(dir=folder) as file:  # leaves no file, even if killed
            file.write(b'0')
            file.flush()
    except OSError as error:
        yield Finding(
            subject,
            WARNING,
            f'{folder}, where runs are saved, cannot be written to ({error.strerror})',
            'Choose another folder with --out.',
        )
        return
    yield _ok_or_warning(
        subject,
        f'{free / 1e9:.1f} GB free in {folder}, where runs are saved',
        free >= MIN_FREE_DISK,
        'Free some space, or choose another folder with --out.',
    )


def _ok_or_warning(subject: str, text: str, is_ok: bool, hint: str) -> Finding:
    return Finding(subject, OK, text) if is_ok else Finding(subject, WARNING, text, hint)


def check_corpus(subject: str) -> Iterator[Finding]:
    """Check for the book's corpus where `read_corpus` looks: named file, cache, then download."""
    from ..book.fra_eng import DATA_VARIABLE, cached_fra_eng

    named = os.environ.get(DATA_VARIABLE)
    if named:
        text = f"the book's corpus, named by {DATA_VARIABLE}: {named}"
        yield _finding_on_disk(subject, Path(named), text)
        return
    path = cached_fra_eng()
    try:
        is_cached = path.exists()
    except OSError:  # reading it reports the reason
        is_cached = True
    if is_cached:
        text = f"the book's corpus, in the cache: {path}"
        yield _finding_on_disk(subject, path, text, f'Type: rm {shell_quote(path)}')
    else:
        yield _finding_of_download(subject, path)


def _finding_on_disk(subject: str, path: Path, text: str, hint: str = '') -> Finding:
    """Check that a file or folder holds the book's corpus; `hint` replaces the error's own."""
    from ..book.fra_eng import DATA_VARIABLE, find_fra_eng

    try:
        find_fra_eng(path)
    except InputError as error:
        return Finding(subject, WARNING, error.problem, hint or error.hint)
    except OSError as error:  # for example, a parent folder without permission
        return Finding(
            subject,
            WARNING,
            f'{path}: cannot be read ({error.strerror})',
            hint or f'Correct its permissions, or set {DATA_VARIABLE} to a copy.',
        )
    return Finding(subject, OK, text)


def _finding_of_download(subject: str, path: Path) -> Finding:
    """Check that the book's corpus can be downloaded, without downloading it."""
    import requests  # noqa: F401  # so that the time below is that of the network alone

    from ..book.fra_eng import DATA_VARIABLE, FRA_ENG_URL, try_download

    try:
        # Half of the time is for the connection and half for the answer.
        _call_within(CORPUS_TIMEOUT, lambda: try_download(timeout=CORPUS_TIMEOUT / 2))
    except InputError as error:
        problem = error.problem
    except futures.TimeoutError:
        problem = f'{FRA_ENG_URL} did not answer within {CORPUS_TIMEOUT} seconds'
    else:
        return Finding(
            subject,
            OK,
            f"the book's corpus, not downloaded yet: {FRA_ENG_URL} can be reached, and the file "
            f'will be saved as {path}',
        )
    return Finding(
        subject,
        WARNING,
        f'{problem}; the bundled corpus is used instead',
        f'Set {DATA_VARIABLE} to a copy of {path.name}.',
    )


def _call_within(seconds: float, function: Callable[[], object]) -> None:
    """Call a function and wait for it for a limited time, because name resolution has no timeout.

    Raises
    ------
    futures.TimeoutError
        If it takes longer.  The function then continues in its thread.
    """
    future: futures.Future = futures.Future()

    def call():
        try:
            future.set_result(function())
        except BaseException as error:
            future.set_exception(error)

    threading.Thread(target=call, daemon=True).start()
    future.result(seconds)
