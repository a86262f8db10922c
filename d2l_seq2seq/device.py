"""Devices: words such as ``auto``, ``cpu`` or ``gpu(0),gpu(1)`` converted to MXNet contexts.

`try_gpu` is the function of d2l 0.14, section 5.6, and `device_of` returns the device of a model.
The other functions parse the option ``--device`` of the commands.
"""

from __future__ import annotations

import re

from ._mxnet import mx, nn, npx
from .errors import InputError


def try_gpu(i: int = 0) -> mx.Context:
    """Return the context ``gpu(i)`` if that GPU exists, otherwise ``cpu(0)`` (section 5.6).

    Parameters
    ----------
    i : int
        Number of the GPU.
    """
    return npx.gpu(i) if npx.num_gpus() > i else npx.cpu()


def device_of(block: nn.Block) -> mx.Context:
    """Return the device of an initialized block, the first if its parameters are on several."""
    return next(iter(block.collect_params().values())).list_ctx()[0]


def device_from_name(name: str) -> mx.Context:
    """Return the context that a word names.

    Parameters
    ----------
    name : str
        ``auto`` (the first GPU if there is one, otherwise the CPU), ``cpu``, ``cpu(N)``, ``gpu`` or
        ``gpu(N)``.  ``cpu(1)`` is the same processor as ``cpu(0)`` under another name; tests use it
        to find arrays that were created on the wrong context.

    Raises
    ------
    InputError
        If the word is none of these, or the GPU does not exist.
    """
    if name == 'auto':
        return try_gpu()
    match = re.fullmatch(r'(cpu|gpu)(?:\((\d+)\))?', name)
    if match is None:
        raise InputError(
            f'expected one device (auto, cpu, cpu(N), gpu or gpu(N)), got {name!r}',
            'Correct --device.',
        )
    kind, index = match.group(1), int(match.group(2) or 0)
    if kind == 'cpu':
        return npx.cpu(index)
    num_gpus = npx.num_gpus()
    if index >= num_gpus:
        alternative = (
            'check the output of nvidia-smi'
            if mx.runtime.Features().is_enabled('CUDA')
            else 'install the GPU build (mxnet-cu112) on a machine with an NVIDIA driver'
        )
        raise InputError(
            f'there is no gpu({index}): MXNet finds {num_gpus} GPUs',
            f'Use --device cpu, or {alternative}.',
        )
    return npx.gpu(index)


def devices_from_names(names: str) -> list[mx.Context]:
    """Return the contexts that the option ``--device`` names.

    Parameters
    ----------
    names : str
        One word that `device_from_name` accepts, or several separated by commas, such as
        ``gpu(0),gpu(1)``.

    Raises
    ------
    InputError
        If a word does not name a device, or a device is named twice, or CPUs and GPUs are mixed.
    """
    try:
        devices = [device_from_name(name.strip()) for name in names.split(',')]
    except InputError as error:
        raise error.within(f'--device {names}') from error
    num_kinds = len({device.device_type for device in devices})
    if len(set(devices)) < len(devices) or num_kinds > 1:
        raise InputError(
            f'--device {names}: expected different devices of one kind, such as gpu(0),gpu(1)'
        )
    return devices
