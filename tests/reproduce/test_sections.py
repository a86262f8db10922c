"""The cells of each section before training, with right and with wrong functions."""

import dataclasses

import numpy as onp
import pytest

from d2l_seq2seq import book
from d2l_seq2seq._mxnet import npx, seed_generators
from d2l_seq2seq.book import attention as book_attention
from d2l_seq2seq.data.corpus import Corpus
from d2l_seq2seq.reproduce import SECTIONS, attention, data, seq2seq, seq2seq_attention, transformer
from d2l_seq2seq.reproduce.cells import Settings
from d2l_seq2seq.reproduce.published import PUBLISHED

CTX = npx.cpu()
TRAINED = {'seq2seq': seq2seq, 'seq2seq-attention': seq2seq_attention, 'transformer': transformer}


@pytest.fixture
def untrained(monkeypatch):
    """Replace the training in the three sections; return the arguments of the calls."""
    calls = []
    for module in TRAINED.values():
        monkeypatch.setattr(module, 'training_cells', lambda *args: calls.append(args) or [])
    return calls


def verdicts(name, settings):
    return {cell.name: cell.agrees for cell in SECTIONS[name].cells(settings)}


NUM_CELLS = {
    'data': 7,
    'encoder-decoder': 0,
    'seq2seq': 6,
    'attention': 4,
    'seq2seq-attention': 1,
    'transformer': 9,
}


@pytest.mark.parametrize('name', SECTIONS)
def test_all_cells_agree(name, fra_eng, untrained, seed):
    agrees = verdicts(name, Settings(fra_eng, seed % 1000, CTX))
    assert list(agrees.values()) == [True] * NUM_CELLS[name]
    assert len(untrained) == (name in TRAINED)


@pytest.mark.parametrize('name', SECTIONS)
def test_another_corpus_is_judged_where_it_can_be(name, bundled, untrained):
    agrees = verdicts(name, Settings(bundled, 0, CTX))
    unknown = {'raw text', 'plot of the lengths', 'source vocabulary', 'truncate_pad'}
    for cell_name, agree in agrees.items():
        assert agree is (None if name == 'data' and cell_name in unknown else True), cell_name


def test_random_numbers_are_the_books_only_on_a_cpu(monkeypatch, bundled, untrained, seed):
    """On a GPU they are others; here another seed takes its place."""
    monkeypatch.setattr(Settings, 'draws_as_book', False)
    for module in (attention, transformer):
        monkeypatch.setattr(module, 'seed_generators', lambda _: seed_generators(seed))
    settings = Settings(bundled, 0, CTX)
    for name, random_cell in (
        ('attention', 'masked_softmax: zeros and sums'),
        ('transformer', 'position-wise FFN: equal rows'),
    ):
        cells = {cell.name: cell for cell in SECTIONS[name].cells(settings)}
        assert all(cell.agrees for cell in cells.values())
        assert cells[random_cell].book != cells[random_cell].ours


@pytest.mark.parametrize('draws_as_book', [True, False])
def test_an_attention_that_reads_the_padding_differs(monkeypatch, bundled, draws_as_book):
    def unmasked(X, valid_len):
        return npx.softmax(X)

    monkeypatch.setattr(Settings, 'draws_as_book', draws_as_book)
    monkeypatch.setattr(attention, 'masked_softmax', unmasked)
    monkeypatch.setattr(book_attention, 'masked_softmax', unmasked)
    agrees = list(verdicts('attention', Settings(bundled, 0, CTX)).values())
    assert agrees == [False, True, False, False]


@pytest.mark.parametrize('draws_as_book', [True, False])
def test_a_network_that_depends_on_the_position_differs(
    monkeypatch, bundled, untrained, draws_as_book
):
    class Wrong(book.PositionWiseFFN):
        def forward(self, X):
            Y = super().forward(X)
            return Y * Y[:, :1, :1].repeat(Y.shape[1], axis=1).cumsum(axis=1)

    monkeypatch.setattr(Settings, 'draws_as_book', draws_as_book)
    monkeypatch.setattr(transformer, 'PositionWiseFFN', Wrong)
    agrees = verdicts('transformer', Settings(bundled, 0, CTX))
    assert [name for name, agree in agrees.items() if not agree] == [
        'position-wise FFN, to 1e-8' if draws_as_book else 'position-wise FFN: equal rows'
    ]


def test_a_wrong_encoding_differs(monkeypatch, bundled, untrained):
    class Wrong(book.PositionalEncoding):
        def __init__(self, *args):
            super().__init__(*args)
            self.P = self.P[:, :, ::-1]

    monkeypatch.setattr(transformer, 'PositionalEncoding', Wrong)
    agrees = verdicts('transformer', Settings(bundled, 0, CTX))
    assert agrees['plot of the encoding, to 1e-3'] is False


def test_a_loss_that_is_not_masked_differs(monkeypatch, bundled, untrained):
    class Wrong(book.MaskedSoftmaxCELoss):
        def forward(self, pred, label, valid_len):
            return super().forward(pred, label, valid_len * 0 + label.shape[1])

    monkeypatch.setattr(seq2seq, 'MaskedSoftmaxCELoss', Wrong)
    agrees = verdicts('seq2seq', Settings(bundled, 0, CTX))
    assert [name for name, agree in agrees.items() if not agree] == ['masked loss, to 1e-5']


def test_a_changed_text_differs(monkeypatch, fra_eng):
    pairs = [('Stop!', 'Arrête !'), *fra_eng.pairs]
    agrees = verdicts('data', Settings(dataclasses.replace(fra_eng, pairs=pairs), 0, CTX))
    for name in ('raw text', 'preprocessed text', 'tokens', 'plot of the lengths', 'truncate_pad'):
        assert agrees[name] is False, name


def test_data_of_another_corpus_shows_its_own_text():
    corpus = Corpus('mine', [('one two', 'un deux'), ('three', 'trois')])
    cells = {cell.name: cell for cell in SECTIONS['data'].cells(Settings(corpus, 0, CTX))}
    assert cells['raw text'].ours == 'one two\tun deux\nthree\ttrois'
    assert cells['source vocabulary'].ours == '4'  # each word is rarer than three times


MINIBATCH = (
    onp.array([[5, 4, 1, 1, 1, 1, 1, 1], [5, 6, 7, 5, 6, 7, 5, 6]]),
    onp.array([2, 8]),
    onp.array([[2, 5, 3, 1, 1, 1, 1, 1], [2, 6, 7, 5, 6, 7, 5, 6]]),
    onp.array([3, 8]),
)


def test_the_form_of_a_minibatch():
    assert data.has_form_of_minibatch(*MINIBATCH)


@pytest.mark.parametrize(
    'array, index, value',
    [
        (0, (0, 5), 7),  # a word in the padding
        (0, (1, 3), 1),  # padding in the sentence
        (1, 1, 7),
        (2, (0, 0), 5),  # no <bos>
        (2, (0, 2), 5),  # no <eos>
        (3, 0, 2),
    ],
)
def test_a_wrong_minibatch(array, index, value):
    minibatch = [part.copy() for part in MINIBATCH]
    minibatch[array][index] = value
    assert not data.has_form_of_minibatch(*minibatch)


def test_a_minibatch_of_another_shape():
    X, X_vlen, Y, Y_vlen = MINIBATCH
    assert not data.has_form_of_minibatch(X[:1], X_vlen[:1], Y[:1], Y_vlen[:1])


def test_the_sections_train_the_books_own_models(bundled, untrained):
    for name in TRAINED:
        SECTIONS[name].cells(Settings(bundled, 0, CTX))
    assert [published for published, *_ in untrained] == [PUBLISHED[n] for n in PUBLISHED]
    decoders = []
    for _, _, new_model in untrained:
        model = new_model(12, 10)
        assert type(model) is book.EncoderDecoder
        decoders.append(type(model.decoder))
    assert decoders == [book.Seq2SeqDecoder, book.Seq2SeqAttentionDecoder, book.TransformerDecoder]


def test_sections_are_in_the_order_of_the_book():
    assert [section.number for section in SECTIONS.values()] == [
        '9.5', '9.6', '9.7', '10.1', '10.2', '10.3'
    ]  # fmt: skip
