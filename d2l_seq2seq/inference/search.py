"""The step function that is searched over, and the rules of the search.

`decoding.py` and `beam.py` search; here is what it asks for and what it returns.
"""

from __future__ import annotations

import collections
import dataclasses
import itertools
from dataclasses import dataclass
from typing import Any, Callable, Generator, Iterable, Iterator, NamedTuple, Sequence

import numpy as onp

from .._mxnet import np, operators_of, shape_of


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
        return log_prob / length**self.alpha


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


BLOCKED = -1e9  # added to the log-probability of what may not come
IMPOSSIBLE = BLOCKED / 2  # a score below it has something blocked in it


def longer(history, tokens, rules):
    """The tokens so far with one more, if a rule looks at them."""
    if not rules.no_repeat_ngram_size:
        return None
    return (
        tokens
        if history is None
        else operators_of(tokens).np.concatenate([history, tokens], axis=1)
    )


def block(scores, rules, history, position):
    """Scores (num_rows, vocab_size) with `BLOCKED` added where the rules forbid a token."""
    F, vocab_size = operators_of(scores), shape_of(scores)[1]
    if position < rules.min_length:
        end = F.np.zeros_like(scores[:, 0]) + rules.eos_id
        scores = scores + BLOCKED * F.npx.one_hot(end, vocab_size)
    size = rules.no_repeat_ngram_size
    if size and position >= size:
        scores = scores + BLOCKED * would_repeat(F, history, size, position, vocab_size)
    return scores


def would_repeat(F, history, size, position, vocab_size):
    """1 for each token (num_rows, vocab_size) that would make an n-gram of `history` come again."""
    num_ngrams = position - size + 1
    follows = history[:, size - 1 :]  # (num_rows, num_ngrams), what came last in each of them
    for place in range(size - 1):  # of the n-gram that the next token would end
        last = history[:, num_ngrams + place : num_ngrams + place + 1]
        is_same = history[:, place : place + num_ngrams] == last
        # What is not the same is sent to a column that is cut off.
        follows = F.np.where(is_same, follows, F.np.zeros_like(follows) + vocab_size)
    rows = F.npx.arange_like(follows, axis=0).reshape((-1, 1)) + F.np.zeros_like(follows)
    indices = F.np.stack([rows.reshape((-1,)), follows.reshape((-1,))], axis=0)
    ones = F.np.ones_like(indices[0])
    marked = F.scatter_nd(
        ones.as_nd_ndarray(), indices.as_nd_ndarray(), shape=(shape_of(history)[0], vocab_size + 1)
    ).as_np_ndarray()
    return marked[:, :vocab_size]


STEPS_AT_ONCE = 4  # tokens
BATCHES_AT_ONCE = 4
MAX_BATCHES_HELD = 16  # those included that wait for one before them

Inputs = Sequence[onp.ndarray]  # a batch: float32 arrays with the sentences on their first axis


def interleave(searches: Iterable[Generator]) -> Iterator:
    """What searches return, in their order, a few of them under way at the same time.

    A search yields whenever it has given the device something to do.  It returns what it has read
    as it is: whoever makes something of it does so while the device computes for the next ones.
    """
    started = map(_Running, searches)
    # Read in the order in which the device computes, and handed on in that of the searches.
    unread, in_order = collections.deque(), collections.deque()
    while True:
        room = min(BATCHES_AT_ONCE - len(unread), MAX_BATCHES_HELD - len(in_order))
        for running in itertools.islice(started, room):
            in_order.append(running)
            if not running.is_done:
                unread.append(running)
        if not in_order:
            return
        if in_order[0].is_done:
            yield in_order.popleft().result
            continue
        running = unread.popleft()
        running.advance()
        if not running.is_done:
            unread.append(running)


class _Running:
    """A search up to where it would have to wait for the device."""

    def __init__(self, search: Generator):
        self._search, self.is_done, self.result = search, False, None
        self.advance()

    def advance(self) -> None:
        try:
            next(self._search)
        except StopIteration as end:
            self.is_done, self.result = True, end.value


class Rows(NamedTuple):
    """What a search carries from one call to the next."""

    tokens: Any  # float32 (num_rows, 1), the last ones
    history: Any  # float32 (num_rows, num_tokens), all of them; None where no rule looks at them
    state: Any  # the stepper's
    scores: Any = None  # float32 (num_sentences, beam_size): summed log-probabilities of a beam


def beginning(stepper, bos_id, arrays, num_rows) -> Rows:
    """What is carried before the first token, with `num_rows` rows for each sentence."""
    F = operators_of(arrays[0])
    # MXNet runs what reads a graph's input by itself, and the rest together: one copy is read.
    arrays = [array + 0 for array in arrays]
    begin = F.np.zeros_like(arrays[0][:, :1]) + bos_id  # (num_sentences, 1)
    begin = begin if num_rows == 1 else F.np.repeat(begin, num_rows, axis=0)
    return Rows(begin, None, stepper.start(arrays, num_rows))


def stacked(F, weights):
    """Attention weights of several steps as one array, (num_steps, num_rows, num_src_steps)."""
    return None if weights[0] is None else F.np.stack(weights, axis=0)


def on_host(attention: list) -> list[onp.ndarray] | None:
    """The attention weights (num_rows, num_src_steps) of each step."""
    return (
        None
        if attention[0] is None
        else [step for weights in attention for step in weights.asnumpy()]
    )
