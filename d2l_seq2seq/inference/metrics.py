"""How good translations are: the book's BLEU of a sentence, and scores of a whole test set.

Corpus BLEU (Papineni et al. 2002) and chrF (Popovic 2015) are sacreBLEU's, so that they can be
compared with others'; their signatures say how they were computed.
"""

from __future__ import annotations

import collections
import math
from dataclasses import dataclass
from typing import Sequence

from ..errors import InputError


def bleu(pred_seq: str, label_seq: str, k: int) -> float:
    """BLEU of one sentence as the book defines it (d2l 0.17, Eq. (9.7.4)).

    exp(min(0, 1 - len_label / len_pred)) times the precisions p_n of the n-grams up to k, each to
    the power of 1 / 2^n: longer matches weigh more.

    Parameters
    ----------
    pred_seq, label_seq : str
        Tokens separated by spaces.
    k : int
        The longest n-grams that count; not more than there are tokens in `pred_seq`.

    Returns
    -------
    float
        From 0 to 1; 0 for an empty prediction.

    Examples
    --------
    >>> bleu("va !", "va !", 2)
    1.0
    >>> round(bleu("il est calme .", "il est parti .", 2), 3)  # (3 / 4) ** .5 * (1 / 3) ** .25
    0.658
    """
    pred, label = pred_seq.split(), label_seq.split()
    if not pred:
        return 0.0
    score = math.exp(min(0, 1 - len(label) / len(pred)))
    for n in range(1, min(k, len(pred)) + 1):
        found, expected = _ngrams(pred, n), _ngrams(label, n)
        num_matches = sum((found & expected).values())
        score *= (num_matches / sum(found.values())) ** (0.5**n)
    return score


def _ngrams(tokens: Sequence[str], n: int) -> collections.Counter:
    """How often each sequence of n tokens occurs."""
    return collections.Counter(
        tuple(tokens[start : start + n]) for start in range(len(tokens) - n + 1)
    )


@dataclass(frozen=True)
class Score:
    """A figure and how it was computed."""

    value: float  # from 0 to 100
    signature: str


def corpus_scores(
    translations: Sequence[str], references: Sequence[Sequence[str]]
) -> dict[str, Score]:
    """BLEU and chrF of a corpus, by sacreBLEU; upper and lower case count as the same.

    Parameters
    ----------
    translations : sequence of str
    references : sequence of sequences of str
        One or several for each translation; not as many for all.

    Returns
    -------
    dict of str to Score
        Under ``BLEU`` and ``chrF``.

    Raises
    ------
    InputError
        If sacreBLEU is not installed.
    """
    metrics = _sacrebleu().metrics
    most = max(map(len, references))
    # A stream for each number of reference, with None where a sentence has no more.
    streams = [
        [own[number] if number < len(own) else None for own in references] for number in range(most)
    ]
    scores = {}
    # `force` keeps sacreBLEU from warning that full stops have a space before them.
    for name, metric in (
        ('BLEU', metrics.BLEU(lowercase=True, force=True)),
        ('chrF', metrics.CHRF(lowercase=True)),
    ):
        value = metric.corpus_score(translations, streams).score
        scores[name] = Score(value, str(metric.get_signature()))
    return scores


def sentence_scores(
    translations: Sequence[str], references: Sequence[Sequence[str]]
) -> list[float]:
    """sacreBLEU's BLEU of each sentence, from 0 to 100.

    Of n-grams only as many orders count as a sentence has (``effective_order``); else a right
    sentence of three tokens would have 0.
    """
    metric = _sacrebleu().metrics.BLEU(lowercase=True, effective_order=True, force=True)
    return [
        metric.sentence_score(translation, list(own)).score
        for translation, own in zip(translations, references)
    ]


def require_sacrebleu() -> None:
    """Raise `InputError` unless sacreBLEU is installed: before work is done that needs it."""
    _sacrebleu()


def _sacrebleu():
    """The library, or what to type where it is missing."""
    try:
        import sacrebleu
    except ImportError as error:
        raise InputError(
            "sacreBLEU is not installed; type: pip install 'd2l-seq2seq[eval]'"
        ) from error
    return sacrebleu
