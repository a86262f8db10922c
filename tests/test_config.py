"""The settings: the book's defaults, and one clear line for a value out of range."""

import dataclasses
import json

import pytest

from d2l_seq2seq import DataConfig, InputError, ModelConfig, RunConfig, TrainingConfig
from d2l_seq2seq.config import PRESETS


def test_defaults_are_the_books():
    sizes = {'embed_size': 32, 'num_hiddens': 32, 'num_layers': 2, 'dropout': 0.0}
    assert sizes.items() <= dataclasses.asdict(ModelConfig()).items()
    data, training = DataConfig(), TrainingConfig()
    assert (data.num_examples, data.batch_size, data.num_steps) == (1000, 64, 10)
    assert (training.lr, training.num_epochs) == (0.005, 300)


@pytest.mark.parametrize(
    'config_class, field, value',
    [
        (DataConfig, 'num_steps', 1),
        (DataConfig, 'num_steps', '10'),
        (DataConfig, 'batch_size', 0),
        (DataConfig, 'num_examples', 0),
        (DataConfig, 'corpus', ''),
        (DataConfig, 'batch_size', True),
        (ModelConfig, 'dropout', 1.0),
        (ModelConfig, 'dropout', -0.1),
        (ModelConfig, 'embed_size', 2.5),
        (TrainingConfig, 'lr', 0),
        (TrainingConfig, 'lr', float('nan')),
        (TrainingConfig, 'seed', -1),
        (TrainingConfig, 'lr', float('inf')),
        (TrainingConfig, 'num_epochs', None),
        (ModelConfig, 'cell', 'LSTM'),
        (ModelConfig, 'masked', 1),
        (TrainingConfig, 'max_norm', 0),
        (TrainingConfig, 'teacher_forcing', 1.1),
        (DataConfig, 'text_rules', None),
    ],
)
def test_values_out_of_range_are_refused(config_class, field, value):
    with pytest.raises(InputError, match=f'{field}: expected .*, got') as error:
        config_class(**{field: value})
    assert '\n' not in str(error.value)


def test_json_round_trip():
    config = RunConfig(
        DataConfig(num_examples=None), ModelConfig(dropout=0.5), TrainingConfig(lr=1, seed=3)
    )
    assert RunConfig.from_dict(json.loads(json.dumps(config.to_dict()))) == config


@pytest.mark.parametrize(
    'change',
    [
        lambda values: values.update(modle={}),
        lambda values: values.update(data=None),
        lambda values: values['training'].update(unknown=1),
        lambda values: values.update(data=[]),
        lambda values: values['model'].update(num_hiddens=-3),
    ],
)
def test_foreign_settings_are_refused(change):
    values = RunConfig().to_dict()
    change(values)
    with pytest.raises(InputError, match='expected'):
        RunConfig.from_dict(values)


def test_settings_of_an_earlier_version_are_read():
    values = RunConfig(DataConfig(num_steps=12)).to_dict()
    del values['model']['cell'], values['data']['text_rules'], values['training']
    assert RunConfig.from_dict(values) == RunConfig(DataConfig(num_steps=12))


def test_both_directions_are_masked():
    assert ModelConfig(bidirectional=True).masked and not ModelConfig().masked


def test_no_object_at_all_is_refused():
    with pytest.raises(InputError, match='got list'):
        RunConfig.from_dict([])


@pytest.mark.parametrize(
    'settings, message',
    [
        (
            {'tied': True, 'embed_size': 8},
            'tied: expected embed_size equal to num_hiddens, got 8 and',
        ),
        ({'attention': 'dot', 'bidirectional': True}, 'attention: expected another kind than dot'),
        ({'attention': 'additive', 'context_every_step': True}, 'expected no attention beside it'),
    ],
)
def test_models_that_can_not_be_are_refused(settings, message):
    with pytest.raises(InputError, match=message):
        ModelConfig(**settings)


def test_one_embedding_needs_one_vocabulary():
    with pytest.raises(InputError, match='expected share_vocab with it'):
        RunConfig(model=ModelConfig(share_embedding=True))


@pytest.mark.parametrize('name', PRESETS)
def test_presets_are_settings(name):
    """Each value is one of a field, and all together make a run."""
    parts, left = [], dict(PRESETS[name])
    for part in (DataConfig, ModelConfig, TrainingConfig):
        names = {field.name for field in dataclasses.fields(part)}
        parts.append(part(**{key: left.pop(key) for key in names & set(left)}))
    assert left == {}
    assert RunConfig.from_dict(RunConfig(*parts).to_dict()) == RunConfig(*parts)
