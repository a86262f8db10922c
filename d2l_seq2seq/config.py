"""What a run is made of: frozen dataclasses for data, model and training.

Every default stands here, once, and is the book's (d2l 0.14, section 9.7.4).  A field knows its
help text and which values it accepts, so the commands make their options from the fields, and the
same check guards the command line, a configuration file and a call from Python.
"""

from __future__ import annotations

import dataclasses
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from .errors import InputError
from .fields import (
    COUNT,
    DEVICES,
    EXPONENT,
    FLAG,
    FRACTION,
    LAYERS,
    POSITIVE,
    POSITIVE_OR_NONE,
    PROBABILITY,
    SHARE,
    SIZE,
    STEPS,
    TEMPERATURE,
    WORD,
    Checked,
    count_or,
    field,
    one_of,
    whole,
)
from .runs.layout import CONFIG_FILE, checkpoints_of, first_valid
from .runs.manifest import read_json


@dataclass(frozen=True)
class DataConfig(Checked):
    """Which sentence pairs, and how they become batches."""

    corpus: str = field(
        'auto',
        WORD,
        'auto, fra-eng, bundled, FILE.tsv, two files SRC,TGT, or a '
        'made-up task: copy, reverse, numbers, pseudo',
        may_change=True,
    )
    num_examples: int | None = field(
        1000,
        count_or('all'),
        'sentence pairs to train on, or all; like the book, one more is taken',
    )
    held_out: float = field(
        0.0,
        SHARE,
        'share of the source sentences kept back for validation, and as many again for testing',
    )
    batch_size: int = field(64, COUNT, 'sentence pairs in a batch')
    bucket_width: int | None = field(
        None,
        count_or('none'),
        'batches of sentences whose lengths, rounded up to a multiple of '
        'it, agree; none: in any order, as in the book',
    )
    max_tokens: int | None = field(
        None, count_or('none'), 'tokens in a batch, in place of batch_size; needs bucket_width'
    )
    num_steps: int = field(10, STEPS, 'tokens a sentence is cut or padded to')
    text_rules: str = field(
        'chapter',
        one_of('chapter', 'words', 'subwords', 'opengenus'),
        "what turns text into tokens: the chapter's rules, words with all "
        "punctuation split off, SentencePiece's subwords, or opengenus",
    )
    num_subwords: int = field(8000, whole(30, 1 << 20), 'subwords of each vocabulary, at most')
    min_freq: int = field(3, COUNT, 'words seen less often become <unk>')
    reverse_source: bool = field(False, FLAG, 'feed source sentences last token first')
    share_vocab: bool = field(False, FLAG, 'one vocabulary for both sides')

    def __post_init__(self):
        super().__post_init__()
        if self.max_tokens is not None and self.bucket_width is None:
            raise InputError(
                'max_tokens: expected a bucket_width with it (4 is a good one), since '
                'a batch of so many tokens has sentences of similar length'
            )


@dataclass(frozen=True)
class ModelConfig(Checked):
    """The kind and the sizes of encoder and decoder."""

    embed_size: int = field(32, SIZE, 'size of a word vector')
    num_hiddens: int = field(32, SIZE, 'hidden units of a recurrent layer')
    num_layers: int = field(2, LAYERS, 'recurrent layers')
    dropout: float = field(0.0, PROBABILITY, 'dropout between recurrent layers')
    cell: str = field('lstm', one_of('rnn', 'gru', 'lstm'), 'rnn, gru or lstm')
    masked: bool = field(False, FLAG, "an encoder that padding does not reach, unlike the book's")
    bidirectional: bool = field(False, FLAG, 'an encoder in both directions, which is masked')
    context_every_step: bool = field(
        False, FLAG, 'give the decoder the context at every step, Eq. (9.7.4)'
    )
    attention: str = field(
        'none',
        one_of('none', 'additive', 'dot', 'general'),
        'none, additive (Bahdanau), dot or general (Luong)',
    )
    share_embedding: bool = field(False, FLAG, 'one embedding for both sides; needs share_vocab')
    tied: bool = field(False, FLAG, "the dense layer's weight is the target embedding's")
    initializer: str = field('xavier', one_of('xavier', 'keras'), 'xavier or keras')

    def __post_init__(self):
        super().__post_init__()
        if self.bidirectional:  # reading backwards, it would begin with the padding
            object.__setattr__(self, 'masked', True)
        if self.tied and self.embed_size != self.num_hiddens:
            raise InputError(
                f'tied: expected embed_size equal to num_hiddens, got '
                f'{self.embed_size} and {self.num_hiddens}'
            )
        if self.attention == 'dot' and self.bidirectional:
            raise InputError(
                'attention: expected another kind than dot with a bidirectional '
                'encoder, whose outputs are twice as large as a query; try general'
            )
        if self.attention != 'none' and self.context_every_step:
            raise InputError(
                'context_every_step: expected no attention beside it, got '
                f'{self.attention}, which brings a context of its own'
            )


@dataclass(frozen=True)
class TrainingConfig(Checked):
    """How the model is trained."""

    lr: float = field(0.005, POSITIVE, 'learning rate of Adam')
    lr_schedule: str = field(
        'constant',
        one_of('constant', 'inverse-sqrt', 'plateau'),
        'constant, inverse-sqrt (a warm-up, then down with the square root of '
        "the updates) or plateau (halved when the loss doesn't get smaller)",
    )
    warmup_updates: int = field(400, COUNT, 'updates in which inverse-sqrt comes up to lr')
    halve_after: int = field(
        3,
        COUNT,
        'losses that are no smaller, of validation or else of an '
        'epoch, after which plateau halves lr',
    )
    weight_decay: float = field(
        0.0,
        PROBABILITY,
        'share of lr that is taken off each weight at an update, as in AdamW; biases stay',
    )
    label_smoothing: float = field(
        0.0, PROBABILITY, 'share of the target that is spread evenly over the vocabulary'
    )
    batches_per_update: int = field(
        1, whole(1, 10_000), 'batches whose gradients are added up for an update'
    )
    skip_bad_batches: bool = field(
        False, FLAG, 'leave out batches whose loss or gradient is not finite, instead of stopping'
    )
    amp: bool = field(
        False,
        FLAG,
        'mixed precision: matrix products in float16 on a GPU, in '
        'bfloat16 on a CPU; leaves out bad batches',
    )
    num_epochs: int = field(300, COUNT, 'passes over the training pairs', may_change=True)
    seed: int = field(0, whole(0, 2**31 - 1), 'seed of initialization and shuffling')
    device: str = field(
        'auto',
        DEVICES,
        'auto, cpu, cpu(N), gpu or gpu(N), or several with commas between, which share each batch',
        may_change=True,
    )
    kvstore: str = field(
        'none',
        one_of('none', 'dist_sync'),
        'none, or dist_sync: the workers that python -m d2l_seq2seq.launch starts share each batch',
        may_change=True,
    )
    objective: str = field(
        'book', one_of('book', 'per-token'), "book or per-token: what a label's loss is divided by"
    )
    max_norm: float | None = field(
        1.0, POSITIVE_OR_NONE, 'norm that the gradient is clipped to, or none'
    )
    teacher_forcing: float = field(
        1.0,
        FRACTION,
        "how often the decoder reads the target's token in training instead of its own",
    )
    validate: bool = field(
        False,
        FLAG,
        'look at the sentences kept back for validation, a twentieth where held_out says nothing',
    )
    validate_every: int = field(10, COUNT, 'epochs from one validation to the next')
    early_stopping: str = field(
        'none',
        one_of('none', 'nll', 'bleu'),
        'none, nll or bleu: what has to get better in validation for the training to go on',
    )
    patience: int = field(5, COUNT, 'validations without a better one that end the training')
    max_minutes: float | None = field(
        None,
        POSITIVE_OR_NONE,
        'train for so many minutes at most, in whole epochs, or none',
        may_change=True,
    )
    save_every: int = field(10, COUNT, 'epochs from one checkpoint to the next', may_change=True)
    save_minutes: float = field(
        10.0, POSITIVE, 'minutes after which there is a checkpoint within an epoch', may_change=True
    )
    keep: int = field(3, COUNT, 'checkpoints that are kept, the latest ones', may_change=True)
    keep_best: str = field(
        'nll',
        one_of('nll', 'bleu'),
        'nll or bleu: the best checkpoint in '
        'validation by it is kept too; early_stopping has its own say',
    )
    tensorboard: bool = field(False, FLAG, 'write files for TensorBoard too', may_change=True)

    def __post_init__(self):
        super().__post_init__()
        if self.amp:  # numbers above 65,504 are infinite in float16
            object.__setattr__(self, 'skip_bad_batches', True)
        if self.early_stopping != 'none':
            object.__setattr__(self, 'validate', True)
            object.__setattr__(self, 'keep_best', self.early_stopping)


@dataclass(frozen=True)
class SearchConfig(Checked):
    """How translations are searched for."""

    beam_size: int = field(1, whole(1, 500), 'hypotheses that are followed at once; 1 is greedy')
    n_best: int = field(1, whole(1, 500), 'translations of each sentence')
    length_penalty: str = field(
        'book',
        one_of('book', 'gnmt', 'none'),
        'book, gnmt or none: what makes hypotheses of different lengths comparable',
    )
    alpha: float | None = field(
        None, EXPONENT, "exponent of the length penalty; auto: 0.75 for the book's, 0.6 for gnmt"
    )
    min_length: int = field(0, whole(0), 'tokens of a translation, at least')
    max_length: int | None = field(
        None,
        count_or('auto'),
        'tokens of a translation, at most; auto: as many as in training, '
        'about twice as many as the source has if that is longer than any in training',
    )
    no_repeat_ngram: int = field(0, whole(0), 'no sequence of so many tokens comes twice; 0: any')
    sample: bool = field(False, FLAG, 'draw tokens instead of taking the likeliest')
    temperature: float = field(1.0, TEMPERATURE, 'of sampling: below 1, the likely gets likelier')
    top_k: int | None = field(None, count_or('all'), 'draw from so many likeliest tokens')
    seed: int = field(0, whole(0, 2**31 - 1), 'seed of sampling')
    replace_unk: bool = field(
        False,
        FLAG,
        'put the source word that was looked at most in the place of <unk>; needs attention',
    )
    batch_size: int = field(64, whole(1, 4096), 'sentences that are translated at once')

    def __post_init__(self):
        super().__post_init__()
        if self.sample and self.beam_size > 1:
            raise InputError(f'sample: expected a beam_size of 1 with it, got {self.beam_size}')
        if not self.sample and self.n_best > self.beam_size:
            raise InputError(
                f'n_best: expected beam_size at most, which is {self.beam_size}, got {self.n_best}'
            )
        if self.max_length is not None and self.min_length >= self.max_length:
            raise InputError(
                f'min_length: expected less than max_length, which is '
                f'{self.max_length}, got {self.min_length}'
            )


@dataclass(frozen=True)
class RunConfig:
    """All of a run's settings, as they stand in its ``config.json``."""

    data: DataConfig = DataConfig()
    model: ModelConfig = ModelConfig()
    training: TrainingConfig = TrainingConfig()

    def __post_init__(self):
        if self.model.share_embedding and not self.data.share_vocab:
            raise InputError(
                'share_embedding: expected share_vocab with it, since one embedding '
                'needs one vocabulary'
            )
        if self.training.validate and self.data.held_out == 0:
            object.__setattr__(self, 'data', dataclasses.replace(self.data, held_out=0.05))

    def updated(self, values: dict[str, Any]) -> RunConfig:
        """The configuration of the same run with other values of fields that may change.

        Raises
        ------
        InputError
            If another field would change; names that are no field's are passed over.
        """
        parts, unlike = {}, []
        for name, part in vars(self).items():
            own = {field.name: field for field in dataclasses.fields(part)}
            changes = {
                key: value
                for key, value in values.items()
                if key in own and value != getattr(part, key)
            }
            unlike += [
                f'{key} {value} (the run: {getattr(part, key)})'
                for key, value in changes.items()
                if not own[key].metadata['may_change']
            ]
            if not unlike:
                parts[name] = dataclasses.replace(part, **changes)
        if unlike:
            raise InputError(
                f"expected the run's own settings, got {', '.join(unlike)[:300]}; "
                'leave them out, or start a new run with --out'
            )
        return RunConfig(**parts)

    def for_all_workers(self) -> RunConfig:
        """What workers have to agree in: not where each finds the corpus, nor where it computes."""
        return dataclasses.replace(
            self,
            data=dataclasses.replace(self.data, corpus='auto'),
            training=dataclasses.replace(self.training, device='auto'),
        )

    def to_dict(self) -> dict:
        """A JSON object with one object for each part."""
        return dataclasses.asdict(self)

    @classmethod
    def of_run(cls, folder: Path) -> RunConfig:
        """The configuration in a run's folder, or the one of a checkpoint where that is damaged.

        Raises
        ------
        InputError
            If it isn't there, or there is none that can be read.
        """
        if not (folder / CONFIG_FILE).is_file():
            raise InputError(
                f'{folder}: expected the folder of a trained run, but it has no '
                f'{CONFIG_FILE}; python -m d2l_seq2seq.train makes one'
            )
        return first_valid([folder, *reversed(checkpoints_of(folder))], cls._read)

    @classmethod
    def _read(cls, folder: Path) -> RunConfig:
        path = folder / CONFIG_FILE
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
            _check_keys(
                name, values.get(name, {}), [field.name for field in dataclasses.fields(part)]
            )
        return cls(**{name: part(**values.get(name, {})) for name, part in parts.items()})


# What --preset stands for: values of fields, which options on the command line override.
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


def _check_keys(name: str, values: Any, known) -> None:
    """Raise `InputError` unless `values` is an object with known keys alone."""
    if not isinstance(values, dict) or not set(values) <= set(known):
        found = ', '.join(sorted(values)) if isinstance(values, dict) else type(values).__name__
        raise InputError(f'{name}: expected the fields {", ".join(sorted(known))}, got {found}')
