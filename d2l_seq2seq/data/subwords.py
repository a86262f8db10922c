"""Subwords: pieces of words, by SentencePiece (Kudo and Richardson 2018).

Common words stay whole and rare ones are cut into pieces, so that a small vocabulary can represent
all words.  SentencePiece is an optional dependency.
"""

from __future__ import annotations

import io
from typing import Iterable, NamedTuple

from ..errors import InputError
from .scripts import SPACE


class Subwords:
    """A SentencePiece model of sentences whose words are separated by spaces.

    Parameters
    ----------
    model : bytes
        A serialized SentencePiece model.

    Attributes
    ----------
    model : bytes

    Raises
    ------
    InputError
        If SentencePiece is not installed, or the bytes are not a model.
    """

    def __init__(self, model: bytes):
        self.model = model
        self._processor = _import_sentencepiece().SentencePieceProcessor()
        try:
            self._processor.LoadFromSerializedProto(model)
        except RuntimeError as error:
            raise InputError(
                f'expected a SentencePiece model, got something else ({error})'
            ) from error

    @classmethod
    def train(cls, sentences: Iterable[str], num_pieces: int) -> Subwords:
        """Train a model of at most `num_pieces` pieces; the same sentences give the same model.

        Raises
        ------
        InputError
            If the text has more distinct characters than `num_pieces`, or is empty.
        """
        library, model = _import_sentencepiece(), io.BytesIO()
        try:
            library.SentencePieceTrainer.Train(
                sentence_iterator=iter(sentences),
                model_writer=model,
                vocab_size=num_pieces,
                hard_vocab_limit=False,
                minloglevel=2,
                character_coverage=1.0,
                num_threads=1,
                normalization_rule_name='identity',
            )
        except RuntimeError as error:
            reason = ' '.join(str(error).split())
            raise InputError(
                f'num_subwords: expected at least one piece for each character of the text, got '
                f'{num_pieces} ({reason})',
                'Increase --num-subwords.',
            ) from error
        return cls(model.getvalue())

    def split(self, sentence: str) -> list[str]:
        """Split a sentence into pieces; the first piece of each word begins with ``▁``."""
        return self._processor.EncodeAsPieces(sentence)

    @staticmethod
    def join(pieces: Iterable[str]) -> str:
        """Join pieces to a sentence whose words are separated by spaces."""
        return ' '.join(''.join(pieces).replace(SPACE, ' ').split())


class SubwordPair(NamedTuple):
    """The subword models of both sides; the same one twice if they share the vocabulary."""

    src: Subwords
    tgt: Subwords


def _import_sentencepiece():
    try:
        import sentencepiece
    except ImportError as error:
        raise InputError(
            'text_rules subwords: SentencePiece is not installed',
            "Type: pip install 'd2l-seq2seq[subwords]'",
        ) from error
    return sentencepiece
