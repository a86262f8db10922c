"""Make the notebooks from their sources and execute them.

    python notebooks/sources/execute.py [NAME ...]
    python notebooks/sources/execute.py --pictures

sources/NAME.py is the source of a notebook and the file to edit.  NAME.ipynb is made from it and
contains the outputs.  Nothing in it depends on the time of the execution: there are no time stamps,
and the ids of the cells are numbers and not random.

In each notebook, a cell that installs missing packages is inserted after the title.  If setup.cfg
gives the project's URL, a link to Colab is added to the title.  Cells with the tag ``definition``
are filled in by `definitions.define`.  The figure of a cell with a tag ``picture-NAME`` is also
written to pictures/NAME.svg, for the README and the documentation.  ``--pictures`` makes these
files again and leaves the notebooks as they are.
"""

from __future__ import annotations

import configparser
import sys
from pathlib import Path

import jupytext
import nbformat
from definitions import define
from nbclient import NotebookClient

SOURCE_FOLDER = Path(__file__).resolve().parent
FOLDER = SOURCE_FOLDER.parent
PICTURES = FOLDER / 'pictures'
DEFINITION_TAG, PICTURE_TAG = 'definition', 'picture-'
SOURCES = sorted(SOURCE_FOLDER.glob('[0-9]*.py'))
# With other metadata than these and those of the executing kernel, JupyterLab marks a notebook as
# changed when it opens it.
KERNEL = {'display_name': 'Python 3 (ipykernel)', 'language': 'python', 'name': 'python3'}

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
    """Make and execute the notebooks named on the command line, or all; or make the pictures."""
    only_pictures = sys.argv[1:] == ['--pictures']
    names = [] if only_pictures else sys.argv[1:]
    for source in [SOURCE_FOLDER / f'{name}.py' for name in names] or SOURCES:
        notebook = read_source(source)
        if only_pictures and not picture_names(notebook):
            continue
        print(f'executing {source.name}', flush=True)
        execute(notebook)
        if not only_pictures:
            nbformat.write(notebook, saved_path(source))
        for name, picture in collect_pictures(notebook).items():
            PICTURES.mkdir(exist_ok=True)
            (PICTURES / name).write_text(picture, encoding='utf-8')


def saved_path(source: Path) -> Path:
    """Return the path of the notebook of a source."""
    return FOLDER / f'{source.stem}.ipynb'


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
    set_up = nbformat.v4.new_code_cell(SET_UP.format(project=project))
    set_up.metadata['jupyter'] = {'source_hidden': True}  # JupyterLab shows it after a click
    notebook.cells.insert(1, set_up)
    defined: set[str] = set()
    for number, cell in enumerate(notebook.cells):
        cell.id = f'cell-{number}'
        if DEFINITION_TAG in cell.metadata.get('tags', []):
            cell.source = define(cell.source, defined)
    notebook.metadata.pop('jupytext', None)
    notebook.metadata['kernelspec'] = KERNEL
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


def picture_names(notebook: nbformat.NotebookNode) -> set[str]:
    """Return the names of the files of a notebook's pictures."""
    tags = {tag for cell in notebook.cells for tag in cell.metadata.get('tags', [])}
    return {f'{tag[len(PICTURE_TAG) :]}.svg' for tag in tags if tag.startswith(PICTURE_TAG)}


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
