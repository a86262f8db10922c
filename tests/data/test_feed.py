"""Batches on the device: the book's order, and everything in its place."""

import numpy as onp
import pytest

from d2l_seq2seq._mxnet import npx
from d2l_seq2seq.data.encoding import EncodedCorpus, encode_pairs
from d2l_seq2seq.data.feed import LABEL_BLOCK, BucketFeed, Feed, TokenFeed
from d2l_seq2seq.data.pipeline import load_pairs


@pytest.fixture
def pairs(bundled):
    return bundled.pairs[:150]


def arrays_of(pairs, num_steps=10):
    return encode_pairs(pairs, num_steps)[2]


def test_the_order_is_the_books(pairs, seed):
    _, _, data_iter = load_pairs(pairs, 64, 10)
    feed = Feed(arrays_of(pairs), 64, seed)
    onp.random.seed(seed)
    for _ in range(2):  # epochs
        ours = [batch.src.asnumpy() for batch in feed]
        theirs = [src.asnumpy() for src, *_ in data_iter]
        assert [len(src) for src in ours] == [64, 64, 22] and len(feed) == 3
        assert all(onp.array_equal(*pair) for pair in zip(ours, theirs))


def test_every_label_is_in_its_place(pairs, seed):
    onp.random.seed(seed)
    _, _, data_iter = load_pairs(pairs, 64, 10)
    onp.random.seed(seed)
    for batch, book in zip(Feed(arrays_of(pairs), 64, seed), data_iter):
        src, src_valid_len, tgt, tgt_valid_len = (array.asnumpy() for array in book)
        labels = [
            (i, t, tgt[i, t + 1])
            for i in range(len(tgt))
            for t in range(9)
            if t < tgt_valid_len[i] - 1
        ]
        n = batch.num_tokens
        assert n == len(labels) and batch.num_label_steps == 9
        num_steps = batch.tgt.shape[1]
        assert num_steps == tgt_valid_len.max() - 1
        assert onp.array_equal(batch.tgt.asnumpy(), tgt[:, :num_steps])
        assert onp.array_equal(batch.src_valid_len.asnumpy(), src_valid_len)
        assert onp.array_equal(batch.tgt_valid_len.asnumpy(), tgt_valid_len - 1)
        rows, (numbers, ids) = batch.label_positions.asnumpy(), batch.label_index.asnumpy()
        assert rows[:n].tolist() == [i * num_steps + t for i, t, _ in labels]
        assert ids[:n].tolist() == [label for _, _, label in labels]
        assert numbers.tolist() == list(range(len(rows))) and len(rows) % LABEL_BLOCK == 0
        assert batch.label_weight.asnumpy().tolist() == [1] * n + [0] * (len(rows) - n)


def test_the_generators_state_repeats_an_epoch(pairs, seed):
    feed = Feed(arrays_of(pairs), 64, seed)
    list(feed)
    state = feed.random_state.get_state()
    expected = [batch.src.asnumpy().tolist() for batch in feed]
    other = Feed(arrays_of(pairs), 64, seed + 1)
    other.random_state.set_state(state)
    assert [batch.src.asnumpy().tolist() for batch in other] == expected


def test_batches_are_made_on_the_feeds_context(pairs):
    batch = next(iter(Feed(arrays_of(pairs), 64, 0, npx.cpu(1))))
    assert {str(array.context) for array in vars(batch).values() if hasattr(array, 'context')} == {
        'cpu(1)'
    }


def test_batches_outlive_the_feed(pairs, seed):
    """Views share the host's memory: it must not be given back or used again."""
    batches = list(Feed(arrays_of(pairs), 16, seed))
    first = [batch.src.asnumpy().tolist() for batch in batches]
    list(Feed(arrays_of(pairs), 16, seed + 1))
    assert [batch.src.asnumpy().tolist() for batch in batches] == first


def test_sentences_without_a_label():
    """A target that is cut to its first token has nothing to predict."""
    arrays = EncodedCorpus(*map(onp.array, ([[4, 5]], [2], [[2, 1, 1]], [1])))
    (batch,) = Feed(arrays, 8, 0)
    assert batch.num_tokens == 0 and batch.label_weight.asnumpy().sum() == 0


def sentences_of(feed):
    """Each sentence's source and target tokens without padding, over one epoch, sorted."""
    found = []
    for batch in feed:
        src, tgt = batch.src.asnumpy(), batch.tgt.asnumpy()
        lengths = zip(batch.src_valid_len.asnumpy(), batch.tgt_valid_len.asnumpy())
        labels = iter(batch.label_index.asnumpy()[1])
        for i, (src_len, tgt_len) in enumerate(lengths):
            found.append(
                (
                    src[i, : int(src_len)].tolist(),
                    tgt[i, : int(tgt_len)].tolist(),
                    [next(labels) for _ in range(int(tgt_len))],
                )
            )
    return sorted(found)


@pytest.mark.parametrize(
    'bucketed',
    [
        lambda arrays, seed: BucketFeed(arrays, 16, seed),
        lambda arrays, seed: BucketFeed(arrays, 1000, seed, width=1),
        lambda arrays, seed: TokenFeed(arrays, 60, seed),
    ],
)
def test_buckets_bring_every_sentence_once(pairs, seed, bucketed):
    arrays = arrays_of(pairs, 12)
    feed = bucketed(arrays, seed)
    assert sentences_of(feed) == sentences_of(Feed(arrays, 64, seed))
    assert len(feed) == len(list(feed))


def test_buckets_are_cut_to_their_width(pairs, seed):
    for batch in BucketFeed(arrays_of(pairs, 12), 16, seed, width=4):
        assert len(batch.src) <= 16
        src_width, longest = batch.src.shape[1], batch.src_valid_len.asnumpy().max()
        assert src_width - 4 < batch.src_valid_len.asnumpy().min() <= longest <= src_width
        assert src_width in (4, 8, 12) and batch.num_label_steps in (3, 7, 11)


def test_buckets_come_in_another_order_each_epoch(pairs, seed):
    feed = BucketFeed(arrays_of(pairs, 12), 16, seed)
    first, second = ([batch.src.asnumpy().tolist() for batch in feed] for _ in range(2))
    assert first != second
    again = BucketFeed(arrays_of(pairs, 12), 16, seed)
    assert [batch.src.asnumpy().tolist() for batch in again] == first


def test_token_batches_keep_to_their_size(pairs, seed):
    batches = list(TokenFeed(arrays_of(pairs, 12), 60, seed))
    for batch in batches:
        tokens = len(batch.src) * max(batch.src.shape[1], batch.num_label_steps + 1)
        assert tokens <= 60
    assert len({len(batch.src) for batch in batches}) > 1
    assert all(len(batch.src) == 1 for batch in TokenFeed(arrays_of(pairs[:9], 12), 1, seed))


@pytest.mark.parametrize(
    'make',
    [
        lambda arrays: Feed(arrays, 0, 0),
        lambda arrays: BucketFeed(arrays, 4, 0, width=0),
        lambda arrays: Feed(EncodedCorpus(*(array[:0] for array in arrays)), 4, 0),
    ],
)
def test_feeds_of_nothing_are_refused(pairs, make):
    with pytest.raises(ValueError, match='expected .* at least 1, got'):
        make(arrays_of(pairs))


@pytest.mark.parametrize('max_tokens, width', [(0, 4), (-5, 4), (100, 0), (100, -1)])
def test_impossible_sizes_are_refused(pairs, max_tokens, width):
    with pytest.raises(ValueError, match='expected .* of at least 1, got'):
        TokenFeed(arrays_of(pairs), max_tokens, 0, width=width)
