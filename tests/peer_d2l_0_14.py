"""Runs the edition's own package, d2l 0.14.0, in its own environment; see test_equivalence.py.

python peer_d2l_0_14.py JOB ANSWER: JOB is a JSON file with `text`, `seed`, `num_epochs` and
`translate`; what d2l makes of it goes to the JSON file ANSWER.
"""

import json
import sys
from pathlib import Path

import numpy as onp
from mxnet import cpu, npx
from mxnet import random as mx_random

sys.path.insert(0, str(Path(__file__).resolve().parents[1] / 'benchmarks' / 'peers'))
from quiet_d2l import Recorded, d2l  # noqa: E402

npx.set_np()


def main(job):
    d2l.read_data_nmt = lambda: job['text']
    src_vocab, tgt_vocab, data_iter = d2l.load_data_nmt(64, 10)
    onp.random.seed(job['seed'])
    result = {
        'src_tokens': src_vocab.idx_to_token,
        'tgt_tokens': tgt_vocab.idx_to_token,
        'batches': [[array.asnumpy().tolist() for array in batch] for batch in data_iter],
    }
    mx_random.seed(job['seed'])
    onp.random.seed(job['seed'])
    model = d2l.EncoderDecoder(
        d2l.Seq2SeqEncoder(len(src_vocab), 32, 32, 2, 0.0),
        d2l.Seq2SeqDecoder(len(tgt_vocab), 32, 32, 2, 0.0),
    )
    d2l.train_s2s_ch9(model, data_iter, 0.005, job['num_epochs'], cpu())
    result['losses'] = [metric[0] / metric[1] for metric in Recorded.made]
    result['translations'] = [
        d2l.predict_s2s_ch9(model, sentence, src_vocab, tgt_vocab, 10, cpu())
        for sentence in job['translate']
    ]
    return result


if __name__ == '__main__':
    with open(sys.argv[1], encoding='utf-8') as job_file:
        answer = main(json.load(job_file))
    with open(sys.argv[2], 'w', encoding='utf-8') as answer_file:
        json.dump(answer, answer_file)
