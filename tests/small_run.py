"""A small training in a process of its own, for tests that stop and resume it."""

import json
import signal
import subprocess
import sys

import numpy as onp

from conftest import ROOT

# The smallest of models, and a part of a corpus to train it on.
SIZES = ['--num-hiddens', '8', '--embed-size', '4', '--num-layers', '1']
BUNDLED = ['--corpus', 'bundled', '--num-examples', '60']

# Everything that has a state: dropout, shuffling, a schedule, decay, accumulation.
SETTINGS = [
    '--corpus',
    'bundled',
    '--num-examples',
    '60',
    '--batch-size',
    '8',
    '--min-freq',
    '1',
    '--num-hiddens',
    '6',
    '--embed-size',
    '5',
    '--num-layers',
    '2',
    '--masked',
    '--dropout',
    '0.3',
    '--lr-schedule',
    'plateau',
    '--halve-after',
    '2',
    '--weight-decay',
    '0.01',
    '--label-smoothing',
    '0.1',
    '--batches-per-update',
    '2',
    '--teacher-forcing',
    '0.8',
    '--validate',
    '--validate-every',
    '2',
    '--held-out',
    '0.2',
    '--save-every',
    '1',
    '--save-minutes',
    '0.002',
    '--keep',
    '2',
    '--seed',
    '7',
]


def enable_sigint():
    """Enable SIGINT in a new process, even where the tests run with it ignored."""
    signal.signal(signal.SIGINT, signal.SIG_DFL)


def start(*arguments, preexec_fn=enable_sigint):
    """Start a training; its standard output can be read line by line."""
    return subprocess.Popen(
        [sys.executable, '-m', 'd2l_seq2seq.train', *arguments],
        cwd=ROOT,
        stdout=subprocess.PIPE,
        stderr=subprocess.PIPE,
        text=True,
        preexec_fn=preexec_fn,
    )


def finish(*arguments):
    """Run a training to its end; return its output."""
    process = start(*arguments)
    stdout, stderr = process.communicate(timeout=600)
    assert (process.returncode, stderr) == (0, ''), stderr
    return stdout


def metrics_of(folder):
    """Return the metrics of a run, without those that depend on the clock."""
    rows = [json.loads(line) for line in (folder / 'metrics.jsonl').read_text().splitlines()]
    for row in rows:
        del row['tokens_per_sec']
    return rows


def arrays_of(folder, epoch):
    """Return all arrays of the checkpoint after an epoch: weights and moments."""
    found = {}
    for name in ('weights', 'optimizer'):
        with onp.load(folder / 'checkpoints' / f'epoch-{epoch}' / f'{name}.npz') as arrays:
            found.update({f'{name} {key}': arrays[key] for key in arrays.files})
    return found


def assert_same_training(folder, other, num_epochs):
    """Assert the same metrics, and the same bits in all arrays."""
    assert metrics_of(folder) == metrics_of(other)
    ours, theirs = arrays_of(folder, num_epochs), arrays_of(other, num_epochs)
    assert set(ours) == set(theirs)
    assert [name for name in ours if not onp.array_equal(ours[name], theirs[name])] == []
