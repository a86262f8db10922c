"""Search: from a step function to sequences of token ids, greedily, by sampling, or with a beam.

It knows no model and no text.  What it searches over is a `Stepper`: given the last token of each
row and a state, the logits of the next one.  A search runs on the device, many sentences at once,
and comes back to the host once for several tokens (`STEPS_AT_ONCE`), to see who has ended; while
one batch is waited for, others are computed.

What is done to a few tokens is a plain function of arrays.  A stepper decides how it is run: as it
stands, or traced into one graph.
"""
from __future__ import annotations

import collections
import zlib
from dataclasses import dataclass
from typing import Any, Generator, Iterable, Iterator, NamedTuple, Sequence

import numpy as onp

from .constraints import BLOCKED, IMPOSSIBLE, block, longer
from .operators import operators_of, shape_of
from .step_function import Hypothesis, SearchRules, Stepper

STEPS_AT_ONCE = 4  # tokens
BATCHES_AT_ONCE = 4
# Logits up to which MXNet finds the greatest one faster by argmax than by topk.
MAX_ARGMAX_SIZE = 1 << 15

Inputs = Sequence[onp.ndarray]  # a batch: float32 arrays with the sentences on their first axis


def greedy_search(stepper: Stepper, batches: Iterable[Inputs],
                  rules: SearchRules) -> Iterator[list[list[Hypothesis]]]:
    """The likeliest token at each step (d2l 0.14, section 9.8.1).

    Parameters
    ----------
    stepper : Stepper
    batches : iterable of sequences of arrays
        What `Stepper.start` takes, batch by batch; read a little ahead of the results.
    rules : SearchRules

    Yields
    ------
    list of list of Hypothesis
        For each sentence of a batch, in order, a list of one.
    """
    return _in_turn(_independent_rows(stepper, inputs, rules, _likeliest) for inputs in batches)


def sample(stepper: Stepper, batches: Iterable[Inputs], rules: SearchRules, *,
           num_samples: int = 1, temperature: float = 1.0, top_k: int | None = None,
           seed: int = 0) -> Iterator[list[list[Hypothesis]]]:
    """Tokens drawn as the model thinks them likely.

    What is drawn for a sentence depends on the seed and the sentence alone.

    Parameters
    ----------
    stepper, batches, rules : as for `greedy_search`
    num_samples : int
        Sequences for each sentence; some may be equal.
    temperature : float
        Above 0.  Divides the logits: below 1 the likely gets likelier.
    top_k : int, optional
        Draw from so many likeliest tokens only.
    seed : int

    Yields
    ------
    list of list of Hypothesis
        For each sentence of a batch `num_samples` of them, the best score first.  Log-probabilities
        are the model's, at a temperature of 1.
    """
    if not temperature > 0 or num_samples < 1 or (top_k is not None and top_k < 1):
        raise ValueError('expected a temperature above 0, and num_samples and top_k of at least 1, '
                         f'got {temperature}, {num_samples} and {top_k}')
    choose = _Draw(temperature, top_k)
    return _in_turn(_independent_rows(stepper, inputs, rules, choose, num_samples,
                                      _draws_for(inputs, num_samples, rules.max_length, seed))
                    for inputs in batches)


def beam_search(stepper: Stepper, batches: Iterable[Inputs], rules: SearchRules, *, beam_size: int,
                n_best: int = 1) -> Iterator[list[list[Hypothesis]]]:
    """The best of what `beam_size` hypotheses a sentence lead to (d2l 0.14, section 9.8.3).

    At each step the `beam_size` best continuations of all are kept.  Those that end in ``<eos>``
    are set aside and give their place to the next best.  A sentence is done when `beam_size` of its
    hypotheses have ended, or at `max_length`, where open ones count if too few have ended.

    Parameters
    ----------
    stepper, batches, rules : as for `greedy_search`
    beam_size : int
        1 is greedy search.
    n_best : int
        Hypotheses to return for each sentence, `beam_size` at most.

    Yields
    ------
    list of list of Hypothesis
        For each sentence of a batch up to `n_best` of them, fewer where there are not as many
        sequences: the finished ones first, and of these and of the open ones the best score first.
    """
    if not 1 <= n_best <= beam_size:
        raise ValueError(f'expected n_best from 1 to beam_size = {beam_size}, got {n_best}')
    return _in_turn(_beam(stepper, inputs, rules, beam_size, n_best) for inputs in batches)


def _in_turn(searches: Iterable[Generator]) -> Iterator:
    """The results of searches in their order, a few of them under way at the same time.

    A search yields whenever it has given the device something to do, and returns its result.
    """
    under_way = collections.deque()
    for search in searches:
        under_way.append(_Running(search))
        if len(under_way) == BATCHES_AT_ONCE:
            yield _first_result(under_way)
    while under_way:
        yield _first_result(under_way)


def _first_result(under_way: collections.deque) -> Any:
    """The result of the first search, the others going on in the meantime."""
    while not under_way[0].is_done:
        for running in under_way:
            running.advance()
    return under_way.popleft().result


class _Running:
    """A search up to where it would have to wait for the device."""

    def __init__(self, search: Generator):
        self._search, self.is_done, self.result = search, False, None
        self.advance()

    def advance(self) -> None:
        if not self.is_done:
            try:
                next(self._search)
            except StopIteration as end:
                self.is_done, self.result = True, end.value


def _independent_rows(stepper, inputs, rules, choose, num_rows=1, draws=None) -> Generator:
    """A search whose rows go on by themselves, each with the token that `choose` names."""
    found, attention = [], []
    arrays, step_rules = stepper.upload(inputs), rules.of_a_step()
    position, is_open = 0, True
    while position < rules.max_length and onp.any(is_open):
        drawn = (None if draws is None else
                 stepper.upload([draws[:, position:position + STEPS_AT_ONCE].copy()])[0])
        static = stepper, step_rules, choose, num_rows, _graphs_position(position, rules)
        chosen, weights, arrays = stepper.run(_choose_tokens, static, [arrays, drawn])
        yield
        found.append(chosen.asnumpy())  # (2, num_rows, STEPS_AT_ONCE): tokens, log-probabilities
        attention.append(weights)
        is_open = is_open & (found[-1][0] != rules.eos_id).all(axis=1)
        position += STEPS_AT_ONCE
    tokens, log_probs = onp.concatenate(found, axis=2)[:, :, :rules.max_length]
    weights = _on_host(attention)
    rows = [_row_hypothesis(ids, own, weights and [step[row] for step in weights], rules)
            for row, (ids, own) in enumerate(zip(tokens.astype(int).tolist(), log_probs.tolist()))]
    if num_rows == 1:
        return [[row] for row in rows]
    return [sorted(rows[first:first + num_rows], key=lambda found: -found.score)
            for first in range(0, len(rows), num_rows)]


def _row_hypothesis(token_ids, log_probs, weights, rules) -> Hypothesis:
    """A row up to its end."""
    is_finished = rules.eos_id in token_ids
    if is_finished:
        length = token_ids.index(rules.eos_id) + 1
        token_ids, log_probs = token_ids[:length - 1], log_probs[:length]
    return Hypothesis(token_ids, log_probs, rules.length_penalty(sum(log_probs), len(log_probs)),
                      is_finished, weights and onp.stack(weights[:len(log_probs)]))


def _choose_tokens(stepper, rules, choose, num_rows, position, arrays):
    """`STEPS_AT_ONCE` more tokens for each row: what was found, attention weights, arrays to go on.

    The arrays are the inputs of a batch at position 0, and later the `_Rows` that the last call
    left; and what is drawn, or None.
    """
    arrays, draws = arrays
    tokens, history, state, _ = (_Rows(*arrays) if position else
                                 _beginning(stepper, rules, arrays, num_rows))
    F, chosen, seen, weights = operators_of(tokens), [], [], []
    for step in range(STEPS_AT_ONCE):
        logits, state, own_weights = stepper.step(tokens, state)
        drawn = None if draws is None else draws[:, step:step + 1]
        tokens = choose(F, block(logits, rules, history, position + step), drawn)
        chosen.append(tokens)
        seen.append(logits)
        weights.append(own_weights)
        history = longer(history, tokens, rules)
    chosen = F.np.concatenate(chosen, axis=1)  # (num_rows, STEPS_AT_ONCE)
    log_probs = F.npx.pick(F.npx.log_softmax(F.np.stack(seen, axis=1)), chosen)
    return (F.np.stack([chosen, log_probs], axis=0), _stacked(F, weights),
            _Rows(tokens, history, state))


def _likeliest(F, logits, draws):
    """The token of the greatest logit."""
    num_rows, vocab_size = shape_of(logits)
    if num_rows * vocab_size > MAX_ARGMAX_SIZE:
        return F.npx.topk(logits, k=1)
    return F.argmax(logits.as_nd_ndarray(), axis=1, keepdims=True).as_np_ndarray()


@dataclass(frozen=True)
class _Draw:
    """A token of the distribution: the first one at which the summed probabilities pass a draw."""

    temperature: float
    top_k: int | None

    def __call__(self, F, logits, draws):
        if self.top_k is not None:
            best = F.npx.topk(logits, k=min(self.top_k, shape_of(logits)[1]), ret_typ='value')
            logits = logits + BLOCKED * (logits < best[:, -1:]).astype('float32')
        sums = F.np.cumsum(F.npx.softmax(logits / self.temperature), axis=1)
        is_before = sums <= draws * sums[:, -1:]  # (num_rows, vocab_size)
        return is_before.astype('float32').sum(axis=1, keepdims=True)


def _draws_for(inputs: Inputs, num_samples: int, max_length: int, seed: int) -> onp.ndarray:
    """Uniform numbers of shape (num_sentences * num_samples, max_length), up to a whole chunk."""
    num_steps = max_length + -max_length % STEPS_AT_ONCE
    draws = onp.array([
        onp.random.RandomState([seed, zlib.crc32(sentence.tobytes()), number]).rand(num_steps)
        for sentence in inputs[0] for number in range(num_samples)])
    return draws.astype('float32') * 0.999999  # not rounded up to 1


def _beam(stepper, inputs, rules, beam_size, n_best) -> Generator:
    """A search whose rows compete with the others of their sentence."""
    steps, attention = [], []
    arrays, step_rules = stepper.upload(inputs), rules.of_a_step()
    position, num_ended, is_open = 0, 0, True
    while position < rules.max_length and onp.any(is_open):
        static = stepper, step_rules, beam_size, _graphs_position(position, rules)
        found, weights, arrays = stepper.run(_extend_beams, static, arrays)
        yield
        steps.append(found.asnumpy())
        attention.append(weights)
        position += STEPS_AT_ONCE
        num_ended = num_ended + (steps[-1][:, END_SCORES] > IMPOSSIBLE).sum(axis=(0, 2))
        is_open = (num_ended < beam_size) & (steps[-1][-1, SCORES] > IMPOSSIBLE).any(axis=1)
    found, weights = onp.concatenate(steps)[:rules.max_length], _on_host(attention)
    return [_best(found[:, :, sentence],
                  weights and [step[sentence * beam_size:][:beam_size] for step in weights],
                  rules, n_best) for sentence in range(len(inputs[0]))]


# What is found at each step of a beam search, for the places of a beam: the tokens that were put
# there, the places that they continue, their summed log-probabilities; and, best first, the summed
# log-probabilities of what ended, `BLOCKED` in the other places, and the places that it continued.
TOKENS, PARENTS, SCORES, END_SCORES, END_PARENTS = range(5)


def _extend_beams(stepper, rules, beam_size, position, arrays):
    """`STEPS_AT_ONCE` more tokens for the beams: what was found, weights, arrays to go on.

    What was found has the shape (STEPS_AT_ONCE, 5, num_sentences, beam_size).  The arrays are the
    inputs of a batch at position 0, and later the `_Rows` that the last call left.
    """
    tokens, history, state, scores = (_Rows(*arrays) if position else
                                      _beginning(stepper, rules, arrays, beam_size))
    F, found, weights = operators_of(tokens), [], []
    for step in range(STEPS_AT_ONCE):
        logits, state, own_weights = stepper.step(tokens, state)
        log_probs = block(F.npx.log_softmax(logits), rules, history, position + step)
        found.append(_best_continuations(F, log_probs, scores, rules.eos_id))
        weights.append(own_weights)
        tokens, scores = found[-1][TOKENS].reshape((-1, 1)), found[-1][SCORES]
        sentences = F.npx.arange_like(scores, axis=0).reshape((-1, 1))
        rows = (sentences * beam_size + found[-1][PARENTS]).reshape((-1,))
        state = stepper.reorder(state, rows)
        if history is not None:
            history = F.np.take(history, rows, axis=0, mode='clip')
        history = longer(history, tokens, rules)
    found = F.np.stack([F.np.stack(parts, axis=0) for parts in found], axis=0)
    return found, _stacked(F, weights), _Rows(tokens, history, state, scores)


def _best_continuations(F, log_probs, scores, eos_id):
    """One step for all beams; returns arrays of shape (num_sentences, beam_size), see `TOKENS`.

    Of twice as many candidates as there are places, each place gives one ``<eos>`` at most, so that
    enough others are among them.

    Parameters
    ----------
    log_probs : float32 array of shape (num_sentences * beam_size, vocab_size)
    scores : float32 array of shape (num_sentences, beam_size)
    """
    beam_size, vocab_size = shape_of(scores)[1], shape_of(log_probs)[1]
    totals = (log_probs + scores.reshape((-1, 1))).reshape((-1, beam_size * vocab_size))
    best, index = F.npx.topk(totals, k=2 * beam_size, ret_typ='both')
    parents = F.np.floor(index / vocab_size)
    tokens = index - parents * vocab_size  # (num_sentences, 2 * beam_size), like the others
    is_end = (tokens == eos_id).astype('float32')
    open_scores, index = F.npx.topk(best + BLOCKED * is_end, k=beam_size, ret_typ='both')
    sentences = F.npx.arange_like(index, axis=0).reshape((-1, 1))
    index = sentences * (2 * beam_size) + index
    open_tokens, open_parents = (F.np.take(values.reshape((-1,)), index, mode='clip')
                                 for values in (tokens, parents))
    end_scores = best + BLOCKED * (1 - is_end)
    return (open_tokens, open_parents, open_scores, end_scores[:, :beam_size],
            parents[:, :beam_size])


def _best(found, weights, rules, n_best) -> list[Hypothesis]:
    """The best hypotheses of a sentence: ended ones, and open ones where those are too few.

    Parameters
    ----------
    found : array of shape (num_steps, 5, beam_size)
    weights : list of arrays of shape (beam_size, num_src_steps), one for each step, or None
    """
    beam_size, steps = found.shape[2], found.tolist()  # Python's lists are quicker to walk through
    ended = [(step + 1, int(place), total) for step, one in enumerate(steps)
             for total, place in zip(one[END_SCORES], one[END_PARENTS]) if total > IMPOSSIBLE]
    ended = sorted(ended[:beam_size], key=lambda one: -rules.length_penalty(one[2], one[0]))
    best = [_trace_back(steps[:length - 1], place, total, weights, rules)
            for length, place, total in ended[:n_best]]
    if len(best) < n_best:  # the open ones are in order of score
        places = [place for place, total in enumerate(steps[-1][SCORES]) if total > IMPOSSIBLE]
        best += [_trace_back(steps, place, None, weights, rules)
                 for place in places[:n_best - len(best)]]
    return best


def _trace_back(steps, place, end_score, weights, rules) -> Hypothesis:
    """The hypothesis in a place after some steps; with ``<eos>`` unless `end_score` is None."""
    is_finished = end_score is not None
    token_ids, totals, places = [], [end_score] if is_finished else [], [place]
    for one in reversed(steps):
        token_ids.append(int(one[TOKENS][place]))
        totals.append(one[SCORES][place])
        place = int(one[PARENTS][place])
        places.append(place)
    # A token is due to the weights of the place that it continues.
    places = places[::-1][:len(totals)]
    log_probs = [total - before for total, before in zip(totals, [*totals[1:], 0.0])][::-1]
    return Hypothesis(token_ids[::-1], log_probs, rules.length_penalty(totals[0], len(totals)),
                      is_finished, weights and onp.stack([weights[step][place] for step, place
                                                          in enumerate(places)]))


class _Rows(NamedTuple):
    """What a search carries from one call to the next."""

    tokens: Any  # float32 (num_rows, 1), the last ones
    history: Any  # float32 (num_rows, num_tokens), all of them; None where no rule looks at them
    state: Any  # the stepper's
    scores: Any = None  # float32 (num_sentences, beam_size): summed log-probabilities of a beam


def _beginning(stepper, rules, arrays, num_rows) -> _Rows:
    """What is carried before the first token, with `num_rows` rows for each sentence."""
    F = operators_of(arrays[0])
    # MXNet runs what reads a graph's input by itself, and the rest together: one copy is read.
    arrays = [array + 0 for array in arrays]
    begin = F.np.zeros_like(arrays[0][:, :1]) + rules.bos_id  # (num_sentences, 1)
    # The rows of a sentence are the same in the beginning, so only the first one counts.
    zeros = F.np.zeros_like(begin)
    scores = F.np.concatenate([zeros, *[zeros + BLOCKED] * (num_rows - 1)], axis=1)
    begin = begin if num_rows == 1 else F.np.repeat(begin, num_rows, axis=0)
    return _Rows(begin, None, stepper.start(arrays, num_rows), scores)


def _graphs_position(position: int, rules: SearchRules) -> int:
    """A position as far as it matters: where no rule looks at it, all but the first are alike."""
    return position if rules.depend_on_position else min(position, 1)


def _stacked(F, weights):
    """Attention weights of several steps as one array, (num_steps, num_rows, num_src_steps)."""
    return None if weights[0] is None else F.np.stack(weights, axis=0)


def _on_host(attention: list) -> list[onp.ndarray] | None:
    """The attention weights (num_rows, num_src_steps) of each step."""
    return (None if attention[0] is None
            else [step for weights in attention for step in weights.asnumpy()])
