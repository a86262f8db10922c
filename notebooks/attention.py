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
# The chapter's decoder starts from one vector, whatever the length of the sentence. With attention
# it looks back at every source word, at every step anew: section 10.2 of *Dive into Deep Learning*
# 0.14. The code is the package's and is shown from there; beside each result stands what the book
# printed.

# %%
import numpy
from d2l_seq2seq import (AdditiveAttention, EncoderDecoder, Seq2SeqAttentionDecoder, Seq2SeqEncoder,
                         Translator, load_data_nmt, predict_s2s_ch9, train_s2s_ch9, try_gpu)
from d2l_seq2seq.models.attention import Attention
from d2l_seq2seq.plotting import layers_diagram
from d2l_seq2seq.plotting import attention_figure
from d2l_seq2seq.plotting import show, show_code

import mxnet  # after the package, which makes it ready
from mxnet import np

# %% tags=["parameters"]
embed_size, num_hiddens, num_layers, dropout = 32, 32, 2, 0.0
batch_size, num_steps = 64, 10
lr, num_epochs, seed = 0.005, 200, 0

# %% [markdown]
# ## Scores, weights, context
#
# A *query* $\mathbf{q}$, the decoder's state, is compared with each *key* $\mathbf{k}_i$, an output
# of the encoder. The scores become weights that sum to 1, and the result is the mean of the
# *values* $\mathbf{v}_i$ (here the same outputs) by these weights:
#
# $$\alpha_i = \mathrm{softmax}_i\, a(\mathbf{q}, \mathbf{k}_i), \qquad
# \mathbf{c} = \sum_i \alpha_i \mathbf{v}_i.$$
#
# Padding gets a score so low that its weight is 0.

# %%
show_code(Attention)

# %% [markdown]
# The book scores with a small network (Bahdanau et al. 2015):
#
# $$a(\mathbf{q}, \mathbf{k}) = \mathbf{w}_v^\top \tanh(\mathbf{W}_q \mathbf{q}
# + \mathbf{W}_k \mathbf{k}).$$

# %%
show_code(AdditiveAttention)

# %% [markdown]
# All keys alike, so the weights depend on the lengths 2 and 6 alone, and the result is the mean of
# the first two and of the first six values. The book prints `[[[ 2. 3. 4. 5.]], [[10. 11. 12.
# 13.]]]`.

# %%
attention = AdditiveAttention(8, dropout=0.1)
attention.initialize()
keys, values = np.ones((2, 10, 2)), np.arange(40).reshape(1, 10, 4).repeat(2, axis=0)
context, weights = attention(np.ones((2, 1, 2)), attention.project_keys(keys), values.astype('float32'),
                             np.array([2, 6]))
context

# %% [markdown]
# ## A decoder that looks back
#
# The query is the top hidden state of the step before. What attention finds is joined to the word
# vector, and both go into the LSTM. So each step waits for the one before.

# %%
show(layers_diagram({'encoder': ['source', 'embedding', 'LSTM'],
                     'attention': ['', '', 'attention'],
                     'decoder': ['target', 'embedding', 'LSTM', 'dense']},
                    [(('encoder', 'LSTM'), ('attention', 'attention')),
                     (('attention', 'attention'), ('decoder', 'LSTM'))]))

# %%
show_code(Seq2SeqAttentionDecoder)

# %% [markdown]
# Four sentences of seven tokens, 16 hidden units. The state has three parts now: the encoder's
# outputs, the LSTM's state, the source lengths. The book prints `((4, 7, 10), 3, (4, 7, 16), 2, (2,
# 4, 16))`.

# %%
encoder, decoder = Seq2SeqEncoder(10, 8, 16, 2), Seq2SeqAttentionDecoder(10, 8, 16, 2)
encoder.initialize()
decoder.initialize()
X, lengths = np.zeros((4, 7)), np.full(4, 7)
state = decoder.init_state(encoder(X, lengths), lengths)
out, state = decoder(X, state)
out.shape, len(state), state[0].shape, len(state[1]), state[1][0].shape

# %% [markdown]
# ## Training
#
# The chapter's own loop and settings, 200 epochs. The 42 published runs of this section ended
# between 0.026 and 0.036, half of them below 0.032.

# %%
mxnet.random.seed(seed)
numpy.random.seed(seed)
ctx = try_gpu()
src_vocab, tgt_vocab, train_iter = load_data_nmt(batch_size, num_steps)
model = EncoderDecoder(
    Seq2SeqEncoder(len(src_vocab), embed_size, num_hiddens, num_layers, dropout),
    Seq2SeqAttentionDecoder(len(tgt_vocab), embed_size, num_hiddens, num_layers, dropout))
train_s2s_ch9(model, train_iter, lr, num_epochs, ctx)

# %% [markdown]
# Of the published runs 38 printed `va !` for the first sentence, 39 `<unk> !` for the second, 31
# `je vais bien .` for the third, and `je l'ai emporté !` or `j'ai gagné !` for the last.

# %%
sentences = ['Go .', 'Wow !', "I'm OK .", 'I won !']
translations = [predict_s2s_ch9(model, sentence, src_vocab, tgt_vocab, num_steps, ctx)
                for sentence in sentences]
for sentence, translation in zip(sentences, translations):
    print(sentence, '=>', translation)

# %% [markdown]
# ## What it looked at
#
# Each row is a word that came out, each column one that went in; dark is where the decoder looked
# when it wrote the word. A `Translator` returns the weights with the words.

# %% tags=["picture-attention"]
translator = Translator(model, src_vocab, tgt_vocab, num_steps)
found = [best for best, in translator.translate(sentences)]
show(attention_figure([one.attention_weights for one in found], [one.src_tokens for one in found],
                      [[*one.tokens, '<eos>'] for one in found]))
