"""The CUDA libraries that MXNet's GPU build needs, found among Python's packages.

That build brings none of them.  The system's linker finds those of an installed CUDA; the extra
`cu112` brings them as NVIDIA's wheels, in folders that the linker does not know.  But it does not
look for a library that the process has loaded, wherever that came from, so loading them first is
enough.  When that is called for is `_mxnet`'s business.
"""

from __future__ import annotations

import contextlib
import ctypes
import importlib.metadata
import os
import sys
from typing import Iterable

DRIVER = 'libcuda.so.1'  # comes with NVIDIA's driver, and with nothing else
# A wheel's folder in `nvidia`, and what is loaded from it; each after those that it needs itself.
# cuDNN's parts, half of all there is to load, stand beside it and it finds them when it computes.
LIBRARIES = (
    ('cuda_runtime', 'libcudart.so.11.0'),
    ('cuda_nvrtc', 'libnvrtc.so.11.2'),
    ('cublas', 'libcublasLt.so.11'),
    ('cublas', 'libcublas.so.11'),
    ('cufft', 'libcufft.so.10'),
    ('curand', 'libcurand.so.10'),
    ('cusparse', 'libcusparse.so.11'),
    ('cusolver', 'libcusolver.so.11'),
    ('cudnn', 'libcudnn.so.8'),
    ('nccl', 'libnccl.so.2'),
    ('nvtx', 'libnvToolsExt.so.1'),
)


class NoDriver(OSError):
    """NVIDIA's driver is not there; the message is the linker's."""


class NoLibrary(OSError):
    """One of the libraries is not there, or does not load; the message is the linker's."""


def load_libraries(folders: Iterable[str] | None = None) -> None:
    """Load the driver's library and all of CUDA's, for whatever is loaded after them.

    Parameters
    ----------
    folders : iterable of str, optional
        Where Python looks for packages, ``sys.path``.  What is in none of them the system may have.

    Raises
    ------
    NoDriver, NoLibrary
        At the first that can't be loaded.
    """
    folders = list(sys.path if folders is None else folders)
    _load(DRIVER, NoDriver)
    for package, name in LIBRARIES:
        candidates = [os.path.join(folder, 'nvidia', package, 'lib', name) for folder in folders]
        _load(next(filter(os.path.exists, candidates), name), NoLibrary)


def _load(path: str, error_class: type) -> None:
    """Load a library for the whole process."""
    try:
        ctypes.CDLL(path, mode=ctypes.RTLD_GLOBAL)
    except OSError as error:
        raise error_class(str(error)) from error


# The distributions of MXNet 1.9 and of the releases before it that provide the module `mxnet`.
_WHEELS = (
    'mxnet',
    'mxnet-mkl',
    'mxnet-native',
    *(
        f'mxnet-cu{version}'
        for version in (
            '112',
            '110',
            '102',
            '102mkl',
            '101',
            '101mkl',
            '100',
            '100mkl',
            '92',
            '92mkl',
        )
    ),
)
# Python 3.13 has no NumPy below 2, which is what MXNet's metadata asks for.
IS_INSTALLED_APART = sys.version_info >= (3, 13)
_PIP_INSTALL = 'pip install --no-deps' if IS_INSTALLED_APART else 'pip install'
HOW_TO_INSTALL = (
    f'{_PIP_INSTALL} mxnet==1.9.1 (on a machine with an NVIDIA GPU: mxnet-cu112==1.9.1)'
)
CPU_INSTEAD = f'pip uninstall -y mxnet-cu112; then: {_PIP_INSTALL} mxnet==1.9.1'


def installed_wheels() -> dict[str, str]:
    """The versions of the MXNet distributions in this environment, by their names."""
    found = {}
    for name in _WHEELS:
        with contextlib.suppress(importlib.metadata.PackageNotFoundError):
            found[name] = importlib.metadata.version(name)
    return found
