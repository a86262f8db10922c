"""A training's speed on paper: what an update costs, as a function of sizes and machines.

Formulas alone: nothing here measures, and nothing needs MXNet.  `scaling.py` fits the costs to
measurements, checks them against others, and extrapolates.  Sizes are those of the chapter's model
(an LSTM encoder, an LSTM decoder, a dense layer) with as many words on both sides.  Times are in
seconds.
"""

from __future__ import annotations

import dataclasses
import itertools
from dataclasses import dataclass
from typing import Callable, Sequence

import numpy as onp

WHOLE_BELOW = 1_000_000  # MXNET_KVSTORE_BIGARRAY_BOUND: vectors that are not shared among servers
BYTES = 4  # of a weight, and of its gradient on the wire


@dataclass(frozen=True)
class Setting:
    """A model and its batches."""

    batch_size: int
    num_hiddens: int
    vocab_size: int
    num_steps: int
    embed_size: int
    num_layers: int = 2
    label_share: float = 1.0  # of the num_steps - 1 label positions, those that are no padding

    @property
    def num_labels(self) -> float:
        """Labels of a batch."""
        return self.label_share * self.batch_size * (self.num_steps - 1)

    def shared_by(self, count: int) -> Setting:
        """The part of each of `count` devices, the largest one."""
        return dataclasses.replace(self, batch_size=-(-self.batch_size // count))


def recurrent_weights(setting: Setting) -> int:
    """Weights in the matrices of one side's LSTM: four gates, each of input and state."""
    first = 4 * setting.num_hiddens * (setting.embed_size + setting.num_hiddens)
    return first + (setting.num_layers - 1) * 4 * setting.num_hiddens * 2 * setting.num_hiddens


def num_weights(setting: Setting) -> int:
    """All parameters: two embeddings, two LSTMs with two biases a gate, the dense layer."""
    biases = setting.num_layers * 8 * setting.num_hiddens
    return (
        2 * setting.vocab_size * setting.embed_size
        + 2 * (recurrent_weights(setting) + biases)
        + setting.vocab_size * (setting.num_hiddens + 1)
    )


def recurrent_flops(setting: Setting) -> float:
    """Of an update, in the LSTMs: a weight is multiplied and added once forward, twice backward.

    The encoder reads padding too, and the decoder as far as its longest sentence goes.
    """
    tokens = setting.batch_size * (setting.num_steps + setting.num_steps - 1)
    return 6.0 * recurrent_weights(setting) * tokens


def dense_flops(setting: Setting) -> float:
    """Of an update, in the dense layer, which is taken of labels alone."""
    return 6.0 * setting.num_hiddens * setting.vocab_size * setting.num_labels


# What an update's time is a sum of: the name of a cost, and how many times it is paid.
PLAIN_TERMS: dict[str, Callable[[Setting], float]] = {
    'update': lambda setting: 1.0,
    'recurrent flop': recurrent_flops,
    'dense flop': dense_flops,
}
ALL_TERMS = {
    **PLAIN_TERMS,
    'step of a layer': lambda setting: setting.num_layers * (2.0 * setting.num_steps - 1),
    'weight': lambda setting: float(num_weights(setting)),
    'logit': lambda setting: setting.num_labels * setting.vocab_size,
    'gate': lambda setting: (
        4.0
        * setting.num_hiddens
        * setting.num_layers
        * setting.batch_size
        * (2 * setting.num_steps - 1)
    ),
}


def compute_seconds(costs: dict[str, float], setting: Setting) -> float:
    """An update's time on one device, by itself; `costs` are some of `ALL_TERMS`, in seconds."""
    return sum(cost * ALL_TERMS[name](setting) for name, cost in costs.items())


def fit_costs(features: Sequence[dict[str, float]], seconds: Sequence[float]) -> dict[str, float]:
    """The costs, none below 0, whose sums of relative errors squared are least.

    Parameters
    ----------
    features : sequence of dict of str to float
        For each measurement, how many times each cost is paid.
    seconds : sequence of float
        What was measured.
    """
    names = list(features[0])
    matrix = onp.array([[row[name] for name in names] for row in features])
    matrix /= onp.array(seconds)[:, None]
    scale = abs(matrix).max(axis=0)
    best, best_error = None, float('inf')
    # The solution is the unconstrained one of some of the costs; there are few, so all are tried.
    for size in range(1, len(names) + 1):
        for chosen in map(list, itertools.combinations(range(len(names)), size)):
            found, *_ = onp.linalg.lstsq(
                matrix[:, chosen] / scale[chosen], onp.ones(len(matrix)), rcond=None
            )
            error = ((matrix[:, chosen] / scale[chosen] @ found - 1) ** 2).sum()
            if (found >= 0).all() and error < best_error:
                best, best_error = dict(zip(chosen, found / scale[chosen])), error
    return {name: float(best.get(number, 0.0)) for number, name in enumerate(names)}


def sum_features(num_floats: int, num_workers: int, num_servers: int) -> dict[str, float]:
    """How many times the costs of a sum over workers on one machine are paid.

    Each worker sends all and gets all back, so what a server handles grows with the workers.
    """
    both_ways = 2.0 * BYTES * num_floats
    return {
        'sum': 1.0,
        'byte of a worker': both_ways,
        'byte of a server': both_ways * num_workers / servers_used(num_floats, num_servers),
    }


def servers_used(num_floats: int, num_servers: int) -> int:
    """Over how many servers a vector is spread: a small one stays whole."""
    return num_servers if num_floats >= WHOLE_BELOW else 1


def weighted(costs: dict[str, float], features: dict[str, float]) -> float:
    """The sum of costs, each as often as it is paid."""
    return sum(cost * features[name] for name, cost in costs.items())


@dataclass(frozen=True)
class Machine:
    """What a prediction assumes of a device and its surroundings; rates in units a second."""

    flops: float  # effective, of the matrix products of a full batch
    half_batch: float  # rows at which a recurrent step reaches half of that
    step: float  # a step of a layer: kernels that follow each other, forward and backward
    host: float  # Python and MXNet's engine, for each device of an update
    memory: float  # bytes read or written on a device
    link: float  # bytes between two devices of a machine
    server: float = float('inf')  # bytes that a server's thread can take in, add up and send
    latency: float = 0.0  # of a sum over workers


WEIGHT_BYTES = 60  # read and written for each weight: its gradient, norm, clipping, Adam


def device_seconds(setting: Setting, machine: Machine) -> float:
    """An update on a device by itself, without its host."""
    fill = setting.batch_size / (setting.batch_size + machine.half_batch)
    return (
        ALL_TERMS['step of a layer'](setting) * machine.step
        + recurrent_flops(setting) / (machine.flops * fill)
        + dense_flops(setting) / machine.flops
        + (WEIGHT_BYTES * num_weights(setting) + 24 * ALL_TERMS['logit'](setting)) / machine.memory
    )


def gather_seconds(size: int, num_devices: int, machine: Machine) -> float:
    """Gradients brought to the first device one after the other, added, weights brought back."""
    return (num_devices - 1) * size * BYTES * (2 / machine.link + 3 / machine.memory)


def machine_seconds(setting: Setting, num_devices: int, machine: Machine) -> float:
    """An update shared by the devices of one machine; the host runs ahead of them."""
    busy = device_seconds(setting.shared_by(num_devices), machine) + gather_seconds(
        num_weights(setting), num_devices, machine
    )
    return max(num_devices * machine.host, busy)


def server_seconds(
    num_bytes: float, num_workers: int, num_servers: int, network: float, machine: Machine
) -> float:
    """A sum by servers on machines of their own; 0 for one worker.

    All send, then all receive: the busiest link, or server, sets the pace.
    """
    if num_workers == 1:
        return 0.0
    both_ways = 2 * num_bytes
    load = both_ways * num_workers / servers_used(num_bytes // BYTES, num_servers)
    return machine.latency + max(both_ways / network, load / min(network, machine.server))


def ring_seconds(num_bytes: float, num_workers: int, network: float, machine: Machine) -> float:
    """A sum without a server: each worker sends to the next what it gets from the one before.

    All at the same time, in steps of a tenth of the latency of a server.
    """
    sent = 2 * num_bytes * (num_workers - 1) / num_workers
    return 2 * (num_workers - 1) * machine.latency / 10 + max(
        sent / network, 2 * sent / machine.server
    )


def cluster_seconds(
    setting: Setting, num_workers: int, num_servers: int, network: float, machine: Machine
) -> float:
    """An update of workers with a device each: computed, then summed up, nothing at once."""
    own = setting.shared_by(num_workers)
    return max(machine.host, device_seconds(own, machine)) + server_seconds(
        BYTES * num_weights(setting), num_workers, num_servers, network, machine
    )


def smallest_batch(is_enough: Callable[[int], bool], limit: int = 1 << 24) -> int | None:
    """The smallest power of two that is enough, if there is one up to a limit."""
    return next((1 << power for power in range(limit.bit_length()) if is_enough(1 << power)), None)
