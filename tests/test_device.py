"""Words that name devices."""

import re

import pytest

from d2l_seq2seq import InputError, device, try_gpu
from d2l_seq2seq._mxnet import mx, npx


@pytest.mark.parametrize('name, index', [('cpu', 0), ('cpu(0)', 0), ('cpu(1)', 1)])
def test_cpus(name, index):
    assert str(device.device_from_name(name)) == f'cpu({index})'


@pytest.mark.parametrize('name', ['', 'tpu', 'gpu(-1)', 'cpu(1', 'gpu(0),gpu(1)', 'GPU'])
def test_other_words_are_rejected(name):
    message = (
        f'expected one device (auto, cpu, cpu(N), gpu or gpu(N)), got {name!r}. Correct --device.'
    )
    with pytest.raises(InputError, match=f'^{re.escape(message)}$'):
        device.device_from_name(name)


def test_without_a_gpu(monkeypatch):
    monkeypatch.setattr(npx, 'num_gpus', lambda: 0)
    assert str(try_gpu()) == str(device.device_from_name('auto')) == 'cpu(0)'
    with pytest.raises(InputError, match=r'^there is no gpu\(0\): MXNet finds 0 GPUs\. Use'):
        device.device_from_name('gpu')


@pytest.mark.parametrize(
    'gpu_build, alternative',
    [
        (False, r'install the GPU build \(mxnet-cu112\) on a machine with an NVIDIA driver'),
        (True, 'check the output of nvidia-smi'),
    ],
)
def test_hint_depends_on_the_build(monkeypatch, gpu_build, alternative):
    monkeypatch.setattr(npx, 'num_gpus', lambda: 0)
    monkeypatch.setattr(mx.runtime.Features, 'is_enabled', lambda self, name: gpu_build)
    with pytest.raises(InputError, match=rf'\. Use --device cpu, or {alternative}\.$'):
        device.device_from_name('gpu(0)')


def test_with_two_gpus(monkeypatch):
    monkeypatch.setattr(npx, 'num_gpus', lambda: 2)
    assert str(try_gpu(1)) == str(device.device_from_name('gpu(1)')) == 'gpu(1)'
    assert str(device.device_from_name('auto')) == str(device.device_from_name('gpu')) == 'gpu(0)'
    assert str(try_gpu(2)) == 'cpu(0)'
    with pytest.raises(InputError, match='MXNet finds 2 GPUs'):
        device.device_from_name('gpu(2)')


@pytest.mark.parametrize(
    'names, message',
    [
        (
            'cpu,tpu',
            '--device cpu,tpu: expected one device (auto, cpu, cpu(N), gpu or gpu(N)), got',
        ),
        ('cpu(0),cpu', '--device cpu(0),cpu: expected different devices of one kind, such as'),
        ('cpu,gpu', '--device cpu,gpu: expected different devices of one kind, such as'),
    ],
)
def test_lists_of_devices_that_are_rejected(monkeypatch, names, message):
    monkeypatch.setattr(npx, 'num_gpus', lambda: 1)
    with pytest.raises(InputError, match=f'^{re.escape(message)}'):
        device.devices_from_names(names)


def test_list_of_devices():
    assert list(map(str, device.devices_from_names('cpu(0), cpu(1)'))) == ['cpu(0)', 'cpu(1)']
