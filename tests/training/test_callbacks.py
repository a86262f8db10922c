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
    OutOfTime,
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
    best = BestValidation('nll', patience=2)
    for epoch, nll in enumerate([3, 2, 2.5], 1):
        best(validation_metrics(epoch, nll))
    again = BestValidation('nll', patience=2)
    again.restore(json.loads(json.dumps(best.state())))
    for callback in (best, again):
        with pytest.raises(StopTraining, match='no improvement in validation since epoch 2'):
            callback(validation_metrics(4, 2))
        assert callback.epoch == 2 and 'nll_per_token 2.000' in callback.description


@pytest.mark.parametrize('patience, ends', [(2, False), (1, True), (None, False)])
def test_a_better_validation_resets_the_patience(patience, ends):
    best = BestValidation('bleu', patience)
    with pytest.raises(StopTraining) if ends else contextlib.nullcontext():
        for epoch, bleu in enumerate([1, 0, 2, 1, 3, 2], 1):
            best(validation_metrics(epoch, bleu=bleu))
    assert best.epoch == (1 if ends else 5)


def test_of_equal_bleu_the_smaller_loss_is_better():
    best = BestValidation('bleu', patience=3)
    for epoch, (nll, bleu) in enumerate([(3, 10), (2, 10), (2, 10), (1, 9)], 1):
        best(validation_metrics(epoch, nll, bleu))
    assert best.epoch == 2
    with pytest.raises(StopTraining, match='since epoch 2'):
        best(validation_metrics(5, 1, 9))


def test_a_bleu_of_0_throughout_does_not_stop_the_training(caplog):
    best = BestValidation('bleu', patience=2)
    for epoch, nll in enumerate([3, 2, 4, 4, 4, 4], 1):
        best(validation_metrics(epoch, nll, 0.04 / epoch))  # smoothing makes it larger than 0
    assert best.epoch == 2  # by its loss
    assert len(caplog.messages) == 1
    assert 'BLEU has been 0 in all validations up to epoch 4' in caplog.text
    best(validation_metrics(7, 4, 0.1))
    assert best.epoch == 7
    best(validation_metrics(8, 4, 0.0))
    with pytest.raises(StopTraining, match='since epoch 7'):
        best(validation_metrics(9, 4, 0.0))


def test_the_best_of_a_checkpoint_of_version_0_2_has_no_loss():
    best = BestValidation('bleu', patience=1)
    state = {'goodness': 10.0, 'num_worse': 0, 'epoch': 5, 'description': ''}
    best.restore(state)
    best(validation_metrics(6, 1, 10.5))
    assert best.epoch == 6
    for goodness in ('10', [10, '3'], {}, [None]):
        with pytest.raises(ValueError, match='goodness'):
            best.restore({**state, 'goodness': goodness})


def epochs_in_a_minute(monkeypatch, durations):
    """Return the plan after each epoch of some durations in seconds, until the limit stops them."""
    now = [0.0]
    monkeypatch.setattr('d2l_seq2seq.training.callbacks.time.monotonic', lambda: now[0])
    limit, plans = TimeLimit(minutes=1), []
    for epoch, seconds in enumerate(durations, start=1):
        now[0] += seconds
        try:
            limit(EpochMetrics(epoch, losses(1.0), None, seconds, 0.1), None)
        except OutOfTime as stop:
            assert str(stop) == 'no time for another epoch within 1 minutes'
            return plans
        plans.append(limit.num_epochs)
    raise AssertionError('the limit did not stop the training')


def test_a_time_limit_stops_after_the_last_epoch_that_fits(monkeypatch):
    assert epochs_in_a_minute(monkeypatch, [25, 25, 25]) == [2]
    assert epochs_in_a_minute(monkeypatch, [61, 1]) == []


def test_the_plan_of_a_time_limit_follows_the_speed_but_not_its_noise(monkeypatch):
    assert epochs_in_a_minute(monkeypatch, [9.5, 9.9, 9.8, 9.9, 9.7, 9.9]) == [6, 6, 6, 6, 6]
    assert epochs_in_a_minute(monkeypatch, [10, 20, 20, 10]) == [5, 3]  # the machine gets busy
    assert epochs_in_a_minute(monkeypatch, [20, 5, 5, 5, 5, 5, 5, 5, 5]) == [2, 8, 8, 8, 8, 8, 8]
