"""The namespace ``d2l_seq2seq.book``, which replaces ``d2l.mxnet`` in the book's cells."""

import subprocess
import sys

import pytest

import d2l_seq2seq
from d2l_seq2seq import book

# The names of d2l that the book's sections 9.5, 9.6, 9.7, 10.1 and 10.2 use or define.
NAMES_IN_THE_BOOK = """
    Accumulator Animator DATA_HUB DATA_URL Decoder DotProductAttention Encoder EncoderDecoder
    MLPAttention MaskedSoftmaxCELoss Seq2SeqAttentionDecoder Seq2SeqDecoder Seq2SeqEncoder Timer
    Vocab build_array download_extract grad_clipping load_array load_data_nmt masked_softmax plt
    predict_s2s_ch9 preprocess_nmt read_data_nmt set_figsize tokenize_nmt train_s2s_ch9 truncate_pad
    try_gpu
"""
TOOLKIT = {'config', 'fields', 'cli', 'data', 'models', 'engine', 'runs', 'training', 'inference'}


def modules_after(code):
    """Return the names of the modules that a fresh interpreter has loaded after running code."""
    result = subprocess.run(
        [sys.executable, '-c', f'{code}\nimport sys; print(*sys.modules)'],
        capture_output=True,
        text=True,
        check=True,
    )
    return set(result.stdout.split())


def test_the_books_names_are_offered():
    assert set(NAMES_IN_THE_BOOK.split()) <= set(book.__all__)


@pytest.mark.parametrize('name', book.__all__)
def test_every_name_resolves(name):
    assert getattr(book, name) is not None
    assert name in dir(book) and name in vars(book)


def test_an_unknown_name_is_an_attribute_error():
    with pytest.raises(AttributeError, match="^module 'd2l_seq2seq.book' has no attribute 'x'$"):
        book.x  # noqa: B018


def test_importing_the_namespace_loads_nothing_heavy():
    modules = modules_after('import d2l_seq2seq.book as d2l; dir(d2l)')
    assert not modules & {'mxnet', 'd2l', 'numpy', 'matplotlib', 'pandas', 'tqdm', 'pooch'}


def test_using_every_name_loads_nothing_of_the_toolkit():
    modules = modules_after(
        'import d2l_seq2seq.book as d2l\nfor name in d2l.__all__: getattr(d2l, name)'
    )
    assert 'd2l_seq2seq.book.seq2seq_attention' in modules
    assert not modules & {f'd2l_seq2seq.{name}' for name in TOOLKIT}


@pytest.mark.parametrize('name', ['Timer', 'train_s2s_ch9', 'plt'])
def test_mxnet_is_ready_before_d2l_imports_it(name):
    """A missing or broken MXNet is then reported by the package instead of by d2l."""
    modules_after(
        'import builtins, sys\n'
        'original = builtins.__import__\n'
        'def checked_import(name, *args, **kwargs):\n'
        "    if name == 'mxnet':\n"
        "        assert 'd2l_seq2seq._mxnet' in sys.modules, name\n"
        '    return original(name, *args, **kwargs)\n'
        'builtins.__import__ = checked_import\n'
        f'import d2l_seq2seq.book as d2l; d2l.{name}'
    )


def test_the_names_are_those_of_the_book_and_not_of_the_toolkit():
    assert book.Seq2SeqAttentionDecoder.__module__ == 'd2l_seq2seq.book.seq2seq_attention'
    assert d2l_seq2seq.Seq2SeqAttentionDecoder.__module__ == 'd2l_seq2seq.models.decoders'
    assert book.Seq2SeqDecoder is d2l_seq2seq.Seq2SeqDecoder
    assert book.Animator is d2l_seq2seq.Animator


def test_the_books_helpers_keep_their_contract():
    """The helpers come from the installed d2l; this is how the chapter uses them."""
    timer = book.Timer()
    assert timer.stop() >= 0
    metric = book.Accumulator(2)
    metric.add(1, 2.5)
    metric.add(1, 0.5)
    assert (metric[0], metric[1]) == (2, 3)
    url, sha1 = book.DATA_HUB['fra-eng']
    assert url == book.DATA_URL + 'fra-eng.zip'
    assert sha1 == '94646ad1522d915e7b0f9296181140edcf86a4f5'


def test_grad_clipping_scales_the_gradient_to_the_norm():
    from d2l_seq2seq._mxnet import autograd, init, nn, np

    layer = nn.Dense(1, use_bias=False)
    layer.initialize(init.One())
    with autograd.record():
        loss = layer(np.array([[3, 4]])).sum()
    loss.backward()
    book.grad_clipping(layer, 10)
    assert layer.weight.grad().tolist() == [[3, 4]]
    book.grad_clipping(layer, 1)
    assert layer.weight.grad().asnumpy().ravel().tolist() == pytest.approx([0.6, 0.8])
