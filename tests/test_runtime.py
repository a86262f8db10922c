"""Threads chosen before MXNet is loaded; freed memory kept; tiny numbers flushed by MXNet alone."""

import os
import platform
import subprocess
import sys

import numpy as onp
import pytest

from d2l_seq2seq import _runtime


@pytest.mark.parametrize(
    'batch_size, num_hiddens, all_cores',
    [(64, 32, False), (64, 127, False), (64, 128, True), (16, 512, True)],
)
def test_threads_follow_the_size_of_a_step(monkeypatch, batch_size, num_hiddens, all_cores):
    for name in ('OMP_NUM_THREADS', 'OMP_WAIT_POLICY', 'GOMP_SPINCOUNT'):
        monkeypatch.setenv(name, '')  # so that it is put back
        monkeypatch.delenv(name)
    _runtime.choose_threads(batch_size, num_hiddens)
    cores = len(os.sched_getaffinity(0)) if hasattr(os, 'sched_getaffinity') else os.cpu_count()
    assert os.environ['OMP_NUM_THREADS'] == str(cores if all_cores else 1)
    assert (os.environ['OMP_WAIT_POLICY'], os.environ['GOMP_SPINCOUNT']) == ('active', '300000')


@pytest.mark.parametrize('limit, most', [('1', 1), ('1000', 1000), ('0', 1000), ('all', 1000)])
def test_openmps_own_limit_of_threads_is_one_of_cores(monkeypatch, limit, most):
    monkeypatch.delenv('OMP_THREAD_LIMIT', raising=False)
    cores = _runtime.num_cores()
    monkeypatch.setenv('OMP_THREAD_LIMIT', limit)
    assert _runtime.num_cores() == min(cores, most)


@pytest.mark.parametrize('name', ['OMP_NUM_THREADS', 'OMP_WAIT_POLICY', 'GOMP_SPINCOUNT'])
def test_what_is_given_stands(monkeypatch, name):
    for other in ('OMP_NUM_THREADS', 'OMP_WAIT_POLICY', 'GOMP_SPINCOUNT'):
        monkeypatch.setenv(other, '')  # so that it is put back
        monkeypatch.delenv(other)
    monkeypatch.setenv(name, '7')
    _runtime.choose_threads(64, 32)
    assert os.environ[name] == '7'


def test_choosing_comes_before_loading():
    code = (
        'import sys\nfrom d2l_seq2seq._runtime import choose_threads\nchoose_threads(64, 32)\n'
        "assert 'mxnet' not in sys.modules and 'numpy' not in sys.modules"
    )
    subprocess.run([sys.executable, '-c', code], check=True)


needs_the_mode = pytest.mark.skipif(
    not (sys.platform == 'linux' and os.uname().machine == 'x86_64'),
    reason='flushing to zero is known for 64-bit Intel and AMD processors under Linux only',
)


@needs_the_mode
def test_mxnets_threads_flush_and_numpy_does_not():
    code = (
        'import numpy as onp\nfrom d2l_seq2seq._mxnet import mx\n'
        'tiny = onp.float32(1e-38) * onp.float32(0.01)\nassert tiny > 0\n'
        'assert (mx.nd.array([1e-38]) * 0.01).asscalar() == 0\n'
        'assert mx.nd.sum(mx.nd.full((64, 64), float(tiny))).asscalar() == 0'
    )
    subprocess.run([sys.executable, '-c', code], check=True)  # see the note on forks


@needs_the_mode
def test_the_callers_mode_comes_back():
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

# Freed arrays that lie side by side make a place for the next one; that takes a dozen at most.
print(*[faults_of_an_array() for _ in range(20)])
"""


@pytest.mark.skipif(platform.libc_ver()[0] != 'glibc', reason='mallopt is known for glibc only')
@pytest.mark.parametrize(
    'environment, is_kept', [({}, True), ({'MALLOC_TRIM_THRESHOLD_': '131072'}, False)]
)
def test_freed_memory_is_handed_out_again(environment, is_kept):
    unset = {name: value for name, value in os.environ.items() if not name.startswith('MALLOC_')}
    output = subprocess.run(
        [sys.executable, '-c', PAGE_FAULTS],
        check=True,
        text=True,
        stdout=subprocess.PIPE,
        env={**unset, **environment},
    ).stdout
    first, *others = map(int, output.split())
    assert first >= 2**26 // 65536  # at least one for each page, of the largest pages in use
    assert (min(others) < first // 10) == is_kept, output
