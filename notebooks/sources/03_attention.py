# ---
# jupyter:
#   kernelspec:
#     display_name: Python 3
#     language: python
#     name: python3
# ---

# %% [markdown]
# # Attention
#
# Sections 10.1 and 10.2 of *Dive into Deep Learning* 0.14. The decoder of section 9.7 starts from a
# single vector, however long the sentence is. A decoder with attention reads the encoder's outputs
# for all source words, again at every step.
#
# The cells define the functions and classes of the sections, and the training below uses what the
# cells define. Change a cell, run it and the cells after it, and see what happens. The text before
# each result says what the book prints.

# %%
import math

import d2l_seq2seq.book as d2l
import mxnet
import numpy
from d2l_seq2seq.plotting import attention_figure, layers_diagram, show
from mxnet import np, npx
from mxnet.gluon import nn, rnn

npx.set_np()

# %% tags=["parameters"]
embed_size, num_hiddens, num_layers, dropout = 32, 32, 2, 0.0
batch_size, num_steps = 64, 10
lr, num_epochs, seed = 0.005, 200, 0

# %% [markdown]
# # Attention layers (section 10.1)
#
# A *query* $\mathbf{q}$ is compared with the *key* $\mathbf{k}_i$ of each key-value pair. The
# scores are converted to weights that sum to 1, and the result is the mean of the *values*
# $\mathbf{v}_i$ with these weights:
#
# $$a_i = \alpha(\mathbf{q}, \mathbf{k}_i), \qquad
# b_1, \ldots, b_n = \mathrm{softmax}(a_1, \ldots, a_n), \qquad
# \mathbf{o} = \sum_{i=1}^n b_i \mathbf{v}_i.$$
#
# The layers below differ in the score function $\alpha$.
#
# ## Masked softmax
#
# The pairs of a sentence are padded to the same number. The score of padding is replaced by
# $-10^6$, so that its weight is 0.

# %% tags=["definition"]
from d2l_seq2seq.book.attention import masked_softmax

# %% [markdown]
# In the first example only the first two elements of each row count, in the second the first three.
# The numbers are random; the book's, too, have zeros in these places, and rows that sum to 1.

# %%
masked_softmax(np.random.uniform(size=(2, 2, 4)), np.array([2, 3]))

# %% [markdown]
# The products of queries and keys, and of weights and values, are batches of matrix products:
# $\mathbf{Z}_i = \mathbf{X}_i \mathbf{Y}_i$ for each $i$. The book prints `[[[3. 3.]] [[3. 3.]]]`.

# %%
npx.batch_dot(np.ones((2, 1, 3)), np.ones((2, 3, 2)))

# %% [markdown]
# ## Dot product attention
#
# If queries and keys have the same size $d$, the score can be their dot product. The division by
# $\sqrt d$ keeps its size independent of $d$:
#
# $$\alpha(\mathbf{q}, \mathbf{k}) = \langle \mathbf{q}, \mathbf{k} \rangle / \sqrt{d}.$$

# %% tags=["definition"]
from d2l_seq2seq.book.attention import DotProductAttention

# %% [markdown]
# All keys are equal in this example, so the weights depend on the valid lengths only, 2 and 6. The
# result is the mean of the first two values for one query, and of the first six for the other. The
# book prints `[[[ 2. 3. 4. 5.]] [[10. 11. 12.000001 13.]]]`.

# %%
attention = DotProductAttention(dropout=0.5)
attention.initialize()
keys = np.ones((2, 10, 2))
values = np.arange(40).reshape(1, 10, 4).repeat(2, axis=0)
attention(np.ones((2, 1, 2)), keys, values, np.array([2, 6]))

# %% [markdown]
# ## Multilayer perceptron attention
#
# Queries and keys of different sizes are projected to the same size, added, and converted to a
# score by a small network:
#
# $$\alpha(\mathbf{k}, \mathbf{q}) = \mathbf{v}^\top \tanh(\mathbf{W}_k \mathbf{k}
# + \mathbf{W}_q \mathbf{q}).$$

# %% tags=["definition"]
from d2l_seq2seq.book.attention import MLPAttention

# %% [markdown]
# With equal keys the result is the same as above. The book prints
# `[[[ 2. 3. 4. 5.]] [[10. 11. 12.000001 13.]]]`.

# %%
attention = MLPAttention(units=8, dropout=0.1)
attention.initialize()
attention(np.ones((2, 1, 2)), keys, values, np.array([2, 6]))

# %% [markdown]
# **Summary of section 10.1.** An attention layer selects the values whose keys fit the query. It
# weights them with a softmax over scores. The dot product and a small network are two ways to
# compute the scores.
#
# **Exercise.** Which of the two is better in which case? Consider the sizes of queries and keys,
# and the number of parameters and operations.
#
# # Sequence to sequence with attention (section 10.2)
#
# The query is the hidden state of the decoder's top layer after the previous step. The keys and the
# values are the outputs of the encoder. The context that attention returns is concatenated with the
# word vector, and the result is the input of the LSTM. Therefore each step has to wait for the
# previous one.

# %%
show(layers_diagram({'encoder': ['source', 'embedding', 'LSTM'],
                     'attention': ['', '', 'attention'],
                     'decoder': ['target', 'embedding', 'LSTM', 'dense']},
                    [(('encoder', 'LSTM'), ('attention', 'attention')),
                     (('attention', 'attention'), ('decoder', 'LSTM')),
                     (('decoder', 'LSTM'), ('attention', 'attention'), 'query')]))

# %% [markdown]
# ## Decoder
#
# The state has three parts: the encoder's outputs, the state of the LSTM, and the valid lengths of
# the sources.

# %% tags=["definition"]
from d2l_seq2seq.book.seq2seq_attention import Seq2SeqAttentionDecoder

# %% [markdown]
# The input is four sentences of seven tokens, and there are 16 hidden units. The book prints
# `((4, 7, 10), 3, (4, 7, 16), 2, (2, 4, 16))`.

# %%
encoder = d2l.Seq2SeqEncoder(vocab_size=10, embed_size=8, num_hiddens=16, num_layers=2)
encoder.initialize()
decoder = Seq2SeqAttentionDecoder(vocab_size=10, embed_size=8, num_hiddens=16, num_layers=2)
decoder.initialize()
X = np.zeros((4, 7))
state = decoder.init_state(encoder(X), None)
out, state = decoder(X, state)
out.shape, len(state), state[0].shape, len(state[1]), state[1][0].shape

# %% [markdown]
# ## Training
#
# The training loop and the settings are those of section 9.7, with 200 epochs. The losses of the 42
# published runs of this section are between 0.026 and 0.036, and half of them are below 0.032.

# %%
mxnet.random.seed(seed)
numpy.random.seed(seed)
ctx = d2l.try_gpu()
src_vocab, tgt_vocab, train_iter = d2l.load_data_nmt(batch_size, num_steps)
encoder = d2l.Seq2SeqEncoder(len(src_vocab), embed_size, num_hiddens, num_layers, dropout)
decoder = Seq2SeqAttentionDecoder(len(tgt_vocab), embed_size, num_hiddens, num_layers, dropout)
model = d2l.EncoderDecoder(encoder, decoder)
d2l.train_s2s_ch9(model, train_iter, lr, num_epochs, ctx)

# %% [markdown]
# Nearly all published runs printed `va !` for the first sentence and `<unk> !` for the second, and
# 31 of the 42 printed `je vais bien .` for the third. For the last sentence most printed `je l'ai
# emporté !` or `j'ai gagné !`.

# %%
sentences = ['Go .', 'Wow !', "I'm OK .", 'I won !']
for sentence in sentences:
    print(sentence, '=>',
          d2l.predict_s2s_ch9(model, sentence, src_vocab, tgt_vocab, num_steps, ctx))

# %% [markdown]
# ## The attention weights
#
# The book's decoder returns no attention weights. The decoder of the same name in the package has
# the same parameters and computes the same logits, and a `Translator` returns its weights with the
# translations. Each row is a token of the translation, and each column is a token of the source.
# The darker a cell, the larger the weight of the source token when the decoder predicted the target
# token.

# %% tags=["picture-attention"]
import d2l_seq2seq

fast_decoder = d2l_seq2seq.Seq2SeqAttentionDecoder(
    len(tgt_vocab), embed_size, num_hiddens, num_layers, dropout)
fast_decoder.initialize(ctx=ctx)
X, valid_len = np.zeros((1, num_steps), ctx=ctx), np.ones((1,), ctx=ctx)
fast_decoder(X, fast_decoder.init_state(encoder(X), valid_len))  # the parameters get their shapes
parameters = fast_decoder.collect_params().values()
for parameter, trained in zip(parameters, decoder.collect_params().values()):
    parameter.set_data(trained.data())

translator = d2l_seq2seq.Translator(
    d2l.EncoderDecoder(encoder, fast_decoder), src_vocab, tgt_vocab, num_steps)
translations = [best for best, in translator.translate(sentences)]
show(attention_figure([translation.attention_weights for translation in translations],
                      [translation.src_tokens for translation in translations],
                      [[*translation.tokens, '<eos>'] for translation in translations]))

# %% [markdown]
# **Summary of section 10.2.** The decoder gets the encoder's outputs, the encoder's last state and
# the valid lengths of the sources. At every step, attention summarizes the outputs for the step.
#
# **Exercises**
#
# 1. Compare the losses with and without attention, for the same numbers of layers and units.
# 2. Which changes would make attention useful to the model, and which sentences need it?
#
# ## Now you try
#
# Replace the attention layer. For example, use `DotProductAttention`: it needs no projections,
# because the query and the keys have the same size. The decoder below does so, and is trained for a
# tenth of the epochs.

# %%
class DotDecoder(d2l.Decoder):
    def __init__(self, vocab_size, embed_size, num_hiddens, num_layers):
        super().__init__()
        self.attention = DotProductAttention(dropout=0)
        self.embedding = nn.Embedding(vocab_size, embed_size)
        self.rnn = rnn.LSTM(num_hiddens, num_layers)
        self.dense = nn.Dense(vocab_size, flatten=False)

    def init_state(self, enc_outputs, enc_valid_len, *args):
        outputs, hidden_state = enc_outputs
        return [outputs.swapaxes(0, 1), hidden_state, enc_valid_len]

    def forward(self, X, state):
        enc_outputs, hidden_state, enc_valid_len = state
        X = self.embedding(X).swapaxes(0, 1)
        outputs = []
        for x in X:
            query = np.expand_dims(hidden_state[0][-1], axis=1)
            context = self.attention(query, enc_outputs, enc_outputs, enc_valid_len)
            x = np.concatenate((context, np.expand_dims(x, axis=1)), axis=-1)
            output, hidden_state = self.rnn(x.swapaxes(0, 1), hidden_state)
            outputs.append(output)
        logits = self.dense(np.concatenate(outputs, axis=0))
        return logits.swapaxes(0, 1), [enc_outputs, hidden_state, enc_valid_len]


encoder = d2l.Seq2SeqEncoder(len(src_vocab), embed_size, num_hiddens, num_layers)
decoder = DotDecoder(len(tgt_vocab), embed_size, num_hiddens, num_layers)
model = d2l.EncoderDecoder(encoder, decoder)
d2l.train_s2s_ch9(model, train_iter, lr, num_epochs // 10, ctx)
