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
# "Seq2seq: Encoder-Decoder Sequence to Sequence Model Explanation" tells of the same model as the
# book's chapter, in Keras's terms, and with a recipe of its own. This notebook runs it from the
# rules for text to the weaknesses that the article lists. Beside each result stands what the
# article printed; its code is not here: what is shown is the package's.

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
from d2l_seq2seq.plotting import unrolled_diagram
from d2l_seq2seq.models.recurrent import KerasDefaults, keras_lstm
from d2l_seq2seq.data.encoding import encode_pseudo_pairs
from d2l_seq2seq.data.tokenizers import opengenus_vocab, tokenize_opengenus
from d2l_seq2seq.data.encoding import group_references
from d2l_seq2seq.plotting import show, show_code
from d2l_seq2seq.data.corpus import pseudo_pairs
from d2l_seq2seq.data.tokenizers import build_tokenizer
from matplotlib.figure import Figure
from pandas import cut

import mxnet  # after the package, which makes it ready
from mxnet import np, npx
from mxnet.gluon import nn

# %% tags=["parameters"]
seed, article_hiddens, article_epochs = 0, 512, 2
every_nth, num_steps, batch_size, lr = 8, 60, 64, 0.004
embed_size, num_hiddens, num_epochs = 64, 128, 14

# %% [markdown]
# ## From text to numbers
#
# Punctuation goes, everything is in lower case, and a word is what stands between spaces. (So an
# apostrophe splits nothing.)

# %%
show_code(tokenize_opengenus)
tokenize_opengenus("I'm drinking milk.")

# %% [markdown]
# Words are numbered by their frequency behind padding 0, start of sequence 1, and unknown 2. The
# article names an end of sequence too, and gives it no number; here it is 3.

# %%
vocab = opengenus_vocab([tokenize_opengenus('I drink milk'), tokenize_opengenus('I drink, you drink')], min_freq=1)
list(enumerate(vocab.idx_to_token))

# %% [markdown]
# ## The source is reversed
#
# *I drink milk* goes in as *milk drink I*: the first word, which is what the decoder will need
# first, is the one that the encoder read last.

# %%
tokenizer = build_tokenizer(DataConfig(text_rules='opengenus', reverse_source=True, share_vocab=True,
                              min_freq=4))
print(tokenizer.tokenize_src('I drink milk.'))
show(unrolled_diagram(tokenizer.tokenize_src('I drink milk.'), ['je', 'bois', 'du', 'lait']))

# %% [markdown]
# ## One embedding for both
#
# Encoder and decoder look words up in the same table, which asks for one vocabulary of both
# languages.

# %%
show_code(share_embedding)

# %% [markdown]
# The article's network has 512 LSTM units and word vectors of 10 numbers, and Keras draws its
# weights: a forget gate begins open, with a bias of 1.

# %%
show_code(keras_lstm, KerasDefaults)

# %% [markdown]
# ## The time-distributed softmax
#
# Keras wraps a dense layer to apply it at every step: it folds time into the batch, runs the layer,
# and unfolds the result. Gluon's dense layer with `flatten=False` looks at the last axis alone and
# needs no folding. Both ways, with the same weights:

# %%
mxnet.random.seed(seed)
outputs = np.random.normal(size=(4, 7, 16))  # (batch_size, num_steps, num_hiddens)
dense = nn.Dense(100, flatten=False, in_units=16)
dense.initialize()
at_once = npx.softmax(dense(outputs))
folded = npx.softmax(dense(outputs.reshape(4 * 7, 16))).reshape(4, 7, 100)
step_by_step = np.stack([npx.softmax(dense(outputs[:, step])) for step in range(7)], axis=1)
print(at_once.shape, *(float(abs(at_once - other).max()) for other in (folded, step_by_step)))

# %% [markdown]
# ## Pseudo-data
#
# 1,000 pairs of random numbers below 100: there is nothing to learn but how often each occurs, and
# the loss begins at $\ln 100$. The decoder starts from 0 here, the id of padding, and nothing is
# masked, since all positions count. The article prints the losses 4.6053 and 4.6031, the mean over
# an epoch's tokens while it trains.

# %%
preset = PRESETS['opengenus']
ctx = try_gpu()
mxnet.random.seed(seed)
ids, arrays = encode_pseudo_pairs(pseudo_pairs(seed))
model = build_model(
    ModelConfig(preset['embed_size'], article_hiddens, preset['num_layers'], share_embedding=True,
                initializer='keras'), len(ids), len(ids))
initialize(model, ctx, KerasDefaults())
article_rules = UpdateRules(per_token_objective, max_norm=None)
fit(model, Feed(arrays, preset['batch_size'], seed, ctx), num_epochs=article_epochs,
    lr=preset['lr'], rules=article_rules,
    on_epoch_end=lambda metrics, state: print(
        f'epoch {metrics.epoch}: loss {metrics.train.nll_per_token:.4f}'))
print(f'ln 100 = {math.log(100):.4f}')

# %% [markdown]
# ## Real pairs
#
# Every eighth pair of the book's corpus, so that sentences of all lengths are there, with the
# article's rules; a tenth is kept back. Two models: the article's, with fewer units and longer word
# vectors, whose decoder sees one vector, and the same with attention, the article's answer.
# (Padding reaches neither encoder; otherwise both would see more of it in short sentences.)

# %%
parts = split_pairs(read_corpus('auto').pairs[::every_nth], 0.05)
vocab, _, arrays = encode_pairs(parts.train, num_steps, tokenizer)
references = group_references([*parts.valid, *parts.test], tokenizer)
print(f'{len(parts.train):,} pairs, {len(vocab):,} words in both languages; {len(references):,} '
      'sentences to translate')

# %%
animator = Animator(xlabel='epoch', ylabel='nats per token', xlim=[1, num_epochs],
                    legend=['one vector', 'attention'])
kinds = {'one vector': 'none', 'attention': 'general'}
translators = {}
for number, (name, attention) in enumerate(kinds.items()):
    mxnet.random.seed(seed)
    model = build_model(
        ModelConfig(embed_size, num_hiddens, 1, masked=True, attention=attention,
                    share_embedding=True, initializer='keras'), len(vocab), len(vocab))
    initialize(model, ctx, KerasDefaults())
    fit(model, BucketFeed(arrays, batch_size, seed, ctx, width=4), num_epochs=num_epochs, lr=lr,
        rules=UpdateRules(per_token_objective),
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
# The article's pros: the model is simple, and source and target may differ in length. Both are seen
# above. Its cons: the whole sentence has to fit into one vector, the beginning of a long one is
# forgotten, and so long sentences come out badly; attention is to mend that.
#
# The sentences kept back, by their length (chrF, the share of common letter sequences, from 0 to
# 100; sacreBLEU's). Both models lose with length. The one with attention is ahead at every length,
# so it is not only long sentences that one vector is too small for.

# %%
limits = [0, 3, 5, 7, 9, 12, 100]
labels = ['1-3', '4-5', '6-7', '8-9', '10-12', '13-']
lengths = cut([len(tokenizer.tokenize_src(source)) for source in references], limits, labels=labels)
answers = [[' '.join(tokenizer.tokenize_tgt(one)) for one in own] for own in references.values()]

figure = Figure(figsize=(5, 3), layout='tight')
ax = figure.subplots()
for name, translator in translators.items():
    found = translator(references)
    scores = []
    for label in labels:
        chosen = numpy.flatnonzero(lengths == label)
        scores.append(corpus_scores([found[one] for one in chosen],
                                    [answers[one] for one in chosen])['chrF'].value
                      if len(chosen) else math.nan)
    ax.plot(labels, scores, 'o-', label=name)
    print(name, dict(zip(labels, (round(score, 1) for score in scores))))
ax.set(xlabel='words in the source', ylabel='chrF')
ax.set_ylim(bottom=0)
ax.legend()
ax.grid(True)
show(figure)
print(lengths.value_counts().to_dict())
