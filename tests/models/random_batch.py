"""A small random batch, and the logits of a model for it, for the tests of this folder."""

import numpy as onp

from d2l_seq2seq._mxnet import np, npx
from d2l_seq2seq.data.encoding import EncodedCorpus

VOCAB_SIZE, NUM_SENTENCES, NUM_STEPS = 20, 9, 7
CTX = npx.cpu()


def random_batch(seed):
    """Sentences of random tokens and lengths, padded with id 1, as MXNet arrays."""
    rng = onp.random.RandomState(seed)

    def sentences(min_length):
        lengths = rng.randint(min_length, NUM_STEPS + 1, NUM_SENTENCES)
        ids = rng.randint(4, VOCAB_SIZE, (NUM_SENTENCES, NUM_STEPS))
        return np.array(
            onp.where(onp.arange(NUM_STEPS) < lengths[:, None], ids, 1), dtype='float32'
        ), np.array(lengths)

    return EncodedCorpus(*sentences(1), *sentences(2))


def on_host(batch):
    return EncodedCorpus(*(array.asnumpy() for array in batch))


def logits_of(model, batch):
    return model(batch.src, batch.tgt[:, :-1], batch.src_valid_len, batch.tgt_valid_len)[0]
