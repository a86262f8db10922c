"""Feeds: shuffled minibatches on the device, without waiting for the device.

MXNet copies an array to the device after everything that is still to be computed, so the usual
upload waits for each batch.  A feed lays out a batch in one array on the host, hands it to MXNet
without a copy (or copies it to a GPU in one piece), and makes the batch's arrays views of it.  This
happens while the device is still busy with earlier batches.
"""

from __future__ import annotations

import itertools
from dataclasses import dataclass
from typing import Iterator, NamedTuple, Sequence, Union

import numpy as onp

from .._mxnet import mx, npx
from .encoding import EncodedCorpus

Devices = Union[mx.Context, Sequence[mx.Context], None]

LABEL_BLOCK = 32  # labels are padded to a multiple of this number, so that few shapes occur


@dataclass(frozen=True)
class DeviceBatch:
    """A batch for the training step: arrays on the device, and counts on the host.

    `num_tgt_steps` is the length of the longest decoder input of the batch.
    """

    src: mx.nd.NDArray  # float32 (batch_size, num_src_steps), token ids
    src_valid_len: mx.nd.NDArray  # float32 (batch_size,)
    tgt: mx.nd.NDArray  # float32 (batch_size, num_tgt_steps), decoder input
    tgt_valid_len: mx.nd.NDArray  # float32 (batch_size,), labels of each sentence
    label_positions: mx.nd.NDArray  # float32 (num_padded,), in the flattened decoder input
    label_index: mx.nd.NDArray  # float32 (2, num_padded): 0, 1, 2, ... and the labels' token ids
    label_weight: mx.nd.NDArray  # float32 (num_padded,), 1 for a label and 0 for padding
    num_tokens: int  # labels; they come before the padding
    num_label_steps: int  # label positions per sentence before the cut: the book's divisor


@dataclass(frozen=True)
class GlobalBatch:
    """A batch of the corpus: the parts for this process, and the counts of all parts."""

    parts: list[DeviceBatch]  # at most one per device; parts without sentences are left out
    num_tokens: int  # labels
    num_label_steps: int  # see `DeviceBatch`


class Batch(NamedTuple):
    """The sentences of a batch on the host, all arrays float32."""

    src: onp.ndarray  # (batch_size, num_src_steps), token ids
    src_valid_len: onp.ndarray  # (batch_size,)
    tgt: onp.ndarray  # (batch_size, num_tgt_steps), token ids: <bos> ... <eos>
    tgt_valid_len: onp.ndarray  # (batch_size,), <bos> and <eos> included


class Feed:
    """The shuffled batches of a corpus; one pass over them is an epoch.

    The order comes from a random generator of the feed's own, drawn as the book's data loader draws
    it from NumPy's global generator: the same seed gives the same batches.

    Parameters
    ----------
    corpus : EncodedCorpus
    batch_size : int
        Sentences per batch, over all devices of all workers.
    seed : int
    ctx : mxnet.Context or sequence of mxnet.Context, optional
        The devices that share a batch; the CPU by default.
    worker : (int, int)
        The rank of this process and the number of processes that share a batch.

    Attributes
    ----------
    devices : list of mxnet.Context
    random_state : numpy.random.RandomState
        The generator of the orders.  Its state before an epoch is enough to repeat the epoch.

    Raises
    ------
    ValueError
        If there are no sentences, `batch_size` is below 1, or a device is listed twice.
    """

    def __init__(
        self,
        corpus: EncodedCorpus,
        batch_size: int,
        seed: int,
        ctx: Devices = None,
        worker: tuple[int, int] = (0, 1),
    ):
        if batch_size < 1 or len(corpus.src) == 0:
            raise ValueError(
                f'expected sentences and a batch_size of at least 1, got {len(corpus.src)} '
                f'sentences and {batch_size}'
            )
        self._sentences = Batch(*(array.astype('float32') for array in corpus))
        self.batch_size = batch_size
        self.devices = list(ctx) if isinstance(ctx, Sequence) else [ctx or npx.cpu()]
        if not self.devices or len(set(self.devices)) < len(self.devices):
            raise ValueError(f'expected different devices, got {self.devices}')
        self.worker = worker
        self.random_state = onp.random.RandomState(seed)

    def __len__(self) -> int:
        return -(-len(self._sentences.src) // self.batch_size)

    def __iter__(self) -> Iterator[DeviceBatch]:
        return itertools.chain.from_iterable(batch.parts for batch in self.batches())

    def batches(self, first: int = 0) -> Iterator[GlobalBatch]:
        """Iterate over the batches of an epoch, starting at number `first` of its order."""
        return map(self._batch, self._draw_order()[first:])

    def _draw_order(self) -> list[onp.ndarray]:
        """Draw the sentence numbers of each batch of an epoch."""
        order = onp.arange(len(self._sentences.src))
        self.random_state.shuffle(order)
        return [
            order[start : start + self.batch_size]
            for start in range(0, len(order), self.batch_size)
        ]

    def _batch(self, numbers: onp.ndarray) -> GlobalBatch:
        """Upload each device's share of the sentences with these numbers."""
        batch = self._select(numbers)
        rank, num_workers = self.worker
        worker_share = [onp.array_split(array, num_workers)[rank] for array in batch]
        shares = zip(*(onp.array_split(array, len(self.devices)) for array in worker_share))
        parts = [
            _upload(_arrange(Batch(*share)), device)
            for share, device in zip(shares, self.devices)
            if len(share[0])
        ]
        return GlobalBatch(parts, int(_num_labels(batch).sum()), batch.tgt.shape[1] - 1)

    def _select(self, numbers: onp.ndarray) -> Batch:
        """Return the sentences with these numbers, padded as in the corpus."""
        return Batch(*(array[numbers] for array in self._sentences))


class BucketFeed(Feed):
    """Batches of sentences of similar length, cut to that length.

    It saves most of the computation on padding if the lengths in a corpus vary.  A bucket has the
    sentences whose source and target lengths, rounded up to multiples of `width`, are the same.
    The last batch of a bucket may be smaller than the others.

    Parameters
    ----------
    corpus, batch_size, seed, ctx, worker : as for `Feed`
    width : int
        Difference in tokens between one bucket and the next.

    Notes
    -----
    An encoder that reads padding, like the chapter's, reads less of it here than with a `Feed`, so
    it learns another function, and `book_objective` averages over fewer positions.
    """

    def __init__(
        self,
        corpus: EncodedCorpus,
        batch_size: int,
        seed: int,
        ctx: Devices = None,
        width: int = 4,
        worker: tuple[int, int] = (0, 1),
    ):
        if width < 1:
            raise ValueError(f'expected buckets with a width of at least 1, got {width}')
        super().__init__(corpus, batch_size, seed, ctx, worker)
        src_widths, tgt_widths = (
            onp.clip(-(-lengths // width) * width, width, ids.shape[1]).astype(int)
            for lengths, ids in (
                (self._sentences.src_valid_len, self._sentences.src),
                (self._sentences.tgt_valid_len, self._sentences.tgt),
            )
        )
        self._widths = onp.stack([src_widths, tgt_widths], axis=1)  # (num_sentences, 2)

    def __len__(self) -> int:
        return sum(1 for _ in self._buckets(onp.arange(len(self._widths))))

    def _capacity(self, src_width: int, tgt_width: int) -> int:
        """Return the number of sentences of these widths in a batch."""
        return self.batch_size

    def _buckets(self, order: onp.ndarray) -> Iterator[onp.ndarray]:
        """Yield batches of sentence numbers, bucket by bucket, in the given order within each."""
        for widths in onp.unique(self._widths, axis=0):
            members = order[(self._widths[order] == widths).all(axis=1)]
            capacity = self._capacity(*widths)
            for start in range(0, len(members), capacity):
                yield members[start : start + capacity]

    def _draw_order(self) -> list[onp.ndarray]:
        order = onp.arange(len(self._widths))
        self.random_state.shuffle(order)
        batches = list(self._buckets(order))
        return [batches[number] for number in self.random_state.permutation(len(batches))]

    def _select(self, numbers: onp.ndarray) -> Batch:
        src_width, tgt_width = self._widths[numbers[0]]
        src, src_valid_len, tgt, tgt_valid_len = super()._select(numbers)
        return Batch(src[:, :src_width], src_valid_len, tgt[:, :tgt_width], tgt_valid_len)


class TokenFeed(BucketFeed):
    """Batches of similar length with about the same number of tokens each.

    Parameters
    ----------
    corpus, seed, ctx, width, worker : as for `BucketFeed`
    max_tokens : int
        Maximum number of tokens in a batch, padding included, on the side that has more.  A single
        sentence may be longer.
    """

    def __init__(
        self,
        corpus: EncodedCorpus,
        max_tokens: int,
        seed: int,
        ctx: Devices = None,
        width: int = 4,
        worker: tuple[int, int] = (0, 1),
    ):
        if max_tokens < 1:
            raise ValueError(f'expected a max_tokens of at least 1, got {max_tokens}')
        super().__init__(corpus, len(corpus.src), seed, ctx, width, worker)
        self.max_tokens = max_tokens

    def _capacity(self, src_width: int, tgt_width: int) -> int:
        return max(1, self.max_tokens // max(src_width, tgt_width))


def _num_labels(batch: Batch) -> onp.ndarray:
    """Return the number of labels of each sentence: its target tokens without the first."""
    return onp.maximum(batch.tgt_valid_len.astype(int) - 1, 0)


def _arrange(batch: Batch) -> dict:
    """Return the arrays and counts of a `DeviceBatch` by name, on the host."""
    num_labels = _num_labels(batch)
    num_tgt_steps = max(1, num_labels.max())  # all later steps are padding
    sentence, step = onp.nonzero(onp.arange(num_tgt_steps) < num_labels[:, None])
    num_tokens = len(sentence)
    num_padded = max(LABEL_BLOCK, num_tokens + -num_tokens % LABEL_BLOCK)
    positions, labels, weight = onp.zeros((3, num_padded), dtype='float32')
    positions[:num_tokens] = sentence * num_tgt_steps + step
    labels[:num_tokens] = batch.tgt[sentence, step + 1]
    weight[:num_tokens] = 1
    return {
        'src': batch.src,
        'src_valid_len': batch.src_valid_len,
        'tgt': batch.tgt[:, :num_tgt_steps],
        'tgt_valid_len': batch.tgt_valid_len - 1,
        'label_positions': positions,
        'label_index': onp.stack([onp.arange(num_padded, dtype='float32'), labels]),
        'label_weight': weight,
        'num_tokens': num_tokens,
        'num_label_steps': batch.tgt.shape[1] - 1,
    }


def _upload(arranged: dict, ctx: mx.Context) -> DeviceBatch:
    """Copy a batch to the device in one piece; its arrays are views of one array."""
    arrays = {name: value for name, value in arranged.items() if isinstance(value, onp.ndarray)}
    host = onp.concatenate([array.ravel() for array in arrays.values()])
    device = mx.nd.from_numpy(host, zero_copy=True).as_in_context(ctx)
    start = 0
    for name, array in arrays.items():
        arranged[name] = device[start : start + array.size].reshape(array.shape)
        start += array.size
    return DeviceBatch(**arranged)
