"""Search in rows that go on by themselves: greedily, or by sampling.  Beams are in `beam.py`.

It knows no model and no text.  What it searches over is a `Stepper`: given the last token of each
row and a state, the logits of the next one.  What is done to a few tokens is a plain function of
arrays.  A stepper decides how it is run: as it stands, or traced into one graph.
"""

from __future__ import annotations

import zlib
from dataclasses import dataclass
from typing import Generator, Iterable, Iterator

import numpy as onp

from .._mxnet import operators_of, shape_of
from .search import (
    BLOCKED,
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

# Logits up to which MXNet finds the greatest one faster by argmax than by topk.
MAX_ARGMAX_SIZE = 1 << 15


def greedy_search(
    stepper: Stepper, batches: Iterable[Inputs], rules: SearchRules
) -> Iterator[list[list[Hypothesis]]]:
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
    found = interleave(_independent_rows(stepper, inputs, rules, _likeliest) for inputs in batches)
    return ([[row] for row in _hypotheses(*one, rules)] for one in found)


def sample(
    stepper: Stepper,
    batches: Iterable[Inputs],
    rules: SearchRules,
    *,
    num_samples: int = 1,
    temperature: float = 1.0,
    top_k: int | None = None,
    seed: int = 0,
) -> Iterator[list[list[Hypothesis]]]:
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
        raise ValueError(
            'expected a temperature above 0, and num_samples and top_k of at least 1, '
            f'got {temperature}, {num_samples} and {top_k}'
        )
    choose = _Draw(temperature, top_k)
    found = interleave(
        _independent_rows(
            stepper,
            inputs,
            rules,
            choose,
            num_samples,
            _draws_for(inputs, num_samples, rules.max_length, seed),
        )
        for inputs in batches
    )
    return (_best_first(_hypotheses(*one, rules), num_samples) for one in found)


def _independent_rows(stepper, inputs, rules, choose, num_rows=1, draws=None) -> Generator:
    """A search whose rows go on by themselves, each with the token that `choose` names.

    What it finds: tokens and their log-probabilities, an array (2, num_rows, STEPS_AT_ONCE) for
    each time that it came back, and the attention weights as they are on the device.
    """
    found, attention = [], []
    arrays, step_rules = stepper.upload(inputs), rules.of_a_step()
    position, is_open = 0, True
    while position < rules.max_length and onp.any(is_open):
        drawn = (
            None
            if draws is None
            else stepper.upload([draws[:, position : position + STEPS_AT_ONCE].copy()])[0]
        )
        static = stepper, step_rules, choose, num_rows, rules.graphs_position(position)
        chosen, weights, arrays = stepper.run(_choose_tokens, static, [arrays, drawn])
        yield
        found.append(chosen.asnumpy())
        attention.append(weights)
        is_open = is_open & (found[-1][0] != rules.eos_id).all(axis=1)
        position += STEPS_AT_ONCE
    return found, attention


def _hypotheses(found, attention, rules) -> list[Hypothesis]:
    """The rows of what a search found."""
    tokens, log_probs = onp.concatenate(found, axis=2)[:, :, : rules.max_length]
    weights = on_host(attention)
    return [
        _row_hypothesis(ids, own, weights and [step[row] for step in weights], rules)
        for row, (ids, own) in enumerate(zip(tokens.astype(int).tolist(), log_probs.tolist()))
    ]


def _best_first(rows: list[Hypothesis], num_rows: int) -> list[list[Hypothesis]]:
    """Each sentence's rows, in order of their scores."""
    return [
        sorted(rows[first : first + num_rows], key=lambda found: -found.score)
        for first in range(0, len(rows), num_rows)
    ]


def _row_hypothesis(token_ids, log_probs, weights, rules) -> Hypothesis:
    """A row up to its end."""
    is_finished = rules.eos_id in token_ids
    if is_finished:
        length = token_ids.index(rules.eos_id) + 1
        token_ids, log_probs = token_ids[: length - 1], log_probs[:length]
    return Hypothesis(
        token_ids,
        log_probs,
        rules.length_penalty(sum(log_probs), len(log_probs)),
        is_finished,
        weights and onp.stack(weights[: len(log_probs)]),
    )


def _choose_tokens(stepper, rules, choose, num_rows, position, arrays):
    """`STEPS_AT_ONCE` more tokens for each row: what was found, attention weights, arrays to go on.

    The arrays are the inputs of a batch at position 0, and later the `Rows` that the last call
    left; and what is drawn, or None.
    """
    arrays, draws = arrays
    tokens, history, state, _ = (
        Rows(*arrays) if position else beginning(stepper, rules.bos_id, arrays, num_rows)
    )
    F, chosen, seen, weights = operators_of(tokens), [], [], []
    for step in range(STEPS_AT_ONCE):
        logits, state, own_weights = stepper.step(tokens, state)
        drawn = None if draws is None else draws[:, step : step + 1]
        tokens = choose(F, block(logits, rules, history, position + step), drawn)
        chosen.append(tokens)
        seen.append(logits)
        weights.append(own_weights)
        history = longer(history, tokens, rules)
    chosen = F.np.concatenate(chosen, axis=1)  # (num_rows, STEPS_AT_ONCE)
    log_probs = F.npx.pick(F.npx.log_softmax(F.np.stack(seen, axis=1)), chosen)
    return (
        F.np.stack([chosen, log_probs], axis=0),
        stacked(F, weights),
        Rows(tokens, history, state),
    )


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
    draws = onp.array(
        [
            onp.random.RandomState([seed, zlib.crc32(sentence.tobytes()), number]).rand(num_steps)
            for sentence in inputs[0]
            for number in range(num_samples)
        ]
    )
    return draws.astype('float32') * 0.999999  # not rounded up to 1
