"""Functions that build a search, its rules and its length penalty from a configuration."""

from __future__ import annotations

import functools
from typing import Callable

from ..book.vocab import Vocab
from ..config import SearchConfig
from .beam_search import beam_search
from .sampling import greedy_search, sample
from .search import BookLengthPenalty, GNMTLengthPenalty, SearchRules, no_length_penalty

LENGTH_PENALTIES: dict[str, Callable] = {
    'book': BookLengthPenalty,
    'gnmt': GNMTLengthPenalty,
    'none': lambda alpha=None: no_length_penalty,
}


def build_search(config: SearchConfig) -> Callable:
    """Return the search that a configuration asks for.

    Returns
    -------
    callable
        A function of a stepper, batches and rules, as `greedy_search` is.
    """
    if config.sample:
        return functools.partial(
            sample,
            num_samples=config.n_best,
            top_k=config.top_k,
            temperature=config.temperature,
            seed=config.seed,
        )
    if config.beam_size == 1:
        return greedy_search
    return functools.partial(beam_search, beam_size=config.beam_size, n_best=config.n_best)


def build_rules(config: SearchConfig, tgt_vocab: Vocab, max_length: int) -> SearchRules:
    """Return the rules of a search, which never returns ``<pad>`` or ``<bos>``.

    Parameters
    ----------
    config : SearchConfig
    tgt_vocab : Vocab
    max_length : int
        Replaces the `max_length` of the configuration, which may be None.
    """
    return SearchRules(
        tgt_vocab['<bos>'],
        tgt_vocab['<eos>'],
        max_length,
        config.min_length,
        config.no_repeat_ngram,
        build_length_penalty(config),
        tuple(tgt_vocab[token] for token in ('<pad>', '<bos>') if token in tgt_vocab.token_to_idx),
    )


def build_length_penalty(config: SearchConfig) -> Callable[[float, int], float]:
    """Return the length penalty that a configuration asks for."""
    penalty = LENGTH_PENALTIES[config.length_penalty]
    return penalty() if config.alpha is None else penalty(config.alpha)
