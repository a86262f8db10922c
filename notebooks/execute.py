"""Make each notebook from its .py twin and execute it: python notebooks/execute.py [NAME ...]

The twin is the source; the .ipynb is what a reader opens, with its outputs.  Nothing in it depends
on when it was made: no time stamps, cells numbered instead of drawn ids.
"""
import sys
from pathlib import Path

import jupytext
import nbformat
from nbclient import NotebookClient

FOLDER = Path(__file__).resolve().parent
TWINS = sorted(path for path in FOLDER.glob('*.py') if path.name != Path(__file__).name)


def read_twin(path: Path) -> nbformat.NotebookNode:
    """The notebook that a .py twin stands for, without outputs."""
    notebook = jupytext.read(path)
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


def main() -> None:
    """Execute the notebooks named on the command line, or all."""
    for twin in [FOLDER / f'{name}.py' for name in sys.argv[1:]] or TWINS:
        print(f'executing {twin.name}', flush=True)
        notebook = read_twin(twin)
        execute(notebook)
        nbformat.write(notebook, twin.with_suffix('.ipynb'))


if __name__ == '__main__':
    main()
