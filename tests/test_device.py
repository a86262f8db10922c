"""Words for devices."""

import pytest

from d2l_seq2seq import InputError, device, try_gpu
from d2l_seq2seq._mxnet import mx, npx


@pytest.mark.parametrize('name, index', [('cpu', 0), ('cpu(0)', 0), ('cpu(1)', 1)])
def test_cpus(name, index):
    assert str(device.device_from_name(name)) == f'cpu({index})'


@pytest.mark.parametrize('name', ['', 'tpu', 'gpu(-1)', 'cpu(1', 'gpu(0),gpu(1)', 'GPU'])
def test_other_words_are_refused(name):
    with pytest.raises(InputError, match='expected a device auto, cpu, cpu'):
        device.device_from_name(name)


def test_without_a_gpu(monkeypatch):
    monkeypatch.setattr(npx, 'num_gpus', lambda: 0)
    assert str(try_gpu()) == str(device.device_from_name('auto')) == 'cpu(0)'
    with pytest.raises(InputError, match=r'there is no gpu\(0\): MXNet sees 0 GPUs here; use'):
        device.device_from_name('gpu')


@pytest.mark.parametrize(
    'gpu_build, way_out',
    [
        (False, r'install the GPU build \(mxnet-cu112\) on a machine with an NVIDIA driver'),
        (True, 'see what nvidia-smi lists'),
    ],
)
def test_the_way_out_is_that_of_the_build(monkeypatch, gpu_build, way_out):
    monkeypatch.setattr(npx, 'num_gpus', lambda: 0)
    monkeypatch.setattr(mx.runtime.Features, 'is_enabled', lambda self, name: gpu_build)
    with pytest.raises(InputError, match=f'use --device cpu, or {way_out}$'):
        device.device_from_name('gpu(0)')


def test_with_two_gpus(monkeypatch):
    monkeypatch.setattr(npx, 'num_gpus', lambda: 2)
    assert str(try_gpu(1)) == str(device.device_from_name('gpu(1)')) == 'gpu(1)'
    assert str(device.device_from_name('auto')) == str(device.device_from_name('gpu')) == 'gpu(0)'
    assert str(try_gpu(2)) == 'cpu(0)'
    with pytest.raises(InputError, match='sees 2 GPUs'):
        device.device_from_name('gpu(2)')
