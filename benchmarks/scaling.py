"""The scaling of the training, measured and predicted: python scaling.py [MEASUREMENTS]

The script fits the costs of `scaling_model` to half of the measured settings, and checks them with
the other half.  It measures sums over workers, and trainings with several workers and devices, and
predicts the speed of machines that are not available.  It writes scaling.md, which is
scaling_page.txt with the tables filled in.  MEASUREMENTS is a JSON file: measurements that it
contains are not repeated, and new ones are written to it.
"""

from __future__ import annotations

import json
import string
import sys
import tempfile
import time
from pathlib import Path

from scaling_measure import NUM_ROUNDS, measure_runs, measure_sums, measure_updates
from scaling_predictions import prediction_tables
from scaling_tables import run_tables, sum_tables, update_tables
from training_speed import HERE, describe_machine

MEASUREMENTS = {'updates': measure_updates, 'sums': measure_sums, 'runs': measure_runs}


def main() -> None:
    """Measure, and write the page."""
    measured = measure(Path(sys.argv[1]) if len(sys.argv) > 1 else None)
    update_texts, compute_costs = update_tables(measured['updates'])
    sum_texts, sum_costs = sum_tables(measured['sums'])
    page = string.Template((HERE / 'scaling_page.txt').read_text(encoding='utf-8'))
    text = page.substitute(
        num_rounds=NUM_ROUNDS,
        machine_here=describe_machine(),
        **update_texts,
        **sum_texts,
        **run_tables(
            measured['runs'], compute_costs, sum_costs, measured['updates']['gather_rate']
        ),
        **prediction_tables(sum_costs),
    )
    print(text)
    (HERE / 'scaling.md').write_text(text, encoding='utf-8')


def measure(path: Path | None) -> dict:
    """Return all measurements, and save them to a file if there is one.

    Parameters
    ----------
    path : Path, optional
        A JSON file.  The measurements that it contains are not repeated.
    """
    measured = json.loads(path.read_text()) if path and path.exists() else {}
    with tempfile.TemporaryDirectory() as folder:
        for name, function in MEASUREMENTS.items():
            if name not in measured:
                start = time.perf_counter()
                measured[name] = function(Path(folder))
                print(f'{name}: {time.perf_counter() - start:.0f} s', flush=True)
                if path:
                    path.write_text(json.dumps(measured))
    return measured


if __name__ == '__main__':
    main()
