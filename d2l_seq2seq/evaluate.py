"""``python -m d2l_seq2seq.evaluate``: how good a trained run is on its kept-back sentences."""

from __future__ import annotations

import dataclasses
import json
from pathlib import Path

from . import cli
from ._runtime import choose_threads
from .config import RunConfig, SearchConfig
from .data.corpus import read_corpus
from .errors import InputError


def _parser() -> cli.Parser:
    parser = cli.parser_for(
        'evaluate', 'Translate the sentences of a part of the corpus and score what comes out.'
    )
    parser.add_argument('run', metavar='RUN', help='the folder that train wrote')
    parser.add_argument(
        '--split',
        choices=['auto', 'train', 'valid', 'test'],
        default='auto',
        help='the part of the corpus; auto: test, or train where nothing was kept back',
    )
    parser.add_argument(
        '--worst',
        type=cli.whole_number,
        default=5,
        metavar='COUNT',
        help='how many of the worst translations to show',
    )
    parser.add_argument(
        '--json', metavar='FILE', help='where the figures go; RUN/evaluation.json unless given'
    )
    parser.add_argument('--device', default='auto', help='auto, cpu, cpu(N), gpu or gpu(N)')
    cli.add_options(parser, SearchConfig)
    return parser


def main(argv: list[str] | None = None) -> None:
    """Evaluate as the options say."""
    options = _parser().parse_args(argv)
    search = cli.config_from(SearchConfig, options)
    config = RunConfig.of_run(Path(options.run))
    corpus = read_corpus(config.data.corpus)

    # Only now MXNet, which takes seconds to load and keeps the threads that it finds chosen.
    choose_threads(search.batch_size * search.beam_size, config.model.num_hiddens)
    from .data.pipeline import split_corpus
    from .device import device_from_name
    from .inference.evaluation import evaluate
    from .inference.translator import Translator
    from .runs.atomic import write_file

    translator = Translator.load(options.run, device_from_name(options.device))
    split, note = options.split, ''
    if split == 'auto':
        split = 'test' if config.data.held_out else 'train'
        note = '' if config.data.held_out else ' (nothing was kept back: it has seen all of them)'
    pairs = getattr(split_corpus(config.data, corpus), split)
    if not pairs:
        raise InputError(
            f'--split {split}: expected a run with sentences kept back, got one '
            'without; train with --held-out, or take --split train'
        )
    found = evaluate(translator, pairs, search)
    print(
        f'corpus {corpus.name}, {split} split{note}: {found.num_pairs:,} pairs, '
        f'{len(found.sentences):,} different sources'
    )
    _print_table(found)
    if options.worst:
        print(f'\nthe {min(options.worst, len(found.sentences))} worst:')
    for one in found.worst(options.worst):
        print(f'{one.source} => {one.translation} ({" | ".join(one.references)})')
    figures = {
        'corpus': corpus.name,
        'split': split,
        'search': dataclasses.asdict(search),
        **found.to_dict(),
    }
    path = Path(options.json or Path(options.run) / 'evaluation.json')
    try:
        write_file(path, (json.dumps(figures, indent=1) + '\n').encode())
    except OSError as error:
        raise InputError(
            f'{path}: can not be written ({error.strerror}); name another file with --json'
        ) from error
    print(f'\nfigures: {path}')


def _print_table(found) -> None:
    """The figures, and how they were computed."""
    count = len(found.sentences)
    rows = [
        ('nll_per_token', f'{found.losses.nll_per_token:.3f}', 'nats, with teacher forcing'),
        ('perplexity', f'{found.perplexity:.2f}', ''),
        *((name, f'{score.value:.1f}', score.signature) for name, score in found.scores.items()),
        ("the book's BLEU", f'{found.book_bleu:.3f}', 'k = 2, mean over sentences'),
        (
            'exact matches',
            f'{100 * found.num_matches / count:.1f} %',
            f'{found.num_matches:,} of {count:,}',
        ),
    ]
    for name, value, how in rows:
        print(f'{name:16}{value:>8}  {how}'.rstrip())


if __name__ == '__main__':
    cli.run(main)
