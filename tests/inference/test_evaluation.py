"""The evaluation of a run: its scores, its loss, and the worst translations."""

import pytest

from d2l_seq2seq import (
    DataConfig,
    Feed,
    ModelConfig,
    RunConfig,
    Translator,
    evaluate_loss,
    initialize,
)
from d2l_seq2seq._mxnet import npx
from d2l_seq2seq.data.encoding import group_references
from d2l_seq2seq.data.pipeline import build_feed, encode_corpus
from d2l_seq2seq.inference.evaluation import evaluate
from d2l_seq2seq.models.factory import build_model
from d2l_seq2seq.runs.checkpoint import Run

CTX = npx.cpu()


def test_references_are_grouped_by_source(held_out_run):
    pairs = [('Go.', 'Va !'), ('go .', 'Bouge !'), ('Hi.', 'Salut.'), ('Go.', 'Va !')]
    assert group_references(pairs, held_out_run[0].tokenizer) == {
        'Go.': ['Va !', 'Bouge !'],
        'Hi.': ['Salut.'],
    }


def test_an_evaluation_adds_up(held_out_run):
    run, data = held_out_run
    translator, pairs = Translator.of(run), data.pairs.test
    result = evaluate(translator, pairs)
    assert result.num_pairs == len(pairs)
    assert [sentence.source for sentence in result.sentences] == list(
        group_references(pairs, run.tokenizer)
    )
    assert all(translator(sentence.source) == sentence.translation for sentence in result.sentences)
    worst = result.worst(3)
    assert len(worst) == 3 and worst[0].bleu == min(sentence.bleu for sentence in result.sentences)
    figures = result.to_dict()
    assert figures['perplexity'] == pytest.approx(2.718281828 ** figures['nll_per_token'])
    assert 0 <= figures['BLEU']['score'] <= 100 and 'version' in figures['BLEU']['signature']


def test_correct_translations_get_full_scores(held_out_run, monkeypatch):
    run, data = held_out_run
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


def test_a_run_trained_in_buckets_is_evaluated_in_buckets(bundled):
    """The loss of an evaluation is the validation's, however far sentences are padded."""
    config = RunConfig(
        DataConfig(num_examples=200, held_out=0.2, min_freq=1, bucket_width=2), ModelConfig(8, 8, 1)
    )
    data = encode_corpus(config.data, bundled)
    model = build_model(config.model, len(data.src_vocab), len(data.tgt_vocab))
    initialize(model, CTX)
    run = Run(config, data.src_vocab, data.tgt_vocab, model)
    expected = evaluate_loss(model, build_feed(config.data, data.valid, 0, CTX))
    losses = evaluate(Translator.of(run), data.pairs.valid).losses
    assert losses.nll_sum == pytest.approx(expected.nll_sum, rel=1e-8)
    plain = evaluate_loss(model, Feed(data.valid, 64, 0))
    assert plain.nll_sum != pytest.approx(expected.nll_sum, rel=1e-8)
