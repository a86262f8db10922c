"""A training that is killed at random moments and resumed, as if it had not been killed."""

import concurrent.futures
import json
import os
import random
import re
import time

import pytest

from d2l_seq2seq.runs.layout import list_checkpoints
from d2l_seq2seq.runs.safe_files import Manifest

from small_run import SETTINGS, assert_same_training, finish, start

NUM_EPOCHS = 120
FINAL_NAMES = {'.lock', 'config.json', 'metrics.jsonl', 'loss.svg', 'checkpoints'}
SETTINGS = [*SETTINGS, '--num-epochs', str(NUM_EPOCHS)]


def kill_at_random(folder, rng):
    """Train, from the start or from where it was, and kill the process; False if it had ended."""
    process = start(
        *(
            ['--resume', str(folder)]
            if (folder / 'config.json').exists()
            else [*SETTINGS, '--out', str(folder)]
        )
    )
    try:
        while (line := process.stdout.readline()) and not line.startswith('corpus '):
            pass  # the training starts after the line about the corpus
        time.sleep(rng.uniform(0, 1.5))
        was_running = process.poll() is None
    finally:
        process.kill()
        _, stderr = process.communicate()
    assert stderr == ''
    return was_running


def assert_nothing_is_half_done(folder):
    """Whatever has a final name is whole."""
    visible = {
        path.name
        for path in folder.iterdir()
        if not re.fullmatch(r'\..*\.(part|removed)', path.name)
    }
    assert visible <= FINAL_NAMES
    for checkpoint in list_checkpoints(folder):
        manifest = Manifest(checkpoint)
        for name in (
            'config.json',
            'src_vocab.json',
            'tgt_vocab.json',
            'weights.npz',
            'optimizer.npz',
            'progress.json',
        ):
            with manifest.open(name):
                pass
    if (folder / 'metrics.jsonl').exists():
        lines = (folder / 'metrics.jsonl').read_text().splitlines()
        assert [json.loads(line)['epoch'] for line in lines] == list(range(1, len(lines) + 1))


def kill_and_resume(unbroken, folder, num_kills, seed):
    """Kill as often as that, in as many runs as it takes, each of which ends like the unbroken."""
    rng, num_runs, done = random.Random(seed), 0, 0
    while done < num_kills:
        path = folder / str(num_runs)
        while done < num_kills and kill_at_random(path, rng):
            done += 1
            assert_nothing_is_half_done(path)
        finish('--resume', str(path))
        assert_same_training(path, unbroken, NUM_EPOCHS)
        num_runs += 1
    return num_runs


@pytest.fixture(scope='module')
def unbroken(tmp_path_factory):
    """The run that nothing happens to."""
    folder = tmp_path_factory.mktemp('unbroken') / 'run'
    finish(*SETTINGS, '--out', str(folder))
    return folder


@pytest.mark.parametrize('num_kills', [10, pytest.param(100, marks=pytest.mark.slow)])
def test_killed_at_random_instants_it_ends_the_same(unbroken, tmp_path, num_kills):
    seed = int(os.environ.get('MXNET_TEST_SEED', random.randrange(2**31)))
    print(f'MXNET_TEST_SEED={seed}')
    with concurrent.futures.ThreadPoolExecutor(2) as both:
        runs = [
            both.submit(
                kill_and_resume, unbroken, tmp_path / str(number), num_kills // 2, seed + number
            )
            for number in range(2)
        ]
        assert all(run.result() >= 1 for run in runs)
