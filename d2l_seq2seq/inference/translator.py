"""Translation from text to text: a `Translator` combines a model, its vocabularies and a search.

The input is tokenized in the same way as the training data.  Sentences are translated in batches of
similar length, which does not change their translations: an encoder that reads padding always gets
the same amount of it as in training, and all other encoders ignore it.

Training has no example for a sentence that is longer than `num_steps`.  An encoder that reads
padding gets as little of it as the steps of the widths allow.
"""

from __future__ import annotations

import collections
import itertools
import logging
from pathlib import Path
from typing import Any, Callable, Iterable, Iterator, NamedTuple

import numpy as onp

from .._mxnet import mx, use_np
from .._runtime import require_memory
from ..book.encoder_decoder import EncoderDecoder
from ..book.vocab import Vocab
from ..config import SearchConfig
from ..data.corpus import clean_sentence
from ..data.encoding import text_ids
from ..data.tokenizers import CHAPTER_TOKENIZER, PairTokenizer
from ..device import try_gpu
from ..errors import InputError, one_line
from ..models.decoders import AttentionDecoder
from ..models.encoders import reads_padding
from ..runs.checkpoint import Run
from ..runs.loading import load_run
from .factory import build_rules, build_search
from .search import Hypothesis
from .stepper import ModelStepper

logger = logging.getLogger(__name__)

MAX_TOKENS = 1000  # tokens of a source sentence; a longer one is probably not a sentence
# Source widths are multiples of this, because each width needs its own graph, whose memory MXNet
# keeps.  The steps grow with the width, see `_long_step`.
WIDTH_STEP = 8
LINES_PER_BLOCK = 8192  # lines of a stream that are in memory at the same time
_BYTES_PER_CANDIDATE = 24  # of memory, for each next token of each hypothesis


class Translation(NamedTuple):
    """A translation of a sentence.

    Attributes
    ----------
    text : str
    tokens : list of str
        Without ``<eos>``.
    src_tokens : list of str
        The tokens of the source, as the model read them.
    score : float
        The higher, the better; see `SearchConfig.length_penalty`.
    log_probs : list of float
        Natural logarithms of the probabilities of the tokens, and of ``<eos>`` if it is finished.
    is_finished : bool
        True if it ended with ``<eos>``, False if it reached the maximum length.
    attention_weights : float32 array of shape (num_tokens, num_src_tokens), or None
        A row for each of `log_probs`; None if the model has no attention.
    """

    text: str
    tokens: list[str]
    src_tokens: list[str]
    score: float
    log_probs: list[float]
    is_finished: bool
    attention_weights: onp.ndarray | None = None


class Translator:
    """A translator of sentences, with a trained model.

    Parameters
    ----------
    model : EncoderDecoder
        The model may still be in training: each call uses its current weights.
    src_vocab, tgt_vocab : Vocab
    num_steps : int
        Length that sentences were cut or padded to in training.
    tokenizer : PairTokenizer
        The tokenizers of the training data; the chapter's by default.
    bucket_width : int, optional
        If training used buckets, their width: the number to a multiple of which source lengths were
        rounded up.

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
    def load(cls, path: str | Path, ctx: mx.Context | None = None) -> Translator:
        """Load the translator of a run folder.

        Parameters
        ----------
        path : str or Path
        ctx : mxnet.Context, optional
            The first GPU by default, or the CPU if there is none.

        Raises
        ------
        InputError
            If the folder is not a run that was trained on text.
        """
        return cls.of(load_run(path, ctx or try_gpu()))

    @classmethod
    def of(cls, run: Run) -> Translator:
        """Return the translator of a run.

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

    @property
    def ctx(self) -> mx.Context:
        """The device of the model."""
        return self._stepper.ctx

    @property
    def has_attention(self) -> bool:
        """True if translations have attention weights."""
        return isinstance(self.model.decoder, AttentionDecoder)

    def __call__(self, sentences: str | Iterable[str], search: SearchConfig = SearchConfig()):
        """Return the best translation of each sentence as text.

        Parameters
        ----------
        sentences : str or iterable of str
            White space around a sentence is ignored, so the lines of a file may be passed.
        search : SearchConfig

        Returns
        -------
        str or list of str
            A str for a str, and a list for anything else.  The text is empty if the sentence has no
            words, or if no sequence satisfies the rules of the search.

        Raises
        ------
        InputError
            If `search` has `replace_unk` and the model has no attention.
        """
        if isinstance(sentences, str):
            return self([sentences], search)[0]
        return self._search_all(
            sentences,
            search,
            lambda source, hypotheses: (
                self.tokenizer.detokenize(self._tokens(source, hypotheses[0], search.replace_unk))
                if hypotheses
                else ''
            ),
            str,
        )

    def translate(
        self, sentences: Iterable[str], search: SearchConfig = SearchConfig()
    ) -> list[list[Translation]]:
        """Return the translations of each sentence with their scores.

        A sentence longer than any in training is translated as well, with a warning in the log.  A
        sentence of more than `MAX_TOKENS` tokens is cut, also with a warning.

        Parameters
        ----------
        sentences : iterable of str
        search : SearchConfig

        Returns
        -------
        list of list of Translation
            For each sentence up to ``search.n_best`` translations; none if it has no words, or if
            no sequence satisfies the rules of the search.  Finished ones come before the others,
            and in both groups the best score comes first.

        Raises
        ------
        InputError
            If `search` has `replace_unk` and the model has no attention.
        """
        if isinstance(sentences, str):
            raise TypeError('expected a list of sentences, got a str: pass [sentence]')
        return self._search_all(
            sentences,
            search,
            lambda source, hypotheses: [
                self._translation(source, hypothesis, search.replace_unk)
                for hypothesis in hypotheses
            ],
            list,
        )

    def stream(
        self, lines: Iterable[str], search: SearchConfig = SearchConfig()
    ) -> Iterator[list[Translation]]:
        """Yield what `translate` returns for each line of an iterable that may be infinite.

        `LINES_PER_BLOCK` lines are in memory at a time.
        """
        if isinstance(lines, str):
            raise TypeError('expected an iterable of lines, got a str: pass [line]')
        lines = iter(lines)
        for block in iter(lambda: list(itertools.islice(lines, LINES_PER_BLOCK)), []):
            yield from self.translate(block, search)

    @use_np
    def _search_all(
        self,
        sentences: Iterable[str],
        search: SearchConfig,
        convert: Callable[[list[str], list[Hypothesis]], Any],
        empty: Callable[[], Any],
    ) -> list:
        """Search for all sentences, and convert the source tokens and hypotheses of each.

        The result for a sentence without words is ``empty()``.
        """
        if search.replace_unk and not self.has_attention:
            raise InputError(
                'replace_unk: expected a model with attention, got one without',
                'Train a model with --attention additive, dot or general.',
            )
        sources = [self._tokenize(sentence) for sentence in sentences]
        self._limit_lengths(sources)
        results, by_length = [empty() for _ in sources], collections.defaultdict(list)
        for number, source in enumerate(sources):
            by_length[len(source)].append(number)
        by_length.pop(0, None)
        # A group is in order of length, so that the searches of a batch end at about the same time.
        for sizes, lengths in itertools.groupby(
            sorted(by_length), lambda length: self._sizes(length, search)
        ):
            numbers = [number for length in lengths for number in by_length[length]]
            group = [sources[number] for number in numbers]
            for number, hypotheses in zip(numbers, self._search_group(group, *sizes, search)):
                results[number] = convert(sources[number], hypotheses)
        return results

    def _tokenize(self, sentence: str) -> list[str]:
        """Return the tokens of a sentence, as in training."""
        text = clean_sentence(sentence)
        return self.tokenizer.tokenize_src(text) if text else []

    def _limit_lengths(self, sources: list[list[str]]) -> None:
        """Cut sources that are too long, in place, and warn about those longer than in training."""
        max_tokens = max(MAX_TOKENS, self.num_steps)
        for number, source in enumerate(sources):
            if len(source) > max_tokens:
                logger.warning(
                    'a sentence of %s tokens was cut to %s; the rest is not translated: %s ...',
                    f'{len(source):,}',
                    f'{max_tokens:,}',
                    one_line(' '.join(source[:5]), 40),
                )
                sources[number] = source[:max_tokens]
        long_sources = [source for source in sources if len(source) > self.num_steps]
        if long_sources:
            logger.warning(
                '%d of %d sentences have more than %d tokens, the maximum in training, and their '
                'translations may be poor; the first has %d tokens: %s ...',
                len(long_sources),
                len(sources),
                self.num_steps,
                len(long_sources[0]),
                one_line(' '.join(long_sources[0][:5]), 40),
            )

    def _sizes(self, num_tokens: int, search: SearchConfig) -> tuple[int, int]:
        """Return the width that a source is padded to, and the maximum length of its translation.

        Both depend on the sentence alone, not on the others.
        """
        is_long = num_tokens > self.num_steps
        if not reads_padding(self.model.encoder):
            width = _rounded_up(num_tokens, max(WIDTH_STEP, _long_step(num_tokens)))
        elif is_long:
            width = _rounded_up(num_tokens, _long_step(num_tokens))
        else:
            width = min(
                self.num_steps, _rounded_up(num_tokens, self.bucket_width or self.num_steps)
            )
        default = max(2 * width if is_long else self.num_steps, search.min_length + 1)
        return width, search.max_length or default

    def _search_group(
        self, sources: list[list[str]], width: int, max_length: int, search: SearchConfig
    ) -> Iterator[list[Hypothesis]]:
        """Yield the hypotheses of sources that are padded to the same width."""
        parts = [
            sources[first : first + search.batch_size]
            for first in range(0, len(sources), search.batch_size)
        ]
        self._require_memory(min(len(sources), search.batch_size), width, max_length, search)
        batches = (self._build_batch(part, width) for part in parts)
        rules = build_rules(search, self.tgt_vocab, max_length)
        results = build_search(search)(self._stepper, batches, rules)
        for part, hypotheses in zip(parts, results):
            yield from hypotheses[: len(part)]  # the others belong to the copies in the batch

    def _require_memory(
        self, batch_size: int, width: int, max_length: int, search: SearchConfig
    ) -> None:
        """Raise `InputError` if the search of a batch would need more memory than there is."""
        if self.ctx.device_type != 'cpu':
            return
        num_hypotheses = batch_size * max(search.beam_size, search.n_best)
        num_bytes = _BYTES_PER_CANDIDATE * num_hypotheses * len(self.tgt_vocab)
        if self.has_attention:  # the weights of all steps are kept, as float32
            num_bytes += 4 * num_hypotheses * width * max_length
        require_memory(
            num_bytes,
            f'a search with {num_hypotheses:,} hypotheses',
            'Decrease --batch-size, --beam-size or --max-length.',
        )

    def _build_batch(self, sources: list[list[str]], width: int) -> tuple[onp.ndarray, onp.ndarray]:
        """Return token ids and valid lengths; copies of the first source fill the batch.

        Each batch size needs its own graph, so the sizes are powers of 2.  They are powers of 8 for
        sentences longer than in training, which come in many widths.
        """
        exponent = (len(sources) - 1).bit_length()
        if len(sources[0]) > self.num_steps:
            exponent += -exponent % 3
        num_copies = (1 << exponent) - len(sources)
        padding = [self.src_vocab['<pad>']] * width
        ids = [(tokens + padding)[:width] for tokens in text_ids(self.src_vocab, sources)]
        lengths = [len(source) for source in sources]
        return (
            onp.array(ids + ids[:1] * num_copies, dtype='float32'),
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
        """Return the target tokens, with source tokens instead of ``<unk>`` if requested."""
        tokens = self.tgt_vocab.to_tokens(hypothesis.token_ids)
        if not replace_unk:
            return tokens
        assert hypothesis.attention_weights is not None  # checked before the search
        weights = hypothesis.attention_weights[:, : len(source)]
        return [
            source[weights[step].argmax()] if token == '<unk>' else token
            for step, token in enumerate(tokens)
        ]


def _rounded_up(number: int, step: int) -> int:
    """Return the smallest multiple of `step` that is not below a number."""
    return -(-number // step) * step


def _long_step(num_tokens: int) -> int:
    """Return the step of the widths of long sentences: 8 steps from each power of 2 to the next.

    So there are 54 widths from 11 to 1,000 tokens, and at most an eighth of a sentence is padding.
    """
    return 1 << max(0, (num_tokens - 1).bit_length() - 4)
