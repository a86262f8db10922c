"""A check at the end of training: whether the model has learned anything."""

from __future__ import annotations

import math
from typing import Sequence

# How far the last loss may be above the first one, because of noise, and above that of guessing,
# because initial weights are a little worse than it.
NOISE, WORSE_THAN_GUESSING = 1.01, 1.1


def divergence(losses: Sequence[float], vocab_size: int) -> str | None:
    """Return how a training has diverged, or None if it has not.

    Parameters
    ----------
    losses : sequence of float
        The training losses of all epochs, in nats per token.
    vocab_size : int
        The number of target tokens.  A model that gives each of them the same probability has the
        loss ``log(vocab_size)``.

    Examples
    --------
    >>> divergence([4.1, 2.5, 67.7], vocab_size=100)
    'the training loss ended at 67.700 nats per token, above the 4.100 of the first epoch'
    >>> divergence([4.1, 2.5], vocab_size=100) is None
    True
    """
    if not losses:
        return None
    first, last, uniform = losses[0], losses[-1], math.log(vocab_size)
    ended = f'the training loss ended at {last:.3f} nats per token'
    if last > NOISE * first:
        return f'{ended}, above the {first:.3f} of the first epoch'
    if last > WORSE_THAN_GUESSING * uniform:
        return f'{ended}, above the {uniform:.3f} of guessing all tokens with the same probability'
    return None
