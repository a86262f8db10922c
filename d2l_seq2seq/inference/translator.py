"""Text in, text out: a `Translator` over a model, its vocabularies and a search.

What is written is read as the training data was.  Sentences go through the model in batches of
similar length, which changes nothing in their translations: a model that padding reaches always
gets as much of it as in training, and the others don't see it.
"""

from __future__ import annotations

import collections
import functools
import itertools
import logging
from pathlib import Path
from typing import Any, Callable, Iterable, Iterator, NamedTuple

import numpy as onp

from .._mxnet import mx, use_np
from ..book.encoder_decoder import EncoderDecoder
from ..book.vocab import Vocab
from ..config import SearchConfig
from ..data.tokenizers import CHAPTER_TOKENIZER, PairTokenizer
from ..device import try_gpu
from ..errors import InputError
from ..models.decoders import AttentionDecoder
from ..runs.checkpoint import Run
from ..runs.folder import load_run
from .beam_search import beam_search
from .sampling import greedy_search, sample
from .search import BookLengthPenalty, GNMTLengthPenalty, Hypothesis, SearchRules, no_length_penalty
from .stepper import ModelStepper

logger = logging.getLogger(__name__)

MAX_TOKENS = 1000  # of a sentence; what is longer is not one
WIDTH_STEP = 8  # source tokens; widths in between would make a graph each
LINES_AT_ONCE = 8192  # of a stream


class Translation(NamedTuple):
    """One translation of a sentence."""

    text: str
    tokens: list[str]  # without <eos>
    src_tokens: list[str]  # as the model read them
    score: float  # by which translations are compared, see `SearchConfig.length_penalty`
    log_probs: list[float]  # natural logarithms: of each token, and of <eos> if it came
    is_finished: bool  # False: `max_length` came before <eos>
    # float32 (num_tokens, num_src_tokens), a row for each of log_probs; None without attention
    attention_weights: onp.ndarray | None = None


class Translator:
    """Translates sentences with a trained model.

    Parameters
    ----------
    model : EncoderDecoder
        Trained, or in training: its weights are used as they are at each call.
    src_vocab, tgt_vocab : Vocab
    num_steps : int
        Tokens that sentences were padded to in training.
    rules : TextRules
        How text was read in training; the chapter's by default.
    bucket_width : int, optional
        If sentences were trained on in buckets: what their lengths were rounded up to.

    Examples
    --------
    ::

        translator = Translator.load('runs/mine')
        translator('Go.')                                        # 'va !'
        translator(['Go.', "I'm OK."], SearchConfig(beam_size=5))
    """

    @use_np
    def __init__(
        self,
        model: EncoderDecoder,
        src_vocab: Vocab,
        tgt_vocab: Vocab,
        num_steps: int,
        tokenizer: PairTokenizer = CHAPTER_TOKENIZER,
        bucket_width: int | None = None,
    ):
        self.model, self.src_vocab, self.tgt_vocab = model, src_vocab, tgt_vocab
        self.num_steps, self.tokenizer = num_steps, tokenizer
        self.bucket_width = bucket_width
        self._stepper = ModelStepper(model)

    @classmethod
    def of(cls, run: Run) -> Translator:
        """The translator of a run.

        Raises
        ------
        InputError
            If the run was not trained on text.
        """
        data = run.config.data
        if data.corpus == 'pseudo':
            raise InputError(
                'expected a run that was trained on text, got one that was trained on random ids'
            )
        return cls(
            run.model,
            run.src_vocab,
            run.tgt_vocab,
            data.num_steps,
            run.tokenizer,
            data.bucket_width,
        )

    @classmethod
    def load(cls, path: str | Path, ctx: mx.Context | None = None) -> Translator:
        """The translator of a run's folder, on a GPU where there is one.

        Raises
        ------
        InputError
            If the folder is not that of a run trained on text.
        """
        return cls.of(load_run(path, ctx or try_gpu()))

    @property
    def ctx(self) -> mx.Context:
        """Where the model is."""
        return self._stepper.ctx

    @property
    def has_attention(self) -> bool:
        """Whether there is something to see of what it looks at."""
        return isinstance(self.model.decoder, AttentionDecoder)

    def __call__(self, sentences: str | Iterable[str], search: SearchConfig = SearchConfig()):
        """The best translation of a sentence, or of each.

        Parameters
        ----------
        sentences : str or iterable of str
            What holds no word has an empty translation, and so has what the search's rules leave
            no translation for.
        search : SearchConfig

        Returns
        -------
        str or list of str
            For a str a str, for a list (or a file's lines) a list.
        """
        if isinstance(sentences, str):
            return self([sentences], search)[0]
        return self._made_of_each(
            sentences,
            search,
            lambda source, found: (
                self.tokenizer.detokenize(self._tokens(source, found[0], search.replace_unk))
                if found
                else ''
            ),
            str,
        )

    def translate(
        self, sentences: Iterable[str], search: SearchConfig = SearchConfig()
    ) -> list[list[Translation]]:
        """For each sentence its translations; none for one without words.

        Those that ended in ``<eos>`` come first, and of these and of the others the best.

        A sentence that is longer than any in training is translated all the same, and the log says
        so.  Beyond `MAX_TOKENS` tokens it is cut, and the log says that.

        Raises
        ------
        InputError
            If the search asks for attention and the model has none.
        """
        return self._made_of_each(
            sentences,
            search,
            lambda source, found: [
                self._translation(source, hypothesis, search.replace_unk) for hypothesis in found
            ],
            list,
        )

    def stream(
        self, lines: Iterable[str], search: SearchConfig = SearchConfig()
    ) -> Iterator[list[Translation]]:
        """What `translate` returns, for lines without end: some thousand of them are in memory."""
        lines = iter(lines)
        for block in iter(lambda: list(itertools.islice(lines, LINES_AT_ONCE)), []):
            yield from self.translate(block, search)

    @use_np
    def _made_of_each(
        self,
        sentences: Iterable[str],
        search: SearchConfig,
        make: Callable[[list[str], list[Hypothesis]], Any],
        nothing: Callable[[], Any],
    ) -> list:
        """What `make` makes of each sentence's tokens and hypotheses, and `nothing` of no words."""
        if search.replace_unk and not self.has_attention:
            raise InputError('replace_unk: expected a model with attention, got one without')
        sources = [self._source(sentence) for sentence in sentences]
        self._warn_of_lengths(sources)
        made, by_length = [nothing() for _ in sources], collections.defaultdict(list)
        for number, source in enumerate(sources):
            by_length[len(source)].append(number)
        by_length.pop(0, None)
        # By length within a shape: what ends at about the same time is searched together.
        for shape, lengths in itertools.groupby(
            sorted(by_length), lambda length: self._shape(length, search)
        ):
            numbers = [number for length in lengths for number in by_length[length]]
            found = self._search([sources[number] for number in numbers], *shape, search)
            for number, hypotheses in zip(numbers, found):
                made[number] = make(sources[number], hypotheses)
        return made

    def _source(self, sentence: str) -> list[str]:
        """The tokens of a sentence as the model was trained to read them."""
        words = sentence.split()
        return self.tokenizer.tokenize_src(' '.join(words)) if words else []

    def _warn_of_lengths(self, sources: list[list[str]]) -> None:
        """Say which sentences are too long, and cut those that are none."""
        most = max(MAX_TOKENS, self.num_steps)
        for number, source in enumerate(sources):
            if len(source) > most:
                logger.warning(
                    'a sentence of %s tokens is cut to %s, which is all that is translated: %s ...',
                    f'{len(source):,}',
                    f'{most:,}',
                    ' '.join(source[:5])[:40],
                )
                sources[number] = source[:most]
        long = [source for source in sources if len(source) > self.num_steps]
        if long:
            logger.warning(
                '%d of %d sentences have more tokens than the %d that the model was '
                'trained to read, and may come out badly; the first has %d: %s ...',
                len(long),
                len(sources),
                self.num_steps,
                len(long[0]),
                ' '.join(long[0][:5])[:40],
            )

    def _shape(self, num_tokens: int, search: SearchConfig) -> tuple[int, int]:
        """How far a source sentence is padded, and the most tokens that come out.

        Both follow from the sentence alone, and not from its company.
        """
        is_long = num_tokens > self.num_steps
        if not self.model.encoder.reads_padding:
            width = -(-num_tokens // WIDTH_STEP) * WIDTH_STEP
        elif is_long:
            width = num_tokens
        else:
            step = self.bucket_width or self.num_steps
            width = min(self.num_steps, -(-num_tokens // step) * step)
        auto = max(2 * width if is_long else self.num_steps, search.min_length + 1)
        return width, search.max_length or auto

    def _search(
        self, sources: list[list[str]], width: int, max_length: int, search: SearchConfig
    ) -> Iterator[list[Hypothesis]]:
        """The hypotheses of sources that are padded alike."""
        rules = SearchRules(
            self.tgt_vocab['<bos>'],
            self.tgt_vocab['<eos>'],
            max_length,
            search.min_length,
            search.no_repeat_ngram,
            build_length_penalty(search),
        )
        parts = [
            sources[first : first + search.batch_size]
            for first in range(0, len(sources), search.batch_size)
        ]
        found = build_search(search)(
            self._stepper, (self._batch(part, width) for part in parts), rules
        )
        for part, hypotheses in zip(parts, found):
            yield from hypotheses[: len(part)]  # behind them are those of the copies

    def _batch(self, sources: list[list[str]], width: int) -> tuple[onp.ndarray, onp.ndarray]:
        """Token ids and valid lengths, filled up with copies: each size would make a graph.

        The sizes are powers of 2, and of 8 for long sentences, which come in many widths.
        """
        exponent = (len(sources) - 1).bit_length()
        if len(sources[0]) > self.num_steps:
            exponent += -exponent % 3
        size = 1 << exponent
        padding = [self.src_vocab['<pad>']] * width
        rows = [(self.src_vocab[source] + padding)[:width] for source in sources]
        lengths = [len(source) for source in sources]
        num_copies = size - len(sources)
        return (
            onp.array(rows + rows[:1] * num_copies, dtype='float32'),
            onp.array(lengths + lengths[:1] * num_copies, dtype='float32'),
        )

    def _translation(
        self, source: list[str], hypothesis: Hypothesis, replace_unk: bool
    ) -> Translation:
        tokens = self._tokens(source, hypothesis, replace_unk)
        weights = hypothesis.attention_weights
        return Translation(
            self.tokenizer.detokenize(tokens),
            tokens,
            source,
            hypothesis.score,
            hypothesis.log_probs,
            hypothesis.is_finished,
            None if weights is None else weights[:, : len(source)],
        )

    def _tokens(self, source: list[str], hypothesis: Hypothesis, replace_unk: bool) -> list[str]:
        """The target tokens of a hypothesis, unknown ones replaced if that is wanted."""
        tokens = self.tgt_vocab.to_tokens(hypothesis.token_ids)
        if not replace_unk:
            return tokens
        weights = hypothesis.attention_weights[:, : len(source)]
        return [
            source[weights[step].argmax()] if token == '<unk>' else token
            for step, token in enumerate(tokens)
        ]


LENGTH_PENALTIES = {
    'book': BookLengthPenalty,
    'gnmt': GNMTLengthPenalty,
    'none': lambda alpha=None: no_length_penalty,
}


def build_length_penalty(config: SearchConfig) -> Callable:
    """The length penalty that a configuration names."""
    penalty = LENGTH_PENALTIES[config.length_penalty]
    return penalty() if config.alpha is None else penalty(config.alpha)


def build_search(config: SearchConfig) -> Callable:
    """The search that a configuration names: a function of stepper, batches and rules."""
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
