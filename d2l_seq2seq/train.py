"""``python -m d2l_seq2seq.train``: train the chapter's model and keep it in a run folder."""
from __future__ import annotations

import contextlib
import dataclasses
import json
import logging
import math
import os
import time

from . import command_line
from .config import PRESETS, DataConfig, ModelConfig, RunConfig, TrainingConfig
from .corpus import read_corpus
from .errors import InputError
from .metrics import require_sacrebleu
from .runtime import choose_threads

logger = logging.getLogger(__name__)


def _parser() -> command_line.Parser:
    parser = command_line.parser_for(
        'train', 'Train the sequence-to-sequence model of d2l 0.14, section 9.7, or another of its '
                 "family. The defaults are the book's.")
    command_line.add_presets(parser, PRESETS)
    for config_class in (DataConfig, ModelConfig, TrainingConfig):
        command_line.add_options(parser, config_class)
    # The number of the process keeps apart what is started in the same second.
    parser.add_argument('--out', metavar='RUN', help='the folder to write, new or empty',
                        default=time.strftime(f'runs/%Y-%m-%d_%H-%M-%S_{os.getpid()}'))
    return parser


def main(argv: list[str] | None = None) -> int:
    """Train as the options say; returns the exit code, 130 where Ctrl-C cut the training short."""
    options = command_line.parse_with_preset(_parser(), PRESETS, argv)
    config = RunConfig(*(command_line.config_from(config_class, options)
                         for config_class in (DataConfig, ModelConfig, TrainingConfig)))
    if config.training.validate:
        require_sacrebleu()
    corpus = read_corpus(config.data.corpus)

    # Only now MXNet, which takes seconds to load and keeps the threads that it finds chosen.
    choose_threads(config.data.batch_size, config.model.num_hiddens)
    from . import checkpoint
    from ._mxnet import seed_generators
    from .device import device_from_name
    from .model import initialize
    from .wiring import INITIALIZERS, build_model, encode_corpus

    ctx = device_from_name(config.training.device)
    # What was trained on, not how it was looked for.
    config = dataclasses.replace(config, data=dataclasses.replace(config.data, corpus=corpus.name))
    seed_generators(config.training.seed)
    data = encode_corpus(config.data, corpus)
    folder = checkpoint.create_run(options.out, config)
    checkpoint.save_vocabs(folder, data.src_vocab, data.tgt_vocab, data.subwords)
    held_out = (f' ({len(data.pairs.valid):,} for validation and {len(data.pairs.test):,} for '
                'testing kept back)' if data.pairs.valid else '')
    print(f'corpus {corpus.name}: {len(data.train.src):,} sentence pairs{held_out}, '
          f'{len(data.src_vocab):,} source and {len(data.tgt_vocab):,} target tokens', flush=True)

    model = build_model(config.model, len(data.src_vocab), len(data.tgt_vocab))
    initialize(model, ctx, INITIALIZERS[config.model.initializer]())
    run = checkpoint.Run(config, data.src_vocab, data.tgt_vocab, model, data.subwords)
    done, is_complete = _train(run, data, folder, ctx)
    if done:
        checkpoint.save_weights(folder, model)
        if not corpus.is_ids:
            _print_translations(run, data.pairs.train)
        print(f'run {folder}: weights, metrics.jsonl, loss.svg')
    else:
        checkpoint.discard_run(folder)
    return 0 if is_complete else 130


def _train(run, data, folder, ctx) -> tuple[list, bool]:
    """Train, with metrics and picture written to the folder.

    Returns
    -------
    done : list of EpochMetrics
    is_complete : bool
        False: Ctrl-C came before the end.
    """
    from .checkpoint import METRICS
    from .hooks import StopTraining
    from .plotting import Animator
    from .training import fit
    from .wiring import OBJECTIVES, build_feed, for_training

    config, done, is_complete = run.config.training, [], True
    lines = {'legend': ['train', 'validation']} if config.validate else {}
    animator = Animator(xlabel='epoch', ylabel='nats per token' if config.validate else 'loss',
                        xlim=[1, config.num_epochs], ylim=[0, None], **lines)
    feed = build_feed(run.config.data, data.train, config.seed, ctx)
    with open(folder / METRICS, 'w', encoding='utf-8') as file:
        recorder = _Recorder(file, animator, config)
        hooks, validation, best = _hooks(run, data, recorder, ctx)

        def after_epoch(metrics, state) -> None:
            if not math.isfinite(metrics.train.nll_sum):
                reason = f'the loss is {metrics.train.nll_sum} in epoch {metrics.epoch}'
                if best and best.best:
                    raise StopTraining(reason)
                raise InputError(f'{reason}; try a --lr below {config.lr:g} (the metrics so far '
                                 f'are in {folder})')
            done.append(metrics)
            try:
                for hook in hooks:
                    hook(metrics, state)
            finally:
                recorder.record(metrics)

        try:
            fit(for_training(run.model, config), feed, num_epochs=config.num_epochs, lr=config.lr,
                on_epoch_end=after_epoch, objective=OBJECTIVES[config.objective],
                max_norm=config.max_norm)
        except StopTraining as reason:
            animator.print(f'stopped after epoch {len(done)} of {config.num_epochs}: {reason}')
        except KeyboardInterrupt:
            is_complete = False
            logger.warning('stopped in epoch %d of %d%s', len(done) + 1, config.num_epochs,
                           '' if done else '; there is nothing to keep')
        finally:
            animator.close()
        if validation and done:
            with contextlib.suppress(StopTraining):  # it has ended
                validation.close(len(done))
    if done:
        animator.save(folder / 'loss.svg')
        last = done[-1]
        print(f'loss {last.train.book_loss:.3f}, {last.tokens_per_sec:.1f} tokens/sec on {ctx}')
        print(f'nll_per_token {last.train.nll_per_token:.3f}')
    if best and best.best:
        best.restore()
        print(f'the weights are those of epoch {best.best.epoch}, the best in validation: '
              f'nll_per_token {best.best.losses.nll_per_token:.3f}, BLEU {best.best.bleu:.1f}')
    return done, is_complete


def _hooks(run, data, recorder, ctx) -> tuple[list, object, object]:
    """What the settings want done after an epoch; of it the validation and the best weights."""
    from .hooks import BestWeights, TimeLimit, Validation
    from .translation import Translator
    from .wiring import build_feed

    config, hooks, validation, best = run.config.training, [], None, None
    if config.early_stopping != 'none':
        goodness = {'nll': lambda found: -found.losses.nll_per_token,
                    'bleu': lambda found: found.bleu}[config.early_stopping]
        best = BestWeights(run.model, goodness, config.patience)

    def report(found) -> None:
        recorder.add_validation(found)
        if best:
            best(found)

    if config.validate:
        feed = build_feed(run.config.data, data.valid, 0, ctx)
        validation = Validation(Translator.of(run), feed, data.pairs.valid, config.validate_every,
                                report)
        hooks.append(validation)
    if config.max_minutes is not None:
        hooks.append(TimeLimit(config.max_minutes))
    return hooks, validation, best


class _Recorder:
    """Writes a line of metrics for each epoch, and a point of the picture."""

    def __init__(self, file, animator, config: TrainingConfig):
        self._file, self._animator, self._config = file, animator, config
        self._validation = None

    def add_validation(self, found) -> None:
        """Print what an epoch's validation found, and keep it for the epoch's line."""
        self._validation = found
        samples = ''.join(f'\n  {src} => {translation} ({reference})'
                          for src, translation, reference in found.samples)
        self._animator.print(f'epoch {found.epoch}: validation nll_per_token '
                             f'{found.losses.nll_per_token:.3f}, BLEU {found.bleu:.1f}{samples}')

    def record(self, metrics) -> None:
        """Write the epoch down."""
        row = {'epoch': metrics.epoch, 'book_loss': metrics.train.book_loss,
               'nll_per_token': metrics.train.nll_per_token,
               'tokens_per_sec': metrics.tokens_per_sec}
        point = row['book_loss']
        if self._config.validate:
            found, self._validation = self._validation, None
            if found:
                row.update(valid_nll_per_token=found.losses.nll_per_token, valid_bleu=found.bleu)
            point = row['nll_per_token'], row.get('valid_nll_per_token')
        self._file.write(json.dumps(row) + '\n')
        self._file.flush()
        self._animator.add(metrics.epoch, point)


def _print_translations(run, pairs) -> None:
    """The chapter's four sentences, or the corpus's first four where it hasn't got these."""
    from .reference import SENTENCES
    from .translation import Translator

    sources = [src for src, _ in pairs]
    known = {tuple(run.rules.src_tokens(source)) for source in sources}
    has_chapters = all(tuple(run.rules.src_tokens(sentence)) in known for sentence in SENTENCES)
    shown = SENTENCES if has_chapters else list(dict.fromkeys(sources))[:4]
    for sentence, translation in zip(shown, Translator.of(run)(shown)):
        print(f'{sentence} => {translation}')


if __name__ == '__main__':
    command_line.run(main)
