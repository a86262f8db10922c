"""Sequence-to-sequence learning as *Dive into Deep Learning* teaches it, in MXNet/Gluon.

The public names are those of the toolkit, which are listed here, and those of the book's sections,
which `book` lists.  If both have a name, this package has the toolkit's.

They are resolved on first use (PEP 562), so that ``import d2l_seq2seq`` takes a few milliseconds
and loads neither MXNet nor d2l.  The first name that needs MXNet loads it and prepares it; see
``_mxnet.py``.
"""

import importlib
import warnings

from . import book

__version__ = '0.3.0'

# The module in which each public name of the toolkit is defined.
_MODULES = {
    'AdditiveAttention': 'models.attention',
    'BookLengthPenalty': 'inference.search',
    'Bridge': 'models.encoders',
    'BucketFeed': 'data.feed',
    'ContextDecoder': 'models.decoders',
    'DataConfig': 'config',
    'DecayToZero': 'engine.schedules',
    'DotAttention': 'models.attention',
    'Feed': 'data.feed',
    'GNMTLengthPenalty': 'inference.search',
    'GeneralAttention': 'models.attention',
    'HalvingOnPlateau': 'engine.schedules',
    'Hypothesis': 'inference.search',
    'InputError': 'errors',
    'InputFeedingDecoder': 'models.decoders',
    'InverseSqrt': 'engine.schedules',
    'LuongDecoder': 'models.decoders',
    'MaskedEncoder': 'models.encoders',
    'ModelConfig': 'config',
    'ModelStepper': 'inference.stepper',
    'Run': 'runs.checkpoint',
    'RunConfig': 'config',
    'ScheduledSampling': 'models.scheduled_sampling',
    'SearchConfig': 'config',
    'SearchRules': 'inference.search',
    'Seq2SeqAttentionDecoder': 'models.decoders',
    'Seq2SeqDecoder': 'models.decoders',
    'Seq2SeqEncoder': 'models.encoders',
    'SteppedEncoderDecoder': 'models.scheduled_sampling',
    'Stepper': 'inference.search',
    'TokenFeed': 'data.feed',
    'TrainState': 'engine.fit',
    'TrainingConfig': 'config',
    'Translation': 'inference.translator',
    'Translator': 'inference.translator',
    'UpdateRules': 'engine.step',
    'beam_search': 'inference.beam_search',
    'bleu': 'inference.metrics',
    'book_objective': 'engine.step',
    'build_model': 'models.factory',
    'corpus_scores': 'inference.metrics',
    'encode_pairs': 'data.encoding',
    'evaluate_loss': 'engine.fit',
    'feedback': 'models.scheduled_sampling',
    'fit': 'engine.fit',
    'greedy_search': 'inference.sampling',
    'initialize': 'models.factory',
    'load_run': 'runs.loading',
    'no_length_penalty': 'inference.search',
    'per_token_objective': 'engine.step',
    'read_corpus': 'data.corpus',
    'sample': 'inference.sampling',
    'save_run': 'runs.folder',
    'search_tree': 'inference.beam_search',
    'share_embedding': 'models.embeddings',
    'split_pairs': 'data.encoding',
    'tanh_rnn': 'models.recurrent',
    'teacher_forcing': 'models.scheduled_sampling',
    'tie_output': 'models.embeddings',
}
# Names of version 0.2, and the names that replace them.
_RENAMED = {'Mixture': 'ScheduledSampling'}

__all__ = sorted({*_MODULES, *book.__all__})


def __getattr__(name):
    if name in _RENAMED:
        warnings.warn(
            f'{name} is deprecated; use {_RENAMED[name]}', DeprecationWarning, stacklevel=2
        )
        return __getattr__(_RENAMED[name])
    if name in _MODULES:
        value = getattr(importlib.import_module(f'{__name__}.{_MODULES[name]}'), name)
    elif name in book.NAMES:
        value = getattr(book, name)
    else:
        raise book.editions.missing_name(__name__, name)
    globals()[name] = value  # so that the next access does not call this function
    return value


def __dir__():
    return sorted({*globals(), *__all__, *book.NAMES})
