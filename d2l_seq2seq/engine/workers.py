"""Workers that train one model together.

Each worker computes the gradient of its share of a batch, the gradients are added up over all
workers, and each worker makes the same update.  `SingleWorker` is a process on its own;
`KVStoreWorkers` are several processes joined by MXNet's parameter server (ps-lite).  This is the
only file that uses MXNet's KVStore.

The transport is neither encrypted nor authenticated, and a server unpickles what it receives.  Use
it in private networks only.
"""

from __future__ import annotations

import abc
import hashlib
import os
from typing import Sequence

import numpy as onp

from .._mxnet import mx
from ..config import TrainingConfig
from ..errors import InputError

_ROLE = 'DMLC_ROLE'  # the variable that tells ps-lite the role of a process


def join_workers(config: TrainingConfig) -> Workers:
    """Join the workers that a configuration asks for.

    Raises
    ------
    InputError
        If the environment does not say where the other workers are.
    """
    return {'none': SingleWorker, 'dist_sync': KVStoreWorkers}[config.kvstore]()


class Workers(abc.ABC):
    """The processes that train together, as one of them sees them.

    All processes must call the same methods in the same order.

    Attributes
    ----------
    rank : int
        Number of this process, from 0.
    num_workers : int
        Number of processes.
    poll_interval : int
        Number of updates between two polls of all workers, because a poll takes time.
    """

    rank: int
    num_workers: int
    poll_interval: int

    @abc.abstractmethod
    def sum(self, vectors: Sequence[mx.nd.NDArray]) -> Sequence[mx.nd.NDArray]:
        """Add up vectors over all workers.

        Parameters
        ----------
        vectors : sequence of float32 NDArray of shape (size,)
            The same number of vectors of the same sizes on each worker.

        Returns
        -------
        sequence of float32 NDArray of shape (size,)
            May be the vectors themselves, or share memory with each other.
        """

    @abc.abstractmethod
    def any(self, flag: bool) -> bool:
        """Return whether the flag is true on at least one worker."""

    @abc.abstractmethod
    def broadcast(self, numbers: Sequence[float]) -> list[float]:
        """Return the numbers of worker 0, bit for bit; all workers pass the same number of them."""

    @abc.abstractmethod
    def broadcast_arrays(self, vectors: Sequence[mx.nd.NDArray]) -> None:
        """Set float32 vectors to the values that they have on worker 0."""

    @abc.abstractmethod
    def barrier(self) -> None:
        """Wait until all workers are here."""

    @abc.abstractmethod
    def require_equal(self, value: bytes, description: str) -> None:
        """Raise `InputError` unless all workers pass the same value."""


class SingleWorker(Workers):
    """A process that trains on its own."""

    rank, num_workers, poll_interval = 0, 1, 1

    def sum(self, vectors: Sequence[mx.nd.NDArray]) -> Sequence[mx.nd.NDArray]:
        """Return the vectors."""
        return vectors

    def any(self, flag: bool) -> bool:
        """Return the flag."""
        return flag

    def broadcast(self, numbers: Sequence[float]) -> list[float]:
        """Return the numbers."""
        return list(numbers)

    def broadcast_arrays(self, vectors: Sequence[mx.nd.NDArray]) -> None:
        """Leave the vectors as they are."""

    def barrier(self) -> None:
        """Return at once."""

    def require_equal(self, value: bytes, description: str) -> None:
        """Accept any value."""


class KVStoreWorkers(Workers):
    """Processes that are joined by MXNet's parameter server.

    Raises
    ------
    InputError
        If the environment does not say where the other workers are.
    """

    # Set when this process has joined.  It is never released, because releasing the store waits for
    # all other workers, which may be waiting for this one.
    connected: KVStoreWorkers | None = None
    poll_interval = 4

    def __init__(self):
        if os.environ.get(_ROLE) != 'worker':
            raise InputError(
                f'--kvstore dist_sync: expected {_ROLE}=worker and related variables in the '
                'environment',
                'Start the workers with python -m d2l_seq2seq.launch, or train in one process '
                'with --kvstore none.',
            )
        self._store = mx.kv.create('dist_sync')
        self.rank, self.num_workers = self._store.rank, self._store.num_workers
        self._keys: set[str] = set()
        KVStoreWorkers.connected = self

    def sum(self, vectors: Sequence[mx.nd.NDArray]) -> Sequence[mx.nd.NDArray]:
        """Add up vectors over all workers, in one push and one pull."""
        joined = mx.nd.concat(*vectors, dim=0)
        key = str(joined.size)
        if key not in self._keys:
            # Without both waits, a worker may push before the server knows the key.
            self._store.init(key, mx.nd.zeros_like(joined))
            mx.nd.waitall()
            self._store._barrier()
            self._keys.add(key)
        self._store.push(key, joined)
        self._store.pull(key, out=joined)
        ends = onp.cumsum([0, *(vector.size for vector in vectors)]).tolist()
        return [joined[start:end] for start, end in zip(ends, ends[1:])]

    def any(self, flag: bool) -> bool:
        """Return whether the flag is true on at least one worker."""
        (count,) = self.sum([mx.nd.array([flag])])
        return bool(count.asscalar())

    def broadcast(self, numbers: Sequence[float]) -> list[float]:
        """Return the numbers of worker 0, sent byte by byte: a float32 sum is exact for bytes."""
        data = onp.array(numbers, dtype='float64').view('uint8').astype('float32')
        (summed,) = self.sum([mx.nd.array(data if self.rank == 0 else data * 0)])
        return summed.asnumpy().astype('uint8').view('float64').tolist()

    def broadcast_arrays(self, vectors: Sequence[mx.nd.NDArray]) -> None:
        """Set float32 vectors to the values that they have on worker 0."""
        addends = vectors if self.rank == 0 else [mx.nd.zeros_like(vector) for vector in vectors]
        for vector, summed in zip(vectors, self.sum(addends)):
            vector[:] = summed

    def barrier(self) -> None:
        """Wait until all workers are here."""
        self.any(False)

    def require_equal(self, value: bytes, description: str) -> None:
        """Raise `InputError` unless all workers pass the same value, compared by SHA-256."""
        digest = hashlib.sha256(value).digest()
        table = onp.zeros((self.num_workers, len(digest)), dtype='float32')
        table[self.rank] = list(digest)  # bytes, which a float32 sum keeps exact
        (summed,) = self.sum([mx.nd.array(table.ravel())])
        digests = summed.asnumpy().reshape(table.shape)
        different = onp.flatnonzero((digests != digests[0]).any(axis=1)).tolist()
        if different:
            raise InputError(
                f'workers {different} differ from worker 0 in {description}',
                'Start all of them with the same command, files and versions.',
            )
