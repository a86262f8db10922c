"""The package as a whole: what importing costs, what is public, whose signatures are the book's."""

import ast
import inspect
import re
import subprocess
import sys

import pytest

import d2l_seq2seq

from conftest import ROOT

PACKAGE = ROOT / 'd2l_seq2seq'
COMMANDS = ['average', 'doctor', 'evaluate', 'export', 'launch', 'reproduce', 'train', 'translate']
# The toolkit, none of which the book's own chapter needs.
TOOLKIT = ('config', 'fields', 'data', 'models', 'engine', 'runs', 'inference', 'training')


def imported_packages(path):
    """Return the names of the top-level packages that a file imports, wherever in the file."""
    for node in ast.walk(ast.parse(path.read_text(encoding='utf-8'))):
        if isinstance(node, ast.Import):
            yield from (alias.name.split('.')[0] for alias in node.names)
        elif isinstance(node, ast.ImportFrom) and node.level == 0:
            yield node.module.split('.')[0]


@pytest.mark.parametrize('package, owner', [('d2l', 'book/_d2l.py'), ('mxnet', '_mxnet.py')])
def test_one_file_imports(package, owner):
    """MXNet and d2l are prepared before their first use."""
    users = [
        path.relative_to(PACKAGE).as_posix()
        for path in PACKAGE.rglob('*.py')
        if package in imported_packages(path)
    ]
    assert users == [owner]


def test_the_readme_shows_the_tree_of_the_package():
    readme = (ROOT / 'README.md').read_text(encoding='utf-8')
    tree = readme.split('## Architecture')[1].split('```')[1]
    shown = {
        name.rstrip('/')
        for line in tree.splitlines()
        if line.startswith(('├──', '└──'))
        for name in re.findall(r'[\w.]+/|[\w]+\.py', line)
    }
    entries = {
        path.name
        for path in PACKAGE.iterdir()
        if path.suffix == '.py' or (path.is_dir() and path.name != '__pycache__')
    }
    assert shown == entries - {'__init__.py'}


def test_every_folder_of_tests_mirrors_one_of_the_package():
    folders = {path.name for path in (ROOT / 'tests').iterdir() if any(path.glob('test_*.py'))}
    assert folders <= {path.name for path in PACKAGE.iterdir() if path.is_dir()}


def test_no_drawers():
    names = {path.stem for path in PACKAGE.rglob('*.py')}
    assert not {'utils', 'helpers', 'constants', 'common', 'misc'} & names


@pytest.mark.parametrize('name', d2l_seq2seq.__all__)
def test_public_names_resolve_and_are_documented(name):
    assert getattr(d2l_seq2seq, name).__doc__
    assert name in dir(d2l_seq2seq)


def test_a_renamed_class_is_found_under_its_old_name():
    with pytest.warns(DeprecationWarning, match='Mixture is deprecated; use ScheduledSampling'):
        assert d2l_seq2seq.Mixture is d2l_seq2seq.ScheduledSampling


def test_unknown_name_is_an_attribute_error():
    with pytest.raises(AttributeError, match='no_such_name'):
        _ = d2l_seq2seq.no_such_name


def loaded_after(code):
    """Return the heavy packages that a fresh interpreter has loaded after some code."""
    heavy = {
        'mxnet',
        'd2l',
        'numpy',
        'matplotlib',
        'IPython',
        'pandas',
        'tqdm',
        'pooch',
        'sacrebleu',
        'sentencepiece',
        'tensorboardX',
    }
    report = f'{code}\nimport sys; print(*(set({heavy}) & set(sys.modules)))'
    result = subprocess.run(
        [sys.executable, '-c', report], capture_output=True, text=True, check=True
    )
    return set(result.stdout.splitlines()[-1].split())


def test_importing_the_package_loads_nothing_heavy():
    assert loaded_after('import d2l_seq2seq') == set()
    assert loaded_after('from d2l_seq2seq import Vocab, RunConfig, read_corpus') == set()


@pytest.mark.parametrize('command', COMMANDS)
def test_help_loads_nothing_heavy(command):
    code = (
        f'import d2l_seq2seq.{command} as command\n'
        "try:\n    command.main(['-h'])\nexcept SystemExit as stop:\n    assert stop.code == 0"
    )
    assert loaded_after(code) == set()


def test_translating_loads_neither_matplotlib_nor_d2l():
    loaded = loaded_after('from d2l_seq2seq import Translator, Seq2SeqEncoder, load_run')
    assert loaded & {'matplotlib', 'd2l', 'IPython', 'pandas'} == set()


def test_the_book_needs_nothing_of_the_toolkit():
    code = (
        'import sys, d2l_seq2seq.book as d2l\n'
        'd2l.train_s2s_ch9, d2l.load_data_nmt, d2l.Seq2SeqAttentionDecoder, d2l.Timer\n'
        'loaded = {name.split(".")[1] for name in sys.modules if name.startswith("d2l_seq2seq.")}\n'
        f'assert not loaded & {set(TOOLKIT)}, loaded'
    )
    subprocess.run([sys.executable, '-c', code], check=True)


def test_importing_the_book_loads_nothing_heavy():
    assert loaded_after('import d2l_seq2seq.book') == set()


def test_the_first_use_of_a_block_makes_mxnet_ready():
    code = (
        'from d2l_seq2seq import Seq2SeqEncoder\n'
        'from mxnet import npx\nassert npx.is_np_array() and npx.is_np_shape()'
    )
    assert 'mxnet' in loaded_after(code)


@pytest.mark.parametrize(
    'name, signature',
    [
        ('Seq2SeqEncoder', 'vocab_size, embed_size, num_hiddens, num_layers, dropout=0, **kwargs'),
        ('Seq2SeqDecoder', 'vocab_size, embed_size, num_hiddens, num_layers, dropout=0, **kwargs'),
        ('EncoderDecoder', 'encoder, decoder, **kwargs'),
        ('Vocab', 'tokens, min_freq=0, reserved_tokens=None'),
        (
            'Animator',
            "xlabel=None, ylabel=None, legend=None, xlim=None, ylim=None, xscale='linear', "
            "yscale='linear', fmts=('-', 'm--', 'g-.', 'r:'), nrows=1, ncols=1, "
            'figsize=(3.5, 2.5)',
        ),
        ('load_data_nmt', 'batch_size, num_steps, num_examples=1000'),
        ('preprocess_nmt', 'text'),
        ('build_array', 'lines, vocab, num_steps, is_source'),
        ('truncate_pad', 'line, num_steps, padding_token'),
        ('train_s2s_ch9', 'model, data_iter, lr, num_epochs, ctx'),
        ('predict_s2s_ch9', 'model, src_sentence, src_vocab, tgt_vocab, num_steps, ctx'),
        ('try_gpu', 'i=0'),
    ],
)
def test_signatures_are_the_books(name, signature):
    """Apart from parameters that we added, which must be passed by name."""
    parameters = inspect.signature(getattr(d2l_seq2seq, name)).parameters.values()
    plain = [
        parameter.replace(annotation=inspect.Parameter.empty)
        for parameter in parameters
        if parameter.kind is not inspect.Parameter.KEYWORD_ONLY
    ]
    assert ', '.join(map(str, plain)) == signature
