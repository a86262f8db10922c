# ---
# jupyter:
#   kernelspec:
#     display_name: Python 3
#     language: python
#     name: python3
# ---

# %% [markdown]
# # Sequence to sequence
#
# Sections 9.6 and 9.7 of *Dive into Deep Learning* 0.14. An encoder reads an English sentence, a
# decoder writes a French sentence, and both are recurrent neural networks (RNNs).
#
# The cells define the classes and functions of the sections, and the training below uses what the
# cells define. Change a cell, run it and the cells after it, and see what happens. The text before
# each result says what the book prints.

# %%
import d2l_seq2seq.book as d2l
import mxnet
import numpy
from d2l_seq2seq.plotting import layers_diagram, show, unrolled_diagram
from mxnet import autograd, gluon, init, np, npx
from mxnet.gluon import nn, rnn

npx.set_np()

# %% [markdown]
# The settings are those of the book. The book sets no seed. Here a seed is set, so that the
# notebook gives the same losses and translations each time.

# %% tags=["parameters"]
embed_size, num_hiddens, num_layers, dropout = 32, 32, 2, 0.0
batch_size, num_steps = 64, 10
lr, num_epochs, seed = 0.005, 300, 0

# %% [markdown]
# # The encoder-decoder architecture (section 9.6)
#
# An encoder converts the source to a *state*, which may consist of several arrays. A decoder starts
# from this state and computes the target. Section 9.6 defines the interface of both.

# %%
show(layers_diagram({'source': ['Hello world.', 'encoder'],
                     'target': ['Bonjour le monde.', 'decoder']},
                    [(('source', 'encoder'), ('target', 'decoder'), 'state')]))

# %% [markdown]
# ## Encoder interface
#
# An encoder is a block that takes the source, as an array of token ids, and returns outputs.

# %% tags=["definition"]
from d2l_seq2seq.book.encoder_decoder import Encoder

# %% [markdown]
# ## Decoder interface
#
# A decoder has one method more. `init_state` makes the initial state from the encoder's outputs and
# from further information, such as the valid lengths. `forward` takes target tokens and a state,
# and returns outputs and a new state.

# %% tags=["definition"]
from d2l_seq2seq.book.encoder_decoder import Decoder

# %% [markdown]
# ## The model
#
# The model joins both for training: it computes the encoder's outputs, makes the decoder's initial
# state from them, and returns what the decoder returns.

# %% tags=["definition"]
from d2l_seq2seq.book.encoder_decoder import EncoderDecoder

# %% [markdown]
# **Summary of section 9.6.** The architecture is a pattern for tasks that convert one sequence to
# another. The encoder is a network that converts the input to features. The decoder, often a
# network of the same kind, converts these features to the output.
#
# # Sequence to sequence (section 9.7)
#
# In this section, encoder and decoder are RNNs, which accept sequences of any length. The hidden
# state of the encoder after the last word is the initial state of the decoder. In training, the
# decoder reads the correct target shifted by one token: at each step it reads one token and has to
# predict the next (Figure 9.7.1).

# %%
show(unrolled_diagram(['they', 'are', 'watching', '.'], ['ils', 'regardent', '.']))

# %% [markdown]
# Encoder and decoder each have an embedding, which converts token ids to vectors, and recurrent
# layers. The decoder also has a dense layer, which computes a score for each word of the vocabulary
# (Figure 9.7.2).

# %%
show(layers_diagram({'encoder': ['source', 'embedding', 'LSTM'],
                     'decoder': ['target', 'embedding', 'LSTM', 'dense']},
                    [(('encoder', 'LSTM'), ('decoder', 'LSTM'), 'state')]))

# %% [markdown]
# ## Encoder
#
# The encoder converts a source $x_1, \ldots, x_T$ of any length to a context vector $\mathbf{c}$ of
# fixed size. At step $t$, the RNN reads the vector $\mathbf{x}_t$ of the word $x_t$ and updates its
# hidden state,
#
# $$\mathbf{h}_t = f(\mathbf{x}_t, \mathbf{h}_{t-1}), \qquad (9.7.1)$$
#
# and the context is a function of all hidden states,
#
# $$\mathbf{c} = q(\mathbf{h}_1, \ldots, \mathbf{h}_T). \qquad (9.7.2)$$
#
# Here $f$ is an LSTM of several layers, and $q$ returns the last state, $\mathbf{h}_T$. The hidden
# states depend on the words up to step $t$ only. A GRU or a bidirectional RNN would be possible as
# well.

# %% tags=["definition"]
from d2l_seq2seq.book.seq2seq import Seq2SeqEncoder

# %% [markdown]
# The input is four sentences of seven tokens; there are two layers of 16 hidden units. The outputs
# have the shape (num_steps, batch_size, num_hiddens): the first axis is time, as Gluon's recurrent
# layers require. The book prints `(7, 4, 16)`.

# %%
encoder = Seq2SeqEncoder(vocab_size=10, embed_size=8, num_hiddens=16, num_layers=2)
encoder.initialize()
X = np.zeros((4, 7))
output, state = encoder(X)
output.shape

# %% [markdown]
# The state of an LSTM is a list of two arrays, the hidden state and the memory cell, each of shape
# (num_layers, batch_size, num_hiddens). The book prints `(2, (2, 4, 16), (2, 4, 16))`.

# %%
len(state), state[0].shape, state[1].shape

# %% [markdown]
# A GRU has no memory cell. Its state is a list of one array, the hidden state:

# %%
gru = rnn.GRU(16, num_layers=2)
gru.initialize()
embeddings = encoder.embedding(X).swapaxes(0, 1)  # (num_steps, batch_size, embed_size)
output, gru_state = gru(embeddings, gru.begin_state(batch_size=4))
len(gru_state), gru_state[0].shape

# %% [markdown]
# ## Decoder
#
# Given the source, the decoder computes the probability of each word $y_{t'}$ of the target from
# the words before it and the context,
#
# $$P(y_{t'} \mid y_1, \ldots, y_{t'-1}, \mathbf{c}), \qquad (9.7.3)$$
#
# with an RNN of its own. Its hidden state depends on the previous word, the context and the
# previous hidden state:
#
# $$\mathbf{s}_{t'} = g(\mathbf{y}_{t'-1}, \mathbf{c}, \mathbf{s}_{t'-1}). \qquad (9.7.4)$$
#
# In the chapter's code, the decoder receives the context only once, as its initial state. Therefore
# encoder and decoder need the same number of layers and hidden units. At every step, a dense layer
# computes a score for each word of the vocabulary.

# %% tags=["definition"]
from d2l_seq2seq.book.seq2seq import Seq2SeqDecoder

# %% [markdown]
# The scores have the shape (batch_size, num_steps, vocab_size): the batch comes first, which is
# convenient for the loss. The book prints `((4, 7, 10), 2, (2, 4, 16), (2, 4, 16))`.

# %%
decoder = Seq2SeqDecoder(vocab_size=10, embed_size=8, num_hiddens=16, num_layers=2)
decoder.initialize()
state = decoder.init_state(encoder(X))
out, state = decoder(X, state)
out.shape, len(state), state[0].shape, state[1].shape

# %% [markdown]
# ## The loss
#
# The loss is the cross-entropy between the predicted probabilities, which are the softmax of the
# scores, and the correct words. The sentences of a batch are padded to the same length, and the
# padding must not contribute. For this there is the operator `sequence_mask`. With `axis=1`, it
# keeps the elements of each row up to its valid length, and sets the others to 0.
# The book prints
#
#     array([[1., 0., 0.],
#            [4., 5., 0.]])

# %%
X = np.array([[1, 2, 3], [4, 5, 6]])
npx.sequence_mask(X, np.array([1, 2]), True, axis=1)

# %% [markdown]
# With `axis=0`, it keeps the first elements of each column. There are three columns, and so three
# valid lengths: here 1, 2 and 0.

# %%
npx.sequence_mask(X, np.array([1, 2, 0]), True, axis=0)

# %% [markdown]
# In arrays with more axes it masks whole slices, and `value` replaces them: here all but the first
# row of the first matrix, and all but the first two rows of the second. The book prints
#
#     array([[[ 1.,  1.,  1.,  1.],
#             [-1., -1., -1., -1.],
#             [-1., -1., -1., -1.]],
#
#            [[ 1.,  1.,  1.,  1.],
#             [ 1.,  1.,  1.,  1.],
#             [-1., -1., -1., -1.]]])

# %%
X = np.ones((2, 3, 4))
npx.sequence_mask(X, np.array([1, 2]), True, value=-1, axis=1)

# %% [markdown]
# Gluon's losses accept a weight for each label. With weights of 1 for words and 0 for padding, the
# padding is ignored.

# %% tags=["definition"]
from d2l_seq2seq.book.seq2seq import MaskedSoftmaxCELoss

# %% [markdown]
# Three equal sentences, of which 4, 2 and 0 positions count, must have losses in the ratio 2 : 1 :
# 0. The book prints `array([2.3025851, 1.1512926, 0.       ])`. On a CPU the last digits differ,
# because oneDNN's logarithm is accurate to about 3e-6 only.

# %%
loss = MaskedSoftmaxCELoss()
loss(np.ones((3, 4, 10)), np.ones((3, 4)), np.array([4, 2, 0]))

# %% [markdown]
# ## Training
#
# If a target has $n$ tokens, the decoder reads the first $n - 1$ of them, and the labels are the
# last $n - 1$. Reading the correct words instead of the predicted ones is called *teacher forcing*.
# The gradient is clipped, and Adam updates the weights. After every tenth epoch, a point is added
# to the plot.
#
# (`on_epoch_end` is not in the book's function. It lets you record the losses.)

# %% tags=["definition"]
from d2l_seq2seq.book.seq2seq import train_s2s_ch9

# %% [markdown]
# The data are the minibatches of section 9.5. The vocabularies have 180 and 162 entries.

# %%
src_vocab, tgt_vocab, train_iter = d2l.load_data_nmt(batch_size, num_steps)
len(src_vocab), len(tgt_vocab)

# %% [markdown]
# The book prints `loss 0.026, 8687.4 tokens/sec on gpu(0)`. In 45 published runs of the book, the
# loss is between 0.025 and 0.029.
#
# The printed loss is not in nats per token: it is divided once more by the nine label positions,
# padding included, so 0.026 corresponds to 0.234 nats per token. The speed is that of the last
# epoch, in target tokens, on the device that the line names.

# %% tags=["picture-loss"]
ctx = d2l.try_gpu()
mxnet.random.seed(seed)  # the initial weights
numpy.random.seed(seed)  # the order of the sentences
encoder = Seq2SeqEncoder(len(src_vocab), embed_size, num_hiddens, num_layers, dropout)
decoder = Seq2SeqDecoder(len(tgt_vocab), embed_size, num_hiddens, num_layers, dropout)
model = EncoderDecoder(encoder, decoder)
train_s2s_ch9(model, train_iter, lr, num_epochs, ctx)

# %% [markdown]
# ## Prediction
#
# The simplest method is *greedy search*. The decoder reads `<bos>` first, as in training. After
# that it reads the word that it has just predicted, which is the one with the highest score. It
# stops at `<eos>` (Figure 9.7.3).

# %%
show(unrolled_diagram(['they', 'are', 'watching', '.'], ['ils', 'regardent', '.'], feeds_back=True))

# %% tags=["definition"]
from d2l_seq2seq.book.seq2seq import predict_s2s_ch9

# %% [markdown]
# The book prints
#
#     Go . => va !
#     Wow ! => <unk> !
#     I'm OK . => ça va .
#     I won ! => j'ai gagné !
#
# Of the 45 published runs, 27 print `je vais bien .` and `je l'ai emporté !` for the last two
# sentences. Both are also translations in the corpus.

# %%
for sentence in ['Go .', 'Wow !', "I'm OK .", 'I won !']:
    print(sentence + ' => ' + predict_s2s_ch9(
        model, sentence, src_vocab, tgt_vocab, num_steps, ctx))

# %% [markdown]
# ## Now you try
#
# - Change `num_hiddens` in the cell of the settings, and run everything again.
# - Change the encoder's class: for example, a bidirectional first layer, or dropout after the
#   embedding. (The dropout of the LSTM has no effect on a CPU.)
# - Replace the LSTM by a GRU. The next two cells do this: in the classes, only the line of the
#   recurrent layers differs.
# - Translate your own sentences. The model knows only 176 English words. All others are `<unk>`.

# %%
class GRUEncoder(Encoder):
    def __init__(self, vocab_size, embed_size, num_hiddens, num_layers, dropout=0):
        super().__init__()
        self.embedding = nn.Embedding(vocab_size, embed_size)
        self.rnn = rnn.GRU(num_hiddens, num_layers, dropout=dropout)

    def forward(self, X, *args):
        X = self.embedding(X).swapaxes(0, 1)
        return self.rnn(X, self.rnn.begin_state(batch_size=X.shape[1], ctx=X.ctx))


class GRUDecoder(Decoder):
    def __init__(self, vocab_size, embed_size, num_hiddens, num_layers, dropout=0):
        super().__init__()
        self.embedding = nn.Embedding(vocab_size, embed_size)
        self.rnn = rnn.GRU(num_hiddens, num_layers, dropout=dropout)
        self.dense = nn.Dense(vocab_size, flatten=False)

    def init_state(self, enc_outputs, *args):
        return enc_outputs[1]

    def forward(self, X, state):
        outputs, state = self.rnn(self.embedding(X).swapaxes(0, 1), state)
        return self.dense(outputs).swapaxes(0, 1), state


# %%
mxnet.random.seed(seed)
numpy.random.seed(seed)
my_model = EncoderDecoder(
    GRUEncoder(len(src_vocab), embed_size, num_hiddens, num_layers, dropout),
    GRUDecoder(len(tgt_vocab), embed_size, num_hiddens, num_layers, dropout))
train_s2s_ch9(my_model, train_iter, lr, num_epochs // 2, ctx)
for name, trained in (('LSTM', model), ('GRU', my_model)):
    num_weights = sum(parameter.data().size for parameter in trained.collect_params().values())
    print(f'{name}: {num_weights:,} weights')
for sentence in ['Go .', "I'm OK .", 'I lost .']:
    print(sentence + ' => ' + predict_s2s_ch9(
        my_model, sentence, src_vocab, tgt_vocab, num_steps, ctx))

# %% [markdown]
# ## Summary
#
# - A sequence-to-sequence model has the encoder-decoder architecture. It converts an input sequence
#   to an output sequence.
# - Encoder and decoder both consist of several LSTM layers.
#
# ## Exercises
#
# 1. What else can sequence to sequence learning be used for, besides machine translation?
# 2. What happens to a source that is longer than those of this section?
# 3. What changes if the loss does not use `sequence_mask`?
#
# [The notebook on the exercises](02b_seq2seq_exercises.ipynb) answers them with trained models. It
# also compares other choices of $q$ in Eq. (9.7.2).
