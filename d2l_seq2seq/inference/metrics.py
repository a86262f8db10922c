"""Metrics of translations: the book's BLEU of a sentence, and sacreBLEU's scores of a test set.

Corpus BLEU (Papineni et al. 2002) and chrF (Popovic 2015) are computed by sacreBLEU, so that they
can be compared with published ones.  Their signatures say how they were computed.
"""

from __future__ import annotations

import collections
import math
import re
from dataclasses import dataclass
from typing import Any, Iterable, Sequence

from ..errors import InputError

# Chinese characters, and the letters of other languages that are written without spaces between
# words (Japanese, Thai, Lao, Tibetan, Burmese, Khmer) or with long words (Korean).
_CHINESE = re.compile('[\u3400-\u4dbf\u4e00-\u9fff\uf900-\ufaff\U00020000-\U0003ffff]')
_UNSPACED = re.compile(
    '[\u3041-\u30ff\u0e00-\u0fff\u1000-\u109f\u1780-\u17ff\u1100-\u11ff\uac00-\ud7a3]'
)


def bleu(pred_seq: str, label_seq: str, k: int) -> float:
    """Compute the BLEU of one sentence as the book defines it (d2l 0.17, Eq. (9.7.4)).

    It is exp(min(0, 1 - len_label / len_pred)) times the product of p_n^(1 / 2^n) for n from 1 to
    `k`, where p_n is the precision of the n-grams.  Longer matches have more weight.

    Parameters
    ----------
    pred_seq, label_seq : str
        Tokens separated by spaces.
    k : int
        Maximum length of the n-grams.  It is limited to the number of tokens of `pred_seq`.

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
        pred_ngrams, label_ngrams = _ngrams(pred, n), _ngrams(label, n)
        num_matches = sum((pred_ngrams & label_ngrams).values())
        score *= (num_matches / sum(pred_ngrams.values())) ** (0.5**n)
    return score


def _ngrams(tokens: Sequence[str], n: int) -> collections.Counter:
    """Return the number of occurrences of each n-gram."""
    return collections.Counter(
        tuple(tokens[start : start + n]) for start in range(len(tokens) - n + 1)
    )


@dataclass(frozen=True)
class Score:
    """A score and the way it was computed."""

    value: float  # from 0 to 100
    signature: str  # sacreBLEU's


def bleu_tokenizer(references: Iterable[str]) -> str:
    """Return the name of sacreBLEU's tokenizer for the language of some references.

    Its default, ``13a``, splits at spaces and ASCII punctuation.  A Chinese sentence would be one
    token, and the BLEU of correct short sentences 0.  ``zh`` splits Chinese characters, and
    ``char`` splits all characters.

    Examples
    --------
    >>> bleu_tokenizer(['Va !']), bleu_tokenizer(['你好。']), bleu_tokenizer(['ありがとう。'])
    ('13a', 'zh', 'char')
    """
    text = ''.join(references)
    num_chinese, num_unspaced = len(_CHINESE.findall(text)), len(_UNSPACED.findall(text))
    if 2 * (num_chinese + num_unspaced) <= sum(map(str.isalnum, text)):
        return '13a'
    return 'zh' if num_chinese > 9 * num_unspaced else 'char'


def corpus_scores(
    translations: Sequence[str], references: Sequence[Sequence[str]], tokenize: str = 'auto'
) -> dict[str, Score]:
    """Compute BLEU and chrF of a corpus with sacreBLEU, ignoring case.

    Parameters
    ----------
    translations : sequence of str
    references : sequence of sequences of str
        One or more references for each translation; their number may differ.
    tokenize : str
        The name of sacreBLEU's tokenizer for BLEU; ``auto`` is that of `bleu_tokenizer`.

    Returns
    -------
    dict of str to Score
        With the keys ``BLEU`` and ``chrF``.

    Raises
    ------
    InputError
        If sacreBLEU or its tokenizer is not installed.
    """
    max_references = max(map(len, references))
    # Stream i has reference i of each sentence, and None for sentences with fewer references.
    streams = [
        [sentence[number] if number < len(sentence) else None for sentence in references]
        for number in range(max_references)
    ]
    scores = {}
    for name, metric in (
        ('BLEU', _bleu_metric(references, tokenize)),
        ('chrF', _import_sacrebleu().metrics.CHRF(lowercase=True)),
    ):
        value = metric.corpus_score(translations, streams).score
        scores[name] = Score(value, str(metric.get_signature()))
    return scores


def sentence_scores(
    translations: Sequence[str], references: Sequence[Sequence[str]], tokenize: str = 'auto'
) -> list[float]:
    """Compute the BLEU of each sentence with sacreBLEU, ignoring case.

    Only n-grams that fit into a sentence count (``effective_order``).  Otherwise a correct sentence
    of three tokens would score 0.

    Parameters
    ----------
    translations : sequence of str
    references : sequence of sequences of str
        One or more references for each translation.
    tokenize : str
        As for `corpus_scores`.

    Returns
    -------
    list of float
        From 0 to 100.

    Raises
    ------
    InputError
        If sacreBLEU or its tokenizer is not installed.
    """
    metric = _bleu_metric(references, tokenize, effective_order=True)
    return [
        metric.sentence_score(translation, list(sentence_references)).score
        for translation, sentence_references in zip(translations, references)
    ]


def require_sacrebleu(tokenize: str = 'auto') -> None:
    """Check that sacreBLEU and a tokenizer are installed, before any work that needs them.

    Raises
    ------
    InputError
        If sacreBLEU or its tokenizer is not installed.
    """
    _bleu_metric([], tokenize)


def _bleu_metric(references: Sequence[Sequence[str]], tokenize: str, **options: Any) -> Any:
    """Return sacreBLEU's metric with a tokenizer."""
    library = _import_sacrebleu()
    if tokenize == 'auto':
        tokenize = bleu_tokenizer(text for group in references for text in group)
    try:
        # `force` suppresses the warning that full stops have a space before them.
        return library.metrics.BLEU(lowercase=True, force=True, tokenize=tokenize, **options)
    except (ImportError, RuntimeError) as error:  # a tokenizer needs another package
        reason = ' '.join(str(error).split())
        raise InputError(
            f'bleu_tokenize {tokenize}: cannot be used ({reason})', 'Use --bleu-tokenize char.'
        ) from error


def _import_sacrebleu():
    try:
        import sacrebleu
    except ImportError as error:
        raise InputError(
            'sacreBLEU is not installed', "Type: pip install 'd2l-seq2seq[eval]'"
        ) from error
    return sacrebleu
