"""What has to be settled before MXNet computes: threads, memory, and numbers next to zero."""

from __future__ import annotations

import contextlib
import ctypes
import logging
import os
import platform
from typing import Iterator

logger = logging.getLogger(__name__)

# Hidden values of a step, batch_size * num_hiddens, from which on a second core pays: two threads
# take 0.98 to 1.04 times as long as one at 2,048 and 4,096 of them, and 0.7 times at 8,192.
PARALLEL_SIZE = 8192
THREAD_LIMIT = 'OMP_THREAD_LIMIT'  # OpenMP's own limit of a process's threads

# Options of glibc's mallopt, and the values that `keep_memory` gives them.
_M_TRIM_THRESHOLD, _M_MMAP_MAX, _M_ARENA_MAX = -1, -4, -8
_KEEPING = ((_M_MMAP_MAX, 0), (_M_TRIM_THRESHOLD, 2**31 - 1), (_M_ARENA_MAX, 1))


def num_cores() -> int:
    """How many cores this process may use: those that the system gives it, or OMP_THREAD_LIMIT."""
    given = len(os.sched_getaffinity(0)) if hasattr(os, 'sched_getaffinity') else os.cpu_count()
    limit = os.environ.get(THREAD_LIMIT, '')
    return min(given or 1, int(limit)) if limit.isdecimal() and int(limit) else given or 1


def thread_settings(batch_size: int, num_hiddens: int) -> dict[str, str]:
    """The environment variables that suit a training step of that size."""
    threads = num_cores() if batch_size * num_hiddens >= PARALLEL_SIZE else 1
    # A step is hundreds of short parallel regions.  A thread that sleeps between them has to be
    # woken for each; one that waits for 10 microseconds is still awake (a fifth of the time at 512
    # units).  The last number keeps the one before it from meaning minutes.
    return {
        'OMP_NUM_THREADS': str(threads),
        'OMP_WAIT_POLICY': 'active',
        'GOMP_SPINCOUNT': '300000',
    }


def choose_threads(batch_size: int, num_hiddens: int) -> None:
    """Choose how many threads an operator runs on, by the size of a training step.

    MXNet reads these variables when it is loaded and never again; left to itself it takes half of
    the cores.  What the environment gives already stands.
    """
    for name, value in thread_settings(batch_size, num_hiddens).items():
        logger.debug('%s=%s', name, os.environ.setdefault(name, value))


def keep_memory() -> None:
    """Have the C library hand freed memory out again instead of returning it to the system.

    MXNet allocates what a batch needs and frees it after the batch.  Large pieces come from the
    system and go back there each time, and the system clears every page anew: at 512 hidden units
    that is a seventh of the time of a step.  What this costs is memory: the process keeps the most
    that it ever used (1.4 instead of 1.1 GB at that size).  Known for glibc, which means Linux;
    elsewhere nothing happens, nor where the environment sets one of glibc's own ``MALLOC_...``
    variables.
    """
    if platform.libc_ver()[0] != 'glibc' or any(name.startswith('MALLOC_') for name in os.environ):
        return
    libc = ctypes.CDLL(None)
    for option, value in _KEEPING:
        libc.mallopt(option, value)


@contextlib.contextmanager
def flush_to_zero() -> Iterator[None]:
    """Within it, numbers below 1.2e-38 count as 0, also in threads that are started in it.

    Adam's moments of a rare word decay into such numbers, which processors compute with slowly: at
    10,000 words an update takes three times as long after 2,000 steps.  Threads inherit the mode,
    so MXNet's are started in it, while the caller's own arithmetic gets its mode back.  Known for
    64-bit Intel and AMD processors under Linux; elsewhere nothing happens.

    MXNet starts its threads anew when the process forks (before Python 3.10 every subprocess is a
    fork); those are back in the usual mode, slower in that case and otherwise as good.
    """
    if (platform.system(), platform.machine()) != ('Linux', 'x86_64'):
        yield
        return
    libm = ctypes.CDLL('libm.so.6')
    before, flushing = ctypes.create_string_buffer(32), ctypes.create_string_buffer(32)  # fenv_t
    libm.fegetenv(before)
    libm.fegetenv(flushing)
    mxcsr = ctypes.cast(ctypes.byref(flushing, 28), ctypes.POINTER(ctypes.c_uint32))
    mxcsr[0] |= 0x8040  # flush results to zero, and take denormal operands for zero
    libm.fesetenv(flushing)
    try:
        yield
    finally:
        libm.fesetenv(before)
