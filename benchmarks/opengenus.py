"""The training of the OpenGenus article, with `fit` and with Keras: python opengenus.py

Both train the article's model on its pseudo-data, with the same arrays, for five seeds.  They run
in turns, epoch by epoch.  The table is written to results/opengenus.md.
"""

from __future__ import annotations

import json
import statistics
import sys
import tempfile
from pathlib import Path

import numpy as onp
from rounds import Contestant
from training_speed import HERE, describe_machine

from d2l_seq2seq.config import PRESETS
from d2l_seq2seq.data.corpus import pseudo_pairs
from d2l_seq2seq.data.encoding import encode_pseudo_pairs

from environments import NotAvailable, python_of

NUM_SEEDS, NUM_EPOCHS = 5, 4


def main() -> None:
    """Measure all seeds and write the table."""
    seeds = [measure(seed) for seed in range(NUM_SEEDS)]
    num_batches = -(-1000 // PRESETS['opengenus']['batch_size'])
    lines = [
        '# The training of the OpenGenus article',
        '',
        f'{describe_machine()}; {NUM_SEEDS} seeds, interleaved. The losses are means over the '
        'seeds, and the times are medians of the epochs after the first.',
        '',
        '| | '
        + ' | '.join(f'loss, epoch {epoch}' for epoch in range(1, NUM_EPOCHS + 1))
        + ' | ms per batch | time / time of fit |',
        '|---' * (NUM_EPOCHS + 3) + '|',
    ]
    for name in seeds[0]:
        losses = [
            statistics.mean(seed[name][epoch][1] for seed in seeds) for epoch in range(NUM_EPOCHS)
        ]
        times = [seed[name][epoch][0] for seed in seeds for epoch in range(1, NUM_EPOCHS)]
        ratios = [
            seed[name][epoch][0] / seed['fit'][epoch][0]
            for seed in seeds
            for epoch in range(1, NUM_EPOCHS)
        ]
        lines.append(
            f'| {name} | {" | ".join(f"{loss:.4f}" for loss in losses)} '
            f'| {statistics.median(times) / num_batches * 1e3:.1f} '
            f'| {statistics.median(ratios):.2f} |'
        )
    text = '\n'.join(lines) + '\n'
    print(text)
    (HERE / 'results' / 'opengenus.md').write_text(text)


def measure(seed: int) -> dict[str, list[tuple[float, float]]]:
    """Return the seconds and the loss of each epoch, by the name of the contestant."""
    with tempfile.TemporaryDirectory() as folder:
        job = write_job(seed, Path(folder))
        contestants = [
            Contestant('fit', Path(sys.executable), HERE / 'peers' / 'ours.py', job, None),
            Contestant(
                'Keras',
                python_of('tensorflow-2.13.1'),
                HERE / 'peers' / 'keras_opengenus.py',
                job,
                None,
            ),
        ]
        results = {contestant.name: [] for contestant in contestants}
        for _ in range(NUM_EPOCHS):
            for contestant in contestants:
                results[contestant.name].append(contestant.run_epochs(1))
        for contestant in contestants:
            contestant.close()
    return results


def write_job(seed: int, folder: Path) -> Path:
    """Write the pseudo-data of a seed and the article's settings, for `Contestant`."""
    vocab, corpus = encode_pseudo_pairs(pseudo_pairs(seed))
    onp.savez(folder / 'arrays.npz', *corpus)
    job = folder / 'job.json'
    job.write_text(
        json.dumps(
            {
                **PRESETS['opengenus'],
                'arrays': str(folder / 'arrays.npz'),
                'seed': seed,
                'src_vocab_size': len(vocab),
                'tgt_vocab_size': len(vocab),
                'reported_loss': 'nll_per_token',
            }
        )
    )
    return job


if __name__ == '__main__':
    try:
        main()
    except NotAvailable as reason:
        sys.exit(str(reason))
