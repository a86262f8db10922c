"""How fast is `fit`, beside d2l 0.14.0's own loop and PyTorch? python training_speed.py [SIZE ...]

SIZE is chapter, real or bucketed.  All train the same model on the same sentences with the same
mathematics, each in a process of its own, and take turns of a few seconds, so that a noisy machine
disturbs all of them alike.  d2l and PyTorch run at their default number of threads and at one (or
all) of the cores; the ratio is taken to the faster.  Times are wall time of whole epochs per batch,
after the first.  At the bucketed size batches are made of sentences of similar length, which the
book's loop can't do, so d2l is not in it.  The tables go to results/training_speed.md.
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
from environments import NotAvailable, python_of  # noqa: E402
from rounds import Contestant  # noqa: E402

from d2l_seq2seq.data.corpus import read_corpus  # noqa: E402
from d2l_seq2seq.data.encoding import encode_pairs, first_examples  # noqa: E402

NUM_ROUNDS = 7


@dataclass(frozen=True)
class Size:
    """A benchmark's model and data."""

    description: str
    num_pairs: int
    num_steps: int
    embed_size: int
    num_hiddens: int
    max_vocab_size: int | None  # commoner words keep their ids, others become <unk>
    spread: bool  # pairs from all over the corpus, not its short beginning
    lr: float
    epochs_a_round: int  # a process that has waited for its turn is slow for its first two epochs
    bucket_width: int | None = None  # tokens from one bucket of lengths to the next
    num_layers: int = 2
    batch_size: int = 64


SIZES = {
    'chapter': Size(
        "the chapter's: embed 32, hidden 32, 2 layers, batch 64, 10 steps",
        1001,
        10,
        32,
        32,
        None,
        False,
        0.005,
        20,
    ),
    'real': Size(
        'a real one: embed 256, hidden 512, 2 layers, batch 64, up to 20 steps, '
        'vocabularies of 10,000',
        512,
        20,
        256,
        512,
        10_000,
        True,
        0.001,
        1,
    ),
    'bucketed': Size(
        'the real one with buckets of 4 tokens; a batch stands for 64 sentences',
        2048,
        20,
        256,
        512,
        10_000,
        True,
        0.001,
        1,
        bucket_width=4,
    ),
}


def write_job(size: Size, folder: Path) -> Path:
    """The arrays and sizes that every contestant reads."""
    corpus = read_corpus('auto')
    pairs = corpus.pairs
    src_vocab, tgt_vocab, arrays = encode_pairs(
        pairs if size.spread else first_examples(pairs, size.num_pairs - 1), size.num_steps
    )
    values = list(arrays)
    if size.spread:
        chosen = onp.random.RandomState(0).permutation(len(pairs))[: size.num_pairs]
        values = [value[chosen] for value in values]
    sizes = {'src_vocab_size': len(src_vocab), 'tgt_vocab_size': len(tgt_vocab)}
    if size.max_vocab_size:
        for value in values[::2]:
            value[value >= size.max_vocab_size] = 0
        sizes = dict.fromkeys(sizes, size.max_vocab_size)
    onp.savez(folder / 'arrays.npz', *values)
    job = folder / 'job.json'
    job.write_text(
        json.dumps(
            {
                **dataclasses.asdict(size),
                **sizes,
                'corpus': corpus.name,
                'arrays': str(folder / 'arrays.npz'),
            }
        )
    )
    return job


def start_contestants(job: Path, with_book: bool) -> dict[str, list[Contestant]]:
    """The contestants by the name they stand for, each at its settings."""
    peers, cores = HERE / 'peers', os.cpu_count()
    d2l, torch = python_of('d2l-0.14.0'), python_of('torch-2.13.0')
    return {
        'fit': [Contestant('fit', Path(sys.executable), peers / 'ours.py', job, None)],
        **(
            {
                'd2l 0.14.0': [
                    Contestant(
                        f'd2l 0.14.0, {threads or "default"} threads',
                        d2l,
                        peers / 'd2l_0_14.py',
                        job,
                        threads,
                    )
                    for threads in (None, cores)
                ]
            }
            if with_book
            else {}
        ),
        **{
            f'PyTorch 2.13, {kind}': [
                Contestant(
                    f'PyTorch 2.13 {kind}, {threads or "default"} threads',
                    torch,
                    peers / 'pytorch.py',
                    job,
                    threads,
                    kind,
                )
                for threads in (None, 1)
            ]
            for kind in ('plain', 'strong')
        },
    }


def measure(size: Size) -> list[str]:
    """A table for one size, as lines of Markdown."""
    with tempfile.TemporaryDirectory() as folder:
        job = write_job(size, Path(folder))
        corpus = json.loads(job.read_text())['corpus']
        groups = start_contestants(job, with_book=size.bucket_width is None)
        everyone = [contestant for group in groups.values() for contestant in group]
        times = {contestant.name: [] for contestant in everyone}
        losses = {}
        for contestant in everyone:
            contestant.run_epochs(1)  # compiles, allocates, is not counted
        for _ in range(NUM_ROUNDS):
            for contestant in everyone:
                seconds, losses[contestant.name] = contestant.run_epochs(size.epochs_a_round)
                times[contestant.name].append(seconds)
        for contestant in everyone:
            contestant.close()
    num_batches = -(-size.num_pairs // size.batch_size)  # with buckets there are a few more
    ours = times['fit']
    lines = [
        f'Size: {size.description}; corpus {corpus}.',
        '',
        '| | ms a batch | times as long as fit | loss at the end |',
        '|---|---|---|---|',
    ]
    for name, group in groups.items():
        ratios = {
            contestant.name: statistics.median(
                theirs / own for theirs, own in zip(times[contestant.name], ours)
            )
            for contestant in group
        }
        for one, ratio in ratios.items():
            mark = '**' if ratio == min(ratios.values()) and name != 'fit' else ''
            milliseconds = statistics.median(times[one]) / num_batches * 1e3
            lines.append(
                f'| {one} | {milliseconds:.2f} | {mark}{ratio:.2f}{mark} | {losses[one]:.4f} |'
            )
    return lines


def main() -> None:
    """Measure the sizes named on the command line, or all."""
    names = sys.argv[1:] or list(SIZES)
    lines = [
        '# Training speed',
        '',
        f'{describe_machine()}; medians of {NUM_ROUNDS} rounds in turn.',
    ]
    for name in names:
        lines += ['', *measure(SIZES[name])]
    text = '\n'.join(lines) + '\n'
    print(text)
    if names == list(SIZES):
        (HERE / 'results' / 'training_speed.md').write_text(text)


def describe_machine() -> str:
    """The processor and its number of cores."""
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
