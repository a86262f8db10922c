"""``python -m d2l_seq2seq.train``: train the chapter's model and keep it in a run folder."""

from __future__ import annotations

import dataclasses
import logging
import os
import time
from pathlib import Path

from . import cli
from ._runtime import choose_threads
from .config import PRESETS, DataConfig, ModelConfig, RunConfig, TrainingConfig
from .data.corpus import Corpus, read_corpus, resolve_corpus_name
from .errors import InputError
from .inference.metrics import require_sacrebleu
from .runs.layout import CONFIG_FILE
from .runs.manifest import has_manifest

CONFIGS = DataConfig, ModelConfig, TrainingConfig


def _parser() -> cli.Parser:
    parser = cli.parser_for(
        'train',
        'Train the sequence-to-sequence model of d2l 0.14, section 9.7, or another of its '
        "family. The defaults are the book's.",
    )
    cli.add_presets(parser, PRESETS)
    for config_class in CONFIGS:
        cli.add_options(parser, config_class)
    # The number of the process keeps apart what is started in the same second.
    parser.add_argument(
        '--out',
        metavar='RUN',
        help='the folder to write, new or empty',
        default=time.strftime(f'runs/%Y-%m-%d_%H-%M-%S_{os.getpid()}'),
    )
    parser.add_argument(
        '--resume',
        metavar='RUN',
        help='the folder of a run to go on with, from '
        'its latest checkpoint and in its own settings',
    )
    return parser


def main(argv: list[str] | None = None) -> int:
    """Train as the options say; returns the exit code, 130 or 143 after a signal."""
    options = cli.parse_with_preset(_parser(), PRESETS, argv)
    if options.resume is None:
        config = RunConfig(*(cli.config_from(config_class, options) for config_class in CONFIGS))
    else:
        was, config = _config_to_go_on(Path(options.resume), cli.explicit_options(_parser(), argv))
    if config.training.validate:
        require_sacrebleu()

    # Only now MXNet, which takes seconds to load and keeps the threads that it finds chosen.
    choose_threads(config.data.batch_size, config.model.num_hiddens)
    from .device import devices_from_names
    from .engine.workers import GROUPS
    from .runs import folder as folder_module

    devices = devices_from_names(config.training.device)
    group = GROUPS[config.training.kvstore]()
    if group.rank > 0:
        return _follow(config, options.resume, devices, group)
    if options.resume is None:
        folder_module.check_new(options.out)
        _require_agreement(config, None, group)
        config, corpus = _with_corpus(config, group)
        with folder_module.new_run(options.out, config) as folder:
            try:
                data = _encode(config, corpus)
            except BaseException:
                folder.discard()
                raise
            return _train(config, data, folder, devices, group)
    with folder_module.existing_run(options.resume) as folder:
        reason = folder_module.completion_reason(folder.path, config.training.num_epochs)
        _require_agreement(config, reason, group)
        if reason:
            print(f'run {folder.path}: finished ({reason}); nothing is left to do')
            return 0
        config, corpus = _with_corpus(config, group)
        _print_changes(was, config)
        data = _encode(config, corpus)
        folder.write_config(config)
        return _train(config, data, folder, devices, group)


def _follow(config: RunConfig, resumed: str | None, devices, group) -> int:
    """Train as one of the workers that write nothing and say nothing but what ends them."""
    from .data.pipeline import encode_corpus
    from .runs import folder as folder_module
    from .training import trainer

    logging.getLogger(__package__).setLevel(logging.ERROR)
    path = None if resumed is None else Path(resumed)
    reason = path and folder_module.completion_reason(path, config.training.num_epochs)
    _require_agreement(config, reason, group)
    if reason:
        return 0
    config, corpus = _with_corpus(config, group)
    data = encode_corpus(config.data, corpus)
    return trainer.train(
        config, data, folder_module.ReadOnlyRunFolder(path), devices, group
    ).exit_code


def _require_agreement(config: RunConfig, completion_reason: str | None, group) -> None:
    """Raise `InputError` if other workers have other settings, or would end here."""
    group.require_equal(
        f'{config.for_all_workers()} {completion_reason}'.encode(),
        'settings, or in what they find of the run',
    )


def _with_corpus(config: RunConfig, group) -> tuple[RunConfig, Corpus]:
    """The settings with the corpus that was found, and the corpus.

    The first worker reads it before the others do: on the same machine it is downloaded once.
    """
    if group.rank > 0:
        group.any(False)
    corpus = read_corpus(config.data.corpus)
    if group.rank == 0:
        group.any(False)
    # What was trained on, not how it was looked for, and from whatever folder it was.
    data = dataclasses.replace(config.data, corpus=resolve_corpus_name(corpus.name))
    return dataclasses.replace(config, data=data), corpus


def _config_to_go_on(path: Path, given: dict) -> tuple[RunConfig, RunConfig]:
    """A run's settings, and the same with those of the command line that may change.

    Raises
    ------
    InputError
        If there is no run, or the command line has other settings.
    """
    for name in ('out', 'preset'):
        if name in given:
            raise InputError(
                f'--resume {path}: expected no --{name} beside it: a run goes on in '
                'its own folder and settings'
            )
    if has_manifest(path):
        raise InputError(
            f'--resume {path}: expected the folder of a run, got one of its '
            f'checkpoints; type: --resume {path.parent.parent}'
        )
    if not (path / CONFIG_FILE).is_file():
        raise InputError(
            f'{path}: expected the folder of a run to go on with, but it has no '
            f'{CONFIG_FILE}; start one with --out {path}'
        )
    if 'corpus' in given:
        given = {**given, 'corpus': resolve_corpus_name(given['corpus'])}
    # A corpus that was looked for is the one that was found.
    given = {name: value for name, value in given.items() if (name, value) != ('corpus', 'auto')}
    try:
        was = RunConfig.of_run(path)
        return was, was.updated(given)
    except InputError as error:
        raise InputError(f'--resume {path}: {error}') from error


def _print_changes(was: RunConfig, is_now: RunConfig) -> None:
    """Say which settings a run goes on with that are not what they were."""
    for part, values in is_now.to_dict().items():
        for name, value in values.items():
            before = was.to_dict()[part][name]
            if value != before:
                print(f'goes on with {name} {value}, which was {before}')


def _encode(config: RunConfig, corpus):
    """The data of a run, and what there is to say of it."""
    from ._mxnet import seed_generators
    from .data.pipeline import encode_corpus

    seed_generators(config.training.seed)
    data = encode_corpus(config.data, corpus)
    held_out = (
        f' ({len(data.pairs.valid):,} for validation and {len(data.pairs.test):,} for '
        'testing kept back)'
        if data.pairs.valid
        else ''
    )
    print(
        f'corpus {corpus.name}: {len(data.train.src):,} sentence pairs{held_out}, '
        f'{len(data.src_vocab):,} source and {len(data.tgt_vocab):,} target tokens',
        flush=True,
    )
    return data


def _train(config: RunConfig, data, folder, devices, group) -> int:
    """Train into a folder and say what came of it; returns the exit code."""
    from .training import trainer

    outcome = trainer.train(config, data, folder, devices, group)
    last = outcome.last
    if last is not None:
        of_each = f' of each of {group.num_workers} workers' if group.num_workers > 1 else ''
        print(
            f'loss {last.train.book_loss:.3f}, {last.tokens_per_sec:.1f} tokens/sec on '
            + ', '.join(map(str, devices))
            + of_each
        )
        print(f'nll_per_token {last.train.nll_per_token:.3f}')
    for note in outcome.notes:
        print(note)
    if outcome.exit_code == 0 and config.data.corpus != 'pseudo':
        _print_translations(outcome.run, data.pairs.train)
    made = [
        name
        for name in ('checkpoints', 'metrics.jsonl', 'loss.svg')
        if (folder.path / name).exists()
    ]
    print(f'run {folder.path}: {", ".join(made)}')
    return outcome.exit_code


def _print_translations(run, pairs) -> None:
    """The chapter's four sentences, or the corpus's first four where it hasn't got these."""
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


if __name__ == '__main__':
    cli.run(main)
