"""What a run is made of: frozen dataclasses for data, model and training.

Every default stands here, once, and is the book's (d2l 0.14, section 9.7.4).  A field knows its
help text and which values it accepts, so the commands make their options from the fields, and the
same check guards the command line, a configuration file and a call from Python.
"""
from __future__ import annotations

import dataclasses
import json
import math
from dataclasses import dataclass
from pathlib import Path
from typing import Any, Callable

from .errors import InputError


CONFIG_FILE = 'config.json'  # of a run's folder


@dataclass(frozen=True)
class Domain:
    """A set of values: how a word of the command line is read, and which values belong to it."""

    description: str
    parse: Callable[[str], Any]
    contains: Callable[[Any], bool]

    def check(self, name: str, value: Any) -> None:
        """Raise `InputError` unless `value` belongs to the set."""
        if not self.contains(value):
            raise InputError(f'{name}: expected {self.description}, got {value!r}')


def _is_whole(value: Any) -> bool:
    return isinstance(value, int) and not isinstance(value, bool)


def _is_finite(value: Any) -> bool:
    return isinstance(value, (int, float)) and not isinstance(value, bool) and math.isfinite(value)


def _whole(least: int, most: int | None = None) -> Domain:
    """Whole numbers from `least` to `most`, both included."""
    limits = f'of at least {least}' if most is None else f'from {least} to {most}'
    return Domain(f'a whole number {limits}', int, lambda value: _is_whole(value) and
                  least <= value <= (math.inf if most is None else most))


def _one_of(*words: str) -> Domain:
    """Some words."""
    return Domain(f"one of {', '.join(words)}", str, lambda value: value in words)


_WORD = Domain('a word', str, lambda value: isinstance(value, str) and value != '')
_POSITIVE = Domain('a number above 0', float, lambda value: _is_finite(value) and value > 0)
_EXPONENT = Domain("a number from 0 to 10, or 'auto'",
                   lambda text: None if text == 'auto' else float(text),
                   lambda value: value is None or (_is_finite(value) and 0 <= value <= 10))
_TEMPERATURE = Domain('a number from 0.001 to 1000', float,
                      lambda value: _is_finite(value) and 0.001 <= value <= 1000)
_PROBABILITY = Domain('a number from 0 up to, not including, 1', float,
                      lambda value: _is_finite(value) and 0 <= value < 1)
_FRACTION = Domain('a number from 0 to 1', float,
                   lambda value: _is_finite(value) and 0 <= value <= 1)
FLAG = Domain('true or false', bool, lambda value: isinstance(value, bool))
_POSITIVE_OR_NONE = Domain("a number above 0, or 'none'",
                           lambda text: None if text == 'none' else float(text),
                           lambda value: value is None or (_is_finite(value) and value > 0))
_SHARE = Domain('a number from 0 to 0.4', float,
                lambda value: _is_finite(value) and 0 <= value <= 0.4)


def _count_or(word: str) -> Domain:
    """Whole numbers from 1, or None, which has a word on the command line."""
    return Domain(f"a whole number of at least 1, or '{word}'",
                  lambda text: None if text == word else int(text),
                  lambda value: value is None or (_is_whole(value) and value >= 1))


def _field(default: Any, domain: Domain, help: str) -> Any:
    """A dataclass field that carries what the command line needs to know of it."""
    return dataclasses.field(default=default, metadata={'domain': domain, 'help': help})


class _Checked:
    """Refuses a field's value outside of its domain, whoever gives it."""

    def __post_init__(self):
        for field in dataclasses.fields(self):
            field.metadata['domain'].check(field.name, getattr(self, field.name))


@dataclass(frozen=True)
class DataConfig(_Checked):
    """Which sentence pairs, and how they become batches."""

    corpus: str = _field('auto', _WORD, 'auto, fra-eng, bundled, FILE.tsv, two files SRC,TGT, or a '
                         'made-up task: copy, reverse, numbers, pseudo')
    num_examples: int | None = _field(
        1000, _count_or('all'), 'sentence pairs to train on, or all; like the book, one more is '
        'taken')
    held_out: float = _field(0.0, _SHARE, 'share of the source sentences kept back for validation, '
                             'and as many again for testing')
    batch_size: int = _field(64, _whole(1), 'sentence pairs in a batch')
    bucket_width: int | None = _field(
        None, _count_or('none'), 'batches of sentences whose lengths, rounded up to a multiple of '
        'it, agree; none: in any order, as in the book')
    max_tokens: int | None = _field(
        None, _count_or('none'), 'tokens in a batch, in place of batch_size; needs bucket_width')
    num_steps: int = _field(10, _whole(2), 'tokens a sentence is cut or padded to')
    text_rules: str = _field('chapter', _one_of('chapter', 'words', 'subwords', 'opengenus'),
                             "what turns text into tokens: the chapter's rules, words with all "
                             "punctuation split off, SentencePiece's subwords, or opengenus")
    num_subwords: int = _field(8000, _whole(30), 'subwords of each vocabulary, at most')
    min_freq: int = _field(3, _whole(1), 'words seen less often become <unk>')
    reverse_source: bool = _field(False, FLAG, 'feed source sentences last token first')
    share_vocab: bool = _field(False, FLAG, 'one vocabulary for both sides')

    def __post_init__(self):
        super().__post_init__()
        if self.max_tokens is not None and self.bucket_width is None:
            raise InputError('max_tokens: expected a bucket_width with it (4 is a good one), since '
                             'a batch of so many tokens has sentences of similar length')


@dataclass(frozen=True)
class ModelConfig(_Checked):
    """The kind and the sizes of encoder and decoder."""

    embed_size: int = _field(32, _whole(1), 'size of a word vector')
    num_hiddens: int = _field(32, _whole(1), 'hidden units of a recurrent layer')
    num_layers: int = _field(2, _whole(1), 'recurrent layers')
    dropout: float = _field(0.0, _PROBABILITY, 'dropout between recurrent layers')
    cell: str = _field('lstm', _one_of('rnn', 'gru', 'lstm'), 'rnn, gru or lstm')
    masked: bool = _field(False, FLAG, "an encoder that padding does not reach, unlike the book's")
    bidirectional: bool = _field(False, FLAG, 'an encoder in both directions, which is masked')
    context_every_step: bool = _field(
        False, FLAG, 'give the decoder the context at every step, Eq. (9.7.4)')
    attention: str = _field('none', _one_of('none', 'additive', 'dot', 'general'),
                            'none, additive (Bahdanau), dot or general (Luong)')
    share_embedding: bool = _field(False, FLAG, 'one embedding for both sides; needs share_vocab')
    tied: bool = _field(False, FLAG, "the dense layer's weight is the target embedding's")
    initializer: str = _field('xavier', _one_of('xavier', 'keras'), 'xavier or keras')

    def __post_init__(self):
        super().__post_init__()
        if self.bidirectional:  # reading backwards, it would begin with the padding
            object.__setattr__(self, 'masked', True)
        if self.tied and self.embed_size != self.num_hiddens:
            raise InputError(f'tied: expected embed_size equal to num_hiddens, got '
                             f'{self.embed_size} and {self.num_hiddens}')
        if self.attention == 'dot' and self.bidirectional:
            raise InputError('attention: expected another kind than dot with a bidirectional '
                             'encoder, whose outputs are twice as large as a query; try general')
        if self.attention != 'none' and self.context_every_step:
            raise InputError('context_every_step: expected no attention beside it, got '
                             f'{self.attention}, which brings a context of its own')


@dataclass(frozen=True)
class TrainingConfig(_Checked):
    """How the model is trained."""

    lr: float = _field(0.005, _POSITIVE, 'learning rate of Adam')
    num_epochs: int = _field(300, _whole(1), 'passes over the training pairs')
    seed: int = _field(0, _whole(0, 2 ** 31 - 1), 'seed of initialization and shuffling')
    device: str = _field('auto', _WORD, 'auto, cpu, cpu(N), gpu or gpu(N)')
    objective: str = _field('book', _one_of('book', 'per-token'), "book or per-token: what a "
                            "label's loss is divided by")
    max_norm: float | None = _field(1.0, _POSITIVE_OR_NONE,
                                    'norm that the gradient is clipped to, or none')
    teacher_forcing: float = _field(1.0, _FRACTION, "how often the decoder reads the target's "
                                    'token in training instead of its own')
    validate: bool = _field(False, FLAG, 'look at the sentences kept back for validation, a '
                            'twentieth where held_out says nothing')
    validate_every: int = _field(10, _whole(1), 'epochs from one validation to the next')
    early_stopping: str = _field('none', _one_of('none', 'nll', 'bleu'), 'none, nll or bleu: what '
                                 'has to get better in validation for the training to go on')
    patience: int = _field(5, _whole(1), 'validations without a better one that end the training')
    max_minutes: float | None = _field(
        None, _POSITIVE_OR_NONE, 'train for so many minutes at most, in whole epochs, or none')


@dataclass(frozen=True)
class SearchConfig(_Checked):
    """How translations are searched for."""

    beam_size: int = _field(1, _whole(1, 500), 'hypotheses that are followed at once; 1 is greedy')
    n_best: int = _field(1, _whole(1, 500), 'translations of each sentence')
    length_penalty: str = _field('book', _one_of('book', 'gnmt', 'none'), 'book, gnmt or none: '
                                 'what makes hypotheses of different lengths comparable')
    alpha: float | None = _field(None, _EXPONENT, "exponent of the length penalty; auto: 0.75 for "
                                 "the book's, 0.6 for gnmt")
    min_length: int = _field(0, _whole(0), 'tokens of a translation, at least')
    max_length: int | None = _field(
        None, _count_or('auto'), 'tokens of a translation, at most; auto: as many as in training, '
        'about twice as many as the source has if that is longer than any in training')
    no_repeat_ngram: int = _field(0, _whole(0), 'no sequence of so many tokens comes twice; 0: any')
    sample: bool = _field(False, FLAG, 'draw tokens instead of taking the likeliest')
    temperature: float = _field(1.0, _TEMPERATURE, 'of sampling: below 1, the likely gets likelier')
    top_k: int | None = _field(None, _count_or('all'), 'draw from so many likeliest tokens')
    seed: int = _field(0, _whole(0, 2 ** 31 - 1), 'seed of sampling')
    replace_unk: bool = _field(False, FLAG, 'put the source word that was looked at most in the '
                               'place of <unk>; needs attention')
    batch_size: int = _field(64, _whole(1, 4096), 'sentences that are translated at once')

    def __post_init__(self):
        super().__post_init__()
        if self.sample and self.beam_size > 1:
            raise InputError(f'sample: expected a beam_size of 1 with it, got {self.beam_size}')
        if not self.sample and self.n_best > self.beam_size:
            raise InputError(f'n_best: expected beam_size at most, which is {self.beam_size}, got '
                             f'{self.n_best}')
        if self.max_length is not None and self.min_length >= self.max_length:
            raise InputError(f'min_length: expected less than max_length, which is '
                             f'{self.max_length}, got {self.min_length}')


@dataclass(frozen=True)
class RunConfig:
    """All of a run's settings, as they stand in its ``config.json``."""

    data: DataConfig = DataConfig()
    model: ModelConfig = ModelConfig()
    training: TrainingConfig = TrainingConfig()

    def __post_init__(self):
        if self.model.share_embedding and not self.data.share_vocab:
            raise InputError('share_embedding: expected share_vocab with it, since one embedding '
                             'needs one vocabulary')
        if self.training.early_stopping != 'none' and not self.training.validate:
            object.__setattr__(self, 'training',
                               dataclasses.replace(self.training, validate=True))
        if self.training.validate and self.data.held_out == 0:
            object.__setattr__(self, 'data', dataclasses.replace(self.data, held_out=0.05))

    def to_dict(self) -> dict:
        """A JSON object with one object for each part."""
        return dataclasses.asdict(self)

    @classmethod
    def of_run(cls, folder: Path) -> RunConfig:
        """The configuration in a run's folder.

        Raises
        ------
        InputError
            If it isn't there, can't be read, or is damaged.
        """
        path = folder / CONFIG_FILE
        if not path.is_file():
            raise InputError(f'{folder}: expected the folder of a trained run, but it has no '
                             f'{CONFIG_FILE}; python -m d2l_seq2seq.train makes one')
        values = read_json(path)
        try:
            return cls.from_dict(values)
        except InputError as error:
            raise InputError(f'{path}: {error}') from error

    @classmethod
    def from_dict(cls, values: Any) -> RunConfig:
        """The configuration that `to_dict` wrote, this version's or an earlier one's.

        A field that an earlier version did not know has its default, which is what that version
        did.

        Raises
        ------
        InputError
            If a part or a field is unknown, or a value is outside of its domain.
        """
        parts = {'data': DataConfig, 'model': ModelConfig, 'training': TrainingConfig}
        _check_keys('the configuration', values, parts)
        for name, part in parts.items():
            _check_keys(name, values.get(name, {}),
                        [field.name for field in dataclasses.fields(part)])
        return cls(**{name: part(**values.get(name, {})) for name, part in parts.items()})


# What --preset stands for: values of fields, which options on the command line override.
PRESETS = {
    'chapter': {},
    # The OpenGenus article: one embedding for both sides, one layer of 512 units, Keras's defaults.
    'opengenus': {
        'batch_size': 32, 'num_steps': 16, 'text_rules': 'opengenus', 'min_freq': 1,
        'reverse_source': True, 'share_vocab': True, 'embed_size': 10, 'num_hiddens': 512,
        'num_layers': 1, 'share_embedding': True, 'initializer': 'keras', 'lr': 0.001,
        'num_epochs': 2, 'objective': 'per-token', 'max_norm': None},
}


def read_json(path: Path) -> Any:
    """What a JSON file holds; `InputError` if it can't be read or holds something else."""
    try:
        return json.loads(path.read_bytes())
    except OSError as error:
        raise InputError(f'{path}: can not be read ({error.strerror})') from error
    except (ValueError, RecursionError) as error:
        raise InputError(f'{path}: expected JSON; the file is damaged ({error})') from error


def _check_keys(name: str, values: Any, known) -> None:
    """Raise `InputError` unless `values` is an object with known keys alone."""
    if not isinstance(values, dict) or not set(values) <= set(known):
        found = ', '.join(sorted(values)) if isinstance(values, dict) else type(values).__name__
        raise InputError(f"{name}: expected the fields {', '.join(sorted(known))}, got {found}")
