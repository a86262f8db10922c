"""Text in, text out."""

import concurrent.futures
import itertools
import logging
import subprocess
import sys

import numpy as onp
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from d2l_seq2seq import (
    DataConfig,
    InputError,
    ModelConfig,
    RunConfig,
    SearchConfig,
    Translator,
    build_model,
    initialize,
    predict_s2s_ch9,
)
from d2l_seq2seq._mxnet import npx
from d2l_seq2seq.book.animator import figure_bytes
from d2l_seq2seq.data.tokenizers import chapter_vocab
from d2l_seq2seq.inference.stepper import translator
from d2l_seq2seq.plotting import attention_figure
from d2l_seq2seq.runs.checkpoint import Run
from d2l_seq2seq.runs.folder import save_run

from conftest import ROOT

CTX = npx.cpu()
VOCAB = chapter_vocab([['a', 'b', 'c', 'd', 'e', '.', '!']], min_freq=1)
BEAM = SearchConfig(beam_size=3, n_best=3)


def make_run(data=DataConfig(num_steps=6), vocab=VOCAB, **settings):
    config = RunConfig(data, ModelConfig(8, 8, 2, **settings))
    model = build_model(config.model, len(vocab), len(vocab))
    initialize(model, CTX)
    for parameter in model.collect_params().values():
        parameter.set_data(parameter.data() * 3)
    return Run(config, vocab, vocab, model)


@pytest.fixture(params=['chapter', 'buckets', 'masked', 'attention'])
def run(request, seed):
    return {
        'chapter': lambda: make_run(),
        'buckets': lambda: make_run(DataConfig(num_steps=6, bucket_width=2)),
        'masked': lambda: make_run(bidirectional=True),
        'attention': lambda: make_run(bidirectional=True, attention='general'),
    }[request.param]()


def sentences(seed, count=40):
    rng = onp.random.RandomState(seed)
    return [' '.join(rng.choice(list('abcdex.'), rng.randint(0, 12))) for _ in range(count)]


@pytest.mark.parametrize(
    'search',
    [
        SearchConfig(),
        SearchConfig(batch_size=5),
        BEAM,
        SearchConfig(sample=True, n_best=2, seed=3),
        SearchConfig(beam_size=2, min_length=2, no_repeat_ngram=2),
    ],
    ids=str,
)
def test_batched_is_one_by_one(run, search, seed):
    translator, lines = Translator.of(run), sentences(seed)
    together = translator.translate(lines, search)
    assert len(together) == len(lines)
    for line, found in zip(lines, together):
        (alone,) = translator.translate([line], search)
        assert [one.tokens for one in found] == [one.tokens for one in alone]
        onp.testing.assert_allclose(
            [one.score for one in found], [one.score for one in alone], atol=1e-4
        )


def test_the_chapters_function_gives_the_same(seed):
    run = make_run()
    translator = Translator.of(run)
    for line in sentences(seed):
        if 0 < len(line.split()) <= 6:
            assert translator(line) == predict_s2s_ch9(run.model, line, VOCAB, VOCAB, 6, CTX)


def test_a_string_a_list_and_a_stream():
    translator = Translator.of(make_run())
    texts = translator(['a b .', 'c', 'a b .'])
    assert texts == [translator('a b .'), translator('c'), texts[0]]
    assert translator([]) == []
    assert translator(iter(['a b .', 'c'])) == texts[:2]
    assert [found[0].text for found in translator.stream(iter(['a b .', 'c']))] == texts[:2]


def test_a_stream_is_read_as_it_is_used(monkeypatch):
    monkeypatch.setattr(translator, 'LINES_AT_ONCE', 10)
    endless = itertools.count()
    stream = Translator.of(make_run()).stream(f'a {number}' for number in endless)
    assert len(list(itertools.islice(stream, 25))) == 25
    assert next(endless) == 30


def test_text_is_read_as_in_training():
    translator = Translator.of(make_run())
    read = [found[0].src_tokens for found in translator.translate(['A  b, c!\n', 'a b , c !'])]
    assert read == [['a', 'b', ',', 'c', '!']] * 2
    assert translator('A b!') == translator(' a b ! ')
    reverse = Translator.of(make_run(DataConfig(reverse_source=True)))
    assert reverse.translate(['A b!'])[0][0].src_tokens == ['!', 'b', 'a']
    words = Translator.of(make_run(DataConfig(text_rules='words')))
    assert words.translate(['A b?'])[0][0].src_tokens == ['a', 'b', '?']
    assert words('A?') == words('a ?')


def test_lines_without_words_stay_empty():
    translator = Translator.of(make_run())
    for search in (SearchConfig(), BEAM):
        assert [bool(found) for found in translator.translate(['', 'a', ' \t\xa0\n'], search)] == [
            False,
            True,
            False,
        ]
    assert translator(['', 'a', '\n'])[::2] == ['', '']
    assert translator('') == ''
    assert Translator.of(make_run(DataConfig(text_rules='opengenus')))('...!') == ''


def test_long_sentences_are_translated_with_a_warning(run, caplog):
    translator = Translator.of(run)
    first, second = 'a b c d e . a', 'b c d e a . a b c'
    found = translator.translate(['a b', first, second])
    assert [len(one[0].src_tokens) for one in found] == [2, 7, 9]
    assert caplog.messages == [
        '2 of 3 sentences have more tokens than the 6 that the model was '
        'trained to read, and may come out badly; the first has 7: '
        'a b c d e ...'
    ]
    # What stands at the end has a say in it.
    changed = translator.translate([second[:-1] + '!'])[0][0]
    assert changed.log_probs != found[2][0].log_probs


def test_what_is_no_sentence_is_cut_with_a_warning(caplog, monkeypatch):
    monkeypatch.setattr('d2l_seq2seq.inference.translator.MAX_TOKENS', 50)
    translator = Translator.of(make_run())
    (found,) = translator.translate(['a ' * 500])
    assert len(found[0].src_tokens) == 50
    assert 'a sentence of 500 tokens is cut to 50' in caplog.messages[0]
    assert len(found[0].tokens) <= 100


def test_lengths_of_translations():
    translator = Translator.of(make_run())
    for length in (1, 2, 9):
        search = SearchConfig(max_length=length, beam_size=2)
        assert all(len(one.log_probs) <= length for one in translator.translate(['a'], search)[0])
    search = SearchConfig(min_length=4)
    assert all(len(found[0].tokens) >= 4 for found in translator.translate(['a', 'b c'], search))


@pytest.mark.parametrize('kind', ['additive', 'general'])
def test_attention_weights_of_the_words_that_were_read(kind):
    translator = Translator.of(make_run(attention=kind, bidirectional=True))
    for found in translator.translate(['a c b .', 'a'], BEAM):
        for one in found:
            assert one.attention_weights.shape == (len(one.log_probs), len(one.src_tokens))
            onp.testing.assert_allclose(one.attention_weights.sum(axis=1), 1, rtol=1e-5)


def test_unknown_words_are_taken_over():
    run = make_run(attention='general', masked=True)
    run.model.decoder.dense.bias.data()[VOCAB.unk] = 100  # it knows nothing
    found = Translator.of(run).translate(['a zyx b'], SearchConfig(replace_unk=True))[0][0]
    looked_at = found.attention_weights.argmax(axis=1)
    assert found.tokens == [['a', 'zyx', 'b'][place] for place in looked_at]
    assert set(Translator.of(run)('a zyx b').split()) == {'<unk>'}
    with pytest.raises(InputError, match='replace_unk: expected a model with attention, got one'):
        Translator.of(make_run())('a', SearchConfig(replace_unk=True))


def test_a_run_of_ids_can_not_be_translated_with():
    with pytest.raises(InputError, match='trained on text, got one that was trained on random ids'):
        Translator.of(make_run(DataConfig(corpus='pseudo')))


def test_loaded_it_translates_the_same(run, tmp_path):
    folder = tmp_path / 'run'
    save_run(folder, run)
    again, lines = Translator.load(folder), ['a b c', '', 'c !']
    assert again(lines, BEAM) == Translator.of(run)(lines, BEAM)
    assert (again.src_vocab.idx_to_token, again.num_steps) == (VOCAB.idx_to_token, 6)


def test_in_another_thread(run, tmp_path):
    """As in a web server: MXNet's NumPy mode is each thread's own."""
    save_run(tmp_path / 'run', run)
    with concurrent.futures.ThreadPoolExecutor(1) as pool:
        found = pool.submit(lambda: Translator.load(tmp_path / 'run')(['a b', 'c !'])).result()
    assert found == Translator.of(run)(['a b', 'c !'])


@pytest.fixture(scope='module')
def hardened():
    return Translator.of(make_run(DataConfig(num_steps=6, text_rules='words')))


@given(lines=st.lists(st.text(max_size=30), max_size=5))
@settings(deadline=None, max_examples=60)
def test_any_text_has_a_line_for_each_line(hardened, lines):
    logging.disable(logging.WARNING)
    try:
        texts = hardened(lines)
    finally:
        logging.disable(logging.NOTSET)
    assert len(texts) == len(lines)
    assert not any(set(text) & set('\n\r\v\f\x1c\x1d\x1e\x85\u2028\u2029') for text in texts)


def test_the_heat_map_shows_tokens_and_weights():
    weights = onp.array([[0.25, 0.75], [1, 0], [0.5, 0.5]])
    tokens = [['i', 'won']], [["j'ai", 'gagné', '<eos>']]
    figure = attention_figure([weights], *tokens)
    ax = figure.axes[0]
    assert [label.get_text() for label in ax.get_xticklabels()] == ['i', 'won']
    assert [label.get_text() for label in ax.get_yticklabels()] == ["j'ai", 'gagné', '<eos>']
    assert (ax.images[0].get_array() == weights).all()
    assert figure_bytes(figure, '.svg') == figure_bytes(
        attention_figure([weights], *tokens), '.svg'
    )


@pytest.mark.slow
def test_memory_stays_flat_over_a_stream(tmp_path):
    """A second hundred thousand lines, of other lengths, need no more memory than the first."""
    run = make_run(bidirectional=True, attention='general')
    folder = tmp_path / 'run'
    save_run(folder, run)
    code = (
        'import resource, sys, itertools, logging\n'
        'from d2l_seq2seq import Translator\n'
        'logging.disable(logging.WARNING)\n'
        f'translator = Translator.load({str(folder)!r})\n'
        "lines = (' '.join('abcde'[(n + k) % 5] for k in range(n % 17))\n"
        '         for n in range(200_000))\n'
        'found = translator.stream(lines)\n'
        'for part in range(2):\n'
        '    for _ in itertools.islice(found, 100_000): pass\n'
        '    print(resource.getrusage(resource.RUSAGE_SELF).ru_maxrss)\n'
    )
    result = subprocess.run(
        [sys.executable, '-c', code], capture_output=True, text=True, cwd=ROOT, check=True
    )
    first, second = map(int, result.stdout.split())
    assert second - first < 20_000  # kilobytes


def test_there_may_be_no_translation():
    """Of more different tokens than there are."""
    translator = Translator.of(make_run(vocab=chapter_vocab([['a', 'b']], min_freq=1)))
    search = SearchConfig(beam_size=2, min_length=8, no_repeat_ngram=1)
    assert translator.translate(['a', 'b a'], search) == [[], []]
    assert translator(['a', 'b a'], search) == ['', '']
