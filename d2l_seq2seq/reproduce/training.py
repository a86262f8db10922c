"""The cells that train and translate, in sections 9.7, 10.2 and 10.3."""

from __future__ import annotations

import contextlib
import io
from typing import Callable

from .._mxnet import gluon, seed_generators
from ..book.encoder_decoder import EncoderDecoder
from ..book.machine_translation import load_data_nmt, preprocess_nmt
from ..book.seq2seq import predict_s2s_ch9, train_s2s_ch9
from ..book.vocab import Vocab
from ..data.encoding import first_examples
from ..data.pipeline import load_pairs
from .cells import Cell, Settings
from .published import SLACK, Published

BATCH_SIZE, NUM_STEPS, NUM_EXAMPLES, LR = 64, 10, 1000, 0.005


def section_data(
    settings: Settings, batch_size: int, num_steps: int
) -> tuple[Vocab, Vocab, gluon.data.DataLoader]:
    """Return what `load_data_nmt` returns, from the corpus of the settings."""
    if settings.is_book_corpus:
        return load_data_nmt(batch_size, num_steps)
    pairs = first_examples(settings.corpus.pairs, NUM_EXAMPLES)
    return load_pairs(pairs, batch_size, num_steps)


def training_cells(
    published: Published, settings: Settings, new_model: Callable[[int, int], EncoderDecoder]
) -> list[Cell]:
    """Train with the book's function; return the cells of loss, speed and translations.

    Parameters
    ----------
    published : Published
        The results of the section's published runs.
    settings : Settings
    new_model : Callable
        Returns the section's model for the sizes of the source and the target vocabulary.
    """
    seed_generators(settings.seed)
    src_vocab, tgt_vocab, data_iter = section_data(settings, BATCH_SIZE, NUM_STEPS)
    model = new_model(len(src_vocab), len(tgt_vocab))
    losses = {}

    def record(epoch: int, loss_sum: float, num_tokens: float) -> None:
        losses[epoch] = loss_sum / num_tokens

    with contextlib.redirect_stdout(io.StringIO()) as printed:
        train_s2s_ch9(model, data_iter, LR, published.num_epochs, settings.ctx, on_epoch_end=record)

    def translate(sentence: str) -> str:
        return predict_s2s_ch9(model, sentence, src_vocab, tgt_vocab, NUM_STEPS, settings.ctx)

    return [
        Cell('training', published.printed, printed.getvalue().strip(), None),
        *loss_cells(published, losses, settings.is_book_corpus),
        *translation_cells(published, translate, settings),
    ]


def loss_cells(published: Published, losses: dict[int, float], judge: bool) -> list[Cell]:
    """Return the cells of the final loss and of the loss curve.

    Parameters
    ----------
    published : Published
    losses : dict
        The losses by number of epochs.
    judge : bool
        False for a corpus that is not the book's.
    """
    low, high = published.final_loss
    last = published.num_epochs
    final = round(losses[last], 3)
    outside = [
        epoch
        for epoch, (least, most) in published.losses.items()
        if not least * (1 - SLACK) <= losses[epoch] <= most * (1 + SLACK)
    ]
    curve = 'inside' if not outside else f'outside at {len(outside)}, first at {outside[0]}'
    return [
        Cell(
            f'loss after {last} epochs',
            f'{published.median_loss} ({low:.3f} to {high:.3f})',
            f'{final:.3f}',
            low <= final <= high if judge else None,
        ),
        Cell(
            f'loss at 10, 20, ..., {last}',
            f'the range of {published.num_runs} runs',
            curve,
            not outside if judge else None,
        ),
    ]


def translation_cells(
    published: Published, translate: Callable[[str], str], settings: Settings
) -> list[Cell]:
    """Return the cells of the four translations; another corpus has its own references."""
    cells = []
    for sentence, counts in published.translations.items():
        ours = translate(sentence)
        if settings.is_book_corpus:
            accepted, expected = set(counts), _with_counts(counts, published.num_runs)
        else:
            accepted = _references(sentence, settings)
            expected = ' or '.join(sorted(accepted)) or 'not in this corpus'
            expected += ' (this corpus)' if accepted else ''
        is_judged = published.judges_translations and accepted
        cells.append(Cell(sentence, expected, ours, ours in accepted if is_judged else None))
    return cells


def _with_counts(counts: dict[str, int], num_runs: int) -> str:
    """Return translations and the number of published runs with each of them."""
    lines = [f'{translation} ({count} of {num_runs})' for translation, count in counts.items()]
    return '\n'.join(lines)


def _references(sentence: str, settings: Settings) -> set[str]:
    """Return the translations of a sentence in the part of the corpus that is trained on."""
    return {
        preprocess_nmt(tgt)
        for src, tgt in first_examples(settings.corpus.pairs, NUM_EXAMPLES)
        if preprocess_nmt(src) == sentence.lower()
    }
