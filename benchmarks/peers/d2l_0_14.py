"""The contestant d2l 0.14.0, with its own train_s2s_ch9: python d2l_0_14.py JOB"""

import json
import sys
from pathlib import Path

import numpy as onp
from mxnet import cpu, nd, np, npx
from mxnet import random as mx_random

sys.path.insert(0, str(Path(__file__).resolve().parents[1]))
from quiet_d2l import Recorded, d2l  # noqa: E402
from rounds import Turns  # noqa: E402

npx.set_np()
job = json.loads(Path(sys.argv[1]).read_text())
turns = Turns()


class TurnTaking:
    """A data loader that ends one turn and waits for the next whenever an epoch begins."""

    def __init__(self, loader):
        self.loader = loader

    def __iter__(self):
        nd.waitall()
        if len(Recorded.made) > 1:
            # The last accumulator is that of the epoch that begins, which is still empty.
            loss_sum, num_tokens = Recorded.made[-2].data
            turns.end(loss_sum / num_tokens)
        turns.wait()
        return iter(self.loader)


arrays = [
    np.array(array, dtype='float32' if array.ndim == 2 else 'int64')  # as load_data_nmt has them
    for array in onp.load(job['arrays']).values()
]
mx_random.seed(0)
onp.random.seed(0)
sizes = job['embed_size'], job['num_hiddens'], job['num_layers']
model = d2l.EncoderDecoder(
    d2l.Seq2SeqEncoder(job['src_vocab_size'], *sizes),
    d2l.Seq2SeqDecoder(job['tgt_vocab_size'], *sizes),
)
d2l.train_s2s_ch9(
    model, TurnTaking(d2l.load_array(arrays, job['batch_size'])), job['lr'], 10**6, cpu()
)
