"""Training a run further: its vocabularies and weights, with new pairs and a new optimizer."""

import json
import shutil

import numpy as onp
import pytest

from d2l_seq2seq import InputError, load_run
from d2l_seq2seq._mxnet import npx
from d2l_seq2seq.models.factory import named_parameters
from d2l_seq2seq.train import main

SMALL = [
    *('--corpus', 'bundled', '--num-examples', '60', '--min-freq', '1', '--batch-size', '16'),
    *('--num-hiddens', '8', '--embed-size', '8', '--num-layers', '1', '--seed', '3'),
]
PAIRS = 'Go now !\tVa maintenant !\nZyx wvu .\tTsr qpo .\nGo .\tVa !\n'


def weights_of(run_folder):
    run = load_run(run_folder, npx.cpu())
    return {
        name: parameter.data().asnumpy() for name, parameter in named_parameters(run.model).items()
    }


def last_losses(run_folder):
    return [json.loads(line) for line in (run_folder / 'metrics.jsonl').read_text().splitlines()]


@pytest.fixture(scope='module')
def source(tmp_path_factory):
    folder = tmp_path_factory.mktemp('source') / 'run'
    assert main([*SMALL, '--num-epochs', '30', '--out', str(folder)]) == 0
    return folder


@pytest.fixture
def corpus(tmp_path):
    path = tmp_path / 'new.tsv'
    path.write_text(PAIRS)
    return str(path)


def test_a_run_starts_with_the_weights_and_vocabularies_of_its_source(source, corpus, tmp_path):
    """A learning rate of nearly 0 changes no bit of the weights."""
    out = tmp_path / 'further'
    options = ['--lr', '1e-30', '--num-epochs', '1', '--corpus', corpus, '--out', str(out)]
    assert main(['--from', str(source), *options]) == 0
    before, after = weights_of(source), weights_of(out)
    assert before.keys() == after.keys()
    assert all((before[name] == after[name]).all() for name in before)
    runs = [load_run(folder, npx.cpu()) for folder in (source, out)]
    assert runs[0].tgt_vocab.idx_to_token == runs[1].tgt_vocab.idx_to_token
    assert 'tsr' not in runs[1].tgt_vocab.token_to_idx
    config = runs[1].config
    assert config.model == runs[0].config.model
    assert config.training.source_run == str(source) and config.training.lr == 1e-30


def test_the_optimizer_starts_afresh(source, tmp_path):
    """The same training from the same weights: `fit` on a loaded model gives the same losses."""
    out = tmp_path / 'further'
    assert main(['--from', str(source), '--num-epochs', '2', '--out', str(out)]) == 0
    continued = tmp_path / 'continued'
    shutil.copytree(source, continued)
    assert main(['--resume', str(continued), '--num-epochs', '31']) == 0
    first, resumed = last_losses(out)[0], last_losses(continued)[-1]
    assert (first['epoch'], resumed['epoch']) == (1, 31)
    # The same weights and sentences give about the same loss, but other moments other weights.
    assert first['nll_per_token'] == pytest.approx(resumed['nll_per_token'], rel=0.1)
    assert first['nll_per_token'] != resumed['nll_per_token']


def test_training_further_starts_from_a_lower_loss_than_a_new_run(source, tmp_path):
    again, new = tmp_path / 'again', tmp_path / 'new'
    main(['--from', str(source), '--num-epochs', '1', '--out', str(again)])
    main([*SMALL, '--num-epochs', '1', '--out', str(new)])
    assert last_losses(again)[0]['nll_per_token'] < 0.8 * last_losses(new)[0]['nll_per_token']


def test_a_resumed_run_needs_its_source_no_more(source, corpus, tmp_path):
    copy, out, other = tmp_path / 'copy', tmp_path / 'out', tmp_path / 'other'
    shutil.copytree(source, copy)
    options = ['--from', str(copy), '--corpus', corpus, '--batch-size', '2']
    main([*options, '--num-epochs', '4', '--out', str(other)])
    main([*options, '--num-epochs', '2', '--out', str(out)])
    shutil.rmtree(copy)
    assert main(['--resume', str(out), '--num-epochs', '4']) == 0
    resumed, uninterrupted = weights_of(out), weights_of(other)
    assert all(onp.array_equal(resumed[name], uninterrupted[name]) for name in resumed)


@pytest.mark.parametrize(
    'options, message',
    [
        (['--num-hiddens', '9'], 'num_hiddens 9 (the run has 8)'),
        (['--text-rules', 'words'], 'text_rules words (the run has chapter)'),
        (['--preset', 'opengenus'], 'cannot be combined with --preset'),
    ],
)
def test_settings_that_the_weights_depend_on_are_refused(source, tmp_path, options, message):
    out = tmp_path / 'out'
    with pytest.raises(InputError) as error:
        main(['--from', str(source), *options, '--out', str(out)])
    assert message in str(error.value) and str(error.value).startswith('--from')
    assert not out.exists()


def test_a_folder_that_is_not_a_run_is_refused(tmp_path):
    with pytest.raises(InputError, match='not a run folder'):
        main(['--from', str(tmp_path), '--out', str(tmp_path / 'out')])


def test_subword_models_are_those_of_the_source(tmp_path, corpus):
    source, out = tmp_path / 'source', tmp_path / 'out'
    main(
        [*SMALL, '--text-rules', 'subwords', '--num-subwords', '90', '--num-epochs', '1']
        + ['--out', str(source)]
    )
    main(['--from', str(source), '--corpus', corpus, '--num-epochs', '1', '--out', str(out)])
    before, after = (load_run(folder, npx.cpu()) for folder in (source, out))
    assert [part.model for part in before.subwords] == [part.model for part in after.subwords]
