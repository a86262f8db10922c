"""The book's functions and blocks against d2l 0.14.0 itself, which runs in its own environment."""

import json
import subprocess
import sys
from pathlib import Path

import numpy as onp
import pytest
from book_losses import book_losses

from d2l_seq2seq import book
from d2l_seq2seq._mxnet import npx, seed_generators
from d2l_seq2seq.book.machine_translation import preprocess_nmt
from d2l_seq2seq.book.seq2seq import predict_s2s_ch9
from d2l_seq2seq.config import ModelConfig
from d2l_seq2seq.data.encoding import first_examples
from d2l_seq2seq.data.pipeline import load_pairs
from d2l_seq2seq.models.factory import build_model

from conftest import ROOT

sys.path.insert(0, str(ROOT / 'benchmarks'))
import environments  # noqa: E402

pytestmark = [pytest.mark.peer, pytest.mark.slow]


@pytest.fixture(scope='session')
def peer_python() -> Path:
    """The interpreter of an environment with d2l 0.14.0, which is created once in .peers."""
    try:
        return environments.python_of('d2l-0.14.0')
    except environments.NotAvailable as reason:
        pytest.skip(str(reason))


@pytest.fixture
def peer(peer_python, tmp_path):
    """A function that runs a task of peer_d2l_0_14.py and returns its result."""

    def run(task, **arguments):
        job, result = tmp_path / 'job.json', tmp_path / 'result.json'
        job.write_text(json.dumps({'task': task, 'arguments': arguments}), encoding='utf-8')
        script = ROOT / 'tests' / 'peer_d2l_0_14.py'
        subprocess.run([peer_python, script, job, result], check=True, cwd=tmp_path)
        return json.loads(result.read_text(encoding='utf-8'))

    return run


def chapter_model(src_vocab_size, tgt_vocab_size):
    return build_model(ModelConfig(), src_vocab_size, tgt_vocab_size)


def attention_model(src_vocab_size, tgt_vocab_size):
    return book.EncoderDecoder(
        book.Seq2SeqEncoder(src_vocab_size, 32, 32, 2),
        book.Seq2SeqAttentionDecoder(tgt_vocab_size, 32, 32, 2),
    )


def transformer_model(src_vocab_size, tgt_vocab_size):
    sizes = (32, 64, 4, 2, 0.0)
    return book.EncoderDecoder(
        book.TransformerEncoder(src_vocab_size, *sizes),
        book.TransformerDecoder(max(src_vocab_size, tgt_vocab_size), *sizes),
    )


@pytest.mark.parametrize(
    'section, new_model, num_epochs',
    [('9.7', chapter_model, 60), ('10.2', attention_model, 10), ('10.3', transformer_model, 10)],
)
def test_data_losses_and_translations_equal_those_of_d2l(
    peer, corpus, seed, section, new_model, num_epochs
):
    pairs = first_examples(corpus.pairs, 1000)
    sentences = sorted({preprocess_nmt(src) for src, _ in pairs})
    expected = peer(
        'train',
        text='\n'.join('\t'.join(pair) for pair in corpus.pairs),
        seed=seed,
        num_epochs=num_epochs,
        sentences=sentences,
        section=section,
    )
    ctx = npx.cpu()
    src_vocab, tgt_vocab, data_iter = load_pairs(pairs, 64, 10)
    assert src_vocab.idx_to_token == expected['src_tokens']
    assert tgt_vocab.idx_to_token == expected['tgt_tokens']
    onp.random.seed(seed)
    batches = [[array.asnumpy().tolist() for array in batch] for batch in data_iter]
    assert batches == expected['batches']

    seed_generators(seed)
    model = new_model(len(src_vocab), len(tgt_vocab))
    losses = book_losses(model, data_iter, 0.005, num_epochs, ctx)
    # The same operators in the same order on the same processor: equal, not only close.
    assert losses == expected['losses']
    translations = [
        predict_s2s_ch9(model, sentence, src_vocab, tgt_vocab, 10, ctx) for sentence in sentences
    ]
    assert translations == expected['translations']


def test_attention_layers_equal_those_of_d2l(peer, seed):
    """The weights, the contexts and the gradients are equal, with and without dropout."""
    from peer_d2l_0_14 import attention_layers  # after d2l_seq2seq, which makes MXNet ready

    assert attention_layers(book, seed) == peer('attention_layers', seed=seed)


def test_the_transformer_encoder_equals_that_of_d2l(peer, seed):
    from peer_d2l_0_14 import transformer_encoder  # after d2l_seq2seq, as above

    assert transformer_encoder(book, seed) == peer('transformer_encoder', seed=seed)
