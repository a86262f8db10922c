"""The tables of part 4 of scaling.md: predictions for machines that are not available."""

from __future__ import annotations

import dataclasses

from scaling_model import (
    BYTES,
    WEIGHT_BYTES,
    Machine,
    Setting,
    cluster_seconds,
    device_seconds,
    machine_seconds,
    num_weights,
    ring_seconds,
    server_seconds,
    smallest_batch,
)
from scaling_tables import row, table

REAL = Setting(64, 512, 10_000, 20, 256)
GPU = Machine(
    flops=6e12, half_batch=64, step=40e-6, host=3e-3, memory=700e9, link=10e9, latency=1e-3
)
NVLINK = dataclasses.replace(GPU, link=45e9)
NETWORKS = {'10 Gb/s': 1.25e9, '100 Gb/s': 12.5e9}
NUM_WORKERS = 64


def prediction_tables(sum_costs: dict) -> dict[str, str]:
    """Return the texts of part 4, by the names that scaling_page.txt has for them.

    Parameters
    ----------
    sum_costs : dict of str to float
        The measured costs of a sum, in seconds.
    """
    # The rate of a server is the one measured here, where it shared two cores.
    per_byte = sum_costs['byte of a server'] or sum_costs['byte of a worker']
    gpu = dataclasses.replace(GPU, server=1 / per_byte)
    return {
        'assumed': _assumption_table(gpu),
        'machine': _machine_table(),
        'cluster': _cluster_table(gpu),
        'improvements': _improvement_table(gpu),
        'device_time': f'{device_seconds(REAL, gpu) * 1e3:.1f} ms',
    }


def _assumption_table(gpu: Machine) -> str:
    values = {
        'effective rate of a GPU, large batch': f'{gpu.flops / 1e12:.0f} TFLOP/s, float32',
        'batch size at which its recurrent layers reach half of that rate': gpu.half_batch,
        'a step of a layer, forward and backward, for any batch size': f'{gpu.step * 1e6:.0f} µs',
        'memory of a GPU': f'{gpu.memory / 1e9:.0f} GB/s; {WEIGHT_BYTES} bytes per weight for '
        'norm, clipping and Adam',
        'host, per device and update': f'{gpu.host * 1e3:.0f} ms, in parallel with the devices',
        'copies between GPUs, one after the other': f'{gpu.link / 1e9:.0f} GB/s over PCIe, '
        f'{NVLINK.link / 1e9:.0f} GB/s over NVLink',
        'network, in each direction': ', '.join(
            f'{name} ({rate / 1e9:g} GB/s)' for name, rate in NETWORKS.items()
        ),
        'data that a server receives, adds up and sends': f'{gpu.server / 1e9:.2f} GB/s, as '
        'measured here over loopback',
        'latency of a sum': f'{gpu.latency * 1e3:.0f} ms; a tenth of that for a step of a ring',
        'model': f'{REAL.num_hiddens} hidden units, embeddings of size {REAL.embed_size}, '
        f'{REAL.vocab_size:,} words, {REAL.num_steps} steps: {num_weights(REAL):,} weights, '
        f'{BYTES * num_weights(REAL) / 1e6:.0f} MB',
    }
    return '\n'.join(table('assumption', 'value') + [row(*item) for item in values.items()])


def _machine_table() -> str:
    """Return the table of up to eight devices in one machine."""
    lines = table(
        'devices', 'batch', 'PCIe: tokens/s', 'efficiency', 'NVLink: tokens/s', 'efficiency'
    )
    for batch_size, is_weak in ((64, True), (512, True), (512, False)):
        for count in (1, 2, 4, 8):
            setting, cells = _with_batch(batch_size * count if is_weak else batch_size), []
            for machine in (GPU, NVLINK):
                seconds = machine_seconds(setting, count, machine)
                alone = machine_seconds(_with_batch(batch_size), 1, machine)
                cells += [
                    _format_speed(setting, seconds),
                    f'{alone / seconds / (1 if is_weak else count):.0%}',
                ]
            batch = f'{batch_size} per device' if is_weak else f'{batch_size} in total'
            lines.append(row(count, batch, *cells))
    return '\n'.join(lines)


def _cluster_table(gpu: Machine) -> str:
    """Return the table of many workers with one device each, over two networks."""
    lines = table(
        'network',
        'servers',
        'sum, ms',
        'weak: tokens/s',
        'efficiency',
        'strong: tokens/s',
        'speed-up over one worker',
        'smallest batch that is faster',
        'smallest batch with half efficiency',
    )
    for network, rate in NETWORKS.items():
        for servers in (1, 8, 64):

            def seconds(batch_size, num_workers=NUM_WORKERS):
                return cluster_seconds(_with_batch(batch_size), num_workers, servers, rate, gpu)

            size, weak, strong = BYTES * num_weights(REAL), 64 * NUM_WORKERS, 512
            batches = [
                smallest_batch(
                    lambda batch: (
                        batch >= NUM_WORKERS and seconds(batch, 1) > factor * seconds(batch)
                    )
                )
                for factor in (1, NUM_WORKERS / 2)
            ]
            lines.append(
                row(
                    network,
                    servers,
                    f'{server_seconds(size, NUM_WORKERS, servers, rate, gpu) * 1e3:,.0f}',
                    _format_speed(_with_batch(weak), seconds(weak)),
                    f'{seconds(64, 1) / seconds(weak):.0%}',
                    _format_speed(_with_batch(strong), seconds(strong)),
                    f'{seconds(strong, 1) / seconds(strong):.2f}',
                    *(f'{batch:,}' if batch else 'none' for batch in batches),
                )
            )
    return '\n'.join(lines)


def _improvement_table(gpu: Machine) -> str:
    """Return the table of possible improvements, with 64 sentences per worker."""
    compute = max(gpu.host, device_seconds(REAL, gpu))
    size, fast = BYTES * num_weights(REAL), dataclasses.replace(gpu, server=float('inf'))
    lines = table('change', *(f'{network}: ms, efficiency' for network in NETWORKS))

    def sums(servers, num_bytes=size, machine=gpu):
        return [
            server_seconds(num_bytes, NUM_WORKERS, servers, rate, machine)
            for rate in NETWORKS.values()
        ]

    changes = {
        'unchanged, 8 servers': [compute + seconds for seconds in sums(8)],
        'unchanged, 64 servers': [compute + seconds for seconds in sums(64)],
        '64 servers, sums during the backward pass (two thirds of the time)': [
            compute + max(0, seconds - 2 / 3 * compute) for seconds in sums(64)
        ],
        '64 servers, float16 on the wire': [compute + seconds for seconds in sums(64, size // 2)],
        '64 servers as fast as the network': [
            compute + seconds for seconds in sums(64, machine=fast)
        ],
        'a ring at the rate of a server': [
            compute + ring_seconds(size, NUM_WORKERS, rate, gpu) for rate in NETWORKS.values()
        ],
        'a ring as fast as the network': [
            compute + ring_seconds(size, NUM_WORKERS, rate, fast) for rate in NETWORKS.values()
        ],
        'a ring as fast as the network, float16, during the backward pass': [
            compute + max(0, ring_seconds(size / 2, NUM_WORKERS, rate, fast) - 2 / 3 * compute)
            for rate in NETWORKS.values()
        ],
    }
    for name, times in changes.items():
        lines.append(
            row(name, *(f'{seconds * 1e3:.0f}, {compute / seconds:.0%}' for seconds in times))
        )
    return '\n'.join(lines)


def _with_batch(batch_size: int) -> Setting:
    """Return the setting of the predictions with another batch size."""
    return dataclasses.replace(REAL, batch_size=batch_size)


def _format_speed(setting: Setting, seconds: float) -> str:
    """Return the number of labels per second as text."""
    return f'{setting.num_labels / seconds:,.0f}'
