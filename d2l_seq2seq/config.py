"""The settings of a run and of a search, as frozen dataclasses.

Every default stands here, once, and is the book's (d2l 0.14, section 9.7.4).  The commands make
their options from the fields.
"""

from __future__ import annotations

import dataclasses
from dataclasses import dataclass
from typing import Any, Iterable

from .errors import InputError
from .fields import (
    COUNT,
    DEVICES,
    EXPONENT,
    FLAG,
    FRACTION,
    HELD_OUT,
    LAYERS,
    POSITIVE,
    POSITIVE_OR_NONE,
    PROBABILITY,
    SIZE,
    STEPS,
    TEMPERATURE,
    WORD,
    Checked,
    field,
    one_of,
    optional,
    whole,
)

IMPLIED_HELD_OUT = 0.05  # the fraction held out when validation is on and none is given


@dataclass(frozen=True)
class DataConfig(Checked):
    """The sentence pairs of a run, and how they become batches."""

    corpus: str = field(
        'auto',
        WORD,
        'auto, fra-eng, bundled, FILE.tsv, two files SRC,TGT, or a toy task: copy, reverse, '
        'numbers, pseudo',
        may_change=True,
    )
    num_examples: int | None = field(
        1000, optional(whole(1), 'all'), 'number of sentence pairs, plus one as in the book, or all'
    )
    held_out: float = field(
        0.0,
        HELD_OUT,
        'fraction of the source sentences to hold out for validation; the same fraction again is '
        'held out for testing',
    )
    batch_size: int = field(64, COUNT, 'number of sentence pairs per batch')
    bucket_width: int | None = field(
        None,
        optional(whole(1), 'none'),
        'batch sentences whose lengths, rounded up to multiples of this number, are the same; none '
        'batches sentences of any length together, as the book does',
    )
    max_tokens: int | None = field(
        None,
        optional(whole(1), 'none'),
        'maximum number of tokens per batch, instead of batch_size; needs bucket_width',
    )
    num_steps: int = field(10, STEPS, 'length that each sentence is cut or padded to, in tokens')
    text_rules: str = field(
        'chapter',
        one_of('chapter', 'words', 'subwords', 'opengenus'),
        "tokenizer: chapter (the book's rules), words (all punctuation split off), subwords "
        '(SentencePiece) or opengenus',
    )
    num_subwords: int = field(8000, whole(30, 1 << 20), 'maximum size of each subword vocabulary')
    min_freq: int = field(3, COUNT, 'replace words that occur less often with <unk>')
    reverse_source: bool = field(False, FLAG, 'feed source sentences in reverse order')
    share_vocab: bool = field(False, FLAG, 'use one vocabulary for both sides')

    def __post_init__(self):
        super().__post_init__()
        if self.max_tokens is not None and self.bucket_width is None:
            raise InputError(
                'max_tokens: expected a bucket_width, because such a batch has sentences of '
                'similar length',
                'Add --bucket-width 4.',
            )


@dataclass(frozen=True)
class ModelConfig(Checked):
    """The kind and the sizes of encoder and decoder."""

    embed_size: int = field(32, SIZE, 'size of a word vector')
    num_hiddens: int = field(32, SIZE, 'number of hidden units per recurrent layer')
    num_layers: int = field(2, LAYERS, 'number of recurrent layers')
    dropout: float = field(0.0, PROBABILITY, 'dropout probability between recurrent layers')
    cell: str = field(
        'lstm', one_of('rnn', 'gru', 'lstm'), 'kind of recurrent layer: rnn, gru or lstm'
    )
    masked: bool = field(False, FLAG, 'mask padding in the encoder, which the book does not')
    bidirectional: bool = field(
        False, FLAG, 'read source sentences in both directions; implies masked'
    )
    context_every_step: bool = field(
        False, FLAG, 'give the decoder the context at every step, Eq. (9.7.4)'
    )
    attention: str = field(
        'none',
        one_of('none', 'additive', 'dot', 'general'),
        'kind of attention: none, additive (Bahdanau), dot or general (Luong)',
    )
    share_embedding: bool = field(
        False, FLAG, 'use one embedding for both sides; needs share_vocab'
    )
    tied: bool = field(False, FLAG, 'tie the output layer to the target embedding')
    initializer: str = field(
        'xavier', one_of('xavier', 'keras'), 'initial weights: xavier or keras'
    )

    def __post_init__(self):
        super().__post_init__()
        if self.tied and self.embed_size != self.num_hiddens:
            raise InputError(
                f'tied: expected embed_size equal to num_hiddens, got {self.embed_size} and '
                f'{self.num_hiddens}',
                'Pass equal sizes, or leave out --tied.',
            )
        if self.attention == 'dot' and self.bidirectional:
            raise InputError(
                'attention: dot cannot be combined with a bidirectional encoder, whose outputs '
                'are twice as large as a query',
                'Use --attention general.',
            )
        if self.attention != 'none' and self.context_every_step:
            raise InputError(
                f'context_every_step: cannot be combined with attention, got {self.attention}, '
                'which computes a context of its own',
                'Leave out one of them.',
            )


@dataclass(frozen=True)
class TrainingConfig(Checked):
    """The optimization, its schedule, and what is validated and saved."""

    lr: float = field(0.005, POSITIVE, 'learning rate of Adam')
    lr_schedule: str = field(
        'constant',
        one_of('constant', 'inverse-sqrt', 'plateau'),
        'learning-rate schedule: constant, inverse-sqrt (linear warm-up, then decay with the '
        'square root of the number of updates) or plateau (halve when the loss stops falling)',
    )
    warmup_updates: int = field(400, COUNT, 'number of warm-up updates of inverse-sqrt')
    halve_after: int = field(
        3, COUNT, 'number of evaluations without improvement before plateau halves lr'
    )
    weight_decay: float = field(
        0.0, PROBABILITY, 'decoupled weight decay, as in AdamW; biases are not decayed'
    )
    label_smoothing: float = field(
        0.0, PROBABILITY, 'probability mass spread evenly over the vocabulary in the targets'
    )
    batches_per_update: int = field(
        1, whole(1, 10_000), 'number of batches whose gradients are added up for an update'
    )
    skip_bad_batches: bool = field(
        False, FLAG, 'skip batches whose loss or gradient is not finite, instead of stopping'
    )
    amp: bool = field(
        False,
        FLAG,
        'mixed precision: matrix products in float16 on a GPU and in bfloat16 on a CPU; implies '
        'skip_bad_batches',
    )
    num_epochs: int = field(300, COUNT, 'number of passes over the training pairs', may_change=True)
    seed: int = field(0, whole(0, 2**31 - 1), 'seed of initialization and shuffling')
    device: str = field(
        'auto',
        DEVICES,
        'auto, cpu, cpu(N), gpu or gpu(N), or several separated by commas that share each batch',
        may_change=True,
    )
    kvstore: str = field(
        'none',
        one_of('none', 'dist_sync'),
        'none, or dist_sync to share each batch among the workers that python -m '
        'd2l_seq2seq.launch starts',
        may_change=True,
    )
    objective: str = field(
        'book',
        one_of('book', 'per-token'),
        "normalization of the loss: book (the book's) or per-token (the mean over labels)",
    )
    max_norm: float | None = field(
        1.0, POSITIVE_OR_NONE, 'norm to which the gradient is clipped, or none'
    )
    teacher_forcing: float = field(
        1.0,
        FRACTION,
        "probability that the decoder reads the target's token instead of its own during training",
    )
    validate: bool = field(
        False, FLAG, 'evaluate the held-out validation sentences; holds out 0.05 by default'
    )
    validate_every: int = field(10, COUNT, 'number of epochs between validations')
    early_stopping: str = field(
        'none',
        one_of('none', 'nll', 'bleu'),
        'metric monitored for early stopping: none, nll or bleu; implies validate',
    )
    patience: int = field(
        5, COUNT, 'number of validations without improvement before early stopping'
    )
    max_minutes: float | None = field(
        None,
        POSITIVE_OR_NONE,
        'stop before the epoch that would exceed this time, or none',
        may_change=True,
    )
    save_every: int = field(10, COUNT, 'number of epochs between checkpoints', may_change=True)
    save_minutes: float = field(
        10.0, POSITIVE, 'minutes between checkpoints within an epoch', may_change=True
    )
    keep: int = field(3, COUNT, 'number of latest checkpoints to keep', may_change=True)
    keep_best: str = field(
        'nll',
        one_of('nll', 'bleu'),
        'metric of the best validated checkpoint, which is kept too; overridden by early_stopping',
    )
    tensorboard: bool = field(False, FLAG, 'write TensorBoard event files', may_change=True)


@dataclass(frozen=True)
class SearchConfig(Checked):
    """The search for translations."""

    beam_size: int = field(
        1, whole(1, 500), 'number of hypotheses to keep at each step; 1 is greedy search'
    )
    n_best: int = field(1, whole(1, 500), 'number of translations per sentence')
    length_penalty: str = field(
        'book',
        one_of('book', 'gnmt', 'none'),
        'length penalty, which makes hypotheses of different lengths comparable: book, gnmt or '
        'none',
    )
    alpha: float | None = field(
        None, EXPONENT, 'exponent of the length penalty; auto is 0.75 for book and 0.6 for gnmt'
    )
    min_length: int = field(0, whole(0), 'minimum number of tokens in a translation')
    max_length: int | None = field(
        None,
        optional(whole(1), 'auto'),
        'maximum number of tokens in a translation; auto is the num_steps of training, or about '
        'twice the source length for longer sentences',
    )
    no_repeat_ngram: int = field(0, whole(0), 'forbid repeated n-grams of this size; 0 allows them')
    sample: bool = field(False, FLAG, 'sample tokens instead of searching for the likeliest')
    temperature: float = field(
        1.0, TEMPERATURE, 'temperature of sampling; below 1 favors likely tokens'
    )
    top_k: int | None = field(
        None, optional(whole(1), 'all'), 'sample from this many of the likeliest tokens, or all'
    )
    seed: int = field(0, whole(0, 2**31 - 1), 'seed of sampling')
    replace_unk: bool = field(
        False, FLAG, 'replace <unk> with the most attended source word; needs attention'
    )
    batch_size: int = field(64, whole(1, 4096), 'number of sentences to translate at once')

    def __post_init__(self):
        super().__post_init__()
        if self.sample and self.beam_size > 1:
            raise InputError(
                f'sample: expected a beam_size of 1, got {self.beam_size}',
                'Leave out --sample or --beam-size.',
            )
        if not self.sample and self.n_best > self.beam_size:
            raise InputError(
                f'n_best: expected at most beam_size, which is {self.beam_size}, got {self.n_best}',
                'Raise --beam-size, or add --sample.',
            )
        if self.max_length is not None and self.min_length >= self.max_length:
            raise InputError(
                f'min_length: expected less than max_length, which is {self.max_length}, got '
                f'{self.min_length}'
            )


@dataclass(frozen=True)
class RunConfig:
    """All settings of a run, as they are written to its ``config.json``."""

    data: DataConfig = DataConfig()
    model: ModelConfig = ModelConfig()
    training: TrainingConfig = TrainingConfig()

    def __post_init__(self):
        if self.model.share_embedding and not self.data.share_vocab:
            raise InputError(
                'share_embedding: expected share_vocab, because one embedding needs one vocabulary',
                'Add --share-vocab.',
            )

    def updated(self, values: dict[str, Any]) -> RunConfig:
        """Return the configuration of the same run with other values of fields that may change.

        Parameters
        ----------
        values : dict of str to Any
            By field name.  Names that are not a field's are ignored.

        Raises
        ------
        InputError
            If a field would change that may not.
        """
        parts, conflicts = {}, []
        for name, part in vars(self).items():
            fields = {field.name: field for field in dataclasses.fields(part)}
            changes = {
                key: value
                for key, value in values.items()
                if key in fields and value != getattr(part, key)
            }
            conflicts += [
                f'{key} {value} (the run has {getattr(part, key)})'
                for key, value in changes.items()
                if not fields[key].metadata['may_change']
            ]
            if not conflicts:
                parts[name] = dataclasses.replace(part, **changes)
        if conflicts:
            raise InputError(
                f"expected the run's settings, got {', '.join(conflicts)[:300]}",
                'Leave these options out, or start a new run with --out.',
            )
        return RunConfig(**parts)

    def shared_by_workers(self) -> RunConfig:
        """Return what all workers must agree on: all but the corpus file and the device."""
        return dataclasses.replace(
            self,
            data=dataclasses.replace(self.data, corpus='auto'),
            training=dataclasses.replace(self.training, device='auto'),
        )

    def to_dict(self) -> dict:
        """Return the settings as a JSON object with one object for each part."""
        return dataclasses.asdict(self)

    @classmethod
    def from_dict(cls, values: Any) -> RunConfig:
        """Return the configuration that `to_dict` of this version or an earlier one made.

        A field that the earlier version did not have gets its default, which is what that version
        did.

        Raises
        ------
        InputError
            If a part or a field is unknown, or a value is outside of its domain.
        """
        parts = {'data': DataConfig, 'model': ModelConfig, 'training': TrainingConfig}
        _check_keys('the configuration', values, parts)
        for name, part in parts.items():
            _check_keys(
                name, values.get(name, {}), [field.name for field in dataclasses.fields(part)]
            )
        return cls(**{name: part(**values.get(name, {})) for name, part in parts.items()})


def resolve_implications(config: RunConfig) -> tuple[RunConfig, list[str]]:
    """Set what other settings imply, and say so.

    Returns
    -------
    config : RunConfig
    notes : list of str
        One line for each setting that was changed: ``bidirectional implies masked``.
    """
    data: dict[str, Any] = {}
    model: dict[str, Any] = {}
    training: dict[str, Any] = {}
    notes: list[str] = []

    def imply(part: dict, settings: Any, name: str, value: Any, cause: str) -> None:
        if getattr(settings, name) != value:
            part[name] = value
            notes.append(f'{cause} implies {name}' + ('' if value is True else f' {value}'))

    if config.model.bidirectional:  # the backward direction would start with the padding
        imply(model, config.model, 'masked', True, 'bidirectional')
    if config.training.amp:  # numbers above 65,504 overflow in float16
        imply(training, config.training, 'skip_bad_batches', True, 'amp')
    stopping = config.training.early_stopping
    if stopping != 'none':
        imply(training, config.training, 'validate', True, 'early_stopping')
        imply(training, config.training, 'keep_best', stopping, 'early_stopping')
    if (config.training.validate or stopping != 'none') and config.data.held_out == 0:
        imply(data, config.data, 'held_out', IMPLIED_HELD_OUT, 'validate')
    resolved = RunConfig(
        dataclasses.replace(config.data, **data),
        dataclasses.replace(config.model, **model),
        dataclasses.replace(config.training, **training),
    )
    return resolved, notes


# The values of fields that --preset stands for.  Options on the command line override them.
PRESETS = {
    'chapter': {},
    # The OpenGenus article: one embedding for both sides, one layer of 512 units, Keras's defaults.
    'opengenus': {
        'batch_size': 32,
        'num_steps': 16,
        'text_rules': 'opengenus',
        'min_freq': 1,
        'reverse_source': True,
        'share_vocab': True,
        'embed_size': 10,
        'num_hiddens': 512,
        'num_layers': 1,
        'share_embedding': True,
        'initializer': 'keras',
        'lr': 0.001,
        'num_epochs': 2,
        'objective': 'per-token',
        'max_norm': None,
    },
}


def _check_keys(name: str, values: Any, known: Iterable[str]) -> None:
    """Raise `InputError` unless `values` is an object that has known keys only."""
    if not isinstance(values, dict) or not set(values) <= set(known):
        keys = ', '.join(sorted(values)) if isinstance(values, dict) else type(values).__name__
        raise InputError(f'{name}: expected the fields {", ".join(sorted(known))}, got {keys}')
