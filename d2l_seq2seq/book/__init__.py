"""Sequence-to-sequence learning as printed in *Dive into Deep Learning* 0.14, a file per section.

The package replaces ``d2l.mxnet`` in the book's cells on machine translation, encoders and decoders
and attention:

>>> import d2l_seq2seq.book as d2l
>>> d2l.truncate_pad([7, 8, 9], 5, 1)
[7, 8, 9, 1, 1]

It is the specification of these sections: with the same seed and data, its functions and blocks
return bit for bit what those of d2l 0.14.0 return.  Later releases of d2l use the same names for
functions and classes that behave differently.  Helpers that behave as before, such as `Timer` and
`plot`, are imported from d2l.

=====================  =======  ======================================================
File                   Section  Contents
=====================  =======  ======================================================
`vocab`                8.2      vocabulary
`machine_translation`  9.5      data set: text, tokens, arrays, minibatches
`encoder_decoder`      9.6      interface of encoders and decoders
`seq2seq`              9.7      encoder, decoder, loss, training, prediction
`attention`            10.1     masked softmax, dot product attention, MLP attention
`seq2seq_attention`    10.2     decoder with attention
`animator`             3.6.5    plot that is updated during training
`fra_eng`              support  English-French corpus
`recurrent_layers`     support  recurrent layers and their states
=====================  =======  ======================================================

The names are imported when they are first used (PEP 562), so importing the package loads neither
MXNet nor d2l.
"""

import importlib

# The module of each name, relative to this package.
_MODULES = {
    'Animator': '.animator',
    'Decoder': '.encoder_decoder',
    'DotProductAttention': '.attention',
    'Encoder': '.encoder_decoder',
    'EncoderDecoder': '.encoder_decoder',
    'MLPAttention': '.attention',
    'MaskedSoftmaxCELoss': '.seq2seq',
    'Seq2SeqAttentionDecoder': '.seq2seq_attention',
    'Seq2SeqDecoder': '.seq2seq',
    'Seq2SeqEncoder': '.seq2seq',
    'Vocab': '.vocab',
    'build_array': '.machine_translation',
    'count_corpus': '.vocab',
    'load_array': '.machine_translation',
    'load_data_nmt': '.machine_translation',
    'masked_softmax': '.attention',
    'predict_s2s_ch9': '.seq2seq',
    'preprocess_nmt': '.machine_translation',
    'read_data_nmt': '.machine_translation',
    'tokenize_nmt': '.machine_translation',
    'train_s2s_ch9': '.seq2seq',
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
    'download_extract',
    'grad_clipping',
    'plot',
    'plt',
    'set_axes',
    'set_figsize',
    'show_heatmaps',
    'use_svg_display',
)

__all__ = sorted([*_MODULES, *_D2L_NAMES])


def __getattr__(name):
    if name in _MODULES:
        module = importlib.import_module(_MODULES[name], __name__)
    elif name in _D2L_NAMES:
        importlib.import_module('.._mxnet', __name__)  # prepares MXNet before d2l imports it
        module = importlib.import_module('d2l.mxnet')
    else:
        raise AttributeError(f'module {__name__!r} has no attribute {name!r}')
    value = getattr(module, name)
    globals()[name] = value  # so that the next access does not call this function
    return value


def __dir__():
    return sorted(set(globals()) | set(__all__))
