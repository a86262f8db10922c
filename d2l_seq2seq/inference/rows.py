"""What all searches have in common: rows of tokens, and several batches under way.

A search runs on the device, many sentences at once, and comes back to the host once for several
tokens (`STEPS_AT_ONCE`), to see who has ended; while one batch is waited for, others are computed.
"""
from __future__ import annotations

import collections
import itertools
from typing import Any, Generator, Iterable, Iterator, NamedTuple, Sequence

import numpy as onp

from .._operators import operators_of

STEPS_AT_ONCE = 4  # tokens
BATCHES_AT_ONCE = 4
MAX_BATCHES_HELD = 16  # those included that wait for one before them

Inputs = Sequence[onp.ndarray]  # a batch: float32 arrays with the sentences on their first axis


def in_turn(searches: Iterable[Generator]) -> Iterator:
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
    return (None if attention[0] is None
            else [step for weights in attention for step in weights.asnumpy()])
