"""Installations that are whole, half, doubled or dead, each in an environment of its own."""

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
from d2l_seq2seq.doctor import installation, machine
from d2l_seq2seq.doctor.report import BROKEN, INFO, OK, WARNING

from conftest import ROOT

SITE = Path(onp.__file__).parents[1]
PIP_INSTALL = 'pip install' + (' --no-deps' if sys.version_info >= (3, 13) else '')


class Environment:
    """A Python with packages of our choice, all of which are links to those that run the tests."""

    def __init__(self, path):
        self.path = path
        venv.EnvBuilder(symlinks=True, with_pip=False).create(path)
        (self.site,) = path.glob('lib/python*/site-packages')

    def add_all_but(self, *names):
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

    def add_wheel(self, name, version='1.9.1', files=()):
        """What pip notes of a wheel, without the wheel."""
        folder = self.site / f'{name.replace("-", "_")}-{version}.dist-info'
        folder.mkdir()
        (folder / 'METADATA').write_text(
            f'Metadata-Version: 2.1\nName: {name}\nVersion: {version}\n'
        )
        (folder / 'RECORD').write_text(''.join(f'{file},,\n' for file in files))
        return self

    def examined(self, package=ROOT, exit_code=1, **variables):
        """The lines of the command, which has to survive and to find the exit code."""
        variables = {'D2L_SEQ2SEQ_DATA': str(self.path / 'missing'), **variables}
        environment = {
            **os.environ,
            'PYTHONPATH': str(package),
            'OMP_NUM_THREADS': '1',
            **variables,
        }
        result = subprocess.run(
            [str(self.path / 'bin' / 'python'), '-m', 'd2l_seq2seq.doctor'],
            env=environment,
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
        assert any(' disk ' in line for line in lines)  # it went on to its end
        return lines


@pytest.fixture
def environment(tmp_path):
    return Environment(tmp_path / 'env')


def of(subject, lines):
    """The lines about a subject, and the one after each, with their spaces made one."""
    return [
        ' '.join(' '.join(lines[number : number + 2]).split())
        for number, line in enumerate(lines)
        if re.match(rf'\w+ +{subject} ', line)
    ]


def test_nothing_is_installed_at_all(environment):
    lines = environment.examined()
    assert (
        'broken packages not installed: numpy, d2l, matplotlib, pooch, tqdm -> in this '
        in (of('packages', lines)[1])
    )
    assert of('mxnet', lines)[0].startswith('broken mxnet MXNet does not load: ModuleNotFoundError')
    assert 'numpy' in of('mxnet', lines)[0]
    assert 'not looked at: features, devices, numbers, d2l, speed' in of('mxnet', lines)[1]


def test_mxnet_is_missing(environment):
    lines = environment.add_all_but('mxnet', 'mxnet_cu112').examined()
    assert of('mxnet', lines)[0].startswith(
        f'broken mxnet MXNet is not installed -> type: {PIP_INSTALL} mxnet==1.9.1 (on a machine'
    )
    assert of('packages', lines)[-1].startswith('info')


def test_mxnets_module_was_removed_with_another_wheel(environment):
    environment.add_all_but('mxnet', 'mxnet_cu112').add_wheel('mxnet')
    assert of('mxnet', environment.examined())[0].startswith(
        'broken mxnet mxnet 1.9.1: noted as installed, but there is no module of that name -> '
        "type: pip uninstall -y mxnet; then in this project's folder type: pip install"
    )


def test_mxnet_lacks_a_library(environment):
    error = 'libcudart.so.11.0: cannot open shared object file: No such file or directory'
    environment.add_all_but('mxnet', 'mxnet_cu112').add_wheel('mxnet')
    lines = environment.add_module('mxnet/__init__', f'raise OSError({error!r})').examined()
    assert of('mxnet', lines)[0].startswith(
        f'broken mxnet MXNet is installed but its libraries do not load ({error}) -> for another '
        'build type: pip uninstall -y mxnet; then: pip install'
    )


def test_mxnet_is_there_twice(environment):
    environment.add_all_but('mxnet_cu112').add_wheel('mxnet-cu112')
    lines = environment.examined()
    assert of('mxnet', lines)[0].startswith(
        'broken mxnet mxnet and mxnet-cu112 are installed over each other -> type: pip uninstall '
        f'-y mxnet mxnet-cu112; then: {PIP_INSTALL} mxnet==1.9.1'
    )


def test_mxnet_ends_its_process(environment):
    code = 'import os, signal\nos.kill(os.getpid(), signal.SIGILL)'
    environment.add_all_but('mxnet', 'mxnet_cu112').add_wheel('mxnet')
    lines = environment.add_module('mxnet/__init__', code).examined()
    assert of('mxnet', lines)[0].startswith(
        'broken mxnet mxnet 1.9.1: loading it and computing ends the process (SIGILL) -> to see'
    )


@pytest.mark.parametrize('code', ['', 'raise RuntimeError("no\\nluck")', 'raise SystemExit(0)'])
def test_mxnet_is_something_else(environment, code):
    """Such as what is left where one of two wheels was removed."""
    environment.add_all_but('mxnet', 'mxnet_cu112').add_module('mxnet/__init__', code)
    lines = environment.add_wheel('mxnet').examined()
    assert of('mxnet', lines)[0].startswith('broken mxnet ')


def test_d2l_is_missing(environment):
    lines = environment.add_all_but('d2l').examined()
    assert of('packages', lines)[1].startswith('broken packages not installed: d2l -> in this')
    assert of('d2l', lines) == [] and len(of('speed', lines)) == 1  # all the rest is looked at


def test_d2l_is_of_another_edition(environment):
    environment.add_all_but('d2l').add_wheel('d2l', '9.9')
    environment.add_module('d2l/__init__', '').add_module('d2l/mxnet', 'class Timer:\n    pass')
    assert of('d2l', environment.examined())[0].startswith(
        'broken d2l d2l 9.9 has no Accumulator, grad_clipping -> in this'
    )
    environment.add_module('d2l/mxnet', 'import no_such_module')
    assert of('d2l', environment.examined())[0].startswith(
        "broken d2l d2l 9.9 does not load: ModuleNotFoundError: No module named 'no_such_module'"
    )


@pytest.fixture
def copy(environment):
    """A copy of the package in an environment of nothing else, with pip's note of it."""
    files = sorted(path.relative_to(ROOT) for path in (ROOT / 'd2l_seq2seq').glob('*.*'))
    shutil.copytree(ROOT / 'd2l_seq2seq', environment.site / 'd2l_seq2seq')
    environment.add_wheel('d2l-seq2seq', '0.2.0', files)
    return environment.site / 'd2l_seq2seq'


def test_this_package_is_half_installed(environment, copy):
    lines = environment.examined(package='')
    assert not any(line.startswith('broken') for line in of('package', lines))
    (copy / 'bundled.tsv').unlink()
    (copy / 'beam.py').unlink()
    _, module, corpus = of('package', environment.examined(package=''))
    assert module.startswith('broken package half installed: beam.py not there -> in this project')
    assert corpus.startswith('broken package half installed: bundled.tsv can not be read (FileNotF')
    (copy / 'corpus.py').unlink()
    lines = environment.examined(package='')
    assert "ModuleNotFoundError: No module named 'd2l_seq2seq.data.corpus'" in ' '.join(lines)


def test_a_server_of_several_machines_is_not_waited_for(environment):
    lines = environment.examined(DMLC_ROLE='server')
    assert of('mxnet', lines)[0].startswith('broken mxnet DMLC_ROLE=server is set, with which')
    assert '-> type: unset DMLC_ROLE' in of('mxnet', lines)[0]


# One check at a time, in this process


def only(check):
    (finding,) = check('subject')
    return finding


def test_loading_takes_for_ever(monkeypatch):
    monkeypatch.setattr(installation, 'SECONDS_TO_LOAD', 0.01)
    found = only(installation.check_mxnet)
    assert found.severity == BROKEN and found.text.endswith('does not load within 0.01 seconds')


def test_a_process_that_loads_mxnet_ends_well():
    assert installation._failure_of_a_process() == ''


def test_an_untried_mxnet_is_a_warning(monkeypatch):
    monkeypatch.setattr(installation, '_failure_of_a_process', lambda: '')
    assert only(installation.check_mxnet).severity == OK
    monkeypatch.setattr(installation, '_wheels', lambda: ['mxnet 1.9.1', 'mxnet-mkl 1.6.0'])
    found = only(installation.check_mxnet)
    assert found.severity == WARNING and found.text.startswith('mxnet 1.9.1, mxnet-mkl 1.6.0 in ')
    monkeypatch.setattr(installation, '_wheels', lambda: [])
    assert only(installation.check_mxnet).text.startswith('1.9.1, built from source, in ')


def test_the_known_loss_comes_out():
    found = only(installation.check_numbers)
    assert found.severity == OK and found.text.endswith('on cpu(0): 2.3026 1.1513 0.0000')


@pytest.mark.parametrize('losses', [[2.3026, 1.1513, 1e-3], [float('nan')] * 3, [2.0, 1.0, 0.0]])
def test_another_loss_is_broken(monkeypatch, losses):
    monkeypatch.setattr(installation, 'example_losses', lambda ctx: losses)
    found = only(installation.check_numbers)
    assert found.severity == BROKEN and 'ought to be 2.3026 1.1513 0.0000' in found.text


def test_what_the_chapter_uses_of_d2l_is_what_is_asked_for():
    tree = ast.parse((ROOT / 'd2l_seq2seq' / 'reference.py').read_text(encoding='utf-8'))
    used = {
        node.attr
        for node in ast.walk(tree)
        if isinstance(node, ast.Attribute)
        and isinstance(node.value, ast.Name)
        and node.value.id == 'd2l'
    }
    assert used == set(installation.USED_OF_D2L)
    assert only(installation.check_d2l).severity == OK


@pytest.mark.parametrize(
    'milliseconds, threads, severity, remedy',
    [
        (2.2, '1', OK, ''),
        (80.0, '1', WARNING, 'see what else'),
        (80.0, '64', WARNING, 'type: unset OMP_NUM_THREADS'),
    ],
)
def test_slow_is_a_warning(monkeypatch, milliseconds, threads, severity, remedy):
    monkeypatch.setattr(machine, 'milliseconds_per_batch', lambda ctx: milliseconds)
    monkeypatch.setenv('OMP_NUM_THREADS', threads)
    found = only(installation.check_speed)
    assert found.severity == severity and f'{milliseconds:.1f} ms a batch' in found.text
    assert found.remedy.startswith(remedy) and 'on two idle cores, above 8 is slow' in found.text


def test_features_and_devices():
    found = only(installation.check_features)
    assert re.fullmatch(
        'CUDA (yes|no), CUDNN (yes|no), MKLDNN (yes|no), OPENMP (yes|no), DIST_KVSTORE (yes|no)',
        found.text,
    )
    first, *_ = installation.check_devices('devices')
    assert first.severity == INFO and f'of {os.cpu_count()} CPU cores' in first.text


class Features(dict):
    def is_enabled(self, name):
        return self[name]


def test_a_gpu_build_without_gpus_and_a_cpu_build_without_onednn(monkeypatch):
    from d2l_seq2seq._mxnet import mx, npx

    features = Features(CUDA=True, MKLDNN=False)
    monkeypatch.setattr(mx.runtime, 'Features', lambda: features)
    monkeypatch.setattr(npx, 'num_gpus', lambda: 0)
    _, found = installation.check_devices('devices')
    assert (found.severity, found.remedy) == (WARNING, 'type: nvidia-smi')
    assert only(installation.check_features).text.endswith('OPENMP no, DIST_KVSTORE no')
    features['CUDA'] = False
    assert len(list(installation.check_devices('devices'))) == 1
    _, found = installation.check_features('features')
    assert found.severity == WARNING and 'slow on a CPU' in found.text


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
    there, absent = installation.check_packages('packages')
    assert there.text.endswith('tqdm 5, sentencepiece 6, jupyterlab 7')
    assert (absent.severity, absent.remedy) == (
        INFO,
        'for these type: pip install sacrebleu tensorboardX',
    )


def test_a_package_without_a_note_of_its_version(monkeypatch):
    assert installation._version('numpy') == onp.__version__
    assert installation._version('no_such_package') == ''

    def lost(name):
        raise importlib.metadata.PackageNotFoundError(name)

    monkeypatch.setattr(importlib.metadata, 'version', lost)
    assert installation._version('numpy') == 'of unknown version'


@pytest.mark.parametrize('error', [InputError('it is empty'), OSError(2, 'No such file')])
def test_a_bundled_corpus_that_can_not_be_read(monkeypatch, error):
    def fail(name):
        raise error

    monkeypatch.setattr('d2l_seq2seq.data.corpus.read_corpus', fail)
    _, found = installation.check_package('package')
    assert found.severity == BROKEN and 'bundled.tsv can not be read' in found.text


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
def test_each_checks_own_failure_is_a_line(monkeypatch, check):
    def fail(subject):
        raise ZeroDivisionError('ours')

    monkeypatch.setattr(installation, '_failure_of_a_process', lambda: '')
    monkeypatch.setattr(machine, 'milliseconds_per_batch', lambda ctx: 2.0)
    monkeypatch.setattr(installation, check, fail)
    found = list(installation.diagnose())
    (broken,) = [finding for finding in found if finding.severity == BROKEN]
    assert broken.text == 'ZeroDivisionError: ours' and f'check_{broken.subject}' == check
    assert found[-1].subject == 'memory' and len(found) >= 8


def test_a_signal_has_its_name(monkeypatch):
    monkeypatch.setattr(
        subprocess,
        'run',
        lambda *args, **kwargs: subprocess.CompletedProcess(args, -signal.SIGSEGV),
    )
    assert installation._failure_of_a_process().endswith('ends the process (SIGSEGV)')
