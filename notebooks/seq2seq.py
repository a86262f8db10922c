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
# sentence, a decoder writes a French sentence, and both are LSTMs. The code shown is that of
# `d2l_seq2seq/book/seq2seq.py`, and the text before each result says what the book printed.

# %%
import numpy
from d2l_seq2seq.book import (EncoderDecoder, MaskedSoftmaxCELoss, Seq2SeqDecoder, Seq2SeqEncoder,
                              load_data_nmt, predict_s2s_ch9, train_s2s_ch9, try_gpu)
from d2l_seq2seq.book.seq2seq import s2s_epochs_ch9
from d2l_seq2seq.plotting import layers_diagram, show, show_code, unrolled_diagram

import mxnet  # after d2l_seq2seq, which makes MXNet ready
from mxnet import np, npx

# %% [markdown]
# The encoder reads the source token by token. Its state after the last token is the context
# $\mathbf{c}$, from which the decoder starts. In training, the decoder reads the correct target
# shifted by one token: at each step it reads one token and has to predict the next.

# %%
show(unrolled_diagram(['they', 'are', 'watching', '.'], ['ils', 'regardent', '.']))

# %% [markdown]
# Encoder and decoder each consist of an embedding, which converts token ids to vectors, and a
# recurrent network. The decoder also has a dense layer, which computes a score for each word of the
# vocabulary.

# %%
show(layers_diagram({'encoder': ['source', 'embedding', 'LSTM'],
                     'decoder': ['target', 'embedding', 'LSTM', 'dense']},
                    [(('encoder', 'LSTM'), ('decoder', 'LSTM'))]))

# %% [markdown]
# The settings are those of the book. The book sets no seed. Here a seed is set, so that the
# notebook gives the same losses and translations each time.

# %% tags=["parameters"]
embed_size, num_hiddens, num_layers, dropout = 32, 32, 2, 0.0
batch_size, num_steps = 64, 10
lr, num_epochs, seed = 0.005, 300, 0
num_task_pairs, num_task_epochs, task_hiddens = 5000, 40, 64  # for the exercises

# %% [markdown]
# ## Encoder
#
# The encoder converts a source of any length to a context of fixed size. At each step, an RNN reads
# the word vector $\mathbf{x}_t$ and updates its hidden state,
#
# $$\mathbf{h}_t = f(\mathbf{x}_t, \mathbf{h}_{t-1}), \qquad (9.7.1)$$
#
# and the context is a function of all hidden states,
#
# $$\mathbf{c} = q(\mathbf{h}_1, \ldots, \mathbf{h}_T). \qquad (9.7.2)$$
#
# Here $f$ is an LSTM of two layers, and $q$ returns the last state, $\mathbf{h}_T$.

# %%
show_code(Seq2SeqEncoder)

# %% [markdown]
# The input is four sentences of seven tokens, and there are 16 hidden units. The first axis of the
# outputs is time. The book prints `(7, 4, 16)`.

# %%
encoder = Seq2SeqEncoder(vocab_size=10, embed_size=8, num_hiddens=16, num_layers=2)
encoder.initialize()
X = np.zeros((4, 7))
output, state = encoder(X)
output.shape

# %% [markdown]
# The state of an LSTM consists of the hidden state and the memory cell, each of shape (num_layers,
# batch_size, num_hiddens). The book prints `(2, (2, 4, 16), (2, 4, 16))`.

# %%
len(state), state[0].shape, state[1].shape

# %% [markdown]
# ## Decoder
#
# The decoder computes the probability of the next word, given the previous words and the context,
#
# $$P(y_{t'} \mid y_1, \ldots, y_{t'-1}, \mathbf{c}), \qquad (9.7.3)$$
#
# with an RNN of its own, whose state is
#
# $$\mathbf{s}_{t'} = g(\mathbf{y}_{t'-1}, \mathbf{c}, \mathbf{s}_{t'-1}). \qquad (9.7.4)$$
#
# In the code, the decoder receives the context only once, as its initial state. Therefore encoder
# and decoder need the same number of layers and hidden units. At every step, a dense layer computes
# a score for each word of the vocabulary.

# %%
show_code(Seq2SeqDecoder)

# %% [markdown]
# The first axis of the logits is the batch. The book prints `((4, 7, 10), 2, (2, 4, 16), (2, 4,
# 16))`.

# %%
decoder = Seq2SeqDecoder(vocab_size=10, embed_size=8, num_hiddens=16, num_layers=2)
decoder.initialize()
state = decoder.init_state(encoder(X))
out, state = decoder(X, state)
out.shape, len(state), state[0].shape, state[1].shape

# %% [markdown]
# ## The loss
#
# The sentences of a batch are padded to the same length, and the padding must not contribute to the
# loss. `sequence_mask` keeps the first elements of each row, and sets the others to zero or to
# another value. The book prints `[[1., 0., 0.], [4., 5., 0.]]`.

# %%
X = np.array([[1, 2, 3], [4, 5, 6]])
npx.sequence_mask(X, np.array([1, 2]), True, axis=1)

# %% [markdown]
# In arrays with more axes it masks whole slices: here all but the first slice of the first matrix,
# and all but the first two slices of the second.

# %%
X = np.ones((2, 3, 4))
npx.sequence_mask(X, np.array([1, 2]), True, value=-1, axis=1)

# %% [markdown]
# With such a mask as its weights, Gluon's softmax cross-entropy ignores the padding.

# %%
show_code(MaskedSoftmaxCELoss)

# %% [markdown]
# Three equal sentences with 4, 2 and 0 valid positions must have losses in the ratio 2 : 1 : 0. The
# book prints `[2.3025851, 1.1512926, 0.]`. On a CPU the last digits differ, because oneDNN's
# logarithm is accurate to about 3e-6 only.

# %%
loss = MaskedSoftmaxCELoss()
loss(np.ones((3, 4, 10)), np.ones((3, 4)), np.array([4, 2, 0]))

# %% [markdown]
# ## Training
#
# The decoder reads the target without its last token, and its labels are the target without its
# first token (teacher forcing). The gradient is clipped, and Adam updates the weights.
# `train_s2s_ch9` plots and prints the results of `s2s_epochs_ch9`, which contains the loop.

# %%
show_code(train_s2s_ch9, s2s_epochs_ch9)

# %% [markdown]
# The data are short English sentences and their translations, from the book's corpus if it is
# available, and otherwise from the corpus of the package. The book's vocabularies have 180 English
# and 162 French tokens.

# %%
src_vocab, tgt_vocab, train_iter = load_data_nmt(batch_size, num_steps)
len(src_vocab), len(tgt_vocab)

# %% [markdown]
# The book prints `loss 0.026, 8687.4 tokens/sec on gpu(0)`. In 45 published runs the loss is 0.025
# to 0.029. The printed loss is not in nats per token: it is divided once more by the nine label
# positions, padding included, so that 0.026 corresponds to 0.234 nats per token.

# %% tags=["picture-loss"]
ctx = try_gpu()
mxnet.random.seed(seed)
numpy.random.seed(seed)
encoder = Seq2SeqEncoder(len(src_vocab), embed_size, num_hiddens, num_layers, dropout)
decoder = Seq2SeqDecoder(len(tgt_vocab), embed_size, num_hiddens, num_layers, dropout)
model = EncoderDecoder(encoder, decoder)
train_s2s_ch9(model, train_iter, lr, num_epochs, ctx)

# %% [markdown]
# ## Prediction
#
# Greedy search starts with `<bos>`, chooses the most likely word at each step, uses it as the next
# input, and stops at `<eos>`.

# %%
show(unrolled_diagram(['they', 'are', 'watching', '.'], ['ils', 'regardent', '.'], feeds_back=True))

# %%
show_code(predict_s2s_ch9)

# %% [markdown]
# The book prints `va !`, `<unk> !`, `ça va .` and `j'ai gagné !`. Of the 45 published runs, 27
# print `je vais bien .` and `je l'ai emporté !` instead of the last two. Both are also translations
# in the corpus.

# %%
for sentence in ['Go .', 'Wow !', "I'm OK .", 'I won !']:
    print(sentence + ' => ' + predict_s2s_ch9(
        model, sentence, src_vocab, tgt_vocab, num_steps, ctx))

# %% [markdown]
# ## Exercises
#
# The chapter ends with three questions. The models below are trained with `fit`, the fast training
# loop of the package, which computes the same mathematics as the chapter's loop. A `Translator`
# translates many sentences at once.

# %%
from d2l_seq2seq import (Feed, ModelConfig, Translator, build_model, encode_pairs, evaluate_loss,
                         fit, initialize, read_corpus)
from d2l_seq2seq.data.corpus import copy_pairs, number_pairs
from d2l_seq2seq.data.encoding import first_examples
from matplotlib.figure import Figure
from pandas import Series

# %% [markdown]
# ### 1. Another use of sequence to sequence learning
#
# It can be used for any task that converts one sequence to another. In this example the source is a
# number, digit by digit, and the target is its name in English words. The numbers are drawn from
# those below 100,000. A tenth of them are held out, and the model has to name them without having
# seen them in training.

# %%
pairs = number_pairs(num_task_pairs, 100_000, seed)
num_held_out = len(pairs) // 10
numbers, answers = zip(*pairs[:num_held_out])

mxnet.random.seed(seed)
digit_vocab, word_vocab, corpus = encode_pairs(pairs[num_held_out:], num_steps)
number_model = build_model(ModelConfig(embed_size, task_hiddens, 1, masked=True),
                           len(digit_vocab), len(word_vocab))
initialize(number_model, ctx)
fit(number_model, Feed(corpus, batch_size, seed, ctx), num_epochs=num_task_epochs, lr=lr)

predictions = Translator(number_model, digit_vocab, word_vocab, num_steps)(numbers)
num_correct = sum(map(str.__eq__, predictions, answers))
print(f'exactly right: {num_correct} of {num_held_out} ({num_correct / num_held_out:.1%})')
for number, text in zip(numbers[:3], predictions):
    print(number, '=>', text)

# %% [markdown]
# ### 2. Longer inputs
#
# All that the decoder knows about the source has to fit into one vector. To see the limits of that,
# two models learn to copy sentences of up to 16 random letters: the plain model, whose vector has
# the same size for all lengths, and a model with attention, which has access to all outputs of the
# encoder.

# %%
num_letters = 16
pairs = copy_pairs(num_task_pairs, num_letters, seed)
num_held_out = len(pairs) // 10
originals = [source for source, _ in pairs[:num_held_out]]
letter_vocab, _, corpus = encode_pairs(pairs[num_held_out:], num_letters + 2)
configs = {'plain': ModelConfig(embed_size, task_hiddens, 1, masked=True),
           'attention': ModelConfig(embed_size, task_hiddens, 1, attention='general',
                                    bidirectional=True)}

figure = Figure(figsize=(5, 3), layout='tight')
ax = figure.subplots()
for name, config in configs.items():
    mxnet.random.seed(seed)
    copy_model = build_model(config, len(letter_vocab), len(letter_vocab))
    initialize(copy_model, ctx)
    fit(copy_model, Feed(corpus, batch_size, seed, ctx), num_epochs=num_task_epochs, lr=lr)
    copies = Translator(copy_model, letter_vocab, letter_vocab, num_letters + 2)(originals)
    is_correct = Series(map(str.__eq__, copies, originals))
    accuracies = is_correct.groupby([len(original.split()) for original in originals]).mean()
    ax.plot(accuracies.index, accuracies, 'o-', label=name)
ax.set(xlabel='tokens in the source', ylabel='share of exact copies', ylim=(-0.05, 1.05))
ax.legend()
ax.grid(True)
show(figure)

# %% [markdown]
# ### 3. The loss without the mask
#
# Without the mask, padding is a token like any other, and the decoder learns to predict it after
# `<eos>`. Below, the second model is trained on targets whose valid lengths are all `num_steps`.
# Most of its labels are padding, which is easy to predict, so its own loss is about half of the
# other model's and means little. When both are evaluated on the true labels, they are about equally
# good (which one is ahead depends on the seed), because translations end at `<eos>` in any case.
# The advantages of the mask are that the loss has a meaning and that less has to be computed.

# %%
*vocabs, corpus = encode_pairs(first_examples(read_corpus('auto').pairs, 1000), num_steps)
unmasked = corpus._replace(tgt_valid_len=numpy.full_like(corpus.tgt_valid_len, num_steps))
for name, train_corpus in (('masked', corpus), ('without the mask', unmasked)):
    mxnet.random.seed(seed)
    model = build_model(ModelConfig(embed_size, num_hiddens, num_layers), *map(len, vocabs))
    initialize(model, ctx)
    fit(model, Feed(train_corpus, batch_size, seed, ctx), num_epochs=num_epochs, lr=lr)
    losses = [evaluate_loss(model, Feed(labels, batch_size, seed, ctx)).nll_per_token
              for labels in (train_corpus, corpus)]
    print(f'{name}: {losses[0]:.3f} nats per label that it trained on, {losses[1]:.3f} per true '
          'label')
