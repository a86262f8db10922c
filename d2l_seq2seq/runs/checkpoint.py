"""Checkpoint folders: everything needed to use a model again, and to resume its training.

- ``config.json``: the settings of the run;
- ``src_vocab.json`` and ``tgt_vocab.json``: lists of tokens in order of id;
- ``src_subwords.model`` and ``tgt_subwords.model``: SentencePiece models, if the run uses subwords;
- ``weights.npz``: one array for each parameter;
- ``optimizer.npz`` and ``progress.json``: the training state, absent if training cannot be resumed;
- ``manifest.json``: the size and SHA-256 of each file.

Opening an untrusted folder runs no code: nothing in it is pickled, and MXNet's own loader is not
used.  Names, sizes and shapes follow from the configuration and are checked before memory is
allocated.
"""

from __future__ import annotations

import functools
import platform
from dataclasses import dataclass
from pathlib import Path
from typing import Any, BinaryIO, Callable, Mapping, Sequence

import numpy as onp

from .. import __version__
from .._mxnet import init, mx
from ..book.encoder_decoder import EncoderDecoder
from ..book.vocab import Vocab
from ..config import RunConfig
from ..data.pipeline import Vocabularies
from ..data.tokenizers import PairTokenizer, SubwordPair, Subwords, build_tokenizer
from ..engine.tracing import parameter_shapes
from ..errors import CONTROL, InputError, check_types
from ..models.factory import build_model, named_parameters, set_weights
from .atomic import write_folder, writer_of
from .layout import CONFIG_FILE, parse_config
from .npz import max_file_bytes, read_arrays, write_arrays
from .safe_files import Manifest, to_json, write_manifest

SRC_VOCAB_FILE, TGT_VOCAB_FILE = 'src_vocab.json', 'tgt_vocab.json'
SUBWORD_FILES = 'src_subwords.model', 'tgt_subwords.model'
WEIGHTS_FILE = 'weights.npz'
OPTIMIZER_FILE = 'optimizer.npz'
PROGRESS_FILE = 'progress.json'
_MAX_VOCAB_BYTES = 1 << 25
_MAX_SUBWORDS_BYTES = 1 << 25


@dataclass(frozen=True)
class Run:
    """A trained model, with its settings and vocabularies.

    Attributes
    ----------
    config : RunConfig
    src_vocab, tgt_vocab : Vocab
    model : EncoderDecoder
    subwords : SubwordPair, optional
        None unless the text is split into subwords.
    """

    config: RunConfig
    src_vocab: Vocab
    tgt_vocab: Vocab
    model: EncoderDecoder
    subwords: SubwordPair | None = None

    @property
    def vocabularies(self) -> Vocabularies:
        """The vocabularies of both sides, and the subword models."""
        return Vocabularies(self.src_vocab, self.tgt_vocab, self.subwords)

    @property
    def tokenizer(self) -> PairTokenizer:
        """The tokenizers of both sides."""
        return build_tokenizer(self.config.data, self.subwords)


@dataclass(frozen=True)
class Progress:
    """The training state, apart from the weights.

    Attributes
    ----------
    moments : dict of str to dict of str to float32 array
        The optimizer's moments: by kind, then by parameter name (see `named_parameters`).  Each
        array has the shape of its parameter.
    values : dict
        Everything else, as JSON values.
    """

    moments: dict[str, dict[str, onp.ndarray]]
    values: dict[str, Any]


def save_checkpoint(path: Path, run: Run, progress: Progress | None = None) -> None:
    """Write a checkpoint folder atomically, replacing any folder of that name.

    Parameters
    ----------
    path : Path
        The parent folder must exist.
    run : Run
    progress : Progress, optional
        Without it, training cannot be resumed from the checkpoint.

    Raises
    ------
    OSError
        If the folder cannot be written.
    FloatingPointError
        If a weight is not finite.
    InputError
        If a token of a vocabulary has control characters, which the text of a corpus has not.
    """
    weights = {
        name: parameter.data(parameter.list_ctx()[0]).asnumpy()
        for name, parameter in named_parameters(run.model).items()
    }
    for name, array in weights.items():
        if not onp.isfinite(array).all():
            raise FloatingPointError(f'{name} has values that are not finite')
    for vocab in (run.src_vocab, run.tgt_vocab):
        _check_tokens(vocab.idx_to_token)
    contents = {
        CONFIG_FILE: to_json(run.config.to_dict()),
        SRC_VOCAB_FILE: to_json(run.src_vocab.idx_to_token),
        TGT_VOCAB_FILE: to_json(run.tgt_vocab.idx_to_token),
        **{name: subwords.model for name, subwords in zip(SUBWORD_FILES, run.subwords or ())},
    }
    arrays = {WEIGHTS_FILE: weights}
    if progress is not None:
        contents[PROGRESS_FILE] = to_json(progress.values)
        arrays[OPTIMIZER_FILE] = {
            f'{kind}.{name}': array
            for kind, named in progress.moments.items()
            for name, array in named.items()
        }
    writers: dict[str, Callable[[BinaryIO], object]] = {
        **{name: writer_of(data) for name, data in contents.items()},
        **{name: functools.partial(write_arrays, arrays=named) for name, named in arrays.items()},
    }
    write_folder(path, writers, lambda folder: write_manifest(folder, _software_versions()))


def load_checkpoint(path: Path, ctx: mx.Context) -> Run:
    """Read the model of a checkpoint folder, and copy it to a device.

    Parameters
    ----------
    path : Path
    ctx : mxnet.Context

    Raises
    ------
    InputError
        If a file is missing or damaged, or does not fit the other files.
    """
    manifest = Manifest(path)
    config = parse_config(path, manifest.read_json(CONFIG_FILE))
    src_vocab, tgt_vocab, subwords = _read_vocabularies(manifest, path, config)
    model = build_model(config.model, len(src_vocab), len(tgt_vocab))
    shapes_by_gluon_name = parameter_shapes(model)  # allocates nothing
    parameters = named_parameters(model)
    shapes = {name: shapes_by_gluon_name[parameter.name] for name, parameter in parameters.items()}
    weights = _read_arrays(manifest, WEIGHTS_FILE, shapes)
    for name, parameter in parameters.items():
        parameter.shape = weights[name].shape
    model.initialize(init.Zero(), ctx=ctx)
    set_weights(model, weights)
    return Run(config, src_vocab, tgt_vocab, model, subwords)


def load_vocabularies(path: Path) -> Vocabularies:
    """Read the vocabularies of a checkpoint folder.

    Raises
    ------
    InputError
        If a file is missing or damaged.
    """
    manifest = Manifest(path)
    config = parse_config(path, manifest.read_json(CONFIG_FILE))
    return _read_vocabularies(manifest, path, config)


def load_weights(path: Path, model: EncoderDecoder) -> dict[str, onp.ndarray]:
    """Read the weights of a checkpoint of the same model.

    Parameters
    ----------
    path : Path
    model : EncoderDecoder
        An initialized model, which gives the names and shapes.  It is not changed.

    Returns
    -------
    dict of str to float32 array
        By parameter name (see `named_parameters`).

    Raises
    ------
    InputError
        If the weights are damaged, or belong to another model.
    """
    return _read_arrays(Manifest(path), WEIGHTS_FILE, _parameter_shapes(model))


def load_progress(path: Path, model: EncoderDecoder, kinds: tuple[str, ...]) -> Progress:
    """Read the training state of a checkpoint.

    Parameters
    ----------
    path : Path
    model : EncoderDecoder
        The initialized model that was loaded from the same checkpoint.
    kinds : tuple of str
        The kinds of moments, each of which has one array for each parameter.

    Raises
    ------
    InputError
        If the checkpoint has no training state, or is damaged.
    """
    manifest = _training_manifest(path)
    shapes = _parameter_shapes(model)
    moment_shapes = {f'{kind}.{name}': shape for kind in kinds for name, shape in shapes.items()}
    arrays = _read_arrays(manifest, OPTIMIZER_FILE, moment_shapes)
    moments = {kind: {name: arrays[f'{kind}.{name}'] for name in shapes} for kind in kinds}
    return Progress(moments, _read_progress_values(manifest, path))


def load_progress_values(path: Path) -> dict[str, Any]:
    """Read the `values` of a checkpoint's `Progress`, without the moments.

    The types of ``epoch``, ``hooks`` and ``ended`` are checked, because they are read even where
    training is not resumed.

    Raises
    ------
    InputError
        If the checkpoint has no training state, or is damaged.
    """
    return _read_progress_values(_training_manifest(path), path)


def average_checkpoints(paths: Sequence[Path], ctx: mx.Context) -> Run:
    """Average the weights of several checkpoints of the same model.

    Parameters
    ----------
    paths : sequence of Path
    ctx : mxnet.Context
        The device for the result.

    Returns
    -------
    Run
        The run of the last checkpoint, with the mean weights.  The sums are float64.

    Raises
    ------
    InputError
        If a checkpoint is damaged, or has another model.
    """
    run = load_checkpoint(paths[-1], ctx)
    sums = {name: onp.zeros(shape) for name, shape in _parameter_shapes(run.model).items()}
    for path in paths:
        for name, array in load_weights(path, run.model).items():
            sums[name] += array
    means = {name: (total / len(paths)).astype('float32') for name, total in sums.items()}
    set_weights(run.model, means)
    return run


def _software_versions() -> dict[str, str]:
    """Return the versions that the numbers may depend on."""
    return {
        'd2l_seq2seq': __version__,
        'mxnet': mx.__version__,
        'numpy': onp.__version__,
        'python': platform.python_version(),
        'machine': platform.machine(),
    }


def _parameter_shapes(model: EncoderDecoder) -> dict[str, tuple[int, ...]]:
    """Return the shapes of an initialized model's parameters."""
    return {name: parameter.shape for name, parameter in named_parameters(model).items()}


def _read_vocabularies(manifest: Manifest, folder: Path, config: RunConfig) -> Vocabularies:
    subwords = None
    if config.data.text_rules == 'subwords':
        subwords = SubwordPair(*(_read_subwords(manifest, folder, name) for name in SUBWORD_FILES))
    src, tgt = (_read_vocab(manifest, folder, name) for name in (SRC_VOCAB_FILE, TGT_VOCAB_FILE))
    return Vocabularies(src, tgt, subwords)


def _read_arrays(
    manifest: Manifest, name: str, shapes: Mapping[str, tuple[int, ...]]
) -> dict[str, onp.ndarray]:
    with manifest.open(name, max_file_bytes(shapes)) as (file, size):
        return read_arrays(file, size, shapes)


def _read_vocab(manifest: Manifest, folder: Path, name: str) -> Vocab:
    tokens = manifest.read_json(name, _MAX_VOCAB_BYTES)
    if not isinstance(tokens, list) or not all(isinstance(token, str) for token in tokens):
        raise InputError(f'{folder / name}: expected a list of tokens')
    try:
        _check_tokens(tokens)
        return Vocab.from_tokens(tokens)
    except ValueError as error:
        raise InputError(f'{folder / name}: {error}') from error


def _check_tokens(tokens: Sequence[str]) -> None:
    """Raise `InputError` if a token would break a line of output, or has no encoding."""
    for token_id, token in enumerate(tokens):
        if CONTROL.search(token):
            raise InputError(
                f'expected tokens without control characters, got {ascii(token[:40])} as token '
                f'{token_id}'
            )


def _read_subwords(manifest: Manifest, folder: Path, name: str) -> Subwords:
    model = manifest.read(name, _MAX_SUBWORDS_BYTES)
    try:
        return Subwords(model)
    except InputError as error:
        raise error.within(folder / name) from error


def _training_manifest(path: Path) -> Manifest:
    """Return the manifest of a checkpoint from which training can be resumed."""
    manifest = Manifest(path)
    if OPTIMIZER_FILE not in manifest:
        raise InputError(
            f'{path}: expected a checkpoint with training state, got one without it, such as '
            'average writes',
            'It can be used for inference, but training cannot be resumed from it.',
        )
    return manifest


def _read_progress_values(manifest: Manifest, path: Path) -> dict[str, Any]:
    values = manifest.read_json(PROGRESS_FILE)
    try:
        check_types(values, {'epoch': int, 'hooks': dict, 'ended': (str, type(None))})
    except ValueError as error:
        raise InputError(
            f'{path / PROGRESS_FILE}: expected training state, got something else ({error})'
        ) from error
    return values
