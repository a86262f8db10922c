"""The contestant `fit`: python ours.py JOB

The job has the arrays, and the settings that differ from the book's under the names of the fields
in `config.py`.
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

from d2l_seq2seq import (  # noqa: E402
    BucketFeed,
    Feed,
    ModelConfig,
    TrainingConfig,
    build_model,
    fit,
    initialize,
)
from d2l_seq2seq._mxnet import mx, npx, seed_generators  # noqa: E402
from d2l_seq2seq.data.encoding import EncodedCorpus  # noqa: E402
from d2l_seq2seq.models.factory import INITIALIZERS  # noqa: E402
from d2l_seq2seq.training.trainer import update_rules  # noqa: E402


def read_config(config_class):
    """Return a configuration with the values that the job has for its fields."""
    names = {field.name for field in dataclasses.fields(config_class)} & set(job)
    return config_class(**{name: job[name] for name in names})


corpus = EncodedCorpus(*onp.load(job['arrays']).values())
config, training = read_config(ModelConfig), read_config(TrainingConfig)
seed_generators(training.seed)
model = build_model(config, job['src_vocab_size'], job['tgt_vocab_size'])
initialize(model, npx.cpu(), INITIALIZERS[config.initializer]())


def take_turns(metrics, state):
    """End a turn after an epoch, and wait for the next."""
    mx.nd.waitall()
    turns.end(getattr(metrics.train, job.get('reported_loss', 'book_loss')))
    turns.wait()


arguments = corpus, job['batch_size'], training.seed, npx.cpu()
feed = BucketFeed(*arguments, job['bucket_width']) if job.get('bucket_width') else Feed(*arguments)
turns.wait()
fit(
    model,
    feed,
    num_epochs=10**6,
    lr=training.lr,
    on_epoch_end=take_turns,
    rules=update_rules(training, npx.cpu()),
)
