"""The interface of encoders and decoders (section 9.6)."""

import pytest

from d2l_seq2seq import Decoder, Encoder, EncoderDecoder, Seq2SeqDecoder, Seq2SeqEncoder
from d2l_seq2seq._mxnet import nn, np, rnn


def test_missing_methods_are_named():
    for block, arguments in ((Encoder(), (1,)), (Decoder(), (1, 2))):
        with pytest.raises(NotImplementedError, match='must define forward'):
            block(*arguments)
    with pytest.raises(NotImplementedError, match='must define init_state'):
        Decoder().init_state(1)


def test_the_chapters_blocks_are_encoders_and_decoders():
    assert issubclass(Seq2SeqEncoder, Encoder) and issubclass(Seq2SeqDecoder, Decoder)


def test_plain_gluon_blocks_fit_the_interface():
    """A GRU encoder and decoder as a reader of the book would write them."""

    class GRUEncoder(Encoder):
        def __init__(self):
            super().__init__()
            self.words = nn.Sequential()  # a child that cannot be hybridized
            self.words.add(nn.Embedding(10, 4))
            self.rnn = rnn.GRU(6)

        def forward(self, X, *args):
            X = self.words(X).swapaxes(0, 1)
            return self.rnn(X, self.rnn.begin_state(batch_size=X.shape[1], ctx=X.ctx))

    class GRUDecoder(Decoder):
        def __init__(self):
            super().__init__()
            self.words, self.rnn = nn.Embedding(10, 4), rnn.GRU(6)
            self.dense = nn.Dense(10, flatten=False)

        def init_state(self, enc_outputs, *args):
            return enc_outputs[1]

        def forward(self, X, state):
            out, state = self.rnn(self.words(X).swapaxes(0, 1), state)
            return self.dense(out).swapaxes(0, 1), state

    model = EncoderDecoder(GRUEncoder(), GRUDecoder())
    model.initialize()
    logits, state = model(np.zeros((2, 3)), np.zeros((2, 5)), np.array([3, 1]))
    assert logits.shape == (2, 5, 10) and len(state) == 1
