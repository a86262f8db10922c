"""Clear errors for code that was written for a later edition of the book.

Later editions rename functions and change the arguments of others.  Code that follows them fails
here, and these errors say which edition this is and what to change.
"""

from __future__ import annotations

import functools
from typing import Any, Callable

from ..errors import InputError


class EditionError(InputError, TypeError):
    """A call in the form of a later edition of the book."""


_TRAINING = 'train_s2s_ch9(model, data_iter, lr, num_epochs, ctx)'
_PREDICTION = 'predict_s2s_ch9(model, src_sentence, src_vocab, tgt_vocab, num_steps, ctx)'
_LOADING = 'src_vocab, tgt_vocab, data_iter = load_data_nmt(batch_size, num_steps)'
_TRAIN_A_BLOCK = f'Define a Gluon block and call {_TRAINING}.'

# The names that later editions added to these sections: the first edition that has the name, and
# what to use instead.
LATER_NAMES = {
    'AdditiveAttention': ('0.16', 'Use MLPAttention(units, dropout).'),
    'AttentionDecoder': ('0.16', 'Use Decoder.'),
    'Classifier': ('1.0', _TRAIN_A_BLOCK),
    'DataModule': ('1.0', f'Use {_LOADING}.'),
    'GRU': ('1.0', 'Use mxnet.gluon.rnn.GRU(num_hiddens, num_layers).'),
    'HyperParameters': ('1.0', 'Assign the attributes in __init__.'),
    'MTFraEng': ('1.0', f'Use {_LOADING}.'),
    'Module': ('1.0', _TRAIN_A_BLOCK),
    'ProgressBoard': ('1.0', 'Use Animator.'),
    'RNN': ('1.0', 'Use mxnet.gluon.rnn.RNN(num_hiddens, num_layers).'),
    'Seq2Seq': ('1.0', f'Use EncoderDecoder(encoder, decoder), and call {_TRAINING}.'),
    'Trainer': ('1.0', f'Use {_TRAINING}.'),
    'TransformerEncoderBlock': (
        '1.0',
        'Use EncoderBlock(num_hiddens, ffn_num_hiddens, num_heads, dropout).',
    ),
    'add_to_class': ('1.0', 'Define the method in the class.'),
    'bleu': ('0.15', 'Use d2l_seq2seq.bleu(pred_seq, label_seq, k).'),
    'build_array_nmt': ('0.15', 'Use build_array(lines, vocab, num_steps, is_source).'),
    'check_len': ('1.0', 'Use assert.'),
    'check_shape': ('1.0', 'Use assert.'),
    'init_seq2seq': ('1.0', 'train_s2s_ch9 initializes the model.'),
    'predict_seq2seq': ('0.16', f'Use {_PREDICTION}.'),
    'sequence_mask': ('0.15', 'Use mxnet.npx.sequence_mask(data, valid_len, True, axis=1).'),
    'show_list_len_pair_hist': ('0.17', 'Use plt.hist.'),
    'train_seq2seq': ('0.16', f'Use {_TRAINING}.'),
    'translate': ('0.15', f'For each sentence, use {_PREDICTION}.'),
}


def missing_name(module: str, name: str) -> AttributeError:
    """Return the error for a name that a module does not have.

    Parameters
    ----------
    module : str
        The name of the module.
    name : str
        The name that it lacks.  If a later edition has it, the message says what to use instead.
    """
    problem = f'module {module!r} has no attribute {name!r}'
    if name not in LATER_NAMES:
        return AttributeError(problem)
    edition, advice = LATER_NAMES[name]
    return AttributeError(f'{problem}: it is new in d2l {edition}, and this is d2l 0.14. {advice}')


def accepts_this_edition(function: Callable) -> Callable:
    """Return a function that raises `EditionError` for calls in the form of a later edition.

    Parameters
    ----------
    function : Callable
        `train_s2s_ch9` or `predict_s2s_ch9`.  The result has the same name, signature and
        docstring.  It also accepts ``device`` as the name of the argument `ctx`, as in d2l 0.14.2
        to 0.14.4.
    """
    code = function.__code__
    names = code.co_varnames[: code.co_argcount]
    form = {'train_s2s_ch9': _TRAINING, 'predict_s2s_ch9': _PREDICTION}[function.__name__]

    @functools.wraps(function)
    def call(*args, **kwargs):
        later_names = {'net', 'tgt_vocab', 'save_attention_weights'}.difference(names)
        if len(args) > len(names) or later_names & set(kwargs):
            raise EditionError(
                f'{function.__name__} was called as in d2l 0.15 or later, and this is d2l 0.14',
                f'Call {form}.',
            )
        if 'device' in kwargs:
            kwargs['ctx'] = kwargs.pop('device')
        _check_order({**dict(zip(names, args)), **kwargs}, function.__name__)
        return function(*args, **kwargs)

    return call


def _check_order(arguments: dict[str, Any], function: str) -> None:
    """Raise `EditionError` if the results of `load_data_nmt` were assigned in the wrong order."""
    for name, value in arguments.items():
        is_vocab = hasattr(value, 'token_to_idx')
        is_mapping = hasattr(value, '__getitem__')
        if (name == 'data_iter' and is_vocab) or (name.endswith('_vocab') and not is_mapping):
            raise EditionError(
                f'{function} expected {"batches" if is_vocab else "a Vocab"} as {name}, got '
                f'{type(value).__name__}; load_data_nmt returns data_iter first in d2l 0.15 and '
                'later, and last in d2l 0.14, which this is',
                f'Assign {_LOADING}.',
            )
