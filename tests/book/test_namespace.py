"""The namespace ``d2l_seq2seq.book``, which replaces ``d2l.mxnet`` in the book's cells."""

import builtins
import subprocess
import sys

import pytest

import d2l_seq2seq
from d2l_seq2seq import book

# The names of d2l that the book's sections 9.5 to 10.3 use or define.
NAMES_IN_THE_BOOK = """
    Accumulator Animator DATA_HUB DATA_URL Decoder DotProductAttention Encoder EncoderDecoder
    MLPAttention MaskedSoftmaxCELoss Seq2SeqAttentionDecoder Seq2SeqDecoder Seq2SeqEncoder Timer
    Vocab build_array download_extract grad_clipping load_array load_data_nmt masked_softmax plot
    plt predict_s2s_ch9 preprocess_nmt read_data_nmt set_figsize tokenize_nmt train_s2s_ch9
    truncate_pad try_gpu
"""
# The toolkit's fast versions of these have the same names.
SHADOWED = {'Seq2SeqAttentionDecoder', 'Seq2SeqDecoder', 'Seq2SeqEncoder'}
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


@pytest.mark.parametrize('namespace', [book, d2l_seq2seq])
@pytest.mark.parametrize('name', sorted(book.NAMES))
def test_every_name_resolves(name, namespace):
    assert name in dir(namespace)
    value = getattr(namespace, name)
    assert value is not None and name in vars(namespace)


@pytest.mark.parametrize('name', sorted(book.NAMES - SHADOWED))
def test_the_package_has_the_names_of_the_book(name):
    assert getattr(d2l_seq2seq, name) is getattr(book, name)


@pytest.mark.parametrize('name', sorted(SHADOWED))
def test_the_package_has_fast_versions_of_three_blocks(name):
    assert getattr(book, name).__module__.startswith('d2l_seq2seq.book.')
    assert getattr(d2l_seq2seq, name).__module__.startswith('d2l_seq2seq.models.')


def test_a_star_import_leaves_the_names_of_python_alone():
    assert not set(book.__all__) & set(dir(builtins))


@pytest.mark.parametrize('namespace', [book, d2l_seq2seq])
def test_an_unknown_name_is_an_attribute_error(namespace):
    message = f"^module '{namespace.__name__}' has no attribute 'x'$"
    with pytest.raises(AttributeError, match=message):
        namespace.x  # noqa: B018


@pytest.mark.parametrize('module', ['d2l_seq2seq', 'd2l_seq2seq.book'])
def test_importing_the_namespace_loads_nothing_heavy(module):
    modules = modules_after(f'import {module} as d2l; dir(d2l)')
    assert not modules & {'mxnet', 'd2l', 'numpy', 'matplotlib', 'pandas', 'tqdm', 'pooch'}


def test_using_every_name_loads_nothing_of_the_toolkit():
    modules = modules_after(
        'import d2l_seq2seq.book as d2l\nfor name in d2l.NAMES: getattr(d2l, name)'
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


def test_the_books_plots_are_drawn():
    """In a notebook they are SVG, with a function that not every d2l and IPython agree on."""
    book.set_figsize((5, 4))
    assert book.plt.rcParams['figure.figsize'] == [5, 4]
    X = book.arange(3)
    book.plot(X, [X, X * X], 'x', 'y', legend=['line', 'square'])
    axes = book.plt.gca()
    assert [line.get_ydata().tolist() for line in axes.lines] == [[0, 1, 2], [0, 1, 4]]
    book.show_heatmaps(book.ones((1, 2, 3, 3)), 'keys', 'queries', ['first', 'second'])
    assert [len(axes.images) for axes in book.plt.gcf().axes[:2]] == [1, 1]
    book.plt.close('all')


def test_the_aliases_are_mxnets_functions():
    from d2l_seq2seq._mxnet import np

    X = book.reshape(book.arange(6), (2, 3))
    assert book.concat([X, book.zeros((1, 3))], 0).shape == (3, 3)
    assert book.numpy(book.reduce_sum(X, axis=0)).tolist() == [3, 5, 7]
    assert book.astype(X, book.int32).dtype == 'int32'
    assert book.to(X, book.try_gpu(99)).ctx == book.try_gpu(99)
    assert book.size(X) == 6 and book.transpose(X).shape == (3, 2)
    assert isinstance(book.tensor([1.0]), np.ndarray)
    assert book.rand(2).shape == (2,) and book.eye(2).tolist() == [[1, 0], [0, 1]]


# The book's cells import MXNet right after the namespace.

PREPARED = """
from mxnet import np, npx
import importlib, sys
import mxnet
assert 'd2l_seq2seq._mxnet' in sys.modules
assert npx.is_np_array() and np.ones((2, 3)).shape == (2, 3)
import d2l_seq2seq._mxnet
assert d2l_seq2seq._mxnet.mx is mxnet is sys.modules['mxnet']
assert mxnet.__spec__.origin == mxnet.__file__ and mxnet.__spec__.name == 'mxnet'
importlib.reload(importlib.import_module('mxnet.log'))
"""


@pytest.mark.parametrize('module', ['d2l_seq2seq', 'd2l_seq2seq.book'])
@pytest.mark.skipif(
    sys.version_info < (3, 12), reason='older Pythons import MXNet without preparation'
)
def test_importing_mxnet_prepares_it(module):
    modules_after(f'import {module} as d2l{PREPARED}')


def test_the_import_hook_prepares_mxnet():
    """The same on every Python."""
    install = 'from d2l_seq2seq.book import _prepared_import\n_prepared_import.install()\n'
    modules_after(install + PREPARED)
    # Asking whether MXNet is installed does not load it.
    find = "import importlib.util; assert importlib.util.find_spec('mxnet').origin"
    assert 'mxnet' not in modules_after(install + find)
    # Neither does the package's own import go through the hook a second time.
    modules_after(install + 'import d2l_seq2seq\nd2l_seq2seq.try_gpu' + PREPARED)


def test_the_import_hook_without_mxnet(tmp_path):
    install = 'from d2l_seq2seq.book import _prepared_import\n_prepared_import.install()\n'
    code = (
        f'{install}import importlib.machinery, sys\n'
        'importlib.machinery.PathFinder.find_spec = lambda *args: None\n'
        'try:\n    import mxnet\n'
        "except ModuleNotFoundError as error:\n    assert error.name == 'mxnet'\n"
        "else:\n    raise AssertionError('imported')"
    )
    modules_after(code)
