# ---
# jupyter:
#   kernelspec:
#     display_name: Python 3
#     language: python
#     name: python3
# ---

# %% [markdown]
# # Faster training
#
# The training loop of section 9.7 (*Dive into Deep Learning* 0.14) is written to be read. `fit`
# computes the same mathematics in a fraction of the time. This notebook trains the chapter's model
# with both, compares their speed, and shows where their time goes. The book reports 8,687 target
# tokens per second on a GPU; everything here runs on a CPU. The times are those of the machine on
# which this notebook was executed. The ratios between them apply to other machines as well.

# %% [markdown]
# The number of threads of an operator must be chosen before MXNet is loaded. For steps as small as
# the chapter's, one thread is best.

# %%
from d2l_seq2seq._runtime import choose_threads
from d2l_seq2seq.plotting import show, show_code

choose_threads(batch_size=64, num_hiddens=32)
show_code(choose_threads)

# %%
import itertools
import time

import numpy
from d2l_seq2seq import (EncoderDecoder, Feed, MaskedSoftmaxCELoss, ModelConfig, build_model,
                         encode_pairs, fit, initialize, read_corpus)
from d2l_seq2seq import book as d2l
from d2l_seq2seq.book.seq2seq import train_s2s_ch9
from d2l_seq2seq.data.encoding import first_examples
from d2l_seq2seq.data.feed import DeviceBatch
from d2l_seq2seq.data.pipeline import load_pairs
from d2l_seq2seq.engine import step
from d2l_seq2seq.engine.forward import label_cross_entropy, logits_gradient
from d2l_seq2seq.engine.optimizer import Adam
from d2l_seq2seq.engine.profiling import operator_times, stage_times
from IPython.utils.capture import capture_output
from matplotlib.figure import Figure

import mxnet  # after d2l_seq2seq, which makes MXNet ready
from mxnet import autograd, gluon

# %% tags=["parameters"]
batch_size, num_steps, lr, seed = 64, 10, 0.005, 0
num_compared, num_rounds, num_epochs = 10, 7, 20

# %% [markdown]
# ## The same losses
#
# With the same seed and the same data, both print the same losses. (Over more epochs they diverge,
# because of rounding. The book's losses diverge in the same way if one bit of one of its weights is
# changed.)

# %%
ctx = mxnet.cpu()
pairs = first_examples(read_corpus('auto').pairs, 1000)
*_, loader = load_pairs(pairs, batch_size, num_steps)
src_vocab, tgt_vocab, corpus = encode_pairs(pairs, num_steps)


def train_as_the_book(model, num_epochs):
    """Train with the book's loop; return the loss of each epoch, and the time at its end."""
    losses, ends = [], []

    def note(epoch, loss_sum, num_tokens):
        losses.append(loss_sum / num_tokens)
        ends.append(time.perf_counter())

    with capture_output():  # without the plot and the line that it prints
        train_s2s_ch9(model, loader, lr, num_epochs, ctx, on_epoch_end=note)
    return losses, ends


mxnet.random.seed(seed)
numpy.random.seed(seed)
book_model = build_model(ModelConfig(), len(src_vocab), len(tgt_vocab))
book_losses, _ = train_as_the_book(book_model, num_compared)

mxnet.random.seed(seed)
fit_model = build_model(ModelConfig(), len(src_vocab), len(tgt_vocab))
initialize(fit_model, ctx)
feed, fit_losses = Feed(corpus, batch_size, seed, ctx), []
fit(fit_model, feed, num_epochs=num_compared, lr=lr,
    on_epoch_end=lambda metrics, state: fit_losses.append(metrics.train.book_loss))

for epoch, losses in enumerate(zip(book_losses, fit_losses), 1):
    print('epoch {:2}: {:.5f} {:.5f}'.format(epoch, *losses))

# %% [markdown]
# ## Speed
#
# Both run alternately, so that other work on the machine slows down both. The figures are the
# medians of all rounds.

# %%
seconds = {'book': [], 'fit': []}
num_tokens = sum(batch.num_tokens for batch in feed)
for _ in range(num_rounds):
    _, ends = train_as_the_book(book_model, 2)
    seconds['book'].append(ends[1] - ends[0])
    fit(fit_model, feed, num_epochs=2, lr=lr,  # the graphs are compiled in the first epoch
        on_epoch_end=lambda metrics, state: state.epoch == 2
        and seconds['fit'].append(metrics.seconds))
medians = {name: numpy.median(times) for name, times in seconds.items()}
for name, median in medians.items():
    print(f'{name}: {median / len(feed) * 1e3:.2f} ms per batch, '
          f'{num_tokens / median:,.0f} tokens/s')
print(f"{medians['book'] / medians['fit']:.1f} times as fast")

# %% [markdown]
# ## Where the time goes
#
# Each stage of a step is timed separately: the host waits for the device before a stage begins and
# before it ends. The sum is therefore more than the times above, because host and device no longer
# work at the same time. This affects `fit` most, whose speed depends on it. In the book's loop,
# "the rest" is the data loader and the slicing of batches. In `fit` it is Python. The part of the
# loss that `fit` computes before the gradient counts as forward.

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
        book_stages, lambda: train_as_the_book(book_model, num_epochs)),
    'fit': stage_times(fit_stages, lambda: fit(fit_model, feed, num_epochs=num_epochs, lr=lr))}

figure = Figure(figsize=(8, 2.6), layout='tight')
ax = figure.subplots()
stages = ['upload', 'forward', 'loss', 'backward', 'clipping', 'optimizer', 'the rest']
left = numpy.zeros(2)
for stage in stages:
    widths = numpy.array([loop_times.get(stage, 0) / num_batches * 1e3
                          for loop_times in times.values()])
    ax.barh(list(times), widths, left=left, label=stage)
    left += widths
ax.invert_yaxis()
ax.set_xlabel('ms per batch, each stage timed separately')
ax.legend(ncol=len(stages), loc='lower center', bbox_to_anchor=(0.45, 1), fontsize='small',
          columnspacing=1)
show(figure)
print(f'{"ms per batch":15}', *(f'{name:>15}' for name in times))
for stage in stages:
    per_batch = [loop_times.get(stage, 0) / num_batches * 1e3 for loop_times in times.values()]
    print(f'{stage:15}', *(f'{value:15.2f}' for value in per_batch))

# %% [markdown]
# The next figure shows the time of each operator, measured with MXNet's profiler. The profiler's
# own work is included.

# %% tags=["picture-operators"]
profile_epochs = 5
times = {
    "the book's loop": operator_times(
        lambda: train_as_the_book(book_model, profile_epochs)),
    'fit': operator_times(lambda: fit(fit_model, feed, num_epochs=profile_epochs, lr=lr))}
operators = sorted(set(itertools.chain(*times.values())),
                   key=lambda name: max(loop_times.get(name, 0) for loop_times in times.values()))
operators = operators[-14:]
figure = Figure(figsize=(8, 5), layout='tight')
ax = figure.subplots()
for offset, (name, loop_times) in zip((0.2, -0.2), times.items()):
    to_ms = 1e3 / profile_epochs / len(feed)
    ax.barh(numpy.arange(len(operators)) + offset,
            [loop_times.get(operator, 0) * to_ms for operator in operators], height=0.4,
            label=f'{name}: {sum(loop_times.values()) * to_ms:.1f} ms per batch in operators')
ax.set_yticks(range(len(operators)), operators)
ax.set_xlabel('ms per batch, with the profiler')
ax.legend(loc='lower right')
ax.grid(axis='x')
show(figure)

# %% [markdown]
# ## What makes the difference
#
# **No waiting.** MXNet computes asynchronously, but the book's loop reads numbers of each batch
# (the norm for the clipping, the loss for the metric) and waits until they are computed. `fit`
# clips on the device, and reads losses long after they were computed. An update:

# %%
show_code(step.TrainStep)

# %% [markdown]
# **Batches are uploaded in advance.** The book's data loader assembles a minibatch sentence by
# sentence, and each upload waits for the computations that were requested before it. In `fit`, a
# batch is one array on the host, which MXNet uses without a copy, and the arrays of the batch are
# views of it.

# %%
show_code(DeviceBatch)

# %% [markdown]
# **One graph.** Encoder and decoder are traced to a single graph, which MXNet plans once. The
# book's blocks call one operator after the other from Python.
#
# **No padding in the last layer.** The dense layer and the softmax are computed for the label
# positions without padding only, which are about half of all positions. The gradient of softmax and
# cross-entropy, $\partial \ell / \partial \mathbf{o} = \mathrm{softmax}(\mathbf{o}) - \mathbf{y}$,
# is computed explicitly and not by autograd.

# %%
show_code(label_cross_entropy, logits_gradient)

# %% [markdown]
# **One call for all weights.** All weights are views of a single array, and so are their gradients
# and Adam's two moments. The clipping is therefore a single product and Adam a single operator. In
# the book's loop, both take several operators for each parameter.

# %%
sizes = [parameter.data().size for parameter in fit_model.collect_params().values()]
print(f'{len(sizes)} parameters, {sum(sizes):,} weights')
show_code(Adam.update)
