"""`fit` on plain blocks against the book's loop: python plain_blocks.py [NAME ...]

Each model consists of blocks as a reader of the book writes them: the book's own, and changed ones.
It is trained with `train_s2s_ch9` and with `fit`, in turns and from the same seed, on the book's
corpus (or the bundled one).  The table has the largest relative difference of the losses, and the
median times of an epoch.  The package's own blocks are included for comparison.  The table is
written to results/plain_blocks.md.
"""

from __future__ import annotations

import contextlib
import io
import statistics
import sys
import time
from pathlib import Path

HERE = Path(__file__).resolve().parent
sys.path[:0] = [str(HERE.parent), str(HERE.parent / 'tests'), str(HERE.parent / 'tests' / 'engine')]

from book_losses import book_losses  # noqa: E402
from plain_models import DeeperDecoder, GRUDecoder, GRUEncoder  # noqa: E402

from d2l_seq2seq import Feed, ModelConfig, build_model, encode_pairs, fit, initialize  # noqa: E402
from d2l_seq2seq import book as d2l  # noqa: E402
from d2l_seq2seq._mxnet import npx, seed_generators  # noqa: E402
from d2l_seq2seq.data.corpus import read_corpus  # noqa: E402
from d2l_seq2seq.data.encoding import first_examples  # noqa: E402
from d2l_seq2seq.data.pipeline import load_pairs  # noqa: E402

NUM_ROUNDS, NUM_EPOCHS, BATCH_SIZE, NUM_STEPS, LR, SEED = 3, 10, 64, 10, 0.005, 0
SIZES = 32, 32, 2  # embed_size, num_hiddens, num_layers


def of_blocks(encoder, decoder):
    """Return a function that builds a model of two classes of blocks."""

    def build(src_vocab_size, tgt_vocab_size):
        return d2l.EncoderDecoder(encoder(src_vocab_size, *SIZES), decoder(tgt_vocab_size, *SIZES))

    return build


def of_package(attention):
    """Return a function that builds a model of the package's own blocks."""

    def build(src_vocab_size, tgt_vocab_size):
        return build_model(ModelConfig(*SIZES, attention=attention), src_vocab_size, tgt_vocab_size)

    return build


MODELS = {
    "the package's blocks": of_package('none'),
    'the book, section 9.7': of_blocks(d2l.Seq2SeqEncoder, d2l.Seq2SeqDecoder),
    'with a GRU': of_blocks(GRUEncoder, GRUDecoder),
    'with one more layer': of_blocks(d2l.Seq2SeqEncoder, DeeperDecoder),
    "the package's blocks with attention": of_package('additive'),
    'the book, section 10.2': of_blocks(d2l.Seq2SeqEncoder, d2l.Seq2SeqAttentionDecoder),
}


def main(names: list[str]) -> None:
    """Measure the named models, or all, and write the table."""
    corpus = read_corpus('auto')
    pairs = first_examples(corpus.pairs, 1000)
    src_vocab, tgt_vocab, arrays = encode_pairs(pairs, NUM_STEPS)
    ctx = npx.cpu()
    lines = [
        f'{NUM_EPOCHS} epochs of the corpus {corpus.name}, {NUM_ROUNDS} rounds.',
        '',
        '| model | difference of the losses | book, s per epoch | `fit`, s per epoch | ratio |',
        '|---|---|---|---|---|',
    ]
    for name in names or MODELS:
        build = MODELS[name]
        book_seconds, fit_seconds = [], []
        for _ in range(NUM_ROUNDS):
            seed_generators(SEED)
            model = build(len(src_vocab), len(tgt_vocab))
            loader = load_pairs(pairs, BATCH_SIZE, NUM_STEPS)[2]
            start = time.perf_counter()
            with contextlib.redirect_stdout(io.StringIO()):
                expected = book_losses(model, loader, LR, NUM_EPOCHS, ctx)
            book_seconds.append((time.perf_counter() - start) / NUM_EPOCHS)

            seed_generators(SEED)
            model = build(len(src_vocab), len(tgt_vocab))
            initialize(model, ctx)
            epochs = []
            fit(
                model,
                Feed(arrays, BATCH_SIZE, SEED, ctx),
                num_epochs=NUM_EPOCHS,
                lr=LR,
                on_epoch_end=lambda metrics, state, epochs=epochs: epochs.append(metrics),
            )
            fit_seconds += [metrics.seconds for metrics in epochs[1:]]  # without compilation
        losses = [metrics.train.book_loss for metrics in epochs]
        difference = max(abs(a - b) / b for a, b in zip(losses, expected))
        book, ours = statistics.median(book_seconds), statistics.median(fit_seconds)
        lines.append(f'| {name} | {difference:.1e} | {book:.3f} | {ours:.3f} | {book / ours:.1f} |')
        print(lines[-1], flush=True)
    (HERE / 'results' / 'plain_blocks.md').write_text('\n'.join(lines) + '\n', encoding='utf-8')


if __name__ == '__main__':
    main(sys.argv[1:])
