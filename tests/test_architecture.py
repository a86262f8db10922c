"""The house rules: who imports whom, what importing costs, what is public."""

import ast
import inspect
import re
import subprocess
import sys

import pytest

import d2l_seq2seq

from conftest import ROOT

PACKAGE = ROOT / 'd2l_seq2seq'
# From the top; imports go to lower rows only.  README shows the same table.
ROWS = [
    {'train', 'translate', 'evaluate', 'reproduce', 'average', 'export', 'launch', 'doctor'},
    {'command_line'},
    {'__init__'},
    {'diagnosis'},
    {'session'},
    {'recorder', 'resume'},
    {'reference', 'hooks', 'evaluation', 'interchange'},
    {'translation', 'surroundings', 'speed'},
    {'run_folder'},
    {'checkpoint', 'training', 'inference'},
    {'wiring'},
    {'step', 'compiled', 'tally'},
    {'feed', 'graph', 'optimizer'},
    {'encoders', 'decoders', 'next_input', 'opengenus', 'references'},
    {'model', 'data', 'decoding', 'beam'},
    {'corpus', 'recurrent', 'subwords', 'constraints', 'step_function', 'rows', 'showing'},
    {
        'config',
        'vocab',
        'loss',
        'device',
        'plotting',
        'flat',
        'attention',
        'synthetic',
        'operators',
        'words',
        'split',
        'metrics',
        'distributed',
        'schedule',
        'interruption',
        'tensorboard',
        'diagrams',
        'profiling',
        'parameter_server',
        'precision',
    },
    {'_mxnet'},
    {'durable', 'manifest', 'arrays', 'fields', 'layout', 'fallback', 'findings', 'supervision'},
    {'errors', 'runtime', 'cuda', 'wheels', 'forwarding', 'guardian', 'version'},
]
MODULES = sorted(path.stem for path in PACKAGE.glob('*.py'))


def imports_of(module):
    """(package, module) of each import in a file, wherever in the file it stands."""
    for node in ast.walk(ast.parse((PACKAGE / f'{module}.py').read_text(encoding='utf-8'))):
        if isinstance(node, ast.Import):
            yield from ((alias.name.split('.')[0], None) for alias in node.names)
        elif isinstance(node, ast.ImportFrom) and node.level == 0:
            yield node.module.split('.')[0], None
        elif isinstance(node, ast.ImportFrom):
            names = [node.module] if node.module else [alias.name for alias in node.names]
            yield from (('d2l_seq2seq', name) for name in names)


def row_of(module):
    return next(number for number, row in enumerate(ROWS) if module in row)


def test_every_file_has_a_place():
    assert set(MODULES) == set().union(*ROWS)


@pytest.mark.parametrize('module', MODULES)
def test_imports_go_to_lower_rows(module):
    upward = [
        name
        for package, name in imports_of(module)
        if package == 'd2l_seq2seq' and row_of(name) <= row_of(module)
    ]
    assert upward == []


@pytest.mark.parametrize('package, owner', [('d2l', 'reference'), ('mxnet', '_mxnet')])
def test_one_file_owns(package, owner):
    users = {module for module in MODULES if package in {name for name, _ in imports_of(module)}}
    assert users == {owner}


def test_readme_shows_the_same_table():
    table = (ROOT / 'README.md').read_text(encoding='utf-8').split('## The house')[1]
    rows = [
        set(re.findall(r'`(\w+)`', line.split('|')[2]))
        for line in table.splitlines()
        if line.startswith('| ')
    ][1:]
    assert rows == ROWS


@pytest.mark.parametrize('name', d2l_seq2seq.__all__)
def test_public_names_resolve_and_are_documented(name):
    assert getattr(d2l_seq2seq, name).__doc__
    assert name in dir(d2l_seq2seq)


def test_unknown_name_is_an_attribute_error():
    with pytest.raises(AttributeError, match='no_such_name'):
        d2l_seq2seq.no_such_name


def loaded_after(code):
    """The heavy packages among those that a fresh interpreter has loaded after some code."""
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


@pytest.mark.parametrize('command', sorted(ROWS[0]))
def test_help_loads_nothing_heavy(command):
    code = (
        f'import d2l_seq2seq.{command} as command\n'
        "try:\n    command.main(['-h'])\nexcept SystemExit as stop:\n    assert stop.code == 0"
    )
    assert loaded_after(code) == set()


def test_the_first_use_of_a_block_makes_mxnet_ready():
    code = (
        'from d2l_seq2seq import Seq2SeqEncoder\n'
        'from mxnet import npx\nassert npx.is_np_array() and npx.is_np_shape()'
    )
    assert 'mxnet' in loaded_after(code)


def test_no_drawers():
    assert not {'utils', 'helpers', 'constants', 'common', 'misc'} & set(MODULES)


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
    """Apart from what we added, which has to be given by name."""
    parameters = inspect.signature(getattr(d2l_seq2seq, name)).parameters.values()
    plain = [
        parameter.replace(annotation=inspect.Parameter.empty)
        for parameter in parameters
        if parameter.kind is not inspect.Parameter.KEYWORD_ONLY
    ]
    assert ', '.join(map(str, plain)) == signature
