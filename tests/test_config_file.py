"""The option --config of train: a file of settings in JSON, TOML or YAML."""

import importlib
import json
import sys

import pytest

from d2l_seq2seq import DataConfig, InputError, ModelConfig, RunConfig, TrainingConfig, train
from d2l_seq2seq.config_file import read_settings

CLASSES = DataConfig, ModelConfig, TrainingConfig
TOML = 'tomllib' if sys.version_info >= (3, 11) else 'tomli'
LIBRARIES = {'.json': 'json', '.toml': TOML, '.yaml': 'yaml'}
SMALL = {'num_epochs': 1, 'num_examples': 20, 'num_hiddens': 4, 'embed_size': 4, 'min_freq': 1}


@pytest.fixture
def write(tmp_path):
    def write_file(text, suffix='.json'):
        pytest.importorskip(LIBRARIES.get(suffix, 'json'))
        path = tmp_path / f'settings{suffix}'
        path.write_bytes(text if isinstance(text, bytes) else text.encode())
        return str(path)

    return write_file


@pytest.mark.parametrize(
    'suffix, text',
    [
        ('.json', '{"data": {"num_examples": null}, "model": {"cell": "gru"}, "lr": 0.01}'),
        ('.toml', 'lr = 0.01\n[data]\nnum_examples = "all"\n[model]\ncell = "gru"\n'),
        ('.yaml', 'data: {num_examples: all}\ncell: gru\nlr: 1e-2\n'),
    ],
)
def test_the_formats_say_the_same(write, suffix, text):
    settings = read_settings(write(text, suffix), CLASSES)
    assert settings == {'num_examples': None, 'cell': 'gru', 'lr': 0.01}


def saved_config(folder):
    return json.loads((folder / 'config.json').read_text(encoding='utf-8'))


def train_small(folder, *arguments):
    assert train.main([*map(str, arguments), '--corpus', 'copy', '--out', str(folder)]) == 0
    return saved_config(folder)


def test_the_configuration_of_a_run_repeats_it(tmp_path, write):
    options = [f'--{name.replace("_", "-")}={value}' for name, value in SMALL.items()]
    first = train_small(tmp_path / 'first', *options, '--cell', 'gru', '--max-norm', 'none')
    again = train_small(tmp_path / 'again', '--config', tmp_path / 'first' / 'config.json')
    assert again == first
    weights = [
        (tmp_path / name / 'checkpoints' / 'epoch-1' / 'weights.npz').read_bytes()
        for name in ('first', 'again')
    ]
    assert weights[0] == weights[1]


def test_options_win_over_the_file_and_the_file_over_the_preset(tmp_path, write):
    file = write(json.dumps({**SMALL, 'num_layers': 2, 'seed': 7}))
    config = train_small(tmp_path / 'run', '--preset', 'opengenus', '--config', file, '--seed', 8)
    assert config['training']['seed'] == 8
    assert config['model']['num_layers'] == 2  # the preset has 1
    assert config['model']['initializer'] == 'keras'  # the preset's


def test_a_run_is_resumed_only_with_its_own_settings(tmp_path, write):
    train_small(tmp_path / 'run', '--config', write(json.dumps(SMALL)))
    resume = ['--resume', str(tmp_path / 'run'), '--config']
    assert train.main([*resume, write(json.dumps({**SMALL, 'num_epochs': 2}))]) == 0
    assert saved_config(tmp_path / 'run')['training']['num_epochs'] == 2
    with pytest.raises(InputError, match='num_hiddens 8'):
        train.main([*resume, write(json.dumps({'num_hiddens': 8, 'num_epochs': 3}))])


@pytest.mark.parametrize(
    'text, suffix, message',
    [
        ('{"num_epoch": 3}', '.json', 'unknown setting num_epoch; did you mean num_epochs?'),
        ('{"num-epochs": 3}', '.json', 'unknown setting num-epochs; did you mean num_epochs?'),
        ('{"model": {"zzz": 3}}', '.json', 'unknown setting zzz'),
        ('{"num_epochs": 0}', '.json', 'num_epochs: expected a whole number from 1 to .*, got 0'),
        ('{"num_epochs": 2.5}', '.json', 'num_epochs: expected a whole number'),
        ('{"num_epochs": "two"}', '.json', "num_epochs: expected a whole number .* got 'two'"),
        ('{"masked": "false"}', '.json', "masked: expected true or false, got 'false'"),
        ('{"cell": ["gru"]}', '.json', 'cell: expected one of rnn, gru, lstm'),
        ('{"lr": 1, "a": {"lr": 2}}', '.json', 'lr: given twice'),
        ('[1]', '.json', 'expected names and values'),
        ('{', '.json', 'not valid JSON'),
        ('[' * 100_000, '.json', 'not valid JSON'),
        (b'\xff', '.json', 'not valid JSON'),
        ('lr = ', '.toml', 'not valid TOML'),
        ('a: [', '.yaml', 'not valid YAML'),
        ('', '.yaml', 'expected names and values'),
        ('lr = 1', '.ini', 'expected a file that ends with .json, .toml or .yaml'),
    ],
)
def test_a_file_that_cannot_be_used(write, text, suffix, message):
    path = write(text, suffix)
    with pytest.raises(InputError, match=message) as error:
        read_settings(path, CLASSES)
    assert str(error.value).startswith(f'--config {path}: ')
    assert '\n' not in str(error.value)


def test_a_file_that_does_not_exist():
    with pytest.raises(InputError, match='--config no.json: cannot be read'):
        train.main(['--config', 'no.json'])


@pytest.mark.parametrize('suffix, package', [('.toml', 'tomli'), ('.yaml', 'pyyaml')])
def test_a_library_that_is_missing(write, monkeypatch, suffix, package):
    path = write('', suffix)
    monkeypatch.setattr(importlib, 'import_module', missing)
    with pytest.raises(InputError, match=f'Type: pip install {package}'):
        read_settings(path, CLASSES)


def missing(name):
    raise ImportError(name)


def test_every_setting_of_a_run_may_be_in_a_file(write):
    config = RunConfig().to_dict()
    settings = read_settings(write(json.dumps(config)), CLASSES)
    assert settings == {name: value for part in config.values() for name, value in part.items()}
