"""How `fit` grows, beside d2l 0.14.0's own loop: python growth.py

One setting at a time is changed around a middle size, on random sentences; the two take turns epoch
by epoch, each at the number of threads that suits it (d2l at its default and at all cores, the
faster counts).  Then what a process costs: time to import, peak memory after training, and the rate
of arithmetic against that of a large matrix product.  The tables go to results/growth.md.
"""

from __future__ import annotations

import json
import os
import resource
import statistics
import subprocess
import sys
import tempfile
import time
from pathlib import Path

import numpy as onp
from environments import NotAvailable, python_of
from rounds import Contestant
from training_speed import HERE, describe_machine

NUM_ROUNDS = 5
MIDDLE = {'batch_size': 64, 'num_hiddens': 128, 'vocab_size': 2000, 'num_pairs': 512}
CHANGES = {
    'batch_size': (16, 64, 256),
    'num_hiddens': (32, 128, 512),
    'vocab_size': (500, 2000, 10_000),
    'num_pairs': (256, 1024, 4096),
}
NUM_STEPS = 12


def write_job(settings: dict, folder: Path) -> Path:
    """Random sentences of 3 to 12 tokens, and the sizes."""
    rng, n, words = onp.random.RandomState(0), settings['num_pairs'], settings['vocab_size']
    lengths = rng.randint(3, NUM_STEPS + 1, (2, n))
    src, tgt = onp.where(
        onp.arange(NUM_STEPS) < lengths[:, :, None], rng.randint(4, words, (2, n, NUM_STEPS)), 1
    ).astype('float32')
    onp.savez(folder / 'arrays.npz', src, lengths[0], tgt, lengths[1])
    job = folder / 'job.json'
    job.write_text(
        json.dumps(
            {
                'arrays': str(folder / 'arrays.npz'),
                'src_vocab_size': words,
                'tgt_vocab_size': words,
                'embed_size': settings['num_hiddens'] // 2,
                'num_hiddens': settings['num_hiddens'],
                'num_layers': 2,
                'batch_size': settings['batch_size'],
                'lr': 0.001,
            }
        )
    )
    return job


def compare(settings: dict) -> tuple[float, float]:
    """Milliseconds a batch of `fit`, and how many times as long d2l takes."""
    with tempfile.TemporaryDirectory() as folder:
        job, d2l = write_job(settings, Path(folder)), python_of('d2l-0.14.0')
        ours = Contestant('fit', Path(sys.executable), HERE / 'peers' / 'ours.py', job, None)
        theirs = [
            Contestant('d2l', d2l, HERE / 'peers' / 'd2l_0_14.py', job, threads)
            for threads in (None, os.cpu_count())
        ]
        everyone = [ours, *theirs]
        for contestant in everyone:
            contestant.run_epochs(1)
        times = [
            [contestant.run_epochs(1)[0] for contestant in everyone] for _ in range(NUM_ROUNDS)
        ]
        for contestant in everyone:
            contestant.close()
    num_batches = -(-settings['num_pairs'] // settings['batch_size'])
    faster = min((1, 2), key=lambda i: statistics.median(row[i] for row in times))
    return (
        statistics.median(row[0] for row in times) / num_batches * 1e3,
        statistics.median(row[faster] / row[0] for row in times),
    )


def growth_table() -> list[str]:
    """The changes around the middle size."""
    middle = ', '.join(f'{name} {value:,}' for name, value in MIDDLE.items())
    lines = [
        f'Around {middle}, {NUM_STEPS} steps, embed_size half of num_hiddens:',
        '',
        '| changed | to | ms a batch | d2l takes times as long |',
        '|---|---|---|---|',
    ]
    for name, values in CHANGES.items():
        for value in values:
            milliseconds, ratio = compare({**MIDDLE, name: value})
            lines.append(f'| {name} | {value:,} | {milliseconds:.2f} | {ratio:.2f} |')
            print(lines[-1], flush=True)
    return lines


def import_seconds(code: str) -> float:
    """The median of a fresh interpreter's time for some code, less that of an empty one."""

    def once(text):
        start = time.perf_counter()
        subprocess.run([sys.executable, '-c', text], check=True)
        return time.perf_counter() - start

    return statistics.median(once(code) - once('') for _ in range(NUM_ROUNDS))


def cost_table() -> list[str]:
    """Import times, peak memory, and the share of the machine's arithmetic."""
    rows = [
        (code, f'{import_seconds(code) * 1e3:,.0f} ms')
        for code in ('import d2l_seq2seq', 'from d2l_seq2seq import fit', 'import mxnet')
    ]
    with tempfile.TemporaryDirectory() as folder:
        job = write_job({**MIDDLE, 'num_hiddens': 512, 'vocab_size': 10_000}, Path(folder))
        contestant = Contestant('fit', Path(sys.executable), HERE / 'peers' / 'ours.py', job, None)
        contestant.run_epochs(1)
        seconds, _ = contestant.run_epochs(3)
        contestant.close()
        values = list(onp.load(Path(folder) / 'arrays.npz').values())
    peak = resource.getrusage(resource.RUSAGE_CHILDREN).ru_maxrss / 2**20
    rows.append(('peak memory, 512 units and 10,000 words', f'{peak:.1f} GiB'))
    rate, best = flops_an_epoch(values, 256, 512, 10_000) / seconds / 1e9, product_rate()
    rows.append(
        (
            'arithmetic at that size',
            f'{rate:.0f} GFLOP/s, {rate / best:.0%} of the {best:.0f} of a large product',
        )
    )
    return ['| what | cost |', '|---|---|', *(f'| {what} | {cost} |' for what, cost in rows)]


def flops_an_epoch(values: list, embed_size: int, num_hiddens: int, vocab_size: int) -> float:
    """Multiplications and additions that `fit` does in matrix products, backward taken as twice."""
    src, _, tgt, tgt_valid_len = values
    per_token = 2 * 4 * num_hiddens * (embed_size + num_hiddens + 2 * num_hiddens)
    recurrent = per_token * (src.size + len(tgt) * (tgt.shape[1] - 1))
    head = 2 * num_hiddens * vocab_size * float((tgt_valid_len - 1).sum())
    return 3 * (recurrent + head)


def product_rate() -> float:
    """GFLOP/s of MXNet's own product of 2048 x 2048 matrices on all cores."""
    code = (
        'import time\nfrom d2l_seq2seq._mxnet import mx\n'
        'a = mx.nd.ones((2048, 2048))\ntimes = []\n'
        'for _ in range(9):\n    mx.nd.waitall()\n    start = time.perf_counter()\n'
        '    mx.nd.FullyConnected(a, a, no_bias=True, num_hidden=2048).wait_to_read()\n'
        '    times.append(time.perf_counter() - start)\n'
        'print(2 * 2048 ** 3 / sorted(times)[4] / 1e9)'
    )
    environment = {**os.environ, 'OMP_NUM_THREADS': str(os.cpu_count())}
    result = subprocess.run(
        [sys.executable, '-c', code], check=True, capture_output=True, text=True, env=environment
    )
    return float(result.stdout)


def main() -> None:
    """Measure, print, and write the tables."""
    text = (
        '\n'.join(
            [
                '# Growth and cost',
                '',
                f'{describe_machine()}; medians of {NUM_ROUNDS} rounds in turn.',
                '',
                *cost_table(),
                '',
                *growth_table(),
            ]
        )
        + '\n'
    )
    print(text)
    (HERE / 'results' / 'growth.md').write_text(text)


if __name__ == '__main__':
    try:
        main()
    except NotAvailable as reason:
        sys.exit(str(reason))
