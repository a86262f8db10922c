"""The chapter's training and prediction."""

import math
import re

import numpy as onp
import pytest

from d2l_seq2seq import (
    Decoder,
    Encoder,
    EncoderDecoder,
    MaskedSoftmaxCELoss,
    ModelConfig,
    predict_s2s_ch9,
    reproduce,
    train_s2s_ch9,
)
from d2l_seq2seq._mxnet import nn, np, npx, seed_generators
from d2l_seq2seq.book import seq2seq
from d2l_seq2seq.book.machine_translation import preprocess_nmt
from d2l_seq2seq.data.feed import load_pairs
from d2l_seq2seq.models.factory import build_model

CTX = npx.cpu()
SMALL = ModelConfig(embed_size=8, num_hiddens=8, num_layers=1)


@pytest.fixture
def toy(bundled, seed):
    """Vocabularies, batches and a small model for a hundred pairs."""
    src_vocab, tgt_vocab, data_iter = load_pairs(bundled.pairs[:100], 32, 10)
    return src_vocab, tgt_vocab, data_iter, build_model(SMALL, len(src_vocab), len(tgt_vocab))


def epoch_losses(toy, seed, hybridize=False):
    """The loss sums of three epochs of a new model."""
    src_vocab, tgt_vocab, data_iter, _ = toy
    seed_generators(seed)
    model = build_model(SMALL, len(src_vocab), len(tgt_vocab))
    if hybridize:
        model.hybridize()
    return [metric[0] for _, metric, _ in seq2seq.s2s_epochs_ch9(model, data_iter, 0.005, 3, CTX)]


def test_training_prints_the_books_line(toy, capsys):
    _, _, data_iter, model = toy
    assert train_s2s_ch9(model, data_iter, 0.005, 2, CTX) is None
    printed = capsys.readouterr()
    assert re.fullmatch(r'loss \d\.\d{3}, \d+\.\d tokens/sec on cpu\(0\)\n', printed.out)
    assert printed.err == ''


def test_the_plot_has_a_point_every_ten_epochs(toy, monkeypatch):
    _, _, data_iter, model = toy
    made = []

    class Recorder(seq2seq.Animator):
        def __init__(self, **kwargs):
            super().__init__(**kwargs)
            made.append((self, kwargs))

    monkeypatch.setattr(seq2seq, 'Animator', Recorder)
    train_s2s_ch9(model, data_iter, 0.005, 21, CTX)
    ((animator, settings),) = made
    assert animator.X == [[10, 20]] and animator.Y[0][1] < animator.Y[0][0]
    assert settings == {'xlabel': 'epoch', 'ylabel': 'loss', 'xlim': [1, 21], 'ylim': [0, 0.25]}


def test_the_printed_loss_and_the_honest_one(toy, seed):
    """Both figures of an epoch without learning, from the losses of each sentence."""
    _, _, data_iter, model = toy
    batches = list(data_iter)
    ((_, metric, _),) = seq2seq.s2s_epochs_ch9(model, batches, 1e-12, 1, CTX)
    loss, loss_sum, nll_sum, num_tokens = MaskedSoftmaxCELoss(), 0, 0, 0
    for src, src_valid_len, tgt, tgt_valid_len in batches:
        logits, _ = model(src, tgt[:, :-1])
        for sentence in range(len(src)):
            length = int(tgt_valid_len[sentence]) - 1
            one = slice(sentence, sentence + 1)
            full = loss(logits[one], tgt[one, 1:], np.array([length]))
            cut = loss(logits[one, :length], tgt[one, 1 : length + 1], np.array([length]))
            loss_sum, nll_sum = loss_sum + full.item(), nll_sum + cut.item() * length
            num_tokens += length
    assert metric[1] == num_tokens
    onp.testing.assert_allclose([metric[0], metric[2]], [loss_sum, nll_sum], rtol=1e-4)


def test_training_is_fixed_by_the_seed(toy, seed):
    losses = epoch_losses(toy, seed)
    assert epoch_losses(toy, seed) == losses and losses == sorted(losses, reverse=True)
    assert epoch_losses(toy, seed + 1) != losses


def test_training_initializes_anew(toy):
    _, tgt_vocab, data_iter, model = toy

    def last_nll_per_token(lr, num_epochs):
        *_, (_, metric, _) = seq2seq.s2s_epochs_ch9(model, data_iter, lr, num_epochs, CTX)
        return metric[2] / metric[1]

    # A new model finds all words about equally likely.
    assert last_nll_per_token(0.05, 10) < 0.8 * math.log(len(tgt_vocab))
    assert last_nll_per_token(1e-12, 1) == pytest.approx(math.log(len(tgt_vocab)), rel=0.05)


def test_training_on_another_context(toy, capsys):
    src_vocab, tgt_vocab, data_iter, model = toy
    train_s2s_ch9(model, data_iter, 0.005, 1, npx.cpu(1))
    assert 'tokens/sec on cpu(1)' in capsys.readouterr().out
    assert {str(parameter.list_ctx()) for parameter in model.collect_params().values()} == {
        '[cpu(1)]'
    }
    predict_s2s_ch9(model, 'go .', src_vocab, tgt_vocab, 10, npx.cpu(1))


def test_hybridized_training_is_the_same(toy, seed):
    onp.testing.assert_allclose(
        epoch_losses(toy, seed, hybridize=True), epoch_losses(toy, seed), rtol=1e-5
    )


def test_any_model_of_the_interface_and_any_iterable(seed, capsys):
    """A bag-of-words encoder, a decoder without recurrence, and a list of batches."""

    class Bag(Encoder):
        def __init__(self):
            super().__init__()
            self.embedding = nn.Embedding(6, 4)

        def forward(self, X, valid_len, *args):
            return npx.sequence_mask(self.embedding(X), valid_len, True, axis=1).sum(axis=1)

    class Lookup(Decoder):
        def __init__(self):
            super().__init__()
            self.embedding, self.dense = nn.Embedding(6, 4), nn.Dense(6, flatten=False)

        def init_state(self, enc_outputs, *args):
            return enc_outputs

        def forward(self, X, state):
            return self.dense(self.embedding(X) + np.expand_dims(state, axis=1)), state

    batch = (np.array([[4, 5, 1]]), np.array([2]), np.array([[2, 5, 3]]), np.array([3]))
    model = EncoderDecoder(Bag(), Lookup())
    train_s2s_ch9(model, [batch, batch], 0.1, 30, CTX)
    assert float(capsys.readouterr().out.split()[1].rstrip(',')) < 0.01


def test_an_iterable_that_ends_for_good_is_named(toy):
    _, _, data_iter, model = toy
    with pytest.raises(ValueError, match='got none in epoch 2; data_iter has to start anew'):
        train_s2s_ch9(model, iter(list(data_iter)), 0.005, 2, CTX)


class Parrot:
    """A model whose decoder says a given list of tokens, and notes what it was given."""

    def __init__(self, token_ids, vocab_size):
        self.token_ids, self.vocab_size = token_ids, vocab_size
        self.seen, self.enc_X = [], None
        self.decoder = self

    def encoder(self, enc_X, valid_len):
        self.enc_X, self.valid_len = enc_X.tolist(), valid_len.tolist()

    def init_state(self, enc_outputs, valid_len):
        return 0

    def __call__(self, dec_X, step):
        self.seen.append(dec_X.tolist())
        return np.eye(self.vocab_size)[np.array([[self.token_ids[step]]])], step + 1


def test_prediction_feeds_back_its_tokens_and_stops_at_eos(toy):
    src_vocab, tgt_vocab, *_ = toy
    bos, eos, pad = (tgt_vocab[token] for token in ('<bos>', '<eos>', '<pad>'))
    model = Parrot([5, 7, eos, 6], len(tgt_vocab))
    text = predict_s2s_ch9(model, 'GO .', src_vocab, tgt_vocab, 4, CTX)
    assert text == ' '.join(tgt_vocab.to_tokens([5, 7]))
    assert model.seen == [[[bos]], [[5]], [[7]]]
    assert model.enc_X == [[src_vocab['go'], src_vocab['.'], pad, pad]]
    assert model.valid_len == [2]


def test_prediction_is_cut_at_num_steps_on_both_sides(toy):
    src_vocab, tgt_vocab, *_ = toy
    model = Parrot([5] * 9, len(tgt_vocab))
    text = predict_s2s_ch9(model, 'go go go go', src_vocab, tgt_vocab, 3, CTX)
    assert len(text.split()) == 3 and model.enc_X == [[src_vocab['go']] * 3]


def test_a_toy_language_is_learned(seed):
    """Each word has one translation; after training every sentence comes out right."""
    words = {'one': 'un', 'two': 'deux', 'three': 'trois'}
    pairs = [(f'{a} {b}.', f'{words[a]} {words[b]}.') for a in words for b in words] * 2
    src_vocab, tgt_vocab, data_iter = load_pairs(pairs, 6, 6)
    model = build_model(ModelConfig(16, 16, 1, 0.0), len(src_vocab), len(tgt_vocab))
    for _ in seq2seq.s2s_epochs_ch9(model, data_iter, 0.02, 100, CTX):
        pass
    right = sum(
        predict_s2s_ch9(model, preprocess_nmt(src), src_vocab, tgt_vocab, 6, CTX)
        == preprocess_nmt(tgt)
        for src, tgt in set(pairs)
    )
    assert right >= 8


@pytest.mark.slow
@pytest.mark.parametrize('chapter_seed', [0, 1, 2])
def test_the_chapter_comes_out_as_published(corpus, chapter_seed):
    """On the book's corpus inside its bands; on the bundled one each sentence is a reference."""
    rows = reproduce._training_rows(reproduce.SECTIONS['seq2seq'], corpus, chapter_seed, CTX)
    judged = [row for row in rows if row.agrees is not None]
    assert len(judged) == (6 if corpus.name == 'fra-eng' else 4)
    assert [row for row in judged if not row.agrees] == []


@pytest.mark.slow
def test_the_attention_section_comes_out_as_published(fra_eng):
    rows = reproduce._training_rows(reproduce.SECTIONS['attention'], fra_eng, 0, CTX)
    assert [row.agrees for row in rows if row.agrees is not None] == [True, True]
