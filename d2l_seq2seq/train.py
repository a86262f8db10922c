"""``python -m d2l_seq2seq.train``: train a model and save it in a run folder."""

from __future__ import annotations

import contextlib
import dataclasses
import logging
import os
import time
from pathlib import Path
from typing import TYPE_CHECKING, Any, Callable, Sequence

from . import cli
from ._runtime import choose_threads
from ._streams import without_reader
from .config import (
    PRESETS,
    DataConfig,
    ModelConfig,
    RunConfig,
    TrainingConfig,
    resolve_implications,
)
from .data.corpus import Corpus, read_corpus, resolve_corpus_name
from .errors import InputError, one_line, shell_quote
from .inference.metrics import require_sacrebleu
from .runs.latest import RUNS_DIR, link_latest
from .runs.layout import CONFIG_FILE, is_checkpoint, read_run_config

if TYPE_CHECKING:  # these load MXNet
    from .data.pipeline import TrainingData
    from .engine.workers import Workers
    from .runs.checkpoint import Run
    from .runs.folder import RunFolder
    from .training.trainer import Outcome

Report = Callable[[str], None]
CONFIGS = DataConfig, ModelConfig, TrainingConfig
UNKNOWN_REPORTED = 0.03  # the share of unknown tokens above which it is reported


def build_parser() -> cli.Parser:
    """Return the parser of the command's options."""
    parser = cli.parser_for(
        'train',
        'Train the sequence-to-sequence model of d2l 0.14, section 9.7, or one of its variants. '
        "The defaults are the book's.",
    )
    cli.add_presets(parser, PRESETS)
    cli.add_config_file(parser)
    for config_class in CONFIGS:
        cli.add_options(parser, config_class)
    parser.add_argument(
        '--out',
        metavar='RUN',
        help='folder to write the run to, which must be new or empty',
        # The process id distinguishes runs that are started in the same second.
        default=time.strftime(f'{RUNS_DIR}/%Y-%m-%d_%H-%M-%S_{os.getpid()}'),
    )
    parser.add_argument(
        '--resume',
        metavar='RUN',
        help='run to resume, from its latest checkpoint and with its saved settings',
    )
    return parser


@without_reader()
def main(argv: list[str] | None = None) -> int:
    """Run the command.

    Parameters
    ----------
    argv : list of str, optional
        The options; those of the process by default.

    Returns
    -------
    int
        The exit code: 130 or 143 after a signal, otherwise 0.

    Raises
    ------
    InputError
        If an option, the run or its corpus cannot be used, or training fails.
    """
    options = cli.parse_with_defaults(build_parser(), PRESETS, CONFIGS, argv)
    notes: list[str] = []
    if options.resume is not None:
        explicit = cli.explicit_options(build_parser(), CONFIGS, argv)
        config, notes = _resumed_config(Path(options.resume), explicit)
    elif options.source_run is not None:
        explicit = cli.explicit_options(build_parser(), CONFIGS, argv)
        config, notes = _config_from_source(Path(options.source_run), explicit)
    else:
        config = RunConfig(*(cli.config_from(config_class, options) for config_class in CONFIGS))
        config, notes = resolve_implications(config)
    if config.training.validate:
        require_sacrebleu(config.training.bleu_tokenize)

    # MXNet takes seconds to load, and reads the number of threads only then.
    choose_threads(config.data.batch_size, config.model.num_hiddens)
    from .device import devices_from_names
    from .engine.workers import join_workers

    devices = devices_from_names(config.training.device)
    workers = join_workers(config.training)
    if workers.rank > 0:  # worker 0 reports for all
        logging.getLogger(__package__).setLevel(logging.ERROR)
    return _train(config, notes, options, devices, workers)


def _train(
    config: RunConfig, notes: list[str], options: Any, devices: list, workers: Workers
) -> int:
    """Train as one of the workers; only worker 0 writes files and prints."""
    from .runs.folder import require_new_folder
    from .runs.loading import completion_reason
    from .training import trainer
    from .training.footprint import require_memory_for_training

    report = _print_line if workers.rank == 0 else _print_nothing
    path, is_new = Path(options.resume or options.out), options.resume is None
    with contextlib.ExitStack() as stack:
        reason = None
        if not is_new:
            folder = stack.enter_context(_existing_folder(path, workers))
            reason = completion_reason(path, config.training.num_epochs)
        elif workers.rank == 0:
            require_new_folder(path)
        _require_agreement(config, reason, workers)
        if reason:
            report(f'run {path}: already finished ({reason})')
            return 0
        config, corpus = _read_corpus(config, workers)
        for note in notes:
            report(note)
        if is_new:
            folder = stack.enter_context(_new_folder(path, config, workers))
        try:
            source = _load_source(config, folder, devices[0])
            data = _encode(config, corpus, folder, source)
            _report_data(data, corpus, report)
            if all(device.device_type == 'cpu' for device in devices):
                require_memory_for_training(config, data)
        except BaseException:
            if is_new:
                folder.discard()
            raise
        if is_new and workers.rank == 0:
            link_latest(path)
        outcome = trainer.train(config, data, folder, devices, workers, source)
        _report_outcome(outcome, config, devices, workers, report)
        translated = None
        if workers.rank == 0 and outcome.exit_code == 0 and config.data.corpus != 'pseudo':
            translated = _print_translations(outcome.run, data.pairs.train)
        _report_files(folder, report)
        if translated:
            _print_next_command(folder, translated)
    return outcome.exit_code


def _new_folder(
    path: Path, config: RunConfig, workers: Workers
) -> contextlib.AbstractContextManager[RunFolder]:
    """Create the folder of a new run; workers other than the first only read it."""
    from .runs.folder import ReadOnlyRunFolder, new_run

    if workers.rank > 0:
        return contextlib.nullcontext(ReadOnlyRunFolder(path, is_new=True))
    return new_run(path, config)


def _existing_folder(path: Path, workers: Workers) -> contextlib.AbstractContextManager[RunFolder]:
    """Open the folder of a run that is resumed; workers other than the first only read it."""
    from .runs.folder import ReadOnlyRunFolder, existing_run

    if workers.rank > 0:
        return contextlib.nullcontext(ReadOnlyRunFolder(path, is_new=False))
    return existing_run(path)


def _print_line(text: str) -> None:
    print(one_line(text), flush=True)


def _print_nothing(text: str) -> None:
    """Leave the report to worker 0."""


def _resumed_config(path: Path, explicit: dict[str, Any]) -> tuple[RunConfig, list[str]]:
    """Return a run's settings, updated from the command line, and a line for each change.

    Raises
    ------
    InputError
        If there is no run, or the command line changes a setting that may not change.
    """
    for name, option in (('out', 'out'), ('preset', 'preset'), ('source_run', 'from')):
        if name in explicit:
            raise InputError(
                f'--resume {path}: cannot be combined with --{option}',
                f'Leave out --{option}: a run is resumed in its own folder with its own settings.',
            )
    if is_checkpoint(path):
        run = Path(os.path.normpath(path / '..' / '..'))  # also if the path is a name, or .
        raise InputError(
            f'--resume {path}: expected a run folder, got one of its checkpoints',
            f'Pass --resume {shell_quote(run)} instead.'
            if (run / CONFIG_FILE).is_file()
            else 'Pass the folder that train wrote.',
        )
    if not (path / CONFIG_FILE).is_file():
        raise InputError(
            f'--resume {path}: not a run folder (no {CONFIG_FILE})',
            'Pass the folder that train wrote, or start a new run with --out.',
        )
    if 'corpus' in explicit:
        explicit = {**explicit, 'corpus': resolve_corpus_name(explicit['corpus'])}
        if explicit['corpus'] == 'auto':  # keep the corpus that the run found before
            del explicit['corpus']
    try:
        saved = read_run_config(path)
        config, _ = resolve_implications(saved.updated(explicit))
    except InputError as error:
        raise error.within(f'--resume {path}') from error
    return config, _changes(saved, config)


def _config_from_source(source: Path, explicit: dict[str, Any]) -> tuple[RunConfig, list[str]]:
    """Return the settings of a run that trains another one further, and a line for each change.

    Raises
    ------
    InputError
        If there is no such run, or the command line changes what its weights depend on.
    """
    if 'preset' in explicit:
        raise InputError(
            f'--from {source}: cannot be combined with --preset',
            'Leave out --preset: the settings of the run are the defaults.',
        )
    saved = read_run_config(source)
    values = {**explicit, 'source_run': os.path.abspath(source)}
    if 'corpus' in values:
        values['corpus'] = resolve_corpus_name(values['corpus'])
    try:
        return resolve_implications(saved.trained_further(values))
    except InputError as error:
        raise error.within(f'--from {source}') from error


def _changes(saved: RunConfig, config: RunConfig) -> list[str]:
    """Return a line for each setting that differs from the saved one."""
    lines = []
    for part, values in config.to_dict().items():
        for name, value in values.items():
            before = saved.to_dict()[part][name]
            if value != before:
                lines.append(f'resuming with {name}={value} (was {before})')
    return lines


def _require_agreement(config: RunConfig, reason: str | None, workers: Workers) -> None:
    """Raise `InputError` unless all workers have the same settings and find the same run."""
    workers.require_equal(
        f'{config.shared_by_workers()} {reason}'.encode(), 'their settings or their copy of the run'
    )


def _read_corpus(config: RunConfig, workers: Workers) -> tuple[RunConfig, Corpus]:
    """Read the corpus; return the settings with the name of the one that was found.

    Worker 0 reads it before the others do, so that workers on one machine download it once.
    """
    if workers.rank > 0:
        workers.barrier()
    corpus = read_corpus(config.data.corpus)
    if workers.rank == 0:
        workers.barrier()
    # The saved settings name the corpus that was found, with absolute paths, rather than auto.
    data = dataclasses.replace(config.data, corpus=resolve_corpus_name(corpus.name))
    return dataclasses.replace(config, data=data), corpus


def _load_source(config: RunConfig, folder: RunFolder, ctx: Any) -> Run | None:
    """Load the run to train further; None if there is none, or the training has a checkpoint."""
    from .runs.loading import load_run

    if config.training.source_run is None or folder.checkpoints():
        return None
    try:
        return load_run(config.training.source_run, ctx)
    except InputError as error:
        raise error.within('--from') from error


def _encode(
    config: RunConfig, corpus: Corpus, folder: RunFolder, source: Run | None
) -> TrainingData:
    """Seed the generators and encode the corpus, in the vocabularies of the source if any."""
    from ._mxnet import seed_generators
    from .data import pipeline
    from .runs.checkpoint import load_vocabularies
    from .runs.loading import load_latest_valid

    seed_generators(config.training.seed)
    vocabularies = None
    if source is not None:
        vocabularies = source.vocabularies
    elif config.training.source_run is not None:
        vocabularies = load_latest_valid(folder.path, load_vocabularies)
    return pipeline.encode_corpus(config.data, corpus, vocabularies)


def _report_data(data: TrainingData, corpus: Corpus, report: Report) -> None:
    held_out = ''
    if data.pairs.valid:
        held_out = (
            f' (held out: {len(data.pairs.valid):,} for validation and '
            f'{len(data.pairs.test):,} for testing)'
        )
    report(
        f'corpus {corpus.name}: {len(data.train.src):,} sentence pairs{held_out}, '
        f'vocabularies of {len(data.src_vocab):,} source and {len(data.tgt_vocab):,} target tokens'
    )
    shares = data.unknown_shares()
    if max(shares) > UNKNOWN_REPORTED:
        source, target = (f'{100 * share:.1f} %' for share in shares)
        report(
            f'unknown tokens (<unk>): {source} of the source and {target} of the target; a smaller '
            '--min-freq, or --text-rules subwords or characters, leaves fewer'
        )


def _report_outcome(
    outcome: Outcome, config: RunConfig, devices: list, workers: Workers, report: Report
) -> None:
    """Report the metrics of the last epoch, and how training ended."""
    last = outcome.last
    if last is not None:
        per_worker = ''
        if workers.num_workers > 1:
            per_worker = f' of each of {workers.num_workers} workers'
        report(
            f'loss {last.train.book_loss:.3f}, {last.tokens_per_sec:.1f} tokens/sec on '
            + ', '.join(map(str, devices))
            + per_worker
        )
        report(f'nll_per_token {last.train.nll_per_token:.3f}')
    for note in outcome.notes:
        report(note)


def _report_files(folder: RunFolder, report: Report) -> None:
    names = [
        name
        for name in ('checkpoints', 'metrics.jsonl', 'loss.svg')
        if (folder.path / name).exists()
    ]
    report(f'run {folder.path}: {", ".join(names)}')


def _print_next_command(folder: RunFolder, sentence: str) -> None:
    command = [*cli.command_words('translate'), str(folder.path), sentence]
    _print_line(f'next: {" ".join(map(shell_quote, command))}')


def _print_translations(run: Run, pairs: Sequence[tuple]) -> str:
    """Translate the chapter's four sentences, or the first four if the corpus lacks them.

    Returns
    -------
    str
        One of the sentences.
    """
    from .book.seq2seq import SENTENCES
    from .inference.translator import Translator

    sources = [src for src, _ in pairs]
    known = {tuple(run.tokenizer.tokenize_src(source)) for source in sources}
    has_chapters = all(
        tuple(run.tokenizer.tokenize_src(sentence)) in known for sentence in SENTENCES
    )
    shown = SENTENCES if has_chapters else list(dict.fromkeys(sources))[:4]
    for sentence, translation in zip(shown, Translator.of(run)(shown)):
        print(f'{sentence} => {translation}')
    return shown[0]


if __name__ == '__main__':
    cli.run(main)
