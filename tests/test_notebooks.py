"""The notebooks: sources and saved notebooks agree, and each runs with small settings."""

import ast
import importlib
import importlib.util
import inspect
import os
import re
import subprocess
import sys

import nbformat
import pytest

import d2l_seq2seq
from d2l_seq2seq import book
from d2l_seq2seq.plotting import without_docstrings

from conftest import ROOT

sys.path.insert(0, str(ROOT / 'notebooks' / 'sources'))
import execute as notebooks  # noqa: E402

each_source = pytest.mark.parametrize('source', notebooks.SOURCES, ids=lambda path: path.stem)
MAX_BYTES = 3 << 20  # of all saved notebooks and pictures
IMPORT = r'^(?:from|import) [^(]*?(?:\([^)]*\)|$)'
CHAPTER = (
    'embed_size, num_hiddens, num_layers, dropout = 4, 8, 1, 0.0\n'
    'batch_size, num_steps = 256, 10\n'
    'lr, num_epochs, seed = 0.005, 20, 0\n'
)
# Small settings: the contents of the cell tagged `parameters`.
SMALL = {
    '01_machine_translation_data': 'num_examples, seed = 1000, 0',
    '02_seq2seq': CHAPTER,
    '02b_seq2seq_exercises': 'embed_size, num_hiddens, num_layers, dropout = 4, 8, 1, 0.0\n'
    'batch_size, num_steps, lr, num_epochs, seed = 64, 10, 0.005, 2, 0\n'
    'num_seeds, num_context_epochs = 2, 2\n'
    'num_pairs, task_hiddens = 100, 8\n'
    'num_number_epochs, num_sound_epochs, num_reply_epochs = 2, 2, 2\n'
    'num_per_length, num_length_epochs = 5, 2\n'
    'num_letters, num_copies, num_copy_epochs = 5, 100, 2',
    '03_attention': CHAPTER.replace('0.005, 20', '0.005, 100'),  # a tenth is plotted as well
    '04_transformer': 'num_hiddens, num_layers, dropout = 8, 1, 0.0\n'
    'ffn_num_hiddens, num_heads = 8, 2\n'
    'batch_size, num_steps = 256, 10\n'
    'lr, num_epochs, seed = 0.005, 10, 0',
    '05_opengenus_seq2seq': 'seed, embed_size, article_hiddens, num_epochs = 0, 10, 8, 1\n'
    'max_words, real_embed_size, real_hiddens, real_epochs = 8, 4, 8, 1\n'
    'batch_size, lr = 256, 0.004',
    '05b_opengenus_claims': 'seeds, every_nth, longest, min_freq = [0, 1], 200, 14, 2\n'
    'embed_size, num_hiddens, num_epochs = 4, 8, 1\n'
    'batch_size, lr = 64, 0.004\n'
    'num_copies, num_letters, num_copy_epochs = 100, 5, 1\n'
    'max_words, num_food_epochs = 8, 1',
    '06_faster': 'batch_size, num_steps, lr, seed = 64, 10, 0.005, 0\n'
    'num_compared, num_rounds, num_epochs = 2, 1, 1',
    '07_beam_search': 'num_examples, num_steps, num_epochs = 500, 10, 1\n'
    'num_hiddens, batch_size, lr, seed = 8, 64, 0.003, 0\n'
    'beam_size, beam_sizes = 2, [1, 2]',
}
# The public names that the notebooks define, by the module of the package.
SECTIONS = {
    '01_machine_translation_data': ['machine_translation'],
    '02_seq2seq': ['encoder_decoder', 'seq2seq'],
    '03_attention': ['attention', 'seq2seq_attention'],
    '04_transformer': ['transformer'],
}
FROM_OTHER_SECTIONS = {'load_array'}  # section 3.3


def read_saved(source):
    """Return the saved notebook of a source, with its outputs."""
    return nbformat.read(notebooks.saved_path(source), as_version=4)


def read_saved_by_name(name):
    return read_saved(notebooks.SOURCE_FOLDER / f'{name}.py')


def tagged(notebook, tag):
    return [cell for cell in notebook.cells if tag in cell.metadata.get('tags', [])]


def outputs(notebook):
    return [output for cell in notebook.cells for output in cell.get('outputs', [])]


def figures(notebook):
    return [
        output.data['image/svg+xml']
        for output in outputs(notebook)
        if 'image/svg+xml' in output.get('data', {})
    ]


def printed(notebook):
    """Return the text that all cells of a notebook printed."""
    return ''.join(output.get('text', '') for output in outputs(notebook))


def results(notebook):
    """Return the values of cells, as text."""
    return [
        output.data['text/plain']
        for output in outputs(notebook)
        if output.output_type == 'execute_result'
    ]


@each_source
def test_source_and_saved_notebook_have_the_same_cells(source):
    def cells(notebook):
        return [
            (cell.cell_type, cell.source, cell.id, cell.metadata.get('tags', []))
            for cell in notebook.cells
        ]

    assert cells(read_saved(source)) == cells(notebooks.read_source(source)), 'run: make notebooks'


@each_source
def test_saved_notebook_was_executed_in_order_and_without_warnings(source):
    notebook = read_saved(source)
    nbformat.validate(notebook)
    counts = [cell.execution_count for cell in notebook.cells if cell.cell_type == 'code']
    assert counts == list(range(1, len(counts) + 1))
    assert {output.output_type for output in outputs(notebook)} <= {
        'stream',
        'display_data',
        'execute_result',
    }
    assert {output.get('name', 'stdout') for output in outputs(notebook)} == {'stdout'}


@each_source
def test_saved_notebook_does_not_depend_on_time_and_place(source):
    text = notebooks.saved_path(source).read_text(encoding='utf-8')
    assert str(ROOT) not in text and '<dc:date>' not in text
    notebook = read_saved(source)
    assert all('execution' not in cell.metadata for cell in notebook.cells)
    # Otherwise JupyterLab asks for a kernel, or marks the notebook as changed.
    assert notebook.metadata.kernelspec == notebooks.KERNEL
    assert {'name', 'version'} <= set(notebook.metadata.language_info)


def test_saved_notebooks_and_pictures_are_small():
    files = [*notebooks.FOLDER.glob('*.ipynb'), *notebooks.PICTURES.iterdir()]
    assert sum(path.stat().st_size for path in files) < MAX_BYTES
    assert {path for path in files if path.suffix == '.ipynb'} == set(
        map(notebooks.saved_path, notebooks.SOURCES)
    )
    # JupyterLab lists the notebooks and two folders.
    others = {path.name for path in notebooks.FOLDER.iterdir()} - {path.name for path in files}
    assert others - {'.ipynb_checkpoints', 'runs'} == {'pictures', 'sources'}


def test_pictures_are_those_of_the_notebooks():
    pictures = {
        name: picture
        for source in notebooks.SOURCES
        for name, picture in notebooks.collect_pictures(read_saved(source)).items()
    }
    assert pictures == {
        path.name: path.read_text(encoding='utf-8') for path in notebooks.PICTURES.iterdir()
    }, 'run: make notebooks'
    pages = [ROOT / 'README.md', *(ROOT / 'docs').glob('*.md')]
    shown = ''.join(page.read_text(encoding='utf-8') for page in pages)
    assert all(f'notebooks/pictures/{name})' in shown for name in pictures)


@each_source
def test_readme_links_to_it(source):
    readme = (ROOT / 'README.md').read_text(encoding='utf-8')
    assert f'](notebooks/{source.stem}.ipynb)' in readme


@each_source
def test_only_generated_cells_define_names_of_the_package(source):
    reserved = {*d2l_seq2seq.__all__, *book.__all__}
    for cell in notebooks.read_source(source).cells:
        if cell.cell_type == 'code' and notebooks.DEFINITION_TAG not in cell.metadata.get(
            'tags', []
        ):
            assert not reserved & set(definitions(cell.source)), cell.source


def definitions(code):
    """Return the names of the functions and classes that a cell defines."""
    return [
        node.name
        for node in ast.parse(code).body
        if isinstance(node, (ast.ClassDef, ast.FunctionDef))
    ]


@pytest.mark.parametrize('name', SECTIONS)
def test_notebook_defines_what_its_sections_define(name):
    notebook = notebooks.read_source(notebooks.SOURCE_FOLDER / f'{name}.py')
    defined = [
        definition
        for cell in tagged(notebook, notebooks.DEFINITION_TAG)
        for definition in definitions(cell.source)
    ]
    expected = {
        public
        for module in SECTIONS[name]
        for public in book.__all__
        if getattr(getattr(book, public), '__module__', '') == f'd2l_seq2seq.book.{module}'
    }
    assert set(defined) == expected - FROM_OTHER_SECTIONS and len(set(defined)) == len(defined)


@each_source
def test_it_runs_with_small_settings(source, monkeypatch, tmp_path):
    # Unless the book's corpus is on the disk, the kernel finds no network and an empty cache.
    for variable in ('http_proxy', 'HTTP_PROXY', 'all_proxy', 'ALL_PROXY'):
        monkeypatch.setenv(variable, 'http://127.0.0.1:9')
    monkeypatch.setenv('XDG_CACHE_HOME', str(tmp_path))
    monkeypatch.setenv('PYTHONPATH', os.pathsep.join([str(ROOT), os.environ.get('PYTHONPATH', '')]))
    notebook = notebooks.read_source(source)
    (parameters,) = tagged(notebook, 'parameters')
    parameters.source = SMALL[source.stem]
    notebooks.execute(notebook)
    assert len(figures(notebook)) == len(figures(read_saved(source))) > 0


def compile_set_up(notebook):
    """Return the first code cell, compiled."""
    code = next(cell.source for cell in notebook.cells if cell.cell_type == 'code')
    return compile(code, 'set up', 'exec')


@each_source
def test_first_cell_installs_only_missing_packages(source, monkeypatch, tmp_path):
    commands, present = [], {'d2l_seq2seq', 'mxnet', 'sacrebleu'}
    local = notebooks.read_source(source)
    published = notebooks.read_source(source, 'https://github.com/someone/project')
    monkeypatch.setattr(subprocess, 'run', lambda command, check: commands.append(command))
    monkeypatch.setattr(importlib.util, 'find_spec', lambda name: name if name in present else None)
    monkeypatch.setattr(sys, 'version_info', (3, 11, 7))
    monkeypatch.chdir(notebooks.FOLDER)

    def pip_arguments(notebook=local):
        commands.clear()
        exec(compile_set_up(notebook), {})
        assert all(
            command[:5] == [sys.executable, '-m', 'pip', 'install', '--quiet']
            for command in commands
        )
        return [command[5:] for command in commands]

    assert pip_arguments() == []
    present.remove('sacrebleu')
    # The build of MXNet that is installed remains.
    assert pip_arguments() == pip_arguments(published) == [['..[eval]']]
    present.clear()
    assert pip_arguments() == pip_arguments(published) == [['..[cpu,eval]']]
    monkeypatch.chdir(tmp_path)
    assert pip_arguments(published) == [
        ['d2l-seq2seq[cpu,eval] @ git+https://github.com/someone/project']
    ]
    monkeypatch.setattr(sys, 'version_info', (3, 13, 0))
    assert pip_arguments(published)[1:] == [['--no-deps', 'mxnet==1.9.1']]


@each_source
def test_title_has_a_badge_if_the_project_has_a_url(source):
    link = f'/github/someone/project/blob/main/notebooks/{source.stem}.ipynb)'
    title = notebooks.read_source(source, 'https://github.com/someone/project').cells[0].source
    assert link in title
    assert 'Colab' not in notebooks.read_source(source, '').cells[0].source


@each_source
def test_code_that_is_shown_is_that_of_the_package(source):
    notebook, namespace = read_saved(source), {}
    shown = [
        output.data['text/plain']
        for output in outputs(notebook)
        if output.get('data', {}).get('text/html', '').startswith('<pre style=')
    ]
    for cell in notebook.cells:
        for line in re.findall(IMPORT, cell.source, re.MULTILINE):
            if 'plotting' not in line and 'd2l_seq2seq' in line:
                exec(line, namespace)
    names = [
        name
        for cell in notebook.cells
        for arguments in re.findall(r'^show_code\(([^)]*)\)', cell.source, re.MULTILINE)
        for name in arguments.split(', ')
    ]
    assert len(shown) == len(names)
    assert not set(names) & set(book.__all__), 'the reader gets the code of the book as cells'
    for text, name in zip(shown, names):
        code = re.escape(without_docstrings(inspect.getsource(eval(name, namespace))))
        # Python 3.8 omits decorators.
        assert re.fullmatch(f'(@.*\n)*{code}', text), 'run: make notebooks'


def test_section_9_5_shows_the_figures_of_the_book():
    notebook = read_saved_by_name('01_machine_translation_data')
    assert 'Go.\tVa !\nHi.\tSalut !\nRun!\tCours\u202f!' in printed(notebook)
    assert 'go .\tva !\nhi .\tsalut !\nrun !\tcours !' in printed(notebook)
    assert "([['go', '.'], ['hi', '.'], ['run', '!']]" in results(notebook)[0]
    assert {'9140', '[47, 4, 1, 1, 1, 1, 1, 1, 1, 1]'} <= set(results(notebook))
    assert 'vocabularies: 180 and 162 entries\nlongest source: 4 tokens' in printed(notebook)
    assert 'labels to predict in each epoch: 4,437' in printed(notebook)


def test_section_9_7_shows_the_figures_of_the_book():
    notebook = read_saved_by_name('02_seq2seq')
    assert results(notebook)[:4] == [
        '(7, 4, 16)',
        '(2, (2, 4, 16), (2, 4, 16))',
        '(1, (2, 4, 16))',  # of a GRU, in the book's text
        '((4, 7, 10), 2, (2, 4, 16), (2, 4, 16))',
    ]
    assert '(180, 162)' in results(notebook)
    assert 'loss 0.02' in printed(notebook)
    assert 'Go . => va !' in printed(notebook) and 'Wow ! => <unk> !' in printed(notebook)


def test_exercises_of_section_9_7_are_answered():
    text = printed(read_saved_by_name('02b_seq2seq_exercises'))
    accuracies = re.findall(r'exactly right: .* \((.*)%\)', text)
    assert accuracies and min(map(float, accuracies)) > 90
    masked, unmasked = re.findall(r'mask.*: ([\d.]+) nats per label that it trained on', text)
    assert float(unmasked) < 0.7 * float(masked)


def test_beam_search_finds_more_likely_translations():
    notebook = read_saved_by_name('07_beam_search')
    assert '0.048 0.054' in printed(notebook)
    num_more, num_less = re.findall(
        r'(\d+) (?:of \d+ translations are more likely|less)', printed(notebook)
    )
    assert int(num_more) > 10 * int(num_less)


def test_section_10_2_shows_the_figures_of_the_book():
    notebook = read_saved_by_name('03_attention')
    text = ' '.join(results(notebook))
    assert '((4, 7, 10), 3, (4, 7, 16), 2, (2, 4, 16))' in text
    assert '[ 2.' in text and '[10.' in text
    assert 'loss 0.03' in printed(notebook)


def test_opengenus_notebook_shows_the_figures_of_the_article():
    notebook = read_saved_by_name('05_opengenus_seq2seq')
    losses = [float(loss) for loss in re.findall(r'epoch \d: loss ([\d.]+)', printed(notebook))]
    assert losses == pytest.approx([4.6053, 4.6031] * 2, abs=0.002)  # with LSTMs and with GRUs
    assert "['milk', 'drink', 'i']" in results(notebook)
    assert 'I drink milk. => je bois du lait' in printed(notebook)


def test_attention_is_better_and_looks_at_the_translated_word():
    notebook = read_saved_by_name('05b_opengenus_claims')
    scores = {
        name: [
            float(score)
            for score in re.findall(rf'{name}, \d+ sentences .*: ([\d.]+)', printed(notebook))
        ]
        for name in ('one vector', 'attention')
    }
    assert len(scores['one vector']) == 3
    assert all(
        one_vector < attention
        for one_vector, attention in zip(scores['one vector'], scores['attention'])
    )
    (table,) = (
        result for result in results(notebook) if result.split()[:3] == ['milk', 'drink', 'i']
    )
    (weight,) = re.findall(r'^lait +([\d.]+)', table, re.MULTILINE)
    assert float(weight) > 0.9


def test_fit_has_the_losses_of_the_book_in_less_time():
    text = printed(read_saved_by_name('06_faster'))
    losses = re.findall(r'epoch +\d+: ([\d.]+) ([\d.]+)', text)
    assert len(losses) == 10
    for book_loss, fit_loss in losses:
        assert float(book_loss) == pytest.approx(float(fit_loss), rel=1e-4)
    (speedup,) = re.findall(r'^([\d.]+) times', text, re.MULTILINE)
    assert float(speedup) > 2
