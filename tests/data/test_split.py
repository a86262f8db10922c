"""Parts of a corpus that depend on the sentences alone."""

import random

import pytest

from d2l_seq2seq.data.encoding import hash_to_unit_interval, split_pairs

PAIRS = [(f'Sentence number {number}.', f'Phrase {number}.') for number in range(4000)]


def test_a_hash_fixes_the_place_on_every_machine():
    """Worked out with sha256sum: printf go | sha256sum, the first 12 digits over 16 ** 12."""
    assert (
        hash_to_unit_interval('Go.')
        == int('4cd0e21a9a07', 16) / 16**12
        == hash_to_unit_interval('go !')
    )
    assert 0 <= hash_to_unit_interval('?!') < 1 and hash_to_unit_interval(
        '?!'
    ) != hash_to_unit_interval('!!')


@pytest.mark.parametrize('held_out', [0, 0.05, 0.2])
def test_the_shares(held_out):
    split = split_pairs(PAIRS, held_out)
    assert len(split.train) + len(split.valid) + len(split.test) == len(PAIRS)
    for part in (split.valid, split.test):
        assert abs(len(part) / len(PAIRS) - held_out) < 0.02
    assert (held_out > 0) == bool(split.valid) == bool(split.test)


def test_no_source_is_in_two_parts_however_it_is_written():
    pairs = [
        (spelling, target)
        for number in range(300)
        for target in ('un', 'deux')
        for spelling in (
            f"It's number {number}.",
            f"it's  NUMBER {number} !",
            f'It’s number {number}',
        )
    ]
    split = split_pairs(pairs, 0.2)
    parts = [
        {''.join(filter(str.isalnum, src.lower())) for src, _ in part}
        for part in (split.train, split.valid, split.test)
    ]
    assert all(parts) and sum(map(len, parts)) == 300


def test_order_and_company_change_nothing():
    shuffled = random.Random(0).sample(PAIRS, 1000)
    whole, some = split_pairs(PAIRS, 0.1), split_pairs(shuffled, 0.1)
    assert set(some.test) == set(whole.test) & set(shuffled)
    assert some.test == [pair for pair in shuffled if pair in set(whole.test)]
    assert set(split_pairs(PAIRS, 0.05).valid) <= set(whole.valid)
