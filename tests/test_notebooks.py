"""The notebooks: twins agree, the saved run is complete, and each runs with small settings."""

import ast
import importlib.util
import inspect
import os
import re
import subprocess
import sys

import nbformat
import pytest

from conftest import ROOT

sys.path.insert(0, str(ROOT / 'notebooks'))
import execute as notebooks  # noqa: E402

TWINS = pytest.mark.parametrize('twin', notebooks.TWINS, ids=lambda path: path.stem)
NUM_BYTES = 3 << 20  # of all saved notebooks and pictures
IMPORT = r'^(?:from|import) [^(]*?(?:\([^)]*\)|$)'
CHAPTER = (
    'embed_size, num_hiddens, num_layers, dropout = 4, 8, 1, 0.0\n'
    'batch_size, num_steps = 256, 10\n'
    'lr, num_epochs, seed = 0.005, 20, 0\n'
)
SMALL = {
    'attention': CHAPTER,
    'beam_search': 'num_examples, num_steps, num_epochs = 500, 10, 1\n'
    'num_hiddens, batch_size, lr, seed = 8, 64, 0.003, 0\n'
    'beam_size, beam_sizes = 2, [1, 2]',
    'faster': 'batch_size, num_steps, lr, seed = 64, 10, 0.005, 0\n'
    'num_compared, num_rounds, num_epochs = 2, 1, 1',
    'machine_translation_data': 'num_examples, num_pairs_shown, seed = 1000, 7, 0',
    'opengenus_seq2seq': 'seed, article_hiddens, article_epochs = 0, 8, 1\n'
    'every_nth, num_steps, batch_size, lr = 200, 60, 64, 0.004\n'
    'embed_size, num_hiddens, num_epochs = 4, 8, 2',
    'seq2seq': CHAPTER + 'num_task_pairs, num_task_epochs, task_hiddens = 100, 2, 8',
}
# What is drawn; a figure that is updated in place counts once.
NUM_FIGURES = {
    'attention': 3,
    'beam_search': 1,
    'faster': 2,
    'machine_translation_data': 1,
    'opengenus_seq2seq': 3,
    'seq2seq': 5,
}


def saved(twin):
    return nbformat.read(twin.with_suffix('.ipynb'), as_version=4)


def outputs(notebook):
    return [output for cell in notebook.cells for output in cell.get('outputs', [])]


def figures(notebook):
    return [
        output.data['image/svg+xml']
        for output in outputs(notebook)
        if 'image/svg+xml' in output.get('data', {})
    ]


def printed(notebook):
    """What the cells of a notebook printed."""
    return ''.join(output.get('text', '') for output in outputs(notebook))


def results(notebook):
    """The values of cells, as text."""
    return [
        output.data['text/plain']
        for output in outputs(notebook)
        if output.output_type == 'execute_result'
    ]


def saved_as(name):
    return saved(ROOT / 'notebooks' / name)


@TWINS
def test_twins_have_the_same_cells(twin):
    def sources(notebook):
        return [
            (cell.cell_type, cell.source, cell.id, cell.metadata.get('tags', []))
            for cell in notebook.cells
        ]

    assert sources(saved(twin)) == sources(notebooks.read_twin(twin)), 'run: make notebooks'


@TWINS
def test_the_saved_notebook_was_executed_in_order_and_without_noise(twin):
    notebook = saved(twin)
    nbformat.validate(notebook)
    counts = [cell.execution_count for cell in notebook.cells if cell.cell_type == 'code']
    assert counts == list(range(1, len(counts) + 1))
    assert {output.output_type for output in outputs(notebook)} <= {
        'stream',
        'display_data',
        'execute_result',
    }
    assert {output.get('name', 'stdout') for output in outputs(notebook)} == {'stdout'}


@TWINS
def test_nothing_saved_depends_on_when_and_where_it_was_made(twin):
    text = twin.with_suffix('.ipynb').read_text(encoding='utf-8')
    assert str(ROOT) not in text and '<dc:date>' not in text
    assert all('execution' not in cell.metadata for cell in saved(twin).cells)


def test_all_that_is_saved_is_small():
    files = [*notebooks.FOLDER.glob('*.ipynb'), *notebooks.PICTURES.iterdir()]
    assert sum(path.stat().st_size for path in files) < NUM_BYTES
    assert {path.with_suffix('.py') for path in files if path.suffix == '.ipynb'} == set(
        notebooks.TWINS
    )


def test_the_pictures_are_those_of_the_notebooks():
    found = {
        name: picture
        for twin in notebooks.TWINS
        for name, picture in notebooks.pictures(saved(twin)).items()
    }
    assert found == {
        path.name: path.read_text(encoding='utf-8') for path in notebooks.PICTURES.iterdir()
    }, 'run: make notebooks'
    readme = (ROOT / 'README.md').read_text(encoding='utf-8')
    assert all(f'](notebooks/pictures/{name})' in readme for name in found)


@TWINS
def test_readme_links_it(twin):
    readme = (ROOT / 'README.md').read_text(encoding='utf-8')
    assert f'](notebooks/{twin.stem}.ipynb)' in readme


@TWINS
def test_a_notebook_defines_nothing(twin):
    tree = ast.parse(twin.read_text(encoding='utf-8'))
    kinds = ast.ClassDef, ast.FunctionDef, ast.AsyncFunctionDef
    assert not [node.name for node in ast.walk(tree) if isinstance(node, kinds)]


@TWINS
def test_it_runs_with_small_settings(twin, monkeypatch, tmp_path):
    # Where the real corpus isn't on disk, the kernel finds no network and an empty cache.
    for variable in ('http_proxy', 'HTTP_PROXY', 'all_proxy', 'ALL_PROXY'):
        monkeypatch.setenv(variable, 'http://127.0.0.1:9')
    monkeypatch.setenv('XDG_CACHE_HOME', str(tmp_path))
    monkeypatch.setenv('PYTHONPATH', os.pathsep.join([str(ROOT), os.environ.get('PYTHONPATH', '')]))
    notebook = notebooks.read_twin(twin)
    (parameters,) = [
        cell for cell in notebook.cells if 'parameters' in cell.metadata.get('tags', [])
    ]
    parameters.source = SMALL[twin.stem]
    notebooks.execute(notebook)
    assert len(figures(notebook)) == len(figures(saved(twin))) == NUM_FIGURES[twin.stem]


def set_up(notebook):
    """The first cell of code, ready to run."""
    source = next(cell.source for cell in notebook.cells if cell.cell_type == 'code')
    return compile(source, 'set up', 'exec')


@TWINS
def test_its_first_cell_installs_what_is_missing_and_only_that(twin, monkeypatch, tmp_path):
    called, present = [], {'d2l_seq2seq', 'mxnet', 'sacrebleu'}
    monkeypatch.setattr(subprocess, 'run', lambda command, check: called.append(command))
    monkeypatch.setattr(importlib.util, 'find_spec', lambda name: name if name in present else None)
    monkeypatch.setattr(sys, 'version_info', (3, 11, 7))
    monkeypatch.chdir(notebooks.FOLDER)
    published = notebooks.read_twin(twin, 'https://github.com/someone/project')

    def calls(notebook=notebooks.read_twin(twin)):
        called.clear()
        exec(set_up(notebook), {})
        assert all(
            command[:5] == [sys.executable, '-m', 'pip', 'install', '--quiet'] for command in called
        )
        return [command[5:] for command in called]

    assert calls() == []
    present.remove('sacrebleu')
    assert calls() == calls(published) == [['..[eval]']]  # whichever MXNet is there
    present.clear()
    assert calls() == calls(published) == [['..[cpu,eval]']]
    monkeypatch.chdir(tmp_path)
    assert calls(published) == [['d2l-seq2seq[cpu,eval] @ git+https://github.com/someone/project']]
    monkeypatch.setattr(sys, 'version_info', (3, 13, 0))
    assert calls(published)[1:] == [['--no-deps', 'mxnet==1.9.1']]


@TWINS
def test_there_is_a_badge_where_the_project_has_an_address(twin):
    link = f'/github/someone/project/blob/main/notebooks/{twin.stem}.ipynb)'
    assert link in notebooks.read_twin(twin, 'https://github.com/someone/project').cells[0].source
    assert 'Colab' not in notebooks.read_twin(twin, '').cells[0].source


@TWINS
def test_the_code_that_is_shown_is_the_packages(twin):
    shown = [
        output.data['text/markdown']
        for output in outputs(saved(twin))
        if 'text/markdown' in output.get('data', {})
    ]
    space = {}
    for cell in saved(twin).cells:
        for line in re.findall(IMPORT, cell.source, re.MULTILINE):
            exec(line, space)
    names = [
        name
        for cell in saved(twin).cells
        for names in re.findall(r'^show_code\(([^)]*)\)', cell.source, re.MULTILINE)
        for name in names.split(', ')
    ]
    assert len(shown) == len(names) > 0
    for text, name in zip(shown, names):
        source = re.escape(inspect.getsource(eval(name, space)))  # Python 3.8 omits decorators
        assert re.fullmatch(f'```python\n(@.*\n)*{source}```', text), 'run: make notebooks'


def test_the_data_are_the_books():
    notebook = saved_as('machine_translation_data')
    assert 'Go.\tVa !\nHi.\tSalut !\nRun!\tCours\u202f!' in printed(notebook)
    assert 'go .\tva !\nhi .\tsalut !\nrun !\tcours !' in printed(notebook)
    assert "([['go', '.'], ['hi', '.'], ['run', '!']]" in results(notebook)[0]
    assert {'9140', '[47, 4, 1, 1, 1, 1, 1, 1, 1, 1]'} <= set(results(notebook))
    assert '180 162 4 10\n4,437 labels' in printed(notebook)


def test_the_chapter_shows_what_the_book_printed():
    notebook = saved_as('seq2seq')
    assert results(notebook)[:3] == [
        '(7, 4, 16)',
        '(2, (2, 4, 16), (2, 4, 16))',
        '((4, 7, 10), 2, (2, 4, 16), (2, 4, 16))',
    ]
    assert '(180, 162)' in results(notebook)
    assert 'loss 0.02' in printed(notebook)
    assert 'Go . => va !' in printed(notebook) and 'Wow ! => <unk> !' in printed(notebook)


def test_the_exercises_are_answered():
    text = printed(saved_as('seq2seq'))
    (share,) = re.findall(r'exactly right: .* \((.*)%\)', text)
    assert float(share) > 99
    masked, unmasked = re.findall(r'mask.*: ([\d.]+) nats per label that it trained on', text)
    assert float(unmasked) < 0.7 * float(masked)


def test_beams_find_what_is_likelier():
    notebook = saved_as('beam_search')
    assert '0.048 0.054' in printed(notebook)
    more, less = re.findall(
        r'(\d+) (?:of \d+ translations are more likely|less)', printed(notebook)
    )
    assert int(more) > 10 * int(less)


def test_attention_shows_what_the_book_printed():
    notebook = saved_as('attention')
    text = ' '.join(results(notebook))
    assert '((4, 7, 10), 3, (4, 7, 16), 2, (2, 4, 16))' in text
    assert '[ 2.' in text and '[10.' in text
    assert 'loss 0.03' in printed(notebook)


def test_the_article_shows_what_it_printed():
    text = printed(saved_as('opengenus_seq2seq'))
    assert re.findall(r'epoch \d: loss (4\.60)', text) == ['4.60', '4.60']  # 4.6053 and 4.6031
    assert "['milk', 'drink', 'i']" in text
    scores = [
        [float(score) for score in re.findall(r"'[-\d]+': ([\d.]+)", line)]
        for line in text.splitlines()
        if line.startswith(('one vector {', 'attention {'))
    ]
    assert len(scores) == 2
    assert all(one < with_attention for one, with_attention in zip(*scores))


def test_fit_has_the_books_losses_in_less_time():
    text = printed(saved_as('faster'))
    losses = re.findall(r'epoch +\d+: ([\d.]+) ([\d.]+)', text)
    assert len(losses) == 10
    for book, own in losses:
        assert float(book) == pytest.approx(float(own), rel=1e-4)
    (times,) = re.findall(r'^([\d.]+) times', text, re.MULTILINE)
    assert float(times) > 2
