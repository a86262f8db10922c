"""Callbacks: validation, early stopping and the time limit."""

import contextlib
import json

import pytest

from d2l_seq2seq import (
    Feed,
    Translator,
    evaluate_loss,
    fit,
    initialize,
)
from d2l_seq2seq._mxnet import npx
from d2l_seq2seq.engine.fit import EpochMetrics
from d2l_seq2seq.engine.loss_accumulator import LossSums
from d2l_seq2seq.engine.workers import SingleWorker
from d2l_seq2seq.training.callbacks import (
    BestValidation,
    StopTraining,
    TimeLimit,
    Validation,
    ValidationMetrics,
)

CTX = npx.cpu()


def losses(nll):
    return LossSums(nll, nll, 1)


def validation_metrics(epoch, nll=1.0, bleu=0.0):
    return ValidationMetrics(epoch, losses(nll), bleu, [])


def test_validation_runs_every_few_epochs_and_changes_nothing(held_out_run, seed):
    run, data = held_out_run
    feed = Feed(data.valid, 64, 0)
    seen, trained = [], {}
    for watched in (False, True):
        initialize(run.model, CTX)
        if watched:
            for name, parameter in run.model.collect_params().items():
                parameter.set_data(trained['start'][name])
        trained['start'] = {
            name: parameter.data().copy() for name, parameter in run.model.collect_params().items()
        }
        validation = Validation(Translator.of(run), feed, data.pairs.valid, 3, seen.append)
        curve = []

        def after_epoch(metrics, state):
            curve.append(metrics.train.nll_sum)
            if watched:
                validation(metrics, state)

        fit(run.model, Feed(data.train, 64, 0), num_epochs=7, lr=0.01, on_epoch_end=after_epoch)
        trained[watched] = curve
    seen.append(validation.evaluate(7))
    assert trained[True] == trained[False]
    assert [validation.epoch for validation in seen] == [3, 6, 7]
    assert seen[-1].losses == evaluate_loss(run.model, feed)
    assert seen[0].losses.nll_sum > seen[-1].losses.nll_sum
    translator = Translator.of(run)
    assert all(translator(src) == translation for src, translation, _ in seen[-1].samples)
    assert len(seen[-1].samples) == 3


class SecondWorker(SingleWorker):
    """The second of two workers, which receives the numbers of the first."""

    rank = 1

    def broadcast(self, numbers):
        assert len(numbers) == 4
        return [12.0, 3.0, 6.0, 45.5]


def test_metrics_of_the_first_worker_are_reported_by_all(held_out_run):
    run, data = held_out_run
    seen = []
    validation = Validation(
        Translator.of(run),
        Feed(data.valid, 64, 0),
        data.pairs.valid,
        2,
        seen.append,
        workers=SecondWorker(),
    )
    for epoch in range(1, 4):
        validation(EpochMetrics(epoch, losses(1), None, 1.0, 0.1), None)
    assert seen == [ValidationMetrics(2, LossSums(12.0, 3.0, 6), 45.5, [])]


def test_the_best_is_remembered_and_patience_ends():
    best = BestValidation(lambda validation: -validation.losses.nll_per_token, patience=2)
    for epoch, nll in enumerate([3, 2, 2.5], 1):
        best(validation_metrics(epoch, nll))
    again = BestValidation(lambda validation: -validation.losses.nll_per_token, patience=2)
    again.restore(json.loads(json.dumps(best.state())))
    for callback in (best, again):
        with pytest.raises(StopTraining, match='no improvement in validation since epoch 2'):
            callback(validation_metrics(4, 2))
        assert callback.epoch == 2 and 'nll_per_token 2.000' in callback.description


@pytest.mark.parametrize('patience, ends', [(2, False), (1, True), (None, False)])
def test_a_better_validation_resets_the_patience(patience, ends):
    best = BestValidation(lambda validation: validation.bleu, patience)
    with pytest.raises(StopTraining) if ends else contextlib.nullcontext():
        for epoch, bleu in enumerate([1, 0, 2, 1, 3, 2], 1):
            best(validation_metrics(epoch, bleu=bleu))
    assert best.epoch == (1 if ends else 5)


def test_a_time_limit_stops_between_epochs(monkeypatch):
    now = [0.0]
    monkeypatch.setattr('d2l_seq2seq.training.callbacks.time.monotonic', lambda: now[0])
    limit = TimeLimit(minutes=1)
    for seconds in (20, 40):
        now[0] = seconds
        limit(None, None)
    now[0] = 50  # the last epoch took 10: another one has just room
    limit(None, None)
    now[0] = 56
    with pytest.raises(StopTraining, match='no time for another epoch within 1 minutes'):
        limit(None, None)
