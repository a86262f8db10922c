"""What may not come next: the rules of a search as numbers added to the scores of tokens."""
from __future__ import annotations

from .._operators import operators_of, shape_of

BLOCKED = -1e9  # added to the log-probability of what may not come
IMPOSSIBLE = BLOCKED / 2  # a score below it has something blocked in it


def longer(history, tokens, rules):
    """The tokens so far with one more, if a rule looks at them."""
    if not rules.no_repeat_ngram_size:
        return None
    return (tokens if history is None
            else operators_of(tokens).np.concatenate([history, tokens], axis=1))


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
    follows = history[:, size - 1:]  # (num_rows, num_ngrams), what came last in each of them
    for place in range(size - 1):  # of the n-gram that the next token would end
        last = history[:, num_ngrams + place:num_ngrams + place + 1]
        is_same = history[:, place:place + num_ngrams] == last
        # What is not the same is sent to a column that is cut off.
        follows = F.np.where(is_same, follows, F.np.zeros_like(follows) + vocab_size)
    rows = F.npx.arange_like(follows, axis=0).reshape((-1, 1)) + F.np.zeros_like(follows)
    indices = F.np.stack([rows.reshape((-1,)), follows.reshape((-1,))], axis=0)
    ones = F.np.ones_like(indices[0])
    marked = F.scatter_nd(ones.as_nd_ndarray(), indices.as_nd_ndarray(),
                          shape=(shape_of(history)[0], vocab_size + 1)).as_np_ndarray()
    return marked[:, :vocab_size]
