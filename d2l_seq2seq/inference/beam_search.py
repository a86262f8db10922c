"""Beam search: hypotheses of a sentence that compete, over any step function, and its tree.

How rows are run on the device is told in `decoding.py`, which searches without competition.
"""

from __future__ import annotations

from typing import Generator, Iterable, Iterator, NamedTuple

import numpy as onp

from .._mxnet import operators_of, shape_of
from .search import (
    BLOCKED,
    IMPOSSIBLE,
    STEPS_AT_ONCE,
    Hypothesis,
    Inputs,
    Rows,
    SearchRules,
    Stepper,
    beginning,
    block,
    interleave,
    longer,
    on_host,
    stacked,
)


def beam_search(
    stepper: Stepper,
    batches: Iterable[Inputs],
    rules: SearchRules,
    *,
    beam_size: int,
    n_best: int = 1,
) -> Iterator[list[list[Hypothesis]]]:
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
    found = interleave(_search(stepper, inputs, rules, beam_size) for inputs in batches)
    return (_hypotheses(*one, rules, n_best) for one in found)


class TreeNode(NamedTuple):
    """A sequence that a beam held: its last token, behind those of the node before."""

    token_id: int  # ``eos_id`` where the sequence ended
    log_prob: float  # of the whole sequence, a natural logarithm
    parent: int | None  # number of the node before; None: this is a first token


def search_tree(
    stepper: Stepper, inputs: Inputs, rules: SearchRules, beam_size: int
) -> list[TreeNode]:
    """All that the beam of one sentence held on its way (d2l 0.14, Fig. 9.8.3).

    Parameters
    ----------
    stepper : Stepper
    inputs : sequence of arrays
        What `Stepper.start` takes, a batch of one.
    rules : SearchRules
    beam_size : int

    Returns
    -------
    list of TreeNode
        Step by step: the places of the beam, best first, and then what ended there.

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
    ((found, _),) = interleave([_search(stepper, inputs, rules, beam_size)])
    nodes, places, num_ended = [], [None], 0
    for one in onp.concatenate(found)[: rules.max_length, :, 0].tolist():
        if num_ended >= beam_size:
            break
        held = [
            TreeNode(int(token_id), log_prob, places[int(parent)])
            for token_id, parent, log_prob in zip(one[TOKENS], one[PARENTS], one[SCORES])
            if log_prob > IMPOSSIBLE
        ]
        ended = [
            TreeNode(rules.eos_id, log_prob, places[int(parent)])
            for log_prob, parent in zip(one[END_SCORES], one[END_PARENTS])
            if log_prob > IMPOSSIBLE
        ][: beam_size - num_ended]
        num_ended += len(ended)
        places = range(len(nodes), len(nodes) + len(held))
        nodes += held + ended
    return nodes


def _hypotheses(found, attention, rules, n_best) -> list[list[Hypothesis]]:
    """The best hypotheses of each sentence of what a search found."""
    found, weights = onp.concatenate(found)[: rules.max_length], on_host(attention)
    _, _, num_sentences, beam_size = found.shape
    return [
        _best(
            found[:, :, sentence],
            weights and [step[sentence * beam_size :][:beam_size] for step in weights],
            rules,
            n_best,
        )
        for sentence in range(num_sentences)
    ]


def _search(stepper, inputs, rules, beam_size) -> Generator:
    """A search whose rows compete with the others of their sentence.

    What it finds: an array (STEPS_AT_ONCE, 5, num_sentences, beam_size) for each time that it came
    back, see below, and the attention weights as they are on the device.
    """
    steps, attention = [], []
    arrays, step_rules = stepper.upload(inputs), rules.of_a_step()
    position, num_ended, is_open = 0, 0, True
    while position < rules.max_length and onp.any(is_open):
        static = stepper, step_rules, beam_size, rules.graphs_position(position)
        found, weights, arrays = stepper.run(_extend_beams, static, arrays)
        yield
        steps.append(found.asnumpy())
        attention.append(weights)
        position += STEPS_AT_ONCE
        num_ended = num_ended + (steps[-1][:, END_SCORES] > IMPOSSIBLE).sum(axis=(0, 2))
        is_open = (num_ended < beam_size) & (steps[-1][-1, SCORES] > IMPOSSIBLE).any(axis=1)
    return steps, attention


# What is found at each step of a beam search, for the places of a beam: the tokens that were put
# there, the places that they continue, their summed log-probabilities; and, best first, the summed
# log-probabilities of what ended, `BLOCKED` in the other places, and the places that it continued.
TOKENS, PARENTS, SCORES, END_SCORES, END_PARENTS = range(5)


def _extend_beams(stepper, rules, beam_size, position, arrays):
    """`STEPS_AT_ONCE` more tokens for the beams: what was found, weights, arrays to go on.

    What was found has the shape (STEPS_AT_ONCE, 5, num_sentences, beam_size).  The arrays are the
    inputs of a batch at position 0, and later the `Rows` that the last call left.
    """
    tokens, history, state, scores = (
        Rows(*arrays) if position else _beginning(stepper, rules, arrays, beam_size)
    )
    F, found, weights = operators_of(tokens), [], []
    for step in range(STEPS_AT_ONCE):
        logits, state, own_weights = stepper.step(tokens, state)
        log_probs = block(F.npx.log_softmax(logits), rules, history, position + step)
        found.append(best_continuations(F, log_probs, scores, rules.eos_id))
        weights.append(own_weights)
        tokens, scores = found[-1][TOKENS].reshape((-1, 1)), found[-1][SCORES]
        sentences = F.npx.arange_like(scores, axis=0).reshape((-1, 1))
        rows = (sentences * beam_size + found[-1][PARENTS]).reshape((-1,))
        state = stepper.reorder(state, rows)
        if history is not None:
            history = F.np.take(history, rows, axis=0, mode='clip')
        history = longer(history, tokens, rules)
    found = F.np.stack([F.np.stack(parts, axis=0) for parts in found], axis=0)
    return found, stacked(F, weights), Rows(tokens, history, state, scores)


def _beginning(stepper, rules, arrays, beam_size) -> Rows:
    """Before the first token the rows of a sentence are the same, so only the first one counts."""
    rows = beginning(stepper, rules.bos_id, arrays, beam_size)
    F = operators_of(rows.tokens)
    zeros = F.np.zeros_like(rows.tokens.reshape((-1, beam_size))[:, :1])  # (num_sentences, 1)
    return rows._replace(
        scores=F.np.concatenate([zeros, *[zeros + BLOCKED] * (beam_size - 1)], axis=1)
    )


def best_continuations(F, log_probs, scores, eos_id):
    """One step for all beams; returns float32 arrays (num_sentences, beam_size), see `TOKENS`.

    Of twice as many candidates as there are places, each place gives one ``<eos>`` at most, so that
    enough others are among them.

    Parameters
    ----------
    log_probs : float32 array of shape (num_sentences * beam_size, vocab_size)
    scores : float32 array of shape (num_sentences, beam_size)
    """
    beam_size, vocab_size = shape_of(scores)[1], shape_of(log_probs)[1]
    totals = (log_probs + scores.reshape((-1, 1))).reshape((-1, beam_size * vocab_size))
    # Float32 counts to 2^24 only, and there may be more candidates.
    best, index = F.npx.topk(totals, k=2 * beam_size, ret_typ='both', dtype='float64')
    parents = F.np.floor(index / vocab_size)
    tokens = (index - parents * vocab_size).astype('float32')
    parents = parents.astype('float32')  # (num_sentences, 2 * beam_size), like the others
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


def _best(found, weights, rules, n_best) -> list[Hypothesis]:
    """The best hypotheses of a sentence: ended ones, and open ones where those are too few.

    Parameters
    ----------
    found : array of shape (num_steps, 5, beam_size)
    weights : list of arrays of shape (beam_size, num_src_steps), one for each step, or None
    """
    beam_size, steps = found.shape[2], found.tolist()  # Python's lists are quicker to walk through
    ended = [
        (step + 1, int(place), total)
        for step, one in enumerate(steps)
        for total, place in zip(one[END_SCORES], one[END_PARENTS])
        if total > IMPOSSIBLE
    ]
    ended = sorted(ended[:beam_size], key=lambda one: -rules.length_penalty(one[2], one[0]))
    best = [
        _trace_back(steps[: length - 1], place, total, weights, rules)
        for length, place, total in ended[:n_best]
    ]
    if len(best) < n_best:  # the open ones are in order of score
        places = [place for place, total in enumerate(steps[-1][SCORES]) if total > IMPOSSIBLE]
        best += [
            _trace_back(steps, place, None, weights, rules)
            for place in places[: n_best - len(best)]
        ]
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
    places = places[::-1][: len(totals)]
    log_probs = [total - before for total, before in zip(totals, [*totals[1:], 0.0])][::-1]
    return Hypothesis(
        token_ids[::-1],
        log_probs,
        rules.length_penalty(totals[0], len(totals)),
        is_finished,
        weights and onp.stack([weights[step][place] for step, place in enumerate(places)]),
    )
