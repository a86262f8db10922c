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
# The decoder of section 9.7 starts from a single vector, however long the sentence is. A decoder
# with attention reads the encoder's outputs for all source words, again at every step. This is
# section 10.2 of *Dive into Deep Learning* 0.14. The text before each result says what the book
# printed.
#
# The code shown is that of `d2l_seq2seq/models`, whose layers compute the same mathematics as the
# book's in less time and also return the attention weights. The book's own layers are in
# `d2l_seq2seq/book/attention.py` and `d2l_seq2seq/book/seq2seq_attention.py`.

# %%
import numpy
from d2l_seq2seq import (AdditiveAttention, EncoderDecoder, Seq2SeqAttentionDecoder, Seq2SeqEncoder,
                         Translator, load_data_nmt, predict_s2s_ch9, train_s2s_ch9, try_gpu)
from d2l_seq2seq.models.attention import Attention
from d2l_seq2seq.plotting import attention_figure, layers_diagram, show, show_code

import mxnet  # after d2l_seq2seq, which makes MXNet ready
from mxnet import np

# %% tags=["parameters"]
embed_size, num_hiddens, num_layers, dropout = 32, 32, 2, 0.0
batch_size, num_steps = 64, 10
lr, num_epochs, seed = 0.005, 200, 0

# %% [markdown]
# ## Scores, weights, context
#
# A *query* $\mathbf{q}$, which is the decoder's state, is compared with each *key* $\mathbf{k}_i$,
# which is an output of the encoder. The resulting scores are converted to weights that sum to 1.
# The result is the mean of the *values* $\mathbf{v}_i$ (here the same outputs) with these weights:
#
# $$\alpha_i = \mathrm{softmax}_i\, a(\mathbf{q}, \mathbf{k}_i), \qquad
# \mathbf{c} = \sum_i \alpha_i \mathbf{v}_i.$$
#
# The score of padding is so low that its weight is 0.

# %%
show_code(Attention)

# %% [markdown]
# The book computes the score with a small network (Bahdanau et al. 2015):
#
# $$a(\mathbf{q}, \mathbf{k}) = \mathbf{w}_v^\top \tanh(\mathbf{W}_q \mathbf{q}
# + \mathbf{W}_k \mathbf{k}).$$

# %%
show_code(AdditiveAttention)

# %% [markdown]
# In this example all keys are equal, so the weights depend only on the valid lengths, 2 and 6. The
# result is the mean of the first two values for one query, and of the first six for the other. The
# book prints `[[[ 2. 3. 4. 5.]], [[10. 11. 12. 13.]]]`.

# %%
attention = AdditiveAttention(8, dropout=0.1)
attention.initialize()
queries, keys = np.ones((2, 1, 2)), np.ones((2, 10, 2))
values = np.arange(40).reshape(1, 10, 4).repeat(2, axis=0).astype('float32')
context, weights = attention(queries, attention.project_keys(keys), values, np.array([2, 6]))
context

# %% [markdown]
# ## A decoder with attention
#
# The query is the hidden state of the top layer after the previous step. The context that attention
# returns is concatenated with the word vector, and the result is the input of the LSTM. Therefore
# each step has to wait for the previous one.

# %%
show(layers_diagram({'encoder': ['source', 'embedding', 'LSTM'],
                     'attention': ['', '', 'attention'],
                     'decoder': ['target', 'embedding', 'LSTM', 'dense']},
                    [(('encoder', 'LSTM'), ('attention', 'attention')),
                     (('attention', 'attention'), ('decoder', 'LSTM'))]))

# %%
show_code(Seq2SeqAttentionDecoder)

# %% [markdown]
# The input is four sentences of seven tokens, and there are 16 hidden units. The state now has
# three parts: the encoder's outputs, the LSTM's state, and the valid lengths of the sources. The
# book prints `((4, 7, 10), 3, (4, 7, 16), 2, (2, 4, 16))`.

# %%
encoder, decoder = Seq2SeqEncoder(10, 8, 16, 2), Seq2SeqAttentionDecoder(10, 8, 16, 2)
encoder.initialize()
decoder.initialize()
X, valid_len = np.zeros((4, 7)), np.full(4, 7)
state = decoder.init_state(encoder(X, valid_len), valid_len)
out, state = decoder(X, state)
out.shape, len(state), state[0].shape, len(state[1]), state[1][0].shape

# %% [markdown]
# ## Training
#
# The training loop and the settings are those of the chapter, with 200 epochs. The losses of the 42
# published runs of this section are between 0.026 and 0.036, and half of them are below 0.032.

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
# Of the published runs, 38 printed `va !` for the first sentence, 39 printed `<unk> !` for the
# second, and 31 printed `je vais bien .` for the third. For the last sentence they printed `je l'ai
# emporté !` or `j'ai gagné !`.

# %%
sentences = ['Go .', 'Wow !', "I'm OK .", 'I won !']
for sentence in sentences:
    print(sentence, '=>', predict_s2s_ch9(model, sentence, src_vocab, tgt_vocab, num_steps, ctx))

# %% [markdown]
# ## The attention weights
#
# Each row is a token of the translation, and each column is a token of the source. The darker a
# cell, the larger the weight of the source token when the decoder predicted the target token. A
# `Translator` returns the weights with the translations.

# %% tags=["picture-attention"]
translator = Translator(model, src_vocab, tgt_vocab, num_steps)
translations = [best for best, in translator.translate(sentences)]
show(attention_figure([translation.attention_weights for translation in translations],
                      [translation.src_tokens for translation in translations],
                      [[*translation.tokens, '<eos>'] for translation in translations]))
