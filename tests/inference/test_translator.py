"""The `Translator`: its translations, its batches, and unusual input."""

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
    BucketFeed,
    DataConfig,
    InputError,
    ModelConfig,
    RunConfig,
    SearchConfig,
    Translator,
    book,
    build_model,
    encode_pairs,
    fit,
    initialize,
    predict_s2s_ch9,
    read_corpus,
)
from d2l_seq2seq._mxnet import autograd, npx
from d2l_seq2seq.data.tokenizers import build_tokenizer, chapter_vocab
from d2l_seq2seq.runs.checkpoint import Run
from d2l_seq2seq.runs.folder import save_run

from conftest import ROOT

CTX = npx.cpu()
VOCAB = chapter_vocab([['a', 'b', 'c', 'd', 'e', '.', '!']], min_freq=1)
BEAM = SearchConfig(beam_size=3, n_best=3)
DATA = DataConfig(num_steps=6)


def make_run(data=DATA, vocab=VOCAB, **settings):
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
def test_batches_equal_single_sentences(run, search, seed):
    translator, lines = Translator.of(run), sentences(seed)
    together = translator.translate(lines, search)
    assert len(together) == len(lines)
    for line, translations in zip(lines, together):
        (alone,) = translator.translate([line], search)
        assert tokens_of(translations) == tokens_of(alone)
        onp.testing.assert_allclose(scores_of(translations), scores_of(alone), atol=1e-4)


def tokens_of(translations):
    return [translation.tokens for translation in translations]


def scores_of(translations):
    return [translation.score for translation in translations]


def test_translations_are_those_of_the_chapters_function(seed):
    run = make_run()
    bias = onp.zeros(len(VOCAB), dtype='float32')
    bias[[VOCAB['<pad>'], VOCAB['<bos>']]] = -1e4  # the chapter's function may choose them
    run.model.decoder.dense.bias.set_data(bias)
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
    stream = translator.stream(iter(['a b .', 'c']))
    assert [translations[0].text for translations in stream] == texts[:2]


def test_a_stream_is_read_as_needed(monkeypatch):
    monkeypatch.setattr('d2l_seq2seq.inference.translator.LINES_PER_BLOCK', 10)
    numbers = itertools.count()
    stream = Translator.of(make_run()).stream(f'a {number}' for number in numbers)
    assert len(list(itertools.islice(stream, 25))) == 25
    assert next(numbers) == 30


def test_text_is_tokenized_as_in_training():
    translator = Translator.of(make_run())
    results = translator.translate(['A  b, c!\n', 'a b , c !'])
    assert [best.src_tokens for (best,) in results] == [['a', 'b', ',', 'c', '!']] * 2
    assert translator('A b!') == translator(' a b ! ')
    reverse = Translator.of(make_run(DataConfig(reverse_source=True)))
    assert reverse.translate(['A b!'])[0][0].src_tokens == ['!', 'b', 'a']
    words = Translator.of(make_run(DataConfig(text_rules='words')))
    assert words.translate(['A b?'])[0][0].src_tokens == ['a', 'b', '\uffed?']
    assert words('A\u3000?') == words('a ?')


@pytest.mark.parametrize('rules', ['chapter', 'words', 'characters', 'opengenus'])
@pytest.mark.parametrize(
    'text', ['a\u3000b\u2009c', 'a\xa0\xa0b', 'a  b', '\ta\rb\x0bc ', 'a\u2028b', 'a\u200b b']
)
def test_white_space_is_read_as_in_training(tmp_path, rules, text):
    (tmp_path / 'src').write_text(f'{text}\na\n', encoding='utf-8')
    (tmp_path / 'tgt').write_text('a\na\n', encoding='utf-8')
    corpus = read_corpus(f'{tmp_path / "src"},{tmp_path / "tgt"}')
    tokenizer = build_tokenizer(DataConfig(text_rules=rules))
    trained = tokenizer.tokenize_src(corpus.pairs[0][0])
    translator = Translator.of(make_run(DataConfig(text_rules=rules, num_steps=9)))
    assert translator.translate([text])[0][0].src_tokens == trained
    assert rules == 'chapter' or '' not in trained


@pytest.mark.parametrize(
    'search',
    [
        SearchConfig(),
        BEAM,
        SearchConfig(beam_size=4, n_best=4, min_length=2),
        SearchConfig(sample=True, n_best=20, temperature=5.0),
        SearchConfig(sample=True, n_best=8, top_k=2),
    ],
)
def test_no_search_gives_padding_or_a_start(search):
    run = make_run()
    bias = run.model.decoder.dense.bias
    values = onp.zeros(len(VOCAB), dtype='float32')
    values[[VOCAB['<pad>'], VOCAB['<bos>']]] = 9  # the model would choose them
    bias.set_data(values)
    (translations,) = Translator.of(run).translate(['a b .'], search)
    assert translations
    for translation in translations:
        assert not {'<pad>', '<bos>', '<eos>'} & set(translation.tokens)


def test_words_like_control_tokens_are_unknown_words():
    translator = Translator.of(make_run())
    ((special,), (unknown,)) = translator.translate(['a <pad> b <eos>', 'a x b y'])
    assert special.src_tokens == ['a', '<pad>', 'b', '<eos>']
    assert (special.tokens, special.log_probs) == (unknown.tokens, unknown.log_probs)


def test_lines_without_words_have_empty_translations():
    translator = Translator.of(make_run())
    for search in (SearchConfig(), BEAM):
        results = translator.translate(['', 'a', ' \t\xa0\n'], search)
        assert list(map(bool, results)) == [False, True, False]
    assert translator(['', 'a', '\n'])[::2] == ['', '']
    assert translator('') == ''
    assert Translator.of(make_run(DataConfig(text_rules='opengenus')))('...!') == ''


def test_long_sentences_are_translated_with_a_warning(run, caplog):
    translator = Translator.of(run)
    first, second = 'a b c d e . a', 'b c d e a . a b c'
    results = translator.translate(['a b', first, second])
    assert [len(best.src_tokens) for (best,) in results] == [2, 7, 9]
    assert caplog.messages == [
        '2 of 3 sentences have more than 6 tokens, the maximum in training, and their '
        'translations may be poor; the first has 7 tokens: a b c d e ...'
    ]
    # The last token affects the translation.
    changed = translator.translate([second[:-1] + '!'])[0][0]
    assert changed.log_probs != results[2][0].log_probs


def test_extremely_long_sentences_are_cut_with_a_warning(caplog, monkeypatch):
    monkeypatch.setattr('d2l_seq2seq.inference.translator.MAX_TOKENS', 50)
    translator = Translator.of(make_run())
    ((best,),) = translator.translate(['a ' * 500])
    assert len(best.src_tokens) == 50
    assert 'a sentence of 500 tokens was cut to 50; the rest is not' in caplog.messages[0]
    assert len(best.tokens) <= 2 * 52  # the width of 50 tokens


def test_lengths_of_translations():
    translator = Translator.of(make_run())
    for length in (1, 2, 9):
        search = SearchConfig(max_length=length, beam_size=2)
        (translations,) = translator.translate(['a'], search)
        assert all(len(translation.log_probs) <= length for translation in translations)
    results = translator.translate(['a', 'b c'], SearchConfig(min_length=4))
    assert all(len(best.tokens) >= 4 for (best,) in results)


@pytest.mark.parametrize('kind', ['additive', 'general'])
def test_attention_weights_are_of_source_tokens_without_padding(kind):
    translator = Translator.of(make_run(attention=kind, bidirectional=True))
    for translation in itertools.chain(*translator.translate(['a c b .', 'a'], BEAM)):
        weights = translation.attention_weights
        assert weights.shape == (len(translation.log_probs), len(translation.src_tokens))
        onp.testing.assert_allclose(weights.sum(axis=1), 1, rtol=1e-5)


def test_unknown_words_are_replaced_by_source_words():
    run = make_run(attention='general', masked=True)
    run.model.decoder.dense.bias.data()[VOCAB.unk] = 100  # it predicts only <unk>
    best = Translator.of(run).translate(['a zyx b'], SearchConfig(replace_unk=True))[0][0]
    most_attended = best.attention_weights.argmax(axis=1)
    assert best.tokens == [['a', 'zyx', 'b'][index] for index in most_attended]
    assert set(Translator.of(run)('a zyx b').split()) == {'<unk>'}
    with pytest.raises(InputError, match='replace_unk: expected a model with attention, got one'):
        Translator.of(make_run())('a', SearchConfig(replace_unk=True))


def test_a_run_of_random_ids_has_no_translator():
    with pytest.raises(InputError, match='trained on text, got one that was trained on random ids'):
        Translator.of(make_run(DataConfig(corpus='pseudo')))


def test_a_loaded_translator_translates_the_same(run, tmp_path):
    folder = tmp_path / 'run'
    save_run(folder, run)
    loaded, lines = Translator.load(folder), ['a b c', '', 'c !']
    assert loaded(lines, BEAM) == Translator.of(run)(lines, BEAM)
    assert (loaded.src_vocab.idx_to_token, loaded.num_steps) == (VOCAB.idx_to_token, 6)


def test_in_another_thread(run, tmp_path):
    """As in a web server.  MXNet's NumPy mode is set for each thread."""
    save_run(tmp_path / 'run', run)
    with concurrent.futures.ThreadPoolExecutor(1) as pool:
        texts = pool.submit(lambda: Translator.load(tmp_path / 'run')(['a b', 'c !'])).result()
    assert texts == Translator.of(run)(['a b', 'c !'])


@pytest.mark.parametrize('kind', ['hybridizable', 'plain'])
def test_threads_may_share_a_translator(kind):
    """Each thread meets shapes that the others have not traced yet."""
    run = make_run()
    if kind == 'plain':
        sizes = len(VOCAB), 8, 8, 1
        model = book.EncoderDecoder(book.Seq2SeqEncoder(*sizes), book.Seq2SeqDecoder(*sizes))
        initialize(model, CTX)
        run = Run(run.config, VOCAB, VOCAB, model)
    lines = sentences(0)
    translator = Translator.of(run)
    expected = [translator([line], BEAM) for line in lines]
    for _ in range(3):
        translator = Translator.of(run)
        with concurrent.futures.ThreadPoolExecutor(8) as pool:
            texts = list(pool.map(lambda line, t=translator: t([line], BEAM), lines))
        assert texts == expected


def test_a_translation_during_training(seed):
    """`fit` traces in its thread while another one translates with another model."""
    run = make_run(bidirectional=True, attention='additive')
    config = ModelConfig(8, 8, 2, masked=True, attention='additive')
    lines, losses = sentences(0), []
    translator = Translator.of(run)
    expected = [translator([line]) for line in lines]

    def train():
        src_vocab, tgt_vocab, corpus = encode_pairs(
            [('a b', 'b a'), ('c', 'c'), ('a c .', '. c a')] * 9, 6
        )
        model = build_model(config, len(src_vocab), len(tgt_vocab))
        initialize(model, CTX)
        feed = BucketFeed(corpus, 4, seed, CTX, width=1)
        fit(
            model,
            feed,
            num_epochs=3,
            lr=0.01,
            on_epoch_end=lambda metrics, state: losses.append(metrics.train.nll_per_token),
        )

    with concurrent.futures.ThreadPoolExecutor(2) as pool:
        training = pool.submit(train)
        translator = Translator.of(run)
        texts = [pool.submit(translator, [line]).result() for line in lines]
        training.result()
    assert texts == expected and losses[-1] < losses[0]


@pytest.fixture(scope='module')
def translator_of_words():
    return Translator.of(make_run(DataConfig(num_steps=6, text_rules='words')))


@given(lines=st.lists(st.text(max_size=30), max_size=5))
@settings(deadline=None, max_examples=60)
def test_any_text_gives_one_line_for_each_line(translator_of_words, lines):
    logging.disable(logging.WARNING)
    try:
        texts = translator_of_words(lines)
    finally:
        logging.disable(logging.NOTSET)
    assert len(texts) == len(lines)
    assert not any(set(text) & set('\n\r\v\f\x1c\x1d\x1e\x85\u2028\u2029') for text in texts)


@pytest.mark.slow
def test_memory_stays_flat_over_a_stream(tmp_path):
    """The second hundred thousand lines need no more memory than the first."""
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
        'translations = translator.stream(lines)\n'
        'for part in range(2):\n'
        '    for _ in itertools.islice(translations, 100_000): pass\n'
        '    print(resource.getrusage(resource.RUSAGE_SELF).ru_maxrss)\n'
    )
    result = subprocess.run(
        [sys.executable, '-c', code], capture_output=True, text=True, cwd=ROOT, check=True
    )
    first, second = map(int, result.stdout.split())
    assert second - first < 20_000  # kilobytes


def test_there_may_be_no_translation():
    """As when more distinct tokens are required than the vocabulary has."""
    translator = Translator.of(make_run(vocab=chapter_vocab([['a', 'b']], min_freq=1)))
    search = SearchConfig(beam_size=2, min_length=8, no_repeat_ngram=1)
    assert translator.translate(['a', 'b a'], search) == [[], []]
    assert translator(['a', 'b a'], search) == ['', '']


@pytest.mark.parametrize('method', ['translate', 'stream'])
def test_a_sentence_in_place_of_a_list_is_refused(method):
    translator = Translator.of(make_run())
    with pytest.raises(TypeError, match=r'got a str: pass \['):
        list(getattr(translator, method)('a b'))


@pytest.mark.parametrize('search', [SearchConfig(), BEAM, SearchConfig(sample=True)], ids=str)
def test_a_translation_while_gradients_are_recorded_has_no_dropout(search, seed):
    translator = Translator.of(make_run(dropout=0.9, bidirectional=True, attention='general'))
    lines = sentences(seed, 10)
    expected = translator(lines, search)
    with autograd.record():
        assert translator(lines, search) == expected
        assert autograd.is_recording() and autograd.is_training()
