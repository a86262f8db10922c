"""MXNet, made ready.

The only file that sets MXNet's global state: it lays down the NumPy names that MXNet 1.9.1 looks
for, says what to type where MXNet is missing, installed twice or without its libraries, starts its
threads in the right mode, and switches on the NumPy interface that the book uses.  Every other file
takes MXNet's modules from here, so whoever comes first finds it ready, whether or not the user
called ``npx.set_np()``.
"""

from __future__ import annotations

import importlib
import importlib.util
import types
from typing import Callable

import numpy as onp

from . import _libraries
from .errors import InputError
from ._runtime import flush_to_zero, keep_memory
from ._libraries import CPU_INSTEAD, HOW_TO_INSTALL, installed_wheels


class MXNetImportError(InputError, ImportError):
    """MXNet is not there, is there twice, or can't be loaded."""


def _check_wheels(wheels: list[str], module_is_there: bool) -> None:
    """Raise `MXNetImportError` unless exactly one MXNet can be imported."""
    if not module_is_there:
        raise MXNetImportError(f'MXNet is not installed; type: {HOW_TO_INSTALL}')
    if len(wheels) > 1:
        raise MXNetImportError(
            f'{" and ".join(wheels)} are installed over each other; type: '
            f'pip uninstall -y {" ".join(wheels)}; then: {HOW_TO_INSTALL}'
        )


def _import_mxnet(wheels: list[str]) -> None:
    """Import MXNet, if need be with the CUDA libraries that came as wheels (a system's CUDA wins).

    Raises
    ------
    MXNetImportError
        If a library is missing.
    """
    try:
        try:
            importlib.import_module('mxnet')
        except OSError:
            if wheels != ['mxnet-cu112']:
                raise
            _libraries.load_libraries()
            importlib.import_module('mxnet')
    except _libraries.NoDriver as error:
        raise MXNetImportError(f'no NVIDIA driver here; type: {CPU_INSTEAD}') from error
    except _libraries.NoLibrary as error:
        raise MXNetImportError(
            f"a CUDA library does not load ({error}); type: pip install 'd2l-seq2seq[cu112]'"
        ) from error
    except OSError as error:
        raise MXNetImportError(
            f'MXNet is installed but its libraries do not load ({error}); for another build type: '
            f'pip uninstall -y {" ".join(wheels) or "mxnet"}; then: {HOW_TO_INSTALL}'
        ) from error


def _check_driver(mxnet: types.ModuleType) -> None:
    """Raise `MXNetImportError` if CUDA can't work with the driver, which stops the CPU as well."""
    try:
        mxnet.context.num_gpus()
    except mxnet.MXNetError as error:
        reason = str(error).strip().splitlines()[-1]
        raise MXNetImportError(
            f'CUDA can not work with the NVIDIA driver here ({reason}); install '
            f'a newer driver, or type: {CPU_INSTEAD}'
        ) from error


_wheels = list(installed_wheels())
_check_wheels(_wheels, importlib.util.find_spec('mxnet') is not None)


def _sort_rows(a):
    """What ``numpy.msort`` was."""
    return onp.sort(a, axis=0)


def _removed(name: str) -> Callable:
    """In the place of a function that NumPy gave away: MXNet only wants to take hold of it."""

    def raise_error(*args, **kwargs):
        raise RuntimeError(f'NumPy has no {name} any more; the package numpy_financial has')

    return raise_error


# What MXNet 1.9.1 looks up in NumPy, mostly while it is imported, and finds no more: NumPy 1.20
# took away the financial functions, 1.24 `bool` (about which 1.20 to 1.23 warn), 2.0 the rest.
_NUMPY_NAMES = {
    'bool': bool,
    'NaN': onp.nan,
    'NAN': onp.nan,
    'Inf': onp.inf,
    'PINF': onp.inf,
    'NINF': -onp.inf,
    'PZERO': 0.0,
    'NZERO': -0.0,
    'alltrue': onp.all,
    'sometrue': onp.any,
    'product': onp.prod,
    'round_': onp.round,
    'msort': _sort_rows,
    'compat': types.SimpleNamespace(basestring=str),
    **{name: _removed(name) for name in ('mirr', 'npv', 'pmt', 'ppmt', 'pv', 'rate')},
}
for _name, _value in _NUMPY_NAMES.items():
    if _name not in vars(onp):
        setattr(onp, _name, _value)

_import_mxnet(_wheels)
import mxnet as mx
from mxnet import autograd, gluon, init, np, npx
from mxnet.gluon import nn, rnn
from mxnet.util import use_np


def _plain(part):
    """The same without NumPy's scalars."""
    if isinstance(part, (tuple, list)):
        return type(part)(map(_plain, part))
    return part.item() if isinstance(part, onp.generic) else part


def _parameter_text(value) -> str:
    """An operator's parameter as MXNet's parser knows it, which ``(np.int64(2), 3)`` is not."""
    return str(_plain(value) if isinstance(value, (tuple, list)) else value)


if repr(onp.int64(2)) != '2':  # NumPy 2 writes its type as well
    for _module in (mx._ctypes.ndarray, mx._ctypes.symbol):
        _module.str = _parameter_text

_check_driver(mx)
keep_memory()
with flush_to_zero():  # the first operation starts the threads that compute
    mx.nd.zeros(1).wait_to_read()
npx.set_np()  # in this thread; what may be called in another one is marked with `use_np`


def seed_generators(seed: int) -> None:
    """Fix all that the chapter draws: initial weights (MXNet) and the batches' order (NumPy)."""
    mx.random.seed(seed)
    onp.random.seed(seed)


def operators_of(X):
    """MXNet's operators for arrays or for symbols, whichever X is: Gluon's F."""
    return mx.nd if isinstance(X, np.ndarray) else mx.sym


def shape_of(X) -> tuple[int, ...]:
    """The shape of an array, or of a symbol where the graph's inputs have shapes.

    Raises
    ------
    TypeError
        If the symbol's shape is not known, as when Gluon hybridizes a block.
    """
    if isinstance(X, np.ndarray):
        return X.shape
    _, (shape,), _ = X.as_nd_ndarray().infer_shape_partial()
    if not shape or min(shape) < 0:
        raise TypeError(
            'expected an array or a symbol of known shape, got a symbol without one; a '
            'block that goes step by step can not be hybridized (fit traces it by '
            'itself)'
        )
    return shape


__all__ = [
    'MXNetImportError',
    'autograd',
    'gluon',
    'init',
    'mx',
    'nn',
    'np',
    'npx',
    'operators_of',
    'rnn',
    'seed_generators',
    'shape_of',
    'use_np',
]
