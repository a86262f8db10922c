"""The parts that greedy search, beam search and sampling share (d2l 0.14, section 9.8).

A search extends hypotheses token by token.  It asks a `Stepper` for the logits of the next token,
follows `SearchRules`, and returns `Hypothesis` objects.  It depends neither on the model nor on the
text.

Each search has a plain function of arrays, which adds a few tokens per call; it takes and returns a
`SearchState`.  The stepper decides how the function runs: operator by operator, or as one graph.
`interleave` runs several searches at the same time, so that the device is never idle.
"""

from __future__ import annotations

import collections
import dataclasses
import itertools
from dataclasses import dataclass
from typing import Any, Callable, Generator, Iterable, Iterator, NamedTuple, Sequence

import numpy as onp

from .._mxnet import np, operators_of

STEPS_PER_CALL = 4  # tokens that one call of `Stepper.run` adds to each hypothesis
MAX_BATCHES_RUNNING = 4  # searches that are in progress at the same time
MAX_BATCHES_HELD = 16  # searches in progress, plus finished ones that wait for an earlier one

BatchInputs = Sequence[onp.ndarray]  # float32 arrays with the sentences on their first axis


class Stepper:
    """The interface between a search and a model, which is called one token at a time.

    The first axis of token ids, logits and attention weights runs over the hypotheses of all
    sentences of a batch; the hypotheses of one sentence are next to each other.  A state is a
    nested list of arrays; the stepper chooses their shapes.

    Attributes
    ----------
    has_finite_logits : bool
        True if `step` never excludes a token with a logit of -inf, which saves time.
    """

    has_finite_logits = False

    def start(self, arrays: Sequence, num_rows: int) -> Any:
        """Return the state before the first token.

        Parameters
        ----------
        arrays : list of arrays
            A batch on the device, as `upload` returned it.
        num_rows : int
            Number of hypotheses per sentence.

        Returns
        -------
        state : nested list of arrays
        """
        raise NotImplementedError

    def step(self, tokens, state) -> tuple:
        """Feed one token to each hypothesis.

        Parameters
        ----------
        tokens : float32 array of shape (num_hypotheses, 1)
            The latest token ids.
        state : nested list of arrays

        Returns
        -------
        logits : float32 array of shape (num_hypotheses, vocab_size)
            Of the next token.  A logit of -inf excludes a token, and a row of them ends a
            hypothesis without a result.
        state : nested list of arrays
        attention_weights : float32 array of shape (num_hypotheses, num_src_steps), or None
            None if the model has no attention.
        """
        raise NotImplementedError

    def reorder(self, state, rows) -> Any:
        """Return the state with its hypotheses rearranged.

        Parameters
        ----------
        state : nested list of arrays
        rows : float32 array of shape (num_hypotheses,)
            Hypothesis i of the result is hypothesis ``rows[i]`` of `state`, which belongs to the
            same sentence.

        Returns
        -------
        state : nested list of arrays
        """
        raise NotImplementedError

    def run(self, function: Callable, static: tuple, arrays: Any) -> Any:
        """Return ``function(*static, arrays)``; a subclass may compile the function.

        Parameters
        ----------
        function : callable
            A function of arrays without side effects.
        static : tuple
            Hashable arguments that are not arrays.
        arrays : nested list of arrays
        """
        return function(*static, arrays)

    def upload(self, arrays: Sequence[onp.ndarray]) -> list:
        """Return the arrays of a batch on the device, for `start` and `run`."""
        return [np.array(array) for array in arrays]


class Hypothesis(NamedTuple):
    """A sequence that a search returned.

    Attributes
    ----------
    token_ids : list of int
        Without ``<bos>`` and ``<eos>``.
    log_probs : list of float
        Natural logarithms of the probabilities of the tokens, and of ``<eos>`` if it is finished.
    score : float
        The sum of `log_probs`, after the length penalty.
    is_finished : bool
        True if it ended with ``<eos>``, False if it reached the maximum length.
    attention_weights : float32 array of shape (num_tokens, num_src_steps), or None
        A row for each of `log_probs`; None if the model has no attention.
    """

    token_ids: list[int]
    log_probs: list[float]
    score: float
    is_finished: bool
    attention_weights: onp.ndarray | None = None


@dataclass(frozen=True)
class BookLengthPenalty:
    """The length penalty log P / L^alpha of d2l 0.14, section 9.8.3.

    It compensates for the lower probability of longer sequences.  L is the number of factors of P,
    so it includes ``<eos>``, unlike the book's L.  Therefore an empty sentence also has a score.

    Parameters
    ----------
    alpha : float
        The exponent: 0 ignores the length.
    """

    alpha: float = 0.75

    def __call__(self, log_prob: float, length: int) -> float:
        """Return the score of a sequence of `length` tokens."""
        return log_prob / length**self.alpha


@dataclass(frozen=True)
class GNMTLengthPenalty:
    """The length penalty log P / ((5 + L)^alpha / (5 + 1)^alpha) of Wu et al. 2016, Eq. (14).

    The coverage penalty of that equation is left out.

    Parameters
    ----------
    alpha : float
        The exponent: 0 ignores the length.
    """

    alpha: float = 0.6

    def __call__(self, log_prob: float, length: int) -> float:
        """Return the score of a sequence of `length` tokens."""
        return log_prob / ((5 + length) / 6) ** self.alpha


def no_length_penalty(log_prob: float, length: int) -> float:
    """Return log P itself.

    Parameters
    ----------
    log_prob : float
    length : int
        Ignored.
    """
    return log_prob


@dataclass(frozen=True)
class SearchRules:
    """The rules for the sequences that a search may return, and for their order.

    Parameters
    ----------
    bos_id : int
        The first token that the model reads.
    eos_id : int
        The token that ends a sequence.
    max_length : int
        Maximum number of tokens, including ``<eos>``.
    min_length : int
        Minimum number of tokens before ``<eos>``.
    no_repeat_ngram_size : int
        N-grams of this size occur once at most; 0 allows repetition.
    length_penalty : function of a log-probability and a length
        Returns the score by which sequences are compared.
    excluded_ids : tuple of int
        Tokens that no sequence has, such as ``<pad>`` and ``<bos>``.
    """

    bos_id: int
    eos_id: int
    max_length: int
    min_length: int = 0
    no_repeat_ngram_size: int = 0
    length_penalty: Callable[[float, int], float] = BookLengthPenalty()
    excluded_ids: tuple[int, ...] = ()

    def __post_init__(self):
        if self.max_length < 1:
            raise ValueError(f'expected a max_length of at least 1, got {self.max_length}')
        if not 0 <= self.min_length < self.max_length or self.no_repeat_ngram_size < 0:
            raise ValueError(
                'expected a min_length of at least 0 and below max_length, and a '
                'no_repeat_ngram_size of at least 0, got '
                f'{self.min_length}, {self.max_length} and {self.no_repeat_ngram_size}'
            )

    def step_rules(self) -> SearchRules:
        """Return the rules without those that do not affect a single step.

        Searches whose step rules are equal share their graphs.
        """
        return dataclasses.replace(
            self, max_length=self.min_length + 1, length_penalty=no_length_penalty
        )

    def graph_position(self, position: int) -> int:
        """Return a position that has the same graph as `position`.

        The first position has a graph of its own.  All others share one, unless a rule depends on
        the position.
        """
        if self.no_repeat_ngram_size:
            return position
        return min(position, max(1, self.min_length))


def interleave(searches: Iterable[Generator[None, None, Any]]) -> Iterator:
    """Run a few searches at the same time, and yield their results in order.

    While the device computes for one search, the host reads the output of another.

    Parameters
    ----------
    searches : iterable of generators
        Each one yields whenever it has given the device something to compute, and returns its
        result.  It should return raw output: the caller converts it while the device computes for
        the next searches.

    Yields
    ------
    Any
        The result of each search, in the order of the searches.
    """
    started = map(_RunningSearch, searches)
    # Output is read in the order in which the device computes it, and results are yielded in the
    # order of the searches.
    unread: collections.deque[_RunningSearch] = collections.deque()
    in_order: collections.deque[_RunningSearch] = collections.deque()
    while True:
        num_free = min(MAX_BATCHES_RUNNING - len(unread), MAX_BATCHES_HELD - len(in_order))
        for search in itertools.islice(started, num_free):
            in_order.append(search)
            if not search.is_done:
                unread.append(search)
        if not in_order:
            return
        if in_order[0].is_done:
            yield in_order.popleft().result
            continue
        search = unread.popleft()
        search.advance()
        if not search.is_done:
            unread.append(search)


class _RunningSearch:
    """A search that has run to the point at which it would wait for the device."""

    def __init__(self, search: Generator[None, None, Any]):
        self._search, self.is_done, self.result = search, False, None
        self.advance()

    def advance(self) -> None:
        try:
            next(self._search)
        except StopIteration as end:
            self.is_done, self.result = True, end.value


class SearchState(NamedTuple):
    """The state of a search between two calls of `Stepper.run`."""

    tokens: Any  # float32 (num_hypotheses, 1), the latest token ids
    history: Any  # float32 (num_hypotheses, num_tokens), all token ids; None if no rule needs them
    stepper_state: Any  # nested list of arrays, as the stepper returned it
    scores: Any = None  # float32 (num_sentences, beam_size), log-probabilities of a beam search


def initial_search_state(
    stepper: Stepper, bos_id: int, arrays: Sequence, hypotheses_per_sentence: int
) -> SearchState:
    """Return the state of a search before the first token.

    Parameters
    ----------
    stepper : Stepper
    bos_id : int
    arrays : list of arrays
        A batch on the device, with the sentences on the first axis.
    hypotheses_per_sentence : int
    """
    F = operators_of(arrays[0])
    # MXNet runs every operator that reads an input of a graph separately, and the others in bulk.
    # After this copy, a single operator reads each input.
    arrays = [array + 0 for array in arrays]
    tokens = F.np.zeros_like(arrays[0][:, :1]) + bos_id  # (num_sentences, 1)
    if hypotheses_per_sentence > 1:
        tokens = F.np.repeat(tokens, hypotheses_per_sentence, axis=0)  # (num_hypotheses, 1)
    return SearchState(tokens, None, stepper.start(arrays, hypotheses_per_sentence))


def stack_attention(F, weights: list):
    """Return the attention weights of several steps as one array, or None without attention.

    The weights of a step have the shape (num_hypotheses, num_src_steps).  The result has the shape
    (num_steps, num_hypotheses, num_src_steps).
    """
    return None if weights[0] is None else F.np.stack(weights, axis=0)


def attention_to_host(attention: list) -> list[onp.ndarray] | None:
    """Return the attention weights of each step as NumPy arrays, or None without attention.

    Parameters
    ----------
    attention : list of arrays
        The results of `stack_attention`, one for each call of `Stepper.run`.

    Returns
    -------
    list of float32 arrays of shape (num_hypotheses, num_src_steps), or None
    """
    if attention[0] is None:
        return None
    return [step for weights in attention for step in weights.asnumpy()]
