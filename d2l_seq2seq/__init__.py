"""Sequence-to-sequence learning as *Dive into Deep Learning* teaches it, in MXNet/Gluon.

The public names stand here and are resolved when first used (PEP 562), so that ``import
d2l_seq2seq`` takes a few milliseconds and loads neither MXNet nor d2l.  The first name that needs
MXNet loads it and makes it ready; see ``_mxnet.py``.
"""
import importlib

from .version import __version__  # noqa: F401

_HOME_OF = {
    'AdditiveAttention': 'attention',
    'Animator': 'plotting',
    'BookLengthPenalty': 'step_function',
    'Bridge': 'encoders',
    'BucketFeed': 'feed',
    'ContextDecoder': 'decoders',
    'DataConfig': 'config',
    'Decoder': 'model',
    'DotAttention': 'attention',
    'Encoder': 'model',
    'EncoderDecoder': 'model',
    'Feed': 'feed',
    'GNMTLengthPenalty': 'step_function',
    'GeneralAttention': 'attention',
    'HalvingOnPlateau': 'schedule',
    'Hypothesis': 'step_function',
    'InputError': 'errors',
    'InverseSqrt': 'schedule',
    'LuongDecoder': 'decoders',
    'MaskedEncoder': 'encoders',
    'MaskedSoftmaxCELoss': 'loss',
    'Mixture': 'next_input',
    'ModelConfig': 'config',
    'ModelStepper': 'inference',
    'Run': 'checkpoint',
    'RunConfig': 'config',
    'SearchConfig': 'config',
    'SearchRules': 'step_function',
    'Seq2SeqAttentionDecoder': 'decoders',
    'Seq2SeqDecoder': 'model',
    'Seq2SeqEncoder': 'model',
    'SteppedEncoderDecoder': 'next_input',
    'Stepper': 'step_function',
    'TokenFeed': 'feed',
    'TrainState': 'training',
    'TrainingConfig': 'config',
    'Translation': 'translation',
    'Translator': 'translation',
    'UpdateRules': 'step',
    'Vocab': 'vocab',
    'beam_search': 'beam',
    'bleu': 'metrics',
    'book_objective': 'step',
    'build_array': 'data',
    'build_model': 'wiring',
    'corpus_scores': 'metrics',
    'encode_pairs': 'data',
    'evaluate_loss': 'training',
    'feedback': 'next_input',
    'fit': 'training',
    'greedy_search': 'decoding',
    'initialize': 'model',
    'load_data_nmt': 'data',
    'load_run': 'run_folder',
    'no_length_penalty': 'step_function',
    'per_token_objective': 'step',
    'predict_s2s_ch9': 'reference',
    'preprocess_nmt': 'data',
    'read_corpus': 'corpus',
    'sample': 'decoding',
    'save_run': 'run_folder',
    'search_tree': 'beam',
    'share_embedding': 'model',
    'split_pairs': 'split',
    'tanh_rnn': 'recurrent',
    'teacher_forcing': 'next_input',
    'tie_output': 'model',
    'train_s2s_ch9': 'reference',
    'truncate_pad': 'data',
    'try_gpu': 'device',
}

__all__ = sorted(_HOME_OF)


def __getattr__(name):
    try:
        home = _HOME_OF[name]
    except KeyError:
        raise AttributeError(f'module {__name__!r} has no attribute {name!r}') from None
    value = getattr(importlib.import_module(f'{__name__}.{home}'), name)
    globals()[name] = value  # the next look-up doesn't come here
    return value


def __dir__():
    return sorted(set(globals()) | set(__all__))
