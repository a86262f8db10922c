# ---
# jupyter:
#   kernelspec:
#     display_name: Python 3
#     language: python
#     name: python3
# ---

# %% [markdown]
# # Transformer
#
# Section 10.3 of *Dive into Deep Learning* 0.14. The transformer is an encoder and a decoder
# without recurrent layers: attention connects the words. It is trained and used with the functions
# of section 9.7.
#
# The cells define the classes of the section, and the training below uses what the cells define.
# Change a cell, run it and the cells after it, and see what happens. The text before each result
# says what the book prints.

# %%
import math

import d2l_seq2seq.book as d2l
import mxnet
import numpy
from d2l_seq2seq.plotting import show
from matplotlib.figure import Figure
from mxnet import autograd, np, npx
from mxnet.gluon import nn

npx.set_np()

# %% tags=["parameters"]
num_hiddens, num_layers, dropout = 32, 2, 0.0
ffn_num_hiddens, num_heads = 64, 4
batch_size, num_steps = 64, 10
lr, num_epochs, seed = 0.005, 100, 0

# %% [markdown]
# ## Multi-head attention
#
# Queries, keys and values are projected for each of the $h$ heads. Each head computes attention,
# and the concatenated results are projected once more:
#
# $$\mathbf{o}^{(i)} = \mathrm{attention}(\mathbf{W}_q^{(i)} \mathbf{q}, \mathbf{W}_k^{(i)}
# \mathbf{k}, \mathbf{W}_v^{(i)} \mathbf{v}), \qquad
# \mathbf{o} = \mathbf{W}_o [\mathbf{o}^{(1)}, \ldots, \mathbf{o}^{(h)}].$$
#
# The chapter's code assigns the valid lengths of a batch to the wrong heads, unless they are equal;
# the docstring of the class in `d2l_seq2seq/book/transformer.py` explains it.

# %% tags=["definition"]
from d2l_seq2seq.book.transformer import transpose_qkv, transpose_output

# %% tags=["definition"]
from d2l_seq2seq.book.transformer import MultiHeadAttention

# %% [markdown]
# The book prints `(2, 4, 90)`.

# %%
cell = MultiHeadAttention(90, 9, 0.5)
cell.initialize()
X = np.ones((2, 4, 5))
valid_len = np.array([2, 3])
cell(X, X, X, valid_len).shape

# %% [markdown]
# ## Position-wise feed-forward network
#
# Two dense layers are applied to each position separately.

# %% tags=["definition"]
from d2l_seq2seq.book.transformer import PositionWiseFFN

# %% [markdown]
# The three positions of the input are equal, and so are the three rows of the output, in the book
# as well. The numbers are random.

# %%
ffn = PositionWiseFFN(4, 8)
ffn.initialize()
ffn(np.ones((2, 3, 4)))[0]

# %% [markdown]
# ## Add and norm
#
# Layer normalization standardizes each row, and batch normalization each column. The book prints
# rows of `-0.99998` and `0.99998` for the first, and equal columns for the second.

# %%
layer = nn.LayerNorm()
layer.initialize()
batch = nn.BatchNorm()
batch.initialize()
X = np.array([[1, 2], [2, 3]])
with autograd.record():  # in training, mean and variance are those of X
    print('layer norm:', layer(X), '\nbatch norm:', batch(X))

# %% tags=["definition"]
from d2l_seq2seq.book.transformer import AddNorm

# %% [markdown]
# The sum of input and output of a sublayer is normalized. The book prints `(2, 3, 4)`.

# %%
add_norm = AddNorm(0.5)
add_norm.initialize()
add_norm(np.ones((2, 3, 4)), np.ones((2, 3, 4))).shape

# %% [markdown]
# ## Positional encoding
#
# Attention does not see the order of the words. A matrix that depends on the position $i$ is added
# to the embeddings:
#
# $$P_{i, 2j} = \sin(i / 10000^{2j/d}), \qquad P_{i, 2j+1} = \cos(i / 10000^{2j/d}).$$

# %% tags=["definition"]
from d2l_seq2seq.book.transformer import PositionalEncoding

# %% [markdown]
# Four of the 20 columns, for 100 positions. The later a column, the longer its wave.

# %%
pe = PositionalEncoding(20, 0)
pe.initialize()
Y = pe(np.zeros((1, 100, 20)))
figure = Figure(figsize=(6, 2.5), layout='tight')
ax = figure.subplots()
ax.plot(Y[0, :, 4:8].asnumpy())
ax.legend([f'dim {p}' for p in [4, 5, 6, 7]])
ax.grid(True)
show(figure)

# %% [markdown]
# ## Encoder
#
# A block of the encoder has attention of the source with itself, and a feed-forward network. Each
# is followed by an add and norm layer.

# %% tags=["definition"]
from d2l_seq2seq.book.transformer import EncoderBlock

# %% [markdown]
# A block does not change the shape of its input. The book prints `(2, 100, 24)`, also for the
# encoder below.

# %%
X = np.ones((2, 100, 24))
encoder_blk = EncoderBlock(24, 48, 8, 0.5)
encoder_blk.initialize()
encoder_blk(X, valid_len).shape

# %% tags=["definition"]
from d2l_seq2seq.book.transformer import TransformerEncoder

# %%
encoder = TransformerEncoder(200, 24, 48, 8, 2, 0.5)
encoder.initialize()
encoder(np.ones((2, 100)), valid_len).shape

# %% [markdown]
# ## Decoder
#
# A block of the decoder has attention of the target with itself, in which a word sees only the
# words before it, and attention to the encoder's outputs. In training the later words are masked.
# In prediction they do not exist yet; the state contains the earlier ones.

# %% tags=["definition"]
from d2l_seq2seq.book.transformer import DecoderBlock

# %% [markdown]
# The book prints `(2, 100, 24)`.

# %%
decoder_blk = DecoderBlock(24, 48, 8, 0.5, 0)
decoder_blk.initialize()
X = np.ones((2, 100, 24))
state = [encoder_blk(X, valid_len), valid_len, [None]]
decoder_blk(X, state)[0].shape

# %% tags=["definition"]
from d2l_seq2seq.book.transformer import TransformerDecoder

# %% [markdown]
# ## Training
#
# The settings are the book's. (The book gives the decoder the size of the source vocabulary, which
# is larger than that of the target vocabulary. Here the decoder has the target's.)

# %%
mxnet.random.seed(seed)
numpy.random.seed(seed)
ctx = d2l.try_gpu()
src_vocab, tgt_vocab, train_iter = d2l.load_data_nmt(batch_size, num_steps)
encoder = TransformerEncoder(
    len(src_vocab), num_hiddens, ffn_num_hiddens, num_heads, num_layers, dropout)
decoder = TransformerDecoder(
    len(tgt_vocab), num_hiddens, ffn_num_hiddens, num_heads, num_layers, dropout)
model = d2l.EncoderDecoder(encoder, decoder)
d2l.train_s2s_ch9(model, train_iter, lr, num_epochs, ctx)

# %%
for sentence in ['Go .', 'Wow !', "I'm OK .", 'I won !']:
    print(sentence, '=>',
          d2l.predict_s2s_ch9(model, sentence, src_vocab, tgt_vocab, num_steps, ctx))

# %% [markdown]
# **Summary.** The transformer follows the encoder-decoder architecture. Multi-head attention
# consists of parallel attention layers. Add and norm layers make deep models trainable. Positional
# encoding is the only part that knows the order of the words.
#
# **Exercises**
#
# 1. Train a larger model for more epochs, and compare speed and translations with the LSTM's.
# 2. Remove the positional encoding: what is lost?
# 3. Replace layer normalization by batch normalization.
# 4. What happens to the cost of attention for long sentences?
#
# ## Now you try
#
# Change `num_heads` or `num_layers` in the cell of settings, or the activation in
# `PositionWiseFFN`, and run the notebook again.
