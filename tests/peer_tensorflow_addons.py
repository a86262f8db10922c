"""Runs a model in TensorFlow Addons with its samplers; see models/test_tensorflow_samplers.py.

Usage: python peer_tensorflow_addons.py JOB RESULT

JOB is an .npz file with the token ids ``src`` (batch_size, num_src_steps), ``dec_X`` and ``labels``
(batch_size, num_tgt_steps), the weights of a model by name, in Keras's layout, and the settings of
the samplers.  RESULT is written as an .npz file with an array for each sampler and quantity, such
as ``GreedyEmbeddingSampler.logits``.
"""

import os
import sys
import warnings

os.environ['TF_CPP_MIN_LOG_LEVEL'] = '3'
os.environ['TF_USE_LEGACY_KERAS'] = '1'
warnings.simplefilter('ignore')  # TensorFlow Addons says that it is no longer developed
import numpy as np  # noqa: E402
import tensorflow as tf  # noqa: E402
from tensorflow import keras  # noqa: E402
from tensorflow_addons.seq2seq import BasicDecoder, sampler  # noqa: E402


def main(job_path, result_path):
    job = dict(np.load(job_path))
    model = Model(job)
    tf.random.set_seed(int(job['seed']))
    results = {}
    for name, run in RUNS.items():
        for quantity, value in run(model, job).items():
            results[f'{name}.{quantity}'] = np.asarray(value)
    np.savez(result_path, **results)


class Model:
    """The article's encoder and decoder with given weights, for any sampler."""

    def __init__(self, job):
        self.embedding = tf.Variable(job['embedding'])
        num_hiddens = job['encoder.recurrent_kernel'].shape[0]
        layer, cell = {
            'lstm': (keras.layers.LSTM, keras.layers.LSTMCell),
            'gru': (keras.layers.GRU, keras.layers.GRUCell),
        }[str(job['cell'])]
        self.encoder = layer(num_hiddens, return_state=True)
        self.cell, self.dense = cell(num_hiddens), keras.layers.Dense(job['dense.bias'].size)
        self.src, self.dec_X = job['src'], job['dec_X']
        self.labels, self.num_steps = job['labels'], job['dec_X'].shape[1]
        embed_size = job['embedding'].shape[1]
        self.encoder.build((None, None, embed_size))
        self.cell.build((None, embed_size))
        self.dense.build((None, num_hiddens))
        for part in ('encoder', 'cell', 'dense'):
            names = (
                ['kernel', 'recurrent_kernel', 'bias'] if part != 'dense' else ['kernel', 'bias']
            )
            getattr(self, part).set_weights([job[f'{part}.{name}'] for name in names])

    def embed(self, ids):
        return tf.nn.embedding_lookup(self.embedding, ids)

    def decode(self, a_sampler, inputs, **options):
        """Return the logits, the token ids of the sampler, and the lengths."""
        _, *state = self.encoder(self.embed(self.src))
        decoder = BasicDecoder(
            self.cell, a_sampler, output_layer=self.dense, maximum_iterations=self.num_steps
        )
        state = state if len(state) > 1 else state[0]
        outputs, _, lengths = decoder(inputs, initial_state=state, **options)
        return outputs.rnn_output, outputs.sample_id, lengths

    def teach(self, a_sampler, **options):
        """Decode with the target's tokens as inputs."""
        lengths = np.full(len(self.src), self.num_steps, 'int32')
        return self.decode(a_sampler, self.embed(self.dec_X), sequence_length=lengths, **options)

    def infer(self, a_sampler, end_id):
        """Decode with the sampler's own tokens as inputs."""
        options = {'start_tokens': self.dec_X[:, 0], 'end_token': end_id}
        return self.decode(a_sampler, self.embedding, **options)


def losses_of(model, logits):
    """Return the negative log-likelihood of each label."""
    return tf.nn.sparse_softmax_cross_entropy_with_logits(model.labels, logits)


def training(model, job):
    with tf.GradientTape() as tape:
        logits, ids, _ = model.teach(sampler.TrainingSampler())
        losses = losses_of(model, logits)
        loss = tf.reduce_sum(losses)
    gradient = tape.gradient(loss, model.dense.kernel)
    return {'logits': logits, 'ids': ids, 'losses': losses, 'gradient': gradient}


def greedy_training(model, job):
    """A greedy sampler in training: an end token that no model predicts."""
    with tf.GradientTape() as tape:
        logits, ids, _ = model.infer(sampler.GreedyEmbeddingSampler(), -1)
        losses = losses_of(model, logits)
        loss = tf.reduce_sum(losses)
    gradient = tape.gradient(loss, model.dense.kernel)
    return {'logits': logits, 'ids': ids, 'losses': losses, 'gradient': gradient}


def greedy_inference(model, job):
    _, ids, lengths = model.infer(sampler.GreedyEmbeddingSampler(), int(job['eos_id']))
    return {'ids': ids, 'lengths': lengths}


def scheduled(probability):
    def run(model, job):
        logits, ids, _ = model.teach(
            sampler.ScheduledEmbeddingTrainingSampler(probability), embedding=model.embedding
        )
        return {'logits': logits, 'ids': ids}

    return run


def alternating(model, job):
    """The target's token and the model's own in turns, with a sampler of one's own."""
    inputs = tf.transpose(model.embed(model.dec_X), [1, 0, 2])
    finished = tf.zeros(len(model.src), tf.bool)

    def next_inputs(time, outputs, state, sample_ids):
        step = time + 1
        target = inputs[tf.minimum(step, model.num_steps - 1)]
        own = model.embed(sample_ids)
        is_over = tf.fill([len(model.src)], step >= model.num_steps)
        return is_over, tf.where(step % 2 == 0, target, own), state

    logits, ids, _ = model.decode(
        sampler.CustomSampler(
            initialize_fn=lambda *arguments, **options: (finished, inputs[0]),
            sample_fn=lambda time, outputs, state: tf.argmax(outputs, -1, output_type=tf.int32),
            next_inputs_fn=next_inputs,
        ),
        model.embedding,
    )
    return {'logits': logits, 'ids': ids}


def inference(model, job):
    """A greedy sampler that is made of functions."""
    logits, ids, _ = model.decode(
        sampler.InferenceSampler(
            sample_fn=lambda outputs: tf.argmax(outputs, -1, output_type=tf.int32),
            sample_shape=[],
            sample_dtype=tf.int32,
            end_fn=lambda ids: tf.zeros_like(ids, tf.bool),
            next_inputs_fn=model.embed,
        ),
        model.embed(model.dec_X[:, 0]),
    )
    return {'logits': logits, 'ids': ids}


def cold_sampling(model, job):
    _, ids, _ = model.infer(sampler.SampleEmbeddingSampler(softmax_temperature=1e-4), -1)
    return {'ids': ids}


def sampling(model, job):
    """The first tokens of many samples of the first sentence."""
    num_samples = int(job['num_samples'])
    src, dec_X = model.src, model.dec_X
    model.src, model.dec_X = (np.repeat(ids[:1], num_samples, axis=0) for ids in (src, dec_X))
    _, ids, _ = model.infer(sampler.SampleEmbeddingSampler(), -1)
    model.src, model.dec_X = src, dec_X
    return {'first_ids': ids[:, 0]}


RUNS = {
    'TrainingSampler': training,
    'GreedyEmbeddingSampler': greedy_training,
    'GreedyEmbeddingSampler-eos': greedy_inference,
    'ScheduledEmbeddingTrainingSampler-0': scheduled(0.0),
    'ScheduledEmbeddingTrainingSampler-0.5': scheduled(0.5),
    'ScheduledEmbeddingTrainingSampler-1': scheduled(1.0),
    'CustomSampler': alternating,
    'InferenceSampler': inference,
    'SampleEmbeddingSampler-cold': cold_sampling,
    'SampleEmbeddingSampler': sampling,
}


if __name__ == '__main__':
    main(*sys.argv[1:])
