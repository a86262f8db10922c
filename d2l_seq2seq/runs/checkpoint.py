"""A model's folder: what is needed to use a model again, and what its training left beside it.

``config.json``, ``src_vocab.json`` and ``tgt_vocab.json`` (lists of tokens in order of id), the
subword models where there are any, and ``weights.npz`` (an array for each parameter).  A checkpoint
that can be gone on from has ``optimizer.npz`` and ``progress.json`` as well.  ``manifest.json`` has
the SHA-256 of each.

Nothing in it is pickled and MXNet's own loader is not used, so reading a stranger's folder runs no
code; names, sizes and shapes follow from the configuration, and are compared before anything is
allocated.
"""

from __future__ import annotations

import functools
import platform
from dataclasses import dataclass
from pathlib import Path
from typing import Any, Sequence

import numpy as onp

from .. import __version__
from .._mxnet import init, mx
from ..book.encoder_decoder import EncoderDecoder
from ..book.vocab import Vocab
from ..config import RunConfig
from ..data.tokenizers import PairTokenizer, SubwordPair, Subwords, build_tokenizer
from ..engine.graphs import parameter_shapes
from ..errors import InputError, check_types
from ..models.factory import build_model, named_parameters, set_weights
from .arrays import read_arrays, write_arrays
from .atomic import write_folder
from .layout import CONFIG_FILE
from .manifest import Manifest, to_json, write_manifest

_SRC_VOCAB, _TGT_VOCAB, _WEIGHTS = 'src_vocab.json', 'tgt_vocab.json', 'weights.npz'
SUBWORDS = 'src_subwords.model', 'tgt_subwords.model'
_OPTIMIZER, _PROGRESS = 'optimizer.npz', 'progress.json'
_MAX_VOCAB = 1 << 25  # bytes
_MAX_SUBWORDS = 1 << 25


@dataclass(frozen=True)
class Run:
    """A trained model with what it was trained on."""

    config: RunConfig
    src_vocab: Vocab
    tgt_vocab: Vocab
    model: EncoderDecoder
    subwords: SubwordPair | None = None

    @property
    def tokenizer(self) -> PairTokenizer:
        """How it reads and writes text."""
        return build_tokenizer(self.config.data, self.subwords)


@dataclass(frozen=True)
class Progress:
    """What a training needs, next to the model, to go on."""

    moments: dict[str, dict[str, onp.ndarray]]  # by kind, then as `named_parameters` has them
    values: dict[str, Any]  # as JSON has them


def save_checkpoint(path: Path, run: Run, progress: Progress | None = None) -> None:
    """Write a model's folder, whole or not at all; a folder that has the name is replaced.

    Raises
    ------
    OSError
        If it can't be written.
    FloatingPointError
        If a weight is not finite.
    """
    weights = {
        name: parameter.data(parameter.list_ctx()[0]).asnumpy()
        for name, parameter in named_parameters(run.model).items()
    }
    for name, array in weights.items():
        if not onp.isfinite(array).all():
            raise FloatingPointError(f'{name} is no longer made of finite numbers')
    contents = {
        CONFIG_FILE: to_json(run.config.to_dict()),
        _SRC_VOCAB: to_json(run.src_vocab.idx_to_token),
        _TGT_VOCAB: to_json(run.tgt_vocab.idx_to_token),
        **{name: side.model for name, side in zip(SUBWORDS, run.subwords or ())},
    }
    arrays = {_WEIGHTS: weights}
    if progress is not None:
        contents[_PROGRESS] = to_json(progress.values)
        arrays[_OPTIMIZER] = {
            f'{kind}.{name}': array
            for kind, named in progress.moments.items()
            for name, array in named.items()
        }
    writers = {
        **{name: functools.partial(_write_bytes, data) for name, data in contents.items()},
        **{name: functools.partial(write_arrays, arrays=named) for name, named in arrays.items()},
    }
    write_folder(path, writers, lambda folder: write_manifest(folder, _versions()))


def load_checkpoint(path: Path, ctx: mx.Context) -> Run:
    """Read a model's folder and bring the model to a context.

    Raises
    ------
    InputError
        If a file is missing, damaged, or doesn't fit the others.
    """
    manifest = Manifest(path)
    try:
        config = RunConfig.from_dict(manifest.read_json(CONFIG_FILE))
    except InputError as error:
        raise _naming(path / CONFIG_FILE, error) from error
    src_vocab, tgt_vocab = (_read_vocab(manifest, path, name) for name in (_SRC_VOCAB, _TGT_VOCAB))
    subwords = None
    if config.data.text_rules == 'subwords':
        subwords = SubwordPair(*(_read_subwords(manifest, path, name) for name in SUBWORDS))
    model = build_model(config.model, len(src_vocab), len(tgt_vocab))
    shapes = parameter_shapes(model)
    parameters = named_parameters(model)
    with manifest.open(_WEIGHTS) as (file, size):
        arrays = read_arrays(
            file, size, {name: shapes[parameter.name] for name, parameter in parameters.items()}
        )
    for name, parameter in parameters.items():
        parameter.shape = arrays[name].shape
    model.initialize(init.Zero(), ctx=ctx)
    set_weights(model, arrays)
    return Run(config, src_vocab, tgt_vocab, model, subwords)


def load_progress(path: Path, model: EncoderDecoder, kinds: tuple[str, ...]) -> Progress:
    """Read what a training left beside a model, which was loaded from the same folder.

    Parameters
    ----------
    path : Path
    model : EncoderDecoder
        Initialized.
    kinds : tuple of str
        Of the moments, each of which has an array for each parameter.

    Raises
    ------
    InputError
        If it isn't there, or is damaged.
    """
    manifest = _manifest_of_training(path)
    shapes = _shapes_of(model)
    with manifest.open(_OPTIMIZER) as (file, size):
        arrays = read_arrays(
            file,
            size,
            {f'{kind}.{name}': shape for kind in kinds for name, shape in shapes.items()},
        )
    moments = {kind: {name: arrays[f'{kind}.{name}'] for name in shapes} for kind in kinds}
    return Progress(moments, _read_values(manifest, path))


def load_values(path: Path) -> dict:
    """The values of `Progress` alone; raises as `load_progress` does.

    What is read without going on with the training is looked at: ``epoch``, ``hooks``, ``ended``.
    """
    return _read_values(_manifest_of_training(path), path)


def _read_values(manifest: Manifest, path: Path) -> dict:
    values = manifest.read_json(_PROGRESS)
    try:
        check_types(values, {'epoch': int, 'hooks': dict, 'ended': (str, type(None))})
    except ValueError as error:
        raise InputError(
            f'{path / _PROGRESS}: expected the progress of a training, got something else ({error})'
        ) from error
    return values


def _manifest_of_training(path: Path) -> Manifest:
    manifest = Manifest(path)
    if _OPTIMIZER not in manifest:
        raise InputError(
            f'{path}: expected a checkpoint of a training, got a model alone, such as '
            'average makes; it can be used, and not gone on with'
        )
    return manifest


def load_weights(path: Path, model: EncoderDecoder) -> dict[str, onp.ndarray]:
    """The weights in a folder of the same model, by `named_parameters`' names.

    Raises
    ------
    InputError
        If they are damaged or of another model.
    """
    shapes = _shapes_of(model)
    with Manifest(path).open(_WEIGHTS) as (file, size):
        return read_arrays(file, size, shapes)


def average_checkpoints(paths: Sequence[Path], ctx: mx.Context) -> Run:
    """The run of the last of some checkpoints, with the mean of their weights.

    Raises
    ------
    InputError
        If one of them is damaged or of another model.
    """
    run = load_checkpoint(paths[-1], ctx)
    sums = {name: onp.zeros(shape) for name, shape in _shapes_of(run.model).items()}  # float64
    for path in paths:
        for name, array in load_weights(path, run.model).items():
            sums[name] += array
    set_weights(
        run.model, {name: (total / len(paths)).astype('float32') for name, total in sums.items()}
    )
    return run


def _shapes_of(model: EncoderDecoder) -> dict[str, tuple[int, ...]]:
    """The shapes of an initialized model's parameters."""
    return {name: parameter.shape for name, parameter in named_parameters(model).items()}


def _write_bytes(data: bytes, file) -> None:
    file.write(data)


def _versions() -> dict[str, str]:
    """Of what made the numbers."""
    return {
        'd2l_seq2seq': __version__,
        'mxnet': mx.__version__,
        'numpy': onp.__version__,
        'python': platform.python_version(),
        'machine': platform.machine(),
    }


def _naming(path: Path, error: InputError) -> InputError:
    return InputError(f'{path}: {error}') if str(path) not in str(error) else error


def _read_vocab(manifest: Manifest, folder: Path, name: str) -> Vocab:
    tokens = manifest.read_json(name, _MAX_VOCAB)
    if not isinstance(tokens, list) or not all(isinstance(token, str) for token in tokens):
        raise InputError(f'{folder / name}: expected a list of tokens')
    try:
        return Vocab.from_tokens(tokens)
    except ValueError as error:
        raise InputError(f'{folder / name}: {error}') from error


def _read_subwords(manifest: Manifest, folder: Path, name: str) -> Subwords:
    try:
        return Subwords(manifest.read(name, _MAX_SUBWORDS))
    except InputError as error:
        raise _naming(folder / name, error) from error
