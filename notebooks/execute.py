"""Make each notebook from its .py twin and execute it: python notebooks/execute.py [NAME ...]

The twin is the source; the .ipynb is what a reader opens, with its outputs.  Nothing in it depends
on when it was made: no time stamps, cells numbered instead of drawn ids.  A notebook begins with a
cell that installs what is missing, the same one in all, and with a link to Colab where setup.cfg
says at which address the project is.  The figures of cells that have a tag such as
`picture-NAME` are written to pictures/NAME.svg too, for the README.
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
TWINS = sorted(path for path in FOLDER.glob('*.py') if path.name != Path(__file__).name)

SET_UP = '''\
# Installs what is missing; where everything is there, does nothing.
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
    if 'mxnet' in missing and sys.version_info >= (3, 13):  # which MXNet doesn't know
        subprocess.run([*pip_install, '--no-deps', 'mxnet==1.9.1'], check=True)'''
IN_A_CLONE = "f'..[{extras}]'"
ELSEWHERE = " if os.path.exists('../setup.cfg') else f'd2l-seq2seq[{{extras}}] @ git+{url}'"


def project_url() -> str:
    """Where the project is, as setup.cfg says; empty where it doesn't."""
    settings = configparser.ConfigParser()
    settings.read(FOLDER.parent / 'setup.cfg', encoding='utf-8')
    return settings.get('metadata', 'url', fallback='').rstrip('/')


def read_twin(path: Path, url: str | None = None) -> nbformat.NotebookNode:
    """The notebook that a .py twin stands for, without outputs, of the project at an address."""
    url = project_url() if url is None else url
    notebook = jupytext.read(path)
    title, project = notebook.cells[0], IN_A_CLONE
    if url:
        project += ELSEWHERE.format(url=url)
        place = url.split('://')[1].replace('github.com', 'github', 1)
        title.source += (
            f'\n\n[![Open in Colab](https://colab.research.google.com/assets/colab-badge.svg)]'
            f'(https://colab.research.google.com/{place}/blob/main/notebooks/{path.stem}.ipynb)')
    notebook.cells.insert(1, nbformat.v4.new_code_cell(SET_UP.format(project=project)))
    for number, cell in enumerate(notebook.cells):
        cell.id = f'cell-{number}'
    notebook.metadata.pop('jupytext', None)
    return notebook


def execute(notebook: nbformat.NotebookNode) -> None:
    """Run all cells in the notebook's folder and keep their outputs."""
    NotebookClient(notebook, timeout=1800, resources={'metadata': {'path': str(FOLDER)}},
                   record_timing=False, extra_arguments=['--log-level=ERROR']).execute()
    # Which version of Python ran it is the machine's business.
    notebook.metadata.pop('language_info', None)


def pictures(notebook: nbformat.NotebookNode) -> dict[str, str]:
    """The figures that are wanted as files, by their names."""
    found = {}
    for cell in notebook.cells:
        for tag in cell.metadata.get('tags', []):
            if tag.startswith('picture-'):
                found[f'{tag[len("picture-"):]}.svg'] = next(
                    output.data['image/svg+xml'] for output in reversed(cell.outputs)
                    if 'image/svg+xml' in output.get('data', {}))
    return found


def main() -> None:
    """Execute the notebooks named on the command line, or all."""
    for twin in [FOLDER / f'{name}.py' for name in sys.argv[1:]] or TWINS:
        print(f'executing {twin.name}', flush=True)
        notebook = read_twin(twin)
        execute(notebook)
        nbformat.write(notebook, twin.with_suffix('.ipynb'))
        for name, picture in pictures(notebook).items():
            PICTURES.mkdir(exist_ok=True)
            (PICTURES / name).write_text(picture, encoding='utf-8')


if __name__ == '__main__':
    main()
