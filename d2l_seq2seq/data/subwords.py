"""Subwords: words cut into pieces that occur often, so that a small vocabulary has no unknown word.

SentencePiece's unigram model (Kudo and Richardson 2018), learned from the training sentences; an
optional dependency.  Words are separated first, as in `words.py`.
"""
from __future__ import annotations

import io
from typing import Iterable, NamedTuple, Sequence

from ..errors import InputError
from .tokenizers import join_words, word_tokens

WORD_BEGINS = '\u2581'  # how SentencePiece marks the first piece of a word


class Subwords:
    """What cuts sentences of one language, or of both, into pieces.

    Parameters
    ----------
    model : bytes
        A SentencePiece model.

    Attributes
    ----------
    model : bytes

    Raises
    ------
    InputError
        If SentencePiece is not installed, or the bytes are no model.
    """

    def __init__(self, model: bytes):
        self.model = model
        self._processor = _sentencepiece().SentencePieceProcessor()
        try:
            self._processor.LoadFromSerializedProto(model)
        except RuntimeError as error:
            raise InputError(f'expected a SentencePiece model, got something else ({error})'
                             ) from error

    @classmethod
    def learn(cls, sentences: Iterable[str], num_pieces: int) -> Subwords:
        """The pieces of some sentences: `num_pieces`, or fewer where there are not as many.

        The same sentences always give the same pieces.

        Raises
        ------
        InputError
            If there are more different letters than pieces, or no text at all.
        """
        library, model = _sentencepiece(), io.BytesIO()
        try:
            library.SentencePieceTrainer.Train(
                sentence_iterator=(' '.join(word_tokens(sentence)) for sentence in sentences),
                model_writer=model, vocab_size=num_pieces, hard_vocab_limit=False, minloglevel=2,
                character_coverage=1.0, num_threads=1, normalization_rule_name='identity')
        except RuntimeError as error:
            reason = ' '.join(str(error).split())
            raise InputError(f'num_subwords: expected room for every letter and sign of the text, '
                             f'got {num_pieces} ({reason})') from error
        return cls(model.getvalue())

    def tokens(self, sentence: str) -> list[str]:
        """The pieces of a sentence; the first one of each word begins with ``▁``."""
        return self._processor.EncodeAsPieces(' '.join(word_tokens(sentence)))

    @staticmethod
    def join(pieces: Sequence[str]) -> str:
        """The sentence that some pieces make up."""
        return join_words(''.join(pieces).replace(WORD_BEGINS, ' ').split())


class SidesSubwords(NamedTuple):
    """What cuts the sentences of each side; the same for both where they share a vocabulary."""

    src: Subwords
    tgt: Subwords


def _sentencepiece():
    """The library, or what to type where it is missing."""
    try:
        import sentencepiece
    except ImportError as error:
        raise InputError("text_rules subwords: SentencePiece is not installed; type: pip install "
                         "'d2l-seq2seq[subwords]'") from error
    return sentencepiece
