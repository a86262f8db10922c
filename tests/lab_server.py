"""A JupyterLab server for the tests, which reads and writes nothing of the user's settings."""

import contextlib
import json
import os
import secrets
import socket
import subprocess
import sys
import time
from http.client import HTTPConnection, HTTPException

import matplotlib
import pytest

from conftest import ROOT

# Limits for a machine that is busy with other tests, not expected times.
START_SECONDS, STOP_SECONDS = 120, 20
SETTINGS = {  # of JupyterLab, where they differ from its defaults
    # The page contains all cells, not only those in view.
    'notebook-extension/tracker': {'windowingMode': 'none'},
    # JupyterLab fetches no news, and does not ask whether to do so.
    'apputils-extension/notification': {'fetchNews': 'false', 'checkForUpdates': False},
}


@contextlib.contextmanager
def run_server(place):
    """Run JupyterLab in a folder; yield the folder of its files, and a template of their URLs.

    In the page, `jupyterapp` is the application, so that a script can wait for what it does.
    """
    folder, home, log = place / 'notebooks', place / 'home', place / 'server.log'
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
        '--LabApp.expose_app_in_browser=True',
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
        # Without reset, JupyterLab would also open the files of the test before.
        yield folder, f'http://127.0.0.1:{port}/lab/tree/{{}}?reset&token={token}'
    finally:
        server.terminate()  # it also ends its kernels
        try:
            server.wait(STOP_SECONDS)
        except subprocess.TimeoutExpired:
            server.kill()  # the kernels end when they find that their parent has ended
            server.wait()


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
        'OMP_NUM_THREADS': '1',  # as in this process, so that the losses are the same
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
