"""Resuming: the same bits, from any batch; signals; settings with which a run is not resumed."""

import contextlib
import json
import os
import re
import resource
import shutil
import signal
import sys
import time

import numpy as onp
import pytest

from d2l_seq2seq import (
    Feed,
    InputError,
    ModelConfig,
    RunConfig,
    TokenFeed,
    build_model,
    fit,
    initialize,
)
from d2l_seq2seq._mxnet import npx, seed_generators
from d2l_seq2seq.data.encoding import encode_pairs
from d2l_seq2seq.engine.schedules import HalvingOnPlateau
from d2l_seq2seq.engine.step import UpdateRules
from d2l_seq2seq.runs.checkpoint import Run, load_checkpoint, load_progress, save_checkpoint
from d2l_seq2seq.training.checkpointing import MOMENTS, restore_state, save_state

from conftest import ROOT
from small_run import (
    SETTINGS,
    arrays_of,
    assert_same_training,
    finish,
    metrics_of,
    start,
)

CTX = npx.cpu()
MODELS = [
    ModelConfig(6, 8, 2),
    ModelConfig(6, 8, 1, 0.3, 'gru', bidirectional=True, attention='general'),
    ModelConfig(8, 8, 2, 0.2, masked=True, tied=True),
]


class Stop(Exception):
    pass


@pytest.fixture
def toy(bundled, seed):
    src_vocab, tgt_vocab, arrays = encode_pairs(bundled.pairs[:150], 10)
    return src_vocab, tgt_vocab, arrays


@pytest.mark.parametrize('config', MODELS)
@pytest.mark.parametrize(
    'feed_of',
    [lambda *args: Feed(*args), lambda arrays, size, seed: TokenFeed(arrays, 10 * size, seed)],
)
def test_at_any_batch_a_checkpoint_leads_to_the_same_end(toy, seed, tmp_path, config, feed_of):
    """Stopped at a drawn update, through files, with other generators in another state."""
    src_vocab, tgt_vocab, arrays = toy
    rules = UpdateRules(batches_per_update=2, weight_decay=0.01, seed=seed)

    def new_model():
        model = build_model(config, len(src_vocab), len(tgt_vocab))
        initialize(model, CTX)
        return model

    def train(model, state=None, feed_seed=seed, stop_at=None):
        schedule, history = HalvingOnPlateau(0.02, 1), []
        feed = feed_of(arrays, 8, feed_seed)
        if state is not None:
            state = restore_state(
                state, model, feed, rules, {'schedule': schedule}, arrays.fingerprint()
            )
        saved = []

        def watch(state):
            if state.optimizer.num_updates == stop_at:
                saved.append(save_state(model, state, {'schedule': schedule}, arrays.fingerprint()))
                raise Stop

        def observe(metrics, state):
            schedule.observe(metrics.train.nll_per_token)
            history.append((metrics.train, metrics.lr))

        with contextlib.suppress(Stop):
            fit(
                model,
                feed,
                num_epochs=4,
                lr=schedule,
                state=state,
                rules=rules,
                on_update=watch,
                on_epoch_end=observe,
            )
        return history, saved

    seed_generators(seed)
    unbroken = new_model()
    expected, _ = train(unbroken)
    num_updates = 4 * -(-len(feed_of(arrays, 8, seed)) // 2)
    seed_generators(seed)
    model = new_model()
    stop_at = onp.random.RandomState(seed).randint(1, num_updates)
    first, (progress,) = train(model, stop_at=stop_at)
    run = Run(RunConfig(model=config), src_vocab, tgt_vocab, model)
    save_checkpoint(tmp_path / 'model', run, progress)
    seed_generators(seed + 1)
    again = load_checkpoint(tmp_path / 'model', CTX).model
    second, _ = train(again, load_progress(tmp_path / 'model', again, MOMENTS), seed + 1)
    assert first + second == expected
    for ours, theirs in zip(again.collect_params().values(), unbroken.collect_params().values()):
        assert onp.array_equal(ours.data().asnumpy(), theirs.data().asnumpy())


@pytest.fixture(scope='module')
def unbroken(tmp_path_factory):
    folder = tmp_path_factory.mktemp('unbroken') / 'run'
    output = finish(*SETTINGS, '--num-epochs', '8', '--out', str(folder))
    return folder, output


def stopped(folder, *numbers, num_epochs=400):
    """Send signals to a training after its third epoch; return its exit code and output."""
    process = start(*SETTINGS, '--num-epochs', str(num_epochs), '--out', str(folder))
    try:
        for _ in range(600):
            if (folder / 'metrics.jsonl').exists() and len(metrics_of(folder)) >= 3:
                break
            time.sleep(0.1)
        for number in numbers:
            process.send_signal(number)
        stdout, stderr = process.communicate(timeout=60)
    finally:
        process.kill()
    return process.returncode, stdout, stderr


@pytest.mark.parametrize('number, code', [(signal.SIGINT, 130), (signal.SIGTERM, 143)])
def test_a_signal_saves_and_prints_the_command_that_resumes(unbroken, tmp_path, number, code):
    folder = tmp_path / 'run'
    returned, stdout, stderr = stopped(folder, number)
    assert (returned, stderr) == (
        code,
        '\nstopping after the current batch; signal again to quit without saving\n',
    )
    assert f'Resume with: {sys.executable} -m d2l_seq2seq.train --resume {folder}\n' in stdout
    done = len(metrics_of(folder))
    output = finish('--resume', str(folder), '--num-epochs', str(done + 3))
    assert f'resuming with num_epochs={done + 3} (was 400)' in output
    other = tmp_path / 'other'
    finish(*SETTINGS, '--num-epochs', str(done + 3), '--out', str(other))
    assert_same_training(folder, other, done + 3)


def test_a_second_signal_ends_at_once_and_the_folder_is_whole(tmp_path):
    folder = tmp_path / 'run'
    returned, _, stderr = stopped(folder, signal.SIGTERM, signal.SIGINT)
    # If both arrive together, Python may handle the second one after the training has ended.
    assert returned in (130, 143) and stderr.startswith('\nstopping after')
    finish('--resume', str(folder), '--num-epochs', str(len(metrics_of(folder)) + 1))


def test_killed_before_the_first_checkpoint_it_starts_over(unbroken, tmp_path):
    folder, output = unbroken
    other = tmp_path / 'run'
    other.mkdir()
    (other / 'config.json').write_bytes((folder / 'config.json').read_bytes())
    (other / 'checkpoints').mkdir()
    (other / 'checkpoints' / '.epoch-1.part').mkdir()
    assert finish('--resume', str(other)).splitlines()[-6:-2] == output.splitlines()[-6:-2]
    assert_same_training(other, folder, 8)


def test_a_finished_run_is_reported(unbroken):
    folder, _ = unbroken
    before = sorted((path, os.stat(path).st_mtime_ns) for path in folder.rglob('*'))
    output = finish('--resume', str(folder))
    assert output == f'run {folder}: already finished (8 epochs are done)\n'
    assert sorted((path, os.stat(path).st_mtime_ns) for path in folder.rglob('*')) == before


def failing(*arguments, **kwargs):
    process = start(*arguments, **kwargs)
    stdout, stderr = process.communicate(timeout=120)
    assert process.returncode == 2 and stderr.count('\n') == 1, stderr
    return stderr


def test_settings_that_differ_are_named(unbroken, tmp_path):
    folder, _ = unbroken
    message = failing(
        '--resume', str(folder), '--lr', '0.1', '--dropout', '0', '--num-epochs', '9', '--seed', '7'
    )
    assert (
        'dropout 0.0 (the run has 0.3), lr 0.1 (the run has 0.005). Leave these options out'
        in message
    )
    assert 'seed' not in message and 'num_epochs' not in message
    for option, value in (('--out', str(tmp_path)), ('--preset', 'opengenus')):
        assert f'cannot be combined with {option}' in failing(
            '--resume', str(folder), option, value
        )
    checkpoint = folder / 'checkpoints' / 'epoch-8'
    assert f'got one of its checkpoints. Pass --resume {folder} instead' in failing(
        '--resume', str(checkpoint)
    )
    assert 'not a run folder (no config.json). Pass the folder that train wrote' in failing(
        '--resume', str(tmp_path)
    )
    message = failing(*SETTINGS, '--out', str(folder))
    assert f'found a run (up to epoch-8). To resume it, pass --resume {folder} to' in message


def test_a_corpus_that_has_changed_is_refused(tmp_path):
    corpus, folder = tmp_path / 'pairs.tsv', tmp_path / 'run'
    corpus.write_text('go .\tva !\nhi .\tsalut .\n' * 10)
    settings = ['--corpus', str(corpus), '--min-freq', '1', '--num-hiddens', '4']
    finish(*settings, '--num-epochs', '2', '--out', str(folder))
    settings_of_run = (folder / 'config.json').read_bytes()
    corpus.write_text('go .\tva !\nhi .\tsalut .\n' * 9 + 'hi .\tva !\ngo .\tsalut .\n')
    message = failing('--resume', str(folder), '--num-epochs', '3')
    assert (folder / 'config.json').read_bytes() == settings_of_run
    assert 'the sentences are not those of the run: the corpus' in message
    corpus.write_text('no .\tnon .\n' * 20)
    message = failing('--resume', str(folder), '--num-epochs', '3')
    assert 'the vocabularies are not those of the run: the corpus' in message


def test_a_training_that_explodes_names_the_last_good_checkpoint(unbroken, tmp_path):
    folder = tmp_path / 'run'
    message = failing(*SETTINGS, '--num-epochs', '50', '--lr', '1e30', '--out', str(folder))
    assert re.search(r'\(update \d+, learning rate 1e\+30\)|after update \d+', message)
    assert 'checkpoint' in message and 'Start a new run with --lr below 1e+30' in message


def test_a_full_disk_keeps_the_last_checkpoint(unbroken, tmp_path):
    """Limit files to 2,000 bytes, as if the disk became full while a checkpoint is written."""
    folder = tmp_path / 'run'
    finish(*SETTINGS, '--num-epochs', '2', '--out', str(folder))
    before = arrays_of(folder, 2)
    message = failing(
        '--resume',
        str(folder),
        '--num-epochs',
        '8',
        preexec_fn=lambda: resource.setrlimit(resource.RLIMIT_FSIZE, (2000, 2000)),
    )
    assert 'a checkpoint cannot be written (File too large)' in message
    assert f'The last good checkpoint is {folder}' in message
    assert all(onp.array_equal(array, before[name]) for name, array in arrays_of(folder, 2).items())
    assert len(metrics_of(folder)) >= 2
    finish('--resume', str(folder), '--num-epochs', '8')
    assert_same_training(folder, unbroken[0], 8)


def test_settings_that_were_changed_by_hand_are_named(unbroken, tmp_path):
    folder = tmp_path / 'run'
    shutil.copytree(unbroken[0], folder)
    config = folder / 'config.json'
    config.write_text(config.read_text().replace('"lr": 0.005', '"lr": 0.5'))
    message = failing('--resume', str(folder), '--num-epochs', '9')
    assert "epoch-8: expected the run's settings, got lr 0.5 (the run has 0.005)" in message


def test_a_damaged_end_is_trained_again(unbroken, tmp_path):
    folder = tmp_path / 'run'
    shutil.copytree(unbroken[0], folder)
    weights = folder / 'checkpoints' / 'epoch-8' / 'weights.npz'
    weights.write_bytes(weights.read_bytes()[:-1])
    process = start('--resume', str(folder), '--keep', '1')
    _, stderr = process.communicate(timeout=120)
    assert process.returncode == 0 and 'epoch-7' in stderr
    assert_same_training(folder, unbroken[0], 8)
    assert sorted(path.name for path in (folder / 'checkpoints').iterdir()) == [
        'damaged-epoch-8',
        'epoch-8',
    ]


def test_a_corpus_is_found_from_another_folder(tmp_path):
    corpus, folder = tmp_path / 'pairs.tsv', tmp_path / 'run'
    corpus.write_text('go .\tva !\nhi .\tsalut .\n' * 10)
    settings = ['--min-freq', '1', '--num-hiddens', '4', '--num-epochs', '1', '--out', str(folder)]
    finish('--corpus', os.path.relpath(corpus, ROOT), *settings)
    assert json.loads((folder / 'config.json').read_text())['data']['corpus'] == str(corpus)
    moved = tmp_path / 'moved.tsv'
    corpus.rename(moved)
    output = finish('--resume', str(folder), '--corpus', str(moved), '--num-epochs', '2')
    assert f'resuming with corpus={moved} (was {corpus})' in output


def test_a_prolonged_training_equals_one_of_that_length(tmp_path):
    """With a plateau schedule and patience: a validation at the provisional end has no effect."""
    settings = [
        '--corpus',
        'bundled',
        '--num-examples',
        '200',
        '--num-hiddens',
        '8',
        '--min-freq',
        '1',
        '--held-out',
        '0.2',
        '--validate',
        '--validate-every',
        '2',
        '--batch-size',
        '16',
        '--lr-schedule',
        'plateau',
        '--halve-after',
        '1',
        '--lr',
        '0.1',
    ]
    folder, other = tmp_path / 'run', tmp_path / 'other'
    assert 'after the last epoch: validation' in finish(
        *settings, '--num-epochs', '5', '--out', str(folder)
    )
    finish('--resume', str(folder), '--num-epochs', '7', '--max-minutes', '0.0001')
    finish('--resume', str(folder), '--num-epochs', '9', '--max-minutes', 'none')
    finish(*settings, '--num-epochs', '9', '--out', str(other))
    assert_same_training(folder, other, 9)


def test_early_stopping_and_the_best_survive(tmp_path):
    settings = [
        '--corpus',
        'bundled',
        '--num-examples',
        '200',
        '--num-hiddens',
        '8',
        '--min-freq',
        '1',
        '--validate',
        '--validate-every',
        '1',
        '--early-stopping',
        'nll',
        '--patience',
        '2',
        '--lr',
        '0.1',
        '--save-every',
        '100',
    ]
    folder, other = tmp_path / 'run', tmp_path / 'other'
    finish(*settings, '--num-epochs', '60', '--out', str(folder))
    rows = metrics_of(folder)
    best = min(rows, key=lambda row: row['valid_nll_per_token'])['epoch']
    assert best == len(rows) - 2 < 58
    names = {path.name for path in (folder / 'checkpoints').iterdir()}
    assert {f'epoch-{best}', f'epoch-{len(rows)}'} <= names
    output = finish('--resume', str(folder))
    assert f'already finished (no improvement in validation since epoch {best})' in output
    # Stopped in between and resumed, it still knows the best epoch and the patience.
    finish(*settings, '--num-epochs', str(best + 1), '--out', str(other))
    output = finish('--resume', str(other), '--num-epochs', '60')
    assert f'using the weights of epoch {best}, the best validated epoch' in output
    assert metrics_of(other) == rows


@pytest.mark.parametrize(
    'change',
    [
        {'epoch': 'x'},
        {'feed': {}},
        {'sums': []},
        {'hooks': {'schedule': {}}},
        {'num_updates': None},
    ],
)
def test_invalid_progress_is_refused(toy, seed, change):
    src_vocab, tgt_vocab, arrays = toy
    model = build_model(MODELS[0], len(src_vocab), len(tgt_vocab))
    initialize(model, CTX)
    feed, schedule = Feed(arrays, 64, seed), HalvingOnPlateau(0.1, 1)
    hooks = {'schedule': schedule}
    kept = []
    fit(
        model,
        feed,
        num_epochs=1,
        lr=schedule,
        on_epoch_end=lambda metrics, state: kept.append(
            save_state(model, state, hooks, arrays.fingerprint())
        ),
    )
    progress = kept[0]
    json.dumps(progress.values)
    progress.values.update(change)
    with pytest.raises(InputError, match='expected training state, got something else'):
        restore_state(progress, model, feed, UpdateRules(), hooks, arrays.fingerprint())
