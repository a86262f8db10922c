"""``python -m d2l_seq2seq.reproduce``: compare the printed output of a section with the book's.

The book's output is that of d2l 0.14, and of all published runs of the section with the same model
(d2l 0.7 to 0.14): the range of their loss curves, and the translations that they printed.
"""

from __future__ import annotations

from dataclasses import dataclass

from . import cli
from ._runtime import choose_threads
from .config import DataConfig, ModelConfig, RunConfig, TrainingConfig
from .data.corpus import Corpus, read_corpus

PRINTED_LOSSES = [2.3025851, 1.1512926, 0.0]
SLACK = 0.1  # the range is widened by 10 % at both ends


@dataclass(frozen=True)
class Section:
    """The output of the published runs of a section."""

    title: str
    model: ModelConfig
    num_epochs: int
    num_runs: int
    # By number of epochs: the smallest and the largest loss that a run printed or plotted.
    losses: dict[int, tuple[float, float]]
    median_loss: float
    final_loss: tuple[float, float]  # accepted limits, rounded to three digits as printed
    tokens_per_sec: float | None  # printed in the book, on a V100
    translations: dict[str, set[str]]
    # False if some runs printed translations that no other run printed, so a difference is normal.
    judges_translations: bool


_TRANSLATIONS = {
    'Go .': {'va !'},
    'Wow !': {'<unk> !'},
    "I'm OK .": {'je vais bien .', 'ça va .'},
    'I won !': {"je l'ai emporté !", "j'ai gagné !"},
}

# fmt: off
SECTIONS = {
    'seq2seq': Section(
        title='d2l 0.14, section 9.7', model=ModelConfig(), num_epochs=300, num_runs=45,
        losses={
            10: (0.2102, 0.2190), 20: (0.1699, 0.1859), 30: (0.1469, 0.1649),
            40: (0.1300, 0.1498), 50: (0.1140, 0.1375), 60: (0.1006, 0.1234),
            70: (0.0887, 0.1113), 80: (0.0785, 0.0996), 90: (0.0690, 0.0899),
            100: (0.0614, 0.0826), 110: (0.0549, 0.0753), 120: (0.0494, 0.0690),
            130: (0.0450, 0.0643), 140: (0.0413, 0.0581), 150: (0.0378, 0.0534),
            160: (0.0360, 0.0504), 170: (0.0342, 0.0469), 180: (0.0323, 0.0435),
            190: (0.0314, 0.0411), 200: (0.0297, 0.0387), 210: (0.0286, 0.0393),
            220: (0.0285, 0.0360), 230: (0.0277, 0.0345), 240: (0.0269, 0.0328),
            250: (0.0265, 0.0322), 260: (0.0263, 0.0321), 270: (0.0257, 0.0308),
            280: (0.0253, 0.0300), 290: (0.0250, 0.0291), 300: (0.0249, 0.0288),
        },
        median_loss=0.026, final_loss=(0.024, 0.030), tokens_per_sec=8687.4,
        translations=_TRANSLATIONS, judges_translations=True,
    ),
    'attention': Section(
        title='d2l 0.14, section 10.2', model=ModelConfig(attention='additive'), num_epochs=200,
        num_runs=42,
        losses={
            10: (0.2039, 0.2193), 20: (0.1659, 0.1841), 30: (0.1428, 0.1636),
            40: (0.1260, 0.1447), 50: (0.1097, 0.1284), 60: (0.0963, 0.1155),
            70: (0.0840, 0.1018), 80: (0.0725, 0.0914), 90: (0.0636, 0.0817),
            100: (0.0569, 0.0743), 110: (0.0509, 0.0685), 120: (0.0455, 0.0620),
            130: (0.0413, 0.0563), 140: (0.0391, 0.0517), 150: (0.0370, 0.0480),
            160: (0.0346, 0.0442), 170: (0.0331, 0.0425), 180: (0.0313, 0.0391),
            190: (0.0298, 0.0374), 200: (0.0296, 0.0356),
        },
        median_loss=0.032, final_loss=(0.026, 0.039), tokens_per_sec=None,
        translations=_TRANSLATIONS, judges_translations=False,
    ),
}
# fmt: on


@dataclass(frozen=True)
class Cell:
    """A cell of the book: its printed output, ours, and whether they agree."""

    name: str
    book: str
    ours: str
    agrees: bool | None  # None: shown but not judged


def _equal(name: str, book, ours) -> Cell:
    """Return a cell whose values must be equal."""
    return Cell(name, str(book), str(ours), book == ours)


def main(argv: list[str] | None = None) -> int:
    """Run the command: run a section and print the table.

    Parameters
    ----------
    argv : list of str, optional
        The options; those of the process by default.

    Returns
    -------
    int
        The exit code: 1 if a cell differs, otherwise 0.

    Raises
    ------
    InputError
        If an option or the corpus cannot be used.
    """
    parser = cli.parser_for(
        'reproduce',
        "Run a section of the book with its own settings, and compare each cell's output with the "
        'book.',
    )
    parser.add_argument(
        '--section',
        choices=list(SECTIONS),
        default='seq2seq',
        help='section to run: 9.7 (seq2seq) or 10.2 (attention)',
    )
    cli.add_options(parser, DataConfig, only=['corpus'])
    cli.add_options(parser, TrainingConfig, only=['seed', 'device'])
    options = parser.parse_args(argv)
    corpus = read_corpus(options.corpus)

    # MXNet takes seconds to load, and reads the number of threads only then.
    choose_threads(DataConfig().batch_size, ModelConfig().num_hiddens)
    from .device import device_from_name

    ctx = device_from_name(options.device)
    section = SECTIONS[options.section]
    print(f'{section.title}, corpus {corpus.name}, seed {options.seed}\n', flush=True)
    block_cells = {'seq2seq': _seq2seq_cells, 'attention': _attention_cells}[options.section]
    cells = [*block_cells(ctx), *_training_cells(section, corpus, options.seed, ctx)]
    differing = [cell.name for cell in cells if cell.agrees is False]
    print(f'{_table(cells)}\n')
    if differing:
        print(f'{len(differing)} of {len(cells)} cells differ: {", ".join(differing)}')
        return 1
    print(
        f'all {sum(cell.agrees is True for cell in cells)} judged cells agree'
        + (
            ''
            if corpus.name == 'fra-eng'
            else '; the loss and the translations are not compared with the book, because that '
            "needs the book's corpus"
        )
    )
    return 0


def _seq2seq_cells(ctx) -> list[Cell]:
    """Return the cells of section 9.7 before training: shapes, sequence_mask and the loss."""
    from ._mxnet import np, npx
    from .book.seq2seq import MaskedSoftmaxCELoss, Seq2SeqDecoder, Seq2SeqEncoder

    encoder, decoder = Seq2SeqEncoder(10, 8, 16, 2), Seq2SeqDecoder(10, 8, 16, 2)
    encoder.initialize(ctx=ctx)
    decoder.initialize(ctx=ctx)
    X = np.zeros((4, 7), ctx=ctx)
    output, enc_state = encoder(X)
    out, state = decoder(X, decoder.init_state((output, enc_state)))
    two_rows = np.array([[1, 2, 3], [4, 5, 6]], ctx=ctx)
    lengths = np.array([1, 2], ctx=ctx)
    masked = npx.sequence_mask(two_rows, lengths, True, axis=1)
    filled = npx.sequence_mask(np.ones((2, 3, 4), ctx=ctx), lengths, True, value=-1, axis=1)
    losses = (
        MaskedSoftmaxCELoss()(
            np.ones((3, 4, 10), ctx=ctx), np.ones((3, 4), ctx=ctx), np.array([4, 2, 0], ctx=ctx)
        )
        .asnumpy()
        .tolist()
    )
    return [
        _equal('encoder output', (7, 4, 16), output.shape),
        _equal(
            'encoder state',
            (2, (2, 4, 16), (2, 4, 16)),
            (len(enc_state), enc_state[0].shape, enc_state[1].shape),
        ),
        _equal(
            'decoder output and state',
            ((4, 7, 10), 2, (2, 4, 16), (2, 4, 16)),
            (out.shape, len(state), state[0].shape, state[1].shape),
        ),
        _equal('sequence_mask', [[1, 0, 0], [4, 5, 0]], masked.astype(int).tolist()),
        _equal(
            'sequence_mask, value=-1',
            [[1, -1, -1], [1, 1, -1]],
            filled[:, :, 0].astype(int).tolist(),
        ),
        # oneDNN's logarithm on a CPU is accurate to 3e-6, that of the book's GPU to the last digit.
        Cell(
            'masked loss, to 1e-5',
            str(PRINTED_LOSSES),
            str([round(x, 7) for x in losses]),
            max(abs(x - y) for x, y in zip(losses, PRINTED_LOSSES)) < 1e-5,
        ),
    ]


def _attention_cells(ctx) -> list[Cell]:
    """Return the cell of section 10.2 before training."""
    from ._mxnet import np
    from .models.factory import build_model

    model = build_model(ModelConfig(8, 16, attention='additive'), 10, 10)
    model.initialize(ctx=ctx)
    X, lengths = np.zeros((4, 7), ctx=ctx), np.full((4,), 7, ctx=ctx)
    state = model.decoder.init_state(model.encoder(X, lengths), lengths)
    out, state = model.decoder(X, state)
    return [
        _equal(
            'decoder output and state',
            ((4, 7, 10), 3, (4, 7, 16), 2, (2, 4, 16)),
            (out.shape, len(state), state[0].shape, len(state[1]), state[1][0].shape),
        )
    ]


def _training_cells(section: Section, corpus: Corpus, seed: int, ctx) -> list[Cell]:
    """Train with the book's own loop; return the cells of loss, speed and translations."""
    from tqdm import tqdm

    from ._mxnet import seed_generators
    from .book.animator import Animator
    from .book.seq2seq import s2s_epochs_ch9
    from .data.encoding import first_examples
    from .data.pipeline import load_pairs
    from .models.factory import build_model
    from .runs.checkpoint import Run

    config = RunConfig(model=section.model)
    seed_generators(seed)
    pairs = first_examples(corpus.pairs, config.data.num_examples)
    src_vocab, tgt_vocab, data_iter = load_pairs(
        pairs, config.data.batch_size, config.data.num_steps
    )
    model = build_model(config.model, len(src_vocab), len(tgt_vocab))
    animator = Animator(xlabel='epoch', ylabel='loss', xlim=[1, section.num_epochs])
    epochs = s2s_epochs_ch9(model, data_iter, config.training.lr, section.num_epochs, ctx)
    for epoch, metric, timer in tqdm(
        epochs, total=section.num_epochs, unit=' epochs', leave=False, disable=None
    ):  # shows a bar on a terminal only
        seconds = timer.stop()
        animator.add(epoch, metric[0] / metric[1])
    animator.close()
    losses = dict(zip(animator.X[0], animator.Y[0]))
    run = Run(config, src_vocab, tgt_vocab, model)
    printed = f'{section.tokens_per_sec} on a V100' if section.tokens_per_sec else 'not known'
    return [
        *_loss_cells(section, losses, judge=corpus.name == 'fra-eng'),
        Cell('tokens/sec', printed, f'{metric[1] / seconds:.1f} on {ctx}', None),
        *_translation_cells(section, run, corpus, pairs, ctx),
    ]


def _loss_cells(section: Section, losses: dict[int, float], judge: bool) -> list[Cell]:
    """Return the cells of the final loss and the loss curve; only the book's corpus is judged."""
    low, high = section.final_loss
    last = section.num_epochs
    final = round(losses[last], 3)
    outside = [
        epoch
        for epoch, (least, most) in section.losses.items()
        if not least * (1 - SLACK) <= losses[epoch] <= most * (1 + SLACK)
    ]
    curve = 'inside' if not outside else f'outside at {len(outside)}, first at {outside[0]}'
    return [
        Cell(
            f'loss after {last} epochs',
            f'{section.median_loss} ({low} to {high:.3f})',
            f'{final:.3f}',
            low <= final <= high if judge else None,
        ),
        Cell(
            f'loss at 10, 20, ..., {last}',
            f'the range of {section.num_runs} runs',
            curve,
            not outside if judge else None,
        ),
    ]


def _translation_cells(section: Section, run, corpus: Corpus, pairs, ctx) -> list[Cell]:
    """Return the cells of the four translations; another corpus has its own references."""
    from .book.machine_translation import preprocess_nmt
    from .book.seq2seq import predict_s2s_ch9

    references: dict[str, set[str]] = {sentence: set() for sentence in section.translations}
    by_source = {sentence.lower(): sentence for sentence in references}
    for src, tgt in pairs:
        sentence = by_source.get(preprocess_nmt(src))
        if sentence:
            references[sentence].add(preprocess_nmt(tgt))
    cells = []
    for sentence, published in section.translations.items():
        accepted = published if corpus.name == 'fra-eng' else references[sentence]
        ours = predict_s2s_ch9(
            run.model, sentence, run.src_vocab, run.tgt_vocab, run.config.data.num_steps, ctx
        )
        expected = ' or '.join(sorted(accepted)) or 'not in this corpus'
        source = '' if corpus.name == 'fra-eng' else ' (this corpus)'
        is_judged = section.judges_translations and accepted
        cells.append(
            Cell(sentence, expected + source, ours, ours in accepted if is_judged else None)
        )
    return cells


def _table(cells: list[Cell]) -> str:
    """Return the cells as text in columns, under a heading."""
    verdicts = {True: 'ok', False: 'DIFFERS', None: 'not judged'}
    lines = [('', 'book', 'ours', 'verdict')]
    lines += [(cell.name, cell.book, cell.ours, verdicts[cell.agrees]) for cell in cells]
    widths = [max(map(len, column)) for column in zip(*lines)]
    return '\n'.join(
        ' | '.join(text.ljust(width) for text, width in zip(line, widths)).rstrip()
        for line in lines
    )


if __name__ == '__main__':
    cli.run(main)
