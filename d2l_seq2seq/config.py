"""The settings of a run and of a search, as frozen dataclasses.

Each default is defined here only, and is the book's (d2l 0.14, section 9.7.4).  The options of the
commands are generated from the fields.
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
    LENGTH,
    MAX_LENGTH,
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

MAX_HYPOTHESES = 1 << 16  # of all sentences that are translated at once
BLEU_TOKENIZERS = ('auto', '13a', 'intl', 'zh', 'char', 'ja-mecab', 'ko-mecab', 'none')
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
        1000,
        optional(COUNT, 'all'),
        'number of sentence pairs to use, or all; one more is used, as in the book',
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
        optional(COUNT, 'none'),
        'put sentences into the same batch only if their lengths, rounded up to multiples of this '
        'number, are equal; none puts sentences of any length together, as the book does',
    )
    max_tokens: int | None = field(
        None,
        optional(COUNT, 'none'),
        'maximum number of tokens per batch, instead of batch_size; needs bucket_width',
    )
    num_steps: int = field(10, STEPS, 'number of tokens to which each sentence is cut or padded')
    text_rules: str = field(
        'chapter',
        one_of('chapter', 'words', 'subwords', 'characters', 'opengenus'),
        "tokenizer: chapter (the book's rules), words (all punctuation split off), subwords "
        '(SentencePiece), characters or opengenus',
    )
    rules_version: int = field(
        2, whole(1, 2), 'version of text_rules; 1 splits words as version 0.2 of the package did'
    )
    num_subwords: int = field(8000, whole(30, 1 << 20), 'maximum size of each subword vocabulary')
    min_freq: int = field(
        3, COUNT, 'minimum number of occurrences of a token; rarer tokens become <unk>'
    )
    reverse_source: bool = field(False, FLAG, 'reverse the tokens of each source sentence')
    share_vocab: bool = field(False, FLAG, 'use one vocabulary for both sides')

    def __post_init__(self):
        super().__post_init__()
        if self.max_tokens is not None and self.bucket_width is None:
            raise InputError(
                'max_tokens: expected bucket_width as well, because max_tokens needs batches of '
                'sentences of similar length',
                'Add --bucket-width 4.',
            )


@dataclass(frozen=True)
class ModelConfig(Checked):
    """The kinds and the sizes of the encoder and the decoder."""

    embed_size: int = field(32, SIZE, 'size of the embedding of a token')
    num_hiddens: int = field(32, SIZE, 'number of hidden units per recurrent layer')
    num_layers: int = field(2, LAYERS, 'number of recurrent layers')
    dropout: float = field(
        0.0, PROBABILITY, 'dropout probability between recurrent layers, and of attention weights'
    )
    cell: str = field(
        'lstm', one_of('rnn', 'gru', 'lstm'), 'kind of recurrent layer: rnn, gru or lstm'
    )
    masked: bool = field(False, FLAG, 'mask padding in the encoder (the book does not)')
    bidirectional: bool = field(
        False, FLAG, 'read source sentences in both directions; implies masked'
    )
    context_every_step: bool = field(
        False, FLAG, 'give the decoder the context at every step, Eq. (9.7.4)'
    )
    context: str = field(
        'last',
        one_of('last', 'mean', 'max'),
        'context that the decoder reads at every step, q in Eq. (9.7.2): the last hidden state of '
        'the encoder, or the mean or max of all; mean and max imply context_every_step',
    )
    attention: str = field(
        'none',
        one_of('none', 'additive', 'dot', 'general'),
        'kind of attention: none, additive (Bahdanau), dot or general (Luong)',
    )
    share_embedding: bool = field(
        False, FLAG, 'use one embedding for both sides; needs share_vocab'
    )
    tied: bool = field(
        False,
        FLAG,
        'tie the output layer to the target embedding, with a projection before it if embed_size '
        'and num_hiddens differ',
    )
    initializer: str = field(
        'xavier',
        one_of('xavier', 'keras', 'normal-embeddings'),
        'initial weights: xavier, keras or normal-embeddings (xavier, with embeddings of variance '
        '1 / embed_size, as tied outputs need)',
    )
    input_feeding: bool = field(
        False,
        FLAG,
        'give the decoder the attentional vector of the step before, which dot and general '
        'attention otherwise do not; slower',
    )
    embedding_dropout: float = field(
        0.0, PROBABILITY, 'dropout probability of the embeddings, on both sides'
    )
    output_dropout: float = field(
        0.0, PROBABILITY, "dropout probability of the output layer's input"
    )
    encoder_hiddens: int | None = field(
        None,
        optional(SIZE, 'same'),
        'number of hidden units per recurrent layer of the encoder, in each direction; same is '
        'num_hiddens',
    )
    encoder_layers: int | None = field(
        None,
        optional(LAYERS, 'same'),
        'number of recurrent layers of the encoder; same is num_layers',
    )

    @property
    def encoder_sizes(self) -> tuple[int, int]:
        """The hidden units and the layers of the encoder."""
        return self.encoder_hiddens or self.num_hiddens, self.encoder_layers or self.num_layers

    def __post_init__(self):
        super().__post_init__()
        if self.attention == 'dot' and self.bidirectional:
            raise InputError(
                'attention: dot cannot be combined with a bidirectional encoder, whose outputs '
                'are twice as large as a query',
                'Use --attention general.',
            )
        if self.input_feeding and self.attention not in ('dot', 'general'):
            raise InputError(
                f'input_feeding: expected dot or general attention, got {self.attention}',
                'Add --attention general, or leave out --input-feeding.',
            )
        if self.attention == 'dot' and self.encoder_hiddens not in (None, self.num_hiddens):
            raise InputError(
                f'encoder_hiddens: dot attention needs num_hiddens ({self.num_hiddens}), got '
                f'{self.encoder_hiddens}',
                'Use --attention general, or leave out --encoder-hiddens.',
            )
        if self.attention != 'none' and self.context_every_step:
            raise InputError(
                f'context_every_step: cannot be combined with {self.attention} attention, which '
                'computes its own context',
                'Leave out --context-every-step or --attention.',
            )
        if self.attention != 'none' and self.context != 'last':
            raise InputError(
                f'context: {self.context} cannot be combined with {self.attention} attention, '
                'which computes its own context',
                'Leave out --context or --attention.',
            )


@dataclass(frozen=True)
class TrainingConfig(Checked):
    """The optimization, the learning-rate schedule, the validation and the checkpoints."""

    lr: float = field(0.005, POSITIVE, 'learning rate of Adam')
    lr_schedule: str = field(
        'constant',
        one_of('constant', 'inverse-sqrt', 'linear', 'cosine', 'plateau'),
        'learning-rate schedule: constant, inverse-sqrt (decay with the inverse square root of the '
        'number of updates), linear or cosine (decay to 0 at the end of num_epochs or '
        'max_minutes), or plateau (halve when the loss stops falling); all but constant and '
        'plateau start with a linear warm-up',
    )
    warmup_updates: int = field(400, COUNT, 'number of warm-up updates of lr_schedule')
    halve_after: int = field(
        3, COUNT, 'number of evaluations without improvement before plateau halves lr'
    )
    weight_decay: float = field(
        0.0, PROBABILITY, 'decoupled weight decay, as in AdamW; biases are not decayed'
    )
    label_smoothing: float = field(
        0.0, PROBABILITY, 'share of the target probability to spread evenly over the vocabulary'
    )
    batches_per_update: int = field(
        1, whole(1, 10_000), 'number of batches whose gradients are added up for each update'
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
    seed: int = field(0, whole(0, 2**31 - 1), 'seed of initialization, shuffling and dropout')
    device: str = field(
        'auto',
        DEVICES,
        'device to run on: auto, cpu, cpu(N), gpu or gpu(N); train accepts several, separated by '
        'commas, which share each batch',
        may_change=True,
    )
    kvstore: str = field(
        'none',
        one_of('none', 'dist_sync'),
        'none, or dist_sync to share each batch among the workers started by python -m '
        'd2l_seq2seq.launch',
        may_change=True,
    )
    objective: str = field(
        'book',
        one_of('book', 'per-token'),
        "normalization of the loss: book (the book's) or per-token (the mean over labels)",
    )
    max_norm: float | None = field(
        1.0, POSITIVE_OR_NONE, 'maximum norm of the gradient, which is clipped to it, or none'
    )
    teacher_forcing: float = field(
        1.0,
        FRACTION,
        'probability that the decoder reads the target token in training, instead of the token '
        'that it predicted',
    )
    validate: bool = field(
        False,
        FLAG,
        'evaluate the model on held-out sentences during training; sets held_out to 0.05 if it is '
        '0',
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
    bleu_tokenize: str = field(
        'auto',
        one_of(*BLEU_TOKENIZERS),
        "sacreBLEU's tokenizer; auto is zh or char for languages without spaces between words, "
        'and 13a for the others',
    )
    max_minutes: float | None = field(
        None,
        POSITIVE_OR_NONE,
        'stop before an epoch that would exceed this time, or none',
        may_change=True,
    )
    save_every: int = field(10, COUNT, 'number of epochs between checkpoints', may_change=True)
    save_minutes: float = field(
        10.0, POSITIVE, 'number of minutes between checkpoints within an epoch', may_change=True
    )
    keep: int = field(3, COUNT, 'number of latest checkpoints to keep', may_change=True)
    keep_best: str = field(
        'nll',
        one_of('nll', 'bleu'),
        'metric that selects the best validated checkpoint, which is also kept: nll or bleu; '
        'overridden by early_stopping',
    )
    source_run: str | None = field(
        None,
        optional(WORD, 'none'),
        'run to train further: take its settings, vocabularies and weights, but a new optimizer '
        'and learning-rate schedule',
        option='from',
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
    min_length: int = field(0, whole(0, MAX_LENGTH), 'minimum number of tokens in a translation')
    max_length: int | None = field(
        None,
        optional(LENGTH, 'auto'),
        'maximum number of tokens in a translation; auto is the num_steps of training, or about '
        'twice the source length for longer sentences',
    )
    no_repeat_ngram: int = field(
        0, whole(0, MAX_LENGTH), 'forbid repeated n-grams of this size; 0 allows repetition'
    )
    sample: bool = field(False, FLAG, 'sample tokens instead of searching for the most likely ones')
    temperature: float = field(
        1.0, TEMPERATURE, 'temperature of sampling; values below 1 favor likely tokens'
    )
    top_k: int | None = field(
        None, optional(COUNT, 'all'), 'number of most likely tokens to sample from, or all'
    )
    seed: int = field(0, whole(0, 2**31 - 1), 'seed of sampling')
    replace_unk: bool = field(
        False,
        FLAG,
        'replace <unk> with the source token that has the largest attention weight; needs a model '
        'with attention',
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
                f'n_best: expected at most beam_size ({self.beam_size}), got {self.n_best}',
                'Increase --beam-size, or add --sample.',
            )
        if self.beam_size * self.batch_size > MAX_HYPOTHESES:
            raise InputError(
                f'beam_size: expected at most {MAX_HYPOTHESES:,} hypotheses at once, got '
                f'{self.beam_size:,} for each of {self.batch_size:,} sentences',
                f'Decrease --beam-size, or pass --batch-size {MAX_HYPOTHESES // self.beam_size}.',
            )
        if self.max_length is not None and self.min_length >= self.max_length:
            raise InputError(
                f'min_length: expected less than max_length ({self.max_length}), got '
                f'{self.min_length}',
                'Decrease --min-length, or increase --max-length.',
            )


# The settings of the data and the model that weights and vocabularies do not depend on.
FREE_OF_WEIGHTS = (
    'corpus',
    'num_examples',
    'held_out',
    'batch_size',
    'bucket_width',
    'max_tokens',
    'num_steps',
    'embedding_dropout',
    'output_dropout',
)


@dataclass(frozen=True)
class RunConfig:
    """All settings of a run, as they are written to its ``config.json``.

    Parameters
    ----------
    data : DataConfig
    model : ModelConfig
    training : TrainingConfig
    """

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
        """Return this configuration with new values of fields that may change when resuming.

        Parameters
        ----------
        values : dict of str to Any
            Values by field name.  Other names are ignored.

        Raises
        ------
        InputError
            If another field would change.
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

    def trained_further(self, values: dict[str, Any]) -> RunConfig:
        """Return the configuration of a run that starts with the weights of this one.

        Where and for how long the training ran is not taken over.

        Parameters
        ----------
        values : dict of str to Any
            Values by field name, which replace those of this configuration.  Other names are
            ignored.

        Raises
        ------
        InputError
            If the weights or the vocabularies would not fit.
        """
        conflicts = [
            f'{name} {values[name]} (the run has {value})'
            for part in (self.data, self.model)
            for name, value in vars(part).items()
            if name not in FREE_OF_WEIGHTS and values.get(name, value) != value
        ]
        if conflicts:
            raise InputError(
                f"expected the settings of the run's weights, got {', '.join(conflicts)[:300]}",
                'Leave these options out, or train from the beginning, without --from.',
            )
        restarted = ('device', 'kvstore', 'max_minutes')
        changes = {**{name: getattr(TrainingConfig, name) for name in restarted}, **values}
        parts = {}
        for part_name, part in vars(self).items():
            names = vars(part).keys()
            parts[part_name] = dataclasses.replace(
                part, **{name: value for name, value in changes.items() if name in names}
            )
        return RunConfig(**parts)

    def shared_by_workers(self) -> RunConfig:
        """Return the settings on which all workers must agree, without the corpus and the device.

        These two are set to ``auto``.
        """
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
        """Return the configuration from the result of `to_dict`, of this or an earlier version.

        A field that the earlier version did not have gets its default, which is how that version
        behaved.

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
        # Version 0.2 did not name the version of the text rules with which a run was trained.
        data = {'rules_version': 1, **values.get('data', {})}
        values = {**values, 'data': data}
        return cls(**{name: part(**values.get(name, {})) for name, part in parts.items()})


def resolve_implications(config: RunConfig) -> tuple[RunConfig, list[str]]:
    """Change the settings that follow from other settings.

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
    context = config.model.context
    if context != 'last':
        imply(model, config.model, 'context_every_step', True, f'context {context}')
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


# The field values that each --preset sets.  Options on the command line override them.
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
    """Raise `InputError` unless `values` is a JSON object with known keys only."""
    if not isinstance(values, dict) or not set(values) <= set(known):
        keys = ', '.join(sorted(values)) if isinstance(values, dict) else type(values).__name__
        raise InputError(f'{name}: expected the fields {", ".join(sorted(known))}, got {keys}')
