# ---
# jupyter:
#   kernelspec:
#     display_name: Python 3
#     language: python
#     name: python3
# ---

# %% [markdown]
# # Machine translation: the data
#
# Section 9.5 of *Dive into Deep Learning* 0.14: how sentence pairs become minibatches of token ids.
# The code shown is that of `d2l_seq2seq/book/machine_translation.py`, and the text before each
# result says what the book printed. Those figures hold for the book's corpus. If it cannot be
# downloaded, the smaller corpus of the package is used instead, and a warning says so.

# %%
import numpy
from d2l_seq2seq.book import (Vocab, build_array, load_data_nmt, preprocess_nmt, read_data_nmt,
                              tokenize_nmt, truncate_pad)
from d2l_seq2seq.plotting import show, show_code
from matplotlib.figure import Figure
from pandas import Series

# %% tags=["parameters"]
num_examples, num_pairs_shown, seed = None, 7, 0

# %% [markdown]
# ## Raw text
#
# Each line contains an English sentence, a tab, and a French sentence. The book prints the first
# 106 characters of the file: the lines below, and `Help!`.

# %%
show_code(read_data_nmt)

# %%
raw_text = read_data_nmt()
lines = [line for line in raw_text.split('\n') if line]
print(*lines[:num_pairs_shown], sep='\n')

# %% [markdown]
# Short sentences come first, and many sentences have more than one translation:

# %%
distinct_sources = {line.split('\t')[0] for line in lines}
print(f'{len(lines):,} pairs, {len(distinct_sources):,} different sources')

# %% [markdown]
# ## Preprocessing
#
# The text is converted to lower case, and the non-breaking spaces of French are replaced by
# ordinary ones. A space is put before punctuation marks, so that `go` and `.` are two tokens. This
# edition does not separate `?`: `who?` is one token.

# %%
show_code(preprocess_nmt)

# %% [markdown]
# The book prints `go .`, `hi .`, `run !`, `run !`, `who?`, `wow !`, `fire !`, and their
# translations.

# %%
text = preprocess_nmt(raw_text)
print(*text.split('\n')[:num_pairs_shown], sep='\n')

# %% [markdown]
# ## Tokens
#
# The tokens of a sentence are separated by spaces.

# %%
show_code(tokenize_nmt)

# %% [markdown]
# The book prints `([['go', '.'], ['hi', '.'], ['run', '!']], [['va', '!'], ['salut', '!'],
# ['cours', '!']])`.

# %%
source, target = tokenize_nmt(text, num_examples)
source[:3], target[:3]

# %% [markdown]
# The histogram shows the lengths of the sentences. Most have fewer than ten tokens, and the French
# sentences have slightly more tokens than the English ones. Because the corpus is sorted by length,
# its first thousand pairs are the shortest.

# %%
src_lengths, tgt_lengths = (numpy.array([len(tokens) for tokens in sentences])
                            for sentences in (source, target))
figure = Figure(figsize=(5, 3), layout='tight')
ax = figure.subplots()
ax.hist([src_lengths, tgt_lengths], bins=numpy.arange(1, 31, 2), label=['source', 'target'])
ax.set(xlabel='tokens per sentence', ylabel='number of sentences')
ax.legend()
show(figure)
print(f'mean length: {src_lengths.mean():.1f} source tokens and {tgt_lengths.mean():.1f} target '
      f'tokens; maximum: {src_lengths.max()} and {tgt_lengths.max()}; '
      f'{(src_lengths < 10).mean():.0%} of the sources have fewer than ten tokens')

# %% [markdown]
# ## Vocabulary
#
# A vocabulary maps each token to an id. Id 0 is `<unk>`, which stands for all tokens that occur
# less than three times. The reserved tokens `<pad>`, `<bos>` and `<eos>` follow, and then the other
# tokens in order of decreasing frequency. A small id therefore belongs to a frequent token.

# %%
show_code(Vocab)

# %% [markdown]
# The book's English vocabulary has 9140 entries.

# %%
src_vocab = Vocab(source, min_freq=3, reserved_tokens=['<pad>', '<bos>', '<eos>'])
len(src_vocab)

# %% [markdown]
# Rare tokens are left out because most words are rare and make up little of the text (Zipf's law).
# The next cell shows how many words lose their own id, and which share of the text becomes `<unk>`:

# %%
tgt_vocab = Vocab(target, min_freq=3, reserved_tokens=['<pad>', '<bos>', '<eos>'])
for name, sentences, vocab in (('source', source, src_vocab), ('target', target, tgt_vocab)):
    counts = Series([token for sentence in sentences for token in sentence]).value_counts()
    unk_share = counts[counts < 3].sum() / counts.sum()
    print(f'{name}: {len(counts):,} words, {len(vocab):,} entries; <unk> is {unk_share:.1%} of the '
          'text')

# %% [markdown]
# ## Fixed length
#
# All sentences of a minibatch must have the same length. Longer sentences are cut to `num_steps`
# tokens, and shorter ones are filled up with `<pad>`. The book prints `[47, 4, 1, 1, 1, 1, 1, 1, 1,
# 1]`.

# %%
show_code(truncate_pad)
truncate_pad(src_vocab[source[0]], 10, src_vocab['<pad>'])

# %% [markdown]
# Each target is put between `<bos>` and `<eos>`. The decoder reads `<bos>` first, and predicts
# `<eos>` to end the sentence. The *valid length* is the number of tokens that are not padding; the
# loss needs it.

# %%
show_code(build_array)
array, valid_len = build_array(target[:2], tgt_vocab, 8, is_source=False)
array.astype('int32'), valid_len

# %% [markdown]
# ## Minibatches
#
# The next function combines these steps. The chapter takes the first `num_examples` pairs and one
# more, because it counts lines from 0 and stops after line number `num_examples`.

# %%
show_code(load_data_nmt)

# %% [markdown]
# A minibatch of two sentences, in random order: the ids `X` and `Y`, and their valid lengths. The
# book prints the same four arrays for other sentences, with eight steps.

# %%
numpy.random.seed(seed)
src_vocab, tgt_vocab, train_iter = load_data_nmt(batch_size=2, num_steps=10)
X, X_vlen, Y, Y_vlen = next(iter(train_iter))
print('X =', X.astype('int32'))
print('valid lengths of X:', X_vlen)
print('Y =', Y.astype('int32'))
print('valid lengths of Y:', Y_vlen)

# %% [markdown]
# The same sentences, converted back to tokens:

# %%
for src, tgt in zip(X, Y):
    print(' '.join(src_vocab.to_tokens(src.astype(int).tolist())), ' | ',
          ' '.join(tgt_vocab.to_tokens(tgt.astype(int).tolist())))

# %% [markdown]
# With the chapter's ten steps no sentence is cut: the longest source has 4 tokens, and the longest
# target has 8, which makes 10 with `<bos>` and `<eos>`. The book's vocabularies have 180 and 162
# entries. A minibatch that contains all examples shows these figures:

# %%
src_vocab, tgt_vocab, train_iter = load_data_nmt(batch_size=1001, num_steps=10)
(X, X_vlen, Y, Y_vlen), = train_iter
print(len(src_vocab), len(tgt_vocab), int(X_vlen.max()), int(Y_vlen.max()))
print(f'{int((Y_vlen - 1).sum()):,} labels per epoch')
