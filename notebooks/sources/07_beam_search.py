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
# Section 9.8 of *Dive into Deep Learning* 0.14. A decoder computes the probability of each next
# token, and a *search* builds a sentence from these probabilities. The section describes three
# searches without code. This notebook runs them on a model, and draws the section's tree for a real
# sentence.

# %%
import time

import numpy
from d2l_seq2seq import (BookLengthPenalty, Feed, ModelConfig, ModelStepper, SearchConfig,
                         SearchRules, Translator, build_model, encode_pairs, fit, initialize,
                         preprocess_nmt, read_corpus, search_tree, split_pairs, try_gpu)
from d2l_seq2seq.data.encoding import group_references
from d2l_seq2seq.inference.beam_search import best_continuations
from d2l_seq2seq.inference.evaluation import evaluate
from d2l_seq2seq.plotting import show, show_code, tree_figure
from pandas import DataFrame

import mxnet  # after d2l_seq2seq, which makes MXNet ready

# %% [markdown]
# The model has 128 hidden units and attention. It is tested on held-out sentences, which it has not
# seen in training, so that its predictions are uncertain.

# %% tags=["parameters"]
num_examples, num_steps, num_epochs = 20_000, 16, 16
num_hiddens, batch_size, lr, seed = 128, 64, 0.003, 0
beam_size, beam_sizes = 3, [1, 2, 5, 10, 20]

# %%
ctx = try_gpu()
mxnet.random.seed(seed)
parts = split_pairs(read_corpus('auto').pairs[:num_examples], 0.05)
src_vocab, tgt_vocab, corpus = encode_pairs(parts.train, num_steps)
model = build_model(ModelConfig(num_hiddens, num_hiddens, 1, attention='general', masked=True),
                    len(src_vocab), len(tgt_vocab))
initialize(model, ctx)
fit(model, Feed(corpus, batch_size, seed, ctx), num_epochs=num_epochs, lr=lr)
translator = Translator(model, src_vocab, tgt_vocab, num_steps)
print(f'{len(parts.train):,} pairs, {len(tgt_vocab):,} target words')

# %% [markdown]
# ## Greedy search
#
# Greedy search chooses the most likely token at each step,
#
# $$y_{t'} = \operatorname*{argmax}_{y \in \mathcal{Y}} P(y \mid y_1, \ldots, y_{t'-1},
# \mathbf{c}), \qquad (9.8.1)$$
#
# and stops at `<eos>`. The most likely token at each step does not always lead to the most likely
# sequence. In the book's example with four tokens, greedy search finds a sequence with the first
# probability below. Choosing the second-best token at the second step leads to a sequence with the
# second probability.

# %%
print(f'{0.5 * 0.4 * 0.4 * 0.6:.3f} {0.5 * 0.3 * 0.6 * 0.6:.3f}')

# %% [markdown]
# The next cell translates the held-out sentences, and counts how often a beam finds a translation
# that the model considers more likely than the greedy one. It then prints examples of this,
# preferably ones in which the beam's translation is correct. (`log_probs` are natural logarithms.)

# %%
references = group_references(parts.test, translator.tokenizer)
sources = list(references)
greedy = [best for best, in translator.translate(sources)]
beams = [best for best, in translator.translate(sources, SearchConfig(
    beam_size=5, length_penalty='none'))]
gains = numpy.array([sum(beam.log_probs) - sum(greedy_best.log_probs)
                     for beam, greedy_best in zip(beams, greedy)])
print(f'{(gains > 1e-4).sum()} of {len(sources)} translations are more likely, '
      f'{(gains < -1e-4).sum()} less')
is_correct = [beams[number].text in map(preprocess_nmt, references[source])
              for number, source in enumerate(sources)]
examples = sorted(range(len(sources)), key=lambda number: (is_correct[number], gains[number]))[-5:]
for number in examples:
    print(f'{sources[number]} => {greedy[number].text} ({sum(greedy[number].log_probs):.2f}) | '
          f'{beams[number].text} ({sum(beams[number].log_probs):.2f})')

# %% [markdown]
# ## Exhaustive search
#
# To be certain of the most likely sequence, one would have to compare all of them,
# $|\mathcal{Y}|^{T'}$. For the book's 10,000 words and ten steps, these are $10^{40}$ sequences.
# Greedy search needs $|\mathcal{Y}| T'$ probabilities, which are $10^5$ in that case. For this
# model:

# %%
print(f'{len(tgt_vocab) ** num_steps:.0e} sequences, {len(tgt_vocab) * num_steps:,} probabilities '
      'for greedy search')

# %% [markdown]
# (For three words and sequences of up to six tokens, exhaustive search is possible. A test of the
# package checks that a beam as wide as the search space finds the same sequences as an enumeration
# of all of them.)
#
# ## Beam search
#
# Beam search keeps the $k$ best sequences at each step. Of all their continuations, it keeps the
# $k$ best again. With $k = 1$ it is greedy search. One step, for all sentences of a batch at once:

# %%
show_code(best_continuations)

# %% [markdown]
# The tree shows all sequences that a beam of three held while it translated the last sentence
# above. Each token is followed by the probability of the sequence up to it, and the best sequence
# is red. A branch that ends without `<eos>` was either displaced by better ones, or was unfinished
# when the search ended.

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
# Each token makes a sequence less likely, so the most likely sequences are short. Therefore
# sequences are compared by
#
# $$\frac{1}{L^\alpha} \log P(y_1, \ldots, y_L \mid \mathbf{c}) = \frac{1}{L^\alpha}
# \sum_{t'=1}^{L} \log P(y_{t'} \mid y_1, \ldots, y_{t'-1}, \mathbf{c}), \qquad (9.8.4)$$
#
# usually with $\alpha = 0.75$. The package includes `<eos>` in the $L$ tokens, because it is one of
# the factors.

# %%
show_code(BookLengthPenalty)

# %%
for alpha in (0.0, 0.75, 2.0):
    texts = translator(sources, SearchConfig(beam_size=5, alpha=alpha))
    mean_length = sum(len(text.split()) for text in texts) / len(texts)
    print(f'alpha {alpha:g}: {mean_length:.2f} tokens per translation')

# %% [markdown]
# The five best translations of the same sentence, with their scores:

# %%
for translation in translator.translate(
        [' '.join(source)], SearchConfig(beam_size=5, n_best=5))[0]:
    print(f'{translation.score:.2f} {translation.text}')

# %% [markdown]
# ## Exercises
#
# ### 1. Is exhaustive search a beam search?
#
# Yes: it is a beam search that never drops a sequence. A beam of $k = |\mathcal{Y}|^{T'-1}$ is
# enough, as the test mentioned above shows.
#
# ### 2. How does the beam size affect the translations and the speed?
#
# A small beam improves the translations, and a larger one adds little: it finds more likely
# sequences, but beyond some size they are no better as translations. BLEU and chrF are those of
# sacreBLEU. The speed is measured for all sentences in batches of 64, when they are translated for
# the second time and the graphs are already compiled.

# %%
rows = []
for size in beam_sizes:
    search = SearchConfig(beam_size=size)
    scores = evaluate(translator, parts.test, search).scores
    start = time.perf_counter()
    translations = translator.translate(sources, search)
    seconds = time.perf_counter() - start
    log_probs = [sum(best.log_probs) for best, in translations]
    rows.append([size, scores['BLEU'].value, scores['chrF'].value, numpy.mean(log_probs),
                 len(sources) / seconds])
DataFrame(rows, columns=['beam', 'BLEU', 'chrF', 'mean log P', 'sentences/s']).set_index(
    'beam').round(2)

# %% [markdown]
# ### 3. Which search generated text from a prefix (section 8.5)?
#
# Greedy search. Sampling, which draws each token with the probability that the model gives it,
# makes the result more varied. That is useful for a story, but not for a translation:

# %%
for translation in translator.translate([' '.join(source)], SearchConfig(
        sample=True, n_best=5, temperature=1.0, seed=seed))[0]:
    print(f'{translation.score:.2f} {translation.text}')
