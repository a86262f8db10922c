"""``python -m d2l_seq2seq.train``: train the chapter's model and keep it in a run folder."""
from __future__ import annotations

import dataclasses
import json
import logging
import math
import os
import time

from . import command_line
from .config import DataConfig, ModelConfig, RunConfig, TrainingConfig
from .corpus import read_corpus
from .errors import InputError
from .runtime import choose_threads

logger = logging.getLogger(__name__)


def _parser() -> command_line.Parser:
    parser = command_line.parser_for(
        'train', 'Train the sequence-to-sequence model of d2l 0.14, section 9.7. The defaults are '
                 "the book's.")
    for config_class in (DataConfig, ModelConfig, TrainingConfig):
        command_line.add_options(parser, config_class)
    # The number of the process keeps apart what is started in the same second.
    parser.add_argument('--out', metavar='RUN', help='the folder to write, new or empty',
                        default=time.strftime(f'runs/%Y-%m-%d_%H-%M-%S_{os.getpid()}'))
    return parser


def main(argv: list[str] | None = None) -> int:
    """Train as the options say; returns the exit code, 130 where Ctrl-C cut the training short."""
    options = _parser().parse_args(argv)
    config = RunConfig(*(command_line.config_from(config_class, options)
                         for config_class in (DataConfig, ModelConfig, TrainingConfig)))
    corpus = read_corpus(config.data.corpus)

    # Only now MXNet, which takes seconds to load and keeps the threads that it finds chosen.
    choose_threads(config.data.batch_size, config.model.num_hiddens)
    from . import checkpoint
    from ._mxnet import seed_generators
    from .data import encode_pairs, first_examples
    from .device import device_from_name
    from .feed import Feed
    from .model import build_model, initialize

    ctx = device_from_name(config.training.device)
    if config.model.dropout > 0 and ctx.device_type == 'cpu':
        logger.warning('--dropout %g has no effect: MXNet ignores dropout inside its LSTM on a CPU',
                       config.model.dropout)
    # What was trained on, not how it was looked for.
    config = dataclasses.replace(config, data=dataclasses.replace(config.data, corpus=corpus.name))
    folder = checkpoint.create_run(options.out, config)
    seed_generators(config.training.seed)
    pairs = first_examples(corpus.pairs, config.data.num_examples)
    src_vocab, tgt_vocab, arrays = encode_pairs(pairs, config.data.num_steps)
    checkpoint.save_vocabs(folder, src_vocab, tgt_vocab)
    print(f'corpus {corpus.name}: {len(pairs):,} sentence pairs, {len(src_vocab):,} source and '
          f'{len(tgt_vocab):,} target tokens', flush=True)

    model = build_model(config.model, len(src_vocab), len(tgt_vocab))
    initialize(model, ctx)
    feed = Feed(arrays, config.data.batch_size, config.training.seed, ctx)
    num_epochs_done = _train(model, feed, config.training, folder)
    if num_epochs_done > 0:
        checkpoint.save_weights(folder, model)
        _print_translations(pairs, checkpoint.Run(config, src_vocab, tgt_vocab, model), ctx)
        print(f'run {folder}: weights, metrics.jsonl, loss.svg')
    else:
        checkpoint.discard_run(folder)
    return 0 if num_epochs_done == config.training.num_epochs else 130


def _train(model, feed, config: TrainingConfig, folder) -> int:
    """Train, with metrics and picture written to the folder; returns the number of epochs done."""
    from .checkpoint import METRICS
    from .plotting import Animator
    from .training import fit

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
            fit(model, feed, num_epochs=config.num_epochs, lr=config.lr, on_epoch_end=keep)
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


def _print_translations(pairs, run, ctx) -> None:
    """The chapter's four sentences, or the corpus's first four where it hasn't got these."""
    from .data import preprocess_nmt
    from .reference import SENTENCES, predict_s2s_ch9

    known = list(dict.fromkeys(preprocess_nmt(src) for src, _ in pairs))
    sentences = SENTENCES if {s.lower() for s in SENTENCES} <= set(known) else known[:4]
    for sentence in sentences:
        translation = predict_s2s_ch9(run.model, sentence, run.src_vocab, run.tgt_vocab,
                                      run.config.data.num_steps, ctx)
        print(f'{sentence} => {translation}')


if __name__ == '__main__':
    command_line.run(main)
