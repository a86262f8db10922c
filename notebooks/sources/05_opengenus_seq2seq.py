# ---
# jupyter:
#   kernelspec:
#     display_name: Python 3
#     language: python
#     name: python3
# ---

# %% [markdown]
# # The OpenGenus article: the model
#
# "Seq2seq: Encoder-Decoder Sequence to Sequence Model Explanation" describes the same model as the
# book's chapter, in the terms of Keras and with its own settings. This notebook follows the article
# from the architecture to the training. Its claims about what the model can and cannot do are
# measured in [another notebook](05b_opengenus_claims.ipynb).
#
# All code is ours. Where the article prints a result, the text before our result says what it
# printed. The cells define the model, and the training uses what the cells define: change a cell,
# run it and those after it, and see what happens.

# %%
import math

import d2l_seq2seq.book as d2l
import mxnet
import numpy
from d2l_seq2seq import (DataConfig, Feed, ModelConfig, ScheduledSampling, SteppedEncoderDecoder,
                         Translator, UpdateRules, build_model, corpus_scores, encode_pairs,
                         evaluate_loss, feedback, fit, initialize, per_token_objective, read_corpus,
                         split_pairs, teacher_forcing)
from d2l_seq2seq.data.corpus import pseudo_pairs
from d2l_seq2seq.data.encoding import (encode_pseudo_pairs, encode_tokens, group_references,
                                       tokenize_pairs)
from d2l_seq2seq.data.tokenizers import build_tokenizer, opengenus_vocab, tokenize_opengenus
from d2l_seq2seq.models.recurrent import KerasDefaults, keras_lstm
from d2l_seq2seq.plotting import layers_diagram, show, show_code, unrolled_diagram
from matplotlib.figure import Figure
from mxnet import init, np, npx
from mxnet.gluon import nn, rnn
from pandas import DataFrame

npx.set_np()
ctx = d2l.try_gpu()

# %% tags=["parameters"]
seed, embed_size, article_hiddens, num_epochs = 0, 10, 512, 2  # the article's
max_words, real_embed_size, real_hiddens, real_epochs = 8, 64, 128, 12
batch_size, lr = 64, 0.004

# %% [markdown]
# ## Architecture
#
# The task is *many to many*: a sequence is converted to another sequence, which may have another
# length. Translation is the most common application. The model has two components. The *encoder*
# reads an English sentence, and the *decoder* writes a French one. Both are recurrent neural
# networks (RNNs).
#
# The decoder reads a token for the start of the sequence first, and then, at each step, the word
# before. It is to end the sentence with a token for the end of the sequence. (The article says that
# the output of a step is an input of the *encoder* in the next step. It must be the decoder, as in
# the article's figures and code.) The source is read from its last word to its first; the reason
# follows below.

# %%
source, target = ['milk', 'drink', 'i'], ['je', 'bois', 'du', 'lait']
show(unrolled_diagram(source, target))

# %% [markdown]
# The layers of both components. An *embedding* replaces each word by a vector. In the decoder, a
# dense layer computes a score for each word of the vocabulary, and a softmax converts the scores to
# probabilities. Both sides have the same embedding.

# %%
show(layers_diagram({'encoder': ['source, reversed', 'embedding', 'LSTM'],
                     'decoder': ['target', 'embedding', 'LSTM', 'dense', 'softmax']},
                    [(('encoder', 'embedding'), ('decoder', 'embedding'), 'same weights'),
                     (('encoder', 'LSTM'), ('decoder', 'LSTM'), 'final state')]))

# %% [markdown]
# In training, the decoder reads the correct words, as in the first figure. At inference there is no
# target: the decoder reads the word that it has written at the step before.

# %%
show(unrolled_diagram(source, target, feeds_back=True))

# %% [markdown]
# ## From text to numbers
#
# Punctuation is removed, the text is converted to lower case, and words are separated by spaces.
# (An apostrophe therefore does not split a word.)

# %%
show_code(tokenize_opengenus)
tokenize_opengenus("I'm drinking milk.")

# %% [markdown]
# Words are numbered in order of decreasing frequency, after padding (0), start of sequence (1) and
# unknown words (2). The article also mentions an end of sequence, but gives it no number. Here it
# is 3.

# %%
sentences = ['I drink milk', 'I drink, you drink']
words = [tokenize_opengenus(sentence) for sentence in sentences]
vocab = opengenus_vocab(words, min_freq=1)
list(enumerate(vocab.idx_to_token))

# %% [markdown]
# The article's examples are 288 for *milk* and 3335 for *drink*. In the book's corpus, by the same
# rules, *drink* is the more frequent of the two. The numbers depend on the corpus.

# %%
pairs = read_corpus('auto').pairs
english_words = [tokenize_opengenus(source) for source, target in pairs]
vocab = opengenus_vocab(english_words, min_freq=1)
print(f'milk: {vocab["milk"]}, drink: {vocab["drink"]}, of {len(vocab):,}')

# %% [markdown]
# The source is reversed. The article's reason is that the decoder usually needs the beginning of
# the source first, and this is then what the encoder has read last.

# %%
list(reversed(tokenize_opengenus('I drink milk.')))

# %% [markdown]
# A vocabulary for both languages, which the common embedding requires, and the reversed source are
# settings of the package's tokenizers:

# %%
tokenizer = build_tokenizer(DataConfig(
    text_rules='opengenus', reverse_source=True, share_vocab=True, min_freq=2))
tokenizer.tokenize_src('I drink milk.'), tokenizer.tokenize_tgt('Je bois du lait.')

# %% [markdown]
# ## The embedding
#
# The embedding is a table of vectors, one for each word of the vocabulary. Looking up the numbers
# of a sentence gives the encoder's inputs. Here there are 100 words and vectors of size 10, as in
# the article's code. Row 5 of the table is the vector of word 5.

# %%
embedding = nn.Embedding(100, embed_size)
embedding.initialize(init.Uniform(0.05))  # Keras's initial values
ids = np.array([[5, 7, 4]])  # (batch_size, num_steps)
vectors = embedding(ids)  # (batch_size, num_steps, embed_size)
print(vectors.shape, (vectors[0, 0] == embedding.weight.data()[5]).all())

# %% [markdown]
# ## The recurrent unit
#
# At each step, the unit reads the vector of a word and its previous hidden state, and returns the
# next hidden state. A plain unit computes
#
# $$\mathbf{h}_t = \tanh(\mathbf{W}_{xh} \mathbf{x}_t + \mathbf{W}_{hh} \mathbf{h}_{t-1} +
# \mathbf{b}).$$
#
# The loop computes this formula step by step, and the last line compares it with Gluon's layer. The
# final hidden state is the *context vector*. It is all that the decoder gets to know about the
# source.

# %%
mxnet.random.seed(seed)
num_hiddens = 4
layer = rnn.RNN(num_hiddens, activation='tanh')
layer.initialize(init.Normal(0.5))
X = np.random.normal(size=(6, 3, embed_size))  # (num_steps, batch_size, embed_size)
outputs, state = layer(X, layer.begin_state(batch_size=3))

W_xh, W_hh = layer.l0_i2h_weight.data(), layer.l0_h2h_weight.data()
b = layer.l0_i2h_bias.data() + layer.l0_h2h_bias.data()  # Gluon has two biases
h = np.zeros((3, num_hiddens))
hidden_states = []
for x in X:
    h = np.tanh(np.dot(x, W_xh.T) + np.dot(h, W_hh.T) + b)
    hidden_states.append(h)
print(abs(np.stack(hidden_states) - outputs).max(), abs(h - state[0][0]).max())

# %% [markdown]
# ### Output and hidden state
#
# The article says that a unit of the decoder returns an output $\mathbf{y}_t$ and a hidden state
# $\mathbf{h}_t$, which are the same in almost all cases. For a plain unit they are the same, as the
# cell above shows, and also for a GRU. But
#
# - the state of an LSTM also has a *memory cell*, which is not an output. The article calls the
#   hidden state and the memory cell the short-term and the long-term state;
# - in a stack of layers, only the hidden state of the top layer is an output;
# - with two directions, the state of the backward direction is its output at the *first* word,
#   which it reads last.
#
# The cell runs one layer of each kind over the same words.

# %%
layers = {'RNN': rnn.RNN(num_hiddens, activation='tanh'),
          'GRU': rnn.GRU(num_hiddens),
          'LSTM': rnn.LSTM(num_hiddens),
          'two layers': rnn.LSTM(num_hiddens, num_layers=2),
          'two directions': rnn.LSTM(num_hiddens, bidirectional=True)}
first_outputs, last_outputs, states = {}, {}, {}
for name, layer in layers.items():
    layer.initialize(init.Normal(0.5))
    outputs, states[name] = layer(X, layer.begin_state(batch_size=3))
    first_outputs[name], last_outputs[name] = outputs[0], outputs[-1]
    print(f'{name}: outputs {outputs.shape}, state', [array.shape for array in states[name]])

# %% [markdown]
# In each row of the table, an output is compared with a part of the final state. They are the same
# if the largest difference is 0.

# %%
def largest_difference(first, second):
    return float(abs(first - second).max())


rows = []
for name in ('RNN', 'GRU', 'LSTM'):
    hidden_states = states[name][0]
    rows.append([name, 'last output', 'hidden state',
                 largest_difference(last_outputs[name], hidden_states[0])])
hidden_states, memory_cells = states['LSTM']
rows.append(['LSTM', 'last output', 'memory cell',
             largest_difference(last_outputs['LSTM'], memory_cells[0])])
hidden_states, memory_cells = states['two layers']
for number, layer in ((1, 'top'), (0, 'bottom')):
    rows.append(['two layers', 'last output', f'hidden state, {layer} layer',
                 largest_difference(last_outputs['two layers'], hidden_states[number])])
hidden_states, memory_cells = states['two directions']
for step, outputs in (('last', last_outputs), ('first', first_outputs)):
    backward_outputs = outputs['two directions'][:, num_hiddens:]
    rows.append(['two directions', f'{step} output', 'hidden state, backward',
                 largest_difference(backward_outputs, hidden_states[1])])
DataFrame(rows, columns=['layer', 'output', 'part of the state', 'largest difference']).round(3)

# %% [markdown]
# In Keras, `return_state=True` adds the final state to what a layer returns, and
# `return_sequences=True` makes it return the outputs of all steps rather than the last one. Gluon's
# layers return the outputs of all steps and the final state in any case. (The article's encoder
# needs only the state. It says that a GRU also needs `return_sequences=True`, but the final state
# is the same without.)
#
# ## The time-distributed softmax
#
# The output layer and the softmax convert each output of the decoder to probabilities,
#
# $$P(y_t = k) = \operatorname{softmax}(\mathbf{W} \mathbf{h}_t + \mathbf{b})_k,$$
#
# with the same weights at every step. Keras has a wrapper for this, `TimeDistributed`: it
# merges the axes of the batch and of time, applies the layer, and separates the axes again. Gluon's
# dense layer with `flatten=False` is applied to the last axis of an array, so it needs no wrapper.
# The cell computes the probabilities in both ways, and also in a loop over the steps, with the same
# weights.

# %%
outputs = np.random.normal(size=(4, 7, 16))  # (batch_size, num_steps, num_hiddens)
dense = nn.Dense(100, flatten=False, in_units=16)
dense.initialize()
probabilities = npx.softmax(dense(outputs))  # (batch_size, num_steps, vocab_size)
rows = npx.softmax(dense(outputs.reshape(4 * 7, 16)))  # (batch_size * num_steps, vocab_size)
steps = [npx.softmax(dense(outputs[:, step])) for step in range(7)]
print(probabilities.shape, rows.shape)
print(abs(probabilities - rows.reshape(4, 7, 100)).max(),
      abs(probabilities - np.stack(steps, axis=1)).max())

# %% [markdown]
# ## The model
#
# Encoder and decoder get the embedding and their recurrent layer as arguments, so that you can
# replace them. The forward pass of the decoder ends with the scores. The softmax is part of the
# loss.

# %%
class ArticleEncoder(d2l.Encoder):
    """An embedding and recurrent layers; the last state is the context vector."""

    def __init__(self, embedding, layer):
        super().__init__()
        self.embedding = embedding
        self.rnn = layer

    def forward(self, X, *args):
        X = self.embedding(X).swapaxes(0, 1)  # (num_steps, batch_size, embed_size)
        state = self.rnn.begin_state(batch_size=X.shape[1], ctx=X.ctx)
        return self.rnn(X, state)


# %%
class ArticleDecoder(d2l.Decoder):
    """The embedding of the encoder, recurrent layers, and a dense layer at every step."""

    def __init__(self, embedding, layer, vocab_size):
        super().__init__()
        self.embedding = embedding
        self.rnn = layer
        self.dense = nn.Dense(vocab_size, flatten=False)

    def init_state(self, enc_outputs, *args):
        outputs, state = enc_outputs
        return state

    def forward(self, X, state):
        X = self.embedding(X).swapaxes(0, 1)  # (num_steps, batch_size, embed_size)
        outputs, state = self.rnn(X, state)
        return self.dense(outputs).swapaxes(0, 1), state


# %%
def build_article_model(new_layer, vocab_size, embed_size, num_hiddens):
    """Return the model with a layer class for both sides: keras_lstm, rnn.GRU or another."""
    embedding = nn.Embedding(vocab_size, embed_size)
    encoder = ArticleEncoder(embedding, new_layer(num_hiddens))
    decoder = ArticleDecoder(embedding, new_layer(num_hiddens), vocab_size)
    return d2l.EncoderDecoder(encoder, decoder)


# %% [markdown]
# `keras_lstm` is Gluon's LSTM with open forget gates, which have a bias of 1 at the start, and
# `KerasDefaults` draws the other initial weights as Keras does. The command
# `python -m d2l_seq2seq.train --preset opengenus` trains this model, too.

# %%
show_code(keras_lstm, KerasDefaults)

# %% [markdown]
# ### The article's code and ours
#
# The article uses Keras and TensorFlow Addons. First the inputs and the encoder:
#
# | the article | here |
# |---|---|
# | `Input(shape=[None], dtype=np.int32)`, twice | the arguments of `forward`, of any length |
# | `Input(shape=[])`, the `sequence_lengths` | the valid lengths that the loss gets |
# | `Embedding(vocab_size, embed_size)` | `nn.Embedding(vocab_size, embed_size)` |
# | one `embeddings`, called for both sides | one argument of both blocks; `share_embedding` |
# | `LSTM(512, return_state=True)` | `keras_lstm(512)`: `rnn.LSTM` with Keras's bias |
# | `GRU(512)`, the other option | `rnn.GRU(512)`, whose state is a list of one array |
# | `encoder_outputs, state_h, state_c` | `outputs, (state[0], state[1])` |
#
# Then the decoder. TensorFlow Addons' decoder calls a cell once per step. Gluon's layer can run all
# steps at once, or one step after the other.
#
# | the article | here |
# |---|---|
# | `LSTMCell(512)` | `keras_lstm(512)` again |
# | `Dense(vocab_size)` as `output_layer` | `nn.Dense(vocab_size, flatten=False)` |
# | `TimeDistributed(Dense(...))` | the same dense layer |
# | `TrainingSampler()` | the target as the input `X`; see *Samplers* below |
# | `BasicDecoder(cell, sampler, ...)` | `ArticleDecoder`; `SteppedEncoderDecoder` |
# | `initial_state=encoder_state` | `decoder.init_state(enc_outputs)` |
# | `final_outputs.rnn_output` | the scores that `decoder(X, state)` returns |
# | `final_state` | the state that it returns |
# | `final_sequence_lengths` | the target's valid lengths |
# | `tf.nn.softmax(...)` | `npx.softmax`, in the loss and in the search |
# | `Model(inputs=..., outputs=...)` | `d2l.EncoderDecoder(encoder, decoder)` |
#
# And the training:
#
# | the article | here |
# |---|---|
# | `loss="sparse_categorical_crossentropy"` | `UpdateRules(objective=per_token_objective)` |
# | Keras does not clip gradients | `UpdateRules(max_norm=None)` |
# | `optimizer="adam"` | `fit` uses Adam; Keras's learning rate is `lr=0.001` |
# | `np.random.randint(100, size=...)` | `pseudo_pairs(seed)` |
# | `np.c_[np.zeros(...), Y[:, :-1]]` | `encode_pseudo_pairs`: 0 precedes each target |
# | `fit([X, X_decoder, seq_lengths], Y)` | `fit(model, Feed(corpus, 32, seed, ctx))` |
# | `epochs=2` | `num_epochs=2` |
#
# ## Pseudo-data
#
# The article trains on random numbers below 100: 1,000 sources of 10, and 1,000 targets of 15. The
# decoder starts from 0, which is the id of padding, and all positions count.

# %%
pseudo_vocab, pseudo_corpus = encode_pseudo_pairs(pseudo_pairs(seed))
print('shapes       ', pseudo_corpus.src.shape, pseudo_corpus.tgt.shape)
print('source       ', pseudo_corpus.src[0])
print('decoder input', pseudo_corpus.tgt[0, :-1])
print('labels       ', pseudo_corpus.tgt[0, 1:])

# %% [markdown]
# Only the frequency of each number can be learned. The loss starts near $\ln 100 = 4.6052$, that of
# equal probabilities, and falls very slowly. After two epochs of 32 batches, the article prints
#
#     loss: 4.6053
#     loss: 4.6031
#
# These are means over the tokens of an epoch, computed during training. The second model below has
# GRUs, which the article names as the other option.

# %%
def train_on_pseudo_data(new_layer):
    mxnet.random.seed(seed)
    model = build_article_model(new_layer, len(pseudo_vocab), embed_size, article_hiddens)
    initialize(model, ctx, KerasDefaults())
    fit(model, Feed(pseudo_corpus, 32, seed, ctx), num_epochs=num_epochs, lr=0.001,
        rules=UpdateRules(objective=per_token_objective, max_norm=None),
        on_epoch_end=lambda metrics, state: print(
            f'epoch {metrics.epoch}: loss {metrics.train.nll_per_token:.4f}'))
    return model


print('LSTM')
article_model = train_on_pseudo_data(keras_lstm)
print('GRU')
gru_model = train_on_pseudo_data(rnn.GRU)
print(f'ln 100 = {math.log(100):.4f}')

# %% [markdown]
# A GRU has three gates instead of four, and so fewer weights. Its state has one array.

# %%
for name, model in (('LSTM', article_model), ('GRU', gru_model)):
    weights = model.collect_params().values()
    num_weights = sum(weight.data().size for weight in weights)
    outputs, state = model.encoder(np.zeros((1, 10), ctx=ctx))
    print(f'{name}: {num_weights:,} weights, {len(state)} arrays of shape {state[0].shape}')

# %% [markdown]
# ## Real sentences
#
# The article's example is *I drink milk*. So that a small model learns to translate it within
# seconds, the data are all sentences of the corpus with up to eight words about food and drink (ten
# in French). One in ten sentences is held out.

# %%
food = {'drink', 'drinks', 'drinking', 'drank', 'drunk', 'eat', 'eats', 'eating', 'ate', 'milk',
        'water', 'coffee', 'tea', 'beer', 'wine', 'juice', 'bread', 'meat', 'fish', 'cheese',
        'butter', 'sugar', 'rice', 'fruit'}
food_pairs = []
for source, target in pairs:
    words, target_words = tokenize_opengenus(source), tokenize_opengenus(target)
    if food.intersection(words) and len(words) <= max_words and len(target_words) <= max_words + 2:
        food_pairs.append((source, target))
parts = split_pairs(food_pairs, 0.05)
held_out = parts.valid + parts.test
num_steps = max_words + 4  # the start and the end of a sequence are tokens, too
vocab, vocab, corpus = encode_pairs(parts.train, num_steps, tokenizer)
held_out_corpus = encode_tokens(*tokenize_pairs(held_out, tokenizer), vocab, vocab, num_steps)
print(f'{len(parts.train):,} pairs to train on, {len(held_out):,} held out, {len(vocab):,} words')
milk_sentences = {source for source, target in parts.train if 'milk' in source}
print('with milk:', *sorted(milk_sentences)[:5], sep='\n    ')
print('the example is one of them:', 'I drink milk.' in milk_sentences)

# %% [markdown]
# The model is the same with other sizes: longer word vectors, and fewer units. The initial weights
# are larger than Keras's, with which such a small corpus would need more epochs.

# %%
def train_on_real_data(model, chooser=None):
    """Train a model; a chooser decides what the decoder reads, by default the target."""
    mxnet.random.seed(seed)
    initialize(model, ctx, init.Uniform(0.2))
    trained = model
    if chooser is not None:
        trained = SteppedEncoderDecoder(model.encoder, model.decoder, chooser)
    fit(trained, Feed(corpus, batch_size, seed, ctx), num_epochs=real_epochs, lr=lr,
        rules=UpdateRules(objective=per_token_objective))


model = build_article_model(keras_lstm, len(vocab), real_embed_size, real_hiddens)
train_on_real_data(model)
translator = Translator(model, vocab, vocab, num_steps, tokenizer)
for sentence in ['I drink milk.', 'Do you drink tea?', 'She drinks too much coffee.']:
    print(f'{sentence} => {translator(sentence)}')

# %% [markdown]
# ### The probabilities of the first word
#
# The article's example is that, at the first step, *je* has a probability of 20 %, *tu* of 1 %, and
# so on, and that the most likely word is the output. These are the probabilities of this model,
# before any word is chosen. (Without punctuation, *bois-tu* is the word *boistu*.)

# %%
def encode_source(sentence):
    """Return the ids of a sentence, padded as in training."""
    ids = vocab[tokenizer.tokenize_src(sentence)]
    padding = [vocab['<pad>']] * (num_steps - len(ids))
    return np.array([ids + padding], ctx=ctx)  # (1, num_steps)


def predict_first_word(sentence):
    """Return the probability of each word of the vocabulary at the first step."""
    state = model.decoder.init_state(model.encoder(encode_source(sentence)))
    start = np.array([[vocab['<bos>']]], ctx=ctx)
    scores, state = model.decoder(start, state)  # (1, 1, vocab_size)
    return npx.softmax(scores[0, 0]).asnumpy()


# %%
sentences = ['I drink milk.', 'Do you drink milk?', 'She drinks milk.']
first_probabilities = {sentence: predict_first_word(sentence) for sentence in sentences}
compared_words = ['je', 'jai', 'tu', 'vous', 'boistu', 'buvezvous', 'elle', '<unk>', '<eos>']
columns = {}
for sentence, probabilities in first_probabilities.items():
    columns[sentence] = [100 * probabilities[vocab[word]] for word in compared_words]
table = DataFrame(columns, index=compared_words)
table.loc['all other words'] = 100 - table.sum()
table.rename_axis('percent').round(1)

# %%
figure = Figure(figsize=(7.5, 2.6), layout='tight')
for ax, (sentence, probabilities) in zip(figure.subplots(1, 3), first_probabilities.items()):
    likeliest = probabilities.argsort()[::-1][:6]
    ax.barh(vocab.to_tokens(likeliest.tolist()), probabilities[likeliest])
    ax.invert_yaxis()  # the most likely word is on top
    ax.set(title=sentence, xlabel='probability', xlim=(0, 1))
show(figure)

# %% [markdown]
# ### The decoder reads its own words
#
# At inference, each word that the decoder has written is its next input. The table lists what it
# reads and writes, until it writes the end of the sequence. A `Translator` does the same for many
# sentences at once.

# %%
state = model.decoder.init_state(model.encoder(encode_source('I drink milk.')))
word, rows = '<bos>', []
while word != '<eos>' and len(rows) < num_steps:
    X = np.array([[vocab[word]]], ctx=ctx)
    scores, state = model.decoder(X, state)
    probabilities = npx.softmax(scores[0, 0])
    word_id = int(probabilities.argmax())
    rows.append([word, vocab.to_tokens(word_id), float(probabilities[word_id])])
    word = vocab.to_tokens(word_id)
DataFrame(rows, columns=['reads', 'writes', 'probability'],
          index=range(1, len(rows) + 1)).round(2)

# %% [markdown]
# ## Samplers
#
# In TensorFlow Addons, a *sampler* tells the decoder at each step what to take for the previous
# word. The article uses one of them, `TrainingSampler`, and says that there are others. Here they
# are, with the functions of this package that do the same:
#
# | TensorFlow Addons | here | the decoder reads |
# |---|---|---|
# | `TrainingSampler` | `teacher_forcing` | the target |
# | `GreedyEmbeddingSampler` | `feedback`, `greedy_search` | its most likely word |
# | `ScheduledEmbeddingTrainingSampler(p)` | `ScheduledSampling(1 - p)` | either of both |
# | `SampleEmbeddingSampler` | `sample` | a word that is drawn |
# | `InferenceSampler`, `CustomSampler` | your own function | what the function returns |
# | `ScheduledOutputTrainingSampler` | none | its output vector or the target |
#
# The functions `greedy_search` and `sample` are for inference, the others for training. The last
# sampler of the table needs outputs of the same size as the word vectors.
#
# The tests of this package compare the first five rows with TensorFlow Addons 0.23, for LSTMs and
# GRUs, with the same weights on both sides:
#
# - `TrainingSampler` has the scores, losses and gradients of teacher forcing;
# - `GreedyEmbeddingSampler` has those of feedback in training, and the words of `greedy_search` at
#   inference;
# - `SampleEmbeddingSampler` and `sample` draw the words with the same probabilities;
# - with samplers made of one's own functions, the scores are the same, too;
# - `ScheduledEmbeddingTrainingSampler` *draws* the decoder's own word from its probabilities, and
#   `ScheduledSampling` takes the most likely word. If the words that were drawn are replayed, the
#   scores are the same.
#
# A chooser is a function that gets the words of the target and those that the decoder has just
# predicted, and returns the ones to read:

# %%
show_code(teacher_forcing, feedback, ScheduledSampling)

# %% [markdown]
# The model above was trained with teacher forcing, in one pass over all steps of a target. Step by
# step, the scores are the same:

# %%
src, tgt = np.array(held_out_corpus.src[:50], ctx=ctx), np.array(held_out_corpus.tgt[:50], ctx=ctx)
stepped = SteppedEncoderDecoder(model.encoder, model.decoder, teacher_forcing)
scores, state = model(src, tgt[:, :-1])
stepwise_scores, state = stepped(src, tgt[:, :-1])
print(scores.shape, abs(scores - stepwise_scores).max())

# %% [markdown]
# Now three models are trained step by step: with scheduled sampling, with feedback, and with a
# chooser of our own, which only corrects a predicted end. The blocks are those of the package,
# which `fit` can compile, with random choices among their steps.
#
# The loss is that of the held-out sentences when the decoder reads the target. The chrF (the share
# of common character sequences, from 0 to 100) is that of its translations, in which it reads its
# own words.

# %%
references = group_references(held_out, tokenizer)
answers = []
for source_references in references.values():
    answers.append([' '.join(tokenizer.tokenize_tgt(target)) for target in source_references])


def describe(name, model):
    """Return a row of the table: the loss and the translations of held-out sentences."""
    losses = evaluate_loss(model, Feed(held_out_corpus, batch_size, seed, ctx))
    translator = Translator(model, vocab, vocab, num_steps, tokenizer)
    chrf = corpus_scores(translator(references), answers)['chrF'].value
    return [name, losses.nll_per_token, chrf, translator('I drink milk.')]


def train_with_chooser(chooser):
    config = ModelConfig(real_embed_size, real_hiddens, 1, share_embedding=True,
                         initializer='keras')
    model = build_model(config, len(vocab), len(vocab))
    train_on_real_data(model, chooser)
    return model


# %%
def target_at_the_end(F, target, predicted):
    """Choose the target's word where the prediction is the end of the sequence."""
    is_end = predicted == vocab['<eos>']
    return F.np.where(is_end, target, predicted)


rows = [describe('teacher forcing', model),
        describe('scheduled sampling', train_with_chooser(ScheduledSampling(0.75))),
        describe('target at the end', train_with_chooser(target_at_the_end)),
        describe('feedback', train_with_chooser(feedback))]
DataFrame(rows, columns=['training', 'nats per token', 'chrF', 'I drink milk.']).round(2)

# %% [markdown]
# The last two models have the higher losses, because they seldom or never read the target in
# training, as they do here. The translations are about equally good: with one seed and a few
# hundred sentences, differences of one or two points mean little.
#
# ## Now you try
#
# - Change the model: give `build_article_model` another layer class, for example
#   `lambda num_hiddens: rnn.LSTM(num_hiddens, num_layers=2)`, or another decoder.
# - Do not reverse the source: set `reverse_source=False`, and run the cells from there on.
# - Write another chooser of your own: a function of `F`, `target` and `predicted`.
# - Look at the probabilities of the first word for other sentences.
#
# ## Summary
#
# - The model of the article is an encoder and a decoder with a common embedding. The final state of
#   the encoder is all that the decoder knows about the source.
# - The output of a recurrent unit is its hidden state. The memory cell of an LSTM, the lower layers
#   and the final state of a backward direction are not in the last output.
# - On random data the loss stays at $\ln 100$. On real sentences the same code learns to translate.
# - A sampler is the rule for what the decoder reads in training.
