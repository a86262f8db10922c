"""The packages and shared libraries that MXNet needs, found without loading MXNet.

`installed_wheels` lists the distributions of MXNet in this environment, and some constants say how
to install the right one.  `load_cuda_libraries` loads the CUDA libraries that the GPU build needs
and does not contain.  The system's linker finds those of an installed CUDA.  The extra ``cu112``
installs them as NVIDIA's wheels, in folders that the linker does not search; but the linker uses a
library that the process has already loaded, wherever it came from, so loading them first is enough.
The module `_mxnet` decides when to do that.
"""

from __future__ import annotations

import contextlib
import ctypes
import importlib.metadata
import os
import sys
from typing import Iterable

# MXNet's metadata requires a NumPy below 2, and there is none for Python 3.13.
NEEDS_NO_DEPS = sys.version_info >= (3, 13)
_PIP_INSTALL = 'pip install --no-deps' if NEEDS_NO_DEPS else 'pip install'
HOW_TO_INSTALL = (
    f'{_PIP_INSTALL} mxnet==1.9.1 (on a machine with an NVIDIA GPU: mxnet-cu112==1.9.1)'
)
HOW_TO_INSTALL_CPU_BUILD = f'pip uninstall -y mxnet-cu112; then: {_PIP_INSTALL} mxnet==1.9.1'

# The distributions of MXNet 1.9 and earlier that provide the module `mxnet`.
_WHEELS = (
    'mxnet',
    'mxnet-mkl',
    'mxnet-native',
    'mxnet-cu112',
    'mxnet-cu110',
    'mxnet-cu102',
    'mxnet-cu102mkl',
    'mxnet-cu101',
    'mxnet-cu101mkl',
    'mxnet-cu100',
    'mxnet-cu100mkl',
    'mxnet-cu92',
    'mxnet-cu92mkl',
)

DRIVER = 'libcuda.so.1'  # installed by NVIDIA's driver only
# The folder of each wheel in `nvidia`, and the library to load from it.  A library comes after the
# ones that it needs.  The parts of cuDNN, half of all bytes, are not listed: they are in the same
# folder, and cuDNN loads them when it first computes.
CUDA_LIBRARIES = (
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


class MissingDriver(OSError):
    """NVIDIA's driver is not installed; the message is the linker's."""


class MissingLibrary(OSError):
    """A CUDA library is missing or does not load; the message is the linker's."""


def installed_wheels() -> dict[str, str]:
    """Return the versions of the MXNet distributions in this environment, by name."""
    versions = {}
    for name in _WHEELS:
        with contextlib.suppress(importlib.metadata.PackageNotFoundError):
            versions[name] = importlib.metadata.version(name)
    return versions


def load_cuda_libraries(folders: Iterable[str] | None = None) -> None:
    """Load the library of NVIDIA's driver and then all of CUDA's, for the libraries loaded later.

    Parameters
    ----------
    folders : iterable of str, optional
        The folders in which to look for NVIDIA's packages, in this order; ``sys.path`` by default.
        The system's linker looks for a library that is in none of them.

    Raises
    ------
    MissingDriver
        If the driver's library cannot be loaded.
    MissingLibrary
        If one of CUDA's libraries cannot be loaded; the first such library is reported.
    """
    folders = list(sys.path if folders is None else folders)
    _load(DRIVER, MissingDriver)
    for package, name in CUDA_LIBRARIES:
        candidates = [os.path.join(folder, 'nvidia', package, 'lib', name) for folder in folders]
        _load(next(filter(os.path.exists, candidates), name), MissingLibrary)


def _load(path: str, error_class: type) -> None:
    """Load a library and make its symbols available to the whole process."""
    try:
        ctypes.CDLL(path, mode=ctypes.RTLD_GLOBAL)
    except OSError as error:
        raise error_class(str(error)) from error
