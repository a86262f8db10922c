"""Checks of an installation: this package, the packages that it needs, MXNet and its results.

`diagnose` runs all checks, including those of `machine`.  Each check imports what it needs itself,
so that this file can be imported even if MXNet, NumPy or a part of the package is missing.  The
checks change nothing in the process except the number of threads, which they choose as `train`
does.
"""

from __future__ import annotations

import contextlib
import csv
import importlib.metadata
import importlib.util
import math
import os
import platform
import signal
import subprocess
import sys
from pathlib import Path
from typing import Iterator

from .._libraries import HOW_TO_INSTALL, NEEDS_NO_DEPS, installed_wheels
from ..errors import InputError
from .machine import check_corpus, check_disk, check_memory, check_speed, check_threads
from .report import (
    BROKEN,
    INFO,
    OK,
    WARNING,
    Finding,
    describe_error,
    finding_from_error,
    run_checks,
)

PACKAGE_FOLDER = Path(__file__).parents[1]
REQUIRED = ('numpy', 'd2l', 'matplotlib', 'pooch', 'tqdm')
# The optional packages, and what they are needed for.
OPTIONAL = {
    'sacrebleu': 'evaluate and --validate',
    'sentencepiece': '--text-rules subwords',
    'tensorboardX': '--tensorboard',
    'jupyterlab': 'notebooks',
}
D2L_NAMES = ('Accumulator', 'Timer', 'grad_clipping')  # the names that book/seq2seq.py uses
FEATURES = ('CUDA', 'CUDNN', 'MKLDNN', 'OPENMP', 'DIST_KVSTORE')  # MKLDNN is oneDNN's old name
LOAD_TIMEOUT = 60  # seconds
_INSTALL_COMMANDS = "pip install '.[cpu]' (with an NVIDIA GPU: '.[cu112]')" + (
    f'; then: {HOW_TO_INSTALL}' if NEEDS_NO_DEPS else ''
)
_INSTALL = f'In the folder of this project, type: {_INSTALL_COMMANDS}.'


def diagnose() -> Iterator[Finding]:
    """Run all checks, in an order in which each can rely on the ones before it.

    Yields
    ------
    Finding
        If MXNet is broken, one finding lists the checks that were skipped because they need it.
    """
    yield from run_checks(
        {
            'package': check_package,
            'python': check_python,
            'packages': check_packages,
            'threads': check_threads,
        }
    )
    mxnet_findings = list(run_checks({'mxnet': check_mxnet}))
    yield from mxnet_findings
    checks_with_mxnet = {
        'features': check_features,
        'devices': check_devices,
        'numbers': check_numbers,
        'd2l': check_d2l,
        'speed': check_speed,
    }
    if any(finding.severity == BROKEN for finding in mxnet_findings):
        skipped = ', '.join(checks_with_mxnet)
        yield Finding('mxnet', INFO, f'not checked because MXNet does not load: {skipped}')
    else:
        yield from run_checks(checks_with_mxnet)
    yield from run_checks({'corpus': check_corpus, 'disk': check_disk, 'memory': check_memory})


def check_package(subject: str) -> Iterator[Finding]:
    """Report the version and the folder of this package, and files that are missing from it."""
    from .. import __version__

    yield Finding(subject, INFO, f'd2l_seq2seq {__version__} in {PACKAGE_FOLDER}')
    missing = _missing_modules()
    if missing:
        yield Finding(
            subject, BROKEN, f'incomplete installation: {", ".join(missing)} missing', _INSTALL
        )
    from ..data.corpus import read_corpus  # imported only now because it may be missing

    try:
        read_corpus('bundled')
    except (OSError, InputError) as error:
        yield Finding(
            subject,
            BROKEN,
            f'incomplete installation: bundled.tsv cannot be read ({describe_error(error)})',
            _INSTALL,
        )


def _missing_modules() -> list[str]:
    """Return the paths of modules that pip installed and that no longer exist.

    The list is empty if the package runs from a checkout.
    """
    with contextlib.suppress(importlib.metadata.PackageNotFoundError):
        distribution = importlib.metadata.distribution('d2l-seq2seq')
        # Since Python 3.12 the attribute `files` of a distribution leaves out missing files.
        record = (distribution.read_text('RECORD') or '').splitlines()
        paths = [Path(str(distribution.locate_file(row[0]))) for row in csv.reader(record) if row]
        return [
            path.relative_to(PACKAGE_FOLDER).as_posix()
            for path in paths
            if path.suffix == '.py' and PACKAGE_FOLDER in path.parents and not path.exists()
        ]
    return []


def check_python(subject: str) -> Iterator[Finding]:
    """Report the interpreter and the operating system."""
    yield Finding(subject, INFO, f'{platform.python_version()} in {sys.executable}')
    yield Finding(subject, INFO, f'{platform.platform()}, {platform.machine()}')


def check_packages(subject: str) -> Iterator[Finding]:
    """Report the versions of required and optional packages, and those that are missing."""
    versions = {name: _version(name) for name in (*REQUIRED, *OPTIONAL)}
    installed = [f'{name} {version}' for name, version in versions.items() if version]
    yield Finding(subject, INFO, ', '.join(installed) or 'none')
    missing = [name for name in REQUIRED if not versions[name]]
    if missing:
        yield Finding(subject, BROKEN, f'not installed: {", ".join(missing)}', _INSTALL)
    missing = [name for name in OPTIONAL if not versions[name]]
    if missing:
        uses = ', '.join(f'{name} ({OPTIONAL[name]})' for name in missing)
        yield Finding(
            subject,
            INFO,
            f'optional packages that are not installed: {uses}',
            f'To install them, type: pip install {" ".join(missing)}',
        )


def _version(name: str) -> str:
    """Return the version of a package, or '' if it cannot be imported."""
    if importlib.util.find_spec(name) is None:
        return ''
    try:
        return importlib.metadata.version(name)
    except importlib.metadata.PackageNotFoundError:
        return '(unknown version)'


def check_mxnet(subject: str) -> Iterator[Finding]:
    """Report the installed MXNet, and whether it loads.

    It is loaded in another process first, because it may end the process that loads it.
    """
    from .._runtime import choose_threads
    from ..config import DataConfig, ModelConfig

    wheels = _mxnet_wheels()
    choose_threads(DataConfig.batch_size, ModelConfig.num_hiddens)
    yield _obstacle_to_loading(subject, wheels) or _finding_after_loading(subject, wheels)


def _obstacle_to_loading(subject: str, wheels: list[str]) -> Finding | None:
    """Return a finding if MXNet must not be loaded in this process, otherwise None."""
    role = os.environ.get('DMLC_ROLE')
    if role in ('server', 'scheduler'):
        return Finding(
            subject,
            BROKEN,
            f'DMLC_ROLE={role} is set, which makes MXNet run as a {role} and never finish loading',
            'Type: unset DMLC_ROLE',
        )
    # For instance, two wheels were installed and one of them was removed.
    if wheels and importlib.util.find_spec('mxnet') is None:
        return Finding(
            subject,
            BROKEN,
            f'{", ".join(wheels)}: installed according to pip, but the module mxnet is missing',
            _how_to_reinstall(wheels),
        )
    failure = _failure_in_subprocess()
    if failure:
        return Finding(
            subject,
            BROKEN,
            f'{", ".join(wheels) or "MXNet"}: {failure}',
            "To see where, type: python -X faulthandler -c 'import mxnet'",
        )
    return None


def _finding_after_loading(subject: str, wheels: list[str]) -> Finding:
    """Load MXNet in this process, and report its version or the error."""
    try:
        from .._mxnet import mx
    except InputError as error:
        return finding_from_error(subject, BROKEN, error)
    except Exception as error:
        return Finding(
            subject,
            BROKEN,
            f'{", ".join(wheels) or "MXNet"} does not load: {describe_error(error)}',
            _INSTALL if isinstance(error, ModuleNotFoundError) else _how_to_reinstall(wheels),
        )
    name = ', '.join(wheels) or f'{mx.__version__}, built from source,'
    text = f'{name} in {Path(mx.__file__).parent}'
    if mx.__version__ == '1.9.1' and len(wheels) < 2:
        return Finding(subject, OK, text)
    return Finding(
        subject,
        WARNING,
        f'{text}; only a single MXNet 1.9.1 has been tested',
        _how_to_reinstall(wheels),
    )


def _how_to_reinstall(wheels: list[str]) -> str:
    """Return the hint to uninstall MXNet first, because pip keeps what seems to be installed."""
    if not wheels:
        return _INSTALL
    names = ' '.join(wheel.split()[0] for wheel in wheels)
    return (
        f'In the folder of this project, type: pip uninstall -y {names}; then: {_INSTALL_COMMANDS}.'
    )


def _mxnet_wheels() -> list[str]:
    """Return the names and versions of the distributions that provide the module `mxnet`."""
    return [f'{name} {version}' for name, version in installed_wheels().items()]


def _failure_in_subprocess() -> str:
    """Load MXNet and compute in a subprocess, and describe a crash or a timeout.

    A library for another processor or driver may end its process without a message.  The result is
    '' if the process ends by itself, even with an ordinary error.
    """
    paths = os.pathsep.join(path or os.getcwd() for path in sys.path)
    code = f'from {__name__} import example_losses; example_losses()'
    try:
        result = subprocess.run(
            [sys.executable, '-c', code],
            timeout=LOAD_TIMEOUT,
            stdin=subprocess.DEVNULL,
            stdout=subprocess.DEVNULL,
            stderr=subprocess.DEVNULL,
            env={**os.environ, 'PYTHONPATH': paths},
        )
    except subprocess.TimeoutExpired:
        return f'does not load within {LOAD_TIMEOUT} seconds'
    if result.returncode >= 0:
        return ''
    name = signal.Signals(-result.returncode).name
    return f'the process crashes when it loads MXNet or computes with it ({name})'


def check_features(subject: str) -> Iterator[Finding]:
    """Report the libraries that MXNet was built with."""
    from .._mxnet import mx

    features = mx.runtime.Features()
    enabled = {name: name in features and features.is_enabled(name) for name in FEATURES}
    yield Finding(
        subject,
        INFO,
        ', '.join(f'{name} {"yes" if is_on else "no"}' for name, is_on in enabled.items()),
    )
    if not (enabled['CUDA'] or enabled['MKLDNN']):
        yield Finding(
            subject,
            WARNING,
            'MXNet was built without MKLDNN (oneDNN), so it is slow on a CPU',
            _INSTALL,
        )


def check_devices(subject: str) -> Iterator[Finding]:
    """Report the numbers of GPUs and CPU cores."""
    from .._mxnet import mx, npx
    from .._runtime import cpu_quota, num_cores

    num_gpus = npx.num_gpus()
    quota = cpu_quota()
    limit = '' if quota is None else f' (the container may use the time of {quota:g})'
    yield Finding(
        subject,
        INFO,
        f'{num_gpus} GPU{"s" * (num_gpus != 1)}, {num_cores()} of {os.cpu_count()} CPU cores'
        + limit,
    )
    if num_gpus == 0 and mx.runtime.Features().is_enabled('CUDA'):
        yield Finding(
            subject,
            WARNING,
            'MXNet is the GPU build but finds no GPU, so it computes on the CPU',
            'To see whether the driver finds one, type: nvidia-smi',
        )


def check_numbers(subject: str) -> Iterator[Finding]:
    """Compute the masked loss of an example on each device, and compare it with the known value."""
    from .._mxnet import npx

    expected = [math.log(10), math.log(10) / 2, 0.0]
    for ctx in [npx.cpu(), *map(npx.gpu, range(npx.num_gpus()))]:
        losses = example_losses(ctx)
        text = ' '.join(f'{loss:.4f}' for loss in losses)
        if all(math.isclose(*pair, abs_tol=1e-5) for pair in zip(losses, expected)):
            yield Finding(subject, OK, f'the masked loss is correct on {ctx}: {text}')
        else:
            yield Finding(
                subject,
                BROKEN,
                f'the masked loss is wrong on {ctx}: expected 2.3026 1.1513 0.0000, got {text}',
                _how_to_reinstall(_mxnet_wheels()),
            )


def example_losses(ctx=None) -> list[float]:
    """Return the losses in the example of `MaskedSoftmaxCELoss`: ln 10 times 4/4, 2/4 and 0/4.

    Parameters
    ----------
    ctx : mx.Context, optional
        The device that computes them; the CPU by default.
    """
    from .._mxnet import np, npx
    from ..book.seq2seq import MaskedSoftmaxCELoss

    ctx = ctx or npx.cpu()
    logits, labels = np.ones((3, 4, 10), ctx=ctx), np.ones((3, 4), ctx=ctx)
    return MaskedSoftmaxCELoss()(logits, labels, np.array([4, 2, 0], ctx=ctx)).asnumpy().tolist()


def check_d2l(subject: str) -> Iterator[Finding]:
    """Check that the package d2l loads, and has the names that the chapter's code uses."""
    version = _version('d2l')
    if not version:  # `check_packages` reports that
        return
    from .. import book  # imports these names from d2l

    try:
        missing = [name for name in D2L_NAMES if not hasattr(book, name)]
    except ImportError as error:
        yield Finding(
            subject, BROKEN, f'd2l {version} does not load: {describe_error(error)}', _INSTALL
        )
        return
    if missing:
        yield Finding(subject, BROKEN, f'd2l {version} has no {", ".join(missing)}', _INSTALL)
    else:
        yield Finding(subject, OK, f'd2l {version} has what the chapter uses')
