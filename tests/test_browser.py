"""The notebooks as a reader uses them: JupyterLab in a real browser.

These tests check what only a browser shows: a notebook is not marked as changed when it is opened,
the loss is a single figure, which is redrawn in place while the model trains, the page has no
warnings or errors, and training follows the changes that a reader makes in the cells.  The results
of the cells are checked in `test_notebooks.py`.

The tests use the Chromium of the system and download nothing.  They neither read nor write the
user's Jupyter settings.  BROWSER_SCREENSHOTS=FOLDER saves screenshots of the pages in that folder.
"""

import json
import os
import platform
import re
import secrets
import shutil
import socket
import subprocess
import sys
import time
from http.client import HTTPConnection, HTTPException
from pathlib import Path

import matplotlib
import nbformat
import numpy as onp
import pytest
from nbformat.sign import NotebookNotary
from playwright.sync_api import TimeoutError as PageTimeout
from playwright.sync_api import sync_playwright
from test_notebooks import SMALL, notebooks, read_saved, tagged

from d2l_seq2seq import book
from d2l_seq2seq._mxnet import mx
from d2l_seq2seq.book.seq2seq import SENTENCES

from conftest import ROOT

START_SECONDS, RUN_SECONDS, STOP_SECONDS = 60, 150, 20
NUM_EPOCHS = 100  # the figure is drawn ten times
SETTINGS = {  # of JupyterLab, where they differ from its defaults
    # The page contains all cells, not only those in view.
    'notebook-extension/tracker': {'windowingMode': 'none'},
    # JupyterLab fetches no news, and does not ask whether to do so.
    'apputils-extension/notification': {'fetchNews': 'false', 'checkForUpdates': False},
}

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
# JupyterLab also shows exceptions as standard error.
ERROR_OUTPUTS = ', '.join(
    f'[data-mime-type="application/vnd.jupyter.{kind}"]' for kind in ('error', 'stderr')
)
# The indicator of the page already shows idle before there is a kernel, when cells do not run yet.
KERNEL_IS_IDLE = """async () => {
    const kernels = await (await fetch('/api/kernels')).json();
    return kernels.some(kernel => kernel.connections > 0 && kernel.execution_state === 'idle');
}"""
HAS_CELLS = 'number => document.querySelectorAll(".jp-Notebook .jp-Cell").length === number'
# A cell that has run has a number, as in "[7]:".  While it runs, it has a star instead.
# JupyterLab does not update the number of the first cell, whose code is hidden.
NUMBERS = """[...document.querySelectorAll('.jp-CodeCell .jp-InputPrompt')].map(
    prompt => Number((prompt.textContent.match(/\\d+/) || [0])[0])).slice(1)"""
IS_RUNNING = f"""LAST => {NUMBERS}.some(number => number > LAST) || [
    ...document.querySelectorAll('.jp-CodeCell .jp-InputPrompt')].some(
    prompt => prompt.textContent.includes('*'))"""
# After an exception, the remaining cells get no number.
HAS_STOPPED = f"""([ERROR_OUTPUTS, EXPECTED, LAST]) => {{
    const errors = [...document.querySelectorAll(ERROR_OUTPUTS)];
    return errors.some(error => !error.textContent.includes(EXPECTED))
        || {NUMBERS}.every(number => number > LAST);
}}"""
NO_CORPUS = 'using the bundled corpus instead'  # a warning if the book's corpus is not available


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
    return page.locator('.jp-Notebook .jp-Cell').nth(number)


def server_environment(home):
    """Return variables for Jupyter: an empty home, `SETTINGS`, the package, and no network."""
    environment = {
        name: value for name, value in os.environ.items() if not name.startswith('JUPYTER')
    }
    for name, settings in SETTINGS.items():
        path = home / 'settings' / '@jupyterlab' / f'{name}.jupyterlab-settings'
        path.parent.mkdir(parents=True)
        path.write_text(json.dumps(settings), encoding='utf-8')
    no_network = dict.fromkeys(
        ['http_proxy', 'HTTP_PROXY', 'all_proxy', 'ALL_PROXY'], 'http://127.0.0.1:9'
    )
    return {
        **environment,
        **no_network,
        'HOME': str(home),
        'XDG_CACHE_HOME': str(home / 'cache'),
        # This folder has the list of fonts.  Searching them again may print a warning into a cell.
        'MPLCONFIGDIR': matplotlib.get_cachedir(),
        'JUPYTER_CONFIG_DIR': str(home / 'config'),
        'JUPYTER_DATA_DIR': str(home / 'data'),
        'JUPYTER_RUNTIME_DIR': str(home / 'runtime'),
        'JUPYTERLAB_SETTINGS_DIR': str(home / 'settings'),
        'JUPYTERLAB_WORKSPACES_DIR': str(home / 'workspaces'),
        'PYTHONPATH': os.pathsep.join([str(ROOT), os.environ.get('PYTHONPATH', '')]),
    }


def free_port():
    with socket.socket() as probe:
        probe.bind(('127.0.0.1', 0))
        return probe.getsockname()[1]


def answers(port, token):
    """Return whether the server with this token answers on this port."""
    connection = HTTPConnection('127.0.0.1', port, timeout=5)
    try:
        connection.request('GET', f'/api/status?token={token}')
        return connection.getresponse().status == 200
    except (OSError, HTTPException):
        return False
    finally:
        connection.close()


def wait_until_up(server, port, token, log):
    deadline = time.monotonic() + START_SECONDS
    while not answers(port, token):
        if server.poll() is not None or time.monotonic() > deadline:
            pytest.fail(f'JupyterLab did not start:\n{log.read_text(encoding="utf-8")}')
        time.sleep(0.2)  # between two requests


@pytest.fixture
def lab(tmp_path):
    """JupyterLab on an empty folder: yields the folder, and the URL of a file as a template."""
    folder, home, log = tmp_path / 'notebooks', tmp_path / 'home', tmp_path / 'server.log'
    folder.mkdir()
    port, token = free_port(), secrets.token_hex()
    command = [
        sys.executable,
        '-m',
        'jupyterlab',
        '--no-browser',
        '--allow-root',
        '--ServerApp.ip=127.0.0.1',
        f'--ServerApp.port={port}',
        '--ServerApp.port_retries=0',
        f'--IdentityProvider.token={token}',
        f'--ServerApp.root_dir={folder}',
        '--ServerApp.terminals_enabled=False',
        '--LabApp.check_for_updates_class=jupyterlab.NeverCheckForUpdate',
    ]
    with log.open('w') as output:
        server = subprocess.Popen(
            command,
            env=server_environment(home),
            cwd=folder,
            stdin=subprocess.DEVNULL,
            stdout=output,
            stderr=output,
        )
    try:
        wait_until_up(server, port, token, log)
        yield folder, f'http://127.0.0.1:{port}/lab/tree/{{}}?token={token}'
    finally:
        server.terminate()  # it also ends its kernels
        try:
            server.wait(STOP_SECONDS)
        except subprocess.TimeoutExpired:
            server.kill()  # the kernels end when they find that their parent has ended
            server.wait()


@pytest.fixture
def page():
    """An empty page of a headless browser."""
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
            yield browser.new_page(viewport={'width': 1200, 'height': 900})
        finally:
            browser.close()


def run_all_cells(page):
    """Click on "Run All Cells", and wait for the end or an error."""
    last_number = max(page.evaluate(NUMBERS))
    for last_try in (False, False, True):
        try:
            page.get_by_role('menuitem', name='Run', exact=True).click()
            page.get_by_role('menuitem', name='Run All Cells', exact=True).click(timeout=5000)
            page.wait_for_function(IS_RUNNING, arg=last_number, timeout=1000 * START_SECONDS / 2)
            break
        except PageTimeout:  # the page did not know yet that the kernel is idle
            if last_try:
                raise
    page.wait_for_function(
        HAS_STOPPED, arg=[ERROR_OUTPUTS, NO_CORPUS, last_number], timeout=1000 * RUN_SECONDS
    )


def save_screenshots(page, cell, name):
    """Save images of a cell and of the notebook, if BROWSER_SCREENSHOTS is set."""
    if 'BROWSER_SCREENSHOTS' in os.environ:
        folder = Path(os.environ['BROWSER_SCREENSHOTS'])
        cells = page.locator('.jp-Notebook .jp-WindowedPanel-viewport')
        # A screenshot contains only what fits into the window.
        page.set_viewport_size({'width': 1200, 'height': int(cells.bounding_box()['height']) + 200})
        cell.screenshot(path=folder / f'{name}_cell.png')
        cells.screenshot(path=folder / f'{name}.png')


def open_notebook(page, lab, notebook, name='notebook'):
    """Write a notebook to JupyterLab's folder, trust it, open it, and wait for the kernel."""
    folder, address = lab
    path = folder / f'{name}.ipynb'
    NotebookNotary(data_dir=str(folder.parent / 'home' / 'data')).sign(notebook)
    nbformat.write(notebook, path)
    page.goto(address.format(path.name))
    page.wait_for_function(HAS_CELLS, arg=len(notebook.cells), timeout=1000 * START_SECONDS)
    page.wait_for_function(KERNEL_IS_IDLE, timeout=1000 * START_SECONDS)


def assert_no_errors(page):
    errors = page.locator(ERROR_OUTPUTS).all_text_contents()
    assert [text for text in errors if NO_CORPUS not in text] == []


@pytest.mark.slow
def test_run_all_cells_in_a_browser(page, lab):
    notebook = small_notebook()
    open_notebook(page, lab, notebook)
    cell = cell_on_page(page, number_of_cell(notebook, 'train_s2s_ch9(model, train_iter'))
    cell.evaluate(RECORD_FIGURES, FIGURES)
    try:
        run_all_cells(page)
    finally:
        save_screenshots(page, cell, 'run_all')

    assert_no_errors(page)
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


def edit_cell(page, number, old, new):
    """Replace code in a cell, with the keyboard."""
    editor = cell_on_page(page, number).locator('.cm-content')
    code = '\n'.join(editor.locator('.cm-line').all_text_contents())
    assert old in code
    editor.click()
    page.keyboard.press('Control+A')
    page.keyboard.insert_text(code.replace(old, new))
    page.keyboard.press('Escape')


def results_on_page(page, number):
    """Return the last line that training prints, without the speed, and the number of weights."""
    lines = ''.join(cell_on_page(page, number).locator('pre').all_text_contents()).splitlines()
    return [re.sub(', .* tokens/sec', '', line) for line in lines if line]


def expected_results(encoder_class, num_hiddens):
    """Train the model of the small settings with the package, and return what the cell prints."""
    settings = {}
    exec(SMALL['02_seq2seq'], settings)
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
    parameters.source = SMALL['02_seq2seq']
    training = number_of_cell(notebook, 'train_s2s_ch9(model, train_iter')
    del notebook.cells[training + 1 :]  # the reader runs what is above
    notebook.cells[training].source += (
        '\nprint(sum(parameter.data().size for parameter in model.collect_params().values()), '
        "'weights')"
    )
    open_notebook(page, lab, notebook)
    run_all_cells(page)
    assert_no_errors(page)
    assert results_on_page(page, training) == expected_results(book.Seq2SeqEncoder, 8)

    edit_cell(page, notebook.cells.index(parameters), 'num_layers, dropout = 4, 8,',
              'num_layers, dropout = 4, 12,')  # fmt: skip
    run_all_cells(page)
    assert results_on_page(page, training) == expected_results(book.Seq2SeqEncoder, 12)

    encoder = number_of_cell(notebook, 'class Seq2SeqEncoder')
    edit_cell(page, encoder, 'X = self.embedding(X)', 'X = self.norm(self.embedding(X))')
    edit_cell(
        page, encoder, 'dropout=dropout)', 'dropout=dropout)\n        self.norm = nn.LayerNorm()'
    )
    run_all_cells(page)
    assert results_on_page(page, training) == expected_results(NormalizedEncoder, 12)
    assert_no_errors(page)
    save_screenshots(page, cell_on_page(page, encoder), 'edited')


@pytest.mark.slow
@pytest.mark.parametrize('source', notebooks.SOURCES, ids=lambda path: path.stem)
def test_saved_notebook_fits_the_page_and_is_not_marked_as_changed(source, page, lab):
    notebook = read_saved(source)
    # With another Python than that of the saved notebook, JupyterLab marks it as changed.
    notebook.metadata.language_info.version = platform.python_version()
    open_notebook(page, lab, notebook, source.stem)
    save_screenshots(page, cell_on_page(page, 0), source.stem)
    assert page.locator('.jp-mod-dirty').count() == 0
    # Code that `show_code` displays can be scrolled, and is not broken within a line.
    for block in page.locator('.jp-RenderedHTMLCommon > pre').all():
        assert block.evaluate('block => getComputedStyle(block).whiteSpace') == 'pre'
    wide = page.evaluate(
        """() => [...document.querySelectorAll('.jp-CodeCell .cm-scroller')]
            .filter(element => element.scrollWidth > element.clientWidth + 1)
            .map(element => element.textContent)"""
    )
    assert wide == [], 'the code of these cells is wider than the page'
