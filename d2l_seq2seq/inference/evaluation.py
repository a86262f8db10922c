"""How good a trained model is on sentence pairs: its loss, and what it makes of the sources."""

from __future__ import annotations

import math
from dataclasses import dataclass
from typing import Sequence

from ..config import SearchConfig
from ..data.encoding import encode_tokens, group_references, tokenize_pairs
from ..data.feed import BucketFeed, Feed
from ..data.tokenizers import PairTokenizer
from ..engine.fit import evaluate_loss
from ..engine.loss_accumulator import LossSums
from .metrics import Score, bleu, corpus_scores, require_sacrebleu, sentence_scores
from .translator import Translator

BATCH_SIZE = 64  # of the loss; which, it doesn't matter


@dataclass(frozen=True)
class ScoredSentence:
    """A source, what the model made of it, and what is right."""

    source: str
    translation: str
    references: list[str]
    bleu: float  # sacreBLEU's of this sentence, from 0 to 100
    is_match: bool  # True: it is one of the references, written as the model writes


@dataclass(frozen=True)
class Evaluation:
    """What an evaluation found."""

    num_pairs: int
    losses: LossSums
    scores: dict[str, Score]  # of the corpus, by sacreBLEU
    book_bleu: float  # mean of the book's BLEU of a sentence with k = 2, from 0 to 1
    sentences: list[ScoredSentence]  # each source once, in the order of the corpus

    @property
    def perplexity(self) -> float:
        """exp of the negative log-likelihood per token."""
        return math.exp(min(self.losses.nll_per_token, 700))

    @property
    def num_matches(self) -> int:
        """Sources whose translation is one of the references."""
        return sum(one.is_match for one in self.sentences)

    def worst(self, count: int) -> list[ScoredSentence]:
        """The sentences with the lowest scores; of equal ones the longer first."""
        return sorted(self.sentences, key=lambda one: (one.bleu, -len(one.source)))[:count]

    def to_dict(self) -> dict:
        """All figures as a JSON object."""
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
    translator: Translator, pairs: Sequence[tuple[str, str]], search: SearchConfig = SearchConfig()
) -> Evaluation:
    """Translate the sources of some pairs and compare.

    The loss is that of teacher forcing, with every pair counted; what is longer than the model's
    `num_steps` is cut there, as in training.  Translations are compared with all references of a
    source.

    Parameters
    ----------
    translator : Translator
    pairs : sequence of (str, str)
        One at least.
    search : SearchConfig
        Of several translations the best counts.

    Returns
    -------
    Evaluation

    Raises
    ------
    InputError
        If sacreBLEU is not installed.
    """
    require_sacrebleu()
    tokenizer = translator.tokenizer
    arrays = encode_tokens(
        *tokenize_pairs(pairs, tokenizer),
        translator.src_vocab,
        translator.tgt_vocab,
        translator.num_steps,
    )
    references = group_references(pairs, tokenizer)
    sources, translations = list(references), translator(references, search)
    accepted = [
        {tokenizer.detokenize(tokenizer.tokenize_tgt(one)) for one in own}
        for own in references.values()
    ]
    sentences = [
        ScoredSentence(source, translation, own, score, translation in right)
        for source, translation, own, score, right in zip(
            sources,
            translations,
            references.values(),
            sentence_scores(translations, list(references.values())),
            accepted,
        )
    ]
    book_bleu = sum(
        max(
            bleu(_spaced(tokenizer, one.translation), _spaced(tokenizer, reference), 2)
            for reference in one.references
        )
        for one in sentences
    ) / len(sentences)
    ctx = translator.ctx
    feed = (
        Feed(arrays, BATCH_SIZE, 0, ctx)
        if translator.bucket_width is None
        else BucketFeed(arrays, BATCH_SIZE, 0, ctx, translator.bucket_width)
    )
    return Evaluation(
        len(pairs),
        evaluate_loss(translator.model, feed),
        corpus_scores(translations, list(references.values())),
        book_bleu,
        sentences,
    )


def _spaced(tokenizer: PairTokenizer, sentence: str) -> str:
    """The tokens of a target sentence, separated by spaces."""
    return ' '.join(tokenizer.tokenize_tgt(sentence))
