"""The speed of translation, compared with PyTorch: python translation_speed.py [SIZE ...]

SIZE is chapter or attention.  The chapter's model is trained by `train`, and all contestants use
its weights.  The attention model of 512 units has random weights, so that every translation takes
all 20 steps.  All contestants get the same sentences as text and return text.  They run in turns,
in each of which a contestant translates in all its modes.  PyTorch runs with its default number of
threads and with one, and we run with one thread and with all cores; the faster of our two is
compared with each of the others.  The tables are written to results/translation_speed.md.
"""

from __future__ import annotations

import itertools
import json
import os
import statistics
import subprocess
import sys
import tempfile
from collections import defaultdict
from dataclasses import dataclass
from pathlib import Path

from rounds import Contestant, describe_threads
from training_speed import HERE, describe_machine

from d2l_seq2seq import DataConfig, ModelConfig, RunConfig, build_model, initialize, read_corpus
from d2l_seq2seq._mxnet import npx, seed_generators
from d2l_seq2seq.data.encoding import encode_pairs
from d2l_seq2seq.data.tokenizers import tokenize_chapter
from d2l_seq2seq.runs.checkpoint import Run
from d2l_seq2seq.runs.folder import save_run
from d2l_seq2seq.runs.layout import list_checkpoints

from environments import NotAvailable, python_of

NUM_ROUNDS = 7
BOOK = "the book's loop"
BOOK_MODE, BATCH_MODE, BEAM_MODE = 'one by one', 'batches of 64', 'beam 5, batches of 64'
NUM_SENTENCES = 10_000


@dataclass(frozen=True)
class Size:
    """A model, and the number of sentences to translate with it."""

    description: str
    modes: dict[str, int]  # number of sentences per turn in each mode, for us and for PyTorch
    num_book: int  # number of sentences per turn for the book's loop


SIZES = {
    'chapter': Size(
        "the chapter's model, trained; embed_size 32, num_hiddens 32, 2 layers, 10 steps",
        {BOOK_MODE: 500, BATCH_MODE: NUM_SENTENCES, BEAM_MODE: 3200},
        num_book=300,
    ),
    'attention': Size(
        'general attention, random weights; embed_size 256, num_hiddens 512, 2 layers, 10,000 '
        'words, 20 steps',
        {BOOK_MODE: 10, BATCH_MODE: 128, BEAM_MODE: 64},
        num_book=5,
    ),
}


def main() -> None:
    """Measure the sizes named on the command line, or all."""
    names = sys.argv[1:] or list(SIZES)
    lines = [
        '# Translation speed',
        '',
        f'{describe_machine()}; medians of {NUM_ROUNDS} interleaved rounds.',
    ]
    for name in names:
        lines += ['', *measure(name)]
    text = '\n'.join(lines) + '\n'
    print(text)
    if names == list(SIZES):
        (HERE / 'results' / 'translation_speed.md').write_text(text)


def measure(name: str) -> list[str]:
    """Return the table of a size, as lines of Markdown."""
    size = SIZES[name]
    with tempfile.TemporaryDirectory() as folder:
        run, job = Path(folder) / 'run', Path(folder) / 'job.json'
        make_run(name, run)
        job.write_text(
            json.dumps(
                {
                    'run': str(run),
                    'checkpoint': str(list_checkpoints(run)[-1]),
                    'sources': read_sources(name),
                    'modes': size.modes,
                    'num_book': size.num_book,
                }
            )
        )
        groups = start_contestants(job)
        speeds, lengths = defaultdict(list), {}
        for number in range(NUM_ROUNDS + 1):
            for contestant in itertools.chain(*groups.values()):
                is_book = contestant.name == BOOK
                modes = {BOOK_MODE: size.num_book} if is_book else size.modes
                for mode, count in modes.items():
                    seconds, lengths[contestant.name, mode] = contestant.run_epochs(1)
                    if number > 0:  # graphs are compiled in the first round
                        speeds[contestant.name, mode].append(count / seconds)
        for contestant in itertools.chain(*groups.values()):
            contestant.close()
    return [
        f'Model: {size.description}; corpus {read_corpus("auto").name}.',
        '',
        *make_table(size, groups, speeds, lengths),
    ]


def make_run(name: str, folder: Path) -> None:
    """Make a run with the model of a size."""
    if name == 'chapter':
        subprocess.run(
            [sys.executable, '-m', 'd2l_seq2seq.train', '--out', folder],
            check=True,
            stdout=subprocess.DEVNULL,
        )
        return
    config = RunConfig(
        DataConfig(num_steps=20, num_examples=None),
        ModelConfig(256, 512, 2, masked=True, attention='general'),
    )
    src_vocab, tgt_vocab, _ = encode_pairs(read_corpus('auto').pairs, config.data.num_steps)
    vocabs = [
        type(vocab).from_tokens(vocab.idx_to_token[:10_000]) for vocab in (src_vocab, tgt_vocab)
    ]
    seed_generators(0)
    model = build_model(config.model, *map(len, vocabs))
    initialize(model, npx.cpu())
    save_run(folder, Run(config, *vocabs, model))


def read_sources(name: str) -> list[str]:
    """Return sentences that fit the model's `num_steps`, with spaces before their punctuation."""
    sentences = [' '.join(tokenize_chapter(src)) for src, _ in read_corpus('auto').pairs]
    if name == 'chapter':
        return sentences[:NUM_SENTENCES]
    short = [sentence for sentence in sentences if len(sentence.split()) <= 20]
    return short[:: max(1, len(short) // NUM_SENTENCES)]


def start_contestants(job: Path) -> dict[str, list[Contestant]]:
    """Start the contestants; those of a group differ only in their number of threads."""
    peers, torch = HERE / 'peers', python_of('torch-2.13.0')
    ours = Path(sys.executable), peers / 'ours_translate.py', job
    groups = {
        'ours': [
            Contestant(f'ours, {describe_threads(threads)}', *ours, threads)
            for threads in (1, os.cpu_count())
        ],
        BOOK: [Contestant(BOOK, *ours, None, 'book')],
    }
    for kind in ('plain', 'strong'):
        groups[f'PyTorch 2.13 {kind}'] = [
            Contestant(
                f'PyTorch 2.13 {kind}, {describe_threads(threads)}',
                torch,
                peers / 'pytorch_translate.py',
                job,
                threads,
                kind,
            )
            for threads in (None, 1)
        ]
    return groups


def make_table(size: Size, groups, speeds, lengths) -> list[str]:
    """Return the sentences per second of all contestants, and the ratios of our speed to theirs."""
    lines = [
        '| mode | | sentences/s | our speed / its speed | tokens per sentence |',
        '|---|---|---|---|---|',
    ]
    our_speeds = {}  # of the faster number of threads
    for mode in size.modes:
        our_speeds[mode] = max(
            (speeds[contestant.name, mode] for contestant in groups['ours']), key=statistics.median
        )
        rows = [
            (contestant.name, mode)
            for group in groups.values()
            for contestant in group
            if contestant.name != BOOK
        ]
        if mode != BEAM_MODE:  # the book's loop translates one by one, also compared with batches
            rows.append((BOOK, BOOK_MODE))
        for name, own_mode in rows:
            ratio = statistics.median(
                ours / theirs for ours, theirs in zip(our_speeds[mode], speeds[name, own_mode])
            )
            cell = '' if name.startswith('ours') else f'{ratio:.2f}'
            lines.append(
                f'| {mode} | {name} | {statistics.median(speeds[name, own_mode]):,.0f} | {cell} '
                f'| {lengths[name, own_mode]:.3f} |'
            )
    cost = statistics.median(our_speeds[BATCH_MODE]) / statistics.median(our_speeds[BEAM_MODE])
    return [*lines, '', f'A beam of 5 takes {cost:.1f} times as long as greedy search.']


if __name__ == '__main__':
    try:
        main()
    except NotAvailable as reason:
        sys.exit(str(reason))
