# ---
# jupyter:
#   kernelspec:
#     display_name: Python 3
#     language: python
#     name: python3
# ---

# %% [markdown]
# # Faster
#
# The loop of section 9.7 (*Dive into Deep Learning* 0.14) is made to be read. `fit` has the same
# mathematics and takes a fraction of the time. Here both train the chapter's model side by side,
# and their time is taken apart. The book reports 8,687 target tokens a second on a GPU; all of this
# is on a CPU. The times are those of the machine that made this notebook; the ratios are what
# carries over.

# %% [markdown]
# How many threads an operator may use has to be settled before MXNet is loaded. For steps as small
# as the chapter's one is best.

# %%
from d2l_seq2seq._runtime import choose_threads
from d2l_seq2seq.plotting import show, show_code

choose_threads(batch_size=64, num_hiddens=32)
show_code(choose_threads)

# %%
import itertools

import numpy
from d2l_seq2seq import (EncoderDecoder, Feed, MaskedSoftmaxCELoss, ModelConfig, build_model,
                         encode_pairs, fit, initialize, read_corpus)
from d2l_seq2seq.engine import step
from d2l_seq2seq.data.encoding import first_examples
from d2l_seq2seq.data.feed import load_pairs
from d2l_seq2seq.data.feed import DeviceBatch
from d2l_seq2seq.engine.step import cross_entropy_of_rows, logits_gradient
from d2l_seq2seq.engine.optimizer import Adam
from d2l_seq2seq.engine.profiling import operator_times, stage_times
from d2l_seq2seq.book.seq2seq import d2l
from d2l_seq2seq.book.seq2seq import s2s_epochs_ch9
from matplotlib.figure import Figure

import mxnet  # after the package, which makes it ready
from mxnet import autograd, gluon

# %% tags=["parameters"]
batch_size, num_steps, lr, seed = 64, 10, 0.005, 0
num_compared, num_rounds, num_epochs = 10, 7, 20

# %% [markdown]
# ## The same losses
#
# Same seed, same data: the two print the same. (Later, rounding takes its own way, as it does when
# one weight of the book's is moved by a bit.)

# %%
ctx = mxnet.cpu()
pairs = first_examples(read_corpus('auto').pairs, 1000)
*_, loader = load_pairs(pairs, batch_size, num_steps)
src_vocab, tgt_vocab, arrays = encode_pairs(pairs, num_steps)

mxnet.random.seed(seed)
numpy.random.seed(seed)
book = build_model(ModelConfig(), len(src_vocab), len(tgt_vocab))
book_losses = [metric[0] / metric[1]
               for _, metric, _ in s2s_epochs_ch9(book, loader, lr, num_compared, ctx)]

mxnet.random.seed(seed)
ours = build_model(ModelConfig(), len(src_vocab), len(tgt_vocab))
initialize(ours, ctx)
feed, fit_losses = Feed(arrays, batch_size, seed, ctx), []
fit(ours, feed, num_epochs=num_compared, lr=lr,
    on_epoch_end=lambda metrics, state: fit_losses.append(metrics.train.book_loss))

for epoch, losses in enumerate(zip(book_losses, fit_losses), 1):
    print('epoch {:2}: {:.5f} {:.5f}'.format(epoch, *losses))

# %% [markdown]
# ## Side by side
#
# In turn, so that other work on the machine hits both; medians of the rounds.

# %%
seconds = {'book': [], 'fit': []}
for _ in range(num_rounds):
    for epoch, metric, timer in s2s_epochs_ch9(book, loader, lr, 1, ctx):
        seconds['book'].append(timer.stop())
    fit(ours, feed, num_epochs=2, lr=lr,  # the first epoch makes the graphs
        on_epoch_end=lambda metrics, state: state.epoch == 2
        and seconds['fit'].append(metrics.seconds))
medians = {name: numpy.median(times) for name, times in seconds.items()}
for name, median in medians.items():
    print(f'{name}: {median / len(feed) * 1e3:.2f} ms a batch, {metric[1] / median:,.0f} tokens/s')
print(f"{medians['book'] / medians['fit']:.1f} times")

# %% [markdown]
# ## Where the time goes
#
# Each part of a step is timed by itself: before it begins and before it ends, the device has to
# have finished. The sum is more than the figures above, since host and device no longer work at the
# same time; most of all for `fit`, which lives by that. In the book's loop the rest is the data
# loader and the slicing of batches, in `fit` it is Python; and what `fit` computes of the loss
# before its gradient counts as forward.

# %%
book_stages = {
    'forward': (EncoderDecoder, '__call__'), 'loss': (MaskedSoftmaxCELoss, '__call__'),
    'backward': (mxnet.np.ndarray, 'backward'), 'clipping': (d2l, 'grad_clipping'),
    'optimizer': (gluon.Trainer, 'step')}
fit_stages = {
    'upload': (Feed, '_batch'), 'forward': (step.Forward, '__call__'),
    'loss': (step, 'logits_gradient'), 'backward': (autograd, 'backward'),
    'clipping': (step, 'clip_factor'), 'optimizer': (Adam, 'update')}
num_batches = num_epochs * len(feed)
times = {
    "the book's loop": stage_times(
        book_stages, lambda: list(s2s_epochs_ch9(book, loader, lr, num_epochs, ctx))),
    'fit': stage_times(fit_stages, lambda: fit(ours, feed, num_epochs=num_epochs, lr=lr))}

figure = Figure(figsize=(8, 2.6), layout='tight')
ax = figure.subplots()
names = ['upload', 'forward', 'loss', 'backward', 'clipping', 'optimizer', 'the rest']
left = numpy.zeros(2)
for name in names:
    widths = numpy.array([own.get(name, 0) / num_batches * 1e3 for own in times.values()])
    ax.barh(list(times), widths, left=left, label=name)
    left += widths
ax.invert_yaxis()
ax.set_xlabel('ms a batch, each part by itself')
ax.legend(ncol=len(names), loc='lower center', bbox_to_anchor=(0.45, 1), fontsize='small',
          columnspacing=1)
show(figure)
for name, own in times.items():
    print(name, {part: f'{value / num_batches * 1e3:.2f}' for part, value in own.items()})

# %% [markdown]
# By operator, under MXNet's profiler, whose own work counts here too:

# %% tags=["picture-operators"]
profile_epochs = 5
operators = {
    "the book's loop": operator_times(
        lambda: list(s2s_epochs_ch9(book, loader, lr, profile_epochs, ctx))),
    'fit': operator_times(lambda: fit(ours, feed, num_epochs=profile_epochs, lr=lr))}
costliest = sorted(set(itertools.chain(*operators.values())),
                   key=lambda name: max(own.get(name, 0) for own in operators.values()))[-14:]
figure = Figure(figsize=(8, 5), layout='tight')
ax = figure.subplots()
for offset, (name, own) in zip((0.2, -0.2), operators.items()):
    to_ms = 1e3 / profile_epochs / len(feed)
    ax.barh(numpy.arange(len(costliest)) + offset, [own.get(one, 0) * to_ms for one in costliest],
            height=0.4, label=f'{name}: {sum(own.values()) * to_ms:.1f} ms a batch in operators')
ax.set_yticks(range(len(costliest)), costliest)
ax.set_xlabel('ms a batch, under the profiler')
ax.legend(loc='lower right')
ax.grid(axis='x')
show(figure)

# %% [markdown]
# ## What makes the difference
#
# **Nobody waits.** MXNet computes behind Python's back, and the book's loop asks for a number of
# each batch (the norm in clipping, the loss in the metric) and waits until it is there. `fit` clips
# on the device and looks at losses when they long have been computed. An update:

# %%
show_code(step.TrainStep)

# %% [markdown]
# **Batches are there before they are needed.** The book's data loader puts a minibatch together
# sentence by sentence, and each upload stands in line behind what is still to be computed. Here a
# batch is one array of the host, handed over without a copy, and its parts are views.

# %%
show_code(DeviceBatch)

# %% [markdown]
# **One graph.** Encoder and decoder are traced into one graph, which MXNet plans once; the book's
# blocks call operator after operator from Python.
#
# **Only what counts.** The dense layer and the softmax see the label positions that aren't padding,
# which are about half of them, and the gradient of softmax and cross-entropy,
# $\partial \ell / \partial \mathbf{o} = \mathrm{softmax}(\mathbf{o}) - \mathbf{y}$, is written down
# instead of found by autograd.

# %%
show_code(cross_entropy_of_rows, logits_gradient)

# %% [markdown]
# **One call for all weights.** They are views of a single array, as are their gradients and Adam's
# two moments, so that clipping is one product and Adam one operator, where the book's loop has
# several for each of the parameters.

# %%
sizes = [parameter.data().size for parameter in ours.collect_params().values()]
print(f'{len(sizes)} parameters, {sum(sizes):,} weights')
show_code(Adam.update)
