"""Runs the book's own cells of sections 9.5 to 10.3 with this package in place of d2l.

For each cell it prints what the book printed, what this package prints, and whether they agree.
The cells are read from a checkout of the book, the public repository d2l-ai/d2l-en on GitHub.
Clone it with its tags; any commit may be checked out:

    git clone https://github.com/d2l-ai/d2l-en
    python tests/book_cells.py d2l-en

The training cells run for two epochs, or with --full for as many as the book trains, which takes
about ten minutes.  Their output is judged after a full training on the book's corpus, by the range
of the published runs.  The other random numbers are equal to the book's with the seed 0, which is
MXNet's default.  D2L_SEQ2SEQ_DATA names a copy of the book's corpus; without it, the corpus is
downloaded, or the bundled one is used.  The exit code is 1 if a cell fails or differs.
"""

from __future__ import annotations

import argparse
import ast
import contextlib
import io
import math
import os
import re
import subprocess
import sys
import tempfile
from dataclasses import dataclass
from pathlib import Path

ROOT = Path(__file__).resolve().parents[1]
sys.path.insert(0, str(ROOT))
from d2l_seq2seq.reproduce.published import PUBLISHED  # noqa: E402

SECTIONS = {
    '9.5': 'chapter_recurrent-modern/machine-translation-and-dataset.md',
    '9.6': 'chapter_recurrent-modern/encoder-decoder.md',
    '9.7': 'chapter_recurrent-modern/seq2seq.md',
    '10.1': 'chapter_attention-mechanisms/attention.md',
    '10.2': 'chapter_attention-mechanisms/seq2seq-attention.md',
    '10.3': 'chapter_attention-mechanisms/transformer.md',
}
IMPORT = 'from d2l import mxnet as d2l'
REPLACEMENTS = ('import d2l_seq2seq.book as d2l', 'import d2l_seq2seq as d2l')
# The editions whose printed output is listed below.
TAGS = ('v0.14.0', 'v0.14.1', 'v0.14.2', 'v0.14.3', 'v0.14.4')


class NoCells(Exception):
    """A folder that is not a checkout of the book, or does not have the tag."""


@dataclass(frozen=True)
class Printed:
    """What the book printed for a cell, and how to judge what this package prints."""

    text: str
    # equal: the same words and numbers.  seeded: the same with the seed 0, otherwise as form.
    # form: the same apart from the numbers.  loss, translations: by the published runs.  figure: a
    # plot.
    rule: str = 'equal'
    of_corpus: bool = False  # True: holds for the book's corpus only


def _of_corpus(text: str) -> Printed:
    return Printed(text, of_corpus=True)


_ATTENDED = Printed('array([[[2., 3., 4., 5.]], [[10., 11., 12., 13.]]])')
_FFN = (
    '[9.15348239e-04, -7.27669394e-04, 1.14063594e-04, -8.76279722e-04, -1.02867256e-03, '
    '8.02748313e-04, -4.53725770e-05, 2.15598906e-04]'
)
_FIGURE = Printed('a plot', 'figure')
_TRANSLATIONS = Printed('four translations', 'translations')

# What the book printed at d2l 0.14.0, by section and number of the cell.  The cells that are not
# listed print nothing.
PRINTED = {
    '9.5': {
        2: _of_corpus(
            'Go. Va ! Hi. Salut ! Run! Cours ! Run! Courez ! Who? Qui ? Wow! Ça alors ! '
            "Fire! Au feu ! Help! À l'aide !"
        ),
        3: _of_corpus(
            'go . va ! hi . salut ! run ! cours ! run ! courez ! who? qui ? wow ! ça alors ! '
            'fire ! au feu !'
        ),
        4: _of_corpus(
            "([['go', '.'], ['hi', '.'], ['run', '!']], "
            "[['va', '!'], ['salut', '!'], ['cours', '!']])"
        ),
        5: _FIGURE,
        6: _of_corpus('9140'),
        7: _of_corpus('[47, 4, 1, 1, 1, 1, 1, 1, 1, 1]'),
        10: Printed(
            'X: [[# # # # # # # #] [# # # # # # # #]] valid lengths for X: [# #] '
            'Y: [[# # # # # # # #] [# # # # # # # #]] valid lengths for Y: [# #]',
            'form',
        ),
    },
    '9.6': {},
    '9.7': {
        3: Printed('(7, 4, 16)'),
        4: Printed('(2, (2, 4, 16), (2, 4, 16))'),
        6: Printed('((4, 7, 10), 2, (2, 4, 16), (2, 4, 16))'),
        7: Printed('array([[1., 0., 0.], [4., 5., 0.]])'),
        8: Printed(
            'array([[[1., 1., 1., 1.], [-1., -1., -1., -1.], [-1., -1., -1., -1.]], '
            '[[1., 1., 1., 1.], [1., 1., 1., 1.], [-1., -1., -1., -1.]]])'
        ),
        10: Printed('array([2.3025851, 1.1512926, 0.])'),
        12: Printed(PUBLISHED['9.7'].printed, 'loss'),
        14: _TRANSLATIONS,
    },
    '10.1': {
        3: Printed(
            'array([[[0.488994, 0.511006, 0., 0.], [0.43654838, 0.56345165, 0., 0.]], '
            '[[0.28817102, 0.3519408, 0.3598882, 0.], [0.29034293, 0.25239873, 0.45725834, 0.]]])',
            'seeded',
        ),
        4: Printed('array([[[3., 3.]], [[3., 3.]]])'),
        6: _ATTENDED,
        8: _ATTENDED,
    },
    '10.2': {
        3: Printed('((4, 7, 10), 3, (4, 7, 16), 2, (2, 4, 16))'),
        4: Printed(PUBLISHED['10.2'].printed, 'loss'),
        5: _TRANSLATIONS,
    },
    '10.3': {
        4: Printed('(2, 4, 90)'),
        6: Printed(f'array([{_FFN}, {_FFN}, {_FFN}])', 'seeded'),
        7: Printed(
            'layer norm: [[-0.99998 0.99998] [-0.99998 0.99998]] '
            'batch norm: [[-0.99998 -0.99998] [0.99998 0.99998]]'
        ),
        9: Printed('(2, 3, 4)'),
        11: _FIGURE,
        13: Printed('(2, 100, 24)'),
        15: Printed('(2, 100, 24)'),
        17: Printed('(2, 100, 24)'),
        19: Printed(PUBLISHED['10.3'].printed, 'loss'),
        20: _TRANSLATIONS,
    },
}
# Where the cell of another edition has other arguments.  Each edition printed other losses and
# translations, in the same range.
_FFN_0_14_4 = (
    '[-0.00073839, 0.00923239, -0.00016378, 0.00091236, -0.00763499, 0.00199923, 0.00446541, '
    '0.00189135]'
)
CHANGED = {
    ('v0.14.4', '10.3', 4): Printed('(2, 4, 100)'),
    ('v0.14.4', '10.3', 6): Printed(
        f'array([{_FFN_0_14_4}, {_FFN_0_14_4}, {_FFN_0_14_4}])', 'seeded'
    ),
}


@dataclass(frozen=True)
class Settings:
    """What to run and how."""

    tag: str
    replacement: str  # the line that replaces IMPORT
    corpus: str  # the corpus that the package reads here: fra-eng or bundled
    num_epochs: int | None  # in the training cells; None for the book's
    seed: int


@dataclass(frozen=True)
class Row:
    """A row of the table."""

    section: str
    number: int
    cell: str  # the first line of its code
    book: str
    ours: str
    verdict: str  # ok, DIFFERS, FAILED or not judged


# Reading the cells.


def read_cells(checkout: str | Path, tag: str, section: str) -> list[str]:
    """Return the code cells of a section for MXNet, in order.

    Raises
    ------
    NoCells
        If they cannot be read.
    """
    result = subprocess.run(
        ['git', '-C', str(checkout), 'show', f'{tag}:{SECTIONS[section]}'],
        capture_output=True,
        encoding='utf-8',
    )
    if result.returncode != 0:
        raise NoCells(
            f'{checkout}: expected a clone of d2l-ai/d2l-en with the tag {tag} '
            f'({result.stderr.strip().splitlines()[-1]})'
        )
    return cells_of(result.stdout)


def cells_of(text: str) -> list[str]:
    """Return the code cells of a section's Markdown that are for MXNet or all frameworks."""
    cells = []
    for match in re.finditer(r'^```\{\.python[^}]*\}\n(.*?)^```', text, re.DOTALL | re.MULTILINE):
        tab = re.match(r'#@tab (.*)\n', match[1])
        if tab is None or re.search(r'\b(all|mxnet)\b', tab[1]):
            # Jupyter's commands, such as %matplotlib inline, are not Python.
            cells.append(re.sub(r'^%.*\n', '', match[1], flags=re.MULTILINE))
    return cells


# Running them.


class _FewerEpochs(ast.NodeTransformer):
    """Replaces the number that is assigned to `num_epochs`, also within a tuple."""

    def __init__(self, num_epochs: int):
        self.num_epochs = num_epochs

    def visit_Assign(self, node):
        for target in node.targets:
            pairs = [(target, node.value)]
            if isinstance(target, ast.Tuple) and isinstance(node.value, ast.Tuple):
                pairs = list(zip(target.elts, node.value.elts))
            for name, value in pairs:
                if isinstance(name, ast.Name) and name.id == 'num_epochs':
                    value.value = self.num_epochs
        return node


def run_cell(code: str, namespace: dict, num_epochs: int | None = None) -> str:
    """Run a cell as a notebook does; return what it prints, and its value, as text."""
    tree = ast.parse(code)
    if num_epochs is not None:
        tree = _FewerEpochs(num_epochs).visit(tree)
    value = None
    is_shown = not code.rstrip().endswith(';')
    if tree.body and isinstance(tree.body[-1], ast.Expr):
        value = ast.Expression(tree.body.pop().value)
    output = io.StringIO()
    with contextlib.redirect_stdout(output):
        exec(compile(tree, '<cell>', 'exec'), namespace)
        if value is not None:
            value = eval(compile(value, '<cell>', 'eval'), namespace)
            if value is not None and is_shown:
                print(repr(value))
    return output.getvalue()


def run_section(section: str, cells: list[str], settings: Settings) -> list[Row]:
    """Run the cells of a section in one namespace, as a notebook does, and judge their output."""
    from matplotlib import pyplot as plt

    from d2l_seq2seq._mxnet import seed_generators

    seed_generators(settings.seed)
    namespace = {'__name__': '__main__'}
    rows = []
    for number, code in enumerate(cells, 1):
        printed = printed_by_book(settings.tag, section, number)
        plt.close('all')
        try:
            code = code.replace(IMPORT, settings.replacement)
            ours = run_cell(code, namespace, settings.num_epochs)
        except Exception as error:  # a cell may raise anything
            ours, verdict = f'{type(error).__name__}: {error}', 'FAILED'
        else:
            if printed is not None and printed.rule == 'figure':
                ours = 'a plot' if _has_plot(plt) else 'no plot'
            verdict = judge(section, printed, ours, settings)
        first = next(line for line in code.splitlines() if line and not line.startswith('#'))
        rows.append(
            Row(section, number, first, printed.text if printed else '', normalized(ours), verdict)
        )
    plt.close('all')
    return rows


def printed_by_book(tag: str, section: str, number: int) -> Printed | None:
    """Return what the book printed for a cell, or None if nothing is known or printed."""
    if tag not in TAGS:
        return None
    return CHANGED.get((tag, section, number), PRINTED[section].get(number))


def _has_plot(plt) -> bool:
    return any(axes.lines or axes.patches for axes in plt.gcf().axes)


# Judging what they print.

_NUMBER = re.compile(r'-?(?:\d+\.?\d*|\.\d+)(?:e[-+]?\d+)?')


def normalized(text: str) -> str:
    """Return a text in one line, with single spaces and none inside brackets or before commas."""
    return re.sub(r' (?=[\]),])|(?<=[\[(]) ', '', ' '.join(text.split()))


def numbers_agree(book: str, ours: str) -> bool:
    """Return True if two texts differ in the last digits of numbers only."""
    book, ours = normalized(book), normalized(ours)
    pairs = list(zip(_NUMBER.findall(book), _NUMBER.findall(ours)))
    return forms_agree(book, ours) and all(
        # oneDNN's logarithm on a CPU is accurate to 3e-6.
        math.isclose(float(x), float(y), rel_tol=1e-5, abs_tol=1e-5 if float(x) == 0 else 0)
        for x, y in pairs
    )


def forms_agree(book: str, ours: str) -> bool:
    """Return True if two texts differ in numbers only."""
    return _NUMBER.sub('#', normalized(book)) == _NUMBER.sub('#', normalized(ours))


def judge(section: str, printed: Printed | None, ours: str, settings: Settings) -> str:
    """Return the verdict on the output of a cell that ran."""
    is_books = settings.corpus == 'fra-eng'
    if printed is None:
        return 'DIFFERS' if ours and settings.tag in TAGS else 'ok'
    if printed.of_corpus and not is_books:
        return 'not judged'
    if printed.rule in ('loss', 'translations'):
        return _judge_training(section, printed, ours, is_books and settings.num_epochs is None)
    if printed.rule == 'figure':
        agree = ours == printed.text
    elif printed.rule == 'form' or (printed.rule == 'seeded' and settings.seed != 0):
        agree = forms_agree(printed.text, ours)
    else:
        agree = numbers_agree(printed.text, ours)
    return 'ok' if agree else 'DIFFERS'


def _judge_training(section: str, printed: Printed, ours: str, is_comparable: bool) -> str:
    """Return the verdict on a training cell, or on the translations after it."""
    published = PUBLISHED[section]
    if printed.rule == 'loss':
        match = re.fullmatch(r'loss (\d\.\d{3}), [\d.]+ tokens/sec on [cg]pu\(\d\)', ours.strip())
        has_form = match is not None
    else:
        # An untrained model may translate a sentence to nothing.
        translations = dict(line.partition(' => ')[::2] for line in ours.splitlines())
        has_form = list(translations) == ['Go .', 'Wow !', "I'm OK .", 'I won !']
    if not has_form:
        return 'DIFFERS'
    if not is_comparable:
        return 'not judged'
    if printed.rule == 'loss':
        low, high = published.final_loss
        return 'ok' if low <= float(match[1]) <= high else 'DIFFERS'
    if not published.judges_translations:
        return 'not judged'
    agree = all(translations[source] in known for source, known in published.translations.items())
    return 'ok' if agree else 'DIFFERS'


# The table.


def table(rows: list[Row]) -> str:
    """Return the rows as text in columns."""
    lines = [('cell', 'code', 'book', 'ours', 'verdict')]
    lines += [
        (f'{row.section} {row.number}', row.cell[:32], row.book[:60], row.ours[:60], row.verdict)
        for row in rows
    ]
    widths = [max(map(len, column)) for column in zip(*lines)]
    return '\n'.join(
        ' | '.join(text.ljust(width) for text, width in zip(line, widths)).rstrip()
        for line in lines
    )


def num_ran(rows: list[Row]) -> int:
    """Return the number of cells that ran and do not differ from the book."""
    return sum(row.verdict in ('ok', 'not judged') for row in rows)


def main(argv: list[str] | None = None) -> int:
    """Run the command; return 1 if a cell fails or differs, 2 if there are no cells."""
    parser = argparse.ArgumentParser(
        prog='book_cells.py', description=__doc__, formatter_class=argparse.RawTextHelpFormatter
    )
    parser.add_argument('checkout', help='clone of d2l-ai/d2l-en')
    parser.add_argument('--tag', default='v0.14.0', help='edition (default: v0.14.0)')
    parser.add_argument('--sections', nargs='+', choices=SECTIONS, default=list(SECTIONS))
    parser.add_argument('--import', dest='replacement', choices=REPLACEMENTS, metavar='LINE')
    parser.add_argument('--num-epochs', type=int, default=2, help='of each training (default: 2)')
    parser.add_argument('--full', action='store_true', help='train as long as the book')
    parser.add_argument('--bundled', action='store_true', help='use the bundled corpus')
    parser.add_argument('--seed', type=int, default=0)
    parser.set_defaults(replacement=REPLACEMENTS[0])
    options = parser.parse_args(argv)
    try:
        cells = {
            section: read_cells(options.checkout, options.tag, section)
            for section in options.sections
        }
    except NoCells as error:
        print(f'error: {error}', file=sys.stderr)
        return 2
    import matplotlib

    from d2l_seq2seq.book.fra_eng import read_available_text

    matplotlib.use('agg')  # draws without a display
    with contextlib.ExitStack() as stack:
        if options.bundled:  # look for the book's corpus in an empty folder
            os.environ['D2L_SEQ2SEQ_DATA'] = stack.enter_context(tempfile.TemporaryDirectory())
        corpus, _ = read_available_text()
        num_epochs = None if options.full else options.num_epochs
        settings = Settings(options.tag, options.replacement, corpus, num_epochs, options.seed)
        print(f'd2l {options.tag}, corpus {corpus}, {options.replacement}\n', flush=True)
        rows = [row for name in cells for row in run_section(name, cells[name], settings)]
    print(table(rows))
    num_open = sum(row.verdict == 'not judged' for row in rows)
    print(
        f'\n{num_ran(rows)} of {len(rows)} cells run and do not differ from the book'
        f' ({num_open} of them not judged)'
    )
    return int(num_ran(rows) < len(rows))


if __name__ == '__main__':
    sys.exit(main())
