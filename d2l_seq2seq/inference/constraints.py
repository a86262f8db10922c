"""Constraints on the next token: excluded tokens, a minimum length, no repeated n-grams.

They are functions of arrays or symbols, so that they can be part of a graph.
"""

from __future__ import annotations

from .._mxnet import operators_of, shape_of
from .search import SearchRules

BLOCKED = -1e9  # added to the logit or log-probability of a token that is not allowed
IMPOSSIBLE = BLOCKED / 2  # a summed log-probability below this includes a token that is not allowed


def apply_constraints(scores, rules: SearchRules, history, position: int):
    """Add `BLOCKED` to the scores of the tokens that the rules do not allow.

    Parameters
    ----------
    scores : float32 array of shape (num_hypotheses, vocab_size)
        Logits or log-probabilities of the next token.
    rules : SearchRules
    history : float32 array of shape (num_hypotheses, position), or None
        The token ids so far; see `append_to_history`.
    position : int
        Number of tokens so far.

    Returns
    -------
    float32 array of shape (num_hypotheses, vocab_size)
    """
    F, vocab_size = operators_of(scores), shape_of(scores)[1]
    if rules.excluded_ids:
        zero = F.np.zeros_like(scores[:1, 0])  # (1,)
        rows = [F.npx.one_hot(zero + token_id, vocab_size) for token_id in rules.excluded_ids]
        scores = scores + BLOCKED * sum(rows)  # all rows are (1, vocab_size)
    if position < rules.min_length:
        eos = F.np.zeros_like(scores[:, 0]) + rules.eos_id
        scores = scores + BLOCKED * F.npx.one_hot(eos, vocab_size)
    size = rules.no_repeat_ngram_size
    if size and position >= size:
        scores = scores + BLOCKED * mark_repetitions(F, history, size, position, vocab_size)
    return scores


def log_probabilities(F, logits, are_finite: bool):
    """Return the logarithms of probabilities, at most `BLOCKED` for a probability of 0.

    Parameters
    ----------
    F : module
        MXNet's operators, for arrays or for symbols.
    logits : float32 array whose last axis is the vocabulary
        -inf excludes a token.  If all tokens of a row are excluded, all get `BLOCKED` or less.
    are_finite : bool
        True if no logit is -inf, which saves time.

    Returns
    -------
    float32 array of the same shape
        Natural logarithms, all finite.
    """
    if are_finite:
        return F.npx.log_softmax(logits)
    is_excluded = (logits < IMPOSSIBLE).astype('float32')
    return F.npx.log_softmax(F.np.maximum(logits, BLOCKED)) + BLOCKED * is_excluded


def append_to_history(history, tokens, rules: SearchRules):
    """Return the token ids so far including the latest ones; None if no rule needs them.

    Parameters
    ----------
    history : float32 array of shape (num_hypotheses, num_tokens), or None
        None before the first token.
    tokens : float32 array of shape (num_hypotheses, 1)
    rules : SearchRules
    """
    if not rules.no_repeat_ngram_size:
        return None
    if history is None:
        return tokens
    return operators_of(tokens).np.concatenate([history, tokens], axis=1)


def mark_repetitions(F, history, size: int, position: int, vocab_size: int):
    """Mark the next tokens that would complete an n-gram that already occurs.

    Parameters
    ----------
    F : module
        MXNet's operators, for arrays or for symbols.
    history : float32 array of shape (num_hypotheses, position)
        The token ids so far.
    size : int
        The n of the n-grams, `position` at most.
    position : int
    vocab_size : int

    Returns
    -------
    float32 array of shape (num_hypotheses, vocab_size)
        1 for the tokens that would repeat an n-gram, and 0 for the others.
    """
    num_ngrams = position - size + 1
    last_tokens = history[:, size - 1 :]  # (num_hypotheses, num_ngrams), the end of each n-gram
    for place in range(size - 1):  # within the n-gram that the next token would complete
        token = history[:, num_ngrams + place : num_ngrams + place + 1]
        is_same = history[:, place : place + num_ngrams] == token
        # An n-gram that begins differently marks an extra column, which is cut off below.
        last_tokens = F.np.where(is_same, last_tokens, F.np.zeros_like(last_tokens) + vocab_size)
    hypotheses = F.npx.arange_like(last_tokens, axis=0).reshape((-1, 1))
    hypotheses = hypotheses + F.np.zeros_like(last_tokens)  # (num_hypotheses, num_ngrams)
    indices = F.np.stack([hypotheses.reshape((-1,)), last_tokens.reshape((-1,))], axis=0)
    ones = F.np.ones_like(indices[0])
    marked = F.scatter_nd(
        ones.as_nd_ndarray(), indices.as_nd_ndarray(), shape=(shape_of(history)[0], vocab_size + 1)
    ).as_np_ndarray()
    return marked[:, :vocab_size]
