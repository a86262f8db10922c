"""Where arrays live: words such as ``auto``, ``cpu`` or ``gpu(0),gpu(1)`` become MXNet contexts."""

from __future__ import annotations

import re

from ._mxnet import mx, npx
from .errors import InputError


def try_gpu(i: int = 0) -> mx.Context:
    """The context ``gpu(i)`` where that GPU exists, else ``cpu(0)`` (d2l 0.14, section 5.6)."""
    return npx.gpu(i) if npx.num_gpus() > i else npx.cpu()


def device_from_name(name: str) -> mx.Context:
    """The context that a command-line word names.

    Parameters
    ----------
    name : str
        ``auto`` (the first GPU where there is one, else the CPU), ``cpu``, ``cpu(N)``, ``gpu`` or
        ``gpu(N)``.  ``cpu(1)`` is the same processor under another name, which is how tests find
        arrays made on the wrong context.

    Raises
    ------
    InputError
        If the word is none of these, or names a GPU that isn't there.
    """
    if name == 'auto':
        return try_gpu()
    match = re.fullmatch(r'(cpu|gpu)(?:\((\d+)\))?', name)
    if match is None:
        raise InputError(f'expected a device auto, cpu, cpu(N), gpu or gpu(N), got {name!r}')
    kind, index = match.group(1), int(match.group(2) or 0)
    if kind == 'cpu':
        return npx.cpu(index)
    num_gpus = npx.num_gpus()
    if index >= num_gpus:
        way_out = (
            'see what nvidia-smi lists'
            if mx.runtime.Features().is_enabled('CUDA')
            else 'install the GPU build (mxnet-cu112) on a machine with an NVIDIA driver'
        )
        raise InputError(
            f'there is no gpu({index}): MXNet sees {num_gpus} GPUs here; use --device '
            f'cpu, or {way_out}'
        )
    return npx.gpu(index)


def devices_from_names(names: str) -> list[mx.Context]:
    """The contexts that a command-line word names, several of them with commas between.

    Parameters
    ----------
    names : str
        What `device_from_name` takes, or a list such as ``gpu(0),gpu(1)``.

    Raises
    ------
    InputError
        As `device_from_name` does, or if the list names one twice, or both kinds.
    """
    try:
        devices = [device_from_name(name.strip()) for name in names.split(',')]
    except InputError as error:
        raise InputError(f'--device {names}: {error}') from error
    if len(set(devices)) < len(devices) or len({one.device_type for one in devices}) > 1:
        raise InputError(
            f'--device {names}: expected different devices of one kind, such as gpu(0),gpu(1)'
        )
    return devices
