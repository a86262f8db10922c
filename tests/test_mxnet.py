"""Loading MXNet: the wheel, the names in NumPy, the libraries, the driver, and the messages."""

import ast
import importlib
import re
import subprocess
import sys
from pathlib import Path

import numpy as onp
import pytest

from d2l_seq2seq import _libraries, _mxnet
from d2l_seq2seq._mxnet import mx

from conftest import ROOT

PIP_INSTALL = 'pip install' + (' --no-deps' if sys.version_info >= (3, 13) else '')
HOW_TO_INSTALL_CPU_BUILD = f'type: pip uninstall -y mxnet-cu112; then: {PIP_INSTALL} mxnet==1.9.1'


def test_one_wheel_is_accepted():
    _mxnet._check_wheels(['mxnet'], has_module=True)
    _mxnet._check_wheels([], has_module=True)  # built from source


def test_missing_mxnet():
    message = f'MXNet is not installed. Type: {PIP_INSTALL} mxnet==1.9.1 (on a machine'
    with pytest.raises(ImportError, match=f'^{re.escape(message)}'):
        _mxnet._check_wheels([], has_module=False)


def test_two_wheels():
    message = (
        'mxnet and mxnet-cu112 are installed on top of each other. '
        f'Type: pip uninstall -y mxnet mxnet-cu112; then: {PIP_INSTALL} mxnet==1.9.1 (on'
    )
    with pytest.raises(ImportError, match=f'^{re.escape(message)}'):
        _mxnet._check_wheels(['mxnet', 'mxnet-cu112'], has_module=True)


def test_this_environment_has_one_wheel():
    assert len(_libraries.installed_wheels()) == 1


def names_read_from_numpy(path):
    """Return the names that a file reads from NumPy, under whatever name it imports NumPy."""
    tree = ast.parse(path.read_text(encoding='utf-8'))
    aliases = {
        alias.asname or alias.name
        for node in ast.walk(tree)
        if isinstance(node, ast.Import)
        for alias in node.names
        if alias.name == 'numpy'
    }
    return {
        node.attr
        for node in ast.walk(tree)
        if isinstance(node, ast.Attribute)
        and isinstance(node.value, ast.Name)
        and node.value.id in aliases
    }


@pytest.mark.filterwarnings('ignore')  # NumPy's, about names that it will remove
def test_numpy_has_every_name_that_mxnet_reads():
    files = set(Path(mx.__file__).parent.rglob('*.py'))
    names = set().union(
        *(names_read_from_numpy(path) for path in files if path.name != 'test_utils.py')
    )  # which only MXNet's own tests use
    assert {'asarray', 'bool', 'PZERO', 'msort', 'compat'} <= names
    assert [name for name in sorted(names) if not hasattr(onp, name)] == []


def test_numpy_scalars_as_parameters_of_operators():
    two = onp.int64(2)
    array = mx.np.arange(6).reshape(two, 3)
    assert array[: two - 1, two].tolist() == [2]
    assert mx.nd.zeros((two, onp.int32(3))).shape == (2, 3)
    assert mx.sym.zeros((two, 3)).infer_shape()[1] == [(2, 3)]
    assert mx.nd.random.uniform(onp.float32(2), onp.float32(3), (two, 3)).min().asscalar() >= 2
    assert mx.np.pad(array, ((0, onp.int64(1)), (0, 0)), mode='constant').shape == (3, 3)


def test_names_that_numpy_has_are_kept():
    code = (
        "import numpy\nnumpy.PZERO = 'kept'\nfrom d2l_seq2seq._mxnet import np\n"
        "assert numpy.PZERO == np.PZERO == 'kept'"
    )
    subprocess.run([sys.executable, '-c', code], check=True, cwd=ROOT)


def test_added_names_have_their_former_meaning():
    names = _mxnet._NUMPY_NAMES
    table = onp.array([[3, 0], [1, 2]])
    assert names['msort'](table).tolist() == [[1, 0], [3, 2]]
    assert (names['product'](table), names['alltrue'](table), names['sometrue'](table)) == (0, 0, 1)
    assert names['round_'](2.567, 1) == 2.6
    assert (names['PINF'], names['NINF']) == (float('inf'), -float('inf'))
    assert [str(names[name]) for name in ('PZERO', 'NZERO', 'NaN', 'NAN')] == [
        '0.0',
        '-0.0',
        'nan',
        'nan',
    ]
    with pytest.raises(
        RuntimeError, match='^NumPy no longer has npv; the package numpy_financial has it$'
    ):
        names['npv'](0.1, [1, 2])


def test_operators_that_use_the_added_names():
    array = mx.np.array([[3.26, 1.51], [0.0, 2.0]])
    assert mx.np.product(array).item() == 0
    assert mx.np.round_(array, 1).tolist() == onp.round(array.asnumpy(), 1).tolist()
    assert (bool(mx.np.sometrue(array > 3)), bool(mx.np.alltrue(array > 3))) == (True, False)
    assert mx.np.msort(array).tolist() == onp.sort(array.asnumpy(), axis=0).tolist()
    assert mx.np.pad(array, ((0, 1), (0, 0)), mode='constant')[2].tolist() == [0, 0]
    assert onp.prod(array).item() == 0  # NumPy's own function, which calls MXNet's


class Importer:
    """A substitute for `importlib.import_module` that raises each error in turn, then succeeds."""

    def __init__(self, *errors):
        self.errors, self.calls = list(errors), []

    def __call__(self, name):
        self.calls.append(name)
        if self.errors:
            raise self.errors.pop(0)


@pytest.fixture
def importer(monkeypatch):
    importer = Importer(OSError('libcudnn.so.8: cannot open shared object file'))
    monkeypatch.setattr(importlib, 'import_module', importer)
    monkeypatch.setattr(
        _libraries, 'load_cuda_libraries', lambda: importer.calls.append('libraries')
    )
    return importer


def test_cuda_of_the_system_takes_precedence(importer):
    importer.errors.clear()
    _mxnet._import_mxnet(['mxnet-cu112'])
    assert importer.calls == ['mxnet']


def test_libraries_are_loaded_when_the_import_fails(importer):
    _mxnet._import_mxnet(['mxnet-cu112'])
    assert importer.calls == ['mxnet', 'libraries', 'mxnet']


@pytest.mark.parametrize('release', range(112, 118))
def test_every_build_for_cuda_11_2_and_later_loads_nvidias_wheels(importer, release):
    _mxnet._import_mxnet([f'mxnet-cu{release}'])
    assert importer.calls == ['mxnet', 'libraries', 'mxnet']


@pytest.mark.parametrize('wheels', [['mxnet'], []])
def test_cuda_libraries_are_not_loaded_for_other_builds(importer, wheels):
    with pytest.raises(ImportError) as caught:
        _mxnet._import_mxnet(wheels)
    assert str(caught.value).startswith(
        'MXNet is installed, but its libraries do not load (libcudnn.so.8: cannot open shared '
        'object file). To install another build, type: pip uninstall -y ' + (wheels or ['mxnet'])[0]
    )
    assert importer.calls == ['mxnet']


def test_library_that_is_still_missing_is_named(importer):
    importer.errors.append(OSError('libgfortran.so.3: cannot open shared object file'))
    with pytest.raises(ImportError, match=r'libraries do not load \(libgfortran.so.3: cannot'):
        _mxnet._import_mxnet(['mxnet-cu112'])


@pytest.mark.parametrize(
    'error, line',
    [
        (
            _libraries.MissingDriver('libcuda.so.1: cannot open'),
            'the GPU build of MXNet needs an NVIDIA driver, and none is installed. '
            f'To use the CPU build instead, {HOW_TO_INSTALL_CPU_BUILD}',
        ),
        (
            _libraries.MissingLibrary('libcufft.so.10: cannot open'),
            'a CUDA library does not load (libcufft.so.10: cannot open). '
            "Type: pip install 'd2l-seq2seq[cu112]'",
        ),
    ],
)
def test_missing_driver_or_library(importer, monkeypatch, error, line):
    def fail():
        raise error

    monkeypatch.setattr(_libraries, 'load_cuda_libraries', fail)
    with pytest.raises(_mxnet.MXNetImportError) as caught:
        _mxnet._import_mxnet(['mxnet-cu112'])
    assert str(caught.value) == line


def test_driver_that_cuda_rejects(monkeypatch):
    def fail():
        raise mx.MXNetError('Traceback\n  File "base.h"\nCUDA: unknown error\n')

    _mxnet._check_driver(mx, ['mxnet-cu112'])
    monkeypatch.setattr(mx.context, 'num_gpus', fail)
    with pytest.raises(_mxnet.MXNetImportError) as caught:
        _mxnet._check_driver(mx, ['mxnet-cu112'])
    assert str(caught.value) == (
        'CUDA cannot work with the installed NVIDIA driver (CUDA: unknown error). '
        f'Install a newer driver, or use the CPU build; {HOW_TO_INSTALL_CPU_BUILD}'
    )


def test_command_without_mxnet_prints_one_line(tmp_path):
    hide = (
        'import importlib.util, sys\nfind = importlib.util.find_spec\n'
        'importlib.util.find_spec = lambda name, *rest: '
        "None if name == 'mxnet' else find(name, *rest)\n"
        'from d2l_seq2seq import cli\nfrom d2l_seq2seq import train\n'
        f"sys.argv = ['train', '--corpus', 'bundled', '--out', {str(tmp_path / 'run')!r}]\n"
        'cli.run(train.main)'
    )
    result = subprocess.run([sys.executable, '-c', hide], capture_output=True, text=True, cwd=ROOT)
    assert result.returncode == 2
    assert result.stderr.startswith('error: MXNet is not installed. Type: pip install')
    assert len(result.stderr.splitlines()) == 1
    assert not (tmp_path / 'run').exists()


def test_seed_applies_to_both_generators():
    def draw():
        _mxnet.seed_generators(7)
        return _mxnet.np.random.uniform(size=3).tolist(), onp.random.rand(3).tolist()

    assert draw() == draw()
