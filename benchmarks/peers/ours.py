"""The contestant `fit`: python ours.py JOB

The job names the arrays and, by their names in `config.py`, what differs from the book's settings.
"""

import dataclasses
import json
import sys
from pathlib import Path

sys.path[:0] = [str(Path(__file__).resolve().parents[number]) for number in (1, 2)]
from rounds import Turns  # noqa: E402

job = json.loads(Path(sys.argv[1]).read_text())
turns = Turns()
from d2l_seq2seq._runtime import choose_threads  # noqa: E402

choose_threads(job['batch_size'], job['num_hiddens'])
import numpy as onp  # noqa: E402

from d2l_seq2seq import BucketFeed, Feed, ModelConfig, TrainingConfig, build_model, fit, initialize  # noqa: E402
from d2l_seq2seq._mxnet import mx, npx, seed_generators  # noqa: E402
from d2l_seq2seq.data.encoding import EncodedCorpus  # noqa: E402
from d2l_seq2seq.data.pipeline import update_rules  # noqa: E402
from d2l_seq2seq.models.factory import INITIALIZERS


def config_of(config_class):
    """The configuration that the job's fields of it make up."""
    names = {field.name for field in dataclasses.fields(config_class)} & set(job)
    return config_class(**{name: job[name] for name in names})


arrays = EncodedCorpus(*(array for array in onp.load(job['arrays']).values()))
config, training = config_of(ModelConfig), config_of(TrainingConfig)
seed_generators(training.seed)
model = build_model(config, job['src_vocab_size'], job['tgt_vocab_size'])
initialize(model, npx.cpu(), INITIALIZERS[config.initializer]())


def between_epochs(metrics, state):
    """Hand the turn on."""
    mx.nd.waitall()
    turns.end(getattr(metrics.train, job.get('reported_loss', 'book_loss')))
    turns.wait()


common = arrays, job['batch_size'], training.seed, npx.cpu()
feed = BucketFeed(*common, job['bucket_width']) if job.get('bucket_width') else Feed(*common)
turns.wait()
fit(
    model,
    feed,
    num_epochs=10**6,
    lr=training.lr,
    on_epoch_end=between_epochs,
    rules=update_rules(training, npx.cpu()),
)
