"""The measurements of scaling.py: updates, sums over workers, and whole trainings.

Each of the three functions returns JSON values, by the names of the settings below.
"""

from __future__ import annotations

import dataclasses
import json
import os
import statistics
import subprocess
import sys
from pathlib import Path

import numpy as onp
from scaling_model import Setting, dense_flops, recurrent_flops
from training_speed import HERE

NUM_ROUNDS = 3
# Updates: batch_size, num_hiddens, vocab_size, num_steps, embed_size.  The costs are fitted to the
# first setting and every second one after it, and checked with the others.
SETTINGS = [
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
# Sums: the sizes of the vectors, and the numbers of workers and servers.
NUM_FLOATS = [50_000, 200_000, 1_000_000, 3_000_000, 10_000_000]
JOBS = [(1, 1), (2, 1), (2, 2)]
# Trainings: the setting, the number of batches of an epoch, and the number of epochs.
RUNS = {
    'small': (Setting(64, 32, 200, 10, 32), 16, 30),
    'large': (Setting(64, 256, 2000, 10, 128), 4, 6),
}
# Each training is run with these numbers of workers, devices and threads; True: with a server.
SETUPS = {
    'one process, one thread': (1, 1, 1, False),
    'one process, two threads': (1, 1, 2, False),
    'two devices of one process': (1, 2, 1, False),
    'one worker and a server': (1, 1, 1, True),
    'two workers and a server': (2, 1, 1, True),
}


def measure_updates(folder: Path) -> dict:
    """Measure an update at each of `SETTINGS`.

    Returns
    -------
    dict
        - ``update``: seconds per update, for each setting
        - ``host``: the seconds of these that the host's thread computes
        - ``gather_rate``: bytes per second of adding up vectors of two devices
    """
    expected = [
        2e-3 + (recurrent_flops(setting) + dense_flops(setting)) / 5e10 for setting in SETTINGS
    ]
    job = {
        'settings': [dataclasses.asdict(setting) for setting in SETTINGS],
        'num_rounds': NUM_ROUNDS,
        'num_updates': [max(3, min(40, round(0.2 / seconds))) for seconds in expected],
    }
    (folder / 'job.json').write_text(json.dumps(job))
    result = json.loads(_run_python(1, HERE / 'peers' / 'updates.py', folder / 'job.json'))
    return {
        'gather_rate': result['gather_rate'],
        'host': [statistics.median(host for host, _ in rounds) for rounds in result['seconds']],
        'update': [statistics.median(map(max, rounds)) for rounds in result['seconds']],
    }


def measure_sums(folder: Path) -> dict:
    """Measure sums over the workers of each of `JOBS`.

    Returns
    -------
    dict of str to list of float
        For each job, the seconds of a sum of 16 floats, and of each of `NUM_FLOATS`.
    """
    (folder / 'job.json').write_text(
        json.dumps({'num_floats': [16, *NUM_FLOATS], 'num_rounds': NUM_ROUNDS})
    )
    seconds = {}
    for job in JOBS:
        result = json.loads(
            _run_python(
                1, *_launch_arguments(*job, HERE / 'peers' / 'sums.py', folder / 'job.json')
            )
        )
        seconds[str(job)] = [statistics.median(rounds) for rounds in result['seconds']]
    return seconds


def measure_runs(folder: Path) -> dict:
    """Measure trainings by the command `train`, of each of `RUNS` with each of `SETUPS`.

    Returns
    -------
    dict of str to dict of str to float
        The seconds per update, by the names of the run and of the setup.
    """
    times = {(size, setup): [] for size in RUNS for setup in SETUPS}
    for number in range(NUM_ROUNDS):
        for size, setup in times:
            out = folder / f'{size} {setup} {number}'
            times[size, setup].append(_measure_run(*RUNS[size], *SETUPS[setup], out))
    return {
        size: {setup: statistics.median(times[size, setup]) for setup in SETUPS} for size in RUNS
    }


def _measure_run(
    setting: Setting,
    num_batches: int,
    num_epochs: int,
    num_workers: int,
    num_devices: int,
    threads: int,
    has_server: bool,
    out: Path,
) -> float:
    """Return the seconds per update in the fastest epoch, which was disturbed least."""
    corpus = out.with_suffix('.tsv')
    pairs = _random_pairs(setting, num_batches)
    corpus.write_text(''.join(f'{src}\t{tgt}\n' for src, tgt in pairs))
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
        command = _launch_arguments(num_workers, 1, *command, '--kvstore', 'dist_sync')
    _run_python(threads, *command)
    epochs = map(json.loads, (out / 'metrics.jsonl').read_text().splitlines())
    return setting.num_labels / max(epoch['tokens_per_sec'] for epoch in epochs)


def _random_pairs(setting: Setting, num_batches: int) -> list:
    """Return pairs of random sentences without padding; <bos> and <eos> complete the target."""
    shape = 2, setting.batch_size * num_batches, setting.num_steps
    words = onp.random.RandomState(0).randint(0, setting.vocab_size - 4, shape)
    return [
        [' '.join(f'w{word}' for word in side) for side in (src, tgt[2:])]
        for src, tgt in zip(*words)
    ]


def _run_python(threads: int, *arguments) -> str:
    """Run Python with a number of threads per operator, and return its standard output."""
    environment = {**os.environ, 'OMP_NUM_THREADS': str(threads), 'PYTHONPATH': str(HERE.parent)}
    return subprocess.run(
        [sys.executable, *map(str, arguments)],
        check=True,
        text=True,
        stdout=subprocess.PIPE,
        env=environment,
    ).stdout


def _launch_arguments(num_workers: int, num_servers: int, *command) -> list:
    """Return the arguments of Python that run a command as several workers."""
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
