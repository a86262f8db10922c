"""How long a sum over all workers takes: python sums.py JOB, by each of them.

The job has the numbers of floats and the number of rounds.  Worker 0's line of JSON has the seconds
for each vector and round.
"""

import json
import sys
import time
from pathlib import Path

sys.path.insert(0, str(Path(__file__).resolve().parents[2]))
from d2l_seq2seq._mxnet import mx  # noqa: E402
from d2l_seq2seq.engine.workers import KVStoreWorkers  # noqa: E402

job = json.loads(Path(sys.argv[1]).read_text())
group = KVStoreWorkers()
vectors = [mx.nd.ones(count) for count in job['num_floats']]


def fastest_of(vector, num_sums=8):
    """Seconds of a sum, the one that was disturbed least; all workers begin at once."""
    times = []
    for _ in range(num_sums):
        group.any(False)
        start = time.perf_counter()
        group.sum([vector])[0].wait_to_read()
        times.append(time.perf_counter() - start)
    return min(times)


rounds = [[fastest_of(vector) for vector in vectors] for _ in range(job['num_rounds'] + 1)]
print(json.dumps({'seconds': list(zip(*rounds[1:]))}))
