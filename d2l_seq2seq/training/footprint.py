"""An estimate of the memory that training needs, so that sizes that cannot work are refused early.

Without it, MXNet would fail in the middle of an allocation with a long trace, or the system would
end the process.
"""

from __future__ import annotations

import math
from typing import Callable

from .._runtime import require_memory
from ..book.encoder_decoder import EncoderDecoder
from ..config import DataConfig, ModelConfig, RunConfig
from ..data.encoding import EncodedCorpus
from ..data.pipeline import TrainingData
from ..engine.tracing import count_values, parameter_shapes
from ..errors import InputError
from ..models.factory import build_model

MAX_ARRAY_SIZE = 2**31 - 1  # elements of an array of MXNet 1.9.1
# Bytes per number, measured on a CPU: for models of 2 to 29 million weights, the estimates are 0.9
# to 1.3 times the measured total.
_BYTES_PER_WEIGHT = 32  # with its gradient, the moments of Adam, and the copies of a checkpoint
_BYTES_PER_VALUE = 6  # of an array between two operators, and of some of their gradients
_BYTES_PER_HIDDEN_UNIT = 85  # and step, for the gates that a recurrent layer keeps
_GATES = {'rnn': 1, 'gru': 3, 'lstm': 4}


def require_memory_for_training(config: RunConfig, data: TrainingData) -> None:
    """Raise `InputError` if training on a CPU would need more memory than there is.

    It allocates nothing.
    """
    _require_possible_layers(config.model)
    model = build_model(config.model, len(data.src_vocab), len(data.tgt_vocab))
    num_weights = sum(map(math.prod, parameter_shapes(model).values()))
    batch_size, num_src_steps, num_tgt_steps = _batch_shape(config.data, data.train)
    num_logits = batch_size * num_tgt_steps * len(data.tgt_vocab)
    for name, size in (('weights', num_weights), ('logits of a batch', num_logits)):
        if size > MAX_ARRAY_SIZE:
            raise InputError(
                f'expected at most {MAX_ARRAY_SIZE:,} {name}, the largest array of MXNet, got '
                f'{size:,}',
                _hint(is_model=name == 'weights'),
            )
    weights = _BYTES_PER_WEIGHT * num_weights
    activations = _BYTES_PER_VALUE * _num_values(
        model, batch_size, num_src_steps, num_tgt_steps
    ) + _BYTES_PER_HIDDEN_UNIT * batch_size * _num_hidden_units(
        config.model, num_src_steps, num_tgt_steps
    )
    require_memory(weights + activations, 'training', _hint(is_model=weights > activations))


def _hint(is_model: bool) -> str:
    """Return what to reduce, depending on whether the model or the batch is too large."""
    if is_model:
        return 'Reduce --num-hiddens, --num-layers or --embed-size, or increase --min-freq.'
    return 'Reduce --batch-size, --max-tokens or --num-steps.'


def _require_possible_layers(config: ModelConfig) -> None:
    """Raise `InputError` if a recurrent layer has more weights than an array may have.

    MXNet computes the number as a 32-bit integer, which overflows.
    """
    gates = _GATES[config.cell]
    for num_hiddens, num_layers, directions in _stacks(config):
        inputs = config.embed_size + (num_layers - 1) * directions * num_hiddens
        size = directions * gates * num_hiddens * (inputs + num_layers * (num_hiddens + 2))
        if size > MAX_ARRAY_SIZE:
            raise InputError(
                f'num_hiddens: expected recurrent layers of at most {MAX_ARRAY_SIZE:,} weights, '
                f'the largest array of MXNet, got {size:,}',
                _hint(is_model=True),
            )


def _stacks(config: ModelConfig) -> list[tuple[int, int, int]]:
    """Return the hidden units, layers and directions of the encoder and of the decoder."""
    return [
        (*config.encoder_sizes, 2 if config.bidirectional else 1),
        (config.num_hiddens, config.num_layers, 1),
    ]


def _batch_shape(config: DataConfig, corpus: EncodedCorpus) -> tuple[int, int, int]:
    """Return the largest batch_size, num_src_steps and num_tgt_steps of a batch."""
    num_src_steps, num_tgt_steps = corpus.src.shape[1], int(corpus.tgt_valid_len.max())
    batch_size = min(config.batch_size, len(corpus.src))
    if config.bucket_width is not None:
        num_src_steps = int(corpus.src_valid_len.max())
        if config.max_tokens is not None:
            batch_size = max(1, min(config.max_tokens // num_tgt_steps, len(corpus.src)))
    return batch_size, num_src_steps, num_tgt_steps


def _num_hidden_units(config: ModelConfig, num_src_steps: int, num_tgt_steps: int) -> int:
    """Return the number of hidden units of all layers, times their steps."""
    return sum(
        num_steps * num_hiddens * num_layers * directions
        for num_steps, (num_hiddens, num_layers, directions) in zip(
            (num_src_steps, num_tgt_steps), _stacks(config)
        )
    )


def _num_values(
    model: EncoderDecoder, batch_size: int, num_src_steps: int, num_tgt_steps: int
) -> float:
    """Return the number of values that the operators of a model return for a batch.

    It is linear in each of the three sizes, so it follows from graphs for small ones.
    """
    return _extrapolate(
        lambda rows: _extrapolate(
            lambda src_steps: _extrapolate(
                lambda tgt_steps: count_values(model, (rows, src_steps), (rows, tgt_steps)),
                num_tgt_steps,
            ),
            num_src_steps,
        ),
        batch_size,
    )


def _extrapolate(function: Callable[[int], float], x: int) -> float:
    """Return the value at `x` of a function that is linear from 2 on, from those at 2 and 3."""
    at_2, at_3 = function(2), function(3)
    return at_2 + (at_3 - at_2) * (x - 2)
