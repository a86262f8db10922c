"""The chapter's notebook as a reader meets it: JupyterLab, a real browser, "Run All Cells".

It owns what only a browser can tell: that the loss is one picture, redrawn in place while the model
trains, and that the page has no noise.  What the cells compute is `test_notebooks.py`'s business.

Chromium is the system's; nothing is downloaded, and nobody's Jupyter settings are read or written.
With BROWSER_SCREENSHOTS=FOLDER the page is photographed for people to look at.
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
NUM_EPOCHS = 100  # ten pictures
SETTINGS = {  # those of JupyterLab that differ from its defaults
    # All cells are in the page, not only those in view.
    'notebook-extension/tracker': {'windowingMode': 'none'},
    # No question whether to fetch news, and no fetching.
    'apputils-extension/notification': {'fetchNews': 'false', 'checkForUpdates': False},
}

FIGURES = '.jp-OutputArea-output :is(img, svg)'  # svg elsewhere is JupyterLab's icons
# Notes a cell's figures whenever something in it changes: their contents, and the outputs they are.
WATCH = """(cell, FIGURES) => {
    window.sightings = [];
    window.places = new Set();
    const look = () => {
        const figures = [...cell.querySelectorAll(FIGURES)];
        sightings.push(figures.map(figure => figure.src || figure.outerHTML));
        figures.forEach(figure => places.add(figure.closest('.jp-OutputArea-output')));
    };
    new MutationObserver(look).observe(
        cell, {subtree: true, childList: true, attributes: true, characterData: true});
}"""
# JupyterLab shows an exception as standard error, too.
NOISE = ', '.join(
    f'[data-mime-type="application/vnd.jupyter.{kind}"]' for kind in ('error', 'stderr')
)
# The page's own indicator says idle before it has a kernel, and what is run then is not run.
KERNEL_IS_IDLE = """async () => {
    const kernels = await (await fetch('/api/kernels')).json();
    return kernels.some(one => one.connections > 0 && one.execution_state === 'idle');
}"""
IS_RUNNING = """() => [...document.querySelectorAll('.jp-CodeCell .jp-InputPrompt')].some(
    prompt => /[*\\d]/.test(prompt.textContent))"""
# A cell that has run has its number, as in "[7]:"; after an exception the others never get one.
HAS_STOPPED = """([NOISE, EXPECTED]) => {
    const prompts = [...document.querySelectorAll('.jp-CodeCell .jp-InputPrompt')];
    return [...document.querySelectorAll(NOISE)].some(one => !one.textContent.includes(EXPECTED))
        || prompts.every(prompt => /\\d/.test(prompt.textContent));
}"""
NO_CORPUS = 'taking the bundled corpus instead'  # what a reader without the book's is told


def small_notebook():
    """The notebook without outputs, with small settings but enough epochs to watch."""
    notebook = notebooks.read_twin(ROOT / 'notebooks' / 'seq2seq.py')
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
    """Jupyter at home in an empty folder, with our settings, the package and no network."""
    environment = {
        name: value for name, value in os.environ.items() if not name.startswith('JUPYTER')
    }
    for name, settings in SETTINGS.items():
        path = home / 'settings' / '@jupyterlab' / f'{name}.jupyterlab-settings'
        path.parent.mkdir(parents=True)
        path.write_text(json.dumps(settings), encoding='utf-8')
    nowhere = dict.fromkeys(
        ['http_proxy', 'HTTP_PROXY', 'all_proxy', 'ALL_PROXY'], 'http://127.0.0.1:9'
    )
    return {
        **environment,
        **nowhere,
        'HOME': str(home),
        'XDG_CACHE_HOME': str(home / 'cache'),
        # The fonts are known already; finding them anew may print a warning into a cell.
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
    """Whether the server that listens there is up, and the one with this token."""
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
        time.sleep(0.2)  # between two questions


@pytest.fixture
def lab(tmp_path):
    """JupyterLab over an empty folder: the folder, and the address of a file in it by name."""
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
        server.terminate()  # it takes its kernels along
        try:
            server.wait(STOP_SECONDS)
        except subprocess.TimeoutExpired:
            server.kill()  # kernels notice that their parent is gone
            server.wait()


@pytest.fixture
def page():
    """An empty page of a browser without a window."""
    names = ('chromium', 'chromium-browser', 'google-chrome')
    chromium = next(filter(None, map(shutil.which, names)), None)
    if chromium is None:
        pytest.skip('no browser here: apt-get install chromium')
    with sync_playwright() as playwright:
        # Chromium refuses to build its sandbox for root.
        browser = playwright.chromium.launch(
            executable_path=chromium, chromium_sandbox=os.geteuid() != 0
        )
        try:
            yield browser.new_page(viewport={'width': 1200, 'height': 900})
        finally:
            browser.close()


def run_all_cells(page):
    """As a person does: wait for the kernel, go through the menu, wait for the end or an error."""
    page.wait_for_function(KERNEL_IS_IDLE, timeout=1000 * START_SECONDS)
    for last_try in (False, False, True):
        page.get_by_role('menuitem', name='Run', exact=True).click()
        page.get_by_role('menuitem', name='Run All Cells', exact=True).click()
        try:
            page.wait_for_function(IS_RUNNING, timeout=1000 * START_SECONDS / 2)
            break
        except PageTimeout:  # the page has not seen yet what its server says
            if last_try:
                raise
    page.wait_for_function(HAS_STOPPED, arg=[NOISE, NO_CORPUS], timeout=1000 * RUN_SECONDS)


def save_screenshots(page, cell):
    """The training cell and the whole notebook, where BROWSER_SCREENSHOTS names a folder."""
    if 'BROWSER_SCREENSHOTS' in os.environ:
        folder = Path(os.environ['BROWSER_SCREENSHOTS'])
        cells = page.locator('.jp-Notebook .jp-WindowedPanel-viewport')
        # What the window cuts off, a screenshot doesn't have.
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
    cell.evaluate(WATCH, FIGURES)
    try:
        run_all_cells(page)
    finally:
        save_screenshots(page, cell)

    noise = page.locator(NOISE).all_text_contents()
    assert [text for text in noise if NO_CORPUS not in text] == []
    lines = '\n'.join(page.locator('.jp-OutputArea-output').all_text_contents()).splitlines()
    assert not [line for line in lines if 'Traceback' in line or 'Warning' in line]
    for sentence in SENTENCES:
        assert len([line for line in lines if line.startswith(f'{sentence} => ')]) == 1

    sightings = page.evaluate('sightings')
    assert {len(figures) for figures in sightings} == {0, 1}, 'there never is a second figure'
    assert page.evaluate('places.size') == 1, 'the figure stays where it is'
    pictures = {figure for figures in sightings for figure in figures}
    assert len(pictures) > 1, 'the figure changes while the model trains'
    assert cell.locator(FIGURES).bounding_box()['width'] > 100
