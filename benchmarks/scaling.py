"""How does the training scale, on paper and here? python scaling.py [MEASUREMENTS]

Fits the costs of `scaling_model` to half of the measured settings, checks them against the other
half, measures sums over workers and trainings by several workers and devices, and says what follows
for machines that it hasn't got.  The page scaling.md is scaling_page.txt with the tables in it.
MEASUREMENTS is a file of JSON: what is in it is not measured again.
"""

from __future__ import annotations

import dataclasses
import json
import math
import os
import statistics
import string
import subprocess
import sys
import tempfile
import time
from pathlib import Path

import numpy as onp
from scaling_model import (
    ALL_TERMS,
    BYTES,
    PLAIN_TERMS,
    WEIGHT_BYTES,
    Machine,
    Setting,
    cluster_seconds,
    compute_seconds,
    dense_flops,
    device_seconds,
    fit_costs,
    machine_seconds,
    num_weights,
    recurrent_flops,
    ring_seconds,
    server_seconds,
    smallest_batch,
    sum_features,
    weighted,
)
from training_speed import HERE, describe_machine

NUM_ROUNDS = 3
SETTINGS = [  # batch_size, num_hiddens, vocab_size, num_steps, embed_size; every second is fitted
    Setting(16, 32, 162, 10, 32),
    Setting(64, 32, 162, 10, 32),
    Setting(256, 32, 162, 10, 32),
    Setting(64, 32, 2000, 10, 32),
    Setting(16, 32, 10_000, 10, 32),
    Setting(64, 32, 10_000, 10, 32),
    Setting(64, 64, 1000, 10, 32),
    Setting(16, 128, 2000, 10, 64),
    Setting(32, 128, 2000, 10, 64),
    Setting(64, 128, 2000, 10, 64),
    Setting(128, 128, 2000, 10, 64),
    Setting(256, 128, 2000, 10, 64),
    Setting(64, 128, 500, 10, 64),
    Setting(64, 128, 10_000, 10, 64),
    Setting(64, 128, 2000, 5, 64),
    Setting(64, 128, 2000, 20, 64),
    Setting(64, 128, 2000, 40, 64),
    Setting(16, 256, 2000, 10, 128),
    Setting(64, 256, 2000, 10, 128),
    Setting(128, 256, 2000, 10, 128),
    Setting(32, 256, 10_000, 10, 128),
    Setting(64, 256, 10_000, 10, 128, label_share=0.5),
    Setting(32, 256, 2000, 20, 128),
    Setting(16, 512, 2000, 10, 256),
    Setting(64, 512, 2000, 10, 256),
    Setting(16, 512, 10_000, 10, 256),
    Setting(48, 512, 10_000, 10, 256),
    Setting(64, 128, 10_000, 20, 64, label_share=0.5),
]
NUM_FLOATS = [50_000, 200_000, 1_000_000, 3_000_000, 10_000_000]
FITTED_FLOATS = {50_000, 1_000_000, 10_000_000}
JOBS = [(1, 1), (2, 1), (2, 2)]  # workers, servers; the last is not fitted
# Trainings, each with how many batches an epoch has, and how many epochs.
RUNS = {
    'small': (Setting(64, 32, 200, 10, 32), 16, 30),
    'large': (Setting(64, 256, 2000, 10, 128), 4, 6),
}
WAYS = {  # name: workers, devices, threads, whether there is a server
    'one process, one thread': (1, 1, 1, False),
    'one process, two threads': (1, 1, 2, False),
    'two devices of one process': (1, 2, 1, False),
    'one worker and a server': (1, 1, 1, True),
    'two workers and a server': (2, 1, 1, True),
}
ASK_EVERY = 4  # updates from one small sum to the next, whether a worker has had a signal

REAL = Setting(64, 512, 10_000, 20, 256)  # what the predictions are for
GPU = Machine(
    flops=6e12, half_batch=64, step=40e-6, host=3e-3, memory=700e9, link=10e9, latency=1e-3
)
NVLINK = dataclasses.replace(GPU, link=45e9)
NETWORKS = {'10 Gb/s': 1.25e9, '100 Gb/s': 12.5e9}
NUM_WORKERS = 64


def run_python(threads: int, *arguments) -> str:
    """What a script prints, with so many threads for each operator."""
    environment = {**os.environ, 'OMP_NUM_THREADS': str(threads), 'PYTHONPATH': str(HERE.parent)}
    return subprocess.run(
        [sys.executable, *map(str, arguments)],
        check=True,
        text=True,
        stdout=subprocess.PIPE,
        env=environment,
    ).stdout


def under_launch(num_workers: int, num_servers: int, *command) -> list[str]:
    """The arguments that run a command as several workers."""
    return [
        '-m',
        'd2l_seq2seq.launch',
        '-n',
        num_workers,
        '-s',
        num_servers,
        '--',
        sys.executable,
        *command,
    ]


def measure_updates(folder: Path) -> dict:
    """Seconds an update at each of the settings: the host's, and the update's, the device included.

    And the bytes a second at which rows of an embedding are gathered.
    """
    expected = [2e-3 + (recurrent_flops(one) + dense_flops(one)) / 5e10 for one in SETTINGS]
    job = {
        'settings': [dataclasses.asdict(one) for one in SETTINGS],
        'num_rounds': NUM_ROUNDS,
        'num_updates': [max(3, min(40, round(0.2 / seconds))) for seconds in expected],
    }
    (folder / 'job.json').write_text(json.dumps(job))
    result = json.loads(run_python(1, HERE / 'peers' / 'updates.py', folder / 'job.json'))
    return {
        'gather_rate': result['gather_rate'],
        'host': [statistics.median(own for own, _ in rounds) for rounds in result['seconds']],
        'update': [statistics.median(map(max, rounds)) for rounds in result['seconds']],
    }


def measure_sums(folder: Path) -> dict:
    """Seconds of a sum, by numbers of workers and servers, for each of `NUM_FLOATS`."""
    (folder / 'job.json').write_text(
        json.dumps({'num_floats': [16, *NUM_FLOATS], 'num_rounds': NUM_ROUNDS})
    )
    seconds = {}
    for job in JOBS:
        result = json.loads(
            run_python(1, *under_launch(*job, HERE / 'peers' / 'sums.py', folder / 'job.json'))
        )
        seconds[str(job)] = [statistics.median(rounds) for rounds in result['seconds']]
    return seconds


def measure_runs(folder: Path) -> dict:
    """Seconds an update of trainings by the command `train`, of each size and in each way."""
    times = {(size, way): [] for size in RUNS for way in WAYS}
    for number in range(NUM_ROUNDS):
        for size, way in times:
            times[size, way].append(
                _seconds_of_run(*RUNS[size], *WAYS[way], folder / f'{size} {way} {number}')
            )
    return {size: {way: statistics.median(times[size, way]) for way in WAYS} for size in RUNS}


def _seconds_of_run(
    setting: Setting,
    num_batches: int,
    num_epochs: int,
    num_workers: int,
    num_devices: int,
    threads: int,
    has_server: bool,
    out: Path,
) -> float:
    """Of an update in the fastest epoch, the one that was disturbed least."""
    corpus = out.with_suffix('.tsv')
    corpus.write_text(''.join(f'{src}\t{tgt}\n' for src, tgt in _sentences(setting, num_batches)))
    devices = ','.join(f'cpu({number})' for number in range(num_devices))
    command = [
        '-m',
        'd2l_seq2seq.train',
        '--corpus',
        corpus,
        '--num-examples',
        'all',
        '--min-freq',
        1,
        '--batch-size',
        setting.batch_size,
        '--num-hiddens',
        setting.num_hiddens,
        '--embed-size',
        setting.embed_size,
        '--num-steps',
        setting.num_steps,
        '--num-epochs',
        num_epochs,
        '--save-every',
        10**6,
        '--device',
        devices,
        '--out',
        out,
    ]
    if has_server:
        command = under_launch(num_workers, 1, *command, '--kvstore', 'dist_sync')
    run_python(threads, *command)
    rows = map(json.loads, (out / 'metrics.jsonl').read_text().splitlines())
    return setting.num_labels / max(row['tokens_per_sec'] for row in rows)


def _sentences(setting: Setting, num_batches: int) -> list:
    """Pairs of random sentences, none of which is padded: <bos> and <eos> come to the target."""
    shape = 2, setting.batch_size * num_batches, setting.num_steps
    words = onp.random.RandomState(0).randint(0, setting.vocab_size - 4, shape)
    return [
        [' '.join(f'w{word}' for word in side) for side in (src, tgt[2:])]
        for src, tgt in zip(*words)
    ]


def features_of(terms: dict, settings: list[Setting]) -> list[dict[str, float]]:
    """How many times each cost is paid at each setting."""
    return [{name: times(setting) for name, times in terms.items()} for setting in settings]


def deviation(ratios: list[float]) -> str:
    """By which factor predictions are off: the typical one, and the largest."""
    factors = [math.exp(abs(math.log(ratio))) for ratio in ratios]
    return f'{statistics.median(factors):.2f} ({max(factors):.2f})'


def update_tables(measured: dict) -> tuple[dict[str, str], dict[str, float]]:
    """The first part's tables, and the costs."""
    models = {
        name: fit_costs(features_of(terms, SETTINGS[::2]), measured['update'][::2])
        for name, terms in (('plain', PLAIN_TERMS), ('full', ALL_TERMS))
    }
    ratios = {
        name: [
            compute_seconds(costs, setting) / seconds
            for setting, seconds in zip(SETTINGS, measured['update'])
        ]
        for name, costs in models.items()
    }
    costs = table('cost of', 'plain model', 'full model')
    for name in ALL_TERMS:
        costs.append(
            row(
                f'a {name}' if name[0] not in 'aeiou' else f'an {name}',
                *(in_words(name, model.get(name)) for model in models.values()),
            )
        )
    for label, part in (('fitted', slice(0, None, 2)), ('checked', slice(1, None, 2))):
        costs.append(
            row(
                f'off by a factor of, {label} (at most)',
                *(deviation(ratios[name][part]) for name in models),
            )
        )
    rows = table(
        'batch',
        'units',
        'words',
        'steps',
        'labels',
        'GFLOP',
        'ms',
        'host, ms',
        'plain',
        'full',
        'used for',
    )
    for number, one in enumerate(SETTINGS):
        rows.append(
            row(
                one.batch_size,
                one.num_hiddens,
                f'{one.vocab_size:,}',
                one.num_steps,
                f'{one.num_labels:.0f}',
                f'{(recurrent_flops(one) + dense_flops(one)) / 1e9:.2f}',
                f'{measured["update"][number] * 1e3:.2f}',
                f'{measured["host"][number] * 1e3:.2f}',
                f'{ratios["plain"][number]:.2f}',
                f'{ratios["full"][number]:.2f}',
                'check' if number % 2 else 'fit',
            )
        )
    checked = {f'{name}_off': deviation(ratios[name][1::2]) for name in models}
    return {'costs': '\n'.join(costs), 'updates': '\n'.join(rows), **checked}, models['full']


def in_words(name: str, cost: float | None) -> str:
    """A cost as one reads it: a rate for FLOPs, a time for the others."""
    if not cost:
        return '' if cost is None else '0'
    if name.endswith('flop'):
        return f'1 / ({1e-9 / cost:.0f} GFLOP/s)'
    return f'{cost * 1e6:.0f} µs' if cost > 1e-6 else f'{cost * 1e9:.2f} ns'


def sum_tables(measured: dict) -> tuple[dict[str, str], dict[str, float]]:
    """The second part's tables, and the costs of a sum."""
    points = [
        (count, *job, seconds)
        for job in JOBS
        for count, seconds in zip(NUM_FLOATS, measured[str(job)][1:])
    ]
    fitted = [point for point in points if point[2] == 1 and point[0] in FITTED_FLOATS]
    costs = fit_costs(
        [sum_features(*point[:3]) for point in fitted], [point[3] for point in fitted]
    )
    lines = table(
        'floats', 'workers', 'servers', 'MB on the wire', 'ms', 'predicted / measured', 'used for'
    )
    ratios = {point: weighted(costs, sum_features(*point[:3])) / point[3] for point in points}
    for point in points:
        count, num_workers, num_servers, seconds = point
        lines.append(
            row(
                f'{count:,}',
                num_workers,
                num_servers,
                f'{2 * BYTES * count * num_workers / 1e6:.1f}',
                f'{seconds * 1e3:.2f}',
                f'{ratios[point]:.2f}',
                'fit' if point in fitted else 'check',
            )
        )
    rates = {
        name: f'{1e-9 / cost:.2f} GB/s' if cost else 'no limit'
        for name, cost in costs.items()
        if name != 'sum'
    }
    return {
        'sums': '\n'.join(lines),
        'latency': f'{costs["sum"] * 1e3:.2f} ms',
        'small_sum': f'{measured["(2, 1)"][0] * 1e3:.2f} ms',
        'worker_rate': rates['byte of a worker'],
        'server_rate': rates['byte of a server'],
        'sums_off': deviation([ratios[point] for point in points if point not in fitted]),
    }, costs


def predicted_run(
    setting: Setting,
    num_workers: int,
    num_devices: int,
    has_server: bool,
    compute: dict,
    sums: dict,
    gather_rate: float,
) -> float:
    """An update of a training here, each device with a thread; see the page for the formula."""
    size = num_weights(setting)
    seconds = compute_seconds(compute, setting.shared_by(num_workers * num_devices))
    seconds += (num_devices - 1) * BYTES * size / gather_rate
    if has_server:
        seconds += weighted(sums, sum_features(size, num_workers, 1)) + sums['sum'] / ASK_EVERY
    return seconds


def run_tables(measured: dict, compute: dict, sums: dict, gather_rate: float) -> dict[str, str]:
    """The third part's table."""
    lines = table(
        'size',
        'way',
        'ms',
        'predicted, ms',
        'predicted / measured',
        'speed-up',
        'predicted speed-up',
    )
    ratios = []
    for size, (setting, *_) in RUNS.items():

        def predicted(way):
            num_workers, num_devices, threads, has_server = WAYS[way]
            if threads > 1:
                return None
            return predicted_run(
                setting, num_workers, num_devices, has_server, compute, sums, gather_rate
            )

        first = next(iter(WAYS))
        for way, seconds in measured[size].items():
            own = predicted(way)
            ratios += [own / seconds] if own else []
            lines.append(
                row(
                    size,
                    way,
                    f'{seconds * 1e3:.2f}',
                    f'{own * 1e3:.2f}' if own else '',
                    f'{own / seconds:.2f}' if own else '',
                    f'{measured[size][first] / seconds:.2f}',
                    f'{predicted(first) / own:.2f}' if own else '',
                )
            )
    return {
        'runs': '\n'.join(lines),
        'runs_off': deviation(ratios),
        'gather': f'{gather_rate / 1e9:.1f} GB/s',
        **{f'{size}_weights': f'{num_weights(setting):,}' for size, (setting, *_) in RUNS.items()},
    }


def with_batch(batch_size: int) -> Setting:
    """The model of the predictions with another batch."""
    return dataclasses.replace(REAL, batch_size=batch_size)


def speed(setting: Setting, seconds: float) -> str:
    """Labels a second."""
    return f'{setting.num_labels / seconds:,.0f}'


def machine_table() -> str:
    """Eight devices in a machine."""
    lines = table(
        'devices', 'batch', 'PCIe: tokens/s', 'efficiency', 'NVLink: tokens/s', 'efficiency'
    )
    for batch_size, grows in ((64, True), (512, True), (512, False)):
        for count in (1, 2, 4, 8):
            setting, cells = with_batch(batch_size * count if grows else batch_size), []
            for machine in (GPU, NVLINK):
                seconds = machine_seconds(setting, count, machine)
                alone = machine_seconds(with_batch(batch_size), 1, machine)
                cells += [
                    speed(setting, seconds),
                    f'{alone / seconds / (1 if grows else count):.0%}',
                ]
            lines.append(
                row(count, f'{batch_size} each' if grows else f'{batch_size} in all', *cells)
            )
    return '\n'.join(lines)


def cluster_table(gpu: Machine) -> str:
    """Many workers with a device each, over two networks."""
    lines = table(
        'network',
        'servers',
        'sum, ms',
        'weak: tokens/s',
        'efficiency',
        'strong: tokens/s',
        'faster than one',
        'batch to be faster',
        'batch for half efficiency',
    )
    for network, rate in NETWORKS.items():
        for servers in (1, 8, 64):

            def seconds(batch_size, num_workers=NUM_WORKERS):
                return cluster_seconds(with_batch(batch_size), num_workers, servers, rate, gpu)

            size, weak, strong = BYTES * num_weights(REAL), 64 * NUM_WORKERS, 512
            worth = [
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
                    speed(with_batch(weak), seconds(weak)),
                    f'{seconds(64, 1) / seconds(weak):.0%}',
                    speed(with_batch(strong), seconds(strong)),
                    f'{seconds(strong, 1) / seconds(strong):.2f} times',
                    *(f'{batch:,}' if batch else 'none' for batch in worth),
                )
            )
    return '\n'.join(lines)


def mending_table(gpu: Machine) -> str:
    """What each change would bring, 64 sentences a worker."""
    own = max(gpu.host, device_seconds(REAL, gpu))
    size, free = BYTES * num_weights(REAL), dataclasses.replace(gpu, server=float('inf'))
    lines = table('change', *(f'{network}: ms, efficiency' for network in NETWORKS))

    def both(servers, num_bytes=size, machine=gpu):
        return [
            server_seconds(num_bytes, NUM_WORKERS, servers, rate, machine)
            for rate in NETWORKS.values()
        ]

    kinds = {
        'as it is, 8 servers': [own + one for one in both(8)],
        'as it is, 64 servers': [own + one for one in both(64)],
        '64 servers, sums behind the backward pass (two thirds of the time)': [
            own + max(0, one - 2 / 3 * own) for one in both(64)
        ],
        '64 servers, float16 on the wire': [own + one for one in both(64, size // 2)],
        '64 servers that keep up with the network': [own + one for one in both(64, machine=free)],
        'a ring at the rate of a server': [
            own + ring_seconds(size, NUM_WORKERS, rate, gpu) for rate in NETWORKS.values()
        ],
        'a ring that keeps up with the network': [
            own + ring_seconds(size, NUM_WORKERS, rate, free) for rate in NETWORKS.values()
        ],
        'all: such a ring, float16, behind the backward pass': [
            own + max(0, ring_seconds(size / 2, NUM_WORKERS, rate, free) - 2 / 3 * own)
            for rate in NETWORKS.values()
        ],
    }
    for name, times in kinds.items():
        lines.append(row(name, *(f'{seconds * 1e3:.0f}, {own / seconds:.0%}' for seconds in times)))
    return '\n'.join(lines)


def predictions(sums: dict) -> dict[str, str]:
    """The fourth part's tables."""
    # A server's rate as it was here, where it shared two cores.
    per_byte = sums['byte of a server'] or sums['byte of a worker']
    gpu = dataclasses.replace(GPU, server=1 / per_byte)  # in and out
    assumed = table('assumed', 'value')
    for what, value in (
        ('effective rate of a GPU, large batch', f'{gpu.flops / 1e12:.0f} TFLOP/s, float32'),
        ('rows at which its recurrent layers reach half of it', gpu.half_batch),
        ('a step of a layer, forward and backward, whatever the batch', f'{gpu.step * 1e6:.0f} µs'),
        (
            'memory of a GPU',
            f'{gpu.memory / 1e9:.0f} GB/s; {WEIGHT_BYTES} bytes a weight for '
            'norm, clipping and Adam',
        ),
        (
            'host, for each device of an update',
            f'{gpu.host * 1e3:.0f} ms, while the devices compute',
        ),
        (
            'from GPU to GPU, one copy after the other',
            f'{gpu.link / 1e9:.0f} GB/s by PCIe, {NVLINK.link / 1e9:.0f} GB/s by NVLink',
        ),
        (
            'network, each way',
            ', '.join(f'{name} ({rate / 1e9:g} GB/s)' for name, rate in NETWORKS.items()),
        ),
        (
            'what a server takes in, adds and sends',
            f'{gpu.server / 1e9:.2f} GB/s, as measured here on loopback',
        ),
        ('latency of a sum', f'{gpu.latency * 1e3:.0f} ms; a tenth of it for a step of a ring'),
        (
            'model',
            f'{REAL.num_hiddens} units, embeddings of {REAL.embed_size}, '
            f'{REAL.vocab_size:,} words, {REAL.num_steps} steps: {num_weights(REAL):,} weights, '
            f'{BYTES * num_weights(REAL) / 1e6:.0f} MB',
        ),
    ):
        assumed.append(row(what, value))
    return {
        'assumed': '\n'.join(assumed),
        'machine': machine_table(),
        'cluster': cluster_table(gpu),
        'mended': mending_table(gpu),
        'own': f'{device_seconds(REAL, gpu) * 1e3:.1f} ms',
    }


def row(*cells) -> str:
    """A line of a table."""
    return f'| {" | ".join(map(str, cells))} |'


def table(*titles: str) -> list[str]:
    """The first two lines of a table."""
    return [row(*titles), '|' + '---|' * len(titles)]


def measure(path: Path | None) -> dict:
    """All measurements, those that a file has from there."""
    kept = json.loads(path.read_text()) if path and path.exists() else {}
    with tempfile.TemporaryDirectory() as folder:
        for name, function in (
            ('updates', measure_updates),
            ('sums', measure_sums),
            ('runs', measure_runs),
        ):
            if name not in kept:
                start = time.perf_counter()
                kept[name] = function(Path(folder))
                print(f'{name}: {time.perf_counter() - start:.0f} s', flush=True)
                if path:
                    path.write_text(json.dumps(kept))
    return kept


def main() -> None:
    """Measure, and write the page."""
    measured = measure(Path(sys.argv[1]) if len(sys.argv) > 1 else None)
    update_text, compute = update_tables(measured['updates'])
    sum_text, sums = sum_tables(measured['sums'])
    page = string.Template((HERE / 'scaling_page.txt').read_text(encoding='utf-8'))
    text = page.substitute(
        update_text,
        **sum_text,
        **predictions(sums),
        num_rounds=NUM_ROUNDS,
        machine_here=describe_machine(),
        **run_tables(measured['runs'], compute, sums, measured['updates']['gather_rate']),
    )
    print(text)
    (HERE / 'scaling.md').write_text(text, encoding='utf-8')


if __name__ == '__main__':
    main()
