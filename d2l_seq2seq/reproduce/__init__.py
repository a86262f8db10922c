"""The printed output of the book's cells: ``python -m d2l_seq2seq.reproduce``.

The command runs the cells of sections 9.5 to 10.3 of d2l 0.14 with the functions and blocks of
`book`, and prints a table for each section: what the book printed, what this package prints, and
whether they agree.  Cells that print nothing have no row.

`cells` defines a row and the table; `published` contains the results of all published runs;
`training` trains and translates.  Each of the other modules has the cells of one section.
"""

from __future__ import annotations

import importlib
from dataclasses import dataclass

from .. import cli
from .._runtime import choose_threads
from ..config import DataConfig, ModelConfig, TrainingConfig
from ..data.corpus import read_corpus
from .cells import Cell, Settings, table


@dataclass(frozen=True)
class Section:
    """A section of the book."""

    number: str
    title: str
    module: str | None  # defines `section_cells`; None if no cell of the section prints anything

    def cells(self, settings: Settings) -> list[Cell]:
        """Run the section's cells and return those that print something."""
        if self.module is None:
            return []
        module = importlib.import_module(f'.{self.module}', __package__)  # loads MXNet
        return module.section_cells(settings)


# By the name that --section takes.
SECTIONS = {
    'data': Section('9.5', 'machine translation and its data set', 'data'),
    'encoder-decoder': Section('9.6', 'encoder and decoder', None),
    'seq2seq': Section('9.7', 'sequence to sequence', 'seq2seq'),
    'attention': Section('10.1', 'attention', 'attention'),
    'seq2seq-attention': Section(
        '10.2', 'sequence to sequence with attention', 'seq2seq_attention'
    ),
    'transformer': Section('10.3', 'transformer', 'transformer'),
}


def main(argv: list[str] | None = None) -> int:
    """Run the command: run sections of the book and print their tables.

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
    options = build_parser().parse_args(argv)
    # MXNet takes seconds to load, and reads the number of threads only then.
    choose_threads(DataConfig().batch_size, ModelConfig().num_hiddens)
    from ..device import device_from_name

    ctx = device_from_name(options.device)
    settings = Settings(read_corpus(options.corpus), options.seed, ctx)
    names = list(SECTIONS) if options.section == 'all' else [options.section]
    cells = [cell for name in names for cell in _run(SECTIONS[name], settings)]
    print(_summary(cells, settings))
    return 1 if any(cell.agrees is False for cell in cells) else 0


def build_parser() -> cli.Parser:
    """Return the parser of the command's options."""
    parser = cli.parser_for(
        'reproduce',
        "Run sections of the book with the book's settings, and compare the output of each cell "
        'that prints something with what the book printed. The exit code is 1 if a cell differs.',
    )
    parser.add_argument(
        '--section',
        choices=[*SECTIONS, 'all'],
        default='seq2seq',
        help='section to run: '
        + ', '.join(f'{name} ({section.number})' for name, section in SECTIONS.items())
        + ', or all of them',
    )
    cli.add_options(parser, DataConfig, only=['corpus'])
    cli.add_options(parser, TrainingConfig, only=['seed'])
    cli.add_device(parser)
    return parser


def _run(section: Section, settings: Settings) -> list[Cell]:
    """Run a section, print its table, and return its cells."""
    print(
        f'd2l 0.14, section {section.number}: {section.title}\n'
        f'corpus {settings.corpus.name}, seed {settings.seed}\n',
        flush=True,
    )
    cells = section.cells(settings)
    print(f'{table(cells) if cells else "No cell of this section prints anything."}\n', flush=True)
    return cells


def _summary(cells: list[Cell], settings: Settings) -> str:
    """Return the last line of the output."""
    differing = [cell.name for cell in cells if cell.agrees is False]
    if differing:
        return f'{len(differing)} of {len(cells)} cells differ: {", ".join(differing)}'
    note = (
        ''
        if settings.is_book_corpus
        else "; the output that depends on the book's corpus is not compared"
    )
    return f'all {sum(cell.agrees is True for cell in cells)} judged cells agree{note}'
