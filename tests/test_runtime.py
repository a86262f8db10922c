"""Settings of the process: threads, the reuse of freed memory, and denormal numbers."""

import os
import platform
import subprocess
import sys

import numpy as onp
import pytest

from d2l_seq2seq import InputError, _runtime


@pytest.mark.parametrize(
    'batch_size, num_hiddens, all_cores',
    [(64, 32, False), (64, 127, False), (64, 128, True), (16, 512, True)],
)
def test_the_number_of_threads_depends_on_the_size_of_a_step(
    monkeypatch, batch_size, num_hiddens, all_cores
):
    for name in ('OMP_NUM_THREADS', 'OMP_WAIT_POLICY', 'GOMP_SPINCOUNT'):
        monkeypatch.setenv(name, '')  # so that it is restored after the test
        monkeypatch.delenv(name)
    _runtime.choose_threads(batch_size, num_hiddens)
    cores = len(os.sched_getaffinity(0)) if hasattr(os, 'sched_getaffinity') else os.cpu_count()
    assert os.environ['OMP_NUM_THREADS'] == str(cores if all_cores else 1)
    assert (os.environ['OMP_WAIT_POLICY'], os.environ['GOMP_SPINCOUNT']) == ('active', '300000')


@pytest.mark.parametrize('limit, maximum', [('1', 1), ('1000', 1000), ('0', 1000), ('all', 1000)])
def test_the_thread_limit_of_openmp_limits_the_cores(monkeypatch, limit, maximum):
    monkeypatch.delenv('OMP_THREAD_LIMIT', raising=False)
    cores = _runtime.num_cores()
    monkeypatch.setenv('OMP_THREAD_LIMIT', limit)
    assert _runtime.num_cores() == min(cores, maximum)


@pytest.mark.parametrize(
    'files, quota',
    [
        ({}, None),
        ({'cpu.max': 'max 100000'}, None),
        ({'cpu.max': '150000 100000'}, 1.5),
        ({'cpu.max': '50000 100000'}, 0.5),
        ({'cpu/cpu.cfs_quota_us': '-1', 'cpu/cpu.cfs_period_us': '100000'}, None),
        ({'cpu/cpu.cfs_quota_us': '300000', 'cpu/cpu.cfs_period_us': '100000'}, 3),
        ({'cpu.max': 'nonsense'}, None),
        ({'cpu.max': '0 0'}, None),
    ],
)
def test_the_quota_of_a_container_limits_the_cores(monkeypatch, files, quota):
    paths = {f'/sys/fs/cgroup/{name}': text for name, text in files.items()}
    monkeypatch.setattr(_runtime, '_read_text', lambda path: paths.get(path, ''))
    monkeypatch.delenv('OMP_THREAD_LIMIT', raising=False)
    monkeypatch.setattr(os, 'sched_getaffinity', lambda pid: set(range(8)), raising=False)
    assert _runtime.cpu_quota() == quota
    assert _runtime.num_cores() == (8 if quota is None else max(1, int(quota)))
    threads = _runtime.thread_settings(64, 512)['OMP_NUM_THREADS']
    assert threads == str(_runtime.num_cores())


@pytest.mark.parametrize(
    'files, available',
    [
        ({}, 40e9),
        ({'memory.max': 'max'}, 40e9),
        ({'memory.max': '9000000000', 'memory.current': '2000000000'}, 7e9),
        ({'memory/memory.limit_in_bytes': '9000000000'}, 9e9),
    ],
)
def test_what_needs_more_memory_than_a_container_has_is_refused(monkeypatch, files, available):
    paths = {f'/sys/fs/cgroup/{name}': text for name, text in files.items()}
    paths['/proc/meminfo'] = 'MemAvailable: 39062500 kB'
    monkeypatch.setattr(_runtime, '_read_text', lambda path: paths.get(path, ''))
    monkeypatch.setattr(os, 'sysconf', {'SC_PAGE_SIZE': 4096, 'SC_PHYS_PAGES': 20_000_000}.get)
    _runtime.require_memory(available - 1e6, 'this', 'Reduce it.')
    with pytest.raises(InputError) as error:
        _runtime.require_memory(available + 1e6, 'this', 'Reduce it.')
    assert str(error.value) == (
        f'this needs about {available / 1e9:.1f} GB of memory, and {available / 1e9:.1f} GB are '
        'available. Reduce it.'
    )


@pytest.mark.parametrize('name', ['OMP_NUM_THREADS', 'OMP_WAIT_POLICY', 'GOMP_SPINCOUNT'])
def test_variables_that_are_set_keep_their_values(monkeypatch, name):
    for other in ('OMP_NUM_THREADS', 'OMP_WAIT_POLICY', 'GOMP_SPINCOUNT'):
        monkeypatch.setenv(other, '')  # so that it is restored after the test
        monkeypatch.delenv(other)
    monkeypatch.setenv(name, '7')
    _runtime.choose_threads(64, 32)
    assert os.environ[name] == '7'


def test_choosing_threads_does_not_load_mxnet():
    code = (
        'import sys\nfrom d2l_seq2seq._runtime import choose_threads\nchoose_threads(64, 32)\n'
        "assert 'mxnet' not in sys.modules and 'numpy' not in sys.modules"
    )
    subprocess.run([sys.executable, '-c', code], check=True)


needs_flush_to_zero = pytest.mark.skipif(
    not (sys.platform == 'linux' and os.uname().machine == 'x86_64'),
    reason='flushing to zero is supported on 64-bit Intel and AMD processors with Linux only',
)


@needs_flush_to_zero
def test_mxnet_flushes_denormal_numbers_and_numpy_does_not():
    code = (
        'import numpy as onp\nfrom d2l_seq2seq._mxnet import mx\n'
        'tiny = onp.float32(1e-38) * onp.float32(0.01)\nassert tiny > 0\n'
        'assert (mx.nd.array([1e-38]) * 0.01).asscalar() == 0\n'
        'assert mx.nd.sum(mx.nd.full((64, 64), float(tiny))).asscalar() == 0'
    )
    # In a new process, because a fork may have reset the mode of MXNet's threads in this one.
    subprocess.run([sys.executable, '-c', code], check=True)


@needs_flush_to_zero
def test_the_mode_of_the_caller_is_restored():
    smallest = onp.float32(1e-38)
    with _runtime.flush_to_zero():
        assert smallest * onp.float32(0.01) == 0
    assert smallest * onp.float32(0.01) > 0


PAGE_FAULTS = """
import resource
from d2l_seq2seq._mxnet import mx

def faults_of_an_array():
    before = resource.getrusage(resource.RUSAGE_SELF).ru_minflt
    mx.nd.ones(2 ** 24).wait_to_read()  # 64 MiB, freed at once
    mx.nd.waitall()
    return resource.getrusage(resource.RUSAGE_SELF).ru_minflt - before

# At first a new array may not fit into the memory of freed ones.  Adjacent free blocks are merged,
# so after a dozen arrays at most there is a block that is large enough.
print(*[faults_of_an_array() for _ in range(20)])
"""


@pytest.mark.skipif(platform.libc_ver()[0] != 'glibc', reason='mallopt is a function of glibc')
@pytest.mark.parametrize(
    'environment, is_reused', [({}, True), ({'MALLOC_TRIM_THRESHOLD_': '131072'}, False)]
)
def test_freed_memory_is_reused(environment, is_reused):
    inherited = {
        name: value for name, value in os.environ.items() if not name.startswith('MALLOC_')
    }
    output = subprocess.run(
        [sys.executable, '-c', PAGE_FAULTS],
        check=True,
        text=True,
        stdout=subprocess.PIPE,
        env={**inherited, **environment},
    ).stdout
    first, *others = map(int, output.split())
    assert first >= 2**26 // 65536  # one per page or more, even for pages of 64 KiB
    assert (min(others) < first // 10) == is_reused, output
