"""The tables of parts 1 to 3 of scaling.md: the measurements compared with the model.

Each function that ends in ``_tables`` returns the texts of a part of the page, by the names that
scaling_page.txt has for them.  The tables of part 4 are in `scaling_predictions`.
"""

from __future__ import annotations

import math
import statistics

from scaling_measure import JOBS, NUM_FLOATS, RUNS, SETTINGS, SETUPS
from scaling_model import (
    ALL_TERMS,
    BYTES,
    PLAIN_TERMS,
    Setting,
    compute_seconds,
    dense_flops,
    fit_costs,
    num_weights,
    recurrent_flops,
    sum_features,
    weighted,
)

FITTED_FLOATS = {50_000, 1_000_000, 10_000_000}  # with one server; the other sums are checked
POLL_INTERVAL = 4  # updates between two small sums that ask whether a worker has had a signal


def update_tables(measured: dict) -> tuple[dict[str, str], dict[str, float]]:
    """Return the texts of part 1, and the costs of the full model in seconds."""
    models = {
        name: fit_costs(_count_terms(terms, SETTINGS[::2]), measured['update'][::2])
        for name, terms in (('plain', PLAIN_TERMS), ('full', ALL_TERMS))
    }
    ratios = {
        name: [
            compute_seconds(costs, setting) / seconds
            for setting, seconds in zip(SETTINGS, measured['update'])
        ]
        for name, costs in models.items()
    }
    checked = {f'{name}_error': error_factor(ratios[name][1::2]) for name in models}
    texts = {
        'costs': _cost_table(models, ratios),
        'updates': _update_table(measured, ratios),
        **checked,
    }
    return texts, models['full']


def _count_terms(terms: dict, settings: list[Setting]) -> list[dict[str, float]]:
    """Return how many times each cost occurs at each setting."""
    return [{name: count(setting) for name, count in terms.items()} for setting in settings]


def _cost_table(models: dict, ratios: dict) -> str:
    lines = table('cost of', 'plain model', 'full model')
    for name in ALL_TERMS:
        article = 'a' if name[0] not in 'aeiou' else 'an'
        lines.append(
            row(
                f'{article} {name}',
                *(format_cost(name, costs.get(name)) for costs in models.values()),
            )
        )
    for label, part in (('fitted', slice(0, None, 2)), ('checked', slice(1, None, 2))):
        lines.append(
            row(
                f'typical (largest) error factor, {label} rows',
                *(error_factor(ratios[name][part]) for name in models),
            )
        )
    return '\n'.join(lines)


def _update_table(measured: dict, ratios: dict) -> str:
    lines = table(
        'batch',
        'hidden units',
        'words',
        'steps',
        'labels',
        'GFLOP',
        'ms',
        'host, ms',
        'plain',
        'full',
        'used to',
    )
    for number, setting in enumerate(SETTINGS):
        lines.append(
            row(
                setting.batch_size,
                setting.num_hiddens,
                f'{setting.vocab_size:,}',
                setting.num_steps,
                f'{setting.num_labels:.0f}',
                f'{(recurrent_flops(setting) + dense_flops(setting)) / 1e9:.2f}',
                f'{measured["update"][number] * 1e3:.2f}',
                f'{measured["host"][number] * 1e3:.2f}',
                f'{ratios["plain"][number]:.2f}',
                f'{ratios["full"][number]:.2f}',
                'check' if number % 2 else 'fit',
            )
        )
    return '\n'.join(lines)


def sum_tables(measured: dict) -> tuple[dict[str, str], dict[str, float]]:
    """Return the texts of part 2, and the costs of a sum in seconds."""
    points = [
        (count, *job, seconds)
        for job in JOBS
        for count, seconds in zip(NUM_FLOATS, measured[str(job)][1:])
    ]
    fitted = [point for point in points if point[2] == 1 and point[0] in FITTED_FLOATS]
    costs = fit_costs(
        [sum_features(*point[:3]) for point in fitted], [point[3] for point in fitted]
    )
    lines = table(
        'floats', 'workers', 'servers', 'MB on the wire', 'ms', 'predicted / measured', 'used to'
    )
    ratios = {point: weighted(costs, sum_features(*point[:3])) / point[3] for point in points}
    for point in points:
        count, num_workers, num_servers, seconds = point
        lines.append(
            row(
                f'{count:,}',
                num_workers,
                num_servers,
                f'{2 * BYTES * count * num_workers / 1e6:.1f}',
                f'{seconds * 1e3:.2f}',
                f'{ratios[point]:.2f}',
                'fit' if point in fitted else 'check',
            )
        )
    rates = {
        name: f'{1e-9 / cost:.2f} GB/s' if cost else 'no limit'
        for name, cost in costs.items()
        if name != 'sum'
    }
    return {
        'sums': '\n'.join(lines),
        'latency': f'{costs["sum"] * 1e3:.2f} ms',
        'small_sum': f'{measured["(2, 1)"][0] * 1e3:.2f} ms',
        'worker_rate': rates['byte of a worker'],
        'server_rate': rates['byte of a server'],
        'sums_error': error_factor([ratios[point] for point in points if point not in fitted]),
    }, costs


def run_tables(
    measured: dict, compute_costs: dict, sum_costs: dict, gather_rate: float
) -> dict[str, str]:
    """Return the texts of part 3."""
    lines = table(
        'size',
        'setup',
        'ms',
        'predicted, ms',
        'predicted / measured',
        'speed-up',
        'predicted speed-up',
    )
    first = next(iter(SETUPS))
    ratios = []
    for size, (setting, *_) in RUNS.items():
        predicted = {
            setup: _predict_run(setting, setup, compute_costs, sum_costs, gather_rate)
            for setup in SETUPS
        }
        for setup, seconds in measured[size].items():
            prediction = predicted[setup]
            ratios += [prediction / seconds] if prediction else []
            lines.append(
                row(
                    size,
                    setup,
                    f'{seconds * 1e3:.2f}',
                    f'{prediction * 1e3:.2f}' if prediction else '',
                    f'{prediction / seconds:.2f}' if prediction else '',
                    f'{measured[size][first] / seconds:.2f}',
                    f'{predicted[first] / prediction:.2f}' if prediction else '',
                )
            )
    return {
        'runs': '\n'.join(lines),
        'runs_error': error_factor(ratios),
        'gather': f'{gather_rate / 1e9:.1f} GB/s',
        **{f'{size}_weights': f'{num_weights(setting):,}' for size, (setting, *_) in RUNS.items()},
    }


def _predict_run(
    setting: Setting, setup: str, compute_costs: dict, sum_costs: dict, gather_rate: float
) -> float | None:
    """Return the predicted seconds per update of a training on this machine.

    The formula is that of part 3 of the page.  The model has one thread per device, so the result
    is None for more.
    """
    num_workers, num_devices, threads, has_server = SETUPS[setup]
    if threads > 1:
        return None
    size = num_weights(setting)
    seconds = compute_seconds(compute_costs, setting.shared_by(num_workers * num_devices))
    seconds += (num_devices - 1) * BYTES * size / gather_rate
    if has_server:
        seconds += weighted(sum_costs, sum_features(size, num_workers, 1))
        seconds += sum_costs['sum'] / POLL_INTERVAL
    return seconds


def error_factor(ratios: list[float]) -> str:
    """Return the median and the maximum of the factors between predictions and measurements."""
    factors = [math.exp(abs(math.log(ratio))) for ratio in ratios]
    return f'{statistics.median(factors):.2f} ({max(factors):.2f})'


def format_cost(name: str, cost: float | None) -> str:
    """Return a cost as text: a rate for FLOPs, and a time for all others."""
    if not cost:
        return '' if cost is None else '0'
    if name.endswith('flop'):
        return f'1 / ({1e-9 / cost:.0f} GFLOP/s)'
    return f'{cost * 1e6:.0f} µs' if cost > 1e-6 else f'{cost * 1e9:.2f} ns'


def table(*titles: str) -> list[str]:
    """Return the first two lines of a table in Markdown."""
    return [row(*titles), '|' + '---|' * len(titles)]


def row(*cells) -> str:
    """Return a line of a table in Markdown."""
    return f'| {" | ".join(map(str, cells))} |'
