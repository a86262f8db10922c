"""Sequence-to-sequence learning as printed in *Dive into Deep Learning* 0.14, a file per section.

The package replaces ``d2l.mxnet`` in the book's cells on machine translation, encoders and decoders
and attention:

>>> import d2l_seq2seq.book as d2l
>>> d2l.truncate_pad([7, 8, 9], 5, 1)
[7, 8, 9, 1, 1]

It is the specification of these sections: with the same seed and data, its functions and blocks
return bit for bit what those of d2l 0.14.0 return.  Later releases of d2l use the same names for
functions and classes that behave differently; code written for them gets an error that says so,
where that can be recognized.  Helpers that behave as before, such as `Timer` and `plot`, are
imported from d2l.

=====================  =======  ======================================================
File                   Section  Contents
=====================  =======  ======================================================
`vocab`                8.2      vocabulary
`machine_translation`  9.5      data set: text, tokens, arrays, minibatches
`encoder_decoder`      9.6      interface of encoders and decoders
`seq2seq`              9.7      encoder, decoder, loss, training, prediction
`attention`            10.1     masked softmax, dot product attention, MLP attention
`seq2seq_attention`    10.2     decoder with attention
`transformer`          10.3     multi-head attention, blocks, encoder, decoder
`animator`             3.6.5    plot that is updated during training
`fra_eng`              support  English-French corpus
`corpus_folder`        4.10.1   the corpus as a folder: `download_extract`
`editions`             support  errors for code of later editions
=====================  =======  ======================================================

The names are imported when they are first used (PEP 562), so importing the package loads neither
MXNet nor d2l.
"""

import importlib
import sys

from . import editions

if sys.version_info >= (3, 12):
    from . import _prepared_import

    _prepared_import.install()

# The module of each name of these sections, relative to this package.
_MODULES = {
    'AddNorm': '.transformer',
    'Animator': '.animator',
    'Decoder': '.encoder_decoder',
    'DecoderBlock': '.transformer',
    'DotProductAttention': '.attention',
    'Encoder': '.encoder_decoder',
    'EncoderBlock': '.transformer',
    'EncoderDecoder': '.encoder_decoder',
    'MLPAttention': '.attention',
    'MaskedSoftmaxCELoss': '.seq2seq',
    'MultiHeadAttention': '.transformer',
    'PositionWiseFFN': '.transformer',
    'PositionalEncoding': '.transformer',
    'Seq2SeqAttentionDecoder': '.seq2seq_attention',
    'Seq2SeqDecoder': '.seq2seq',
    'Seq2SeqEncoder': '.seq2seq',
    'TransformerDecoder': '.transformer',
    'TransformerEncoder': '.transformer',
    'Vocab': '.vocab',
    'build_array': '.machine_translation',
    'count_corpus': '.vocab',
    'download_extract': '.corpus_folder',
    'load_array': '.machine_translation',
    'load_data_nmt': '.machine_translation',
    'masked_softmax': '.attention',
    'predict_s2s_ch9': '.seq2seq',
    'preprocess_nmt': '.machine_translation',
    'read_data_nmt': '.machine_translation',
    'tokenize_nmt': '.machine_translation',
    'train_s2s_ch9': '.seq2seq',
    'transpose_output': '.transformer',
    'transpose_qkv': '.transformer',
    'truncate_pad': '.machine_translation',
    'try_gpu': '..device',
}
# Names of d2l.mxnet whose behavior is the same in d2l 0.14.0 and in the releases that setup.cfg
# allows, apart from the name of grad_clipping's first argument (net instead of model).  d2l 0.14.0
# has no show_heatmaps; later editions plot attention weights with it.
_D2L_NAMES = (
    'Accumulator',
    'DATA_HUB',
    'DATA_URL',
    'Timer',
    'grad_clipping',
    'plot',
    'plt',
    'set_axes',
    'set_figsize',
    'show_heatmaps',
    'use_svg_display',
)
# Other names of NumPy's functions and methods, with which d2l 0.14.1 and later write cells that run
# on several frameworks.  They are not in __all__, because some are also names of Python.
_D2L_ALIASES = (
    'abs', 'arange', 'argmax', 'astype', 'concat', 'cos', 'cosh', 'exp', 'eye', 'float32', 'int32',
    'linspace', 'log', 'matmul', 'meshgrid', 'normal', 'numpy', 'ones', 'rand', 'reduce_sum',
    'reshape', 'sin', 'sinh', 'size', 'stack', 'tanh', 'tensor', 'to', 'transpose', 'zeros',
)  # fmt: skip
# The functions whose calls are checked.
_CHECKED = ('predict_s2s_ch9', 'train_s2s_ch9')

__all__ = sorted([*_MODULES, *_D2L_NAMES])
NAMES = frozenset([*__all__, *_D2L_ALIASES])


def __getattr__(name):
    if name not in NAMES:
        raise editions.missing_name(__name__, name)
    if name in _MODULES:
        value = getattr(importlib.import_module(_MODULES[name], __name__), name)
    else:
        value = getattr(importlib.import_module('._d2l', __name__).d2l, name)
    if name in _CHECKED:
        value = editions.accepts_this_edition(value)
    globals()[name] = value  # so that the next access does not call this function
    return value


def __dir__():
    return sorted(set(globals()) | NAMES)
