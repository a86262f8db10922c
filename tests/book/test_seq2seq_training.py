"""Training and prediction of sections 9.7.4 and 9.7.5."""

import math
import re

import numpy as onp
import pytest
from book_losses import book_losses

from d2l_seq2seq import (
    Decoder,
    Encoder,
    EncoderDecoder,
    MaskedSoftmaxCELoss,
    Seq2SeqDecoder,
    Seq2SeqEncoder,
    predict_s2s_ch9,
    train_s2s_ch9,
)
from d2l_seq2seq._mxnet import nn, np, npx, seed_generators
from d2l_seq2seq.book import seq2seq
from d2l_seq2seq.book.machine_translation import preprocess_nmt
from d2l_seq2seq.data.pipeline import load_pairs

CTX = npx.cpu()
NUM_STEPS = 10


def new_model(src_vocab, tgt_vocab, num_hiddens=8):
    sizes = num_hiddens, num_hiddens, 1
    return EncoderDecoder(
        Seq2SeqEncoder(len(src_vocab), *sizes), Seq2SeqDecoder(len(tgt_vocab), *sizes)
    )


@pytest.fixture
def toy(bundled, seed):
    """Vocabularies, batches and a small model for a hundred pairs."""
    src_vocab, tgt_vocab, data_iter = load_pairs(bundled.pairs[:100], 32, NUM_STEPS)
    return src_vocab, tgt_vocab, data_iter, new_model(src_vocab, tgt_vocab)


def epoch_losses(toy, seed, hybridize=False):
    """Return the losses of three epochs of a new model."""
    src_vocab, tgt_vocab, data_iter, _ = toy
    seed_generators(seed)
    model = new_model(src_vocab, tgt_vocab)
    if hybridize:
        model.hybridize()
    return book_losses(model, data_iter, 0.005, 3, CTX)


def test_training_prints_the_books_line(toy, capsys):
    _, _, data_iter, model = toy
    assert train_s2s_ch9(model, data_iter, 0.005, 2, CTX) is None
    printed = capsys.readouterr()
    assert re.fullmatch(r'loss \d\.\d{3}, \d+\.\d tokens/sec on cpu\(0\)\n', printed.out)
    assert printed.err == ''


def test_the_plot_has_a_point_every_ten_epochs(toy, monkeypatch):
    _, _, data_iter, model = toy
    animators = []

    class Recorder(seq2seq.Animator):
        def __init__(self, **kwargs):
            super().__init__(**kwargs)
            animators.append((self, kwargs))

    monkeypatch.setattr(seq2seq, 'Animator', Recorder)
    train_s2s_ch9(model, data_iter, 0.005, 21, CTX)
    ((animator, settings),) = animators
    assert animator.X == [[10, 20]] and animator.Y[0][1] < animator.Y[0][0]
    assert settings == {'xlabel': 'epoch', 'ylabel': 'loss', 'xlim': [1, 21], 'ylim': [0, 0.25]}


def test_the_loss_equals_that_of_single_sentences(toy, seed):
    """The learning rate is so small that the model does not change during the epoch."""
    _, _, data_iter, model = toy
    batches = list(data_iter)
    sums = []
    train_s2s_ch9(
        model, batches, 1e-12, 1, CTX, on_epoch_end=lambda epoch, *values: sums.append(values)
    )
    loss, loss_sum, nll_sum, num_tokens = MaskedSoftmaxCELoss(), 0, 0, 0
    for src, _, tgt, tgt_valid_len in batches:
        logits, _ = model(src, tgt[:, :-1])
        for sentence in range(len(src)):
            length = int(tgt_valid_len[sentence]) - 1
            row = slice(sentence, sentence + 1)
            padded = loss(logits[row], tgt[row, 1:], np.array([length]))
            unpadded = loss(logits[row, :length], tgt[row, 1 : length + 1], np.array([length]))
            loss_sum, nll_sum = loss_sum + padded.item(), nll_sum + unpadded.item() * length
            num_tokens += length
    ((epoch_loss_sum, epoch_num_tokens),) = sums
    assert epoch_num_tokens == num_tokens
    onp.testing.assert_allclose(
        [epoch_loss_sum, (NUM_STEPS - 1) * epoch_loss_sum], [loss_sum, nll_sum], rtol=1e-4
    )


def test_the_seed_determines_the_losses(toy, seed):
    losses = epoch_losses(toy, seed)
    assert epoch_losses(toy, seed) == losses and losses == sorted(losses, reverse=True)
    assert epoch_losses(toy, seed + 1) != losses


def test_training_initializes_the_model_again(toy):
    _, tgt_vocab, data_iter, model = toy

    def last_nll_per_token(lr, num_epochs):
        *_, last_loss = book_losses(model, data_iter, lr, num_epochs, CTX)
        return last_loss * (NUM_STEPS - 1)

    # To a new model all words are about equally likely.
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


def test_hybridized_training_equals_imperative_training(toy, seed):
    onp.testing.assert_allclose(
        epoch_losses(toy, seed, hybridize=True), epoch_losses(toy, seed), rtol=1e-5
    )


def test_any_model_with_the_interface_and_any_iterable_can_be_used(seed, capsys):
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


def test_an_iterable_that_cannot_restart_is_refused(toy):
    _, _, data_iter, model = toy
    with pytest.raises(ValueError, match='got none in epoch 2; data_iter must restart'):
        train_s2s_ch9(model, iter(list(data_iter)), 0.005, 2, CTX)


class Parrot:
    """A model whose decoder returns given tokens and records its inputs."""

    def __init__(self, token_ids, vocab_size):
        self.token_ids, self.vocab_size = token_ids, vocab_size
        self.inputs, self.enc_X = [], None
        self.decoder = self

    def encoder(self, enc_X, valid_len):
        self.enc_X, self.valid_len = enc_X.tolist(), valid_len.tolist()

    def init_state(self, enc_outputs, valid_len):
        return 0

    def __call__(self, dec_X, step):
        self.inputs.append(dec_X.tolist())
        return np.eye(self.vocab_size)[np.array([[self.token_ids[step]]])], step + 1


def test_prediction_reads_its_own_tokens_and_stops_at_eos(toy):
    src_vocab, tgt_vocab, *_ = toy
    bos, eos, pad = (tgt_vocab[token] for token in ('<bos>', '<eos>', '<pad>'))
    model = Parrot([5, 7, eos, 6], len(tgt_vocab))
    text = predict_s2s_ch9(model, 'GO .', src_vocab, tgt_vocab, 4, CTX)
    assert text == ' '.join(tgt_vocab.to_tokens([5, 7]))
    assert model.inputs == [[[bos]], [[5]], [[7]]]
    assert model.enc_X == [[src_vocab['go'], src_vocab['.'], pad, pad]]
    assert model.valid_len == [2]


def test_source_and_prediction_are_cut_at_num_steps(toy):
    src_vocab, tgt_vocab, *_ = toy
    model = Parrot([5] * 9, len(tgt_vocab))
    text = predict_s2s_ch9(model, 'go go go go', src_vocab, tgt_vocab, 3, CTX)
    assert len(text.split()) == 3 and model.enc_X == [[src_vocab['go']] * 3]


def test_a_toy_language_is_learned(seed):
    """Each word has one translation; after training (nearly) all sentences are translated well."""
    words = {'one': 'un', 'two': 'deux', 'three': 'trois'}
    pairs = [(f'{a} {b}.', f'{words[a]} {words[b]}.') for a in words for b in words] * 2
    src_vocab, tgt_vocab, data_iter = load_pairs(pairs, 6, 6)
    model = new_model(src_vocab, tgt_vocab, num_hiddens=16)
    train_s2s_ch9(model, data_iter, 0.02, 100, CTX)
    num_correct = sum(
        predict_s2s_ch9(model, preprocess_nmt(src), src_vocab, tgt_vocab, 6, CTX)
        == preprocess_nmt(tgt)
        for src, tgt in set(pairs)
    )
    assert num_correct >= 8  # of 9
