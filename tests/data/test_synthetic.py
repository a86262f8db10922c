"""Tasks with a right answer for every source."""

import pytest

from d2l_seq2seq import read_corpus
from d2l_seq2seq.data import corpus


@pytest.mark.parametrize(
    'number, words',
    [
        (0, 'zero'),
        (7, 'seven'),
        (13, 'thirteen'),
        (20, 'twenty'),
        (42, 'forty two'),
        (100, 'one hundred'),
        (319, 'three hundred nineteen'),
        (1000, 'one thousand'),
        (77_777, 'seventy seven thousand seven hundred seventy seven'),
        (900_001, 'nine hundred thousand one'),
    ],
)
def test_numbers_are_spoken(number, words):
    assert corpus.spoken(number) == words


def test_no_two_numbers_sound_alike():
    assert len({corpus.spoken(number) for number in range(100_000)}) == 100_000


@pytest.mark.parametrize(
    'name, right',
    [
        ('copy', lambda src: src),
        ('reverse', lambda src: ' '.join(src.split()[::-1])),
        ('numbers', lambda src: corpus.spoken(int(src.replace(' ', '')))),
    ],
)
def test_tasks(name, right):
    corpus = read_corpus(name)
    assert corpus.pairs == read_corpus(name).pairs  # the same everywhere
    sources = [src for src, _ in corpus.pairs]
    assert len(set(sources)) == len(sources) > 4000
    assert all(tgt == right(src) for src, tgt in corpus.pairs)
    # They fit the chapter's num_steps, <bos> and <eos> included.
    assert max(len(tgt.split()) for _, tgt in corpus.pairs) + 2 <= 10
