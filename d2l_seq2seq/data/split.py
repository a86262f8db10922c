"""Which sentence pairs train, validate and test a model.

A pair's part follows from a hash of its source sentence and from nothing else: it is the same on
every machine, in every order and whatever else is in the corpus.  All translations of a source are
in the same part, and so are sources that differ in case, spaces and punctuation only.
"""
from __future__ import annotations

import hashlib
import unicodedata
from dataclasses import dataclass
from typing import Sequence

Pairs = Sequence[tuple]  # of (source, target)


@dataclass(frozen=True)
class Split:
    """The parts of a corpus, each in its order."""

    train: Pairs
    valid: Pairs
    test: Pairs


def split_pairs(pairs: Pairs, held_out: float) -> Split:
    """Keep pairs back from training.

    Parameters
    ----------
    pairs : sequence of (str, str)
    held_out : float
        The share of source sentences kept back for validation, and as many again for testing; 0
        keeps back none.
    """
    parts = Split([], [], [])
    for pair in pairs:
        place = place_of(pair[0])
        part = (parts.valid if place < held_out else
                parts.test if place < 2 * held_out else parts.train)
        part.append(pair)
    return parts


def place_of(source: str) -> float:
    """A number from 0 up to 1 that a sentence hashes to."""
    letters = ''.join(filter(str.isalnum, unicodedata.normalize('NFKC', source).lower()))
    digest = hashlib.sha256((letters or source).encode('utf-8', 'surrogatepass')).digest()
    return int.from_bytes(digest[:6], 'big') / 2 ** 48
