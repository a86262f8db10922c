"""A model of the time of a training update, as a function of sizes and machines.

This file contains formulas only: it measures nothing, and does not need MXNet.  `scaling.py` fits
the costs to measurements, checks them against other measurements, and extrapolates.  The sizes are
those of the chapter's model (an LSTM encoder, an LSTM decoder and a dense layer), with the same
number of words on both sides.  Times are in seconds.
"""

from __future__ import annotations

import dataclasses
import itertools
from dataclasses import dataclass
from typing import Callable, Sequence

import numpy as onp

# Number of floats from which a vector is split among the servers: MXNET_KVSTORE_BIGARRAY_BOUND.
SPLIT_SIZE = 1_000_000
BYTES = 4  # per weight, and per element of its gradient on the wire
WEIGHT_BYTES = 60  # read and written per weight by an update: gradient, norm, clipping, Adam


@dataclass(frozen=True)
class Setting:
    """The sizes of a model and of its batches."""

    batch_size: int
    num_hiddens: int
    vocab_size: int
    num_steps: int
    embed_size: int
    num_layers: int = 2
    label_share: float = 1.0  # the share of the num_steps - 1 label positions that is not padding

    @property
    def num_labels(self) -> float:
        """The number of labels of a batch."""
        return self.label_share * self.batch_size * (self.num_steps - 1)

    def shared_by(self, count: int) -> Setting:
        """Return the setting of one of `count` devices that share a batch; the largest share."""
        return dataclasses.replace(self, batch_size=-(-self.batch_size // count))


def recurrent_weights(setting: Setting) -> int:
    """Return the number of weights in the matrices of one LSTM: four gates, input and state."""
    first = 4 * setting.num_hiddens * (setting.embed_size + setting.num_hiddens)
    return first + (setting.num_layers - 1) * 4 * setting.num_hiddens * 2 * setting.num_hiddens


def num_weights(setting: Setting) -> int:
    """Return the number of all weights.

    These are two embeddings, two LSTMs with two biases per gate, and the dense layer.
    """
    biases = setting.num_layers * 8 * setting.num_hiddens
    return (
        2 * setting.vocab_size * setting.embed_size
        + 2 * (recurrent_weights(setting) + biases)
        + setting.vocab_size * (setting.num_hiddens + 1)
    )


def recurrent_flops(setting: Setting) -> float:
    """Return the FLOPs of the LSTMs in an update.

    Each weight is multiplied and added once in the forward pass and twice in the backward pass.
    The encoder also reads padding, and the decoder runs as long as its longest sentence.
    """
    tokens = setting.batch_size * (setting.num_steps + setting.num_steps - 1)
    return 6.0 * recurrent_weights(setting) * tokens


def dense_flops(setting: Setting) -> float:
    """Return the FLOPs of the dense layer in an update; it is computed for labels only."""
    return 6.0 * setting.num_hiddens * setting.vocab_size * setting.num_labels


# The time of an update is a sum of costs.  For each cost, how many times it occurs in an update.
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
    """Return the time of an update on one device.

    Parameters
    ----------
    costs : dict of str to float
        Seconds of some or all of `ALL_TERMS`.
    setting : Setting
    """
    return sum(cost * ALL_TERMS[name](setting) for name, cost in costs.items())


def fit_costs(features: Sequence[dict[str, float]], seconds: Sequence[float]) -> dict[str, float]:
    """Return the non-negative costs with the least sum of squared relative errors.

    Parameters
    ----------
    features : sequence of dict of str to float
        For each measurement, how many times each cost occurs.
    seconds : sequence of float
        The measured times.
    """
    names = list(features[0])
    matrix = onp.array([[counts[name] for name in names] for counts in features])
    matrix /= onp.array(seconds)[:, None]
    scale = abs(matrix).max(axis=0)
    best, best_error = None, float('inf')
    # The solution is the unconstrained solution for a subset of the costs.  There are few subsets,
    # so all are tried.
    for size in range(1, len(names) + 1):
        for subset in map(list, itertools.combinations(range(len(names)), size)):
            solution, *_ = onp.linalg.lstsq(
                matrix[:, subset] / scale[subset], onp.ones(len(matrix)), rcond=None
            )
            error = ((matrix[:, subset] / scale[subset] @ solution - 1) ** 2).sum()
            if (solution >= 0).all() and error < best_error:
                best, best_error = dict(zip(subset, solution / scale[subset])), error
    return {name: float(best.get(number, 0.0)) for number, name in enumerate(names)}


def sum_features(num_floats: int, num_workers: int, num_servers: int) -> dict[str, float]:
    """Return how many times each cost occurs in a sum over workers on one machine.

    Each worker sends the whole vector and receives it back, so the load of a server grows with the
    number of workers.
    """
    both_ways = 2.0 * BYTES * num_floats
    return {
        'sum': 1.0,
        'byte of a worker': both_ways,
        'byte of a server': both_ways * num_workers / servers_used(num_floats, num_servers),
    }


def servers_used(num_floats: int, num_servers: int) -> int:
    """Return the number of servers among which a vector is split; a small one is not split."""
    return num_servers if num_floats >= SPLIT_SIZE else 1


def weighted(costs: dict[str, float], features: dict[str, float]) -> float:
    """Return the sum of the costs, each multiplied by the number of times it occurs."""
    return sum(cost * features[name] for name, cost in costs.items())


@dataclass(frozen=True)
class Machine:
    """The assumptions of a prediction about a device and its machine; rates are per second."""

    flops: float  # effective rate of the matrix products of a full batch
    half_batch: float  # sentences at which a recurrent step reaches half of that rate
    step: float  # seconds per step of a layer: kernels in sequence, forward and backward
    host: float  # seconds of Python and of MXNet's engine, per device and update
    memory: float  # bytes read or written on a device
    link: float  # bytes between two devices of a machine
    server: float = float('inf')  # bytes that one thread of a server receives, adds up and sends
    latency: float = 0.0  # seconds per sum over workers


def device_seconds(setting: Setting, machine: Machine) -> float:
    """Return the time of an update on one device, without its host."""
    utilization = setting.batch_size / (setting.batch_size + machine.half_batch)
    return (
        ALL_TERMS['step of a layer'](setting) * machine.step
        + recurrent_flops(setting) / (machine.flops * utilization)
        + dense_flops(setting) / machine.flops
        + (WEIGHT_BYTES * num_weights(setting) + 24 * ALL_TERMS['logit'](setting)) / machine.memory
    )


def gather_seconds(size: int, num_devices: int, machine: Machine) -> float:
    """Return the time to add up the gradients on the first device and to copy the weights back.

    The other devices take their turns one after the other.
    """
    return (num_devices - 1) * size * BYTES * (2 / machine.link + 3 / machine.memory)


def machine_seconds(setting: Setting, num_devices: int, machine: Machine) -> float:
    """Return the time of an update shared by the devices of a machine; the host runs ahead."""
    busy = device_seconds(setting.shared_by(num_devices), machine) + gather_seconds(
        num_weights(setting), num_devices, machine
    )
    return max(num_devices * machine.host, busy)


def server_seconds(
    num_bytes: float, num_workers: int, num_servers: int, network: float, machine: Machine
) -> float:
    """Return the time of a sum by servers on their own machines; 0 for one worker.

    All workers send, then all receive.  The busiest link or server determines the time.
    """
    if num_workers == 1:
        return 0.0
    both_ways = 2 * num_bytes
    load = both_ways * num_workers / servers_used(num_bytes // BYTES, num_servers)
    return machine.latency + max(both_ways / network, load / min(network, machine.server))


def ring_seconds(num_bytes: float, num_workers: int, network: float, machine: Machine) -> float:
    """Return the time of a sum in a ring: each worker sends to the next what it receives.

    All workers send at the same time.  A step of the ring has a tenth of the latency of a server.
    """
    sent = 2 * num_bytes * (num_workers - 1) / num_workers
    return 2 * (num_workers - 1) * machine.latency / 10 + max(
        sent / network, 2 * sent / machine.server
    )


def cluster_seconds(
    setting: Setting, num_workers: int, num_servers: int, network: float, machine: Machine
) -> float:
    """Return the time of an update of workers with one device each.

    The workers compute first and then sum up; the two do not overlap.
    """
    share = setting.shared_by(num_workers)
    return max(machine.host, device_seconds(share, machine)) + server_seconds(
        BYTES * num_weights(setting), num_workers, num_servers, network, machine
    )


def smallest_batch(is_enough: Callable[[int], bool], limit: int = 1 << 24) -> int | None:
    """Return the smallest power of two that is enough, or None if there is none up to a limit."""
    return next((1 << power for power in range(limit.bit_length()) if is_enough(1 << power)), None)
