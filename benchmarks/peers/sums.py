"""The time of sums over all workers: python sums.py JOB, on each worker.

The job has the numbers of floats and the number of rounds.  Worker 0 prints a line of JSON with the
seconds for each vector and round.
"""

import json
import sys
import time
from pathlib import Path

sys.path.insert(0, str(Path(__file__).resolve().parents[2]))
from d2l_seq2seq._mxnet import mx  # noqa: E402
from d2l_seq2seq.engine.workers import KVStoreWorkers  # noqa: E402

job = json.loads(Path(sys.argv[1]).read_text())
workers = KVStoreWorkers()
vectors = [mx.nd.ones(count) for count in job['num_floats']]


def fastest_sum(vector, num_sums=8):
    """Return the seconds of the fastest sum, which was disturbed least by other processes."""
    times = []
    for _ in range(num_sums):
        workers.any(False)  # all workers begin at the same time
        start = time.perf_counter()
        workers.sum([vector])[0].wait_to_read()
        times.append(time.perf_counter() - start)
    return min(times)


rounds = [[fastest_sum(vector) for vector in vectors] for _ in range(job['num_rounds'] + 1)]
print(json.dumps({'seconds': list(zip(*rounds[1:]))}))  # without the first round, a warm-up
