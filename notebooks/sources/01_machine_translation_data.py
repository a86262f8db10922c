# ---
# jupyter:
#   kernelspec:
#     display_name: Python 3
#     language: python
#     name: python3
# ---

# %% [markdown]
# # Machine translation and its data set
#
# Section 9.5 of *Dive into Deep Learning* 0.14: how sentence pairs become minibatches of token ids.
# A language model works with text in one language. Machine translation needs pairs: a sentence in
# the source language, here English, and a translation in the target language, here French.
#
# The cells define the functions of the section, so you can change them and run them again. The text
# before each result says what the book prints. The book's figures hold for its corpus, of 167,130
# pairs. If it cannot be downloaded, the smaller corpus of the package is used instead, and a
# warning says so.

# %%
import re

import d2l_seq2seq.book as d2l
import numpy
from d2l_seq2seq.plotting import show
from matplotlib.figure import Figure
from mxnet import np, npx

npx.set_np()

# %% tags=["parameters"]
num_examples, seed = None, 0  # None: all sentence pairs

# %% [markdown]
# ## The text and its preprocessing
#
# Each line of the corpus contains an English sentence, a tab, and a French sentence.

# %% tags=["definition"]
from d2l_seq2seq.book.machine_translation import read_data_nmt

# %% [markdown]
# The first 106 characters. The book prints the same eight lines, from `Go.` to `Help!`.

# %%
raw_text = read_data_nmt()
print(raw_text[:106])

# %% [markdown]
# Short sentences come first, and many sentences have more than one translation:

# %%
lines = [line for line in raw_text.split('\n') if line]
distinct_sources = {line.split('\t')[0] for line in lines}
print(f'{len(lines):,} pairs, {len(distinct_sources):,} different sources')

# %% [markdown]
# Preprocessing converts the text to lower case, and replaces the non-breaking spaces of French by
# ordinary ones. A space is put before punctuation marks, so that `go` and `.` become two tokens.
# This edition does not separate `?`: `who?` is one token.

# %% tags=["definition"]
from d2l_seq2seq.book.machine_translation import preprocess_nmt

# %% [markdown]
# The first 95 characters. The book prints the lines from `go .` to `fire !`.

# %%
text = preprocess_nmt(raw_text)
print(text[:95])

# %% [markdown]
# ## Tokens
#
# A token is a word or a punctuation mark. The tokens of a sentence are separated by spaces.
# `source[i]` and `target[i]` are the tokens of pair number `i`.

# %% tags=["definition"]
from d2l_seq2seq.book.machine_translation import tokenize_nmt

# %% [markdown]
# The book prints
#
#     ([['go', '.'], ['hi', '.'], ['run', '!']],
#      [['va', '!'], ['salut', '!'], ['cours', '!']])

# %%
source, target = tokenize_nmt(text, num_examples)
source[:3], target[:3]

# %% [markdown]
# The histogram shows the lengths of the sentences. The book reads from it that a sentence has 5
# tokens on average, and that most sentences have less than ten. The second is right. The average is
# larger, as the numbers under the figure show, and French sentences are slightly longer than
# English ones. Because the corpus is sorted by length, its first thousand pairs are the shortest.

# %%
src_lengths = numpy.array([len(tokens) for tokens in source])
tgt_lengths = numpy.array([len(tokens) for tokens in target])
figure = Figure(figsize=(5, 3), layout='tight')
ax = figure.subplots()
ax.hist([src_lengths, tgt_lengths], bins=numpy.arange(1, 31, 2), label=['source', 'target'])
ax.set(xlabel='tokens per sentence', ylabel='number of sentences')
ax.legend()
show(figure)
for name, lengths in (('source', src_lengths), ('target', tgt_lengths)):
    print(f'{name}: {lengths.mean():.1f} tokens on average, {lengths.max()} at most, '
          f'{(lengths < 10).mean():.0%} of the sentences have fewer than ten')

# %% [markdown]
# ## Vocabulary
#
# A vocabulary maps each token to an id, and each language has its own. With words as tokens it
# becomes large. Therefore all tokens that occur less than three times share the id 0, `<unk>`. The
# reserved tokens follow: `<pad>` fills up short sentences, and `<bos>` and `<eos>` mark the
# beginning and the end of a target. The other tokens come in order of decreasing frequency, so a
# small id belongs to a frequent token. (`d2l.Vocab` is from section 8.2.)
#
# The book prints `9140`.

# %%
src_vocab = d2l.Vocab(source, min_freq=3, reserved_tokens=['<pad>', '<bos>', '<eos>'])
len(src_vocab)

# %%
list(enumerate(src_vocab.idx_to_token[:10]))

# %% [markdown]
# Most words are rare, and together they make up little of the text (Zipf's law). The next cell
# shows how many words do not have an id of their own, and which share of the text becomes `<unk>`:

# %%
tgt_vocab = d2l.Vocab(target, min_freq=3, reserved_tokens=['<pad>', '<bos>', '<eos>'])
for name, vocab in (('source', src_vocab), ('target', tgt_vocab)):
    counts = numpy.array([count for token, count in vocab.token_freqs])
    is_rare = counts < 3
    print(f'{name}: {len(counts):,} words, {is_rare.sum():,} of them occur once or twice; '
          f'{counts[is_rare].sum() / counts.sum():.1%} of the text becomes <unk>')

# %% [markdown]
# ## Sentences of the same length
#
# All sentences of a minibatch must have the same length. Longer sentences are cut to `num_steps`
# tokens, and shorter ones are filled up with `<pad>`.

# %% tags=["definition"]
from d2l_seq2seq.book.machine_translation import truncate_pad

# %% [markdown]
# The book prints `[47, 4, 1, 1, 1, 1, 1, 1, 1, 1]`.

# %%
truncate_pad(src_vocab[source[0]], 10, src_vocab['<pad>'])

# %% [markdown]
# The next function does this for a list of sentences. It puts each target between `<bos>` and
# `<eos>`: the decoder reads `<bos>` first, and predicts `<eos>` to end the sentence. It also
# returns the *valid lengths*, which are the numbers of tokens without the padding.

# %% tags=["definition"]
from d2l_seq2seq.book.machine_translation import build_array

# %% [markdown]
# The first two targets, with `<bos>` (2), `<eos>` (3) and `<pad>` (1):

# %%
array, valid_len = build_array(target[:2], tgt_vocab, 8, is_source=False)
array.astype('int32'), valid_len

# %% [markdown]
# ## All steps together
#
# `load_data_nmt` combines the steps, and returns both vocabularies and the minibatches. It reads
# the first `num_examples` pairs and one more, because the book counts lines from 0 and stops after
# line number `num_examples`.

# %% tags=["definition"]
from d2l_seq2seq.book.machine_translation import load_data_nmt

# %% [markdown]
# A minibatch contains the ids `X` and `Y` of sources and targets, and their valid lengths. The
# order is random, so the book prints other sentences in the same form:
#
#     X: [[ 5 21 54  4  1  1  1  1]
#      [ 5 90  0  4  1  1  1  1]]
#     valid lengths for X: [4 4]
#     Y: [[  2   6   7   0   4   3   1   1]
#      [  2   6 110   0   4   3   1   1]]
#     valid lengths for Y: [6 6]

# %%
numpy.random.seed(seed)
src_vocab, tgt_vocab, train_iter = load_data_nmt(batch_size=2, num_steps=8)
for X, X_vlen, Y, Y_vlen in train_iter:
    print('X:', X.astype('int32'))
    print('valid lengths for X:', X_vlen)
    print('Y:', Y.astype('int32'))
    print('valid lengths for Y:', Y_vlen)
    break

# %% [markdown]
# The same sentences, and those of the book's minibatch, converted back to tokens:

# %%
book_X = np.array([[5, 21, 54, 4, 1, 1, 1, 1], [5, 90, 0, 4, 1, 1, 1, 1]])
book_Y = np.array([[2, 6, 7, 0, 4, 3, 1, 1], [2, 6, 110, 0, 4, 3, 1, 1]])
for name, sources, targets in (('here:    ', X, Y), ('the book:', book_X, book_Y)):
    for src, tgt in zip(sources, targets):
        src_tokens = src_vocab.to_tokens(src.astype('int32').tolist())
        tgt_tokens = tgt_vocab.to_tokens(tgt.astype('int32').tolist())
        print(name, *src_tokens, '|', *tgt_tokens)

# %% [markdown]
# Section 9.7 uses ten steps, with which no sentence is cut: the longest source has 4 tokens, and
# the longest target has 8, or 10 with `<bos>` and `<eos>`. The vocabularies have 180 and 162
# entries. A minibatch that contains all 1001 examples shows these figures:

# %%
src_vocab, tgt_vocab, train_iter = load_data_nmt(batch_size=1001, num_steps=10)
for X, X_vlen, Y, Y_vlen in train_iter:
    print(f'vocabularies: {len(src_vocab)} and {len(tgt_vocab)} entries')
    print(f'longest source: {int(X_vlen.max())} tokens')
    print(f'longest target: {int(Y_vlen.max())} tokens with <bos> and <eos>')
    print(f'labels to predict in each epoch: {int((Y_vlen - 1).sum()):,}')

# %% [markdown]
# ## Now you try
#
# - Separate `?` as well: add it to the pattern in `preprocess_nmt`, and run the cells below it.
#   Which vocabulary sizes do you get?
# - Keep rare words: change `MIN_FREQ` in the cell of `load_data_nmt` to 1. The vocabularies become
#   several times as large.
# - Read more pairs, with longer sentences, and see how many are cut. Change the numbers in this
#   cell:

# %%
src_vocab, tgt_vocab, data_iter = load_data_nmt(batch_size=256, num_steps=10, num_examples=10_000)
num_cut = num_sentences = 0
for X, X_vlen, Y, Y_vlen in data_iter:
    last = Y[:, -1]
    is_cut = (last != tgt_vocab['<eos>']) * (last != tgt_vocab['<pad>'])
    num_cut += int(is_cut.sum())
    num_sentences += len(Y)
print(f'{len(src_vocab):,} and {len(tgt_vocab):,} entries; {num_cut} of {num_sentences:,} targets '
      'are cut')

# %% [markdown]
# ## Summary
#
# - Machine translation converts a sentence of one language to a sentence of another. Its data set
#   consists of sentence pairs, and each language has its own vocabulary.
# - The text is read, preprocessed and divided into tokens. Sentences are cut or padded to the same
#   length, and the valid length of each is kept.
#
# ## Exercise
#
# **Process another data set for machine translation.** Any text works that has one pair per line,
# with a tab between the sentences, for example the other languages of the Tatoeba project. Here are
# a few German sentences:

# %%
german_text = '''\
Good morning!\tGuten Morgen!
Good evening!\tGuten Abend!
Where is the station?\tWo ist der Bahnhof?
Where is the hotel?\tWo ist das Hotel?
The hotel is here.\tDas Hotel ist hier.
Thank you, the hotel is good.\tDanke, das Hotel ist gut.'''
german_source, german_target = tokenize_nmt(preprocess_nmt(german_text))
german_vocab = d2l.Vocab(german_target, min_freq=2, reserved_tokens=['<pad>', '<bos>', '<eos>'])
print(german_vocab.idx_to_token)
array, valid_len = build_array(german_target, german_vocab, 9, is_source=False)
print(array.astype('int32'))

# %% [markdown]
# The rules are not the best ones for every language: lower case makes German nouns and verbs alike,
# and `bahnhof?` is one token. For larger files, `d2l_seq2seq.read_corpus('my_pairs.tsv')` reads and
# checks the pairs, and `python -m d2l_seq2seq.train --corpus my_pairs.tsv` trains a model with
# them.
