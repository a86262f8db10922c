"""The notebooks as a reader uses them: JupyterLab in a real browser.

These tests check what only a browser shows: a notebook is not marked as changed when it is opened,
its lines are not broken, the loss is a single figure, which is redrawn in place while the model
trains, the page has no warnings or errors, and training follows the changes that a reader makes in
the cells.  The results of the cells are checked in `test_notebooks.py`.

The tests use the Chromium of the system and download nothing.  They neither read nor write the
user's Jupyter settings.  BROWSER_SCREENSHOTS=FOLDER saves screenshots of the pages in that folder.
"""

import os
import platform
import re
import shutil
from pathlib import Path

import nbformat
import numpy as onp
import pytest
from lab_server import START_SECONDS, run_server
from nbformat.sign import NotebookNotary
from playwright.sync_api import sync_playwright
from test_notebooks import SMALL, notebooks, read_saved, tagged

from d2l_seq2seq import book
from d2l_seq2seq._mxnet import mx
from d2l_seq2seq.book.seq2seq import SENTENCES

RUN_SECONDS = 600  # a limit for a machine that is busy with other tests
NUM_EPOCHS = 30  # the figure is drawn three times
# Lines of 100 characters fit into the smallest common window of a laptop.
WINDOW = {'width': 1280, 'height': 900}

FIGURES = '.jp-OutputArea-output :is(img, svg)'  # elsewhere, svg elements are icons
# Records the figures of a cell at every change of the cell: their contents, and the output elements
# that contain them.
RECORD_FIGURES = """(cell, FIGURES) => {
    window.records = [];
    window.outputElements = new Set();
    const record = () => {
        const figures = [...cell.querySelectorAll(FIGURES)];
        records.push(figures.map(figure => figure.src || figure.outerHTML));
        figures.forEach(figure => outputElements.add(figure.closest('.jp-OutputArea-output')));
    };
    new MutationObserver(record).observe(
        cell, {subtree: true, childList: true, attributes: true, characterData: true});
}"""
# The blocks that become lower if lines are not broken, or get a scroll bar.
BROKEN_LINES = """SELECTOR => [...document.querySelectorAll(SELECTOR)].filter(block => {
    const height = block.offsetHeight;
    block.style.whiteSpace = 'pre';
    return block.offsetHeight !== height;
}).map(block => block.textContent)"""
# JupyterLab also shows exceptions as standard error.
ERROR_OUTPUTS = ', '.join(
    f'[data-mime-type="application/vnd.jupyter.{kind}"]' for kind in ('error', 'stderr')
)
NOTEBOOK_IS_SHOWN = """number => {
    const panel = window.jupyterapp && jupyterapp.shell.currentWidget;
    return panel && panel.content.widgets && panel.content.widgets.length === number;
}"""
# JupyterLab asks the new kernel for its language, and writes the answer into the notebook.
WAIT_FOR_KERNEL = """async () => {
    const session = jupyterapp.shell.currentWidget.sessionContext;
    await session.ready;
    await session.session.kernel.info;
    await new Promise(resolve => setTimeout(resolve));
}"""
IS_CHANGED = '() => jupyterapp.shell.currentWidget.context.model.dirty'
# Stores what the next command of the Run menu returns: whether all cells ran without an exception.
WATCH_COMMANDS = """() => jupyterapp.commands.commandExecuted.connect((commands, {id, result}) => {
    if (id.startsWith('notebook:run-')) {
        result.then(success => window.outcome = {success}, error => window.outcome = {error});
    }
})"""
CODE_OF_CELL = """number =>
    jupyterapp.shell.currentWidget.content.widgets[number].model.sharedModel.source"""
NO_CORPUS = 'using the bundled corpus instead'  # a warning if the book's corpus is not available
FEW_EPOCHS = f'{SMALL["02_seq2seq"]}\nnum_epochs = 2'


def small_notebook():
    """Return the notebook without outputs, with a small model but several updates of the figure."""
    notebook = notebooks.read_source(notebooks.SOURCE_FOLDER / '02_seq2seq.py')
    (parameters,) = tagged(notebook, 'parameters')
    parameters.source = f'{SMALL["02_seq2seq"]}\nnum_epochs = {NUM_EPOCHS}'
    return notebook


def number_of_cell(notebook, code):
    """Return the number of the first code cell that contains some code."""
    return next(
        number
        for number, cell in enumerate(notebook.cells)
        if cell.cell_type == 'code' and code in cell.source
    )


def cell_on_page(page, number):
    """Return a cell of the notebook that is shown."""
    return page.locator('.jp-Notebook .jp-Cell').nth(number)


@pytest.fixture(scope='module')
def lab(tmp_path_factory):
    """JupyterLab on an empty folder: yields the folder, and the URL of a file as a template."""
    with run_server(tmp_path_factory.mktemp('lab')) as folder_and_address:
        yield folder_and_address


@pytest.fixture(scope='module')
def browser():
    """A headless browser."""
    names = ('chromium', 'chromium-browser', 'google-chrome')
    chromium = next(filter(None, map(shutil.which, names)), None)
    if chromium is None:
        pytest.skip('needs a browser: apt-get install chromium')
    with sync_playwright() as playwright:
        # Chromium's sandbox does not work for root.
        browser = playwright.chromium.launch(
            executable_path=chromium, chromium_sandbox=os.geteuid() != 0
        )
        try:
            yield browser
        finally:
            browser.close()


@pytest.fixture
def page(browser):
    """An empty page."""
    page = browser.new_page(viewport=WINDOW)
    page.set_default_timeout(1000 * START_SECONDS)
    yield page
    page.close()


def run_cells(page, command):
    """Choose a command of the Run menu, wait for its end, and check that no cell failed."""
    page.evaluate('window.outcome = null')
    page.get_by_role('menuitem', name='Run', exact=True).click()
    page.get_by_role('menuitem', name=command, exact=True).click()
    page.wait_for_function('outcome !== null', timeout=1000 * RUN_SECONDS)
    errors = page.locator(ERROR_OUTPUTS).all_text_contents()
    assert [text for text in errors if NO_CORPUS not in text] == []
    assert page.evaluate('outcome') == {'success': True}


def save_screenshots(page, cell, name):
    """Save images of a cell and of the notebook, if BROWSER_SCREENSHOTS is set."""
    if 'BROWSER_SCREENSHOTS' in os.environ:
        folder = Path(os.environ['BROWSER_SCREENSHOTS'])
        cells = page.locator('.jp-Notebook .jp-WindowedPanel-viewport')
        # A screenshot contains only what fits into the window.
        height = int(cells.bounding_box()['height']) + 200
        page.set_viewport_size({**WINDOW, 'height': height})
        cell.screenshot(path=folder / f'{name}_cell.png')
        cells.screenshot(path=folder / f'{name}.png')


def open_notebook(page, lab, notebook, name):
    """Write a notebook to JupyterLab's folder, trust it, open it, and wait for the kernel."""
    folder, address = lab
    path = folder / f'{name}.ipynb'
    NotebookNotary(data_dir=str(folder.parent / 'home' / 'data')).sign(notebook)
    nbformat.write(notebook, path)
    page.goto(address.format(path.name))
    page.wait_for_function(NOTEBOOK_IS_SHOWN, arg=len(notebook.cells))
    page.evaluate(WAIT_FOR_KERNEL)
    page.evaluate(WATCH_COMMANDS)


@pytest.mark.slow
def test_run_all_cells_in_a_browser(page, lab):
    notebook = small_notebook()
    open_notebook(page, lab, notebook, 'run_all')
    cell = cell_on_page(page, number_of_cell(notebook, 'train_s2s_ch9(model, train_iter'))
    cell.evaluate(RECORD_FIGURES, FIGURES)
    try:
        run_cells(page, 'Run All Cells')
    finally:
        save_screenshots(page, cell, 'run_all')

    lines = '\n'.join(page.locator('.jp-OutputArea-output').all_text_contents()).splitlines()
    assert not [line for line in lines if 'Traceback' in line or 'Warning' in line]
    for sentence in SENTENCES:
        assert [line for line in lines if line.startswith(f'{sentence} => ')]

    records = page.evaluate('records')
    assert {len(figures) for figures in records} == {0, 1}, 'there is never a second figure'
    assert page.evaluate('outputElements.size') == 1, 'the figure stays in one place'
    versions = {figure for figures in records for figure in figures}
    assert len(versions) > 1, 'the figure changes while the model trains'
    assert cell.locator(FIGURES).bounding_box()['width'] > 100


def edit_and_run(page, number, replacements):
    """Replace code in a cell with the keyboard, and run the cell and those after it."""
    code = page.evaluate(CODE_OF_CELL, number)
    for old, new in replacements.items():
        assert old in code
        code = code.replace(old, new)
    cell_on_page(page, number).locator('.cm-content').click()
    page.keyboard.press('Control+A')
    page.keyboard.insert_text(code)
    assert page.evaluate(CODE_OF_CELL, number) == code
    run_cells(page, 'Run Selected Cell and All Below')


def results_on_page(page, number):
    """Return the lines that training prints, without the speed."""
    lines = ''.join(cell_on_page(page, number).locator('pre').all_text_contents()).splitlines()
    return [re.sub(', .* tokens/sec', '', line) for line in lines if line]


def expected_results(encoder_class, num_hiddens):
    """Train the model of the small settings with the package, and return what the cell prints."""
    settings = {}
    exec(FEW_EPOCHS, settings)
    src_vocab, tgt_vocab, batches = book.load_data_nmt(
        settings['batch_size'], settings['num_steps']
    )
    sizes = settings['embed_size'], num_hiddens, settings['num_layers'], settings['dropout']
    mx.random.seed(settings['seed'])
    onp.random.seed(settings['seed'])
    model = book.EncoderDecoder(
        encoder_class(len(src_vocab), *sizes), book.Seq2SeqDecoder(len(tgt_vocab), *sizes)
    )
    losses = []
    book.train_s2s_ch9(
        model,
        batches,
        settings['lr'],
        settings['num_epochs'],
        mx.cpu(),
        on_epoch_end=lambda epoch, loss_sum, num_tokens: losses.append(loss_sum / num_tokens),
    )
    num_weights = sum(parameter.data().size for parameter in model.collect_params().values())
    return [f'loss {losses[-1]:.3f} on cpu(0)', f'{num_weights} weights']


class NormalizedEncoder(book.Seq2SeqEncoder):
    """The chapter's encoder with a layer normalization after the embedding."""

    def __init__(self, vocab_size, embed_size, num_hiddens, num_layers, dropout=0):
        super().__init__(vocab_size, embed_size, num_hiddens, num_layers, dropout)
        self.norm = mx.gluon.nn.LayerNorm()

    def forward(self, X, *args):
        X = self.norm(self.embedding(X)).swapaxes(0, 1)
        return self.rnn(X, self.rnn.begin_state(batch_size=X.shape[1], ctx=X.ctx))


@pytest.mark.slow
def test_training_follows_the_changes_of_a_reader(page, lab):
    notebook = small_notebook()
    (parameters,) = tagged(notebook, 'parameters')
    parameters.source = FEW_EPOCHS
    training = number_of_cell(notebook, 'train_s2s_ch9(model, train_iter')
    del notebook.cells[training + 1 :]
    notebook.cells[training].source += (
        '\nprint(sum(parameter.data().size for parameter in model.collect_params().values()), '
        "'weights')"
    )
    open_notebook(page, lab, notebook, 'edited')
    run_cells(page, 'Run All Cells')
    first = results_on_page(page, training)
    assert first == expected_results(book.Seq2SeqEncoder, 8)

    settings = notebook.cells.index(parameters)
    edit_and_run(page, settings, {'num_layers, dropout = 4, 8,': 'num_layers, dropout = 4, 12,'})
    second = results_on_page(page, training)
    assert second == expected_results(book.Seq2SeqEncoder, 12)

    changes = {
        'X = self.embedding(X)': 'X = self.norm(self.embedding(X))',
        'dropout=dropout)': 'dropout=dropout)\n        self.norm = nn.LayerNorm()',
    }
    encoder = number_of_cell(notebook, 'class Seq2SeqEncoder')
    edit_and_run(page, encoder, changes)
    third = results_on_page(page, training)
    save_screenshots(page, cell_on_page(page, encoder), 'edited')
    assert third == expected_results(NormalizedEncoder, 12)
    assert len({tuple(results) for results in (first, second, third)}) == 3


@pytest.mark.slow
@pytest.mark.parametrize('source', notebooks.SOURCES, ids=lambda path: path.stem)
def test_saved_notebook_fits_the_page_and_is_not_marked_as_changed(source, page, lab):
    notebook = read_saved(source)
    # With another Python than that of the saved notebook, JupyterLab marks it as changed.
    notebook.metadata.language_info.version = platform.python_version()
    open_notebook(page, lab, notebook, source.stem)
    save_screenshots(page, cell_on_page(page, 0), source.stem)
    assert not page.evaluate(IS_CHANGED)
    # Code in the text and code that `show_code` displays is not broken within a line.
    assert page.evaluate(BROKEN_LINES, '.jp-RenderedHTMLCommon pre') == []
    assert page.evaluate(BROKEN_LINES, '.jp-RenderedText pre') == []
    wide = page.evaluate(
        """() => [...document.querySelectorAll('.jp-CodeCell .cm-scroller')]
            .filter(element => element.scrollWidth > element.clientWidth + 1)
            .map(element => element.textContent)"""
    )
    assert wide == [], 'the code of these cells is wider than the page'
