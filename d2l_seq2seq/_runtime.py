"""Settings of the process that MXNet computes in: threads, memory, and arithmetic near zero.

`choose_threads` must be called before MXNet is loaded.  `reuse_memory` and `flush_to_zero` are
called by `_mxnet`.  `require_memory` is called before something large is allocated.
"""

from __future__ import annotations

import contextlib
import ctypes
import logging
import os
import platform
import re
from pathlib import Path
from typing import Iterator, NamedTuple

from .errors import InputError

logger = logging.getLogger(__name__)

# The smallest number of hidden values of a step, batch_size * num_hiddens, at which more than one
# thread is worthwhile.  Two threads take 0.98 to 1.04 times as long as one at 2,048 and 4,096
# values, and 0.7 times as long at 8,192.
PARALLEL_SIZE = 8192
THREAD_LIMIT = 'OMP_THREAD_LIMIT'  # OpenMP's variable for the largest number of threads

# Options of glibc's mallopt, and the values that `reuse_memory` sets.
_M_TRIM_THRESHOLD, _M_MMAP_MAX, _M_ARENA_MAX = -1, -4, -8
ALWAYS_TRIED = 5e8  # bytes of memory, see `require_memory`
# The memory limit of a container, its memory usage and the details of that, in versions 2 and 1 of
# control groups.
_CGROUP_FILES = tuple(
    tuple(f'/sys/fs/cgroup/{name}' for name in names)
    for names in (
        ('memory.max', 'memory.current', 'memory.stat'),
        ('memory/memory.limit_in_bytes', 'memory/memory.usage_in_bytes', 'memory/memory.stat'),
    )
)
# The CPU quota of a container, in versions 2 and 1 of control groups.
_CPU_QUOTA_FILES = (
    ('/sys/fs/cgroup/cpu.max',),
    ('/sys/fs/cgroup/cpu/cpu.cfs_quota_us', '/sys/fs/cgroup/cpu/cpu.cfs_period_us'),
)
_MALLOC_OPTIONS = ((_M_MMAP_MAX, 0), (_M_TRIM_THRESHOLD, 2**31 - 1), (_M_ARENA_MAX, 1))


def choose_threads(batch_size: int, num_hiddens: int) -> None:
    """Choose the number of threads of an operator by the size of a training step.

    MXNet reads these environment variables once, when it is loaded.  Without them it uses half of
    the cores.  Variables that are already set keep their values.
    """
    for name, value in thread_settings(batch_size, num_hiddens).items():
        logger.debug('%s=%s', name, os.environ.setdefault(name, value))


def thread_settings(batch_size: int, num_hiddens: int) -> dict[str, str]:
    """Return the environment variables that suit a training step of this size."""
    threads = num_cores() if batch_size * num_hiddens >= PARALLEL_SIZE else 1
    # A step consists of hundreds of short parallel regions.  A thread that sleeps between them must
    # be woken for each; a thread that spins for 10 microseconds is still awake (this saves a fifth
    # of the time at 512 units).  GOMP_SPINCOUNT limits the spinning, which OMP_WAIT_POLICY=active
    # alone would extend to minutes.
    return {
        'OMP_NUM_THREADS': str(threads),
        'OMP_WAIT_POLICY': 'active',
        'GOMP_SPINCOUNT': '300000',
    }


def num_cores() -> int:
    """Return the number of cores that this process may use.

    It is limited by the process's affinity, by the CPU quota of its container, and by
    ``OMP_THREAD_LIMIT``.
    """
    if hasattr(os, 'sched_getaffinity'):
        available = len(os.sched_getaffinity(0))
    else:
        available = os.cpu_count() or 1
    quota = cpu_quota()
    if quota is not None:
        available = min(available, max(1, int(quota)))
    limit = os.environ.get(THREAD_LIMIT, '')
    return min(available, int(limit)) if limit.isdecimal() and int(limit) else available


def cpu_quota() -> float | None:
    """Return the number of cores whose time the container may use, or None if it has no limit."""
    quotas = []
    for paths in _CPU_QUOTA_FILES:
        words = ' '.join(map(_read_text, paths)).split()  # microseconds: the quota and the period
        if len(words) == 2 and all(word.isdecimal() and int(word) for word in words):
            quotas.append(int(words[0]) / int(words[1]))
    return min(quotas, default=None)


def reuse_memory() -> None:
    """Make the C library reuse freed memory instead of returning it to the system.

    MXNet allocates the memory of a batch and frees it after the batch.  By default the C library
    takes large blocks from the system and returns them each time, and the system clears every page
    again: a seventh of the time of a step at 512 hidden units.  The cost is memory, because the
    process keeps the largest amount that it ever used (1.4 instead of 1.1 GB at that size).

    This applies to glibc, and so to Linux.  The function does nothing with other C libraries, or
    if the environment sets one of glibc's own ``MALLOC_...`` variables.
    """
    if platform.libc_ver()[0] != 'glibc' or any(name.startswith('MALLOC_') for name in os.environ):
        return
    libc = ctypes.CDLL(None)
    for option, value in _MALLOC_OPTIONS:
        libc.mallopt(option, value)


class Memory(NamedTuple):
    """The main memory that this process may use, in bytes."""

    total: int
    available: int | None  # None: the system does not say


def main_memory() -> Memory:
    """Return the main memory of the machine, or of the container if that has less."""
    total = os.sysconf('SC_PAGE_SIZE') * os.sysconf('SC_PHYS_PAGES')
    match = re.search(r'MemAvailable: *(\d+) kB', _read_text('/proc/meminfo'))
    if match is None:  # for example on macOS
        return Memory(total, None)
    available = int(match.group(1)) * 1024
    for paths in _CGROUP_FILES:
        limit, usage, details = map(_read_text, paths)
        if limit.isdecimal() and int(limit) < total:
            total = int(limit)
            # Usage includes cached pages of files, which the system frees when it needs memory.
            fields = dict(line.split() for line in details.splitlines() if line.count(' ') == 1)
            cached = fields.get('total_inactive_file') or fields.get('inactive_file', '0')
            needed = int(usage or 0) - int(cached)
            available = min(available, max(0, total - needed))
    return Memory(total, available)


def require_memory(num_bytes: float, purpose: str, hint: str) -> None:
    """Raise `InputError` if there is not enough memory for something that will be allocated.

    A need of less than `ALWAYS_TRIED` bytes is not checked.

    Parameters
    ----------
    num_bytes : float
        An estimate of the memory that is needed.
    purpose : str
        What needs it, before "needs about 12 GB of memory".
    hint : str
        What the user can reduce.
    """
    if num_bytes < ALWAYS_TRIED:
        return
    total, available = main_memory()
    limit = total if available is None else available
    if num_bytes > limit:
        raise InputError(
            f'{purpose} needs about {num_bytes / 1e9:,.1f} GB of memory, and '
            f'{limit / 1e9:,.1f} GB are available',
            hint,
        )


def _read_text(path: str) -> str:
    """Return the text of a file, or '' if it cannot be read."""
    try:
        return Path(path).read_text().strip()
    except OSError:
        return ''


@contextlib.contextmanager
def flush_to_zero() -> Iterator[None]:
    """Treat numbers below 1.2e-38 as zero, in this context and in the threads started within it.

    Adam's moments of a rare word decay to such denormal numbers, with which processors compute
    slowly: with 10,000 words, an update takes three times as long after 2,000 steps.  A thread
    inherits the mode from the thread that starts it, so MXNet's threads are started in this
    context, and the caller's own arithmetic returns to its previous mode afterwards.

    This applies to 64-bit Intel and AMD processors on Linux; elsewhere the context does nothing.

    MXNet restarts its threads when the process forks, which every subprocess does before Python
    3.10.  The new threads use the normal mode: they are slower for denormal numbers and otherwise
    equivalent.
    """
    if (platform.system(), platform.machine()) != ('Linux', 'x86_64'):
        yield
        return
    libm = ctypes.CDLL('libm.so.6')
    # Two of the C library's fenv_t structures, which hold the floating-point mode of a thread.
    previous, flushing = ctypes.create_string_buffer(32), ctypes.create_string_buffer(32)
    libm.fegetenv(previous)
    libm.fegetenv(flushing)
    mxcsr = ctypes.cast(ctypes.byref(flushing, 28), ctypes.POINTER(ctypes.c_uint32))
    mxcsr[0] |= 0x8040  # flush denormal results to zero, and treat denormal operands as zero
    libm.fesetenv(flushing)
    try:
        yield
    finally:
        libm.fesetenv(previous)
