"""Beam search over any step function (d2l 0.14, section 9.8.3), and the tree of its hypotheses.

The hypotheses of a sentence compete for the places of its beam.  In the searches of `sampling`,
hypotheses are independent of each other.
"""

from __future__ import annotations

from typing import Generator, Iterable, Iterator, NamedTuple, Sequence

import numpy as onp

from .._mxnet import operators_of, shape_of
from .constraints import (
    BLOCKED,
    IMPOSSIBLE,
    append_to_history,
    apply_constraints,
    log_probabilities,
)
from .search import (
    STEPS_PER_CALL,
    BatchInputs,
    Hypothesis,
    SearchRules,
    SearchState,
    Stepper,
    attention_to_host,
    initial_search_state,
    interleave,
    stack_attention,
)

# A step has five results, each of shape (num_sentences, beam_size).  Three describe the places of
# the beam: the new token, the place that it continues, and the summed log-probability.  Two
# describe the hypotheses that ended, best first: the summed log-probability (below `IMPOSSIBLE`
# where none ended), and the place that <eos> continues.
TOKENS, PARENTS, SCORES, END_SCORES, END_PARENTS = range(5)


def beam_search(
    stepper: Stepper,
    batches: Iterable[BatchInputs],
    rules: SearchRules,
    *,
    beam_size: int,
    n_best: int = 1,
) -> Iterator[list[list[Hypothesis]]]:
    """Search for the best sequences with a beam (d2l 0.14, section 9.8.3).

    Each step keeps the `beam_size` best continuations of all hypotheses of a sentence.  Those that
    end with ``<eos>`` are set aside, and the next best continuations take their places.  A sentence
    is done when `beam_size` of its hypotheses have ended, or at `max_length`.  If too few have
    ended by then, the best unfinished ones complete the result.

    Parameters
    ----------
    stepper : Stepper
    batches : iterable of sequences of arrays
        Inputs for `Stepper.upload`.  Batches are read slightly ahead of the results.
    rules : SearchRules
    beam_size : int
        1 is greedy search.
    n_best : int
        Number of hypotheses to return for each sentence, `beam_size` at most.

    Yields
    ------
    list of list of Hypothesis
        Up to `n_best` hypotheses for each sentence of a batch, fewer if fewer sequences exist.  The
        finished ones come before the others, and in both groups the best score comes first.

    Raises
    ------
    ValueError
        If `n_best` is not from 1 to `beam_size`.
    """
    if not 1 <= n_best <= beam_size:
        raise ValueError(f'expected n_best from 1 to beam_size = {beam_size}, got {n_best}')
    results = interleave(_search_beams(stepper, inputs, rules, beam_size) for inputs in batches)
    return (_beams_to_hypotheses(steps, attention, rules, n_best) for steps, attention in results)


def best_continuations(F, log_probs, scores, eos_id):
    """Compute one step of beam search for all sentences of a batch.

    Each place of the beam has at most one continuation with ``<eos>``.  Therefore the best
    ``2 * beam_size`` candidates always include `beam_size` others.

    Parameters
    ----------
    F : module
        MXNet's operators, for arrays or for symbols.
    log_probs : float32 array of shape (num_sentences * beam_size, vocab_size)
        Log-probabilities of the next token.
    scores : float32 array of shape (num_sentences, beam_size)
        Summed log-probabilities of the hypotheses so far.
    eos_id : int

    Returns
    -------
    tokens, parents, scores, end_scores, end_parents
        Five float32 arrays of shape (num_sentences, beam_size), see `TOKENS`.
    """
    beam_size, vocab_size = shape_of(scores)[1], shape_of(log_probs)[1]
    totals = (log_probs + scores.reshape((-1, 1))).reshape((-1, beam_size * vocab_size))
    # There may be more than 2^24 candidates, which float32 could not count.
    best, index = F.npx.topk(totals, k=2 * beam_size, ret_typ='both', dtype='float64')
    parents = F.np.floor(index / vocab_size)
    tokens = (index - parents * vocab_size).astype('float32')
    parents = parents.astype('float32')  # (num_sentences, 2 * beam_size), as best and tokens
    is_end = (tokens == eos_id).astype('float32')
    open_scores, index = F.npx.topk(best + BLOCKED * is_end, k=beam_size, ret_typ='both')
    sentences = F.npx.arange_like(index, axis=0).reshape((-1, 1))
    index = sentences * (2 * beam_size) + index
    open_tokens, open_parents = (
        F.np.take(values.reshape((-1,)), index, mode='clip') for values in (tokens, parents)
    )
    end_scores = best + BLOCKED * (1 - is_end)
    return (
        open_tokens,
        open_parents,
        open_scores,
        end_scores[:, :beam_size],
        parents[:, :beam_size],
    )


class TreeNode(NamedTuple):
    """A sequence that was in a beam: its last token and the node of the tokens before it."""

    token_id: int  # eos_id if the sequence ended
    log_prob: float  # natural logarithm of the probability of the whole sequence
    parent: int | None  # index of the node before; None for a first token


def search_tree(
    stepper: Stepper, inputs: BatchInputs, rules: SearchRules, beam_size: int
) -> list[TreeNode]:
    """Return all sequences that the beam of one sentence held (d2l 0.14, Fig. 9.8.3).

    Parameters
    ----------
    stepper : Stepper
    inputs : sequence of arrays
        Inputs for `Stepper.upload`, a batch of one sentence.
    rules : SearchRules
    beam_size : int

    Returns
    -------
    list of TreeNode
        For each step, the sequences in the beam, best first, and then those that ended.

    Raises
    ------
    ValueError
        If there is more than one sentence, or `beam_size` is below 1.
    """
    if len(inputs[0]) != 1 or beam_size < 1:
        raise ValueError(
            f'expected one sentence and a beam_size of at least 1, got '
            f'{len(inputs[0])} and {beam_size}'
        )
    ((steps, _),) = interleave([_search_beams(stepper, inputs, rules, beam_size)])
    nodes: list[TreeNode] = []
    node_of_place: Sequence[int | None] = [None]
    num_ended = 0
    for step in onp.concatenate(steps)[: rules.max_length, :, 0].tolist():
        if num_ended >= beam_size:
            break
        held = [
            TreeNode(int(token_id), log_prob, node_of_place[int(parent)])
            for token_id, parent, log_prob in zip(step[TOKENS], step[PARENTS], step[SCORES])
            if log_prob > IMPOSSIBLE
        ]
        ended = [
            TreeNode(rules.eos_id, log_prob, node_of_place[int(parent)])
            for log_prob, parent in zip(step[END_SCORES], step[END_PARENTS])
            if log_prob > IMPOSSIBLE
        ][: beam_size - num_ended]
        num_ended += len(ended)
        node_of_place = range(len(nodes), len(nodes) + len(held))
        nodes += held + ended
    return nodes


def _search_beams(stepper, inputs, rules, beam_size) -> Generator[None, None, tuple[list, list]]:
    """Search one batch, for `interleave`.

    Returns
    -------
    steps : list of float32 NumPy arrays of shape (STEPS_PER_CALL, 5, num_sentences, beam_size)
        The results of the steps, see `TOKENS`; one array for each call of `Stepper.run`.
    attention : list
        The attention weights of each call, on the device.
    """
    steps, attention = [], []
    arrays, step_rules = stepper.upload(inputs), rules.step_rules()
    position, num_ended, is_open = 0, 0, True
    while position < rules.max_length and onp.any(is_open):
        static = stepper, step_rules, beam_size, rules.graph_position(position)
        results, weights, arrays = stepper.run(_extend_beams, static, arrays)
        yield
        steps.append(results.asnumpy())
        attention.append(weights)
        position += STEPS_PER_CALL
        num_ended = num_ended + (steps[-1][:, END_SCORES] > IMPOSSIBLE).sum(axis=(0, 2))
        is_open = (num_ended < beam_size) & (steps[-1][-1, SCORES] > IMPOSSIBLE).any(axis=1)
    return steps, attention


def _extend_beams(stepper, rules, beam_size, position, arrays):
    """Extend the beams by `STEPS_PER_CALL` tokens: a function of arrays, for `Stepper.run`.

    Parameters
    ----------
    arrays : list of arrays, or SearchState
        The inputs of a batch at position 0, and later the state that the last call returned.

    Returns
    -------
    results : float32 array of shape (STEPS_PER_CALL, 5, num_sentences, beam_size)
    attention_weights : float32 array of shape (STEPS_PER_CALL, num_hypotheses, num_src_steps)
        None without attention.
    state : SearchState
    """
    tokens, history, state, scores = (
        SearchState(*arrays) if position else _initial_beams(stepper, rules, arrays, beam_size)
    )
    F, results, attention = operators_of(tokens), [], []
    for step in range(STEPS_PER_CALL):
        logits, state, weights = stepper.step(tokens, state)
        log_probs = log_probabilities(F, logits, stepper.has_finite_logits)
        log_probs = apply_constraints(log_probs, rules, history, position + step)
        results.append(best_continuations(F, log_probs, scores, rules.eos_id))
        attention.append(weights)
        tokens, scores = results[-1][TOKENS].reshape((-1, 1)), results[-1][SCORES]
        sentences = F.npx.arange_like(scores, axis=0).reshape((-1, 1))
        parents = (sentences * beam_size + results[-1][PARENTS]).reshape((-1,))
        state = stepper.reorder(state, parents)
        if history is not None:
            history = F.np.take(history, parents, axis=0, mode='clip')
        history = append_to_history(history, tokens, rules)
    results = F.np.stack([F.np.stack(step_results, axis=0) for step_results in results], axis=0)
    return results, stack_attention(F, attention), SearchState(tokens, history, state, scores)


def _initial_beams(stepper, rules, arrays, beam_size) -> SearchState:
    """Return the state before the first token.

    All hypotheses of a sentence are equal then, so all but the first are blocked.
    """
    state = initial_search_state(stepper, rules.bos_id, arrays, beam_size)
    F = operators_of(state.tokens)
    zeros = F.np.zeros_like(state.tokens.reshape((-1, beam_size))[:, :1])  # (num_sentences, 1)
    return state._replace(
        scores=F.np.concatenate([zeros, *[zeros + BLOCKED] * (beam_size - 1)], axis=1)
    )


def _beams_to_hypotheses(steps, attention, rules, n_best) -> list[list[Hypothesis]]:
    """Return the best hypotheses of each sentence from the result of `_search_beams`."""
    steps, weights = onp.concatenate(steps)[: rules.max_length], attention_to_host(attention)
    _, _, num_sentences, beam_size = steps.shape
    return [
        _best_hypotheses(
            steps[:, :, sentence],
            weights and [step[sentence * beam_size :][:beam_size] for step in weights],
            rules,
            n_best,
        )
        for sentence in range(num_sentences)
    ]


def _best_hypotheses(steps, weights, rules, n_best) -> list[Hypothesis]:
    """Return the best hypotheses of a sentence: finished ones, then unfinished ones if needed.

    Parameters
    ----------
    steps : array of shape (num_steps, 5, beam_size)
    weights : list of arrays of shape (beam_size, num_src_steps), one for each step, or None
    """
    beam_size, steps = steps.shape[2], steps.tolist()  # lists are faster to iterate over
    ended = [
        (number + 1, int(place), total)
        for number, step in enumerate(steps)
        for total, place in zip(step[END_SCORES], step[END_PARENTS])
        if total > IMPOSSIBLE
    ]
    ended = sorted(ended[:beam_size], key=lambda end: -rules.length_penalty(end[2], end[0]))
    hypotheses = [
        _trace_back(steps[: length - 1], place, total, weights, rules)
        for length, place, total in ended[:n_best]
    ]
    if len(hypotheses) < n_best:  # the places of the beam are in order of score
        places = [place for place, total in enumerate(steps[-1][SCORES]) if total > IMPOSSIBLE]
        hypotheses += [
            _trace_back(steps, place, None, weights, rules)
            for place in places[: n_best - len(hypotheses)]
        ]
    return hypotheses


def _trace_back(steps, place, end_score, weights, rules) -> Hypothesis:
    """Return the hypothesis in a place after the last of `steps`.

    `end_score` is the summed log-probability with ``<eos>``, or None for an unfinished hypothesis.
    """
    is_finished = end_score is not None
    token_ids, totals, places = [], [end_score] if is_finished else [], [place]
    for step in reversed(steps):
        token_ids.append(int(step[TOKENS][place]))
        totals.append(step[SCORES][place])
        place = int(step[PARENTS][place])
        places.append(place)
    # The attention weights of a token are those of the place that it continues.
    places = places[::-1][: len(totals)]
    log_probs = [total - before for total, before in zip(totals, [*totals[1:], 0.0])][::-1]
    return Hypothesis(
        token_ids[::-1],
        log_probs,
        rules.length_penalty(totals[0], len(totals)),
        is_finished,
        weights and onp.stack([weights[step][place] for step, place in enumerate(places)]),
    )
