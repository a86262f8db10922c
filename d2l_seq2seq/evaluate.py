"""``python -m d2l_seq2seq.evaluate``: evaluate a trained model on a part of its corpus."""

from __future__ import annotations

import dataclasses
import json
import logging
from pathlib import Path
from typing import TYPE_CHECKING

from . import cli
from ._runtime import choose_threads
from ._streams import without_reader
from .config import SearchConfig, TrainingConfig
from .data.corpus import Corpus, read_corpus
from .errors import InputError, one_line
from .runs.layout import read_run_config

if TYPE_CHECKING:  # loads MXNet
    from .inference.evaluation import Evaluation
    from .runs.checkpoint import Run


def build_parser() -> cli.Parser:
    """Return the parser of the command's options."""
    parser = cli.parser_for(
        'evaluate',
        'Evaluate a trained model: translate the sentences of one part of its corpus and score '
        'the translations.',
    )
    parser.add_argument('run', metavar='RUN', help='folder that train wrote')
    parser.add_argument(
        '--split',
        choices=['auto', 'train', 'valid', 'test'],
        default='auto',
        help='part of the corpus to evaluate on; auto is test, or train if nothing was held out',
    )
    parser.add_argument(
        '--worst',
        type=cli.whole_number,
        default=5,
        metavar='COUNT',
        help='number of translations to print, those with the lowest BLEU',
    )
    parser.add_argument(
        '--json',
        metavar='FILE',
        help='file to write the metrics to (default: RUN/evaluation.json)',
    )
    cli.add_options(parser, TrainingConfig, only=['bleu_tokenize'])
    cli.add_device(parser)
    cli.add_options(parser, SearchConfig)
    return parser


@without_reader()
def main(argv: list[str] | None = None) -> None:
    """Run the command.

    Parameters
    ----------
    argv : list of str, optional
        The options; those of the process by default.

    Raises
    ------
    InputError
        If an option, the run or its corpus cannot be used.
    """
    options = build_parser().parse_args(argv)
    search = cli.config_from(SearchConfig, options)
    config = read_run_config(Path(options.run))
    corpus = read_corpus(config.data.corpus)

    # MXNet takes seconds to load, and reads the number of threads only then.
    choose_threads(search.batch_size * search.beam_size, config.model.num_hiddens)
    from .data.pipeline import split_corpus
    from .device import device_from_name
    from .inference.evaluation import evaluate
    from .inference.translator import Translator
    from .runs.loading import data_fingerprint, load_run

    run = load_run(options.run, device_from_name(options.device))
    translator = Translator.of(run)
    split = options.split
    if split == 'auto':
        split = 'test' if config.data.held_out else 'train'
    has_changed = _corpus_has_changed(run, corpus, data_fingerprint(Path(options.run)))
    note = _note(split, config.data.held_out > 0, has_changed)
    pairs = getattr(split_corpus(config.data, corpus), split)
    if not pairs:
        raise InputError(
            f'--split {split}: expected a run with held-out sentences, got one without',
            'Train with --held-out, or pass --split train.',
        )
    evaluation = evaluate(translator, pairs, search, options.bleu_tokenize)
    print(
        f'corpus {one_line(corpus.name)}, {split} split{note}: {evaluation.num_pairs:,} pairs, '
        f'{len(evaluation.sentences):,} distinct sources'
    )
    _print_table(evaluation)
    _print_worst(evaluation, options.worst)
    metrics = {
        'corpus': corpus.name,
        'corpus_has_changed': has_changed,
        'split': split,
        'search': dataclasses.asdict(search),
        **evaluation.to_dict(),
    }
    path = _write_metrics(metrics, options.json, Path(options.run))
    print(f'\nmetrics: {one_line(path)}')


def _corpus_has_changed(run: Run, corpus: Corpus, fingerprint: str | None) -> bool | None:
    """Return whether a model was trained on other sentences; None if it has no fingerprint."""
    from .data.pipeline import encode_corpus

    if fingerprint is None:
        return None
    logger = logging.getLogger(f'{__package__}.data')
    level = logger.level
    logger.setLevel(logging.ERROR)  # the warnings about the data were for the training
    try:
        return encode_corpus(run.config.data, corpus, run.vocabularies).fingerprint() != fingerprint
    except InputError:  # a part is empty
        return True
    finally:
        logger.setLevel(level)


def _note(split: str, is_held_out: bool, has_changed: bool | None) -> str:
    """Return what is known about the sentences of a split and the training, in parentheses."""
    change = 'the corpus or its tokenization has changed since the training'
    if has_changed and split == 'train':
        return f' ({change}; the model was trained on other sentences)'
    if has_changed:
        return f' ({change}; the model may have been trained on some of these sentences)'
    if is_held_out:
        return ''
    if has_changed is None:
        return ' (nothing was held out)'
    return ' (nothing was held out; the model was trained on these sentences)'


def _print_table(evaluation: Evaluation) -> None:
    """Print the metrics, and how they were computed."""
    num_sources = len(evaluation.sentences)
    table = [
        ('nll_per_token', f'{evaluation.losses.nll_per_token:.3f}', 'nats, with teacher forcing'),
        ('perplexity', f'{evaluation.perplexity:.2f}', ''),
        *(
            (name, f'{score.value:.1f}', score.signature)
            for name, score in evaluation.scores.items()
        ),
        ("the book's BLEU", f'{evaluation.book_bleu:.3f}', 'k = 2, mean over sentences'),
        (
            'exact matches',
            f'{100 * evaluation.num_matches / num_sources:.1f} %',
            f'{evaluation.num_matches:,} of {num_sources:,}',
        ),
    ]
    for name, value, note in table:
        print(f'{name:16}{value:>8}  {note}'.rstrip())


def _print_worst(evaluation: Evaluation, count: int) -> None:
    """Print the translations with the lowest BLEU."""
    if count:
        print(f'\nworst translations ({min(count, len(evaluation.sentences))}):')
    for sentence in evaluation.worst(count):
        references = ' | '.join(sentence.references)
        print(f'{sentence.source} => {sentence.translation} ({references})')


def _write_metrics(metrics: dict, name: str | None, run: Path) -> Path:
    """Write the metrics to a file that the user named, or to the run's own; return its path."""
    from .runs.atomic import write_file, write_output

    path = run / 'evaluation.json' if name is None else Path(name)
    write = write_file if name is None else write_output
    try:
        write(path, (json.dumps(metrics, indent=1) + '\n').encode())
    except OSError as error:
        raise InputError(
            f'{path}: cannot be written ({error.strerror})', 'Choose another file with --json.'
        ) from error
    return path


if __name__ == '__main__':
    cli.run(main)
