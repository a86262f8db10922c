"""Batches brought to the device: their order, their random state, their upload.

MXNet copies an array to the device behind everything that is still to be computed, so the usual
upload waits each time.  Here a batch is laid out in one array of the host, handed to MXNet without
a copy (or copied to a GPU in one piece), and its parts are views.  That happens while the device is
still busy with the batches before.
"""
from __future__ import annotations

import hashlib
import itertools
from dataclasses import dataclass
from typing import Iterator, Sequence, Union

import numpy as onp

from .._mxnet import mx, npx
from .encoding import Batch

Devices = Union[mx.Context, Sequence[mx.Context], None]

ROW_BLOCK = 32  # label rows are filled up to a multiple of it, so that few shapes occur


@dataclass(frozen=True)
class DeviceBatch:
    """A batch as the training step wants it: views on the device, and counts on the host."""

    src: mx.nd.NDArray  # float32 (batch_size, num_src_steps), token ids
    src_valid_len: mx.nd.NDArray  # float32 (batch_size,)
    tgt: mx.nd.NDArray  # float32 (batch_size, num_tgt_steps), decoder input, cut to its longest
    tgt_valid_len: mx.nd.NDArray  # float32 (batch_size,), labels of each sentence
    rows: mx.nd.NDArray  # float32 (num_rows,), places among batch_size * num_tgt_steps with a label
    label_index: mx.nd.NDArray  # float32 (2, num_rows): 0, 1, 2, ... and the labels' token ids
    row_weight: mx.nd.NDArray  # float32 (num_rows,), 1 for a label and 0 for a row that fills up
    num_tokens: int  # labels, the rows of weight 1; they come first
    num_label_steps: int  # label positions of a sentence before the cut, the book's divisor


@dataclass(frozen=True)
class GlobalBatch:
    """A batch of the corpus: the parts of it that are this process's, and the counts of all."""

    parts: list[DeviceBatch]  # one for each device at most; none without sentences
    num_tokens: int  # labels
    num_label_steps: int  # see `DeviceBatch`


class Feed:
    """The shuffled batches of a corpus; one pass over it is an epoch.

    The order is drawn from a generator of its own, in the way in which the book's data loader draws
    it from NumPy's global one: with the same seed the batches are the same.

    Parameters
    ----------
    arrays : Batch
        The whole corpus: token ids (num_sentences, num_steps) and valid lengths (num_sentences,).
    batch_size : int
        Sentences of a batch, on all devices of all workers together.
    seed : int
    ctx : mxnet.Context or sequence of mxnet.Context, optional
        The devices that share a batch.
    worker : (int, int)
        The number of this process, from 0, and how many share a batch.

    Attributes
    ----------
    devices : list of mxnet.Context
    random_state : numpy.random.RandomState
        What draws the orders; its `get_state` before an epoch is all that is needed to repeat it.

    Raises
    ------
    ValueError
        If there is no sentence, `batch_size` is below 1, or a device is there twice.
    """

    def __init__(self, arrays: Batch, batch_size: int, seed: int, ctx: Devices = None,
                 worker: tuple[int, int] = (0, 1)):
        if batch_size < 1 or len(arrays.src) == 0:
            raise ValueError(f'expected sentences and a batch_size of at least 1, got '
                             f'{len(arrays.src)} sentences and {batch_size}')
        self._arrays = Batch(*(array.asnumpy().astype('float32') for array in arrays))
        self.batch_size = batch_size
        self.devices = list(ctx) if isinstance(ctx, Sequence) else [ctx or npx.cpu()]
        if not self.devices or len(set(self.devices)) < len(self.devices):
            raise ValueError(f'expected different devices, got {self.devices}')
        self.worker = worker
        self.random_state = onp.random.RandomState(seed)

    def __len__(self) -> int:
        return -(-len(self._arrays.src) // self.batch_size)

    def __iter__(self) -> Iterator[DeviceBatch]:
        return itertools.chain.from_iterable(batch.parts for batch in self.batches())

    def batches(self, first: int = 0) -> Iterator[GlobalBatch]:
        """One pass, from the batch of that number on; the order is drawn as for a whole pass."""
        return map(self._batch, self._draw()[first:])

    def _draw(self) -> list[onp.ndarray]:
        """The sentence numbers of each batch of a pass, in a drawn order."""
        order = onp.arange(len(self._arrays.src))
        self.random_state.shuffle(order)
        return [order[start:start + self.batch_size]
                for start in range(0, len(order), self.batch_size)]

    def fingerprint(self) -> str:
        """SHA-256 of the corpus that it feeds: the same ids, the same fingerprint."""
        digest = hashlib.sha256()
        for array in self._arrays:
            digest.update(str(array.shape).encode())
            digest.update(onp.ascontiguousarray(array).tobytes())
        return digest.hexdigest()

    def _batch(self, chosen: onp.ndarray) -> GlobalBatch:
        """The sentences of these numbers, the share of each device brought there."""
        batch = self._chosen(chosen)
        rank, num_workers = self.worker
        own = [onp.array_split(array, num_workers)[rank] for array in batch]
        shares = zip(*(onp.array_split(array, len(self.devices)) for array in own))
        parts = [_upload(_layout(Batch(*share)), device)
                 for share, device in zip(shares, self.devices) if len(share[0])]
        return GlobalBatch(parts, int(_num_labels(batch).sum()), batch.tgt.shape[1] - 1)

    def _chosen(self, chosen: onp.ndarray) -> Batch:
        """The sentences of these numbers on the host, as far padded as they came."""
        return Batch(*(array[chosen] for array in self._arrays))


class BucketFeed(Feed):
    """Batches of sentences of similar length, cut to it, in a drawn order.

    For corpora whose lengths vary: most of the padding that a fixed `num_steps` brings is never
    computed.  Sentences are alike when both sides, rounded up to a multiple of `width`, are; a
    bucket's last batch is smaller than the others.

    Parameters
    ----------
    arrays, batch_size, seed, ctx, worker : as for `Feed`
    width : int
        Tokens between one bucket and the next.

    Notes
    -----
    An encoder that reads padding, as the chapter's does, sees less of it here than with a `Feed`,
    so it learns another function, and `book_objective` takes its mean over fewer positions.
    """

    def __init__(self, arrays: Batch, batch_size: int, seed: int, ctx: Devices = None,
                 width: int = 4, worker: tuple[int, int] = (0, 1)):
        super().__init__(arrays, batch_size, seed, ctx, worker)
        if width < 1:
            raise ValueError(f'expected a width of at least 1, got {width}')
        limits = self._arrays.src.shape[1], self._arrays.tgt.shape[1]
        # (num_sentences, 2): how many source and target tokens are kept.
        self._widths = onp.stack([
            onp.minimum(-(-lengths // width) * width, limit).astype(int)
            for lengths, limit in zip((self._arrays.src_valid_len, self._arrays.tgt_valid_len),
                                      limits)], axis=1)

    def _capacity(self, src_width: int, tgt_width: int) -> int:
        """How many sentences of these widths make a batch."""
        return self.batch_size

    def _buckets(self, order: onp.ndarray) -> Iterator[onp.ndarray]:
        """Batches of sentence numbers, bucket by bucket, each bucket in the given order."""
        for widths in onp.unique(self._widths, axis=0):
            members = order[(self._widths[order] == widths).all(axis=1)]
            capacity = self._capacity(*widths)
            yield from (members[start:start + capacity]
                        for start in range(0, len(members), capacity))

    def __len__(self) -> int:
        return sum(1 for _ in self._buckets(onp.arange(len(self._widths))))

    def _draw(self) -> list[onp.ndarray]:
        order = onp.arange(len(self._widths))
        self.random_state.shuffle(order)
        batches = list(self._buckets(order))
        return [batches[number] for number in self.random_state.permutation(len(batches))]

    def _chosen(self, chosen: onp.ndarray) -> Batch:
        src_width, tgt_width = self._widths[chosen[0]]
        src, src_valid_len, tgt, tgt_valid_len = super()._chosen(chosen)
        return Batch(src[:, :src_width], src_valid_len, tgt[:, :tgt_width], tgt_valid_len)


class TokenFeed(BucketFeed):
    """Batches of similar length with as many tokens each: many short sentences, few long ones.

    Parameters
    ----------
    arrays, seed, ctx, width, worker : as for `BucketFeed`
    max_tokens : int
        The most tokens of a batch, padding included, on the side that has more of them.  A single
        sentence may be longer.
    """

    def __init__(self, arrays: Batch, max_tokens: int, seed: int, ctx: Devices = None,
                 width: int = 4, worker: tuple[int, int] = (0, 1)):
        super().__init__(arrays, len(arrays.src), seed, ctx, width, worker)
        self.max_tokens = max_tokens

    def _capacity(self, src_width: int, tgt_width: int) -> int:
        return max(1, self.max_tokens // max(src_width, tgt_width))


def _num_labels(batch: Batch) -> onp.ndarray:
    """The labels of each sentence: its target tokens without the first."""
    return onp.maximum(batch.tgt_valid_len.astype(int) - 1, 0)


def _layout(batch: Batch) -> dict:
    """A batch's arrays on the host, by the names of `DeviceBatch`, and its counts."""
    num_labels = _num_labels(batch)
    num_tgt_steps = max(1, num_labels.max())  # behind that, all is padding
    steps = onp.arange(num_tgt_steps)
    sentence, step = onp.nonzero(steps < num_labels[:, None])
    num_tokens = len(sentence)
    num_rows = max(ROW_BLOCK, num_tokens + -num_tokens % ROW_BLOCK)
    rows, labels, weight = onp.zeros((3, num_rows), dtype='float32')
    rows[:num_tokens] = sentence * num_tgt_steps + step
    labels[:num_tokens] = batch.tgt[sentence, step + 1]
    weight[:num_tokens] = 1
    return {
        'src': batch.src, 'src_valid_len': batch.src_valid_len,
        'tgt': batch.tgt[:, :num_tgt_steps], 'tgt_valid_len': batch.tgt_valid_len - 1, 'rows': rows,
        'label_index': onp.stack([onp.arange(num_rows, dtype='float32'), labels]),
        'row_weight': weight, 'num_tokens': num_tokens,
        'num_label_steps': batch.tgt.shape[1] - 1,
    }


def _upload(layout: dict, ctx: mx.Context) -> DeviceBatch:
    """The batch's arrays as views of one array on the device."""
    arrays = {name: value for name, value in layout.items() if isinstance(value, onp.ndarray)}
    host = onp.concatenate([array.ravel() for array in arrays.values()])
    device = mx.nd.from_numpy(host, zero_copy=True).as_in_context(ctx)
    start = 0
    for name, array in arrays.items():
        layout[name] = device[start:start + array.size].reshape(array.shape)
        start += array.size
    return DeviceBatch(**layout)
