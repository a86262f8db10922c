"""Lines that are longer than in training: few widths, the same translations, flat memory."""

import subprocess
import sys
import textwrap

import numpy as onp
import pytest

from d2l_seq2seq import (
    EncoderDecoder,
    ModelConfig,
    SearchConfig,
    Translator,
    book,
    build_model,
    initialize,
)
from d2l_seq2seq._mxnet import np, npx
from d2l_seq2seq.data.tokenizers import chapter_vocab

CTX = npx.cpu()
NUM_STEPS = 6
VOCAB = chapter_vocab([list('abcdefgh')], min_freq=1)
SHORT_OUTPUT = SearchConfig(max_length=3)


class NotingEncoder(book.Seq2SeqEncoder):
    """The chapter's encoder, which notes the widths of the batches that it is traced with."""

    def __init__(self, *args, reads_padding):
        super().__init__(*args)
        self.widths, self.reads_padding = set(), reads_padding

    def forward(self, X, *args):
        self.widths.add(X.shape[1])
        return super().forward(X, *args)


def line(length, seed=0):
    return ' '.join(onp.random.RandomState(seed).choice(list('abcdefgh'), length))


def widths_of(lengths, reads_padding):
    """Return the widths that sources of these lengths are padded to."""
    encoder = NotingEncoder(len(VOCAB), 4, 4, 1, reads_padding=reads_padding)
    model = EncoderDecoder(encoder, book.Seq2SeqDecoder(len(VOCAB), 4, 4, 1))
    initialize(model, CTX)
    translator = Translator(model, VOCAB, VOCAB, NUM_STEPS)
    encoder.widths.clear()
    for length in lengths:
        translator(line(length), SHORT_OUTPUT)
    return encoder.widths


@pytest.mark.parametrize('reads_padding', [True, False])
def test_long_lines_come_in_few_widths(reads_padding):
    widths = widths_of(range(1, 1000, 7), reads_padding)
    assert len(widths) < 60
    assert max(widths) >= 995


@pytest.mark.parametrize('length', [7, 11, 16, 17, 100, 129, 999])
def test_at_most_an_eighth_of_a_long_line_is_padding(length):
    (width,) = widths_of([length], reads_padding=True)
    assert length <= width <= length * 9 / 8


def test_the_chapters_model_reads_as_much_padding_as_in_training():
    assert widths_of(range(1, NUM_STEPS + 1), reads_padding=True) == {NUM_STEPS}


@pytest.mark.parametrize(
    'settings', [{'masked': True}, {'bidirectional': True, 'attention': 'general'}], ids=str
)
def test_padding_does_not_change_the_translations_of_long_lines(settings, seed):
    model = build_model(ModelConfig(8, 8, 1, **settings), len(VOCAB), len(VOCAB))
    initialize(model, CTX)
    for parameter in model.collect_params().values():
        parameter.set_data(parameter.data() * 3)
    translator = Translator(model, VOCAB, VOCAB, NUM_STEPS)
    for length in (9, 17, 130):
        text = line(length, seed)
        ((translation,),) = translator.translate([text], SearchConfig(max_length=8))
        expected, log_probs = greedy(model, VOCAB[text.split()], 8)
        assert translation.tokens == VOCAB.to_tokens(expected)
        onp.testing.assert_allclose(translation.log_probs, log_probs, atol=1e-4)


def greedy(model, source, max_length):
    """Return the most likely tokens and their log-probabilities, step by step, without padding."""
    valid_len = np.array([len(source)])
    state = model.decoder.init_state(model.encoder(np.array([source]), valid_len), valid_len)
    token, tokens, log_probs = VOCAB['<bos>'], [], []
    while len(log_probs) < max_length:
        logits, state = model.decoder(np.array([[token]]), state)
        scores = npx.log_softmax(logits[0, 0]).asnumpy()
        scores[[VOCAB['<pad>'], VOCAB['<bos>']]] = -onp.inf  # which no search returns
        token = int(scores.argmax())
        log_probs.append(scores[token])
        if token == VOCAB['<eos>']:
            break
        tokens.append(token)
    return tokens, log_probs


@pytest.mark.slow
def test_memory_does_not_grow_with_the_number_of_lengths():
    """Graphs of 990 widths took more than 500 MB for this model."""
    code = """
        import logging, random
        from pathlib import Path
        from d2l_seq2seq import *
        from d2l_seq2seq._mxnet import npx
        from d2l_seq2seq.data.tokenizers import chapter_vocab

        def resident():
            status = Path('/proc/self/status').read_text()
            return int(status.split('VmRSS:')[1].split()[0]) / 1024

        logging.disable(logging.WARNING)  # each line is longer than in training
        vocab = chapter_vocab([list('abcdefgh')], min_freq=1)
        model = build_model(ModelConfig(), len(vocab), len(vocab))
        initialize(model, npx.cpu())
        translator = Translator(model, vocab, vocab, 10)
        lines = [' '.join(random.choices('abcdefgh', k=length)) for length in range(11, 1000, 3)]
        search = SearchConfig(max_length=4)
        sizes = []
        for part in (lines[-1:], lines, lines):
            for line in part:
                translator(line, search)
            sizes.append(resident())
        print(sizes[1] - sizes[0], sizes[2] - sizes[1])
    """
    result = subprocess.run(
        [sys.executable, '-c', textwrap.dedent(code)], capture_output=True, text=True, check=True
    )
    first, second = map(float, result.stdout.split())
    assert first < 250 and second < 30, result.stdout  # MB
