"""A run's folder: what a trained model needs to be used again.

``config.json``, ``src_vocab.json`` and ``tgt_vocab.json`` (lists of tokens in order of id), and
``weights.npz`` (an array for each parameter).  Nothing in it is pickled and MXNet's own loader is
not used, so reading a stranger's folder runs no code.  Each file is written beside its place and
renamed, so that it is there whole or not at all.
"""
from __future__ import annotations

import contextlib
import io
import json
import os
import zipfile
import zlib
from dataclasses import dataclass
from pathlib import Path

import numpy as onp

from ._mxnet import init, mx, np
from .config import CONFIG_FILE, RunConfig, read_json
from .data import TextRules
from .errors import InputError
from .model import EncoderDecoder
from .subwords import SidesSubwords, Subwords
from .vocab import Vocab
from .wiring import build_model, text_rules

_SRC_VOCAB, _TGT_VOCAB, _WEIGHTS = 'src_vocab.json', 'tgt_vocab.json', 'weights.npz'
_SUBWORDS = 'src_subwords.model', 'tgt_subwords.model'
METRICS = 'metrics.jsonl'


@dataclass(frozen=True)
class Run:
    """A trained model with what it was trained on."""

    config: RunConfig
    src_vocab: Vocab
    tgt_vocab: Vocab
    model: EncoderDecoder
    subwords: SidesSubwords | None = None

    @property
    def rules(self) -> TextRules:
        """How it reads and writes text."""
        return text_rules(self.config.data, self.subwords)


def create_run(path: str | Path, config: RunConfig) -> Path:
    """Make the folder of a new run, its parents included, and write its settings.

    Of two processes that want the same folder at the same time, one gets it.

    Raises
    ------
    InputError
        If the path is taken by a file or by a folder that isn't empty, or can't be made.
    """
    folder = Path(path)
    try:
        folder.mkdir(parents=True, exist_ok=True)
        taken = next(folder.iterdir(), None)
        if taken is None:
            with open(folder / CONFIG_FILE, 'xb') as file:
                file.write(_to_json(config.to_dict()))
    except FileExistsError:
        taken = folder if folder.is_file() else folder / CONFIG_FILE
    except OSError as error:
        raise InputError(f'{folder}: can not be made a folder ({error.strerror}); name another '
                         'with --out') from error
    if taken is not None:
        raise InputError(f'{folder}: expected a new or an empty folder, found {taken}; name '
                         'another with --out')
    return folder


def discard_run(folder: Path) -> None:
    """Remove a run in which nothing was learned; what others put into its folder stays."""
    for name in (CONFIG_FILE, _SRC_VOCAB, _TGT_VOCAB, *_SUBWORDS, METRICS):
        with contextlib.suppress(FileNotFoundError):
            (folder / name).unlink()
    with contextlib.suppress(OSError):
        folder.rmdir()


def save_vocabs(folder: Path, src_vocab: Vocab, tgt_vocab: Vocab,
                subwords: SidesSubwords | None = None) -> None:
    """Write the tokens of both sides in order of id, and what cuts words into them."""
    write_file(folder / _SRC_VOCAB, _to_json(src_vocab.idx_to_token))
    write_file(folder / _TGT_VOCAB, _to_json(tgt_vocab.idx_to_token))
    for name, side in zip(_SUBWORDS, subwords or ()):
        write_file(folder / name, side.model)


def save_weights(folder: Path, model: EncoderDecoder) -> None:
    """Write the parameters as they stand, under their structural names."""
    buffer = io.BytesIO()
    onp.savez(buffer, **{name: parameter.data(parameter.list_ctx()[0]).asnumpy()
                         for name, parameter in named_parameters(model).items()})
    write_file(folder / _WEIGHTS, buffer.getvalue())


def load_run(path: str | Path, ctx: mx.Context) -> Run:
    """Read a run's folder and bring its model to a context.

    Raises
    ------
    InputError
        If a file is missing, damaged, or doesn't fit the others.
    """
    folder = Path(path)
    config = RunConfig.of_run(folder)
    has_subwords = config.data.text_rules == 'subwords'
    for name in (_SRC_VOCAB, _TGT_VOCAB, _WEIGHTS, *(_SUBWORDS if has_subwords else ())):
        if not (folder / name).is_file():
            raise InputError(f'{folder}: expected the folder of a trained run, but it has no '
                             f'{name}; python -m d2l_seq2seq.train makes one')
    src_vocab, tgt_vocab = (_read_vocab(folder / name) for name in (_SRC_VOCAB, _TGT_VOCAB))
    subwords = (SidesSubwords(*(_read_subwords(folder / name) for name in _SUBWORDS))
                if has_subwords else None)
    model = build_model(config.model, len(src_vocab), len(tgt_vocab))
    _load_weights(folder / _WEIGHTS, model, ctx)
    return Run(config, src_vocab, tgt_vocab, model, subwords)


def named_parameters(model: EncoderDecoder) -> dict:
    """The parameters by their place in the model, such as ``encoder.embedding.weight``.

    Gluon's `collect_params` names them by a counter of the process, which another process counts
    otherwise; `save_parameters` uses the names that are used here.
    """
    return model._collect_params_with_prefix()


def write_file(path: Path, data: bytes) -> None:
    """Write a file so that its name never stands for half of it."""
    beside = path.with_name(path.name + '.part')
    with open(beside, 'wb') as file:
        file.write(data)
        file.flush()
        os.fsync(file.fileno())
    os.replace(beside, path)


def _load_weights(path: Path, model: EncoderDecoder, ctx: mx.Context) -> None:
    """Give the model the parameters of a file, once all names and shapes are found right."""
    parameters = named_parameters(model)
    arrays = _read_arrays(path)
    if set(arrays) != set(parameters):
        unlike = ', '.join(sorted(set(arrays) ^ set(parameters)))
        raise InputError(f'{path}: expected the weights of the model in {CONFIG_FILE}, got others '
                         f'({unlike})')
    # Before anything of the sizes in a stranger's configuration is allocated: a -1 stands for a
    # size that a layer learns from its input.
    for name, parameter in parameters.items():
        _check_shape(path, name, arrays[name], parameter.shape)
    model.initialize(init.Zero(), ctx=ctx)
    one_token, one_length = np.zeros((1, 1), ctx=ctx), np.ones((1,), ctx=ctx)
    model(one_token, one_token, one_length, one_length)  # now the layers know their shapes
    for name, parameter in parameters.items():
        _check_shape(path, name, arrays[name], parameter.shape)
    for name, parameter in parameters.items():
        parameter.set_data(np.array(arrays[name], ctx=ctx))


def _check_shape(path: Path, name: str, array: onp.ndarray, shape: tuple) -> None:
    """Raise `InputError` unless an array is float32 of that shape, where -1 stands for any size."""
    if (array.dtype != onp.float32 or array.ndim != len(shape)
            or any(expected not in (-1, found) for expected, found in zip(shape, array.shape))):
        raise InputError(f'{path}: expected {name} as float32 {shape}, got {array.dtype} '
                         f'{array.shape}')


def _read_arrays(path: Path) -> dict[str, onp.ndarray]:
    try:
        with onp.load(path, allow_pickle=False) as archive:
            return {name: onp.asarray(archive[name]) for name in archive.files}
    except (ValueError, OSError, EOFError, AttributeError, NotImplementedError, RuntimeError,
            zipfile.BadZipFile, zlib.error) as error:
        raise InputError(f'{path}: expected arrays as numpy.savez writes them; the file is damaged '
                         f'({error})') from error


def _read_vocab(path: Path) -> Vocab:
    tokens = read_json(path)
    if not isinstance(tokens, list) or not all(isinstance(token, str) for token in tokens):
        raise InputError(f'{path}: expected a list of tokens')
    try:
        return Vocab.from_tokens(tokens)
    except ValueError as error:
        raise InputError(f'{path}: {error}') from error


def _read_subwords(path: Path) -> Subwords:
    try:
        return Subwords(path.read_bytes())
    except OSError as error:
        raise InputError(f'{path}: can not be read ({error.strerror})') from error
    except InputError as error:
        raise InputError(f'{path}: {error}') from error


def _to_json(value) -> bytes:
    return (json.dumps(value, ensure_ascii=False, indent=1) + '\n').encode('utf-8')
