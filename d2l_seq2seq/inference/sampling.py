"""Greedy search and sampling: searches whose hypotheses are independent of each other.

Greedy search is section 9.8.1 of d2l 0.14.  In a beam search (`beam_search`) hypotheses compete.
"""

from __future__ import annotations

import zlib
from dataclasses import dataclass
from typing import Generator, Iterable, Iterator

import numpy as onp

from .._mxnet import operators_of, shape_of
from .constraints import BLOCKED, append_to_history, apply_constraints, log_probabilities
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

# Number of logits up to which MXNet finds the largest one faster with argmax than with topk.
MAX_ARGMAX_SIZE = 1 << 15


def greedy_search(
    stepper: Stepper, batches: Iterable[BatchInputs], rules: SearchRules
) -> Iterator[list[list[Hypothesis]]]:
    """Choose the most likely token at each step (d2l 0.14, section 9.8.1).

    Parameters
    ----------
    stepper : Stepper
    batches : iterable of sequences of arrays
        Inputs for `Stepper.upload`.  Batches are read slightly ahead of the results.
    rules : SearchRules

    Yields
    ------
    list of list of Hypothesis
        A list of one hypothesis for each sentence of a batch.
    """
    results = interleave(
        _search_batch(stepper, inputs, rules, _choose_likeliest) for inputs in batches
    )
    return (
        [[hypothesis] for hypothesis in _to_hypotheses(chunks, attention, rules)]
        for chunks, attention in results
    )


def sample(
    stepper: Stepper,
    batches: Iterable[BatchInputs],
    rules: SearchRules,
    *,
    num_samples: int = 1,
    temperature: float = 1.0,
    top_k: int | None = None,
    seed: int = 0,
) -> Iterator[list[list[Hypothesis]]]:
    """Draw tokens from the distribution of the model.

    The samples of a sentence depend on the seed and the sentence only, not on its batch.

    Parameters
    ----------
    stepper, batches, rules
        See `greedy_search`.
    num_samples : int
        Number of sequences to draw for each sentence; some may be equal.
    temperature : float
        Divisor of the logits, above 0.  Below 1 it favors likely tokens.
    top_k : int, optional
        Number of most likely tokens to draw from; all tokens by default.
    seed : int

    Yields
    ------
    list of list of Hypothesis
        `num_samples` hypotheses for each sentence of a batch, the best score first.  Their
        log-probabilities are those of the model, at a temperature of 1.

    Raises
    ------
    ValueError
        If `temperature`, `num_samples` or `top_k` is out of range.
    """
    if not temperature > 0 or num_samples < 1 or (top_k is not None and top_k < 1):
        raise ValueError(
            'expected a temperature above 0, and num_samples and top_k of at least 1, '
            f'got {temperature}, {num_samples} and {top_k}'
        )
    choose = _ChooseRandomly(temperature, top_k)
    results = interleave(
        _search_batch(
            stepper,
            inputs,
            rules,
            choose,
            num_samples,
            _uniform_numbers(inputs, num_samples, rules.max_length, seed),
        )
        for inputs in batches
    )
    return (
        _group_by_sentence(_to_hypotheses(chunks, attention, rules), num_samples)
        for chunks, attention in results
    )


def _search_batch(
    stepper, inputs, rules, choose, hypotheses_per_sentence=1, random_numbers=None
) -> Generator[None, None, tuple[list, list]]:
    """Search one batch, for `interleave`; `choose` picks the next token of each hypothesis.

    Returns
    -------
    chunks : list of float32 NumPy arrays of shape (2, num_hypotheses, STEPS_PER_CALL)
        Tokens and their log-probabilities; one array for each call of `Stepper.run`.
    attention : list
        The attention weights of each call, on the device.
    """
    chunks, attention = [], []
    arrays, step_rules = stepper.upload(inputs), rules.step_rules()
    position, is_open = 0, True
    while position < rules.max_length and onp.any(is_open):
        uniform = None
        if random_numbers is not None:
            chunk = random_numbers[:, position : position + STEPS_PER_CALL].copy()
            uniform = stepper.upload([chunk])[0]
        position_of_graph = rules.graph_position(position)
        static = stepper, step_rules, choose, hypotheses_per_sentence, position_of_graph
        results, weights, arrays = stepper.run(_choose_tokens, static, [arrays, uniform])
        yield
        chunks.append(results.asnumpy())
        attention.append(weights)
        is_open = is_open & (chunks[-1][0] != rules.eos_id).all(axis=1)
        position += STEPS_PER_CALL
    return chunks, attention


def _choose_tokens(stepper, rules, choose, hypotheses_per_sentence, position, arrays):
    """Extend each hypothesis by `STEPS_PER_CALL` tokens: a function of arrays, for `Stepper.run`.

    Parameters
    ----------
    arrays : list
        First the inputs of a batch at position 0, and later the state that the last call returned.
        Then random numbers (num_hypotheses, STEPS_PER_CALL) for `choose`, or None.

    Returns
    -------
    results : float32 array of shape (2, num_hypotheses, STEPS_PER_CALL)
        Tokens and their log-probabilities.
    attention_weights : float32 array of shape (STEPS_PER_CALL, num_hypotheses, num_src_steps)
        None without attention.
    state : SearchState
    """
    arrays, uniform = arrays
    tokens, history, state, _ = (
        SearchState(*arrays)
        if position
        else initial_search_state(stepper, rules.bos_id, arrays, hypotheses_per_sentence)
    )
    F, chosen, all_logits, attention = operators_of(tokens), [], [], []
    for step in range(STEPS_PER_CALL):
        logits, state, weights = stepper.step(tokens, state)
        numbers = None if uniform is None else uniform[:, step : step + 1]
        allowed = apply_constraints(logits, rules, history, position + step)
        tokens = choose(F, allowed, numbers)
        chosen.append(tokens)
        all_logits.append(logits)
        attention.append(weights)
        history = append_to_history(history, tokens, rules)
    chosen = F.np.concatenate(chosen, axis=1)  # (num_hypotheses, STEPS_PER_CALL)
    log_probs = log_probabilities(F, F.np.stack(all_logits, axis=1), stepper.has_finite_logits)
    log_probs = F.npx.pick(log_probs, chosen)
    return (
        F.np.stack([chosen, log_probs], axis=0),
        stack_attention(F, attention),
        SearchState(tokens, history, state),
    )


def _choose_likeliest(F, logits, uniform):
    """Return the tokens (num_hypotheses, 1) with the largest logits; `uniform` is not used."""
    num_hypotheses, vocab_size = shape_of(logits)
    if num_hypotheses * vocab_size > MAX_ARGMAX_SIZE:
        return F.npx.topk(logits, k=1)
    return F.argmax(logits.as_nd_ndarray(), axis=1, keepdims=True).as_np_ndarray()


@dataclass(frozen=True)
class _ChooseRandomly:
    """A choice of the first token at which the cumulative probability exceeds a uniform number."""

    temperature: float
    top_k: int | None

    def __call__(self, F, logits, uniform):
        if self.top_k is not None:
            best = F.npx.topk(logits, k=min(self.top_k, shape_of(logits)[1]), ret_typ='value')
            logits = logits + BLOCKED * (logits < best[:, -1:]).astype('float32')
        sums = F.np.cumsum(F.npx.softmax(logits / self.temperature), axis=1)
        is_before = sums <= uniform * sums[:, -1:]  # (num_hypotheses, vocab_size)
        return is_before.astype('float32').sum(axis=1, keepdims=True)


def _uniform_numbers(
    inputs: BatchInputs, num_samples: int, max_length: int, seed: int
) -> onp.ndarray:
    """Draw numbers in [0, 1) for each hypothesis and token, and some more to fill the last call.

    Returns
    -------
    float32 array of shape (num_sentences * num_samples, num_steps)
    """
    num_steps = max_length + -max_length % STEPS_PER_CALL
    numbers = onp.array(
        [
            onp.random.RandomState([seed, zlib.crc32(sentence.tobytes()), number]).rand(num_steps)
            for sentence in inputs[0]
            for number in range(num_samples)
        ]
    )
    return numbers.astype('float32') * 0.999999  # float32 might round up to 1


def _to_hypotheses(chunks, attention, rules) -> list[Hypothesis]:
    """Return the hypotheses of a batch from the result of `_search_batch`."""
    tokens, log_probs = onp.concatenate(chunks, axis=2)[:, :, : rules.max_length]
    weights = attention_to_host(attention)
    return [
        _cut_at_end(*sequence, weights and [step[number] for step in weights], rules)
        for number, sequence in enumerate(zip(tokens.astype(int).tolist(), log_probs.tolist()))
    ]


def _cut_at_end(token_ids, log_probs, weights, rules) -> Hypothesis:
    """Return the hypothesis of a sequence, without the tokens after ``<eos>``."""
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


def _group_by_sentence(hypotheses: list[Hypothesis], num_samples: int) -> list[list[Hypothesis]]:
    """Return the hypotheses of each sentence, the best score first."""
    return [
        sorted(hypotheses[first : first + num_samples], key=lambda hypothesis: -hypothesis.score)
        for first in range(0, len(hypotheses), num_samples)
    ]
