"""The packages and shared libraries that MXNet needs, found without loading MXNet.

`installed_wheels` lists the distributions of MXNet in this environment, and some functions say how
to install the right one.  `load_cuda_libraries` loads the CUDA libraries that the GPU builds need
and do not contain.  The system's linker finds those of an installed CUDA.  The extras ``cu112`` to
``cu117`` install them as NVIDIA's wheels, in folders that the linker does not search; but the
linker uses a library that the process has already loaded, wherever it came from, so loading them
first is enough.  The module `_mxnet` decides when to do that.
"""

from __future__ import annotations

import contextlib
import ctypes
import importlib.metadata
import os
import platform
import sys
from typing import Iterable, Sequence

# MXNet's metadata requires a NumPy below 2, and there is none for Python 3.13.
NEEDS_NO_DEPS = sys.version_info >= (3, 13)
_PIP_INSTALL = 'pip install --no-deps' if NEEDS_NO_DEPS else 'pip install'
HOW_TO_INSTALL = (
    f'{_PIP_INSTALL} mxnet==1.9.1 (on a machine with an NVIDIA GPU: mxnet-cu112==1.9.1)'
)

# The CUDA releases that wheels of MXNet exist for, without the dot.
_CUDA_RELEASES = 117, 116, 115, 114, 113, 112, 111, 110, 102, 101, 100, 92, 91, 90
# The distributions of MXNet 1.9 and earlier that provide the module `mxnet`.
_WHEELS = (
    'mxnet',
    'mxnet-mkl',
    'mxnet-native',
    *(f'mxnet-cu{release}' for release in _CUDA_RELEASES),
    *(f'mxnet-cu{release}mkl' for release in _CUDA_RELEASES),
)
# The wheels that NVIDIA's wheels for CUDA 11 have all libraries for: since CUDA 11.2, the names of
# the libraries are the same in all releases of CUDA 11.
WHEELS_WITH_CUDA = tuple(f'mxnet-cu{release}' for release in _CUDA_RELEASES[:6])

# The Arm Performance Libraries, which the wheel for Linux on aarch64 needs and does not contain.
_ARM_LIBRARIES = 'libarmpl', 'libamath', 'libastring'

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


def how_to_install() -> str:
    """Return what to do on this machine if MXNet is missing, as a sentence."""
    if sys.platform == 'win32':
        return 'MXNet 1.9.1 has no wheel for Windows. Install this package in WSL 2 (Linux).'
    if sys.platform == 'darwin' and platform.machine() == 'arm64':
        return (
            'MXNet 1.9.1 has no wheel for Apple silicon. Use a Linux container: type '
            'docker run -it --platform linux/amd64 python:3.11.'
        )
    return f'Type: {HOW_TO_INSTALL}.'


def how_to_install_cpu_build(wheels: Sequence[str]) -> str:
    """Return the commands that replace the installed builds by the CPU build."""
    return f'pip uninstall -y {" ".join(wheels) or "mxnet"}; then: {_PIP_INSTALL} mxnet==1.9.1'


def how_to_install_library(error: str, wheels: Sequence[str]) -> str:
    """Return what to do if a library that MXNet needs does not load, as a sentence.

    Parameters
    ----------
    error : str
        The linker's message, which begins with the name of the library.
    wheels : sequence of str
        The installed wheels of MXNet.
    """
    if error.startswith(_ARM_LIBRARIES):
        return (
            'On aarch64, MXNet needs the Arm Performance Libraries: install them, and add their '
            'folder to LD_LIBRARY_PATH.'
        )
    if error.startswith(('libquadmath', 'libgomp')):
        package = error.split('.so')[0] + ('0' if error.startswith('libquadmath') else '1')
        return f'Type: sudo apt-get install {package} (or the package of your system that has it).'
    cuda = [wheel for wheel in wheels if wheel.startswith('mxnet-cu')]
    if cuda and cuda[0] not in WHEELS_WITH_CUDA:
        release = cuda[0][len('mxnet-cu') :].replace('mkl', '')
        return (
            f'{cuda[0]} needs an installed CUDA {release[:-1]}.{release[-1]} with cuDNN. To '
            f'install a build whose libraries come as packages, type: pip uninstall -y {cuda[0]}; '
            "then, in the folder of this project: pip install '.[cu117]'"
        )
    return (
        f'To install another build, type: pip uninstall -y {" ".join(wheels) or "mxnet"}; '
        f'then: {HOW_TO_INSTALL}.'
    )


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
