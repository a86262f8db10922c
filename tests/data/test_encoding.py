"""Sentence pairs to arrays of token ids, against the chapter's own functions."""

import numpy as onp
import pytest

from d2l_seq2seq import DataConfig, InputError, Vocab, build_array
from d2l_seq2seq.data.corpus import Corpus
from d2l_seq2seq.data.encoding import (
    EncodedCorpus,
    encode_tokens,
    first_examples,
    tokenize_pairs,
    unknown_share,
)
from d2l_seq2seq.data.pipeline import build_feed, encode_corpus, load_pairs


def test_one_example_more_than_asked_for():
    pairs = [(str(i), str(i)) for i in range(10)]
    assert first_examples(pairs, 3) == pairs[:4]
    assert first_examples(pairs, None) == first_examples(pairs, 100) == pairs


@pytest.mark.parametrize('num_steps', [2, 3, 10])
def test_ids_and_lengths_are_those_of_the_chapters_build_array(bundled, num_steps):
    source, target = tokenize_pairs(bundled.pairs[::20])
    vocab = Vocab(source + target, 2, ['<pad>', '<bos>', '<eos>'])
    encoded = encode_tokens(source, target, vocab, vocab, num_steps)
    expected = [
        *build_array(source, vocab, num_steps, is_source=True),
        *build_array(target, vocab, num_steps, is_source=False),
    ]
    for array, theirs in zip(encoded, expected):
        assert isinstance(array, onp.ndarray)
        assert onp.array_equal(array, theirs.asnumpy())
    assert [array.dtype for array in encoded] == [onp.int32, onp.int64] * 2


def test_losses_are_reported(caplog):
    load_pairs([('a b c', 'd'), ('a', 'd e')], 2, 3)
    assert '1 of 4 sentences are longer than num_steps = 3 and were cut' in caplog.messages
    assert '100 % of the source tokens and 100 % of the target tokens are <unk>' in caplog.text


def test_nothing_is_lost_of_the_chapters_data(corpus, caplog):
    load_pairs(first_examples(corpus.pairs, 1000), 64, 10)
    assert caplog.text == ''


def test_a_corpus_has_the_books_order():
    assert EncodedCorpus._fields == ('src', 'src_valid_len', 'tgt', 'tgt_valid_len')


def test_words_like_control_tokens_are_unknown_words():
    source = [['use', '<pad>', 'here', 'now'], ['<eos>', '<bos>', '<unk>']]
    vocab = Vocab(source, 1, ['<pad>', '<bos>', '<eos>'])
    encoded = encode_tokens(source, source, vocab, vocab, 6)
    assert encoded.src_valid_len.tolist() == [4, 3] and encoded.tgt_valid_len.tolist() == [6, 5]
    pad, bos, eos, unk = (vocab[token] for token in ('<pad>', '<bos>', '<eos>', '<unk>'))
    use, here, now = vocab[['use', 'here', 'now']]
    assert encoded.src.tolist() == [[use, unk, here, now, pad, pad], [unk] * 3 + [pad] * 3]
    assert encoded.tgt.tolist() == [[bos, use, unk, here, now, eos], [bos, *[unk] * 3, eos, pad]]


def test_unknown_tokens_are_counted_without_control_tokens():
    vocab = Vocab([['a']], 1, ['<pad>', '<bos>', '<eos>'])
    encoded = encode_tokens([['a', 'b']], [['a', 'b', 'c', 'd']], vocab, vocab, 8)
    assert unknown_share(encoded.src, vocab) == 1 / 2
    assert unknown_share(encoded.tgt, vocab) == 3 / 4


def test_a_corpus_that_is_nearly_all_unknown_is_reported(caplog):
    pairs = [(f'a {number}', 'a') for number in range(10)]
    load_pairs(pairs, 2, 5)
    assert '50 % of the source tokens and 0 % of the target tokens are <unk>' in caplog.text
    assert 'use --text-rules subwords or characters' in caplog.text


@pytest.mark.parametrize('bucket_width', [None, 4])
@pytest.mark.parametrize('rules, empty', [('words', '\u200b'), ('opengenus', '!!!')])
def test_pairs_without_tokens_are_dropped_from_all_parts(caplog, rules, empty, bucket_width):
    pairs = [(f'Word {number}.', 'Mot.') for number in range(60)]
    config = DataConfig(
        text_rules=rules, held_out=0.2, min_freq=1, bucket_width=bucket_width, num_steps=6
    )
    expected = encode_corpus(config, Corpus('c', pairs))
    for position in (5, 30, 60):  # before, between and after the others
        pairs[position:position] = [(empty, 'Mot.'), ('Mot.', empty), (empty * 3, empty)]
    data = encode_corpus(config, Corpus('c', pairs))
    assert (data.pairs.train, data.pairs.valid) == (expected.pairs.train, expected.pairs.valid)
    for part in (data.train, data.valid):
        assert part.src_valid_len.min() > 0 and part.tgt_valid_len.min() > 2
    for array, other in zip(data.train, expected.train):
        assert onp.array_equal(array, other)
    assert 'of which the text rules leave nothing on a side; the first is' in caplog.text


def test_a_corpus_of_which_nothing_is_left_is_refused():
    with pytest.raises(InputError, match='got 0 for training'):
        encode_corpus(DataConfig(text_rules='opengenus'), Corpus('c', [('!', '?')]))


def test_a_sentence_without_tokens_has_a_bucket_with_others():
    vocab = Vocab([['a']], 1, ['<pad>', '<bos>', '<eos>'])
    encoded = encode_tokens([[], ['a']], [['a'], ['a']], vocab, vocab, 6)
    (batch,) = build_feed(DataConfig(bucket_width=4), encoded, 0, None)
    assert batch.src.shape == (2, 4)
