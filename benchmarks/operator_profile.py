"""Where a batch's time goes, operator by operator, in the book's loop and in `fit`.

python operator_profile.py: trains the chapter's model both ways under MXNet's profiler and draws
results/operator_profile.svg.  Measuring costs time too, so the sums are larger than what
training_speed.py finds; the shares are what the picture is for.
"""
from __future__ import annotations

import collections
import json
import sys
from pathlib import Path

HERE = Path(__file__).resolve().parent
sys.path.insert(0, str(HERE.parent))
from d2l_seq2seq.runtime import choose_threads  # noqa: E402

choose_threads(64, 32)
from matplotlib import rc_context  # noqa: E402
from matplotlib.figure import Figure  # noqa: E402
from d2l_seq2seq import (Feed, ModelConfig, build_model, encode_pairs, fit,  # noqa: E402
                         initialize, read_corpus)
from d2l_seq2seq._mxnet import mx, npx, seed_generators  # noqa: E402
from d2l_seq2seq.data import load_pairs  # noqa: E402
from d2l_seq2seq.reference import s2s_epochs_ch9  # noqa: E402

NUM_EPOCHS, NUM_BATCHES, NUM_SHOWN = 5, 16, 14


def operator_times(train) -> dict[str, float]:
    """Milliseconds a batch of each operator, while `train` runs its epochs."""
    mx.profiler.set_config(profile_imperative=True, profile_symbolic=True, aggregate_stats=True,
                           filename='/dev/null')
    mx.profiler.set_state('run')
    train()
    mx.nd.waitall()
    mx.profiler.set_state('stop')
    stats = json.loads(mx.profiler.dumps(reset=True, format='json'))
    times = collections.Counter()
    for name, numbers in stats['Time']['operator'].items():
        times[name.split(',')[0]] += numbers['Total'] / NUM_EPOCHS / NUM_BATCHES
    return times


def draw(book: dict[str, float], fast: dict[str, float]) -> Figure:
    """The costliest operators of both, as bars side by side."""
    names = sorted(set(book) | set(fast), key=lambda name: max(book.get(name, 0),
                                                               fast.get(name, 0)))[-NUM_SHOWN:]
    figure = Figure(figsize=(8, 5), layout='tight')
    ax = figure.subplots()
    for offset, times, label in ((0.2, book, 'the book\'s loop'), (-0.2, fast, 'fit')):
        ax.barh([place + offset for place in range(len(names))],
                [times.get(name, 0) for name in names], height=0.4,
                label=f'{label}: {sum(times.values()):.1f} ms a batch in operators')
    ax.set_yticks(range(len(names)), names)
    ax.set_xlabel('ms a batch, under the profiler')
    ax.legend(loc='lower right')
    ax.grid(axis='x')
    return figure


def main() -> None:
    """Profile both and draw."""
    pairs = read_corpus('auto').pairs[:1001]
    src_vocab, tgt_vocab, arrays = encode_pairs(pairs, 10)
    seed_generators(0)
    ctx = npx.cpu()
    models = [build_model(ModelConfig(), len(src_vocab), len(tgt_vocab)) for _ in range(2)]
    loader, feed = load_pairs(pairs, 64, 10)[2], Feed(arrays, 64, 0, ctx)
    initialize(models[1], ctx)
    fit(models[1], feed, num_epochs=1, lr=0.005)  # the operators are there before the measurement
    fast = operator_times(lambda: fit(models[1], feed, num_epochs=NUM_EPOCHS, lr=0.005))
    book = operator_times(lambda: list(s2s_epochs_ch9(models[0], loader, 0.005, NUM_EPOCHS, ctx)))
    with rc_context({'svg.hashsalt': 'd2l_seq2seq'}):
        draw(book, fast).savefig(HERE / 'results' / 'operator_profile.svg',
                                 metadata={'Date': None})


if __name__ == '__main__':
    main()
