"""Make the notebooks from their sources, and execute them: python notebooks/execute.py [NAME ...]

NAME.py is the source of a notebook and the file to edit.  NAME.ipynb is made from it and contains
the outputs.  Nothing in it depends on the time of the execution: there are no time stamps, and the
ids of the cells are numbers and not random.

In each notebook, a cell that installs missing packages is inserted after the title.  If setup.cfg
gives the project's URL, a link to Colab is added to the title.  The figure of a cell with a tag
``picture-NAME`` is also written to pictures/NAME.svg, for the README.
"""

from __future__ import annotations

import configparser
import sys
from pathlib import Path

import jupytext
import nbformat
from nbclient import NotebookClient

FOLDER = Path(__file__).resolve().parent
PICTURES = FOLDER / 'pictures'
PICTURE_TAG = 'picture-'
SOURCES = sorted(path for path in FOLDER.glob('*.py') if path.name != Path(__file__).name)

SET_UP = """\
# Install the packages that are missing.
import importlib.util
import os
import subprocess
import sys

names = ['d2l_seq2seq', 'mxnet', 'sacrebleu']
missing = [name for name in names if importlib.util.find_spec(name) is None]
if missing:
    extras = 'cpu,eval' if 'mxnet' in missing else 'eval'
    project = {project}
    pip_install = [sys.executable, '-m', 'pip', 'install', '--quiet']
    subprocess.run([*pip_install, project], check=True)
    if 'mxnet' in missing and sys.version_info >= (3, 13):  # its metadata require NumPy < 2
        subprocess.run([*pip_install, '--no-deps', 'mxnet==1.9.1'], check=True)"""
# Expressions for the project to install: in a clone, and by its URL otherwise.
IN_A_CLONE = "f'..[{extras}]'"
ELSEWHERE = " if os.path.exists('../setup.cfg') else f'd2l-seq2seq[{{extras}}] @ git+{url}'"


def main() -> None:
    """Make and execute the notebooks named on the command line, or all."""
    for source in [FOLDER / f'{name}.py' for name in sys.argv[1:]] or SOURCES:
        print(f'executing {source.name}', flush=True)
        notebook = read_source(source)
        execute(notebook)
        nbformat.write(notebook, source.with_suffix('.ipynb'))
        for name, picture in collect_pictures(notebook).items():
            PICTURES.mkdir(exist_ok=True)
            (PICTURES / name).write_text(picture, encoding='utf-8')


def read_source(path: Path, url: str | None = None) -> nbformat.NotebookNode:
    """Return the notebook of a source, without outputs.

    Parameters
    ----------
    path : Path
        The .py file.
    url : str, optional
        The URL of the project, or an empty string if it has none; by default as in setup.cfg.
    """
    url = project_url() if url is None else url
    notebook = jupytext.read(path)
    title, project = notebook.cells[0], IN_A_CLONE
    if url:
        project += ELSEWHERE.format(url=url)
        repository = url.split('://')[1].replace('github.com', 'github', 1)
        title.source += (
            f'\n\n[![Open in Colab](https://colab.research.google.com/assets/colab-badge.svg)]'
            f'(https://colab.research.google.com/{repository}/blob/main/notebooks/'
            f'{path.stem}.ipynb)'
        )
    notebook.cells.insert(1, nbformat.v4.new_code_cell(SET_UP.format(project=project)))
    for number, cell in enumerate(notebook.cells):
        cell.id = f'cell-{number}'
    notebook.metadata.pop('jupytext', None)
    return notebook


def project_url() -> str:
    """Return the URL of the project from setup.cfg, or an empty string if it gives none."""
    settings = configparser.ConfigParser()
    settings.read(FOLDER.parent / 'setup.cfg', encoding='utf-8')
    return settings.get('metadata', 'url', fallback='').rstrip('/')


def execute(notebook: nbformat.NotebookNode) -> None:
    """Run all cells in the notebook's folder, and keep their outputs."""
    client = NotebookClient(
        notebook,
        timeout=1800,
        resources={'metadata': {'path': str(FOLDER)}},
        record_timing=False,
        extra_arguments=['--log-level=ERROR'],
    )
    client.execute()
    notebook.metadata.pop('language_info', None)  # it contains the version of Python


def collect_pictures(notebook: nbformat.NotebookNode) -> dict[str, str]:
    """Return the figures that are also saved as files, as SVG by file name."""
    pictures = {}
    for cell in notebook.cells:
        for tag in cell.metadata.get('tags', []):
            if tag.startswith(PICTURE_TAG):
                pictures[f'{tag[len(PICTURE_TAG) :]}.svg'] = next(
                    output.data['image/svg+xml']
                    for output in reversed(cell.outputs)
                    if 'image/svg+xml' in output.get('data', {})
                )
    return pictures


if __name__ == '__main__':
    main()
