"""What is right and what is wrong with an installation: its packages, MXNet, numbers and speed.

Each check looks at one thing and yields what it found.  It imports what it needs itself, so that
this file can be read where nothing else can.  Of the state of the process only the threads are
settled, as `train` settles them.
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

from .._libraries import HOW_TO_INSTALL, IS_INSTALLED_APART, installed_wheels
from ..errors import InputError
from .machine import check_corpus, check_disk, check_memory, check_threads
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

HERE = Path(__file__).parents[1]
REQUIRED = ('numpy', 'd2l', 'matplotlib', 'pooch', 'tqdm')
OPTIONAL = {
    'sacrebleu': 'evaluate and --validate',
    'sentencepiece': '--text-rules subwords',
    'tensorboardX': '--tensorboard',
    'jupyterlab': 'notebooks',
}
USED_OF_D2L = ('Accumulator', 'Timer', 'grad_clipping')  # by `reference`
FEATURES = ('CUDA', 'CUDNN', 'MKLDNN', 'OPENMP', 'DIST_KVSTORE')  # MKLDNN is oneDNN's old name
SECONDS_TO_LOAD = 60
SLOW_MILLISECONDS = 8.0  # a batch of the chapter's size; three times the usual
_USUAL = f'1.9 to 2.7 on two idle cores, above {SLOW_MILLISECONDS:g} is slow'
_INSTALL = (
    "in this project's folder type: pip install '.[cpu]' (with an NVIDIA GPU: '.[cu112]')"
    + (f'; then: {HOW_TO_INSTALL}' if IS_INSTALLED_APART else '')
)


def diagnose() -> Iterator[Finding]:
    """Look at everything, in an order in which each check can rely on those before it."""
    yield from run_checks(
        {
            'package': check_package,
            'python': check_python,
            'packages': check_packages,
            'threads': check_threads,
        }
    )
    of_mxnet = list(run_checks({'mxnet': check_mxnet}))
    yield from of_mxnet
    with_mxnet = {
        'features': check_features,
        'devices': check_devices,
        'numbers': check_numbers,
        'd2l': check_d2l,
        'speed': check_speed,
    }
    if any(finding.severity == BROKEN for finding in of_mxnet):
        yield Finding('mxnet', INFO, f'so these were not looked at: {", ".join(with_mxnet)}')
    else:
        yield from run_checks(with_mxnet)
    yield from run_checks({'corpus': check_corpus, 'disk': check_disk, 'memory': check_memory})


def check_package(subject: str) -> Iterator[Finding]:
    """Which copy of this package runs, and whether all of it is there."""
    from .. import __version__

    yield Finding(subject, INFO, f'd2l_seq2seq {__version__} in {HERE}')
    missing = _missing_files()
    if missing:
        yield Finding(subject, BROKEN, f'half installed: {", ".join(missing)} not there', _INSTALL)
    from ..data.corpus import read_corpus  # only now: it may be one of those

    try:
        read_corpus('bundled')
    except (OSError, InputError) as error:
        yield Finding(
            subject,
            BROKEN,
            f'half installed: bundled.tsv can not be read ({describe_error(error)})',
            _INSTALL,
        )


def _missing_files() -> list[str]:
    """Modules that were installed here and are gone; none where a checkout is run."""
    with contextlib.suppress(importlib.metadata.PackageNotFoundError):
        distribution = importlib.metadata.distribution('d2l-seq2seq')
        # Its `files` are, from Python 3.12 on, only those that are still there.
        record = (distribution.read_text('RECORD') or '').splitlines()
        paths = [Path(distribution.locate_file(row[0])) for row in csv.reader(record) if row]
        return [
            path.name
            for path in paths
            if path.suffix == '.py' and HERE in path.parents and not path.exists()
        ]
    return []


def check_python(subject: str) -> Iterator[Finding]:
    """The interpreter and the system."""
    yield Finding(subject, INFO, f'{platform.python_version()} in {sys.executable}')
    yield Finding(subject, INFO, f'{platform.platform()}, {platform.machine()}')


def check_packages(subject: str) -> Iterator[Finding]:
    """The packages that this one needs, and those that some of its options need."""
    versions = {name: _version(name) for name in (*REQUIRED, *OPTIONAL)}
    there = [f'{name} {version}' for name, version in versions.items() if version]
    yield Finding(subject, INFO, ', '.join(there) or 'none')
    missing = [name for name in REQUIRED if not versions[name]]
    if missing:
        yield Finding(subject, BROKEN, f'not installed: {", ".join(missing)}', _INSTALL)
    absent = [name for name in OPTIONAL if not versions[name]]
    if absent:
        uses = ', '.join(f'{name} ({OPTIONAL[name]})' for name in absent)
        yield Finding(
            subject,
            INFO,
            f'not installed, needed for some things only: {uses}',
            f'for these type: pip install {" ".join(absent)}',
        )


def _version(name: str) -> str:
    """The version of a package that can be imported; nothing where it can't."""
    if importlib.util.find_spec(name) is None:
        return ''
    try:
        return importlib.metadata.version(name)
    except importlib.metadata.PackageNotFoundError:
        return 'of unknown version'


def check_mxnet(subject: str) -> Iterator[Finding]:
    """Which MXNet there is, and whether it loads: first in a process that it may end."""
    from .._runtime import choose_threads
    from ..config import DataConfig, ModelConfig

    wheels = _wheels()
    choose_threads(DataConfig.batch_size, ModelConfig.num_hiddens)
    if os.environ.get('DMLC_ROLE') in ('server', 'scheduler'):
        yield Finding(
            subject,
            BROKEN,
            f'DMLC_ROLE={os.environ["DMLC_ROLE"]} is set, with which '
            'MXNet serves others and never ends loading',
            'type: unset DMLC_ROLE',
        )
        return
    if wheels and importlib.util.find_spec('mxnet') is None:  # one of two was removed, for instance
        yield Finding(
            subject,
            BROKEN,
            f'{", ".join(wheels)}: noted as installed, but there is no module of that name',
            _install_anew(wheels),
        )
        return
    failure = _failure_of_a_process()
    if failure:
        yield Finding(
            subject,
            BROKEN,
            f'{", ".join(wheels) or "MXNet"}: {failure}',
            "to see where, type: python -X faulthandler -c 'import mxnet'",
        )
        return
    try:
        from .._mxnet import mx
    except InputError as error:
        yield finding_from_error(subject, BROKEN, error)
    except Exception as error:
        is_its_own = not isinstance(error, ModuleNotFoundError)
        yield Finding(
            subject,
            BROKEN,
            f'{", ".join(wheels) or "MXNet"} does not load: {describe_error(error)}',
            _install_anew(wheels) if is_its_own else _INSTALL,
        )
    else:
        which = ', '.join(wheels) or f'{mx.__version__}, built from source,'
        text = f'{which} in {Path(mx.__file__).parent}'
        if mx.__version__ == '1.9.1' and len(wheels) < 2:
            yield Finding(subject, OK, text)
        else:
            yield Finding(
                subject, WARNING, f'{text}; tried is one MXNet 1.9.1', _install_anew(wheels)
            )


def _install_anew(wheels: list[str]) -> str:
    """What to type where pip would find all that it wants, and leave it as it is."""
    names = ' '.join(wheel.split()[0] for wheel in wheels)
    return f'type: pip uninstall -y {names}; then {_INSTALL}' if names else _INSTALL


def _wheels() -> list[str]:
    """Names and versions of the distributions that provide the module `mxnet`."""
    return [f'{name} {version}' for name, version in installed_wheels().items()]


def _failure_of_a_process() -> str:
    """How a process that loads MXNet and computes ends, where that is not by an ordinary error.

    A library for another processor or another driver may end its process without a word.
    """
    paths = os.pathsep.join(path or os.getcwd() for path in sys.path)
    code = f'from {__name__} import example_losses; example_losses()'
    try:
        result = subprocess.run(
            [sys.executable, '-c', code],
            timeout=SECONDS_TO_LOAD,
            stdin=subprocess.DEVNULL,
            stdout=subprocess.DEVNULL,
            stderr=subprocess.DEVNULL,
            env={**os.environ, 'PYTHONPATH': paths},
        )
    except subprocess.TimeoutExpired:
        return f'does not load within {SECONDS_TO_LOAD} seconds'
    return (
        ''
        if result.returncode >= 0
        else (
            f'loading it and computing ends the process ({signal.Signals(-result.returncode).name})'
        )
    )


def check_features(subject: str) -> Iterator[Finding]:
    """What MXNet was built with."""
    from .._mxnet import mx

    features = mx.runtime.Features()
    enabled = {name: name in features and features.is_enabled(name) for name in FEATURES}
    yield Finding(
        subject,
        INFO,
        ', '.join(f'{name} {"yes" if is_on else "no"}' for name, is_on in enabled.items()),
    )
    if not (enabled['CUDA'] or enabled['MKLDNN']):
        yield Finding(subject, WARNING, 'without MKLDNN (oneDNN), MXNet is slow on a CPU', _INSTALL)


def check_devices(subject: str) -> Iterator[Finding]:
    """What can compute."""
    from .._mxnet import mx, npx
    from .._runtime import num_cores

    num_gpus = npx.num_gpus()
    yield Finding(
        subject,
        INFO,
        f'{num_gpus} GPU{"s" * (num_gpus != 1)}, {num_cores()} of {os.cpu_count()} CPU cores',
    )
    if num_gpus == 0 and mx.runtime.Features().is_enabled('CUDA'):
        yield Finding(
            subject,
            WARNING,
            'this MXNet is the build for GPUs, and sees none; it computes on the CPU',
            'type: nvidia-smi',
        )


def check_numbers(subject: str) -> Iterator[Finding]:
    """Whether a loss that can be computed in the head comes out, on each device."""
    from .._mxnet import npx

    expected = [math.log(10), math.log(10) / 2, 0.0]
    for ctx in [npx.cpu(), *map(npx.gpu, range(npx.num_gpus()))]:
        got = example_losses(ctx)
        text = ' '.join(f'{value:.4f}' for value in got)
        if all(math.isclose(*pair, abs_tol=1e-5) for pair in zip(got, expected)):
            yield Finding(subject, OK, f'the masked loss is right on {ctx}: {text}')
        else:
            yield Finding(
                subject,
                BROKEN,
                f'the masked loss on {ctx} is {text}, and ought to be 2.3026 1.1513 0.0000',
                _install_anew(_wheels()),
            )


def example_losses(ctx=None) -> list[float]:
    """The losses of `MaskedSoftmaxCELoss`'s own example: ln 10 times 4/4, 2/4 and 0/4."""
    from .._mxnet import np, npx
    from ..book.seq2seq import MaskedSoftmaxCELoss

    ctx = ctx or npx.cpu()
    logits, labels = np.ones((3, 4, 10), ctx=ctx), np.ones((3, 4), ctx=ctx)
    return MaskedSoftmaxCELoss()(logits, labels, np.array([4, 2, 0], ctx=ctx)).asnumpy().tolist()


def check_d2l(subject: str) -> Iterator[Finding]:
    """Whether the book's package has what the chapter's own loop uses of it."""
    version = _version('d2l')
    if not version:  # which `check_packages` says
        return
    try:
        from ..book.training_loop import d2l
    except ImportError as error:
        yield Finding(
            subject, BROKEN, f'd2l {version} does not load: {describe_error(error)}', _INSTALL
        )
        return
    missing = [name for name in USED_OF_D2L if not hasattr(d2l, name)]
    if missing:
        yield Finding(subject, BROKEN, f'd2l {version} has no {", ".join(missing)}', _INSTALL)
    else:
        yield Finding(subject, OK, f'd2l {version} has what the chapter uses')


def check_speed(subject: str) -> Iterator[Finding]:
    """How fast `fit` trains the chapter's model here."""
    from ..device import try_gpu
    from .machine import milliseconds_per_batch

    ctx = try_gpu()
    milliseconds = milliseconds_per_batch(ctx)
    text = f"{milliseconds:.1f} ms a batch of the chapter's training on {ctx}"
    if ctx.device_type == 'gpu':
        yield Finding(subject, INFO, text)
    elif milliseconds <= SLOW_MILLISECONDS:
        yield Finding(subject, OK, f'{text}; {_USUAL}')
    else:
        yield Finding(subject, WARNING, f'{text}; {_USUAL}', _how_to_be_faster())


def _how_to_be_faster() -> str:
    if os.environ.get('OMP_NUM_THREADS') != '1':
        return 'type: unset OMP_NUM_THREADS, so that it is chosen by the size of a step'
    return 'see what else the processor is doing; type: top'
