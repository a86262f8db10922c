# ---
# jupyter:
#   kernelspec:
#     display_name: Python 3
#     language: python
#     name: python3
# ---

# %% [markdown]
# # Beam search
#
# Section 9.8 of *Dive into Deep Learning* 0.14. A decoder gives each next token a probability, and
# a *search* makes a sentence of them. The section tells of three searches and has no code. Here
# they run on a model, and the section's tree is drawn of a real sentence.

# %%
import time

import numpy
from d2l_seq2seq import (BookLengthPenalty, Feed, ModelConfig, ModelStepper, SearchConfig,
                         SearchRules, Translator, build_model, encode_pairs, fit, initialize,
                         preprocess_nmt, read_corpus, search_tree, split_pairs, try_gpu)
from d2l_seq2seq.inference.beam_search import best_continuations
from d2l_seq2seq.plotting import tree_figure
from d2l_seq2seq.inference.evaluation import evaluate
from d2l_seq2seq.data.encoding import group_references
from d2l_seq2seq.plotting import show, show_code
from pandas import DataFrame

import mxnet  # after the package, which makes it ready

# %% [markdown]
# The model has 128 hidden units and attention. What it is asked to translate here it has never
# seen, so that it has reason to be in doubt.

# %% tags=["parameters"]
num_examples, num_steps, num_epochs = 20_000, 16, 16
num_hiddens, batch_size, lr, seed = 128, 64, 0.003, 0
beam_size, beam_sizes = 3, [1, 2, 5, 10, 20]

# %%
ctx = try_gpu()
mxnet.random.seed(seed)
parts = split_pairs(read_corpus('auto').pairs[:num_examples], 0.05)
src_vocab, tgt_vocab, arrays = encode_pairs(parts.train, num_steps)
model = build_model(ModelConfig(num_hiddens, num_hiddens, 1, attention='general', masked=True),
                    len(src_vocab), len(tgt_vocab))
initialize(model, ctx)
fit(model, Feed(arrays, batch_size, seed, ctx), num_epochs=num_epochs, lr=lr)
translator = Translator(model, src_vocab, tgt_vocab, num_steps)
print(f'{len(parts.train):,} pairs, {len(tgt_vocab):,} target words')

# %% [markdown]
# ## Greedy search
#
# At each step take the likeliest token,
#
# $$y_{t'} = \operatorname*{argmax}_{y \in \mathcal{Y}} P(y \mid y_1, \ldots, y_{t'-1},
# \mathbf{c}), \qquad (9.8.1)$$
#
# and stop at `<eos>`. What is likeliest step by step need not be likeliest in the end. In the
# book's example of four tokens, greedy search ends at a sequence of the first probability below;
# who takes the second-best token at the second step ends at the second.

# %%
print(f'{0.5 * 0.4 * 0.4 * 0.6:.3f} {0.5 * 0.3 * 0.6 * 0.6:.3f}')

# %% [markdown]
# On the sentences kept back: how often does a beam find a translation that the model itself thinks
# more likely than the greedy one? And some of those where it is a right one. (`log_probs` are
# natural logarithms.)

# %%
references = group_references(parts.test, translator.tokenizer)
sources = list(references)
greedy = [best for best, in translator.translate(sources)]
beams = [best for best, in translator.translate(sources, SearchConfig(
    beam_size=5, length_penalty='none'))]
gains = numpy.array([sum(beam.log_probs) - sum(own.log_probs)
                     for beam, own in zip(beams, greedy)])
print(f'{(gains > 1e-4).sum()} of {len(sources)} translations are more likely, '
      f'{(gains < -1e-4).sum()} less')
right = [beams[number].text in map(preprocess_nmt, references[source])
         for number, source in enumerate(sources)]
examples = sorted(range(len(sources)), key=lambda number: (right[number], gains[number]))[-5:]
for number in examples:
    print(f'{sources[number]} => {greedy[number].text} ({sum(greedy[number].log_probs):.2f}) | '
          f'{beams[number].text} ({sum(beams[number].log_probs):.2f})')

# %% [markdown]
# ## Exhaustive search
#
# To be sure of the likeliest sequence one would have to look at all of them, $|\mathcal{Y}|^{T'}$.
# The book has 10,000 words and ten steps, which are $10^{40}$. Greedy search asks for
# $|\mathcal{Y}| T'$ probabilities, $10^5$ there.

# %%
print(f'{len(tgt_vocab) ** num_steps:.0e} sequences, {len(tgt_vocab) * num_steps:,} probabilities '
      'for greedy search')

# %% [markdown]
# (For three words and sequences of up to six tokens it can be done. There the package's tests let
# beams as wide as the space find just what the enumeration of all sequences finds.)
#
# ## Beam search
#
# Keep the $k$ best sequences at each step, and of all their continuations again the $k$ best. With
# $k = 1$ that is greedy search. One step, for all sentences of a batch at once:

# %%
show_code(best_continuations)

# %% [markdown]
# All that a beam of three held on its way, of the last sentence from above. Behind each token is
# the probability of the sequence up to it, in red the one that won. A branch that ends without
# `<eos>` was pushed out by better ones, or was still open when the search had enough of them.

# %%
source = greedy[examples[-1]].src_tokens
padded = source + ['<pad>'] * (num_steps - len(source))
inputs = numpy.array([src_vocab[padded]], 'float32'), numpy.array([len(source)], 'float32')
rules = SearchRules(tgt_vocab['<bos>'], tgt_vocab['<eos>'], num_steps)
nodes = search_tree(ModelStepper(model), inputs, rules, beam_size)
(best,), = translator.translate([' '.join(source)], SearchConfig(beam_size=beam_size))
print(best.text)
show(tree_figure(nodes, tgt_vocab.to_tokens([node.token_id for node in nodes]),
                 [*best.tokens, '<eos>']))

# %% [markdown]
# ## Length
#
# Each token makes a sequence less likely, so the likeliest ones are short. What is compared instead
# is
#
# $$\frac{1}{L^\alpha} \log P(y_1, \ldots, y_L \mid \mathbf{c}) = \frac{1}{L^\alpha}
# \sum_{t'=1}^{L} \log P(y_{t'} \mid y_1, \ldots, y_{t'-1}, \mathbf{c}), \qquad (9.8.4)$$
#
# usually with $\alpha = 0.75$. The package counts `<eos>` among the $L$ tokens, since it is one of
# the factors.

# %%
show_code(BookLengthPenalty)

# %%
for alpha in (0.0, 0.75, 2.0):
    found = translator(sources, SearchConfig(beam_size=5, alpha=alpha))
    print(f'alpha {alpha:g}: {sum(len(text.split()) for text in found) / len(found):.2f} tokens a '
          'translation')

# %% [markdown]
# The five best of the same sentence, with their scores:

# %%
for one in translator.translate([' '.join(source)], SearchConfig(beam_size=5, n_best=5))[0]:
    print(f'{one.score:.2f} {one.text}')

# %% [markdown]
# ## Exercises
#
# ### 1. Is exhaustive search a beam search?
#
# It is one whose beam never drops anything: $k = |\mathcal{Y}|^{T'-1}$ is enough, as the test
# mentioned above shows.
#
# ### 2. What does the beam's size do to translations and to speed?
#
# A small beam helps, a larger one brings little more: it finds likelier sequences, and after some
# point they are no better translations. BLEU and chrF are sacreBLEU's. The time is that of all the
# sentences in batches of 64, the second time, when the graphs are there.

# %%
rows = []
for size in beam_sizes:
    search = SearchConfig(beam_size=size)
    scores = evaluate(translator, parts.test, search).scores
    start = time.perf_counter()
    found = translator.translate(sources, search)
    seconds = time.perf_counter() - start
    log_probs = [sum(best.log_probs) for best, in found]
    rows.append([size, scores['BLEU'].value, scores['chrF'].value, numpy.mean(log_probs),
                 len(sources) / seconds])
DataFrame(rows, columns=['beam', 'BLEU', 'chrF', 'mean log P', 'sentences/s']).set_index(
    'beam').round(2)

# %% [markdown]
# ### 3. Which search wrote text from a prefix (section 8.5)?
#
# Greedy search. Drawing tokens as the model thinks them likely brings variety, which a story needs
# and a translation doesn't:

# %%
for one in translator.translate([' '.join(source)], SearchConfig(
        sample=True, n_best=5, temperature=1.0, seed=seed))[0]:
    print(f'{one.score:.2f} {one.text}')
