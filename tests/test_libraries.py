"""The CUDA libraries that are loaded before MXNet, tested with a fake linker and fake libraries."""

import ctypes
import ctypes.util
import os
import platform
import shutil
import subprocess
import sys

import pytest

from d2l_seq2seq import _libraries

from conftest import ROOT

sys.path.insert(0, str(ROOT / 'benchmarks'))
import environments  # noqa: E402

# The other libraries that a library of the wheels is linked with.
NEEDED = {
    'libcublas.so.11': ['libcublasLt.so.11'],
    'libcusolver.so.11': ['libcublas.so.11', 'libcublasLt.so.11'],
}


class Linker:
    """A linker that records what it loads; a bare name stands for a library of the system."""

    def __init__(self):
        self.loaded, self.missing = [], set()

    def __call__(self, path, mode):
        assert mode == ctypes.RTLD_GLOBAL
        name = os.path.basename(path)
        if name in self.missing:
            raise OSError(f'{name}: cannot open shared object file')
        self.loaded.append(path)


@pytest.fixture
def linker(monkeypatch):
    linker = Linker()
    monkeypatch.setattr(ctypes, 'CDLL', linker)
    return linker


def add_wheel(folder, package, name):
    path = folder / 'nvidia' / package / 'lib' / name
    path.parent.mkdir(parents=True, exist_ok=True)
    path.touch()
    return str(path)


def test_the_first_folder_with_a_library_is_used_or_the_system(linker, tmp_path):
    add_wheel(tmp_path / 'later', 'cudnn', 'libcudnn.so.8')
    cudnn = add_wheel(tmp_path / 'first', 'cudnn', 'libcudnn.so.8')
    nccl = add_wheel(tmp_path / 'later', 'nccl', 'libnccl.so.2')
    _libraries.load_cuda_libraries(str(tmp_path / name) for name in ('empty', 'first', 'later'))
    expected = [name for _, name in _libraries.CUDA_LIBRARIES]
    expected[expected.index('libcudnn.so.8')] = cudnn
    expected[expected.index('libnccl.so.2')] = nccl
    assert linker.loaded == ['libcuda.so.1', *expected]


def test_the_default_folders_are_those_of_python(linker, tmp_path, monkeypatch):
    cudart = add_wheel(tmp_path, 'cuda_runtime', 'libcudart.so.11.0')
    monkeypatch.syspath_prepend(str(tmp_path))
    _libraries.load_cuda_libraries()
    assert cudart in linker.loaded


def test_without_a_driver_nothing_is_loaded(linker):
    linker.missing.update({'libcuda.so.1', 'libcudnn.so.8'})
    with pytest.raises(_libraries.MissingDriver, match='libcuda.so.1: cannot open'):
        _libraries.load_cuda_libraries([])
    assert linker.loaded == []


@pytest.mark.parametrize('name', [name for _, name in _libraries.CUDA_LIBRARIES])
def test_a_missing_library_is_named(linker, name):
    linker.missing.add(name)
    with pytest.raises(_libraries.MissingLibrary, match=f'^{name}: cannot open'):
        _libraries.load_cuda_libraries([])


def test_a_library_comes_after_the_ones_that_it_needs():
    names = [name for _, name in _libraries.CUDA_LIBRARIES]
    assert len(set(names)) == len(names) == 11
    for name, needed in NEEDED.items():
        assert all(names.index(other) < names.index(name) for other in needed)


def test_the_extra_installs_a_wheel_for_each_library():
    wheels = {
        line.split('==')[0].strip()
        for line in (ROOT / 'setup.cfg').read_text().splitlines()
        if line.strip().startswith('nvidia-')
    }
    assert {
        f'nvidia-{package.replace("_", "-")}-cu11' for package, _ in _libraries.CUDA_LIBRARIES
    } == wheels


@pytest.mark.parametrize('release', [112, 113, 114, 115, 116, 117])
def test_there_is_an_extra_for_each_build_with_libraries(release):
    assert f'mxnet-cu{release}' in _libraries.WHEELS_WITH_CUDA
    lines = environments._project_requirements(f'cu{release}')
    assert f'mxnet-cu{release}==1.9.1; python_version < "3.13"' in lines
    assert sum(line.startswith('nvidia-') for line in lines) == len(
        {package for package, _ in _libraries.CUDA_LIBRARIES}
    )


@pytest.mark.parametrize(
    'wheel',
    ['mxnet', 'mxnet-mkl', 'mxnet-native', 'mxnet-cu92', 'mxnet-cu100', 'mxnet-cu101mkl']
    + [f'mxnet-cu{release}' for release in (101, 102, *range(110, 118))],
)
def test_every_wheel_of_mxnet_is_recognized(tmp_path, monkeypatch, wheel):
    """The metadata of a wheel is all that there is of it here."""
    folder = tmp_path / f'{wheel.replace("-", "_")}-1.9.1.dist-info'
    folder.mkdir()
    (folder / 'METADATA').write_text(f'Metadata-Version: 2.1\nName: {wheel}\nVersion: 1.9.1\n')
    monkeypatch.setattr(sys, 'path', [str(tmp_path)])
    assert _libraries.installed_wheels() == {wheel: '1.9.1'}


@pytest.mark.parametrize(
    'platform_name, processor, message',
    [
        ('linux', 'x86_64', 'Type: pip install'),
        ('darwin', 'x86_64', 'Type: pip install'),
        ('darwin', 'arm64', 'no wheel for Apple silicon. Use a Linux container'),
        ('win32', 'AMD64', 'no wheel for Windows. Install this package in WSL 2'),
    ],
)
def test_the_hint_without_mxnet_suits_the_machine(monkeypatch, platform_name, processor, message):
    monkeypatch.setattr(sys, 'platform', platform_name)
    monkeypatch.setattr(platform, 'machine', lambda: processor)
    assert message in _libraries.how_to_install()


@pytest.mark.parametrize(
    'error, wheel, message',
    [
        ('libarmpl_lp64_mp.so: cannot open', 'mxnet', 'On aarch64, MXNet needs the Arm Perf'),
        ('libquadmath.so.0: cannot open', 'mxnet', 'Type: sudo apt-get install libquadmath0'),
        ('libgomp.so.1: cannot open', 'mxnet', 'Type: sudo apt-get install libgomp1'),
        (
            'libcudart.so.10.2: cannot open',
            'mxnet-cu102',
            'mxnet-cu102 needs an installed CUDA 10.2 with cuDNN',
        ),
        ('libcudnn.so.7: cannot open', 'mxnet-cu92mkl', 'needs an installed CUDA 9.2'),
        ('libnvrtc.so.11.0: cannot open', 'mxnet-cu110', 'needs an installed CUDA 11.0'),
        ('libfoo.so: cannot open', 'mxnet', 'To install another build, type: pip uninstall -y mx'),
    ],
)
def test_a_library_that_does_not_load_gets_the_advice_for_it(error, wheel, message):
    assert message in _libraries.how_to_install_library(error, [wheel])


@pytest.fixture
def linked(tmp_path):
    """Build the libraries in `wheels` and `driver`, and a `libmxnet.so` that needs all of them."""

    def build(path, needed=()):
        path.parent.mkdir(parents=True, exist_ok=True)
        subprocess.run(
            [
                'cc',
                '-shared',
                '-o',
                path,
                source,
                f'-Wl,-soname,{path.name}',
                '-Wl,--no-as-needed,--allow-shlib-undefined',
                *needed,
            ],
            check=True,
        )
        return path

    source = tmp_path / 'empty.c'
    source.touch()
    built = {'libcuda.so.1': build(tmp_path / 'driver' / 'libcuda.so.1')}
    for package, name in _libraries.CUDA_LIBRARIES:
        built[name] = build(
            tmp_path / 'wheels' / 'nvidia' / package / 'lib' / name,
            [built[other] for other in NEEDED.get(name, [])],
        )
    build(tmp_path / 'libmxnet.so', built.values())
    return tmp_path


@pytest.mark.skipif(
    shutil.which('cc') is None or platform.system() != 'Linux',
    reason='builds libraries with a C compiler on Linux',
)
def test_the_linker_uses_libraries_that_are_loaded(linked):
    code = """
import ctypes, sys
from d2l_seq2seq import _libraries
try:
    ctypes.CDLL('./libmxnet.so')
except OSError as error:
    print(error)
sys.path.append('wheels')
try:
    _libraries.load_cuda_libraries()
    ctypes.CDLL('./libmxnet.so')
    print('loaded')
except OSError as error:
    print(type(error).__name__, error)
"""

    def lines(library_path):
        result = subprocess.run(
            [sys.executable, '-c', code],
            cwd=linked,
            capture_output=True,
            text=True,
            check=True,
            env={**os.environ, 'LD_LIBRARY_PATH': library_path, 'PYTHONPATH': str(ROOT)},
        )
        return result.stdout.splitlines()

    missing = 'cannot open shared object file: No such file or directory'
    # On a machine that has a driver or CUDA, fewer libraries are missing.
    if ctypes.util.find_library('cuda') or ctypes.util.find_library('cudart'):
        assert lines('driver')[-1] == 'loaded'
        return
    assert lines('') == [f'libcuda.so.1: {missing}', f'MissingDriver libcuda.so.1: {missing}']
    assert lines('driver') == [f'libcudart.so.11.0: {missing}', 'loaded']
    shutil.rmtree(linked / 'wheels' / 'nvidia' / 'nccl')
    assert lines('driver')[1:] == [f'MissingLibrary libnccl.so.2: {missing}']


# A driver with all functions that MXNet uses; each of them reports that there is no device.
DRIVER = '\n'.join(
    f'int {name}(void) {{ return 100; }}'
    for name in (
        'cuDeviceGet',
        'cuDevicePrimaryCtxRetain',
        'cuGetErrorString',
        'cuGraphKernelNodeGetParams',
        'cuGraphNodeGetType',
        'cuLaunchKernel',
        'cuModuleGetFunction',
        'cuModuleLoadData',
        'cuModuleLoadDataEx',
        'cuModuleUnload',
    )
)


@pytest.fixture(scope='module')
def run_gpu_build():
    """Return a function that runs Python with the GPU build of MXNet and NVIDIA's wheels.

    Their environment is created once.
    """
    try:
        python = environments.python_of('mxnet-cu112-1.9.1')
    except environments.NotAvailable as reason:
        pytest.skip(str(reason))

    def run(*arguments, library_path=''):
        return subprocess.run(
            [python, *arguments],
            cwd=ROOT,
            capture_output=True,
            text=True,
            env={**os.environ, 'LD_LIBRARY_PATH': str(library_path)},
        )

    return run


@pytest.fixture
def driver(tmp_path):
    """Return the folder of a driver that finds no GPU."""
    if shutil.which('cc') is None:
        pytest.skip('builds a driver with a C compiler')
    (tmp_path / 'driver.c').write_text(DRIVER)
    subprocess.run(
        ['cc', '-shared', '-fPIC', '-Wl,-soname,libcuda.so.1', '-o', 'libcuda.so.1', 'driver.c'],
        cwd=tmp_path,
        check=True,
    )
    return tmp_path


def train(run_gpu_build, folder, *options, library_path=''):
    return run_gpu_build(
        '-m',
        'd2l_seq2seq.train',
        '--corpus',
        'bundled',
        '--num-epochs',
        '1',
        '--out',
        str(folder / 'run'),
        *options,
        library_path=library_path,
    )


@pytest.mark.slow
@pytest.mark.skipif(
    ctypes.util.find_library('cuda') is not None, reason='this machine has a driver'
)
def test_the_gpu_build_without_a_driver(run_gpu_build, tmp_path):
    result = train(run_gpu_build, tmp_path)
    assert result.returncode == 2
    assert result.stderr.startswith(
        'error: the GPU build of MXNet needs an NVIDIA driver, and none is installed. '
        'To use the CPU build instead, type: pip uninstall -y mxnet-cu112'
    )
    assert len(result.stderr.splitlines()) == 1
    assert not (tmp_path / 'run').exists()


@pytest.mark.slow
def test_the_gpu_build_computes_on_the_cpu(run_gpu_build, driver, tmp_path):
    code = (
        'from d2l_seq2seq._mxnet import mx, np, npx\n'
        "print(mx.runtime.Features().is_enabled('CUDA'), npx.num_gpus(), np.ones(3).sum())\n"
        "maps = open('/proc/self/maps').read()\n"
        'from d2l_seq2seq._libraries import CUDA_LIBRARIES\n'
        'print([name for package, name in CUDA_LIBRARIES\n'
        "       if f'/nvidia/{package}/lib/{name}' not in maps])"
    )
    result = run_gpu_build('-c', code, library_path=driver)
    assert (result.stdout, result.stderr) == ('True 0 3.0\n[]\n', '')
    result = train(run_gpu_build, tmp_path, library_path=driver)
    assert result.returncode == 0, result.stderr
    assert 'tokens/sec on cpu(0)' in result.stdout


@pytest.mark.slow
def test_the_gpu_build_without_a_gpu(run_gpu_build, driver, tmp_path):
    result = train(run_gpu_build, tmp_path, '--device', 'gpu(0)', library_path=driver)
    assert (result.returncode, result.stderr) == (
        2,
        (
            'error: --device gpu(0): there is no gpu(0): MXNet finds 0 GPUs. Use --device cpu, or '
            'check the output of nvidia-smi.\n'
        ),
    )
