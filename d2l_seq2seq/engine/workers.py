"""Workers that train one model together: the only file that knows MXNet's KVStore.

Each worker computes the gradient of its share of a batch; a parameter server (ps-lite, which is
part of MXNet) adds them up, and each worker makes the same update.  One process by itself is
`SingleWorker`, which does nothing.

What goes over the wire is neither encrypted nor signed, and a server unpickles what reaches it: use
networks that are yours alone.
"""

from __future__ import annotations

import hashlib
import os
from typing import Sequence

import numpy as onp

from .._mxnet import mx
from ..errors import InputError

_ROLE = 'DMLC_ROLE'  # what ps-lite looks for in the environment, among others


class SingleWorker:
    """A process by itself.

    Attributes
    ----------
    rank : int
        Its number, from 0.
    num_workers : int
    ask_every : int
        Updates from one question to all workers to the next, which each have to answer.
    """

    rank, num_workers, ask_every = 0, 1, 1

    def sum(self, vectors: Sequence[mx.nd.NDArray]) -> Sequence[mx.nd.NDArray]:
        """Each float32 vector added up over all workers, which give as many of the same sizes.

        The results may be the vectors themselves, or share memory with each other.
        """
        return vectors

    def broadcast_arrays(self, vectors: Sequence[mx.nd.NDArray]) -> None:
        """Give the float32 vectors the values that they have with the first worker."""

    def any(self, is_so: bool) -> bool:
        """Whether it is so with at least one worker."""
        return is_so

    def broadcast(self, numbers: Sequence[float]) -> list[float]:
        """The numbers that the first worker gives, to the bit; others give as many, whatever."""
        return list(numbers)

    def require_equal(self, value: bytes, what: str) -> None:
        """Raise `InputError` unless all workers have the same value."""


class KVStoreWorkers(SingleWorker):
    """One of several processes, which meet at a parameter server.

    All of them have to call the same methods in the same order.

    Raises
    ------
    InputError
        If the environment does not say where the others are.
    """

    # Set once this process has met the others.  Kept, as to give it up waits for all of them.
    connected: KVStoreWorkers | None = None
    ask_every = 4

    def __init__(self):
        if os.environ.get(_ROLE) != 'worker':
            raise InputError(
                f'--kvstore dist_sync: expected {_ROLE}=worker and its companions in '
                'the environment; start workers with python -m d2l_seq2seq.launch, '
                'or train in one with --kvstore none'
            )
        self._store = mx.kv.create('dist_sync')
        self.rank, self.num_workers = self._store.rank, self._store.num_workers
        self._keys: set[str] = set()
        KVStoreWorkers.connected = self

    def sum(self, vectors: Sequence[mx.nd.NDArray]) -> Sequence[mx.nd.NDArray]:
        joined = mx.nd.concat(*vectors, dim=0)
        key = str(joined.size)
        if key not in self._keys:
            # Without the two waits a worker may push before the server has the key.
            self._store.init(key, mx.nd.zeros_like(joined))
            mx.nd.waitall()
            self._store._barrier()
            self._keys.add(key)
        self._store.push(key, joined)
        self._store.pull(key, out=joined)
        ends = onp.cumsum([0, *(vector.size for vector in vectors)]).tolist()
        return [joined[start:end] for start, end in zip(ends, ends[1:])]

    def broadcast_arrays(self, vectors: Sequence[mx.nd.NDArray]) -> None:
        own = [vector if self.rank == 0 else mx.nd.zeros_like(vector) for vector in vectors]
        for vector, summed in zip(vectors, self.sum(own)):
            vector[:] = summed

    def any(self, is_so: bool) -> bool:
        (count,) = self.sum([mx.nd.array([is_so])])
        return bool(count.asscalar())

    def broadcast(self, numbers: Sequence[float]) -> list[float]:
        # Sums are of float32, in which a byte is exact and a double is not.
        own = onp.array(numbers, dtype='float64').view('uint8').astype('float32')
        (summed,) = self.sum([mx.nd.array(own if self.rank == 0 else own * 0)])
        return summed.asnumpy().astype('uint8').view('float64').tolist()

    def require_equal(self, value: bytes, what: str) -> None:
        digest = hashlib.sha256(value).digest()
        # A row for each worker, of numbers small enough to be exact.
        table = onp.zeros((self.num_workers, len(digest)), dtype='float32')
        table[self.rank] = list(digest)
        (summed,) = self.sum([mx.nd.array(table.ravel())])
        rows = summed.asnumpy().reshape(table.shape)
        unlike = onp.flatnonzero((rows != rows[0]).any(axis=1)).tolist()
        if unlike:
            raise InputError(
                f'workers {unlike} differ from worker 0 in {what}; start all of them '
                'with the same command, files and versions'
            )


GROUPS = {'none': SingleWorker, 'dist_sync': KVStoreWorkers}
