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
# Section 9.7 of *Dive into Deep Learning* 0.14, run from top to bottom. An encoder reads an English
# sentence, a decoder writes a French one, and both are LSTMs. The code is the package's and is
# shown from there; beside each result stands what the book printed.

# %%
import numpy
from d2l_seq2seq import (EncoderDecoder, MaskedSoftmaxCELoss, Seq2SeqDecoder, Seq2SeqEncoder,
                         load_data_nmt, predict_s2s_ch9, train_s2s_ch9, try_gpu)
from d2l_seq2seq.plotting import layers_diagram, unrolled_diagram
from d2l_seq2seq.book.seq2seq import s2s_epochs_ch9
from d2l_seq2seq.plotting import show, show_code

import mxnet  # after the package, which makes it ready
from mxnet import np, npx

# %% [markdown]
# An encoder reads the source token by token, and what it carries in the end, the context
# $\mathbf{c}$, is where the decoder starts. In training the decoder reads the right answer, one
# token behind what it has to write.

# %%
show(unrolled_diagram(['they', 'are', 'watching', '.'], ['ils', 'regardent', '.']))

# %% [markdown]
# Inside, both are an embedding, which turns token ids into vectors, and a recurrent network; the
# decoder has a dense layer on top, which scores the words.

# %%
show(layers_diagram({'encoder': ['source', 'embedding', 'LSTM'],
                     'decoder': ['target', 'embedding', 'LSTM', 'dense']},
                    [(('encoder', 'LSTM'), ('decoder', 'LSTM'))]))

# %% [markdown]
# The settings are the book's. The book fixes no seed; with one, this notebook gives the same losses
# and translations each time.

# %% tags=["parameters"]
embed_size, num_hiddens, num_layers, dropout = 32, 32, 2, 0.0
batch_size, num_steps = 64, 10
lr, num_epochs, seed = 0.005, 300, 0
num_task_pairs, num_task_epochs, task_hiddens = 5000, 40, 64  # of the exercises

# %% [markdown]
# ## Encoder
#
# The encoder turns a source of any length into a context of fixed size. An RNN reads one word
# vector $\mathbf{x}_t$ after the other and carries a hidden state along,
#
# $$\mathbf{h}_t = f(\mathbf{x}_t, \mathbf{h}_{t-1}), \qquad (9.7.1)$$
#
# and the context is made of these states,
#
# $$\mathbf{c} = q(\mathbf{h}_1, \ldots, \mathbf{h}_T). \qquad (9.7.2)$$
#
# Here $f$ is an LSTM of two layers and $q$ takes the last state, $\mathbf{h}_T$.

# %%
show_code(Seq2SeqEncoder)

# %% [markdown]
# Four sentences of seven tokens, 16 hidden units: the outputs have time first. The book prints
# `(7, 4, 16)`.

# %%
encoder = Seq2SeqEncoder(vocab_size=10, embed_size=8, num_hiddens=16, num_layers=2)
encoder.initialize()
X = np.zeros((4, 7))
output, state = encoder(X)
output.shape

# %% [markdown]
# An LSTM's state is the hidden state and the memory cell, each of shape (layers, batch, units). The
# book prints `(2, (2, 4, 16), (2, 4, 16))`.

# %%
len(state), state[0].shape, state[1].shape

# %% [markdown]
# ## Decoder
#
# The decoder gives each next word a probability, given the words before it and the context,
#
# $$P(y_{t'} \mid y_1, \ldots, y_{t'-1}, \mathbf{c}), \qquad (9.7.3)$$
#
# with an RNN of its own, whose state follows
#
# $$\mathbf{s}_{t'} = g(\mathbf{y}_{t'-1}, \mathbf{c}, \mathbf{s}_{t'-1}). \qquad (9.7.4)$$
#
# The code hands it the context once, as the state that it starts from. That is why encoder and
# decoder need the same number of layers and units. A dense layer scores every word of the
# vocabulary at every step.

# %%
show_code(Seq2SeqDecoder)

# %% [markdown]
# The logits have the batch first. The book prints `((4, 7, 10), 2, (2, 4, 16), (2, 4, 16))`.

# %%
decoder = Seq2SeqDecoder(vocab_size=10, embed_size=8, num_hiddens=16, num_layers=2)
decoder.initialize()
state = decoder.init_state(encoder(X))
out, state = decoder(X, state)
out.shape, len(state), state[0].shape, state[1].shape

# %% [markdown]
# ## The loss
#
# Sentences of a batch are padded to one length, and padding must not count. `sequence_mask` keeps
# the first positions of each row and sets the others to zero, or to another value. The book prints
# `[[1., 0., 0.], [4., 5., 0.]]`.

# %%
X = np.array([[1, 2, 3], [4, 5, 6]])
npx.sequence_mask(X, np.array([1, 2]), True, axis=1)

# %% [markdown]
# With more axes it masks whole slices: from the second slice on in the first matrix, from the third
# on in the other.

# %%
X = np.ones((2, 3, 4))
npx.sequence_mask(X, np.array([1, 2]), True, value=-1, axis=1)

# %% [markdown]
# So a mask of weights turns Gluon's softmax cross-entropy into one that ignores padding.

# %%
show_code(MaskedSoftmaxCELoss)

# %% [markdown]
# Three equal sentences with 4, 2 and 0 valid positions must lose in the ratio 2 : 1 : 0. The book
# prints `[2.3025851, 1.1512926, 0.]`. On a CPU the last digits differ: oneDNN's logarithm is
# exact to about 3e-6.

# %%
loss = MaskedSoftmaxCELoss()
loss(np.ones((3, 4, 10)), np.ones((3, 4)), np.array([4, 2, 0]))

# %% [markdown]
# ## Training
#
# The decoder reads the target without its last token and is asked for the target without its first
# one (teacher forcing). The gradient is clipped, Adam makes the step.

# %%
show_code(s2s_epochs_ch9)

# %% [markdown]
# The data are short English sentences with their translations: the book's corpus where it can be
# had, else the one that comes with the package. The book has 180 English and 162 French tokens.

# %%
src_vocab, tgt_vocab, train_iter = load_data_nmt(batch_size, num_steps)
len(src_vocab), len(tgt_vocab)

# %% [markdown]
# The book's line is `loss 0.026, 8687.4 tokens/sec on gpu(0)`; over 45 published runs the loss is
# 0.025 to 0.029. The printed loss is not nats per token: it is divided by the nine label positions
# once more, padding included, so 0.026 stands for 0.234 nats per token.

# %% tags=["picture-loss"]
ctx = try_gpu()
mxnet.random.seed(seed)
numpy.random.seed(seed)
encoder = Seq2SeqEncoder(len(src_vocab), embed_size, num_hiddens, num_layers, dropout)
decoder = Seq2SeqDecoder(len(tgt_vocab), embed_size, num_hiddens, num_layers, dropout)
model = EncoderDecoder(encoder, decoder)
train_s2s_ch9(model, train_iter, lr, num_epochs, ctx)

# %% [markdown]
# ## Predicting
#
# Greedy search: start with `<bos>`, take the likeliest word, feed it back, and stop at `<eos>`.

# %%
show(unrolled_diagram(['they', 'are', 'watching', '.'], ['ils', 'regardent', '.'], feeds_back=True))

# %%
show_code(predict_s2s_ch9)

# %% [markdown]
# The book prints `va !`, `<unk> !`, `ça va .` and `j'ai gagné !`. Of the 45 published runs 27 have
# `je vais bien .` and `je l'ai emporté !` instead, which are translations in the corpus as well.

# %%
for sentence in ['Go .', 'Wow !', "I'm OK .", 'I won !']:
    print(sentence + ' => ' + predict_s2s_ch9(
        model, sentence, src_vocab, tgt_vocab, num_steps, ctx))

# %% [markdown]
# ## Exercises
#
# The chapter ends with three questions. The models for the answers are trained with `fit`, the
# package's fast path, which has the chapter's mathematics; a `Translator` takes many sentences at
# once.

# %%
from d2l_seq2seq import (Feed, ModelConfig, Translator, build_model, encode_pairs, evaluate_loss,
                         fit, initialize, read_corpus)
from d2l_seq2seq.data.encoding import first_examples
from d2l_seq2seq.data.corpus import copy_pairs, number_pairs
from matplotlib.figure import Figure
from pandas import Series

# %% [markdown]
# ### 1. Another use of sequence to sequence learning
#
# Anything that turns one sequence into another: here a number, digit by digit, into English words.
# A tenth of the numbers below 100,000 that are drawn are kept back, and the model has to speak them
# without having seen them.

# %%
pairs = number_pairs(num_task_pairs, 100_000, seed)
num_kept = len(pairs) // 10
numbers, answers = zip(*pairs[:num_kept])

mxnet.random.seed(seed)
digits, words, arrays = encode_pairs(pairs[num_kept:], num_steps)
speaker = build_model(ModelConfig(embed_size, task_hiddens, 1, masked=True),
                      len(digits), len(words))
initialize(speaker, ctx)
fit(speaker, Feed(arrays, batch_size, seed, ctx), num_epochs=num_task_epochs, lr=lr)

spoken = Translator(speaker, digits, words, num_steps)(numbers)
num_right = sum(map(str.__eq__, spoken, answers))
print(f'exactly right: {num_right} of {num_kept} ({num_right / num_kept:.1%})')
for number, text in zip(numbers[:3], spoken):
    print(number, '=>', text)

# %% [markdown]
# ### 2. Longer inputs
#
# Everything that the decoder learns of the source has to fit into one vector. To see where that
# ends, let models copy sentences of up to 16 random letters: the plain model, whose vector is the
# same for all lengths, and one with attention, which can look back.

# %%
num_letters = 16
pairs = copy_pairs(num_task_pairs, num_letters, seed)
num_kept = len(pairs) // 10
originals = [source for source, _ in pairs[:num_kept]]
letters, _, arrays = encode_pairs(pairs[num_kept:], num_letters + 2)
kinds = {'plain': ModelConfig(embed_size, task_hiddens, 1, masked=True),
         'attention': ModelConfig(embed_size, task_hiddens, 1, attention='general',
                                  bidirectional=True)}

figure = Figure(figsize=(5, 3), layout='tight')
ax = figure.subplots()
for name, kind in kinds.items():
    mxnet.random.seed(seed)
    copier = build_model(kind, len(letters), len(letters))
    initialize(copier, ctx)
    fit(copier, Feed(arrays, batch_size, seed, ctx), num_epochs=num_task_epochs, lr=lr)
    copies = Translator(copier, letters, letters, num_letters + 2)(originals)
    is_right = Series(map(str.__eq__, copies, originals))
    shares = is_right.groupby([len(original.split()) for original in originals]).mean()
    ax.plot(shares.index, shares, 'o-', label=name)
ax.set(xlabel='tokens in the source', ylabel='exactly right', ylim=(-0.05, 1.05))
ax.legend()
ax.grid(True)
show(figure)

# %% [markdown]
# ### 3. The loss without the mask
#
# Without the mask, padding is a word like any other, which the decoder learns to write behind
# `<eos>`. Below, a second model gets targets whose valid lengths are all `num_steps`. Most of its
# labels are padding, and padding is easy, so the loss that it shows is about half the other's and
# says little. Measured on the true labels the two are about as good (which one is ahead changes
# with the seed): the translations stop at `<eos>` anyway. What the mask brings is a loss that means
# something, and the work saved.

# %%
*vocabs, arrays = encode_pairs(first_examples(read_corpus('auto').pairs, 1000), num_steps)
unmasked = arrays._replace(tgt_valid_len=np.full_like(arrays.tgt_valid_len, num_steps))
for name, own in (('masked', arrays), ('without the mask', unmasked)):
    mxnet.random.seed(seed)
    learner = build_model(ModelConfig(embed_size, num_hiddens, num_layers), *map(len, vocabs))
    initialize(learner, ctx)
    fit(learner, Feed(own, batch_size, seed, ctx), num_epochs=num_epochs, lr=lr)
    losses = [evaluate_loss(learner, Feed(labels, batch_size, seed, ctx)).nll_per_token
              for labels in (own, arrays)]
    print(f'{name}: {losses[0]:.3f} nats per label that it trained on, {losses[1]:.3f} per true '
          'label')
