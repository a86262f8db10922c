# ---
# jupyter:
#   kernelspec:
#     display_name: Python 3
#     language: python
#     name: python3
# ---

# %% [markdown]
# # The OpenGenus article
#
# "Seq2seq: Encoder-Decoder Sequence to Sequence Model Explanation" describes the same model as the
# book's chapter, in the terms of Keras and with its own settings. This notebook follows it from the
# text rules to the weaknesses that the article lists. The text before each result says what the
# article printed. The code shown is that of the package and not the article's.

# %%
from d2l_seq2seq._runtime import choose_threads

choose_threads(batch_size=64, num_hiddens=128)  # before MXNet is loaded

# %%
import math

import numpy
from d2l_seq2seq import (Animator, BucketFeed, DataConfig, Feed, ModelConfig, Translator,
                         UpdateRules, build_model, corpus_scores, encode_pairs, fit, initialize,
                         per_token_objective, read_corpus, share_embedding, split_pairs, try_gpu)
from d2l_seq2seq.config import PRESETS
from d2l_seq2seq.data.corpus import pseudo_pairs
from d2l_seq2seq.data.encoding import encode_pseudo_pairs, group_references
from d2l_seq2seq.data.tokenizers import build_tokenizer, opengenus_vocab, tokenize_opengenus
from d2l_seq2seq.models.recurrent import KerasDefaults, keras_lstm
from d2l_seq2seq.plotting import show, show_code, unrolled_diagram
from matplotlib.figure import Figure
from pandas import cut

import mxnet  # after d2l_seq2seq, which makes MXNet ready
from mxnet import np, npx
from mxnet.gluon import nn

# %% tags=["parameters"]
seed, article_hiddens, article_epochs = 0, 512, 2
every_nth, num_steps, batch_size, lr = 8, 60, 64, 0.004
embed_size, num_hiddens, num_epochs = 64, 128, 14

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
vocab = opengenus_vocab([tokenize_opengenus(sentence)
                         for sentence in ('I drink milk', 'I drink, you drink')], min_freq=1)
list(enumerate(vocab.idx_to_token))

# %% [markdown]
# ## The source is reversed
#
# The encoder reads *I drink milk* as *milk drink I*. The decoder needs the first word of the source
# first, and this is the word that the encoder has read last.

# %%
tokenizer = build_tokenizer(DataConfig(text_rules='opengenus', reverse_source=True,
                                       share_vocab=True, min_freq=4))
print(tokenizer.tokenize_src('I drink milk.'))
show(unrolled_diagram(tokenizer.tokenize_src('I drink milk.'), ['je', 'bois', 'du', 'lait']))

# %% [markdown]
# ## One embedding for both sides
#
# Encoder and decoder use the same embedding, which requires one vocabulary for both languages.

# %%
show_code(share_embedding)

# %% [markdown]
# The article's model has 512 LSTM units and word vectors of size 10. The initial weights are those
# of Keras, in which the forget gates start open, with a bias of 1.

# %%
show_code(keras_lstm, KerasDefaults)

# %% [markdown]
# ## The time-distributed softmax
#
# Keras has a wrapper that applies a dense layer at every step: it merges the time and batch axes,
# applies the layer, and separates the axes again. Gluon's dense layer with `flatten=False` is
# applied to the last axis, so that it needs no wrapper. The cell compares both ways, and a loop
# over the steps, with the same weights:

# %%
mxnet.random.seed(seed)
outputs = np.random.normal(size=(4, 7, 16))  # (batch_size, num_steps, num_hiddens)
dense = nn.Dense(100, flatten=False, in_units=16)
dense.initialize()
at_once = npx.softmax(dense(outputs))
merged_axes = npx.softmax(dense(outputs.reshape(4 * 7, 16))).reshape(4, 7, 100)
step_by_step = np.stack([npx.softmax(dense(outputs[:, step])) for step in range(7)], axis=1)
print(at_once.shape, *(float(abs(at_once - other).max()) for other in (merged_axes, step_by_step)))

# %% [markdown]
# ## Pseudo-data
#
# The pseudo-data are 1,000 pairs of random numbers below 100. Only the frequency of each number can
# be learned, and the loss starts at $\ln 100$. Here the decoder starts from 0, the id of padding,
# and nothing is masked, because all positions count. The article prints the losses 4.6053 and
# 4.6031, which are means over the tokens of an epoch, computed during training.

# %%
preset = PRESETS['opengenus']
ctx = try_gpu()
mxnet.random.seed(seed)
pseudo_vocab, pseudo_corpus = encode_pseudo_pairs(pseudo_pairs(seed))
model = build_model(
    ModelConfig(preset['embed_size'], article_hiddens, preset['num_layers'], share_embedding=True,
                initializer='keras'), len(pseudo_vocab), len(pseudo_vocab))
initialize(model, ctx, KerasDefaults())
fit(model, Feed(pseudo_corpus, preset['batch_size'], seed, ctx), num_epochs=article_epochs,
    lr=preset['lr'], rules=UpdateRules(objective=per_token_objective, max_norm=None),
    on_epoch_end=lambda metrics, state: print(
        f'epoch {metrics.epoch}: loss {metrics.train.nll_per_token:.4f}'))
print(f'ln 100 = {math.log(100):.4f}')

# %% [markdown]
# ## Real pairs
#
# The data are every eighth pair of the book's corpus, which gives sentences of all lengths, with
# the text rules of the article. A tenth of them are held out. Two models are trained. The first is
# the article's, with fewer units and longer word vectors; its decoder reads a single vector. The
# second also has attention, which the article suggests. (Neither encoder reads padding. Otherwise
# short sentences would have more of it than long ones.)

# %%
parts = split_pairs(read_corpus('auto').pairs[::every_nth], 0.05)
vocab, _, corpus = encode_pairs(parts.train, num_steps, tokenizer)
references = group_references([*parts.valid, *parts.test], tokenizer)
print(f'{len(parts.train):,} pairs, {len(vocab):,} words in both languages; {len(references):,} '
      'sentences to translate')

# %%
animator = Animator(xlabel='epoch', ylabel='nats per token', xlim=[1, num_epochs],
                    legend=['one vector', 'attention'])
attention_kinds = {'one vector': 'none', 'attention': 'general'}
translators = {}
for number, (name, attention) in enumerate(attention_kinds.items()):
    mxnet.random.seed(seed)
    model = build_model(
        ModelConfig(embed_size, num_hiddens, 1, masked=True, attention=attention,
                    share_embedding=True, initializer='keras'), len(vocab), len(vocab))
    initialize(model, ctx, KerasDefaults())
    fit(model, BucketFeed(corpus, batch_size, seed, ctx, width=4), num_epochs=num_epochs, lr=lr,
        rules=UpdateRules(objective=per_token_objective),
        on_epoch_end=lambda metrics, state: animator.add(metrics.epoch, numpy.where(
            numpy.arange(2) == number, metrics.train.nll_per_token, None).tolist()))
    translators[name] = Translator(model, vocab, vocab, num_steps, tokenizer)

# %%
for sentence in ['I drink milk.', 'She is my sister.', 'I do not know where he lives.',
                 'If you want to know the truth, you should ask him yourself.']:
    print(sentence, *(f'{name} => {translator(sentence)}'
                      for name, translator in translators.items()), sep='\n    ')

# %% [markdown]
# ## Pros and cons
#
# According to the article, the model is simple, and source and target may differ in length. The
# cells above show both. Its weaknesses are that the whole sentence has to fit into one vector, that
# the beginning of a long sentence is forgotten, and that long sentences are therefore translated
# badly. Attention is supposed to solve this.
#
# The figure shows the quality of the translations of the held-out sentences by their length, in
# sacreBLEU's chrF (the share of common character sequences, from 0 to 100). Both models are worse
# for longer sentences. The model with attention is better at every length, so a single vector is
# too small not only for long sentences.

# %%
limits = [0, 3, 5, 7, 9, 12, 100]
labels = ['1-3', '4-5', '6-7', '8-9', '10-12', '13-']
groups = cut([len(tokenizer.tokenize_src(source)) for source in references], limits, labels=labels)
answers = [[' '.join(tokenizer.tokenize_tgt(reference)) for reference in source_references]
           for source_references in references.values()]

figure = Figure(figsize=(5, 3), layout='tight')
ax = figure.subplots()
for name, translator in translators.items():
    translations = translator(references)
    scores = []
    for label in labels:
        members = numpy.flatnonzero(groups == label)
        scores.append(corpus_scores([translations[member] for member in members],
                                    [answers[member] for member in members])['chrF'].value
                      if len(members) else math.nan)
    ax.plot(labels, scores, 'o-', label=name)
    print(name, dict(zip(labels, (round(score, 1) for score in scores))))
ax.set(xlabel='words in the source', ylabel='chrF')
ax.set_ylim(bottom=0)
ax.legend()
ax.grid(True)
show(figure)
print(groups.value_counts().to_dict())
