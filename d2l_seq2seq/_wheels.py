"""MXNet's wheels: which of them are installed, and what to type for one."""
from __future__ import annotations

import contextlib
import importlib.metadata
import sys

# The distributions of MXNet 1.9 and of the releases before it that provide the module `mxnet`.
_WHEELS = ('mxnet', 'mxnet-mkl', 'mxnet-native', *(f'mxnet-cu{version}' for version in (
    '112', '110', '102', '102mkl', '101', '101mkl', '100', '100mkl', '92', '92mkl')))
# Python 3.13 has no NumPy below 2, which is what MXNet's metadata asks for.
IS_INSTALLED_APART = sys.version_info >= (3, 13)
_PIP_INSTALL = 'pip install --no-deps' if IS_INSTALLED_APART else 'pip install'
HOW_TO_INSTALL = (f'{_PIP_INSTALL} mxnet==1.9.1 '
                  '(on a machine with an NVIDIA GPU: mxnet-cu112==1.9.1)')
CPU_INSTEAD = f'pip uninstall -y mxnet-cu112; then: {_PIP_INSTALL} mxnet==1.9.1'


def installed_wheels() -> dict[str, str]:
    """The versions of the MXNet distributions in this environment, by their names."""
    found = {}
    for name in _WHEELS:
        with contextlib.suppress(importlib.metadata.PackageNotFoundError):
            found[name] = importlib.metadata.version(name)
    return found
