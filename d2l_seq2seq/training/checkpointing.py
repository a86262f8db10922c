"""A training that goes on as if it had not stopped: its state as a checkpoint, and back.

A checkpoint names a moment: so many epochs and so many batches of the next.  The feed's random
state is that from before it drew the epoch's order, so the order follows from it; dropout follows
from the seed and the number of the update (`UpdateRules.seed`); the sums of the epoch so far are in
it, and the states of the hooks.
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
_NUM_KEYS = 624  # of a Mersenne Twister


def to_progress(
    model: EncoderDecoder,
    state: TrainState,
    hooks: Mapping[str, Any],
    fingerprint: str,
    ended: str | None = None,
) -> Progress:
    """What a checkpoint has to hold of a training.

    Parameters
    ----------
    model : EncoderDecoder
    state : TrainState
    hooks : dict of str to object
        Those with a `state`, by the names that they are to have in the checkpoint.
    fingerprint : str
        Of what is trained on; see `to_state`.
    ended : str, optional
        Why there is nothing to go on with.

    Raises
    ------
    FloatingPointError
        If a loss or a gradient was not finite.
    """
    sums = state.sums()
    flat, _ = storage_of_model(model)
    names = {name: parameter.name for name, parameter in named_parameters(model).items()}
    moments = {}
    for kind in MOMENTS:
        parts = flat.split_by_parameter(getattr(state.optimizer, kind))
        moments[kind] = {name: parts[own] for name, own in names.items()}
    _, keys, position, has_gauss, gauss = state.feed_state
    return Progress(
        moments,
        {
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
            'hooks': {name: hook.state() for name, hook in hooks.items()},
            'ended': ended,
        },
    )


def to_state(
    progress: Progress,
    model: EncoderDecoder,
    feed: Feed,
    rules: UpdateRules,
    hooks: Mapping[str, Any],
    fingerprint: str,
) -> TrainState:
    """The state that `to_progress` took down; the hooks get theirs back.

    Parameters
    ----------
    progress : Progress
    model : EncoderDecoder
        Initialized, with the weights that were saved beside it.
    feed : Feed
        The training's.
    rules : UpdateRules
    hooks : dict of str to object
        As they were given to `to_progress`.
    fingerprint : str
        As it was given there: something that is no longer the same if the sentences are not.

    Raises
    ------
    InputError
        If it was a training on other data, or the values are not those of a training.
    """
    values = progress.values
    try:
        if values['data'] != fingerprint:
            raise InputError(
                'the sentences are no longer those of the run: the corpus, or what '
                'cuts it into tokens, has changed; bring it back, or start a new run'
            )
        state = initial_state(model, feed, rules)
        state.epoch, state.batch, state.optimizer.num_updates = _counts(values, len(feed))
        state.feed_state = _feed_state(values['feed'])
        state.tally = LossAccumulator(_sums(values['sums']), rules.skip_bad_batches)
        for name, hook in hooks.items():
            if name in values['hooks']:
                hook.restore(values['hooks'][name])
    except InputError:
        raise
    except (KeyError, TypeError, ValueError, OverflowError, AttributeError) as error:
        raise InputError(
            f'expected the progress of a training, got something else ({error!r})'
        ) from error
    flat, _ = storage_of_model(model)
    names = {parameter.name: name for name, parameter in named_parameters(model).items()}
    for kind in MOMENTS:
        flat.join_parameters(
            {own: progress.moments[kind][name] for own, name in names.items()},
            getattr(state.optimizer, kind),
        )
    return state


class CheckpointWriter:
    """Writes checkpoints: every so many epochs, every so many minutes, and of the best validation.

    Parameters
    ----------
    folder : RunFolder
    run : Run
        Whose model is trained.
    hooks : dict of str to object
        Those whose state is kept.  One called ``best`` is a `BestValidation`.
    fingerprint : str
        Of the sentences.
    """

    def __init__(self, folder: RunFolder, run: Run, hooks: Mapping[str, Any], fingerprint: str):
        self._folder, self._run, self._hooks = folder, run, hooks
        self._fingerprint = fingerprint
        self._last = time.monotonic()

    def after_update(self, state: TrainState) -> None:
        """Write a checkpoint if the last one is some minutes old."""
        if time.monotonic() - self._last > 60 * self._run.config.training.save_minutes:
            self.write(state)

    def after_epoch(
        self, metrics: EpochMetrics, state: TrainState, stop: StopTraining | None = None
    ) -> None:
        """Write a checkpoint if it is time, the epoch is the last one, or it was the best."""
        config, best = self._run.config.training, self._hooks.get('best')
        if (
            metrics.epoch % config.save_every == 0
            or metrics.epoch == config.num_epochs
            or stop is not None
            or (best is not None and best.epoch == metrics.epoch)
        ):
            self.write(state, str(stop) if stop is not None and stop.is_final else None)

    def write(self, state: TrainState, ended: str | None = None) -> None:
        """Write a checkpoint."""
        progress = to_progress(self._run.model, state, self._hooks, self._fingerprint, ended)
        best = self._hooks.get('best')
        best_name = checkpoint_name(best.epoch, 0) if best is not None and best.epoch else None
        try:
            self._folder.save(
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


def _counts(values: dict, num_batches: int) -> tuple[int, int, int]:
    """Epochs, batches and updates, once they are known to be such."""
    names = 'epoch', 'batch', 'num_updates'
    check_types(values, dict.fromkeys(names, int))
    found = tuple(values[name] for name in names)
    if min(found) < 0 or values['batch'] > num_batches:
        raise ValueError(f'{names}: {found}')
    return found


def _sums(values: dict) -> EpochSums:
    """The sums of an epoch, once they are known to be such."""
    check_types(values, {'losses': dict, 'num_skipped': int, 'seconds': float})
    losses = values['losses']
    check_types(losses, {'nll_sum': float, 'book_sum': float, 'num_tokens': int})
    return EpochSums(LossSums(**losses), values['num_skipped'], values['seconds'])


def _feed_state(values: dict) -> tuple:
    """What `numpy.random.RandomState.set_state` takes, once it is known to be that."""
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
