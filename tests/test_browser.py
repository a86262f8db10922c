"""The chapter's notebook as a reader runs it: "Run All Cells" in JupyterLab, in a real browser.

This test checks what only a browser shows: the loss is a single figure, which is redrawn in place
while the model trains, and the page has no warnings or errors.  The results of the cells are
checked in `test_notebooks.py`.

The test uses the Chromium of the system and downloads nothing.  It neither reads nor writes the
user's Jupyter settings.  BROWSER_SCREENSHOTS=FOLDER saves screenshots of the page in that folder.
"""

import json
import os
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
import pytest
from playwright.sync_api import TimeoutError as PageTimeout
from playwright.sync_api import sync_playwright
from test_notebooks import SMALL, notebooks

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
IS_RUNNING = """() => [...document.querySelectorAll('.jp-CodeCell .jp-InputPrompt')].some(
    prompt => /[*\\d]/.test(prompt.textContent))"""
# A cell that has run has a number, as in "[7]:".  After an exception, the remaining cells get none.
HAS_STOPPED = """([ERROR_OUTPUTS, EXPECTED]) => {
    const prompts = [...document.querySelectorAll('.jp-CodeCell .jp-InputPrompt')];
    const errors = [...document.querySelectorAll(ERROR_OUTPUTS)];
    return errors.some(error => !error.textContent.includes(EXPECTED))
        || prompts.every(prompt => /\\d/.test(prompt.textContent));
}"""
NO_CORPUS = 'using the bundled corpus instead'  # a warning if the book's corpus is not available


def small_notebook():
    """Return the notebook without outputs, with a small model but several updates of the figure."""
    notebook = notebooks.read_source(ROOT / 'notebooks' / 'seq2seq.py')
    (parameters,) = [
        cell for cell in notebook.cells if 'parameters' in cell.metadata.get('tags', [])
    ]
    parameters.source = f'{SMALL["seq2seq"]}\nnum_epochs = {NUM_EPOCHS}'
    return notebook


def training_cell(page, notebook):
    (number,) = [
        number
        for number, cell in enumerate(notebook.cells)
        if cell.cell_type == 'code' and 'train_s2s_ch9(' in cell.source
    ]
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
    """Wait for the kernel, click on "Run All Cells", and wait for the end or an error."""
    page.wait_for_function(KERNEL_IS_IDLE, timeout=1000 * START_SECONDS)
    for last_try in (False, False, True):
        page.get_by_role('menuitem', name='Run', exact=True).click()
        page.get_by_role('menuitem', name='Run All Cells', exact=True).click()
        try:
            page.wait_for_function(IS_RUNNING, timeout=1000 * START_SECONDS / 2)
            break
        except PageTimeout:  # the page did not know yet that the kernel is idle
            if last_try:
                raise
    page.wait_for_function(HAS_STOPPED, arg=[ERROR_OUTPUTS, NO_CORPUS], timeout=1000 * RUN_SECONDS)


def save_screenshots(page, cell):
    """Save images of the training cell and of the notebook, if BROWSER_SCREENSHOTS is set."""
    if 'BROWSER_SCREENSHOTS' in os.environ:
        folder = Path(os.environ['BROWSER_SCREENSHOTS'])
        cells = page.locator('.jp-Notebook .jp-WindowedPanel-viewport')
        # A screenshot contains only what fits into the window.
        page.set_viewport_size({'width': 1200, 'height': int(cells.bounding_box()['height']) + 200})
        cell.screenshot(path=folder / 'training.png')
        cells.screenshot(path=folder / 'notebook.png')


@pytest.mark.slow
def test_run_all_cells_in_a_browser(page, lab):
    folder, address = lab
    notebook = small_notebook()
    nbformat.write(notebook, folder / 'seq2seq.ipynb')
    page.goto(address.format('seq2seq.ipynb'))
    cell = training_cell(page, notebook)
    cell.evaluate(RECORD_FIGURES, FIGURES)
    try:
        run_all_cells(page)
    finally:
        save_screenshots(page, cell)

    errors = page.locator(ERROR_OUTPUTS).all_text_contents()
    assert [text for text in errors if NO_CORPUS not in text] == []
    lines = '\n'.join(page.locator('.jp-OutputArea-output').all_text_contents()).splitlines()
    assert not [line for line in lines if 'Traceback' in line or 'Warning' in line]
    for sentence in SENTENCES:
        assert len([line for line in lines if line.startswith(f'{sentence} => ')]) == 1

    records = page.evaluate('records')
    assert {len(figures) for figures in records} == {0, 1}, 'there is never a second figure'
    assert page.evaluate('outputElements.size') == 1, 'the figure stays in one place'
    versions = {figure for figures in records for figure in figures}
    assert len(versions) > 1, 'the figure changes while the model trains'
    assert cell.locator(FIGURES).bounding_box()['width'] > 100
