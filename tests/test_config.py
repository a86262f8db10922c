"""The settings: the book's defaults, and one clear line for a value out of range."""

import dataclasses
import inspect
import json

import pytest

from d2l_seq2seq import (
    DataConfig,
    InputError,
    ModelConfig,
    RunConfig,
    SearchConfig,
    TrainingConfig,
    load_data_nmt,
)
from d2l_seq2seq.book.machine_translation import MIN_FREQ
from d2l_seq2seq.config import PRESETS, resolve_implications


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
        (ModelConfig, 'context', 'first'),
        (ModelConfig, 'masked', 1),
        (TrainingConfig, 'max_norm', 0),
        (TrainingConfig, 'teacher_forcing', 1.1),
        (DataConfig, 'text_rules', None),
        (TrainingConfig, 'lr', 1e-40),
        (TrainingConfig, 'lr', 1e39),
        (TrainingConfig, 'max_norm', 10**400),
        (TrainingConfig, 'label_smoothing', 1e-320),
        (DataConfig, 'num_examples', 10**10),
        (DataConfig, 'bucket_width', 10**10),
        (DataConfig, 'max_tokens', 10**10),
        (SearchConfig, 'max_length', 10**9),
        (SearchConfig, 'min_length', 10**9),
        (SearchConfig, 'no_repeat_ngram', 10**9),
        (SearchConfig, 'top_k', 10**10),
    ],
)
def test_values_out_of_range_are_refused(config_class, field, value):
    with pytest.raises(InputError, match=f'{field}: expected .*, got') as error:
        config_class(**{field: value})
    assert '\n' not in str(error.value)


def test_a_number_that_float32_cannot_hold_gets_a_remark():
    with pytest.raises(InputError, match='expected a number above 0, in the range of float32'):
        TrainingConfig(lr=1e-40)
    with pytest.raises(InputError, match='expected a number above 0, got 0'):
        TrainingConfig(lr=0)


@pytest.mark.parametrize(
    'beam_size, batch_size, is_possible', [(16, 4096, True), (500, 132, False)]
)
def test_the_number_of_hypotheses_is_limited(beam_size, batch_size, is_possible):
    if is_possible:
        SearchConfig(beam_size=beam_size, batch_size=batch_size)
        return
    with pytest.raises(InputError, match='at most 65,536 hypotheses .* pass --batch-size 131'):
        SearchConfig(beam_size=beam_size, batch_size=batch_size)


def test_the_books_own_defaults_are_the_same():
    """The book's files do not read the configuration, so these values are there twice."""
    assert DataConfig.min_freq == MIN_FREQ
    parameters = inspect.signature(load_data_nmt).parameters
    assert parameters['num_examples'].default == DataConfig.num_examples


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
    del values['model']['cell'], values['model']['context']
    del values['data']['text_rules'], values['training']
    assert RunConfig.from_dict(values) == RunConfig(DataConfig(num_steps=12))


@pytest.mark.parametrize(
    'config, expected, notes',
    [
        (RunConfig(), {}, []),
        (
            RunConfig(model=ModelConfig(bidirectional=True)),
            {'masked': True},
            ['bidirectional implies masked'],
        ),
        (RunConfig(model=ModelConfig(bidirectional=True, masked=True)), {}, []),
        (
            RunConfig(model=ModelConfig(context='mean')),
            {'context_every_step': True},
            ['context mean implies context_every_step'],
        ),
        (RunConfig(model=ModelConfig(context='max', context_every_step=True)), {}, []),
        (
            RunConfig(training=TrainingConfig(amp=True)),
            {'skip_bad_batches': True},
            ['amp implies skip_bad_batches'],
        ),
        (
            RunConfig(training=TrainingConfig(validate=True)),
            {'held_out': 0.05},
            ['validate implies held_out 0.05'],
        ),
        (RunConfig(DataConfig(held_out=0.1), training=TrainingConfig(validate=True)), {}, []),
        (
            RunConfig(training=TrainingConfig(early_stopping='bleu')),
            {'validate': True, 'keep_best': 'bleu', 'held_out': 0.05},
            [
                'early_stopping implies validate',
                'early_stopping implies keep_best bleu',
                'validate implies held_out 0.05',
            ],
        ),
    ],
)
def test_implications_are_resolved_and_reported(config, expected, notes):
    resolved, reported = resolve_implications(config)
    assert reported == notes
    changed = {
        name: value
        for part, values in resolved.to_dict().items()
        for name, value in values.items()
        if value != config.to_dict()[part][name]
    }
    assert changed == expected
    assert resolve_implications(resolved) == (resolved, [])


def test_a_configuration_does_not_change_its_own_fields():
    given = {'bidirectional': True, 'masked': False}
    assert given.items() <= dataclasses.asdict(ModelConfig(**given)).items()
    training = TrainingConfig(amp=True, early_stopping='nll')
    assert not training.skip_bad_batches and not training.validate


def test_a_list_is_refused():
    with pytest.raises(InputError, match='got list'):
        RunConfig.from_dict([])


@pytest.mark.parametrize(
    'settings, message',
    [
        (
            {'attention': 'additive', 'input_feeding': True},
            'input_feeding: expected dot or general attention, got additive',
        ),
        (
            {'attention': 'dot', 'encoder_hiddens': 8},
            'encoder_hiddens: dot attention needs num_hiddens',
        ),
        (
            {'attention': 'dot', 'bidirectional': True},
            'dot cannot be combined with a bidirectional',
        ),
        (
            {'attention': 'additive', 'context_every_step': True},
            'cannot be combined with additive attention',
        ),
        (
            {'attention': 'general', 'context': 'max'},
            'context: max cannot be combined with general attention',
        ),
    ],
)
def test_impossible_models_are_refused(settings, message):
    with pytest.raises(InputError, match=message):
        ModelConfig(**settings)


def test_one_embedding_needs_one_vocabulary():
    with pytest.raises(InputError, match='expected share_vocab, because one embedding needs one'):
        RunConfig(model=ModelConfig(share_embedding=True))


@pytest.mark.parametrize('name', PRESETS)
def test_presets_are_settings(name):
    """Each value is a field's, and together they make a valid run."""
    parts, left = [], dict(PRESETS[name])
    for part in (DataConfig, ModelConfig, TrainingConfig):
        names = {field.name for field in dataclasses.fields(part)}
        parts.append(part(**{key: left.pop(key) for key in names & set(left)}))
    assert left == {}
    assert RunConfig.from_dict(RunConfig(*parts).to_dict()) == RunConfig(*parts)
