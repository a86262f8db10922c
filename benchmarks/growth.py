"""The speed of `fit` as sizes grow, compared with d2l 0.14.0, and what it costs: python growth.py

One setting at a time is varied around a medium size, on random sentences.  Both loops run in turns,
epoch by epoch, each with the number of threads that suits it (d2l with its default number and with
all cores, of which the faster is used).  In addition, the script measures the time of imports, the
peak memory of a training, and the arithmetic rate compared with that of a large matrix product.
The tables are written to results/growth.md.
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
from rounds import Contestant
from training_speed import HERE, describe_machine

from environments import NotAvailable, python_of

NUM_ROUNDS = 5
MEDIUM = {'batch_size': 64, 'num_hiddens': 128, 'vocab_size': 2000, 'num_pairs': 512}
VALUES = {
    'batch_size': (16, 64, 256),
    'num_hiddens': (32, 128, 512),
    'vocab_size': (500, 2000, 10_000),
    'num_pairs': (256, 1024, 4096),
}
NUM_STEPS = 12


def main() -> None:
    """Measure, print, and write the tables."""
    text = (
        '\n'.join(
            [
                '# Growth and cost',
                '',
                f'{describe_machine()}; medians of {NUM_ROUNDS} interleaved rounds.',
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


def growth_table() -> list[str]:
    """Return the table of the varied settings, as lines of Markdown."""
    medium = ', '.join(f'{name} {value:,}' for name, value in MEDIUM.items())
    lines = [
        f'One setting is varied around {medium}, with {NUM_STEPS} steps and an embed_size of half '
        'of num_hiddens:',
        '',
        '| setting | value | fit, ms per batch | time of d2l / time of fit |',
        '|---|---|---|---|',
    ]
    for name, values in VALUES.items():
        for value in values:
            milliseconds, ratio = compare({**MEDIUM, name: value})
            lines.append(f'| {name} | {value:,} | {milliseconds:.2f} | {ratio:.2f} |')
            print(lines[-1], flush=True)
    return lines


def compare(settings: dict) -> tuple[float, float]:
    """Return the milliseconds per batch of `fit`, and the time of d2l divided by that of `fit`."""
    with tempfile.TemporaryDirectory() as folder:
        job, d2l = write_job(settings, Path(folder)), python_of('d2l-0.14.0')
        ours = Contestant('fit', Path(sys.executable), HERE / 'peers' / 'ours.py', job, None)
        theirs = [
            Contestant('d2l', d2l, HERE / 'peers' / 'd2l_0_14.py', job, threads)
            for threads in (None, os.cpu_count())
        ]
        contestants = [ours, *theirs]
        for contestant in contestants:
            contestant.run_epochs(1)
        times = [
            [contestant.run_epochs(1)[0] for contestant in contestants] for _ in range(NUM_ROUNDS)
        ]
        for contestant in contestants:
            contestant.close()
    num_batches = -(-settings['num_pairs'] // settings['batch_size'])
    faster = min((1, 2), key=lambda i: statistics.median(row[i] for row in times))
    return (
        statistics.median(row[0] for row in times) / num_batches * 1e3,
        statistics.median(row[faster] / row[0] for row in times),
    )


def write_job(settings: dict, folder: Path) -> Path:
    """Write random sentences of 3 to 12 tokens and the sizes of a training, for `Contestant`."""
    rng = onp.random.RandomState(0)
    num_pairs, vocab_size = settings['num_pairs'], settings['vocab_size']
    lengths = rng.randint(3, NUM_STEPS + 1, (2, num_pairs))
    src, tgt = onp.where(
        onp.arange(NUM_STEPS) < lengths[:, :, None],
        rng.randint(4, vocab_size, (2, num_pairs, NUM_STEPS)),
        1,
    ).astype('float32')
    onp.savez(folder / 'arrays.npz', src, lengths[0], tgt, lengths[1])
    job = folder / 'job.json'
    job.write_text(
        json.dumps(
            {
                'arrays': str(folder / 'arrays.npz'),
                'src_vocab_size': vocab_size,
                'tgt_vocab_size': vocab_size,
                'embed_size': settings['num_hiddens'] // 2,
                'num_hiddens': settings['num_hiddens'],
                'num_layers': 2,
                'batch_size': settings['batch_size'],
                'lr': 0.001,
            }
        )
    )
    return job


def cost_table() -> list[str]:
    """Return the table of import times, peak memory and arithmetic rate, as lines of Markdown."""
    rows = [
        (code, f'{import_seconds(code) * 1e3:,.0f} ms')
        for code in ('import d2l_seq2seq', 'from d2l_seq2seq import fit', 'import mxnet')
    ]
    with tempfile.TemporaryDirectory() as folder:
        job = write_job({**MEDIUM, 'num_hiddens': 512, 'vocab_size': 10_000}, Path(folder))
        contestant = Contestant('fit', Path(sys.executable), HERE / 'peers' / 'ours.py', job, None)
        contestant.run_epochs(1)
        seconds, _ = contestant.run_epochs(3)
        contestant.close()
        arrays = list(onp.load(Path(folder) / 'arrays.npz').values())
    peak = resource.getrusage(resource.RUSAGE_CHILDREN).ru_maxrss / 2**20
    rows.append(('peak memory, 512 hidden units and 10,000 words', f'{peak:.1f} GiB'))
    rate, max_rate = flops_per_epoch(arrays, 256, 512, 10_000) / seconds / 1e9, product_rate()
    rows.append(
        (
            'arithmetic rate at that size',
            f'{rate:.0f} GFLOP/s, {rate / max_rate:.0%} of the {max_rate:.0f} GFLOP/s of a large '
            'matrix product',
        )
    )
    return ['| item | cost |', '|---|---|', *(f'| {item} | {cost} |' for item, cost in rows)]


def import_seconds(code: str) -> float:
    """Return the median time of some code in a new interpreter, less the time of no code."""

    def run(text):
        start = time.perf_counter()
        subprocess.run([sys.executable, '-c', text], check=True)
        return time.perf_counter() - start

    return statistics.median(run(code) - run('') for _ in range(NUM_ROUNDS))


def flops_per_epoch(arrays: list, embed_size: int, num_hiddens: int, vocab_size: int) -> float:
    """Return the number of multiplications and additions in the matrix products of `fit`.

    The backward pass counts as twice the forward pass.
    """
    src, _, tgt, tgt_valid_len = arrays
    per_token = 2 * 4 * num_hiddens * (embed_size + num_hiddens + 2 * num_hiddens)
    recurrent = per_token * (src.size + len(tgt) * (tgt.shape[1] - 1))
    dense = 2 * num_hiddens * vocab_size * float((tgt_valid_len - 1).sum())
    return 3 * (recurrent + dense)


def product_rate() -> float:
    """Return the GFLOP/s of MXNet's product of two 2048 x 2048 matrices, on all cores."""
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


if __name__ == '__main__':
    try:
        main()
    except NotAvailable as reason:
        sys.exit(str(reason))
