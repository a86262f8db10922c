"""Environments of their own for what can't be installed beside the project, made once in .peers."""

from __future__ import annotations

import configparser
import subprocess
import sys
from pathlib import Path

ROOT = Path(__file__).resolve().parents[1]
FOLDER = ROOT / '.peers'


def _of_the_project(extra: str) -> list[str]:
    """What setup.cfg requires, with an extra."""
    settings = configparser.RawConfigParser()
    settings.read(ROOT / 'setup.cfg', encoding='utf-8')
    lines = '\n'.join(
        [settings['options']['install_requires'], settings['options.extras_require'][extra]]
    )
    return [line for line in lines.splitlines() if line]


REQUIREMENTS = {
    # The edition's own package, which pins other versions than d2l 1.0.3 does.
    'd2l-0.14.0': ['d2l==0.14.0', 'mxnet==1.9.1', 'numpy==1.23.5', 'ipython<8.24', 'setuptools<80'],
    'torch-2.13.0': ['torch==2.13.0', 'numpy<3'],
    # What the OpenGenus article's code runs with.
    'tensorflow-2.13.1': ['tensorflow-cpu==2.13.1', 'tensorflow-addons==0.23.0', 'numpy<1.25'],
    # The GPU build with CUDA's libraries: some GB, which pip would keep a second time.
    'mxnet-cu112-1.9.1': ['--no-cache-dir', *_of_the_project('cu112')],
}


class NotAvailable(Exception):
    """The environment isn't there and can't be made here."""


def python_of(name: str) -> Path:
    """The interpreter of an environment, which is made when it isn't there.

    Raises
    ------
    NotAvailable
        If this Python can't have it, or the package registry can't be reached.
    """
    if name == 'd2l-0.14.0' and sys.version_info >= (3, 12):
        raise NotAvailable('d2l 0.14.0 needs NumPy 1.23.5, which Python 3.12 has not')
    version = '.'.join(map(str, sys.version_info[:2]))
    folder = FOLDER / f'{name}-py{version}'
    python = folder / 'bin' / 'python'
    complete, wanted = folder / 'complete', '\n'.join(REQUIREMENTS[name])
    if not complete.exists() or complete.read_text() != wanted:
        print(f'making {folder}', file=sys.stderr)
        if subprocess.run([sys.executable, '-m', 'venv', '--clear', folder]).returncode != 0:
            raise NotAvailable(f'{sys.executable} can not make environments')
        pip = [python, '-m', 'pip', '--disable-pip-version-check', 'install', '-qq']
        if subprocess.run([*pip, '--upgrade', 'pip']).returncode != 0:
            raise NotAvailable(f'{name} is not here, and the package registry can not be reached')
        if subprocess.run([*pip, *REQUIREMENTS[name]]).returncode != 0:
            raise NotAvailable(f'{name} can not be installed here')
        if name == 'mxnet-cu112-1.9.1' and sys.version_info >= (3, 13):  # as setup.cfg says
            subprocess.run([*pip, '--no-deps', 'mxnet-cu112==1.9.1'], check=True)
        complete.write_text(wanted)
    return python
