"""Tokenizers: from sentences to tokens and back, and the vocabularies of the tokens.

There are four kinds: the chapter's rules (d2l 0.14, section 9.5), words with all punctuation split
off, SentencePiece's subwords, and the rules of the OpenGenus article.
"""

from __future__ import annotations

import functools
import io
import re
import unicodedata
from typing import Callable, Iterable, NamedTuple, Sequence

from ..book.machine_translation import MIN_FREQ, RESERVED_TOKENS, preprocess_nmt
from ..book.vocab import Vocab
from ..config import DataConfig
from ..errors import InputError

# In order of id.  The article gives ids to the first three, and mentions an end token without one.
OPENGENUS_TOKENS = ('<pad>', '<bos>', '<unk>', '<eos>')
WORD_START = '\u2581'  # SentencePiece's mark before the first piece of a word
# An elided word (l', qu', I'), a word that may contain apostrophes or hyphens, or another sign.
_WORD = re.compile(r"\w{1,2}'(?=\w)|\w+(?:['-]\w+)*|[^\w\s]")
_APOSTROPHES = str.maketrans({'’': "'", '‘': "'"})


class PairTokenizer(NamedTuple):
    """The tokenizers of both sides of a corpus, and functions for vocabularies and detokenizing."""

    tokenize_src: Callable[[str], list[str]]
    tokenize_tgt: Callable[[str], list[str]]
    build_vocab: Callable[[list[list[str]]], Vocab]  # from all sentences of a side
    share_vocab: bool = False  # True: one vocabulary, built from both sides
    detokenize: Callable[[Iterable[str]], str] = ' '.join  # target tokens to a sentence


def tokenize_chapter(sentence: str) -> list[str]:
    """Split a sentence by the chapter's rules.

    Examples
    --------
    >>> tokenize_chapter('Go.')
    ['go', '.']
    """
    return preprocess_nmt(sentence).split(' ')


def chapter_vocab(sentences: list[list[str]], min_freq: int = MIN_FREQ) -> Vocab:
    """Build a vocabulary as the chapter does, with ids 0 to 3 for ``<unk> <pad> <bos> <eos>``."""
    return Vocab(sentences, min_freq, list(RESERVED_TOKENS))


CHAPTER_TOKENIZER = PairTokenizer(tokenize_chapter, tokenize_chapter, chapter_vocab)


def tokenize_words(sentence: str) -> list[str]:
    """Split a sentence into lower-case words and punctuation marks.

    Compatibility characters are composed (NFKC), curly apostrophes become straight, and characters
    without a width are dropped.

    Examples
    --------
    >>> tokenize_words("Who? Don't you know l'histoire ?")
    ['who', '?', "don't", 'you', 'know', "l'", 'histoire', '?']
    """
    text = unicodedata.normalize('NFKC', sentence).translate(_APOSTROPHES).lower()
    text = ''.join(
        char for char in text if unicodedata.category(char) not in ('Cf', 'Cc') or char.isspace()
    )
    return _WORD.findall(text)


def detokenize_words(tokens: Iterable[str]) -> str:
    """Join words and punctuation marks to a sentence, without superfluous spaces.

    Examples
    --------
    >>> detokenize_words(["l'", 'histoire', ',', "j'", 'y', 'crois', '!'])
    "l'histoire, j'y crois !"
    """
    return re.sub(r"(?<=\b\w') | (?=[.,](?: |$))|(?<=\b\w\w') ", '', ' '.join(tokens))


def tokenize_opengenus(sentence: str) -> list[str]:
    """Split a sentence into lower-case words without punctuation, as the OpenGenus article does.

    An apostrophe is dropped like all punctuation, so "I'm" is the single word "im".

    Examples
    --------
    >>> tokenize_opengenus("I'm OK, you see!")
    ['im', 'ok', 'you', 'see']
    """
    return re.sub(r'[^\w\s]|_', '', sentence.lower()).split()


def opengenus_vocab(sentences: list[list[str]], min_freq: int) -> Vocab:
    """Build the article's vocabulary: ids 0 to 3 are padding, start, unknown and end."""
    ranked = Vocab(sentences, min_freq).idx_to_token[1:]
    return Vocab.from_tokens(list(dict.fromkeys([*OPENGENUS_TOKENS, *ranked])))


class Subwords:
    """A SentencePiece model (Kudo and Richardson 2018) over words and punctuation marks.

    Common words stay whole and rare ones are cut into pieces, so that a small vocabulary can
    represent all words.  SentencePiece is an optional dependency.

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
                sentence_iterator=(' '.join(tokenize_words(sentence)) for sentence in sentences),
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

    def tokenize(self, sentence: str) -> list[str]:
        """Split a sentence into pieces; the first piece of each word begins with ``▁``."""
        return self._processor.EncodeAsPieces(' '.join(tokenize_words(sentence)))

    @staticmethod
    def detokenize(pieces: Iterable[str]) -> str:
        """Join pieces to a sentence."""
        return detokenize_words(''.join(pieces).replace(WORD_START, ' ').split())


class SubwordPair(NamedTuple):
    """The subword models of both sides; the same one twice if they share the vocabulary."""

    src: Subwords
    tgt: Subwords


def train_subwords(config: DataConfig, pairs: Sequence[tuple[str, str]]) -> SubwordPair | None:
    """Train the subword models of a run on its training pairs; None if it uses no subwords."""
    if config.text_rules != 'subwords':
        return None
    sources, targets = zip(*pairs)
    if config.share_vocab:
        shared = Subwords.train([*sources, *targets], config.num_subwords)
        return SubwordPair(shared, shared)
    return SubwordPair(
        Subwords.train(sources, config.num_subwords), Subwords.train(targets, config.num_subwords)
    )


# For each name: a tokenizer, how its vocabulary is built, and how its tokens are joined.
_TOKENIZERS: dict[str, tuple[Callable, Callable, Callable]] = {
    'chapter': (tokenize_chapter, chapter_vocab, ' '.join),
    'words': (tokenize_words, chapter_vocab, detokenize_words),
    'opengenus': (tokenize_opengenus, opengenus_vocab, ' '.join),
}


def build_tokenizer(config: DataConfig, subwords: SubwordPair | None = None) -> PairTokenizer:
    """Build the tokenizer that a configuration asks for.

    Parameters
    ----------
    config : DataConfig
    subwords : SubwordPair, optional
        The result of `train_subwords` for the run.
    """
    if subwords is None:
        tokenize_src, build_vocab, detokenize = _TOKENIZERS[config.text_rules]
        tokenize_tgt = tokenize_src
    else:
        tokenize_src, tokenize_tgt = subwords.src.tokenize, subwords.tgt.tokenize
        build_vocab, detokenize = chapter_vocab, subwords.tgt.detokenize
    if config.reverse_source:
        tokenize_src = functools.partial(_tokenize_reversed, tokenize_src)
    return PairTokenizer(
        tokenize_src,
        tokenize_tgt,
        functools.partial(build_vocab, min_freq=config.min_freq),
        config.share_vocab,
        detokenize,
    )


def _tokenize_reversed(tokenize: Callable[[str], list[str]], sentence: str) -> list[str]:
    return tokenize(sentence)[::-1]


def _import_sentencepiece():
    try:
        import sentencepiece
    except ImportError as error:
        raise InputError(
            'text_rules subwords: SentencePiece is not installed',
            "Type: pip install 'd2l-seq2seq[subwords]'",
        ) from error
    return sentencepiece
