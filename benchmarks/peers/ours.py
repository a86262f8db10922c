"""The contestant `fit`: python ours.py JOB"""
import json
import sys
from pathlib import Path

sys.path[:0] = [str(Path(__file__).resolve().parents[number]) for number in (1, 2)]
from rounds import Turns  # noqa: E402

job = json.loads(Path(sys.argv[1]).read_text())
turns = Turns()
from d2l_seq2seq.runtime import choose_threads  # noqa: E402

choose_threads(job['batch_size'], job['num_hiddens'])
import numpy as onp  # noqa: E402
from d2l_seq2seq import (BucketFeed, Feed, ModelConfig, build_model, fit,  # noqa: E402
                         initialize)
from d2l_seq2seq._mxnet import mx, np, npx, seed_generators  # noqa: E402
from d2l_seq2seq.data import Batch  # noqa: E402

arrays = Batch(*(np.array(array) for array in onp.load(job['arrays']).values()))
seed_generators(0)
sizes = ModelConfig(job['embed_size'], job['num_hiddens'], job['num_layers'])
model = build_model(sizes, job['src_vocab_size'], job['tgt_vocab_size'])
initialize(model, npx.cpu())


def between_epochs(metrics, state):
    """Hand the turn on."""
    mx.nd.waitall()
    turns.end(metrics.train.book_loss)
    turns.wait()


feed = (BucketFeed(arrays, job['batch_size'], 0, npx.cpu(), job['bucket_width'])
        if job['bucket_width'] else Feed(arrays, job['batch_size'], 0, npx.cpu()))
turns.wait()
fit(model, feed, num_epochs=10 ** 6, lr=job['lr'], on_epoch_end=between_epochs)
