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
# Section 9.5 of *Dive into Deep Learning* 0.14: how pairs of sentences become minibatches of
# numbers. The code is the package's and is shown from there; beside each result stands what the
# book printed. The figures are those of the book's corpus; where it can't be had, the corpus that
# comes with the package takes its place, and a line says so.

# %%
import numpy
from d2l_seq2seq import (Vocab, build_array, encode_pairs, load_data_nmt, preprocess_nmt,
                         read_corpus, truncate_pad)
from d2l_seq2seq.data.tokenizers import RESERVED_TOKENS, tokenize_chapter
from d2l_seq2seq.data.encoding import first_examples, tokenize_pairs
from d2l_seq2seq.plotting import show, show_code
from matplotlib.figure import Figure
from pandas import Series

# %% tags=["parameters"]
num_examples, num_pairs_shown, seed = None, 7, 0

# %% [markdown]
# ## Raw text
#
# A line is an English sentence, a tab, and a French one. The book prints the first 106 characters
# of the file: these lines, and `Help!`.

# %%
pairs = first_examples(read_corpus('auto').pairs, num_examples)
print(*map('\t'.join, pairs[:num_pairs_shown]), sep='\n')

# %% [markdown]
# Short sentences come first, and many have more than one translation:

# %%
print(f'{len(pairs):,} pairs, {len({source for source, _ in pairs}):,} different sources')

# %% [markdown]
# ## Preprocessing
#
# Everything in lower case, a space before punctuation, so that `go` and `.` are words of their own,
# and French's non-breaking spaces made plain ones. In this edition `?` is not split off: `who?` is
# one word.

# %%
show_code(preprocess_nmt)

# %% [markdown]
# The book prints `go .`, `hi .`, `run !`, `run !`, `who?`, `wow !`, `fire !`, and their
# translations.

# %%
print(*map(preprocess_nmt, map('\t'.join, pairs[:num_pairs_shown])), sep='\n')

# %% [markdown]
# ## Tokens
#
# A token is what stands between spaces.

# %%
show_code(tokenize_chapter, tokenize_pairs)

# %% [markdown]
# The book prints `([['go', '.'], ['hi', '.'], ['run', '!']], [['va', '!'], ['salut', '!'],
# ['cours', '!']])`.

# %%
source, target = tokenize_pairs(pairs)
source[:3], target[:3]

# %% [markdown]
# How long are sentences? Most of them have fewer than ten tokens, in French a few more than in
# English; in a corpus that is sorted by length the first thousand are the shortest of all.

# %%
src_lengths, tgt_lengths = (numpy.array(list(map(len, side))) for side in (source, target))
figure = Figure(figsize=(5, 3), layout='tight')
ax = figure.subplots()
ax.hist([src_lengths, tgt_lengths], bins=numpy.arange(1, 31, 2), label=['source', 'target'])
ax.set(xlabel='tokens in a sentence', ylabel='sentences')
ax.legend()
show(figure)
print(f'mean length {src_lengths.mean():.1f} and {tgt_lengths.mean():.1f} tokens, at most '
      f'{src_lengths.max()} and {tgt_lengths.max()}; '
      f'{(src_lengths < 10).mean():.0%} of the sources have fewer than ten')

# %% [markdown]
# ## Vocabulary
#
# A token becomes a number. Those that occur less than three times become `<unk>`, which is 0. Then
# come `<pad>`, `<bos>` and `<eos>`, and the others by falling frequency, so that a small number is
# a frequent word.

# %%
show_code(Vocab)

# %% [markdown]
# The book's English vocabulary has 9140 entries.

# %%
src_vocab = Vocab(source, min_freq=3, reserved_tokens=list(RESERVED_TOKENS))
len(src_vocab)

# %% [markdown]
# Why the rare ones are left out: most words are rare, and they make up little of the text (Zipf's
# law). What the limit costs, side by side:

# %%
tgt_vocab = Vocab(target, min_freq=3, reserved_tokens=list(RESERVED_TOKENS))
for name, side, vocab in (('source', source, src_vocab), ('target', target, tgt_vocab)):
    words = Series([token for sentence in side for token in sentence]).value_counts()
    share = words[words < 3].sum() / words.sum()
    print(f'{name}: {len(words):,} words, {len(vocab):,} entries; <unk> is {share:.1%} of the text')

# %% [markdown]
# ## Fixed length
#
# The sentences of a minibatch need the same length: what is longer than `num_steps` is cut, what is
# shorter is filled up with `<pad>`. The book prints `[47, 4, 1, 1, 1, 1, 1, 1, 1, 1]`.

# %%
show_code(truncate_pad)
truncate_pad(src_vocab[source[0]], 10, src_vocab['<pad>'])

# %% [markdown]
# A target stands between `<bos>`, which the decoder reads first, and `<eos>`, by which it says that
# it has finished. The *valid length* counts what isn't padding; the loss needs it.

# %%
show_code(build_array)
array, valid_len = build_array(target[:2], tgt_vocab, 8, is_source=False)
array.astype('int32'), valid_len

# %% [markdown]
# ## Minibatches
#
# All of it together. The chapter takes the first `num_examples` pairs, and one more: it counts from
# 0 and stops behind, not before, the last one.

# %%
show_code(load_data_nmt)

# %% [markdown]
# A minibatch of two sentences, in a drawn order. The book shows the same four arrays of another
# draw, eight steps wide: the ids `X` and `Y`, and their valid lengths.

# %%
numpy.random.seed(seed)
src_vocab, tgt_vocab, train_iter = load_data_nmt(batch_size=2, num_steps=10)
X, X_vlen, Y, Y_vlen = next(iter(train_iter))
print('X =', X.astype('int32'))
print('valid lengths of X:', X_vlen)
print('Y =', Y.astype('int32'))
print('valid lengths of Y:', Y_vlen)

# %% [markdown]
# And back to words:

# %%
for src, tgt in zip(X, Y):
    print(' '.join(src_vocab.to_tokens(src.astype(int).tolist())), ' | ',
          ' '.join(tgt_vocab.to_tokens(tgt.astype(int).tolist())))

# %% [markdown]
# With the chapter's ten steps nothing is cut: the longest source has 4 tokens, the longest target
# 8, which are 10 with `<bos>` and `<eos>`. The book's vocabularies have 180 and 162 entries.

# %%
src_vocab, tgt_vocab, arrays = encode_pairs(first_examples(pairs, 1000), num_steps=10)
print(len(src_vocab), len(tgt_vocab), int(arrays.src_valid_len.max()),
      int(arrays.tgt_valid_len.max()))
print(f'{int((arrays.tgt_valid_len - 1).sum()):,} labels an epoch')
