"""How fast is translating? python translation_speed.py [SIZE ...]

SIZE is chapter or attention.  Beside us stand the book's loop and PyTorch.  The chapter's model is
trained by `train` and has the same weights in all contestants; the attention model of 512 units has
random ones, so that every translation takes all 20 steps.  Everyone gets the same sentences as text
and returns text.  The contestants take turns in which each translates in all its ways: PyTorch at
its default number of threads and at one, we at one and at all of the cores; our better setting is
compared with each of the others.  The tables go to results/translation_speed.md.
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

from environments import NotAvailable, python_of
from rounds import Contestant
from training_speed import HERE, describe_machine

from d2l_seq2seq import DataConfig, ModelConfig, RunConfig, build_model, initialize, read_corpus
from d2l_seq2seq._mxnet import npx, seed_generators
from d2l_seq2seq.data.encoding import encode_pairs
from d2l_seq2seq.data.tokenizers import tokenize_chapter
from d2l_seq2seq.runs.checkpoint import Run
from d2l_seq2seq.runs.folder import save_run
from d2l_seq2seq.runs.layout import list_checkpoints

NUM_ROUNDS = 7
BOOK_WAY = 'one by one'
NUM_SENTENCES = 10_000


@dataclass(frozen=True)
class Size:
    """A model to translate with."""

    description: str
    ways: dict[str, int]  # how to translate: sentences in a turn, of our side and of PyTorch's
    num_book: int  # sentences that the book's loop gets in a turn


SIZES = {
    'chapter': Size(
        "the chapter's, trained; embed 32, hidden 32, 2 layers, 10 steps",
        {'one by one': 500, 'batches of 64': NUM_SENTENCES, 'beam 5, batches of 64': 3200},
        300,
    ),
    'attention': Size(
        'general attention, random weights; embed 256, hidden 512, 2 layers, 10,000 '
        'words, 20 steps',
        {'one by one': 10, 'batches of 64': 128, 'beam 5, batches of 64': 64},
        5,
    ),
}


def make_run(name: str, folder: Path) -> None:
    """A run of this size."""
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


def sources(name: str) -> list[str]:
    """Sentences that the model's `num_steps` have room for, spaces around their punctuation."""
    corpus = [' '.join(tokenize_chapter(src)) for src, _ in read_corpus('auto').pairs]
    if name == 'chapter':
        return corpus[:NUM_SENTENCES]
    short = [sentence for sentence in corpus if len(sentence.split()) <= 20]
    return short[:: max(1, len(short) // NUM_SENTENCES)]


def start_contestants(job: Path) -> dict[str, list[Contestant]]:
    """The contestants by the name they stand for, each at its settings."""
    peers, torch = HERE / 'peers', python_of('torch-2.13.0')
    cores = os.cpu_count()
    return {
        'ours': [
            Contestant(
                f'ours, {threads} threads',
                Path(sys.executable),
                peers / 'ours_translate.py',
                job,
                threads,
            )
            for threads in (1, cores)
        ],
        "the book's loop": [
            Contestant(
                "the book's loop",
                Path(sys.executable),
                peers / 'ours_translate.py',
                job,
                None,
                'book',
            )
        ],
        **{
            f'PyTorch 2.13, {kind}': [
                Contestant(
                    f'PyTorch 2.13 {kind}, {threads or "default"} threads',
                    torch,
                    peers / 'pytorch_translate.py',
                    job,
                    threads,
                    kind,
                )
                for threads in (None, 1)
            ]
            for kind in ('plain', 'strong')
        },
    }


def measure(name: str) -> list[str]:
    """A table for one size, as lines of Markdown."""
    size = SIZES[name]
    with tempfile.TemporaryDirectory() as folder:
        run, job = Path(folder) / 'run', Path(folder) / 'job.json'
        make_run(name, run)
        job.write_text(
            json.dumps(
                {
                    'run': str(run),
                    'checkpoint': str(list_checkpoints(run)[-1]),
                    'sources': sources(name),
                    'ways': size.ways,
                    'num_book': size.num_book,
                }
            )
        )
        groups = start_contestants(job)
        speeds, lengths = defaultdict(list), {}
        for number in range(NUM_ROUNDS + 1):
            for contestant in itertools.chain(*groups.values()):
                is_book = contestant.name == "the book's loop"
                for way, count in [(BOOK_WAY, size.num_book)] if is_book else size.ways.items():
                    seconds, lengths[contestant.name, way] = contestant.run_epochs(1)
                    if number > 0:  # the first compiles
                        speeds[contestant.name, way].append(count / seconds)
        for contestant in itertools.chain(*groups.values()):
            contestant.close()
    return [
        f'Model: {size.description}; corpus {read_corpus("auto").name}.',
        '',
        *table(size, groups, speeds, lengths),
    ]


def table(size: Size, groups, speeds, lengths) -> list[str]:
    """Sentences a second of everyone, and how many times as many our better setting has."""
    lines = ['| way | | sentences/s | ours over it | tokens a sentence |', '|---|---|---|---|---|']
    best = {}
    for way in size.ways:
        best[way] = max(
            (speeds[contestant.name, way] for contestant in groups['ours']), key=statistics.median
        )
        rows = [
            (contestant.name, way)
            for group in groups.values()
            for contestant in group
            if contestant.name != "the book's loop"
        ]
        if way != 'beam 5, batches of 64':  # the book's loop translates one by one, for all that
            rows.append(("the book's loop", BOOK_WAY))
        for name, own_way in rows:
            own = speeds[name, own_way]
            ratio = statistics.median(ours / theirs for ours, theirs in zip(best[way], own))
            shown = '' if name.startswith('ours') else f'{ratio:.2f}'
            lines.append(
                f'| {way} | {name} | {statistics.median(own):,.0f} | {shown} '
                f'| {lengths[name, own_way]:.3f} |'
            )
    cost = statistics.median(best['batches of 64']) / statistics.median(
        best['beam 5, batches of 64']
    )
    return [*lines, '', f'A beam of 5 takes {cost:.1f} times as long as greedy search.']


def main() -> None:
    """Measure the sizes named on the command line, or all."""
    names = sys.argv[1:] or list(SIZES)
    lines = [
        '# Translation speed',
        '',
        f'{describe_machine()}; medians of {NUM_ROUNDS} rounds in turn.',
    ]
    for name in names:
        lines += ['', *measure(name)]
    text = '\n'.join(lines) + '\n'
    print(text)
    if names == list(SIZES):
        (HERE / 'results' / 'translation_speed.md').write_text(text)


if __name__ == '__main__':
    try:
        main()
    except NotAvailable as reason:
        sys.exit(str(reason))
