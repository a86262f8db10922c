# ---
# jupyter:
#   kernelspec:
#     display_name: Python 3
#     language: python
#     name: python3
# ---

# %% [markdown]
# # Exercises of sequence to sequence
#
# Section 9.7 of *Dive into Deep Learning* 0.14 mentions that the context can be computed in several
# ways, and it ends with three questions:
#
# 1. What else can sequence to sequence learning be used for?
# 2. What happens to a source that is longer than those of the section?
# 3. What changes if the loss does not mask the padding?
#
# This notebook tries all of them. The models are trained with `fit`, the fast training loop of the
# package, which computes the same mathematics as the section's `train_s2s_ch9`. A `Translator`
# translates many sentences at once.

# %%
import logging
import random

import d2l_seq2seq.book as d2l
import mxnet
import numpy
from d2l_seq2seq import (ContextDecoder, Feed, MaskedEncoder, ModelConfig, Translator, bleu,
                         build_model, encode_pairs, evaluate_loss, fit, initialize, read_corpus)
from d2l_seq2seq.config import DataConfig
from d2l_seq2seq.data.corpus import copy_pairs, number_pairs
from d2l_seq2seq.data.encoding import first_examples
from d2l_seq2seq.data.tokenizers import build_tokenizer, tokenize_chapter
from d2l_seq2seq.models.contexts import last_state, max_state, mean_state
from d2l_seq2seq.plotting import show, show_code
from matplotlib.figure import Figure
from mxnet import np, npx

npx.set_np()
ctx = d2l.try_gpu()

# %% [markdown]
# The first two lines are the settings of the book. The others are for the exercises. To get all
# results sooner, reduce the numbers of epochs.

# %% tags=["parameters"]
embed_size, num_hiddens, num_layers, dropout = 32, 32, 2, 0.0
batch_size, num_steps, lr, num_epochs, seed = 64, 10, 0.005, 300, 0
num_seeds, num_context_epochs = 3, 60
num_pairs, task_hiddens = 4000, 64
num_number_epochs, num_sound_epochs, num_reply_epochs = 40, 10, 15
num_per_length, num_length_epochs = 40, 200
num_letters, num_copies, num_copy_epochs = 16, 5000, 40

# %% [markdown]
# The book's 1,001 pairs are used several times. If the book's corpus is not available, they are
# those of the package's corpus.

# %%
book_pairs = first_examples(read_corpus('auto').pairs, 1000)
src_vocab, tgt_vocab, book_corpus = encode_pairs(book_pairs, num_steps)
print(f'{len(book_pairs):,} pairs, vocabularies of {len(src_vocab)} and {len(tgt_vocab)} tokens')

# %% [markdown]
# ## The choice of q
#
# The context is a function of the encoder's hidden states,
#
# $$\mathbf{c} = q(\mathbf{h}_1, \ldots, \mathbf{h}_T), \qquad (9.7.2)$$
#
# and the decoder reads it at every step,
#
# $$\mathbf{s}_{t'} = g(\mathbf{y}_{t'-1}, \mathbf{c}, \mathbf{s}_{t'-1}). \qquad (9.7.4)$$
#
# The section's code returns $\mathbf{h}_T$, and uses it only as the first state of the decoder. The
# package's `ContextDecoder` reads $\mathbf{c}$ at every step, and takes the function $q$ as an
# argument. Three functions are there: the last state, the mean of all states, and the largest value
# of each hidden unit. They leave out the padding.

# %%
show_code(last_state, mean_state, max_state)

# %% [markdown]
# Two sentences of 4 and 2 words as an example. The encoder has three hidden units, so a context is
# three numbers. The last line of each sentence computes the three contexts by hand.

# %%
mxnet.random.seed(seed)
encoder = MaskedEncoder(len(src_vocab), embed_size, 3, 1)
encoder.initialize(ctx=ctx)
X = np.array([[5, 6, 7, 4], [8, 4, 1, 1]], ctx=ctx)  # 1 is <pad>
valid_len = np.array([4, 2], ctx=ctx)
outputs, state = encoder(X, valid_len)
for row, length in ((0, 4), (1, 2)):
    hiddens = outputs[:length, row]  # (length, num_hiddens), without the padding
    print(f'sentence of {length} words')
    for q in (last_state, mean_state, max_state):
        print(f'    {q.__name__:10}', q(outputs, state, valid_len)[0, row].asnumpy().round(4))
    print('    by hand   ', hiddens[-1].asnumpy().round(4), hiddens.mean(axis=0).asnumpy().round(4),
          hiddens.max(axis=0).asnumpy().round(4))

# %% [markdown]
# Now four models are trained on the book's pairs, each with several seeds. The first is like the
# section's: its decoder receives $\mathbf{c} = \mathbf{h}_T$ as its first state only. The others
# start from the same state and also read $\mathbf{c}$ at every step. The encoders do not read
# padding, so that $\mathbf{h}_T$ is the state after the last word.

# %%
configs = {
    'first state only': ModelConfig(embed_size, num_hiddens, num_layers, masked=True),
    'last': ModelConfig(embed_size, num_hiddens, num_layers, masked=True, context_every_step=True,
                        context='last'),
    'mean': ModelConfig(embed_size, num_hiddens, num_layers, masked=True, context_every_step=True,
                        context='mean'),
    'max': ModelConfig(embed_size, num_hiddens, num_layers, masked=True, context_every_step=True,
                       context='max'),
}
curves = {}  # for each model, the losses of each seed: (num_seeds, num_context_epochs)
for name, config in configs.items():
    curves[name] = []
    for number in range(num_seeds):
        losses = []
        mxnet.random.seed(seed + number)
        model = build_model(config, len(src_vocab), len(tgt_vocab))
        initialize(model, ctx)
        fit(model, Feed(book_corpus, batch_size, seed + number, ctx), num_epochs=num_context_epochs,
            lr=lr, on_epoch_end=lambda metrics, state: losses.append(metrics.train.nll_per_token))
        curves[name].append(losses)
    finals = [losses[-1] for losses in curves[name]]
    print(f'{name:16} mean of the last losses {numpy.mean(finals):.3f}, from {min(finals):.3f} to '
          f'{max(finals):.3f}')

# %% [markdown]
# The left figure shows the losses averaged over the seeds, and the right figure shows the last loss
# of each seed.

# %%
figure = Figure(figsize=(7, 2.8), layout='tight')
left, right = figure.subplots(1, 2)
epochs = range(1, num_context_epochs + 1)
for column, name in enumerate(configs):
    left.plot(epochs, numpy.mean(curves[name], axis=0), label=name)
    for losses in curves[name]:
        right.plot(column, losses[-1], 'o', color=f'C{column}')
left.set(xlabel='epoch', ylabel='nats per token')
left.legend()
right.set_xticks(range(len(configs)), list(configs), fontsize=8)
right.set(ylabel='nats per token', title='after the last epoch', xlim=(-0.5, len(configs) - 0.5))
for ax in (left, right):
    ax.grid(True)
show(figure)

# %% [markdown]
# The average losses of the last, the mean and the largest state are closer together than the losses
# of one model with different seeds, so the choice of $q$ hardly matters here. To read the context
# at every step does not help either. The sources have four words at most, and the state from which
# all decoders start already contains them.
#
# **Now you try.** The function `first_and_last` below is another choice of $q$: the states after
# the first and the last word, one after the other. Change it, and train with it. (A function that
# calls methods of the arrays only, such as `sum`, `max` or `reshape`, or those of `operators_of`,
# works in graphs as well.)

# %%
from d2l_seq2seq._mxnet import operators_of


def first_and_last(outputs, state, valid_len):
    F = operators_of(outputs)
    # (1, batch_size, 2 * num_hiddens)
    return F.np.concatenate([outputs[:1], state[0][-1:]], axis=-1)


mxnet.random.seed(seed)
model = d2l.EncoderDecoder(
    MaskedEncoder(len(src_vocab), embed_size, num_hiddens, num_layers),
    ContextDecoder(len(tgt_vocab), embed_size, num_hiddens, num_layers, context=first_and_last))
initialize(model, ctx)
fit(model, Feed(book_corpus, batch_size, seed, ctx), num_epochs=num_context_epochs, lr=lr)
loss = evaluate_loss(model, Feed(book_corpus, batch_size, seed, ctx)).nll_per_token
print(f'{loss:.3f} nats per token')

# %% [markdown]
# ## Exercise 1: other uses
#
# Sequence to sequence learning applies where one sequence has to be converted to another and many
# examples are available:
#
# - dialogue: from what one person says to a reply; many replies are right, so one reference
#   says little about a reply.
# - summarization: from a long text to a few sentences; the source is far longer than the
#   target, and names must be copied.
# - speech recognition: from frames of sound, 100 per second to letters or words; the source
#   consists of vectors and needs no embedding; source and target have the same order.
# - speech synthesis: from letters to frames of sound; the same the other way round: the loss is
#   a distance, not a cross-entropy.
# - spelling to sound: from letters of a word to its sounds; small vocabularies; the order is
#   the same, but letters are silent or form groups.
# - correction of spelling: from words with errors to the right words; target and source are
#   nearly equal; errors can be generated from correct text.
# - captions: from an image to a sentence; the encoder is a convolutional network.
# - parsing: from a sentence to its tree, written with brackets; the brackets must match.
# - programming: from a description to a program; the output must be valid, and can be run to
#   check it.
# - writing out numbers, dates: from digits to words; rules exist, so the answer can be checked;
#   errors are hardly ever acceptable.
#
# Three of these are trained below. The pairs of all three are made by rules, so there are as many
# as needed and each source has one right answer. For real dialogues, or for the sounds of a
# language such as English, one would need collected data. What is measured is honest, though: a
# tenth of the pairs is held out, and the model has to learn the rules from the other pairs.
#
# The function `train_and_test` is used for all of them.

# %%
def train_and_test(pairs, config, num_epochs, num_steps):
    """Train a model on nine tenths of the pairs, test it on the others, and return a translator."""
    num_held_out = len(pairs) // 10
    test_pairs, train_pairs = pairs[:num_held_out], pairs[num_held_out:]

    mxnet.random.seed(seed)
    tokenizer = build_tokenizer(DataConfig(min_freq=1))
    vocab, other_vocab, corpus = encode_pairs(train_pairs, num_steps, tokenizer)
    model = build_model(config, len(vocab), len(other_vocab))
    initialize(model, ctx)
    fit(model, Feed(corpus, batch_size, seed, ctx), num_epochs=num_epochs, lr=lr)

    translator = Translator(model, vocab, other_vocab, num_steps, tokenizer)
    predictions = translator([source for source, target in test_pairs])
    num_correct = 0
    for prediction, (source, target) in zip(predictions, test_pairs):
        if prediction == target:
            num_correct += 1
    print(f'exactly right: {num_correct} of {num_held_out} ({num_correct / num_held_out:.1%})')
    for prediction, (source, target) in zip(predictions[:3], test_pairs):
        print('   ', source, '=>', prediction, '' if prediction == target else f'(not {target})')
    return translator


one_vector = ModelConfig(embed_size, task_hiddens, 1, masked=True)
with_attention = ModelConfig(embed_size, task_hiddens, 1, attention='general', bidirectional=True)

# %% [markdown]
# ### Numbers
#
# The source is a number below 100,000, digit by digit, and the target is its name.

# %%
number_translator = train_and_test(number_pairs(num_pairs, 100_000, seed), one_vector,
                                   num_number_epochs, num_steps)

# %% [markdown]
# ### Spelling to sound
#
# Spanish is spelled almost as it is spoken: a few rules lead from the letters to the sounds. The
# cell has the rules of Castilian, from the special to the general. Letters without a rule sound as
# they are written. The words are random syllables that one could pronounce in Spanish, and hardly
# any of them exists.

# %%
RULES = [  # letters and their sounds; the first rule that fits is used
    ('ch', 'tʃ'), ('ll', 'ʎ'), ('rr', 'r'), ('nr', 'n r'), ('lr', 'l r'), ('sr', 's r'),
    ('qu', 'k'), ('gue', 'g e'), ('gui', 'g i'),
    ('ce', 'θ e'), ('ci', 'θ i'), ('ge', 'x e'), ('gi', 'x i'),
    ('c', 'k'), ('h', ''), ('j', 'x'), ('ñ', 'ɲ'), ('v', 'b'), ('z', 'θ'), ('r', 'ɾ'),
]


def pronounce(word):
    """Return the sounds of a Spanish word."""
    sounds = []
    position = 0
    if word.startswith('r'):  # the first letter of a word is rolled like rr
        sounds.append('r')
        position = 1
    while position < len(word):
        letters = sound = word[position]
        for rule_letters, rule_sound in RULES:
            if word.startswith(rule_letters, position):
                letters, sound = rule_letters, rule_sound
                break
        sounds += sound.split()
        position += len(letters)
    return sounds


def invent_word(rng):
    """Return a word of one to four random syllables."""
    starts = ['', 'b', 'bl', 'c', 'ch', 'd', 'f', 'g', 'gu', 'h', 'j', 'l', 'll', 'm', 'n', 'ñ',
              'p', 'pr', 'qu', 'r', 's', 't', 'tr', 'v', 'z']
    word = ''
    for _ in range(rng.randint(1, 4)):
        start = rng.choice(starts)
        word += start
        word += rng.choice('ei' if start in ('qu', 'gu') else 'aeiou')
        word += rng.choice(['', '', '', 'l', 'n', 'r', 's'])
    return word


rng = random.Random(seed)
words = []
while len(words) < num_pairs:
    word = invent_word(rng)
    if word not in words:
        words.append(word)
sound_pairs = [(' '.join(word), ' '.join(pronounce(word))) for word in words]
print(' '.join(pronounce('chaqueta')))

# %% [markdown]
# A word has up to 16 letters, and one vector is too small for a whole word, as exercise 2 shows.
# This model therefore has attention, the subject of the next notebook.

# %%
sound_translator = train_and_test(sound_pairs, with_attention, num_sound_epochs, num_steps=20)

# %% [markdown]
# Now real words. It is an accident if one of them was among the invented words.

# %%
for word in ['queso', 'guitarra', 'chaqueta', 'zapato', 'hijo', 'cielo', 'perro', 'honra', 'gente',
             'amarillo']:
    sounds = sound_translator(' '.join(word)).replace(' ', '')
    expected = ''.join(pronounce(word))
    invented = ', which was invented above' if word in words else ''
    print(f'{word} => {sounds}', '' if sounds == expected else f'(not {expected})', invented)

# %% [markdown]
# ### Dialogue
#
# One of the first programs that one could talk to, ELIZA (Weizenbaum 1966), turned statements into
# questions: *I need my car* becomes *Why do you need your car?* It used rules. Here a model learns
# such rules from examples: *I* and *you* change places, *my* and *your* too, a verb moves to the
# front or *do* is inserted, and *needs* becomes *need*. (The replies are grammatical, but the model
# knows nothing about cars, any more than ELIZA did.)

# %%
SUBJECTS = [  # subject, form of be, and the same in the reply
    ('i', 'am', 'you', 'are'), ('you', 'are', 'i', 'am'), ('we', 'are', 'you', 'are'),
    ('they', 'are', 'they', 'are'), ('tom', 'is', 'tom', 'is'),
    ('my mother', 'is', 'your mother', 'is'), ('your brother', 'is', 'my brother', 'is'),
]
OBJECTS = [('me', 'you'), ('you', 'me'), ('my dog', 'your dog'), ('your dog', 'my dog'),
           ('my friends', 'your friends'), ('your car', 'my car'), ('this house', 'this house'),
           ('the music', 'the music'), ('him', 'him'), ('her job', 'her job')]
ADVERBS = ['', 'always ', 'never ', 'often ', 'really ']
ADJECTIVES = ['tired', 'happy', 'sad', 'late', 'hungry', 'afraid', 'alone', 'angry', 'sick', 'busy']
VERBS = ['need', 'like', 'hate', 'remember', 'miss', 'want', 'see', 'hear']

reply_pairs = []
for subject, be, reply_subject, reply_be in SUBJECTS:
    for adverb in [*ADVERBS, 'not ']:
        for adjective in ADJECTIVES:
            reply_pairs.append((f'{subject} {be} {adverb}{adjective} .',
                                f'why {reply_be} {reply_subject} {adverb}{adjective} ?'))
    for adverb in ADVERBS:
        for verb in VERBS:
            for thing, reply_thing in OBJECTS:
                ending, do = ('s', 'does') if be == 'is' else ('', 'do')
                if verb == 'miss' and ending:
                    ending = 'es'
                reply_pairs.append((f'{subject} {adverb}{verb}{ending} {thing} .',
                                    f'why {do} {reply_subject} {adverb}{verb} {reply_thing} ?'))
random.Random(seed).shuffle(reply_pairs)
print(f'{len(reply_pairs):,} pairs')

# %%
reply_translator = train_and_test(reply_pairs, one_vector, num_reply_epochs, num_steps=12)

# %% [markdown]
# **Now you try.** Talk to the model. It knows only the words of the cell above, and everything else
# is `<unk>`. Add subjects and verbs, or replace the rules of the pronunciation by those of a
# language that you speak.

# %%
for sentence in ['I need my dog.', 'My mother never hears me.', 'You are not happy.',
                 'The weather is nice.']:
    print(sentence, '=>', reply_translator(sentence))

# %% [markdown]
# ## Exercise 2: longer sources
#
# ### A source longer than `num_steps`
#
# The section's model is trained first, from the section's own blocks.

# %%
mxnet.random.seed(seed)
encoder = d2l.Seq2SeqEncoder(len(src_vocab), embed_size, num_hiddens, num_layers, dropout)
decoder = d2l.Seq2SeqDecoder(len(tgt_vocab), embed_size, num_hiddens, num_layers, dropout)
model = d2l.EncoderDecoder(encoder, decoder)
initialize(model, ctx)
fit(model, Feed(book_corpus, batch_size, seed, ctx), num_epochs=num_epochs, lr=lr)
for sentence in ['Go .', 'Wow !', "I'm OK .", 'I won !']:
    print(sentence, '=>',
          d2l.predict_s2s_ch9(model, sentence, src_vocab, tgt_vocab, num_steps, ctx))

# %% [markdown]
# `predict_s2s_ch9` cuts or pads every source to `num_steps` tokens, with `truncate_pad`. Here are
# the tokens of a long source, and what becomes of them:

# %%
sentence = "I'm OK . I won ! Go . Wow ! I lost . He ran ."
tokens = sentence.lower().split(' ')
for position, token in enumerate(tokens, 1):
    fate = 'read' if position <= num_steps else 'dropped'
    print(f'{position:2}  {token:6} id {src_vocab[token]:3}  {fate}')

# %% [markdown]
# Whatever follows the tenth token has no effect, and there is no warning. The same ten tokens with
# another end have the same translation:

# %%
kept = ' '.join(tokens[:num_steps])
for source in (sentence, kept, kept + ' they know everything about this , and never say a word .'):
    translation = d2l.predict_s2s_ch9(model, source, src_vocab, tgt_vocab, num_steps, ctx)
    print(source, '=>', translation)

# %% [markdown]
# The translation is no translation of the first ten tokens either: the longest source in the
# training data has four. And it could not have more than ten tokens, because `num_steps` is also
# the maximum length of the translation.
#
# Would it help to predict with a larger `num_steps`? The encoder reads the padding. It was trained
# with ten steps, and with more of them the state of a short sentence becomes another one:

# %%
for source in ['Go .', "I'm OK .", 'I won !']:
    print(source)
    for steps in (num_steps, 12, 15, 20, 40):
        translation = d2l.predict_s2s_ch9(model, source, src_vocab, tgt_vocab, steps, ctx)
        print(f'    {steps} steps: {translation}')

# %% [markdown]
# ### Longer sentences in training
#
# A model for longer sources has to be trained with them. The next cell draws sentences of 4, 6,
# ..., 16 tokens from the corpus, the same number of each length if there are enough.

# %%
lengths = range(4, 17, 2)
pairs_by_length = {length: [] for length in lengths}
sources = set()
for source, target in read_corpus('auto').pairs:
    length = len(tokenize_chapter(source))
    if length in lengths and source not in sources:  # one translation of each source
        sources.add(source)
        pairs_by_length[length].append((source, target))

rng = random.Random(seed)
length_pairs = []
for length in lengths:
    candidates = pairs_by_length[length]
    chosen = rng.sample(candidates, min(num_per_length, len(candidates)))
    length_pairs += chosen
    print(f'{length:2} tokens: {len(chosen)} of {len(candidates):,} sentences')

# %% [markdown]
# Three models learn these sentences. The first two are like the section's, with `num_steps` of 10,
# which cuts, and of 20, which does not cut. The third one also has 20 steps, but its encoder does
# not read the padding. (They have one layer of 64 units instead of two of 32, and smaller batches,
# and so learn in fewer epochs.) Like the section, the cell translates sentences of the training
# data, so the question is not whether the models translate new sentences, but whether they can hold
# long ones. Words that occur less than three times are `<unk>` on both sides. The measure is the
# BLEU of a later edition of the book, for one and two words: from 0 to 1, which is an exact match.

# %%
def bleu_by_length(model, vocab, other_vocab, num_steps):
    """Return the mean BLEU of the translations of each length."""
    means = []
    for length in lengths:
        scores = []
        for source, target in length_pairs:
            tokens = tokenize_chapter(source)
            if len(tokens) == length:
                translation = d2l.predict_s2s_ch9(model, ' '.join(tokens), vocab, other_vocab,
                                                  num_steps, ctx)
                target_ids = other_vocab[tokenize_chapter(target)]
                reference = ' '.join(other_vocab.to_tokens(target_ids))
                scores.append(bleu(translation, reference, k=2))
        means.append(numpy.mean(scores) if scores else numpy.nan)
    return means


logging.getLogger('d2l_seq2seq').setLevel(logging.ERROR)  # no warning of the sentences that are cut
curves = {}
for name, steps, masked in (("the section's, 10 steps", 10, False),
                            ("the section's, 20 steps", 20, False),
                            ('without padding, 20 steps', 20, True)):
    mxnet.random.seed(seed)
    vocab, other_vocab, corpus = encode_pairs(length_pairs, steps)
    model = build_model(ModelConfig(embed_size, task_hiddens, 1, masked=masked), len(vocab),
                        len(other_vocab))
    initialize(model, ctx)
    fit(model, Feed(corpus, batch_size // 2, seed, ctx), num_epochs=num_length_epochs, lr=lr)
    curves[name] = bleu_by_length(model, vocab, other_vocab, steps)
    print(f'{name}:', *(f'{mean:.2f}' for mean in curves[name]))

# %%
figure = Figure(figsize=(5, 3), layout='tight')
ax = figure.subplots()
for name, means in curves.items():
    ax.plot(lengths, means, 'o-', label=name)
ax.axvline(num_steps, color='grey', linestyle='--')
ax.set(xlabel='tokens in the source', ylabel='BLEU', ylim=(-0.05, 1.05))
ax.legend(fontsize=8)
ax.grid(True)
show(figure)

# %% [markdown]
# The section's model with 10 steps holds the short sentences. It gets worse where sources and
# targets are cut. With 20 steps nothing is cut, but the padding that follows a short sentence makes
# learning harder, and long sentences are still worse than short ones. The model that does not read
# the padding is the best one for long sentences.
#
# ### One vector for any length
#
# All that the decoder knows about the source has to fit into one vector. To see the limits of that
# alone, two models learn to copy random letters: one with a vector of the same size for all
# lengths, and one with attention, which has access to all outputs of the encoder. No letter can be
# guessed from the others. A tenth of the sequences is held out.

# %%
pairs = copy_pairs(num_copies, num_letters, seed)
num_held_out = len(pairs) // 10
originals = [source for source, target in pairs[:num_held_out]]
letter_vocab, _, corpus = encode_pairs(pairs[num_held_out:], num_letters + 2)

figure = Figure(figsize=(5, 3), layout='tight')
ax = figure.subplots()
for name, config in (('one vector', one_vector), ('attention', with_attention)):
    mxnet.random.seed(seed)
    model = build_model(config, len(letter_vocab), len(letter_vocab))
    initialize(model, ctx)
    fit(model, Feed(corpus, batch_size, seed, ctx), num_epochs=num_copy_epochs, lr=lr)
    copies = Translator(model, letter_vocab, letter_vocab, num_letters + 2)(originals)
    num_sequences = numpy.zeros(num_letters + 1)  # for each length
    num_correct = numpy.zeros(num_letters + 1)
    for original, copy in zip(originals, copies):
        length = len(original.split())
        num_sequences[length] += 1
        if copy == original:
            num_correct[length] += 1
    present = numpy.flatnonzero(num_sequences)
    shares = num_correct[present] / num_sequences[present]
    ax.plot(present, shares, 'o-', label=name)
    print(f'{name}: {shares[0]:.0%} of the shortest and {shares[-1]:.0%} of the longest are exact')
ax.set(xlabel='letters', ylabel='share of exact copies', ylim=(-0.05, 1.05))
ax.legend()
ax.grid(True)
show(figure)

# %% [markdown]
# The model with one vector copies short sequences and no long ones. With attention, nearly all
# copies are exact, whatever their length.
#
# **Now you try.** Double `task_hiddens`, the size of the vector: to what length does the plain
# model copy now? Does it help as much as attention does?
#
# ## Exercise 3: the loss without the mask
#
# Without the mask, padding is a token like any other, and the decoder learns to predict it after
# `<eos>`. Below, the second model is trained on targets whose valid lengths are all `num_steps`.
# Most of its labels are padding, which is easy to predict, so its own loss is about half of the
# other model's and means little. When both are evaluated on the true labels, they are about equally
# good (which one is ahead depends on the seed), because translations end at `<eos>` in any case.
# The advantages of the mask are that the loss has a meaning and that less has to be computed.

# %%
unmasked = book_corpus._replace(
    tgt_valid_len=numpy.full_like(book_corpus.tgt_valid_len, num_steps))
for name, train_corpus in (('masked', book_corpus), ('without the mask', unmasked)):
    mxnet.random.seed(seed)
    model = build_model(ModelConfig(embed_size, num_hiddens, num_layers), len(src_vocab),
                        len(tgt_vocab))
    initialize(model, ctx)
    fit(model, Feed(train_corpus, batch_size, seed, ctx), num_epochs=num_epochs, lr=lr)
    own_loss = evaluate_loss(model, Feed(train_corpus, batch_size, seed, ctx)).nll_per_token
    true_loss = evaluate_loss(model, Feed(book_corpus, batch_size, seed, ctx)).nll_per_token
    print(f'{name}: {own_loss:.3f} nats per label that it trained on, {true_loss:.3f} per true '
          'label')
