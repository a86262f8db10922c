"""``python -m d2l_seq2seq.train``: train the chapter's model and keep it in a run folder."""
from __future__ import annotations

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
    corpus = read_corpus(config.data.corpus)

    # Only now MXNet, which takes seconds to load and keeps the threads that it finds chosen.
    choose_threads(config.data.batch_size, config.model.num_hiddens)
    from . import checkpoint
    from ._mxnet import seed_generators
    from .device import device_from_name
    from .feed import Feed
    from .model import initialize
    from .wiring import INITIALIZERS, build_model, encode_corpus, for_training

    ctx = device_from_name(config.training.device)
    # What was trained on, not how it was looked for.
    config = dataclasses.replace(config, data=dataclasses.replace(config.data, corpus=corpus.name))
    folder = checkpoint.create_run(options.out, config)
    seed_generators(config.training.seed)
    src_vocab, tgt_vocab, arrays = encode_corpus(config.data, corpus)
    checkpoint.save_vocabs(folder, src_vocab, tgt_vocab)
    print(f'corpus {corpus.name}: {len(arrays.src):,} sentence pairs, {len(src_vocab):,} source '
          f'and {len(tgt_vocab):,} target tokens', flush=True)

    model = build_model(config.model, len(src_vocab), len(tgt_vocab))
    initialize(model, ctx, INITIALIZERS[config.model.initializer]())
    feed = Feed(arrays, config.data.batch_size, config.training.seed, ctx)
    num_epochs_done = _train(for_training(model, config.training), feed, config.training, folder)
    if num_epochs_done > 0:
        checkpoint.save_weights(folder, model)
        if not corpus.is_ids:
            _print_translations(corpus, checkpoint.Run(config, src_vocab, tgt_vocab, model), ctx)
        print(f'run {folder}: weights, metrics.jsonl, loss.svg')
    else:
        checkpoint.discard_run(folder)
    return 0 if num_epochs_done == config.training.num_epochs else 130


def _train(model, feed, config: TrainingConfig, folder) -> int:
    """Train, with metrics and picture written to the folder; returns the number of epochs done."""
    from .checkpoint import METRICS
    from .plotting import Animator
    from .training import fit
    from .wiring import OBJECTIVES

    animator = Animator(xlabel='epoch', ylabel='loss', xlim=[1, config.num_epochs], ylim=[0, None])
    done = []

    def keep(metrics, state) -> None:
        if not math.isfinite(metrics.train.nll_sum):
            raise InputError(f'the loss is {metrics.train.nll_sum} in epoch {metrics.epoch}; try a '
                             f'--lr below {config.lr:g} (the metrics so far are in {folder})')
        row = {'epoch': metrics.epoch, 'book_loss': metrics.train.book_loss,
               'nll_per_token': metrics.train.nll_per_token,
               'tokens_per_sec': metrics.tokens_per_sec}
        file.write(json.dumps(row) + '\n')
        file.flush()
        animator.add(metrics.epoch, row['book_loss'])
        done.append(metrics)

    with open(folder / METRICS, 'w', encoding='utf-8') as file:
        try:
            fit(model, feed, num_epochs=config.num_epochs, lr=config.lr, on_epoch_end=keep,
                objective=OBJECTIVES[config.objective], max_norm=config.max_norm)
        except KeyboardInterrupt:
            logger.warning('stopped in epoch %d of %d%s', len(done) + 1, config.num_epochs,
                           '' if done else '; there is nothing to keep')
        finally:
            animator.close()
    if done:
        animator.save(folder / 'loss.svg')
        last = done[-1]
        print(f'loss {last.train.book_loss:.3f}, {last.tokens_per_sec:.1f} tokens/sec on '
              f'{feed.ctx}')
        print(f'nll_per_token {last.train.nll_per_token:.3f}')
    return len(done)


def _print_translations(corpus, run, ctx) -> None:
    """The chapter's four sentences, or the corpus's first four where it hasn't got these."""
    from .data import first_examples
    from .reference import SENTENCES, predict_s2s_ch9
    from .translation import source_text

    sources = [src for src, _ in first_examples(corpus.pairs, run.config.data.num_examples)]
    known = {source_text(run, source) for source in sources}
    has_chapters = all(source_text(run, sentence) in known for sentence in SENTENCES)
    for sentence in SENTENCES if has_chapters else list(dict.fromkeys(sources))[:4]:
        translation = predict_s2s_ch9(run.model, source_text(run, sentence), run.src_vocab,
                                      run.tgt_vocab, run.config.data.num_steps, ctx)
        print(f'{sentence} => {translation}')


if __name__ == '__main__':
    command_line.run(main)
