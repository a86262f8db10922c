"""The training speed of `fit`, d2l 0.14.0 and PyTorch: python training_speed.py [SIZE ...]

SIZE is chapter, real or bucketed.  All contestants train the same model on the same sentences with
the same mathematics, each in its own process.  They take turns of a few seconds, so that other work
on the machine affects all of them alike.  d2l and PyTorch run with their default number of threads,
and also with all cores (d2l) or one thread (PyTorch).  The ratio to the faster of the two is bold.
Times are wall times of whole epochs after the first, per batch.  With the size bucketed, batches
consist of sentences of similar length, which the book's loop does not support, so d2l is left out.
The tables are written to results/training_speed.md.
"""

from __future__ import annotations

import dataclasses
import json
import os
import platform
import statistics
import sys
import tempfile
from dataclasses import dataclass
from pathlib import Path

HERE = Path(__file__).resolve().parent
sys.path.insert(0, str(HERE.parent))
import numpy as onp  # noqa: E402
from rounds import Contestant, describe_threads  # noqa: E402

from d2l_seq2seq.data.corpus import read_corpus  # noqa: E402
from d2l_seq2seq.data.encoding import encode_pairs, first_examples  # noqa: E402

from environments import NotAvailable, python_of  # noqa: E402

NUM_ROUNDS = 7


@dataclass(frozen=True)
class Size:
    """The model and the data of a benchmark."""

    description: str
    num_pairs: int
    num_steps: int
    embed_size: int
    num_hiddens: int
    max_vocab_size: int | None  # the most frequent words keep their ids, the others become <unk>
    spread: bool  # True: pairs from the whole corpus; False: from its start, which are short
    lr: float
    epochs_per_round: int  # a process that has waited for its turn is slow for two epochs
    bucket_width: int | None = None  # difference in tokens between one bucket and the next
    num_layers: int = 2
    batch_size: int = 64


SIZES = {
    'chapter': Size(
        'The size of the chapter: embed_size 32, num_hiddens 32, 2 layers, batch_size 64, 10 steps',
        num_pairs=1001,
        num_steps=10,
        embed_size=32,
        num_hiddens=32,
        max_vocab_size=None,
        spread=False,
        lr=0.005,
        epochs_per_round=20,
    ),
    'real': Size(
        'A realistic size: embed_size 256, num_hiddens 512, 2 layers, batch_size 64, up to 20 '
        'steps, vocabularies of 10,000',
        num_pairs=512,
        num_steps=20,
        embed_size=256,
        num_hiddens=512,
        max_vocab_size=10_000,
        spread=True,
        lr=0.001,
        epochs_per_round=1,
    ),
    'bucketed': Size(
        'The realistic size with buckets of 4 tokens; times are per 64 sentences',
        num_pairs=2048,
        num_steps=20,
        embed_size=256,
        num_hiddens=512,
        max_vocab_size=10_000,
        spread=True,
        lr=0.001,
        epochs_per_round=1,
        bucket_width=4,
    ),
}


def main() -> None:
    """Measure the sizes named on the command line, or all."""
    names = sys.argv[1:] or list(SIZES)
    lines = [
        '# Training speed',
        '',
        f'{describe_machine()}; medians of {NUM_ROUNDS} interleaved rounds.',
    ]
    for name in names:
        lines += ['', *measure(SIZES[name])]
    text = '\n'.join(lines) + '\n'
    print(text)
    if names == list(SIZES):
        (HERE / 'results' / 'training_speed.md').write_text(text)


def measure(size: Size) -> list[str]:
    """Return the table of a size, as lines of Markdown."""
    with tempfile.TemporaryDirectory() as folder:
        job = write_job(size, Path(folder))
        corpus_name = json.loads(job.read_text())['corpus']
        groups = start_contestants(job, with_d2l=size.bucket_width is None)
        contestants = [contestant for group in groups.values() for contestant in group]
        times = {contestant.name: [] for contestant in contestants}
        losses = {}
        for contestant in contestants:
            contestant.run_epochs(1)  # not counted: graphs are compiled and memory is allocated
        for _ in range(NUM_ROUNDS):
            for contestant in contestants:
                seconds, losses[contestant.name] = contestant.run_epochs(size.epochs_per_round)
                times[contestant.name].append(seconds)
        for contestant in contestants:
            contestant.close()
    num_batches = -(-size.num_pairs // size.batch_size)  # with buckets there are a few more
    lines = [
        f'{size.description}; corpus {corpus_name}.',
        '',
        '| | ms per batch | time / time of fit | final loss |',
        '|---|---|---|---|',
    ]
    for group_name, group in groups.items():
        ratios = {
            contestant.name: statistics.median(
                seconds / fit_seconds
                for seconds, fit_seconds in zip(times[contestant.name], times['fit'])
            )
            for contestant in group
        }
        for name, ratio in ratios.items():
            mark = '**' if ratio == min(ratios.values()) and group_name != 'fit' else ''
            milliseconds = statistics.median(times[name]) / num_batches * 1e3
            lines.append(
                f'| {name} | {milliseconds:.2f} | {mark}{ratio:.2f}{mark} | {losses[name]:.4f} |'
            )
    return lines


def write_job(size: Size, folder: Path) -> Path:
    """Write the arrays and sizes that every contestant reads."""
    corpus = read_corpus('auto')
    pairs = corpus.pairs
    src_vocab, tgt_vocab, encoded = encode_pairs(
        pairs if size.spread else first_examples(pairs, size.num_pairs - 1), size.num_steps
    )
    arrays = list(encoded)
    if size.spread:
        chosen = onp.random.RandomState(0).permutation(len(pairs))[: size.num_pairs]
        arrays = [array[chosen] for array in arrays]
    vocab_sizes = {'src_vocab_size': len(src_vocab), 'tgt_vocab_size': len(tgt_vocab)}
    if size.max_vocab_size:
        for ids in arrays[::2]:
            ids[ids >= size.max_vocab_size] = 0
        vocab_sizes = dict.fromkeys(vocab_sizes, size.max_vocab_size)
    onp.savez(folder / 'arrays.npz', *arrays)
    job = folder / 'job.json'
    job.write_text(
        json.dumps(
            {
                **dataclasses.asdict(size),
                **vocab_sizes,
                'corpus': corpus.name,
                'arrays': str(folder / 'arrays.npz'),
            }
        )
    )
    return job


def start_contestants(job: Path, with_d2l: bool) -> dict[str, list[Contestant]]:
    """Start the contestants; those of a group differ only in their number of threads."""
    peers, cores = HERE / 'peers', os.cpu_count()
    d2l, torch = python_of('d2l-0.14.0'), python_of('torch-2.13.0')
    groups = {'fit': [Contestant('fit', Path(sys.executable), peers / 'ours.py', job, None)]}
    if with_d2l:
        groups['d2l 0.14.0'] = [
            Contestant(
                f'd2l 0.14.0, {describe_threads(threads)}', d2l, peers / 'd2l_0_14.py', job, threads
            )
            for threads in (None, cores)
        ]
    for kind in ('plain', 'strong'):
        groups[f'PyTorch 2.13 {kind}'] = [
            Contestant(
                f'PyTorch 2.13 {kind}, {describe_threads(threads)}',
                torch,
                peers / 'pytorch.py',
                job,
                threads,
                kind,
            )
            for threads in (None, 1)
        ]
    return groups


def describe_machine() -> str:
    """Return the number of cores, the model of the processor, and the version of Python."""
    try:
        lines = Path('/proc/cpuinfo').read_text().splitlines()
        model = next(line.split(':')[1].strip() for line in lines if line.startswith('model name'))
    except (OSError, StopIteration):
        model = platform.processor()
    return f'{os.cpu_count()} cores ({model}), Python {platform.python_version()}'


if __name__ == '__main__':
    try:
        main()
    except NotAvailable as reason:
        sys.exit(str(reason))
