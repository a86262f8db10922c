"""Checks of complete, incomplete and broken installations, each in its own environment."""

import ast
import importlib.metadata
import os
import re
import shutil
import signal
import subprocess
import sys
import venv
from pathlib import Path

import numpy as onp
import pytest

from d2l_seq2seq import InputError
from d2l_seq2seq.doctor import installation, speed
from d2l_seq2seq.doctor.report import BROKEN, INFO, OK, WARNING

from conftest import ROOT

SITE = Path(onp.__file__).parents[1]
PIP_INSTALL = 'pip install' + (' --no-deps' if sys.version_info >= (3, 13) else '')


class Environment:
    """A virtual environment with a choice of packages, linked from the one that runs the tests."""

    def __init__(self, path):
        self.path = path
        venv.EnvBuilder(symlinks=True, with_pip=False).create(path)
        (self.site,) = path.glob('lib/python*/site-packages')

    def add_all_but(self, *names):
        """Link all packages except some, and never this one."""
        for entry in SITE.iterdir():
            name = entry.name.lower().split('-')[0].split('.')[0]
            if name not in names and 'd2l_seq2seq' not in entry.name:
                (self.site / entry.name).symlink_to(entry)
        return self

    def add_module(self, name, code):
        path = self.site / f'{name}.py'
        path.parent.mkdir(exist_ok=True)
        path.write_text(code)
        return self

    def add_metadata(self, name, version='1.9.1', files=()):
        """Add what pip records about a wheel, without the contents of the wheel."""
        folder = self.site / f'{name.replace("-", "_")}-{version}.dist-info'
        folder.mkdir()
        (folder / 'METADATA').write_text(
            f'Metadata-Version: 2.1\nName: {name}\nVersion: {version}\n'
        )
        (folder / 'RECORD').write_text(''.join(f'{file},,\n' for file in files))
        return self

    def run_doctor(self, package=ROOT, exit_code=1, **variables):
        """Return the lines of the command, which must run to its end with the exit code."""
        result = subprocess.run(
            [str(self.path / 'bin' / 'python'), '-m', 'd2l_seq2seq.doctor'],
            env={
                **os.environ,
                'PYTHONPATH': str(package),
                'OMP_NUM_THREADS': '1',
                'D2L_SEQ2SEQ_DATA': str(self.path / 'missing'),
                **variables,
            },
            capture_output=True,
            text=True,
            cwd=self.path,
            timeout=300,
        )
        assert 'Traceback' not in result.stdout + result.stderr, result.stderr
        assert result.returncode == exit_code, result.stdout + result.stderr
        *lines, last = result.stdout.splitlines()
        assert all(re.match(r'(ok|info|warning|broken) +\w+ +\S| +-> \S', line) for line in lines)
        assert exit_code == 0 or re.search('broken', last)
        assert any(' disk ' in line for line in lines)  # one of the last checks
        return lines


@pytest.fixture
def environment(tmp_path):
    return Environment(tmp_path / 'env')


def findings_of(subject, lines):
    """Return the lines about a subject, each joined with the next one, with single spaces."""
    return [
        ' '.join(' '.join(lines[number : number + 2]).split())
        for number, line in enumerate(lines)
        if re.match(rf'\w+ +{subject} ', line)
    ]


def test_empty_environment(environment):
    lines = environment.run_doctor()
    assert (
        'broken packages not installed: numpy, d2l, matplotlib, pooch, tqdm -> In the folder of'
        in findings_of('packages', lines)[1]
    )
    broken, skipped = findings_of('mxnet', lines)
    assert broken.startswith('broken mxnet MXNet does not load: ModuleNotFoundError')
    assert 'numpy' in broken
    assert skipped.startswith(
        'info mxnet not checked because MXNet does not load: features, devices, numbers, d2l, speed'
    )


def test_mxnet_is_missing(environment):
    lines = environment.add_all_but('mxnet', 'mxnet_cu112').run_doctor()
    assert findings_of('mxnet', lines)[0].startswith(
        f'broken mxnet MXNet is not installed -> Type: {PIP_INSTALL} mxnet==1.9.1 (on a machine'
    )
    assert findings_of('packages', lines)[-1].startswith('info')


def test_mxnet_module_was_removed_with_another_wheel(environment):
    environment.add_all_but('mxnet', 'mxnet_cu112').add_metadata('mxnet')
    assert findings_of('mxnet', environment.run_doctor())[0].startswith(
        'broken mxnet mxnet 1.9.1: installed according to pip, but the module mxnet is missing -> '
        'In the folder of this project, type: pip uninstall -y mxnet; then: pip install'
    )


def test_mxnet_lacks_a_library(environment):
    error = 'libcudart.so.11.0: cannot open shared object file: No such file or directory'
    environment.add_all_but('mxnet', 'mxnet_cu112').add_metadata('mxnet')
    lines = environment.add_module('mxnet/__init__', f'raise OSError({error!r})').run_doctor()
    assert findings_of('mxnet', lines)[0].startswith(
        f'broken mxnet MXNet is installed, but its libraries do not load ({error}) -> To install '
        'another build, type: pip uninstall -y mxnet; then: pip install'
    )


def test_two_wheels_of_mxnet(environment):
    environment.add_all_but('mxnet_cu112').add_metadata('mxnet-cu112')
    lines = environment.run_doctor()
    assert findings_of('mxnet', lines)[0].startswith(
        'broken mxnet mxnet and mxnet-cu112 are installed on top of each other -> Type: pip '
        f'uninstall -y mxnet mxnet-cu112; then: {PIP_INSTALL} mxnet==1.9.1'
    )


def test_mxnet_crashes(environment):
    code = 'import os, signal\nos.kill(os.getpid(), signal.SIGILL)'
    environment.add_all_but('mxnet', 'mxnet_cu112').add_metadata('mxnet')
    lines = environment.add_module('mxnet/__init__', code).run_doctor()
    assert findings_of('mxnet', lines)[0].startswith(
        'broken mxnet mxnet 1.9.1: the process crashes when it loads MXNet or computes with it '
        '(SIGILL) -> To see'
    )


@pytest.mark.parametrize('code', ['', 'raise RuntimeError("no\\nluck")', 'raise SystemExit(0)'])
def test_mxnet_is_another_module(environment, code):
    """For instance the remains of two wheels after one of them was removed."""
    environment.add_all_but('mxnet', 'mxnet_cu112').add_module('mxnet/__init__', code)
    lines = environment.add_metadata('mxnet').run_doctor()
    assert findings_of('mxnet', lines)[0].startswith('broken mxnet ')


def test_d2l_is_missing(environment):
    lines = environment.add_all_but('d2l').run_doctor()
    assert findings_of('packages', lines)[1].startswith(
        'broken packages not installed: d2l -> In the folder of'
    )
    # The other checks run all the same.
    assert findings_of('d2l', lines) == [] and len(findings_of('speed', lines)) == 1


def test_d2l_of_another_edition(environment):
    environment.add_all_but('d2l').add_metadata('d2l', '9.9')
    environment.add_module('d2l/__init__', '').add_module('d2l/mxnet', 'class Timer:\n    pass')
    assert findings_of('d2l', environment.run_doctor())[0].startswith(
        'broken d2l d2l 9.9 has no Accumulator, grad_clipping -> In the folder of'
    )
    environment.add_module('d2l/mxnet', 'import no_such_module')
    assert findings_of('d2l', environment.run_doctor())[0].startswith(
        "broken d2l d2l 9.9 does not load: ModuleNotFoundError: No module named 'no_such_module'"
    )


@pytest.fixture
def installed_copy(environment):
    """A copy of the package in an otherwise empty environment, with pip's record of its files."""
    folder = environment.site / 'd2l_seq2seq'
    shutil.copytree(ROOT / 'd2l_seq2seq', folder, ignore=shutil.ignore_patterns('__pycache__'))
    files = sorted(path.relative_to(environment.site) for path in folder.rglob('*.*'))
    environment.add_metadata('d2l-seq2seq', '0.2.0', files)
    return folder


def test_incomplete_installation_of_this_package(environment, installed_copy):
    lines = environment.run_doctor(package='')
    assert not any(line.startswith('broken') for line in findings_of('package', lines))
    (installed_copy / 'book' / 'bundled.tsv').unlink()
    (installed_copy / 'inference' / 'beam_search.py').unlink()
    (installed_copy / 'train.py').unlink()
    _, modules, corpus = findings_of('package', environment.run_doctor(package=''))
    assert modules.startswith(
        'broken package incomplete installation: inference/beam_search.py, train.py missing -> '
        'In the folder of this project'
    )
    assert corpus.startswith(
        'broken package incomplete installation: bundled.tsv cannot be read (FileNotFoundError'
    )
    (installed_copy / 'data' / 'corpus.py').unlink()
    lines = environment.run_doctor(package='')
    assert "ModuleNotFoundError: No module named 'd2l_seq2seq.data.corpus'" in ' '.join(lines)


def test_role_of_a_server_is_reported_without_loading_mxnet(environment):
    lines = environment.run_doctor(DMLC_ROLE='server')
    assert findings_of('mxnet', lines)[0].startswith(
        'broken mxnet DMLC_ROLE=server is set, which makes MXNet run as a server and never finish '
        'loading -> Type: unset DMLC_ROLE'
    )


# One check at a time, in the process of the tests


def only(check):
    """Return the only finding of a check."""
    (finding,) = check('subject')
    return finding


def test_timeout_of_loading(monkeypatch):
    monkeypatch.setattr(installation, 'LOAD_TIMEOUT', 0.01)
    finding = only(installation.check_mxnet)
    assert finding.severity == BROKEN
    assert finding.text.endswith(': does not load within 0.01 seconds')


def test_mxnet_loads_in_a_subprocess():
    assert installation._failure_in_subprocess() == ''


def test_untested_mxnet_is_a_warning(monkeypatch):
    monkeypatch.setattr(installation, '_failure_in_subprocess', str)
    assert only(installation.check_mxnet).severity == OK
    monkeypatch.setattr(installation, '_mxnet_wheels', lambda: ['mxnet 1.9.1', 'mxnet-mkl 1.6.0'])
    finding = only(installation.check_mxnet)
    assert finding.severity == WARNING
    assert finding.text.startswith('mxnet 1.9.1, mxnet-mkl 1.6.0 in ')
    assert finding.text.endswith('; only a single MXNet 1.9.1 has been tested')
    monkeypatch.setattr(installation, '_mxnet_wheels', list)
    assert only(installation.check_mxnet).text.startswith('1.9.1, built from source, in ')


def test_example_loss_is_correct():
    finding = only(installation.check_numbers)
    assert finding.severity == OK and finding.text.endswith('on cpu(0): 2.3026 1.1513 0.0000')


@pytest.mark.parametrize('losses', [[2.3026, 1.1513, 1e-3], [float('nan')] * 3, [2.0, 1.0, 0.0]])
def test_another_loss_is_broken(monkeypatch, losses):
    monkeypatch.setattr(installation, 'example_losses', lambda ctx: losses)
    finding = only(installation.check_numbers)
    assert finding.severity == BROKEN
    assert finding.text.startswith(
        'the masked loss is wrong on cpu(0): expected 2.3026 1.1513 0.0000, got '
    )


def test_names_of_d2l_are_those_that_the_chapter_uses():
    tree = ast.parse((ROOT / 'd2l_seq2seq' / 'book' / 'seq2seq.py').read_text(encoding='utf-8'))
    used = {
        node.attr
        for node in ast.walk(tree)
        if isinstance(node, ast.Attribute)
        and isinstance(node.value, ast.Name)
        and node.value.id == 'd2l'
    }
    assert used == set(installation.D2L_NAMES)
    assert only(installation.check_d2l).severity == OK


def test_features_and_devices():
    finding = only(installation.check_features)
    assert re.fullmatch(
        'CUDA (yes|no), CUDNN (yes|no), MKLDNN (yes|no), OPENMP (yes|no), DIST_KVSTORE (yes|no)',
        finding.text,
    )
    first, *_ = installation.check_devices('devices')
    assert first.severity == INFO and f'of {os.cpu_count()} CPU cores' in first.text


class Features(dict):
    def is_enabled(self, name):
        return self[name]


def test_gpu_build_without_gpus_and_cpu_build_without_onednn(monkeypatch):
    from d2l_seq2seq._mxnet import mx, npx

    features = Features(CUDA=True, MKLDNN=False)
    monkeypatch.setattr(mx.runtime, 'Features', lambda: features)
    monkeypatch.setattr(npx, 'num_gpus', lambda: 0)
    _, finding = installation.check_devices('devices')
    assert (finding.severity, finding.hint) == (
        WARNING,
        'To see whether the driver finds one, type: nvidia-smi',
    )
    assert only(installation.check_features).text.endswith('OPENMP no, DIST_KVSTORE no')
    features['CUDA'] = False
    assert len(list(installation.check_devices('devices'))) == 1
    _, finding = installation.check_features('features')
    assert finding.severity == WARNING and 'slow on a CPU' in finding.text


def test_optional_packages(monkeypatch):
    versions = {
        'numpy': '1',
        'd2l': '2',
        'matplotlib': '3',
        'pooch': '4',
        'tqdm': '5',
        'sentencepiece': '6',
        'jupyterlab': '7',
    }
    monkeypatch.setattr(installation, '_version', lambda name: versions.get(name, ''))
    installed, missing = installation.check_packages('packages')
    assert installed.text.endswith('tqdm 5, sentencepiece 6, jupyterlab 7')
    assert (missing.severity, missing.hint) == (
        INFO,
        'To install them, type: pip install sacrebleu tensorboardX',
    )


def test_package_without_metadata(monkeypatch):
    assert installation._version('numpy') == onp.__version__
    assert installation._version('no_such_package') == ''

    def raise_error(name):
        raise importlib.metadata.PackageNotFoundError(name)

    monkeypatch.setattr(importlib.metadata, 'version', raise_error)
    assert installation._version('numpy') == '(unknown version)'


@pytest.mark.parametrize('error', [InputError('it is empty'), OSError(2, 'No such file')])
def test_bundled_corpus_that_cannot_be_read(monkeypatch, error):
    def fail(name):
        raise error

    monkeypatch.setattr('d2l_seq2seq.data.corpus.read_corpus', fail)
    _, finding = installation.check_package('package')
    assert finding.severity == BROKEN and 'bundled.tsv cannot be read (' in finding.text


@pytest.mark.parametrize(
    'check',
    [
        'check_package',
        'check_python',
        'check_packages',
        'check_threads',
        'check_mxnet',
        'check_features',
        'check_devices',
        'check_numbers',
        'check_d2l',
        'check_speed',
        'check_corpus',
        'check_disk',
        'check_memory',
    ],
)
def test_exception_in_each_check_is_a_finding(monkeypatch, check):
    def fail(subject):
        raise ZeroDivisionError('failed')

    monkeypatch.setattr(installation, '_failure_in_subprocess', str)
    monkeypatch.setattr(speed, 'milliseconds_per_batch', lambda ctx: 2.0)
    monkeypatch.setattr(installation, check, fail)
    findings = list(installation.diagnose())
    (broken,) = [finding for finding in findings if finding.severity == BROKEN]
    assert broken.text == 'ZeroDivisionError: failed' and f'check_{broken.subject}' == check
    assert findings[-1].subject == 'memory' and len(findings) >= 8


def test_signal_is_reported_by_name(monkeypatch):
    monkeypatch.setattr(
        subprocess,
        'run',
        lambda *args, **kwargs: subprocess.CompletedProcess(args, -signal.SIGSEGV),
    )
    assert installation._failure_in_subprocess().endswith('computes with it (SIGSEGV)')
