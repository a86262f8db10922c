"""MXNet, loaded and prepared: the only file that imports it and sets its global state.

The other files import MXNet's modules from here, so that the first import of any of them does the
following once, whether or not the user has called ``npx.set_np()``:

1. check that exactly one MXNet is installed;
2. add the names that MXNet 1.9.1 looks up in NumPy and newer NumPy releases lack;
3. load MXNet, and with it the CUDA libraries that were installed as wheels, if it needs them;
4. start MXNet's threads in the mode that treats denormal numbers as zero;
5. switch on the NumPy interface, which the book uses.

If MXNet cannot be loaded, `MXNetImportError` says what to install.
"""

from __future__ import annotations

import importlib
import importlib.util
import types
from typing import Any, Callable

import numpy as onp

from . import _libraries
from ._libraries import (
    HOW_TO_INSTALL,
    WHEELS_WITH_CUDA,
    how_to_install,
    how_to_install_cpu_build,
    how_to_install_library,
    installed_wheels,
)
from ._runtime import flush_to_zero, reuse_memory
from .errors import InputError

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


class MXNetImportError(InputError, ImportError):
    """MXNet is not installed, is installed more than once, or cannot be loaded."""


# Functions and constants that are needed before or while MXNet is loaded.


def _check_wheels(wheels: list[str], has_module: bool) -> None:
    """Raise `MXNetImportError` unless exactly one MXNet can be imported."""
    if not has_module:
        raise MXNetImportError('MXNet is not installed', how_to_install())
    if len(wheels) > 1:
        raise MXNetImportError(
            f'{" and ".join(wheels)} are installed on top of each other',
            f'Type: pip uninstall -y {" ".join(wheels)}; then: {HOW_TO_INSTALL}.',
        )


def _msort(a):
    """Sort an array along its first axis, as ``numpy.msort`` did."""
    return onp.sort(a, axis=0)


def _removed_function(name: str) -> Callable:
    """Return a stub for a function that NumPy removed; MXNet only needs the name."""

    def raise_error(*args, **kwargs):
        raise RuntimeError(f'NumPy no longer has {name}; the package numpy_financial has it')

    return raise_error


# Names that MXNet 1.9.1 looks up in NumPy, mostly while it is imported.  NumPy 1.20 removed the
# financial functions, 1.24 removed `bool` (1.20 to 1.23 warn about it), and 2.0 removed the others.
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
    'msort': _msort,
    'compat': types.SimpleNamespace(basestring=str),
    **{name: _removed_function(name) for name in ('mirr', 'npv', 'pmt', 'ppmt', 'pv', 'rate')},
}


def _add_numpy_names() -> None:
    """Add the removed names to NumPy, except those that it has."""
    for name, value in _NUMPY_NAMES.items():
        if name not in vars(onp):
            setattr(onp, name, value)


def _import_mxnet(wheels: list[str]) -> None:
    """Import MXNet, after the CUDA libraries from wheels if it does not load without them.

    The CUDA libraries of the system, if there are any, thus take precedence.

    Raises
    ------
    MXNetImportError
        If a library is missing or does not load.
    """
    try:
        try:
            importlib.import_module('mxnet')
        except OSError:
            if len(wheels) != 1 or wheels[0] not in WHEELS_WITH_CUDA:
                raise
            _libraries.load_cuda_libraries()
            importlib.import_module('mxnet')
    except _libraries.MissingDriver as error:
        raise MXNetImportError(
            'the GPU build of MXNet needs an NVIDIA driver, and none is installed',
            f'To use the CPU build instead, type: {how_to_install_cpu_build(wheels)}',
        ) from error
    except _libraries.MissingLibrary as error:
        raise MXNetImportError(
            f'a CUDA library does not load ({error})',
            f"Type: pip install 'd2l-seq2seq[{wheels[0][len('mxnet-') :]}]'",
        ) from error
    except OSError as error:
        raise MXNetImportError(
            f'MXNet is installed, but its libraries do not load ({error})',
            how_to_install_library(str(error), wheels),
        ) from error


def _check_driver(mxnet: types.ModuleType, wheels: list[str]) -> None:
    """Raise `MXNetImportError` if CUDA rejects the driver, because then the CPU fails as well."""
    try:
        mxnet.context.num_gpus()
    except mxnet.MXNetError as error:
        reason = str(error).strip().splitlines()[-1]
        raise MXNetImportError(
            f'CUDA cannot work with the installed NVIDIA driver ({reason})',
            'Install a newer driver, or use the CPU build; type: '
            + how_to_install_cpu_build(wheels),
        ) from error


def _without_numpy_scalars(value: Any) -> Any:
    """Replace NumPy's scalars in nested tuples and lists by Python's."""
    if isinstance(value, (tuple, list)):
        return type(value)(map(_without_numpy_scalars, value))
    return value.item() if isinstance(value, onp.generic) else value


def _parameter_text(value: Any) -> str:
    """Write an operator's parameter as MXNet parses it: ``(2, 3)``, not ``(np.int64(2), 3)``."""
    return str(_without_numpy_scalars(value) if isinstance(value, (tuple, list)) else value)


# Loading and preparing MXNet.

_wheels = list(installed_wheels())
_check_wheels(_wheels, importlib.util.find_spec('mxnet') is not None)
_add_numpy_names()
_import_mxnet(_wheels)
import mxnet as mx
from mxnet import autograd, gluon, init, np, npx
from mxnet.gluon import nn, rnn
from mxnet.util import use_np

if repr(onp.int64(2)) != '2':  # since NumPy 2 it includes the type
    for _module in (mx._ctypes.ndarray, mx._ctypes.symbol):
        _module.str = _parameter_text

_check_driver(mx, _wheels)
reuse_memory()
with flush_to_zero():  # the first operation starts the threads that compute
    mx.nd.zeros(1).wait_to_read()
# This applies to the current thread.  Functions that other threads may call have `use_np`.
npx.set_np()


# Functions for the other files.


def seed_generators(seed: int) -> None:
    """Seed MXNet's generator, which draws initial weights, and NumPy's, which shuffles batches.

    Parameters
    ----------
    seed : int
        The same seed for both global generators.
    """
    mx.random.seed(seed)
    onp.random.seed(seed)


def operators_of(X: Any) -> types.ModuleType:
    """Return MXNet's operators for arrays if X is an array, otherwise those for symbols.

    Gluon passes the same module to ``hybrid_forward`` as ``F``.
    """
    return mx.nd if isinstance(X, np.ndarray) else mx.sym


def shape_of(X: Any) -> tuple[int, ...]:
    """Return the shape of an array, or of a symbol in a graph whose inputs have shapes.

    Raises
    ------
    TypeError
        If the shape of the symbol is unknown, as it is when Gluon hybridizes a block.
    """
    if isinstance(X, np.ndarray):
        return X.shape
    _, (shape,), _ = X.as_nd_ndarray().infer_shape_partial()
    if not shape or min(shape) < 0:
        raise TypeError(
            'expected an array or a symbol of known shape, got a symbol of unknown shape; a block '
            'that runs step by step cannot be hybridized (fit can trace it without hybridizing it)'
        )
    return shape
