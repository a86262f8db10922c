"""Made-up corpora with a right answer for every source: what a model can learn is seen on them.

Copying and reversing ask for memory and order alone; speaking numbers is a translation with a
grammar.  Pairs are text like any other corpus, so all the rest of the package applies to them.
Pseudo-data, the OpenGenus article's, has no answer: its loss shows that training runs at all.
"""
from __future__ import annotations

import random

LETTERS = 'abcdefghijklmnopqrstuvwxyz'
ONES = ('zero one two three four five six seven eight nine ten eleven twelve thirteen fourteen '
        'fifteen sixteen seventeen eighteen nineteen').split()
TENS = 'twenty thirty forty fifty sixty seventy eighty ninety'.split()


def random_words(num_pairs: int, longest: int, seed: int) -> list[str]:
    """Different sentences of 1 to `longest` one-letter words.

    Each length is drawn as often; what is drawn twice is kept once, so there are a few less than
    `num_pairs`, and fewer of one or two words.
    """
    rng = random.Random(seed)
    sentences = {' '.join(rng.choices(LETTERS, k=rng.randint(1, longest))): None
                 for _ in range(num_pairs)}
    return list(sentences)


def copy_pairs(num_pairs: int, longest: int, seed: int) -> list[tuple[str, str]]:
    """Sentences and themselves."""
    return [(sentence, sentence) for sentence in random_words(num_pairs, longest, seed)]


def reverse_pairs(num_pairs: int, longest: int, seed: int) -> list[tuple[str, str]]:
    """Sentences and the same from their last word to their first."""
    return [(sentence, ' '.join(reversed(sentence.split())))
            for sentence in random_words(num_pairs, longest, seed)]


def number_pairs(num_pairs: int, below: int, seed: int) -> list[tuple[str, str]]:
    """Different numbers, a token for each digit, and how they are spoken."""
    numbers = random.Random(seed).sample(range(below), min(num_pairs, below))
    return [(' '.join(str(number)), spoken(number)) for number in numbers]


def spoken(number: int) -> str:
    """A number below a million in English words, without hyphens.

    Examples
    --------
    >>> spoken(40_013)
    'forty thousand thirteen'
    """
    if number < 20:
        return ONES[number]
    for size, name in ((1000, 'thousand'), (100, 'hundred')):
        if number >= size:
            rest = number % size
            return f'{spoken(number // size)} {name}' + (f' {spoken(rest)}' if rest else '')
    tens, ones = divmod(number, 10)
    return TENS[tens - 2] + (f' {ONES[ones]}' if ones else '')


def pseudo_pairs(seed: int) -> list[tuple[str, str]]:
    """1,000 pairs of random numbers below 100, 10 and 15 of them, written as words.

    There is nothing to learn but how often a number occurs: the loss starts at ln 100 = 4.605 and
    goes down little by little.
    """
    rng = random.Random(seed)
    return [tuple(' '.join(str(rng.randrange(100)) for _ in range(length)) for length in (10, 15))
            for _ in range(1000)]
