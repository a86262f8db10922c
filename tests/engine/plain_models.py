"""Models of plain blocks, as readers of the book write them."""

import math

from d2l_seq2seq import book as d2l
from d2l_seq2seq._mxnet import autograd, nn, np, npx, rnn


class GRUEncoder(d2l.Encoder):
    """The chapter's encoder with another cell."""

    def __init__(self, vocab_size, embed_size, num_hiddens, num_layers):
        super().__init__()
        self.embedding = nn.Embedding(vocab_size, embed_size)
        self.rnn = rnn.GRU(num_hiddens, num_layers)

    def forward(self, X, *args):
        X = self.embedding(X).swapaxes(0, 1)
        return self.rnn(X, self.rnn.begin_state(batch_size=X.shape[1], ctx=X.ctx))


class GRUDecoder(d2l.Decoder):
    """The chapter's decoder with another cell."""

    def __init__(self, vocab_size, embed_size, num_hiddens, num_layers):
        super().__init__()
        self.embedding = nn.Embedding(vocab_size, embed_size)
        self.rnn = rnn.GRU(num_hiddens, num_layers)
        self.dense = nn.Dense(vocab_size, flatten=False)

    def init_state(self, enc_outputs, *args):
        return enc_outputs[1]

    def forward(self, X, state):
        outputs, state = self.rnn(self.embedding(X).swapaxes(0, 1), state)
        return self.dense(outputs).swapaxes(0, 1), state


class DeeperDecoder(d2l.Seq2SeqDecoder):
    """The chapter's decoder with one more layer, and dropout before it."""

    dropout_rate = 0.0

    def __init__(self, vocab_size, embed_size, num_hiddens, num_layers):
        super().__init__(vocab_size, embed_size, num_hiddens, num_layers)
        self.dropout = nn.Dropout(self.dropout_rate)
        self.hidden = nn.Dense(num_hiddens, activation='tanh', flatten=False)

    def forward(self, X, state):
        outputs, state = self.rnn(self.embedding(X).swapaxes(0, 1), state)
        outputs = self.hidden(self.dropout(outputs))
        return self.dense(outputs).swapaxes(0, 1), state


class DropoutDecoder(DeeperDecoder):
    """The decoder above with a dropout that is not 0."""

    dropout_rate = 0.5


class PositionEncoder(d2l.Seq2SeqEncoder):
    """An encoder that adds constants: an attribute, one that is created, and the valid lengths."""

    def __init__(self, vocab_size, embed_size, num_hiddens, num_layers):
        super().__init__(vocab_size, embed_size, num_hiddens, num_layers)
        self.scales = [np.arange(embed_size) / embed_size]

    def forward(self, X, valid_len, *args):
        num_steps = X.shape[1]
        X = self.embedding(X) * math.sqrt(2)
        X = X + np.expand_dims(np.arange(num_steps, ctx=X.ctx), axis=1) / num_steps
        X = npx.sequence_mask(X * self.scales[0], valid_len, True, axis=1).swapaxes(0, 1)
        return self.rnn(X, self.rnn.begin_state(batch_size=X.shape[1], ctx=X.ctx))


class ModeEncoder(d2l.Seq2SeqEncoder):
    """An encoder that computes something else in training, as the decoder of section 10.3 does."""

    def forward(self, X, *args):
        outputs, state = super().forward(X)
        return outputs, [2 * part if autograd.is_training() else part for part in state]


class ValueEncoder(d2l.Seq2SeqEncoder):
    """An encoder whose operators depend on the values of its input."""

    def forward(self, X, *args):
        outputs, state = super().forward(X)
        if X.sum().item() > 0:
            outputs = outputs * 2
            state = [2 * part for part in state]
        return outputs, state


class NoisyEncoder(d2l.Seq2SeqEncoder):
    """An encoder that adds random numbers, which a record contains as constants."""

    def forward(self, X, *args):
        outputs, state = super().forward(X)
        return outputs, [part + np.random.uniform(-1, 1, size=part.shape) for part in state]


def transformer_encoder(vocab_size, embed_size, num_hiddens, num_layers):
    """Return the encoder of section 10.3; its embedding has the size of the hidden layers."""
    return d2l.TransformerEncoder(vocab_size, num_hiddens, embed_size, 2, num_layers, 0)


def transformer_decoder(vocab_size, embed_size, num_hiddens, num_layers):
    """Return the decoder of section 10.3."""
    return d2l.TransformerDecoder(vocab_size, num_hiddens, embed_size, 2, num_layers, 0)


# Encoders and decoders that can be recorded.
PLAIN_MODELS = {
    'book': (d2l.Seq2SeqEncoder, d2l.Seq2SeqDecoder),
    'gru': (GRUEncoder, GRUDecoder),
    'one more layer': (d2l.Seq2SeqEncoder, DeeperDecoder),
    'attention': (d2l.Seq2SeqEncoder, d2l.Seq2SeqAttentionDecoder),
    'constants': (PositionEncoder, d2l.Seq2SeqDecoder),
    'mode': (ModeEncoder, d2l.Seq2SeqDecoder),
    'transformer': (transformer_encoder, transformer_decoder),
}
# Encoders and decoders that cannot.
UNTRACEABLE_MODELS = {
    'values': (ValueEncoder, d2l.Seq2SeqDecoder),
    'noise': (NoisyEncoder, d2l.Seq2SeqDecoder),
}


def plain_model(blocks, src_vocab_size, tgt_vocab_size, num_hiddens=8, num_layers=2):
    """Return a model of an encoder class and a decoder class."""
    encoder, decoder = blocks
    sizes = 6, num_hiddens, num_layers
    return d2l.EncoderDecoder(encoder(src_vocab_size, *sizes), decoder(tgt_vocab_size, *sizes))
