"""Prepares MXNet also when it is first imported as ``mxnet``, on Python 3.12 and later.

The book's cells import MXNet themselves, right after this namespace.  With the NumPy releases that
Python 3.12 and later need, MXNet 1.9.1 cannot be imported before `_mxnet` has prepared it.  Without
this file, ``from mxnet import np`` would fail there.
"""

from __future__ import annotations

import importlib
import sys
from importlib.abc import Loader
from importlib.machinery import ModuleSpec, PathFinder

_PREPARATION = 'd2l_seq2seq._mxnet'


class _Finder:
    """A finder of the package ``mxnet`` that leaves finding it to Python."""

    @staticmethod
    def find_spec(name, path=None, target=None) -> ModuleSpec | None:
        if name != 'mxnet' or _PREPARATION in sys.modules:
            return None
        spec = PathFinder.find_spec(name, path, target)
        if spec is not None:
            spec.loader = _Loader()
        return spec


class _Loader(Loader):
    """A loader that imports `_mxnet`, which imports MXNet."""

    def create_module(self, spec):
        importlib.import_module(_PREPARATION)
        self._spec = sys.modules['mxnet'].__spec__
        return sys.modules['mxnet']

    def exec_module(self, module):
        module.__spec__ = self._spec  # Python has replaced it by that of `_Finder`


def install() -> None:
    """Prepare MXNet when it is first imported."""
    sys.meta_path.insert(0, _Finder)
