"""The OpenGenus article's model in Keras and TensorFlow Addons: python keras_opengenus.py JOB"""

import json
import os
import sys
from pathlib import Path

os.environ['TF_CPP_MIN_LOG_LEVEL'] = '3'
os.environ['TF_USE_LEGACY_KERAS'] = '1'
import numpy as np  # noqa: E402
import tensorflow as tf  # noqa: E402
import tensorflow_addons as tfa  # noqa: E402
from tensorflow import keras  # noqa: E402

sys.path.insert(0, str(Path(__file__).resolve().parents[1]))
from rounds import Turns  # noqa: E402

job = json.loads(Path(sys.argv[1]).read_text())
turns = Turns()
src, _, tgt, _ = np.load(job['arrays']).values()
tf.keras.utils.set_random_seed(job['seed'])


class TurnTaking(keras.callbacks.Callback):
    """A callback that makes each epoch a turn."""

    def on_epoch_begin(self, epoch, logs=None):
        turns.wait()

    def on_epoch_end(self, epoch, logs=None):
        turns.end(logs['loss'])


enc_X, dec_X = (keras.layers.Input(shape=[None], dtype=np.int32) for _ in range(2))
embedding = keras.layers.Embedding(job['src_vocab_size'], job['embed_size'])
_, *state = keras.layers.LSTM(job['num_hiddens'], return_state=True)(embedding(enc_X))
decoder = tfa.seq2seq.BasicDecoder(
    keras.layers.LSTMCell(job['num_hiddens']),
    tfa.seq2seq.sampler.TrainingSampler(),
    output_layer=keras.layers.Dense(job['tgt_vocab_size']),
)
lengths = keras.layers.Input(shape=[], dtype=np.int32)
outputs, _, _ = decoder(embedding(dec_X), initial_state=state, sequence_length=lengths)
model = keras.Model([enc_X, dec_X, lengths], tf.nn.softmax(outputs.rnn_output))
model.compile(loss='sparse_categorical_crossentropy', optimizer='adam')
model.fit(
    [src, tgt[:, :-1], np.full(len(src), tgt.shape[1] - 1)],
    tgt[:, 1:],
    batch_size=job['batch_size'],
    epochs=10**6,
    verbose=0,
    callbacks=[TurnTaking()],
)
