"""The chapter's functions against d2l 0.14.0 itself, run in an environment of its own."""

import json
import subprocess
import sys
from pathlib import Path

import numpy as onp
import pytest

from d2l_seq2seq._mxnet import npx, seed_generators
from d2l_seq2seq.book.machine_translation import preprocess_nmt
from d2l_seq2seq.book.seq2seq import predict_s2s_ch9, s2s_epochs_ch9
from d2l_seq2seq.config import ModelConfig
from d2l_seq2seq.data.encoding import first_examples
from d2l_seq2seq.data.feed import load_pairs
from d2l_seq2seq.models.factory import build_model

from conftest import ROOT

sys.path.insert(0, str(ROOT / 'benchmarks'))
import environments  # noqa: E402

pytestmark = [pytest.mark.peer, pytest.mark.slow]

NUM_EPOCHS = 60


@pytest.fixture(scope='session')
def peer_python() -> Path:
    """The interpreter of an environment with d2l 0.14.0, made once and kept in .peers."""
    try:
        return environments.python_of('d2l-0.14.0')
    except environments.NotAvailable as reason:
        pytest.skip(str(reason))


@pytest.fixture
def peer(peer_python, corpus, tmp_path, seed):
    """What d2l 0.14.0 makes of a corpus."""
    job = {
        'text': '\n'.join('\t'.join(pair) for pair in corpus.pairs),
        'seed': seed,
        'num_epochs': NUM_EPOCHS,
        'translate': sources(corpus),
    }
    (tmp_path / 'job.json').write_text(json.dumps(job), encoding='utf-8')
    subprocess.run(
        [
            peer_python,
            ROOT / 'tests' / 'peer_d2l_0_14.py',
            tmp_path / 'job.json',
            tmp_path / 'answer.json',
        ],
        check=True,
        cwd=tmp_path,
    )
    return json.loads((tmp_path / 'answer.json').read_text(encoding='utf-8'))


def sources(corpus) -> list:
    """All distinct source sentences that are trained on."""
    return sorted({preprocess_nmt(src) for src, _ in first_examples(corpus.pairs, 1000)})


def test_data_losses_and_translations_are_those_of_d2l(peer, corpus, seed):
    ctx = npx.cpu()
    src_vocab, tgt_vocab, data_iter = load_pairs(first_examples(corpus.pairs, 1000), 64, 10)
    assert src_vocab.idx_to_token == peer['src_tokens']
    assert tgt_vocab.idx_to_token == peer['tgt_tokens']
    onp.random.seed(seed)
    assert [[array.asnumpy().tolist() for array in batch] for batch in data_iter] == peer['batches']

    seed_generators(seed)
    model = build_model(ModelConfig(), len(src_vocab), len(tgt_vocab))
    losses = [
        metric[0] / metric[1]
        for _, metric, _ in s2s_epochs_ch9(model, data_iter, 0.005, NUM_EPOCHS, ctx)
    ]
    # The same operators in the same order on the same processor: not close, but equal.
    assert losses == peer['losses']
    translations = [
        predict_s2s_ch9(model, sentence, src_vocab, tgt_vocab, 10, ctx)
        for sentence in sources(corpus)
    ]
    assert translations == peer['translations']
