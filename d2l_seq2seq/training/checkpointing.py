"""Saving the state of training in a checkpoint, and restoring it.

The position of a checkpoint is the number of completed epochs, and of completed batches of the next
epoch.  The checkpoint has everything that is needed to continue as if training had not stopped:

- the weights and the optimizer's moments;
- the feed's random state before it drew the order of the epoch, which determines that order;
- the number of updates, which together with the seed (`UpdateRules.seed`) determines dropout;
- the sums of the epoch so far, and the states of the callbacks.
"""

from __future__ import annotations

import dataclasses
import time
from typing import Any, Mapping

import numpy as onp

from ..book.encoder_decoder import EncoderDecoder
from ..data.feed import Feed
from ..engine.fit import EpochMetrics, TrainState, initial_state, storage_of_model
from ..engine.loss_accumulator import EpochSums, LossAccumulator, LossSums
from ..engine.step import UpdateRules
from ..errors import InputError, check_types
from ..models.factory import named_parameters
from ..runs.checkpoint import Progress, Run
from ..runs.folder import RunFolder
from ..runs.layout import checkpoint_name
from .callbacks import StopTraining

MOMENTS = 'mean', 'variance'
_NUM_KEYS = 624  # words of a Mersenne Twister's state


class CheckpointWriter:
    """A writer of checkpoints: every few epochs, every few minutes, and after the best validation.

    Parameters
    ----------
    folder : RunFolder
    run : Run
        The run whose model is trained.
    callbacks : dict of str to object
        The callbacks whose state is saved, by name.  One called ``best`` is a `BestValidation`.
    fingerprint : str
        Of the training data; see `restore_state`.
    """

    def __init__(self, folder: RunFolder, run: Run, callbacks: Mapping[str, Any], fingerprint: str):
        self._folder, self._run, self._callbacks = folder, run, callbacks
        self._fingerprint = fingerprint
        self._last = time.monotonic()

    def after_update(self, state: TrainState) -> None:
        """Write a checkpoint if the last one is older than the configured minutes."""
        if time.monotonic() - self._last > 60 * self._run.config.training.save_minutes:
            self.write(state)

    def after_epoch(
        self, metrics: EpochMetrics, state: TrainState, stop: StopTraining | None = None
    ) -> None:
        """Write a checkpoint if it is due, the epoch is the last one, or it is the best one."""
        config, best = self._run.config.training, self._callbacks.get('best')
        if (
            metrics.epoch % config.save_every == 0
            or metrics.epoch == config.num_epochs
            or stop is not None
            or (best is not None and best.epoch == metrics.epoch)
        ):
            self.write(state, str(stop) if stop is not None and stop.is_final else None)

    def write(self, state: TrainState, ended: str | None = None) -> None:
        """Write a checkpoint; `ended` says why training has ended and cannot be resumed."""
        progress = save_state(self._run.model, state, self._callbacks, self._fingerprint, ended)
        best = self._callbacks.get('best')
        best_name = checkpoint_name(best.epoch, 0) if best is not None and best.epoch else None
        try:
            self._folder.save_checkpoint(
                self._run,
                progress,
                state.epoch,
                state.batch,
                self._run.config.training.keep,
                best_name,
            )
        except FloatingPointError as error:
            raise FloatingPointError(
                f'{error}, after update {state.optimizer.num_updates}'
            ) from error
        self._last, state.started = time.monotonic(), time.perf_counter()


def save_state(
    model: EncoderDecoder,
    state: TrainState,
    callbacks: Mapping[str, Any],
    fingerprint: str,
    ended: str | None = None,
) -> Progress:
    """Return the training state that a checkpoint stores besides the model.

    Parameters
    ----------
    model : EncoderDecoder
    state : TrainState
    callbacks : dict of str to object
        The callbacks with a `state`, by the names that they have in the checkpoint.
    fingerprint : str
        Of the training data; see `restore_state`.
    ended : str, optional
        The reason why training has ended and cannot be resumed.

    Raises
    ------
    FloatingPointError
        If a loss or a gradient was not finite.
    """
    sums = state.sums()
    flat, _ = storage_of_model(model)
    names = {name: parameter.name for name, parameter in named_parameters(model).items()}
    moments = {}
    for moment in MOMENTS:
        arrays = flat.split_by_parameter(getattr(state.optimizer, moment))
        moments[moment] = {name: arrays[gluon_name] for name, gluon_name in names.items()}
    _, keys, position, has_gauss, gauss = state.feed_state
    # Run folders of version 0.2 have these names too.
    values = {
        'epoch': state.epoch,
        'batch': state.batch,
        'num_updates': state.optimizer.num_updates,
        'sums': dataclasses.asdict(sums),
        'feed': {
            'keys': keys.tolist(),
            'position': position,
            'has_gauss': has_gauss,
            'gauss': gauss,
        },
        'data': fingerprint,
        'hooks': {name: callback.state() for name, callback in callbacks.items()},
        'ended': ended,
    }
    return Progress(moments, values)


def restore_state(
    progress: Progress,
    model: EncoderDecoder,
    feed: Feed,
    rules: UpdateRules,
    callbacks: Mapping[str, Any],
    fingerprint: str,
) -> TrainState:
    """Return the training state that `save_state` saved, and restore that of the callbacks.

    Parameters
    ----------
    progress : Progress
    model : EncoderDecoder
        Initialized, with the weights of the same checkpoint.
    feed : Feed
        The feed of the training data.
    rules : UpdateRules
    callbacks : dict of str to object
        As they were passed to `save_state`.
    fingerprint : str
        As it was passed to `save_state`: a text that changes when the sentences change.

    Raises
    ------
    InputError
        If the training data has changed, or the values are not a training state.
    """
    values = progress.values
    try:
        if values['data'] != fingerprint:
            raise InputError(
                'the sentences are not those of the run: the corpus or its tokenization has '
                'changed',
                'Restore the corpus, or start a new run.',
            )
        state = initial_state(model, feed, rules)
        state.epoch, state.batch, state.optimizer.num_updates = _counts(values, len(feed))
        state.feed_state = _feed_state(values['feed'])
        state.losses = LossAccumulator(_sums(values['sums']), rules.skip_bad_batches)
        for name, callback in callbacks.items():
            if name in values['hooks']:
                callback.restore(values['hooks'][name])
    except InputError:
        raise
    except (KeyError, TypeError, ValueError, OverflowError, AttributeError) as error:
        raise InputError(f'expected training state, got something else ({error!r})') from error
    flat, _ = storage_of_model(model)
    names = {parameter.name: name for name, parameter in named_parameters(model).items()}
    for moment in MOMENTS:
        arrays = progress.moments[moment]
        flat.join_parameters(
            {gluon_name: arrays[name] for gluon_name, name in names.items()},
            getattr(state.optimizer, moment),
        )
    return state


def _counts(values: dict, num_batches: int) -> tuple[int, ...]:
    """Return the numbers of epochs, batches and updates, checked."""
    names = 'epoch', 'batch', 'num_updates'
    check_types(values, dict.fromkeys(names, int))
    counts = tuple(values[name] for name in names)
    if min(counts) < 0 or values['batch'] > num_batches:
        raise ValueError(f'{names}: {counts}')
    return counts


def _sums(values: dict) -> EpochSums:
    """Return the sums of an epoch, checked."""
    check_types(values, {'losses': dict, 'num_skipped': int, 'seconds': float})
    losses = values['losses']
    check_types(losses, {'nll_sum': float, 'book_sum': float, 'num_tokens': int})
    return EpochSums(LossSums(**losses), values['num_skipped'], values['seconds'])


def _feed_state(values: dict) -> tuple:
    """Return the argument of `numpy.random.RandomState.set_state`, checked."""
    keys = onp.array(values['keys'], dtype='int64')
    if keys.shape != (_NUM_KEYS,) or not 0 <= keys.min() <= keys.max() < 2**32:
        raise ValueError('keys')
    position = int(values['position'])
    if not 0 <= position <= _NUM_KEYS:
        raise ValueError('position')
    return (
        'MT19937',
        keys.astype('uint32'),
        position,
        int(bool(values['has_gauss'])),
        float(values['gauss']),
    )
