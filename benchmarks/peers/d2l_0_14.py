"""The contestant d2l 0.14.0, its own train_s2s_ch9: python d2l_0_14.py JOB"""

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
    """The data loader; each time the loop asks for an epoch of it, the turn is handed on."""

    def __init__(self, loader):
        self.loader = loader

    def __iter__(self):
        nd.waitall()
        if len(Recorded.made) > 1:
            loss_sum, num_tokens = Recorded.made[-2].data  # the last one is this epoch's, empty
            turns.end(loss_sum / num_tokens)
        turns.wait()
        return iter(self.loader)


arrays = [
    np.array(array) if array.ndim == 2 else np.array(array, dtype='int64')
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
