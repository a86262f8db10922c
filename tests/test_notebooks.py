"""The notebooks: twins agree, the saved run is complete, and each runs with small settings."""
import ast
import inspect
import os
import re
import sys

import nbformat
import pytest

import d2l_seq2seq
from conftest import ROOT
from d2l_seq2seq import attention, reference

sys.path.insert(0, str(ROOT / 'notebooks'))
import execute as notebooks  # noqa: E402

TWINS = pytest.mark.parametrize('twin', notebooks.TWINS, ids=lambda path: path.stem)
SIZES = ('embed_size, num_hiddens, num_layers, dropout = 4, 8, 1, 0.0\n'
         'batch_size, num_steps = 256, 10\n'
         'lr, num_epochs, seed = 0.005, 20, 0\n')
SMALL = {'seq2seq': SIZES + 'num_task_pairs, num_task_epochs, task_hiddens = 100, 2, 8',
         'attention': SIZES}
# The loss, updated in place, and what else is drawn.
NUM_FIGURES = {'seq2seq': 2, 'attention': 2}


def saved(twin):
    return nbformat.read(twin.with_suffix('.ipynb'), as_version=4)


def outputs(notebook):
    return [output for cell in notebook.cells for output in cell.get('outputs', [])]


def text_of(*cells):
    """What cells printed."""
    return ''.join(output.get('text', '') for cell in cells for output in cell.get('outputs', []))


@TWINS
def test_twins_have_the_same_cells(twin):
    def sources(notebook):
        return [(cell.cell_type, cell.source, cell.id, cell.metadata.get('tags', []))
                for cell in notebook.cells]

    assert sources(saved(twin)) == sources(notebooks.read_twin(twin)), 'run: make notebooks'


@TWINS
def test_the_saved_notebook_was_executed_in_order_and_without_error(twin):
    notebook = saved(twin)
    nbformat.validate(notebook)
    counts = [cell.execution_count for cell in notebook.cells if cell.cell_type == 'code']
    assert counts == list(range(1, len(counts) + 1))
    assert {output.output_type for output in outputs(notebook)} <= {
        'stream', 'display_data', 'execute_result'}
    assert all('execution' not in cell.metadata for cell in notebook.cells)
    assert str(ROOT) not in twin.with_suffix('.ipynb').read_text(encoding='utf-8')


@TWINS
def test_a_notebook_defines_no_model(twin):
    tree = ast.parse(twin.read_text(encoding='utf-8'))
    assert not [node.name for node in ast.walk(tree) if isinstance(node, ast.ClassDef)]


@TWINS
def test_it_runs_with_small_settings(twin, monkeypatch, tmp_path):
    # Where the real corpus isn't on disk, the kernel finds no network and an empty cache.
    for variable in ('http_proxy', 'HTTP_PROXY', 'all_proxy', 'ALL_PROXY'):
        monkeypatch.setenv(variable, 'http://127.0.0.1:9')
    monkeypatch.setenv('XDG_CACHE_HOME', str(tmp_path))
    monkeypatch.setenv('PYTHONPATH', os.pathsep.join([str(ROOT), os.environ.get('PYTHONPATH', '')]))
    notebook = notebooks.read_twin(twin)
    parameters, = [cell for cell in notebook.cells
                   if 'parameters' in cell.metadata.get('tags', [])]
    parameters.source = SMALL[twin.stem]
    notebooks.execute(notebook)
    figures = [output for output in outputs(notebook) if 'image/svg+xml' in output.get('data', {})]
    assert len(figures) == NUM_FIGURES[twin.stem]
    assert text_of(*notebook.cells).count(' => ') >= 4


def test_the_chapter_shows_what_the_book_printed():
    results = [output.data['text/plain'] for output in outputs(saved(ROOT / 'notebooks/seq2seq'))
               if output.output_type == 'execute_result']
    assert results[:3] == ['(7, 4, 16)', '(2, (2, 4, 16), (2, 4, 16))',
                           '((4, 7, 10), 2, (2, 4, 16), (2, 4, 16))']
    assert '(180, 162)' in results
    printed = text_of(*saved(ROOT / 'notebooks/seq2seq').cells)
    assert 'loss 0.02' in printed and 'Go . => va !' in printed and 'Wow ! => <unk> !' in printed


def test_attention_shows_what_the_book_printed():
    notebook = saved(ROOT / 'notebooks/attention')
    results = ' '.join(output.data['text/plain'] for output in outputs(notebook)
                       if output.output_type == 'execute_result')
    assert '((4, 7, 10), 3, (4, 7, 16), 2, (2, 4, 16))' in results
    assert '[ 2.' in results and '[10.' in results
    assert 'loss 0.03' in text_of(*notebook.cells)


def test_the_exercises_are_answered():
    printed = text_of(*saved(ROOT / 'notebooks/seq2seq').cells)
    share, = re.findall(r'exactly right: .* \((.*)%\)', printed)
    assert float(share) > 99
    masked, unmasked = re.findall(r'mask.*: ([\d.]+) nats per label that it trained on', printed)
    assert float(unmasked) < 0.7 * float(masked)


@TWINS
def test_the_code_that_is_shown_is_the_packages(twin):
    shown = 0
    for cell in saved(twin).cells:
        for name in re.findall(r'^show_code\((\w+)\)', cell.source, re.MULTILINE):
            definition = next(getattr(home, name) for home in (d2l_seq2seq, reference, attention)
                              if hasattr(home, name))
            assert inspect.getsource(definition) in text_of(cell), 'run: make notebooks'
            shown += 1
    assert shown > 0
