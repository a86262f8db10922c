"""What watches a training."""

import contextlib
import json

import pytest

from d2l_seq2seq import (
    DataConfig,
    Feed,
    InputError,
    ModelConfig,
    RunConfig,
    Translator,
    evaluate_loss,
    fit,
    initialize,
    read_corpus,
)
from d2l_seq2seq._mxnet import npx
from d2l_seq2seq.data.encoding import group_references
from d2l_seq2seq.data.pipeline import build_feed, encode_corpus
from d2l_seq2seq.engine.fit import EpochMetrics
from d2l_seq2seq.engine.loss_accumulator import LossSums
from d2l_seq2seq.engine.workers import SingleWorker
from d2l_seq2seq.inference.evaluation import evaluate
from d2l_seq2seq.models.factory import build_model
from d2l_seq2seq.runs.checkpoint import Run
from d2l_seq2seq.training.callbacks import (
    BestValidation,
    StopTraining,
    TimeLimit,
    Validation,
    ValidationMetrics,
)

CTX = npx.cpu()


@pytest.fixture
def run(bundled):
    """A run on a few pairs, some kept back, and its data."""
    config = RunConfig(DataConfig(num_examples=200, held_out=0.2, min_freq=1), ModelConfig(8, 8, 1))
    data = encode_corpus(config.data, bundled)
    model = build_model(config.model, len(data.src_vocab), len(data.tgt_vocab))
    initialize(model, CTX)
    return Run(config, data.src_vocab, data.tgt_vocab, model), data


def losses(nll):
    return LossSums(nll, nll, 1)


def found(epoch, nll=1.0, bleu=0.0):
    return ValidationMetrics(epoch, losses(nll), bleu, [])


def test_validation_looks_every_so_often_and_changes_nothing(run, seed):
    run, data = run
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
    assert [one.epoch for one in seen] == [3, 6, 7]
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


def test_metrics_of_the_first_worker_are_reported_by_all(run):
    run, data = run
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
    best = BestValidation(lambda one: -one.losses.nll_per_token, patience=2)
    for epoch, nll in enumerate([3, 2, 2.5], 1):
        best(found(epoch, nll))
    again = BestValidation(lambda one: -one.losses.nll_per_token, patience=2)
    again.restore(json.loads(json.dumps(best.state())))
    for one in (best, again):
        with pytest.raises(StopTraining, match='no improvement in validation since epoch 2'):
            one(found(4, 2))
        assert one.epoch == 2 and 'nll_per_token 2.000' in one.description


@pytest.mark.parametrize('patience, ends', [(2, False), (1, True), (None, False)])
def test_a_better_validation_resets_the_patience(patience, ends):
    best = BestValidation(lambda one: one.bleu, patience)
    with pytest.raises(StopTraining) if ends else contextlib.nullcontext():
        for epoch, bleu in enumerate([1, 0, 2, 1, 3, 2], 1):
            best(found(epoch, bleu=bleu))
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


def test_references_are_grouped_by_source(run):
    pairs = [('Go.', 'Va !'), ('go .', 'Bouge !'), ('Hi.', 'Salut.'), ('Go.', 'Va !')]
    assert group_references(pairs, run[0].tokenizer) == {
        'Go.': ['Va !', 'Bouge !'],
        'Hi.': ['Salut.'],
    }


def test_an_evaluation_adds_up(run):
    run, data = run
    translator, pairs = Translator.of(run), data.pairs.test
    result = evaluate(translator, pairs)
    assert result.num_pairs == len(pairs)
    assert [one.source for one in result.sentences] == list(group_references(pairs, run.tokenizer))
    assert all(translator(one.source) == one.translation for one in result.sentences)
    worst = result.worst(3)
    assert len(worst) == 3 and worst[0].bleu == min(one.bleu for one in result.sentences)
    figures = result.to_dict()
    assert figures['perplexity'] == pytest.approx(2.718281828 ** figures['nll_per_token'])
    assert 0 <= figures['BLEU']['score'] <= 100 and 'version' in figures['BLEU']['signature']


def test_what_is_right_scores_everything(run, monkeypatch):
    run, data = run
    answers = dict(data.pairs.train)
    monkeypatch.setattr(
        Translator,
        '__call__',
        lambda self, sources, search: [
            run.tokenizer.detokenize(run.tokenizer.tokenize_tgt(answers[src])) for src in sources
        ],
    )
    result = evaluate(Translator.of(run), list(answers.items()))
    assert result.num_matches == len(result.sentences) and result.book_bleu == 1
    assert result.scores['BLEU'].value > 99


def test_a_run_in_buckets_is_judged_in_buckets(bundled):
    """The loss of an evaluation is the validation's, however far sentences are padded."""
    config = RunConfig(
        DataConfig(num_examples=200, held_out=0.2, min_freq=1, bucket_width=2), ModelConfig(8, 8, 1)
    )
    data = encode_corpus(config.data, bundled)
    model = build_model(config.model, len(data.src_vocab), len(data.tgt_vocab))
    initialize(model, CTX)
    own = Run(config, data.src_vocab, data.tgt_vocab, model)
    expected = evaluate_loss(model, build_feed(config.data, data.valid, 0, CTX))
    found = evaluate(Translator.of(own), data.pairs.valid).losses
    assert found.nll_sum == pytest.approx(expected.nll_sum, rel=1e-8)
    plain = evaluate_loss(model, Feed(data.valid, 64, 0))
    assert plain.nll_sum != pytest.approx(expected.nll_sum, rel=1e-8)


def test_random_ids_cannot_be_held_out():
    with pytest.raises(InputError, match='held_out: expected a corpus of text, got pseudo'):
        encode_corpus(DataConfig(held_out=0.1), read_corpus('pseudo'))
