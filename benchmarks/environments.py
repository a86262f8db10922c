"""Environments for packages that cannot be installed with the project, created once in .peers."""

from __future__ import annotations

import configparser
import subprocess
import sys
from pathlib import Path

ROOT = Path(__file__).resolve().parents[1]
FOLDER = ROOT / '.peers'


def _project_requirements(extra: str) -> list[str]:
    """Return the requirements of the project and of one of its extras, from setup.cfg."""
    settings = configparser.RawConfigParser()
    settings.read(ROOT / 'setup.cfg', encoding='utf-8')
    extras = settings['options.extras_require']
    lines = '\n'.join([settings['options']['install_requires'], extras[extra]])
    lines = lines.replace('d2l-seq2seq[cuda11]', extras['cuda11'])
    return [line.strip() for line in lines.splitlines() if line]


# The arguments of pip install for each environment.
REQUIREMENTS = {
    # The package of the book's edition, which pins other versions than d2l 1.0.3.
    'd2l-0.14.0': ['d2l==0.14.0', 'mxnet==1.9.1', 'numpy==1.23.5', 'ipython<8.24', 'setuptools<80'],
    'torch-2.13.0': ['torch==2.13.0', 'numpy<3'],
    # The requirements of the OpenGenus article's code.
    'tensorflow-2.13.1': ['tensorflow-cpu==2.13.1', 'tensorflow-addons==0.23.0', 'numpy<1.25'],
    # The GPU build with CUDA's libraries: several GB, of which pip would keep a copy in its cache.
    'mxnet-cu112-1.9.1': ['--no-cache-dir', *_project_requirements('cu112')],
}


class NotAvailable(Exception):
    """An environment that does not exist and cannot be created here."""


def python_of(name: str) -> Path:
    """Return the interpreter of an environment, which is created if it does not exist.

    Parameters
    ----------
    name : str
        A key of `REQUIREMENTS`.

    Raises
    ------
    NotAvailable
        If the packages do not exist for this version of Python, or the package registry cannot be
        reached.
    """
    if name == 'd2l-0.14.0' and sys.version_info >= (3, 12):
        raise NotAvailable('d2l 0.14.0 requires NumPy 1.23.5, which Python 3.12 cannot install')
    version = '.'.join(map(str, sys.version_info[:2]))
    folder = FOLDER / f'{name}-py{version}'
    python = folder / 'bin' / 'python'
    marker, requirements = folder / 'complete', '\n'.join(REQUIREMENTS[name])
    if not marker.exists() or marker.read_text() != requirements:
        print(f'creating {folder}', file=sys.stderr)
        if subprocess.run([sys.executable, '-m', 'venv', '--clear', folder]).returncode != 0:
            raise NotAvailable(f'{sys.executable} cannot create environments')
        pip = [python, '-m', 'pip', '--disable-pip-version-check', 'install', '-qq']
        if subprocess.run([*pip, '--upgrade', 'pip']).returncode != 0:
            raise NotAvailable(
                f'{name} is not installed, and the package registry cannot be reached'
            )
        if subprocess.run([*pip, *REQUIREMENTS[name]]).returncode != 0:
            raise NotAvailable(f'{name} cannot be installed here')
        if name == 'mxnet-cu112-1.9.1' and sys.version_info >= (3, 13):  # see setup.cfg
            subprocess.run([*pip, '--no-deps', 'mxnet-cu112==1.9.1'], check=True)
        marker.write_text(requirements)
    return python
