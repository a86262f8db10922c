"""The step function that is searched over, and the rules of the search.

`decoding.py` and `beam.py` search; here is what it asks for and what it returns.
"""
from __future__ import annotations

import dataclasses
from dataclasses import dataclass
from typing import Any, Callable, NamedTuple, Sequence

import numpy as onp

from .._mxnet import np


class Stepper:
    """What a search needs of a model.  A *row* is a hypothesis; a sentence's rows are neighbours.

    A state is a nested list of arrays, of whatever shapes the stepper likes.
    """

    def start(self, arrays: Sequence, num_rows: int) -> Any:
        """The state before the first token, with `num_rows` rows for each sentence."""
        raise NotImplementedError

    def step(self, tokens, state) -> tuple:
        """One more token for each row.

        Parameters
        ----------
        tokens : float32 array of shape (num_rows, 1)
        state

        Returns
        -------
        logits : float32 array of shape (num_rows, vocab_size)
        state
        attention_weights : float32 array of shape (num_rows, num_src_steps), or None
        """
        raise NotImplementedError

    def reorder(self, state, rows) -> Any:
        """The state in which row i is what row ``rows[i]`` was; both are of the same sentence."""
        raise NotImplementedError

    def run(self, function: Callable, static: tuple, arrays: Any) -> Any:
        """``function(*static, arrays)``, which is a function of arrays: here as it stands."""
        return function(*static, arrays)

    def upload(self, arrays: Sequence[onp.ndarray]) -> list:
        """The host's arrays on the device: what `start` and `run` are given of a batch."""
        return [np.array(array) for array in arrays]


class Hypothesis(NamedTuple):
    """A sequence that a search found."""

    token_ids: list[int]  # without <bos> and <eos>
    log_probs: list[float]  # natural logarithms: of each token, and of <eos> where it came
    score: float  # the sum of log_probs, after the length penalty
    is_finished: bool  # True: <eos> came
    # float32 (num_tokens, num_src_steps), a row for each of log_probs; None without attention
    attention_weights: onp.ndarray | None = None


@dataclass(frozen=True)
class BookLengthPenalty:
    """log P / L^alpha (d2l 0.14, section 9.8.3): long sequences are not punished for being long.

    L counts the factors of P, so ``<eos>`` too, which the book's L does not; an empty sentence has
    a score that way.
    """

    alpha: float = 0.75

    def __call__(self, log_prob: float, length: int) -> float:
        return log_prob / length ** self.alpha


@dataclass(frozen=True)
class GNMTLengthPenalty:
    """log P / ((5 + L)^alpha / (5 + 1)^alpha): Wu et al. 2016, Eq. (14), without coverage."""

    alpha: float = 0.6

    def __call__(self, log_prob: float, length: int) -> float:
        return log_prob / ((5 + length) / 6) ** self.alpha


def no_length_penalty(log_prob: float, length: int) -> float:
    """log P itself."""
    return log_prob


@dataclass(frozen=True)
class SearchRules:
    """What sequences there are, and how they are ranked."""

    bos_id: int  # what the model reads first
    eos_id: int  # what ends a sequence
    max_length: int  # tokens, <eos> counted
    min_length: int = 0  # tokens before <eos> may come
    no_repeat_ngram_size: int = 0  # n-grams of so many tokens come once at most; 0: no such rule
    length_penalty: Callable[[float, int], float] = BookLengthPenalty()

    def __post_init__(self):
        if self.max_length < 1:
            raise ValueError(f'expected a max_length of at least 1, got {self.max_length}')

    def of_a_step(self) -> SearchRules:
        """The rules as far as a step looks at them: those that agree in them share their graphs."""
        return dataclasses.replace(self, max_length=1, length_penalty=no_length_penalty)

    def graphs_position(self, position: int) -> int:
        """A position as far as it matters: but for the first, only where a rule looks at it."""
        return position if self.min_length or self.no_repeat_ngram_size else min(position, 1)
