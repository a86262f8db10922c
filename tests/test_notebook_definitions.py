"""The cells with definitions: they are the package's code, and behave in the same way."""

import ast
import math
import re
import sys

import numpy as onp
import pytest
from mxnet import autograd, gluon, init, np, npx
from mxnet.gluon import nn, rnn

from d2l_seq2seq import book
from d2l_seq2seq._mxnet import mx, seed_generators

from conftest import ROOT

sys.path.insert(0, str(ROOT / 'notebooks' / 'sources'))
import definitions  # noqa: E402
import execute as notebooks  # noqa: E402

SEED = 7
IDS = [[3, 5, 4, 2], [6, 4, 2, 1], [4, 4, 4, 4]]
CORPUS = [['go', '.'], ['go', 'on', '.'], ['stop', '!']] * 3
VOCAB = book.Vocab(CORPUS, 1, ['<pad>', '<bos>', '<eos>'])
# What the imports of a notebook provide.
IMPORTS = {
    'autograd': autograd,
    'd2l': book,
    'gluon': gluon,
    'init': init,
    'math': math,
    'nn': nn,
    'np': np,
    'npx': npx,
    're': re,
    'rnn': rnn,
}


def ids():
    return np.array(IDS)


def lengths():
    return np.array([4, 3, 2])


def features(*shape):
    return np.random.uniform(-1, 1, size=shape)


def small_model(encoder=book.Seq2SeqEncoder, decoder=book.Seq2SeqDecoder):
    return book.EncoderDecoder(encoder(len(VOCAB), 4, 5, 2), decoder(len(VOCAB), 4, 5, 2))


def of_block(block, *inputs):
    """Return the outputs of a new block, and its weights, whose order is that of the creation."""
    block.initialize(init.Xavier())
    outputs = block(*inputs)
    return outputs, [parameter.data() for parameter in block.collect_params().values()]


def of_call(function, *arguments):
    """Return the result of a call, or the error that it raises."""
    try:
        return function(*arguments)
    except (NotImplementedError, ValueError) as error:
        return type(error).__name__, str(error)


def of_decoder(decoder):
    """Return the outputs of a decoder in training and in prediction, token by token."""
    encoder = (
        book.TransformerEncoder(9, 4, 8, 2, 2, 0)
        if hasattr(decoder, 'blks')
        else book.Seq2SeqEncoder(9, 4, 5, 2)
    )
    model = book.EncoderDecoder(encoder, decoder)
    outputs = of_block(model, ids(), ids(), lengths())
    with autograd.record():
        logits, _ = model(ids(), ids(), lengths())
        total = logits.sum()
    total.backward()
    state = decoder.init_state(encoder(ids(), lengths()), lengths())
    steps = []
    for step in range(3):
        logits_of_step, state = decoder(ids()[:, step : step + 1], state)
        steps.append(logits_of_step)
    return outputs, logits, steps


def of_training(train):
    """Return the weights after two epochs of training and the losses, and what bad input gives."""
    model, losses = small_model(), []
    X, Y = np.array(IDS), np.array([[2, 4, 5, 3], [2, 4, 3, 1], [2, 6, 5, 3]])
    batches = [(X, lengths(), Y, lengths())] * 3
    train(model, batches, 0.01, 2, mx.cpu(), on_epoch_end=lambda *values: losses.append(values))
    weights = [parameter.data() for parameter in model.collect_params().values()]
    return weights, losses, of_call(train, model, batches, 0.01, 0, mx.cpu())


def of_prediction(predict):
    model = small_model()
    model.initialize(init.Xavier())
    return [predict(model, text, VOCAB, VOCAB, 5, mx.cpu()) for text in ('Go .', 'a b c d e f g')]


def of_loader(load):
    src_vocab, tgt_vocab, batches = load(8, 6, 40)
    return src_vocab.idx_to_token, tgt_vocab.idx_to_token, list(batches), of_call(load, 0, 6)


# For each definition, a function that returns what it does.
BEHAVIORS = {
    'AddNorm': lambda block: of_block(block(0), features(2, 3, 4), features(2, 3, 4)),
    'Decoder': lambda block: (
        of_call(block().init_state, 1, 2),
        of_call(block(), np.zeros(1), [np.zeros(1)]),
    ),
    'DecoderBlock': lambda block: of_block(
        block(4, 8, 2, 0, 0), features(2, 3, 4), [features(2, 5, 4), np.array([5, 2]), [None]]
    ),
    'DotProductAttention': lambda block: of_block(
        block(0), features(3, 2, 4), features(3, 5, 4), features(3, 5, 6), lengths()
    ),
    'Encoder': lambda block: of_call(block(), np.zeros(1)),
    'EncoderBlock': lambda block: of_block(block(4, 8, 2, 0), features(3, 5, 4), lengths()),
    'EncoderDecoder': lambda block: of_block(
        block(book.Seq2SeqEncoder(9, 4, 5, 2), book.Seq2SeqDecoder(9, 4, 5, 2)), ids(), ids()
    ),
    'MLPAttention': lambda block: of_block(
        block(8, 0), features(3, 2, 4), features(3, 5, 6), features(3, 5, 7), lengths()
    ),
    'MaskedSoftmaxCELoss': lambda loss: loss()(features(3, 4, 9), ids(), lengths()),
    'MultiHeadAttention': lambda block: of_block(
        block(6, 3, 0), features(3, 2, 4), features(3, 5, 4), features(3, 5, 4), lengths()
    ),
    'PositionWiseFFN': lambda block: of_block(block(8, 5), features(2, 3, 4)),
    'PositionalEncoding': lambda block: of_block(block(6, 0), features(2, 3, 6)),
    'Seq2SeqAttentionDecoder': lambda block: of_decoder(block(9, 4, 5, 2)),
    'Seq2SeqDecoder': lambda block: of_decoder(block(9, 4, 5, 2)),
    'Seq2SeqEncoder': lambda block: of_block(block(9, 4, 5, 2), ids()),
    'TransformerDecoder': lambda block: of_decoder(block(9, 4, 8, 2, 2, 0)),
    'TransformerEncoder': lambda block: of_block(block(9, 4, 8, 2, 2, 0), ids(), lengths()),
    'build_array': lambda build: (
        build(CORPUS, VOCAB, 3, is_source=True),
        build(CORPUS, VOCAB, 3, is_source=False),
    ),
    'load_data_nmt': of_loader,
    'masked_softmax': lambda softmax: (
        softmax(features(3, 2, 4), lengths()),
        softmax(features(3, 2, 4), np.array([[1, 2], [3, 4], [0, 1]])),
        softmax(features(3, 2, 4), None),
    ),
    'predict_s2s_ch9': of_prediction,
    'preprocess_nmt': lambda preprocess: preprocess("I'm\u202fOK, see!\tOui\xa0!\nWho?"),
    'read_data_nmt': lambda read: read(),
    'tokenize_nmt': lambda tokenize: [
        tokenize('a b .\tc .\nno pair\nd !\te !\nf\tg', number) for number in (None, 1, 3)
    ],
    'train_s2s_ch9': of_training,
    'transpose_output': lambda transpose: transpose(features(6, 2, 4), 3),
    'transpose_qkv': lambda transpose: transpose(features(2, 3, 6), 3),
    'truncate_pad': lambda pad: (pad([7, 8, 9], 2, 1), pad([7, 8, 9], 5, 1)),
}


def bits(value):
    """Return nested values with the bytes of arrays, which can be compared."""
    if isinstance(value, (list, tuple)):
        return [bits(element) for element in value]
    if isinstance(value, np.ndarray):
        return value.shape, value.asnumpy().tobytes()
    return value


def behavior(name, definition):
    """Return what a definition does, always with the same random numbers."""
    seed_generators(SEED)
    return bits(BEHAVIORS[name](definition))


def definition_cells():
    """Return all cells with definitions: (notebook, code in the source, names, code)."""
    cells = []
    for path in notebooks.SOURCES:
        source, defined = notebooks.jupytext.read(path), set()
        for cell in source.cells:
            if notebooks.DEFINITION_TAG in cell.metadata.get('tags', []):
                names = [alias.name for alias in ast.parse(cell.source).body[0].names]
                cells.append(
                    (path.stem, cell.source, names, definitions.define(cell.source, defined))
                )
    return cells


CELLS = definition_cells()
each_definition = pytest.mark.parametrize(
    ('statement', 'name'),
    [(statement, name) for _, statement, names, _ in CELLS for name in names],
    ids=lambda value: None if ' ' in value else value,
)


@pytest.mark.parametrize('notebook', sorted({notebook for notebook, *_ in CELLS}))
def test_definitions_of_a_notebook_behave_like_those_of_the_package(notebook):
    namespace, all_names = dict(IMPORTS), []
    for stem, _, names, code in CELLS:
        if stem == notebook:
            exec(code, namespace)
            all_names += names
    for name in all_names:
        assert namespace[name] is not getattr(book, name)
        assert behavior(name, namespace[name]) == behavior(name, getattr(book, name)), name


@each_definition
def test_each_definition_runs_in_a_notebook_without_the_others(statement, name):
    namespace = dict(IMPORTS)
    module = ast.parse(statement).body[0].module
    exec(definitions.define(f'from {module} import {name}', set()), namespace)
    assert behavior(name, namespace[name]) == behavior(name, getattr(book, name))


@pytest.mark.parametrize(
    'code', [code for *_, code in CELLS], ids=[names[0] for _, _, names, _ in CELLS]
)
def test_cells_are_short_code_for_any_python(code):
    assert max(map(len, code.splitlines())) <= definitions.WIDTH
    for node in ast.walk(ast.parse(code, feature_version=(3, 8))):
        assert getattr(node, 'annotation', None) is None and getattr(node, 'returns', None) is None
        if isinstance(node, (ast.ClassDef, ast.FunctionDef)) and ast.get_docstring(node):
            docstring = node.body[0]
            assert docstring.lineno == docstring.end_lineno


def test_a_different_definition_is_noticed():
    class Doubled(book.Seq2SeqEncoder):
        def forward(self, X, *args):
            outputs, state = super().forward(X, *args)
            return 2 * outputs, state

    name = 'Seq2SeqEncoder'
    assert behavior(name, Doubled) != behavior(name, book.Seq2SeqEncoder)


MODULE = '''
"""A module."""
from ..errors import InputError
from .attention import masked_softmax as softmax
from .vocab import Vocab, count_corpus
from .._mxnet import np

LIMIT = 3  # at most
OTHER = 4


def helper(x: int) -> int:
    return x + LIMIT


@decorate
class Example(Vocab):
    """First line.

    More lines.
    """

    # A comment stays.
    size: int = 5

    def method(
        self,
        first: int,
        second: dict[str, int] | None = None,
        *others: Vocab,
        key: tuple[int, int] = (LIMIT, 2),
        **kwargs,
    ) -> list[Vocab]:
        """One line."""
        total: int = helper(first) + len('naïve é')  # also this one
        raise InputError(f'expected {total}', key)

    def positional(self, a, /, b: int = 1, *, c): return Vocab(count_corpus([a]), b)
'''


def module(text=MODULE):
    return definitions.Module('d2l_seq2seq.book.example', text)


def test_code_keeps_comments_and_loses_annotations():
    defined = {'Vocab'}
    assert (
        module().definition('Example', defined)
        == '''\
from d2l_seq2seq.errors import InputError


LIMIT = 3  # at most


def helper(x):
    return x + LIMIT


@decorate
class Example(Vocab):
    """First line."""

    # A comment stays.
    size = 5

    def method(self, first, second=None, *others, key=(LIMIT, 2), **kwargs):
        """One line."""
        total = helper(first) + len('naïve é')  # also this one
        raise InputError(f'expected {total}', key)

    def positional(self, a, /, b=1, *, c): return Vocab(d2l.count_corpus([a]), b)'''
    )
    assert defined == {'Vocab', 'InputError', 'LIMIT', 'helper', 'Example'}
    assert 'LIMIT = 3' not in module().definition('helper', defined)


def test_long_signatures_are_broken_between_arguments():
    names = [f'argument_{number}' for number in range(12)]
    text = f'def function({", ".join(f"{name}: int = (1, 2)" for name in names)}):\n    pass\n'
    code = module(text).definition('function', set())
    assert max(map(len, code.splitlines())) <= definitions.WIDTH
    assert {len(line) - len(line.lstrip()) for line in code.splitlines()[1:-1]} == {13}
    arguments = ast.parse(code).body[0].args
    assert [argument.arg for argument in arguments.args] == names
    assert {ast.literal_eval(default) for default in arguments.defaults} == {(1, 2)}


def test_code_after_the_import_follows_the_definition():
    cell = (
        'from d2l_seq2seq.book.machine_translation import truncate_pad\n\ntruncate_pad([1], 2, 0)'
    )
    namespace = {}
    exec(definitions.define(cell, set()) + '\nresult = truncate_pad([1], 2, 0)', namespace)
    assert namespace['result'] == [1, 0]
    assert definitions.define(cell, set()).endswith('\n\n\ntruncate_pad([1], 2, 0)')


def test_other_cells_are_refused():
    with pytest.raises(ValueError, match='from-import'):
        definitions.define('x = 1', set())


def test_comments_that_would_be_lost_are_refused():
    with pytest.raises(ValueError, match='# why'):
        module('def function(\n    a,  # why\n    b):\n    pass\n').definition('function', set())


def test_weights_of_all_models_are_compared():
    _, weights = BEHAVIORS['Seq2SeqEncoder'](book.Seq2SeqEncoder)
    assert len(weights) == 9 and not onp.isnan(weights[0].asnumpy()).any()
