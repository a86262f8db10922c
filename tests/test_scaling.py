"""The model of the training speed: counts by hand, and times that grow with their arguments.

The measurements of the benchmark are not tested.
"""

import sys

import numpy as onp
import pytest

from d2l_seq2seq._mxnet import npx
from d2l_seq2seq.config import ModelConfig
from d2l_seq2seq.models.factory import build_model, initialize

from conftest import ROOT

sys.path.insert(0, str(ROOT / 'benchmarks'))
from scaling_model import (  # noqa: E402
    ALL_TERMS,
    Machine,
    Setting,
    cluster_seconds,
    compute_seconds,
    dense_flops,
    fit_costs,
    gather_seconds,
    machine_seconds,
    num_weights,
    recurrent_flops,
    ring_seconds,
    server_seconds,
    servers_used,
    smallest_batch,
)

CHAPTER = Setting(64, 32, 162, 10, 32)
MACHINE = Machine(
    flops=1e12,
    half_batch=64,
    step=1e-5,
    host=1e-4,
    memory=1e11,
    link=1e10,
    server=1e9,
    latency=1e-3,
)
NETWORK = 1e9


@pytest.mark.parametrize('sizes', [(32, 162, 32, 2), (8, 20, 5, 1), (16, 30, 4, 3)])
def test_number_of_weights_is_that_of_the_model(sizes):
    num_hiddens, vocab_size, embed_size, num_layers = sizes
    model = build_model(
        ModelConfig(num_hiddens=num_hiddens, embed_size=embed_size, num_layers=num_layers),
        vocab_size,
        vocab_size,
    )
    initialize(model, npx.cpu())
    setting = Setting(64, num_hiddens, vocab_size, 10, embed_size, num_layers)
    assert num_weights(setting) == sum(
        onp.prod(parameter.shape) for parameter in model.collect_params().values()
    )


def test_flops_by_hand():
    """One hidden unit, one layer, one sentence: four gates, 2 weights, 2 + 1 steps, 3 passes."""
    tiny = Setting(1, 1, 3, 2, 1, num_layers=1)
    assert recurrent_flops(tiny) == 3 * 2 * (4 * 2) * (2 + 1)
    assert dense_flops(tiny) == 3 * 2 * 3 * 1  # one label, three words


def test_only_the_dense_layer_leaves_out_padding():
    padded = Setting(64, 32, 162, 10, 32, label_share=0.5)
    assert dense_flops(padded) == dense_flops(CHAPTER) / 2
    assert recurrent_flops(padded) == recurrent_flops(CHAPTER)


@pytest.mark.parametrize(
    'larger',
    [
        {'batch_size': 128},
        {'num_hiddens': 64},
        {'vocab_size': 200},
        {'num_steps': 11},
        {'embed_size': 33},
        {'num_layers': 3},
    ],
)
def test_a_larger_setting_takes_longer(larger):
    setting = Setting(**{**vars(CHAPTER), **larger})
    costs = dict.fromkeys(ALL_TERMS, 1e-9)
    assert compute_seconds(costs, setting) > compute_seconds(costs, CHAPTER)
    assert machine_seconds(setting, 1, MACHINE) > machine_seconds(CHAPTER, 1, MACHINE)


def test_fit_recovers_the_costs():
    """The costs that made the times are found, even if one is 0 or would be negative."""
    rng = onp.random.RandomState(0)
    features = [dict(zip('abc', row)) for row in rng.uniform(1, 9, (12, 3))]
    costs = fit_costs(features, [2 * row['a'] + 3 * row['c'] for row in features])
    assert costs == pytest.approx({'a': 2, 'b': 0, 'c': 3}, abs=1e-9)
    costs = fit_costs(features, [2 * row['a'] + 3 * row['c'] - 0.1 * row['b'] for row in features])
    assert costs['b'] == 0 and min(costs.values()) >= 0


def test_a_single_device_or_worker_sends_nothing():
    assert gather_seconds(1000, 1, MACHINE) == 0
    assert server_seconds(1e9, 1, 1, NETWORK, MACHINE) == 0
    assert ring_seconds(1e9, 1, NETWORK, MACHINE) == 0
    assert cluster_seconds(CHAPTER, 1, 1, NETWORK, MACHINE) == machine_seconds(CHAPTER, 1, MACHINE)


def test_sums_by_hand():
    """A gigabyte in each direction: 2 s on a worker's link, 8 s on the only server of 4 workers."""
    assert server_seconds(1e9, 4, 1, NETWORK, MACHINE) == pytest.approx(8 + 1e-3)
    assert server_seconds(1e9, 4, 4, NETWORK, MACHINE) == pytest.approx(2 + 1e-3)
    assert server_seconds(1e9, 4, 16, NETWORK, MACHINE) == pytest.approx(2 + 1e-3)
    fast = Machine(**{**vars(MACHINE), 'server': float('inf')})
    assert ring_seconds(1e9, 4, NETWORK, fast) == pytest.approx(2 * 3 / 4 + 6e-4)


def test_more_servers_never_take_longer_and_more_workers_always_do():
    times = [server_seconds(1e9, 64, servers, NETWORK, MACHINE) for servers in (1, 8, 64)]
    assert times == sorted(times, reverse=True)
    times = [server_seconds(1e9, workers, 1, NETWORK, MACHINE) for workers in (1, 2, 64)]
    assert times == sorted(set(times))


def test_a_small_vector_is_not_split():
    assert servers_used(999_999, 8) == 1 and servers_used(1_000_000, 8) == 8


def test_smallest_batch():
    assert smallest_batch(lambda batch: batch >= 100) == 128
    assert smallest_batch(lambda batch: False) is None
