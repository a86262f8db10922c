"""Evaluation of a trained model on sentence pairs: its loss, and scores of its translations."""

from __future__ import annotations

import math
from dataclasses import dataclass
from typing import Sequence

from ..config import SearchConfig
from ..data.encoding import TokenizedPairs, encode_tokens, group_references, tokenize_nonempty
from ..data.feed import BucketFeed, Feed
from ..data.tokenizers import PairTokenizer
from ..engine.fit import evaluate_loss
from ..engine.loss_accumulator import LossSums
from ..errors import InputError
from .metrics import (
    Score,
    bleu,
    bleu_tokenizer,
    corpus_scores,
    require_sacrebleu,
    sentence_scores,
)
from .translator import Translator

BATCH_SIZE = 64  # for the loss, whose value does not depend on it


@dataclass(frozen=True)
class ScoredSentence:
    """A source sentence, its translation by the model, and its references."""

    source: str
    translation: str
    references: list[str]
    bleu: float  # sacreBLEU's BLEU of this sentence, from 0 to 100
    is_match: bool  # True: it is equal to a reference that was tokenized and detokenized


@dataclass(frozen=True)
class Evaluation:
    """The results of an evaluation."""

    num_pairs: int
    losses: LossSums
    scores: dict[str, Score]  # of the corpus, by sacreBLEU
    book_bleu: float  # mean over sentences of the book's BLEU with k = 2, from 0 to 1
    sentences: list[ScoredSentence]  # each distinct source once, in the order of the corpus

    @property
    def perplexity(self) -> float:
        """The exponential of the negative log-likelihood per token."""
        return math.exp(min(self.losses.nll_per_token, 700))

    @property
    def num_matches(self) -> int:
        """The number of sources whose translation is one of the references."""
        return sum(sentence.is_match for sentence in self.sentences)

    def worst(self, count: int) -> list[ScoredSentence]:
        """Return the sentences with the lowest BLEU; if it is equal, the longer source is first."""
        return sorted(self.sentences, key=lambda sentence: (sentence.bleu, -len(sentence.source)))[
            :count
        ]

    def to_dict(self) -> dict:
        """Return all metrics as a JSON object."""
        return {
            'num_pairs': self.num_pairs,
            'num_sources': len(self.sentences),
            'nll_per_token': self.losses.nll_per_token,
            'num_tokens': self.losses.num_tokens,
            'perplexity': self.perplexity,
            'book_bleu': self.book_bleu,
            'num_matches': self.num_matches,
            **{
                name: {'score': score.value, 'signature': score.signature}
                for name, score in self.scores.items()
            },
        }


def evaluate(
    translator: Translator,
    pairs: Sequence[tuple[str, str]],
    search: SearchConfig = SearchConfig(),
    bleu_tokenize: str = 'auto',
) -> Evaluation:
    """Translate the sources of sentence pairs, and score the translations.

    The loss is computed with teacher forcing over all pairs.  Sentences longer than the model's
    `num_steps` are cut for it, as in training.  Translations are scored against all references of
    their source.

    Parameters
    ----------
    translator : Translator
    pairs : sequence of (str, str)
        Source and target sentences.  Pairs that have no tokens are left out.
    search : SearchConfig
        Only the best translation of each source is scored.
    bleu_tokenize : str
        The name of sacreBLEU's tokenizer; ``auto`` chooses it by the references.

    Returns
    -------
    Evaluation

    Raises
    ------
    InputError
        If sacreBLEU or its tokenizer is not installed, or no pair has tokens.
    """
    require_sacrebleu(bleu_tokenize)
    tokenizer = translator.tokenizer
    tokenized = tokenize_nonempty(pairs, tokenizer)
    if not tokenized.pairs:
        raise InputError(f'expected sentence pairs with tokens, got none of {len(pairs):,}')
    references = group_references(tokenized.pairs, tokenizer)
    if bleu_tokenize == 'auto':
        bleu_tokenize = bleu_tokenizer(text for group in references.values() for text in group)
    translations = translator(references, search)
    sentences = _score_sentences(references, translations, tokenizer, bleu_tokenize)
    return Evaluation(
        len(tokenized.pairs),
        _evaluate_loss(translator, tokenized),
        corpus_scores(translations, list(references.values()), bleu_tokenize),
        _mean_book_bleu(sentences, tokenizer),
        sentences,
    )


def _score_sentences(
    references: dict[str, list[str]],
    translations: list[str],
    tokenizer: PairTokenizer,
    bleu_tokenize: str,
) -> list[ScoredSentence]:
    """Score each translation against the references of its source."""
    scores = sentence_scores(translations, list(references.values()), bleu_tokenize)
    return [
        ScoredSentence(
            source,
            translation,
            source_references,
            score,
            translation in {_normalize(tokenizer, reference) for reference in source_references},
        )
        for (source, source_references), translation, score in zip(
            references.items(), translations, scores
        )
    ]


def _normalize(tokenizer: PairTokenizer, sentence: str) -> str:
    """Return a target sentence as the model would write it."""
    return tokenizer.detokenize(tokenizer.tokenize_tgt(sentence))


def _mean_book_bleu(sentences: list[ScoredSentence], tokenizer: PairTokenizer) -> float:
    """Return the mean over sentences of the book's BLEU, each with its best reference."""

    def spaced(sentence: str) -> str:
        return ' '.join(tokenizer.tokenize_tgt(sentence))

    best_scores = (
        max(
            bleu(spaced(sentence.translation), spaced(reference), 2)
            for reference in sentence.references
        )
        for sentence in sentences
    )
    return sum(best_scores) / len(sentences)


def _evaluate_loss(translator: Translator, tokenized: TokenizedPairs) -> LossSums:
    """Return the loss of a translator's model with teacher forcing."""
    corpus = encode_tokens(
        tokenized.source,
        tokenized.target,
        translator.src_vocab,
        translator.tgt_vocab,
        translator.num_steps,
    )
    ctx, bucket_width = translator.ctx, translator.bucket_width
    if bucket_width is None:
        feed = Feed(corpus, BATCH_SIZE, 0, ctx)
    else:
        feed = BucketFeed(corpus, BATCH_SIZE, 0, ctx, bucket_width)
    return evaluate_loss(translator.model, feed)
