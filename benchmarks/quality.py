"""How good does a model get in a fixed time, ours and PyTorch's? python quality.py [MINUTES]

Both train the same architecture (a masked LSTM encoder, an LSTM decoder with general attention) on
the same subwords of the whole corpus, in batches of as many tokens, with Adam at the same rate, for
as many minutes on all cores, in whole epochs; one after the other.  Then the same search translates
the test sentences with either's weights.  The table goes to results/quality.md.
"""

from __future__ import annotations

import json
import os
import subprocess
import sys
import tempfile
from pathlib import Path

import numpy as onp
from environments import NotAvailable, python_of
from training_speed import HERE, describe_machine

from d2l_seq2seq import SearchConfig, Translator, corpus_scores, load_run, read_corpus
from d2l_seq2seq._mxnet import npx
from d2l_seq2seq.data.encoding import encode_tokens, group_references, tokenize_pairs
from d2l_seq2seq.data.pipeline import split_corpus
from d2l_seq2seq.models.factory import set_weights
from d2l_seq2seq.runs.folder import save_run

OPTIONS = (
    '--num-examples all --held-out 0.01 --text-rules subwords --num-subwords 4000 '
    '--min-freq 1 --num-steps 40 --bucket-width 4 --max-tokens 2048 --embed-size 256 '
    '--num-hiddens 256 --attention general --masked --dropout 0.1 --objective per-token '
    '--lr 0.002 --num-epochs 1000'
)


def train_ours(minutes: float, out: Path) -> str:
    """Train with the command; returns how far it came."""
    subprocess.run(
        [
            sys.executable,
            '-m',
            'd2l_seq2seq.train',
            *OPTIONS.split(),
            '--max-minutes',
            str(minutes),
            '--out',
            out,
        ],
        check=True,
    )
    rows = [json.loads(line) for line in (out / 'metrics.jsonl').read_text().splitlines()]
    return f'{len(rows)} | {rows[-1]["nll_per_token"]:.3f}'


def train_pytorch(minutes: float, run: Path, out: Path) -> str:
    """Train on the arrays of our run, and make a run of the weights; returns how far it came."""
    ours = load_run(run, npx.cpu())
    data = ours.config.data
    pairs = split_corpus(data, read_corpus(data.corpus)).train
    arrays = encode_tokens(
        *tokenize_pairs(pairs, ours.tokenizer), ours.src_vocab, ours.tgt_vocab, data.num_steps
    )
    with tempfile.TemporaryDirectory() as folder:
        path = Path(folder) / 'arrays.npz'
        onp.savez(path, *arrays)
        job = {
            'arrays': str(path),
            'minutes': minutes,
            'weights': str(Path(folder) / 'weights.npz'),
            'src_vocab_size': len(ours.src_vocab),
            'tgt_vocab_size': len(ours.tgt_vocab),
            'model': vars(ours.config.model),
            'max_tokens': data.max_tokens,
            'bucket_width': data.bucket_width,
            'lr': ours.config.training.lr,
        }
        Path(folder, 'job.json').write_text(json.dumps(job))
        result = subprocess.run(
            [
                python_of('torch-2.13.0'),
                HERE / 'peers' / 'pytorch_quality.py',
                Path(folder) / 'job.json',
            ],
            check=True,
            stdout=subprocess.PIPE,
            text=True,
        )
        with onp.load(Path(folder) / 'weights.npz') as weights:
            set_weights(ours.model, weights)
    save_run(out, ours)
    report = json.loads(result.stdout.splitlines()[-1])
    return f'{report["epochs"]} | {report["nll_per_token"]:.3f}'


def judge(run: Path) -> list[str]:
    """Scores of the test sentences, greedy and with a beam of 5, as cells of the table."""
    loaded = load_run(run, npx.cpu())
    translator = Translator.of(loaded)
    pairs = split_corpus(loaded.config.data, read_corpus(loaded.config.data.corpus)).test
    references = group_references(pairs, loaded.tokenizer)
    cells = []
    for search in (SearchConfig(), SearchConfig(beam_size=5)):
        scores = corpus_scores(translator(list(references), search), list(references.values()))
        cells += [f'{scores[name].value:.1f}' for name in ('BLEU', 'chrF')]
    print(scores['BLEU'].signature, scores['chrF'].signature, len(references), flush=True)
    return cells


def main() -> None:
    """Train both, judge both, write the table."""
    minutes = float(sys.argv[1]) if sys.argv[1:] else 30
    python_of('torch-2.13.0')
    lines = [
        '# Quality in a fixed time',
        '',
        f'{describe_machine()}; corpus {read_corpus("auto").name}; {minutes:g} minutes each, '
        f'one run each. Options of `train`: `{OPTIONS}`.',
        '',
        '| | epochs | nats per subword in the last | BLEU, greedy | chrF | BLEU, beam 5 | chrF |',
        '|---|---|---|---|---|---|---|',
    ]
    folder = Path(os.environ.get('QUALITY_FOLDER') or tempfile.mkdtemp())
    for name, train in (
        ('ours', lambda: train_ours(minutes, folder / 'ours')),
        ('PyTorch 2.13', lambda: train_pytorch(minutes, folder / 'ours', folder / 'pytorch')),
    ):
        progress = train()
        cells = judge(folder / ('ours' if name == 'ours' else 'pytorch'))
        lines.append(' | '.join(['| ' + name, progress, *cells]) + ' |')
        print(lines[-1], flush=True)
    text = '\n'.join(lines) + '\n'
    print(text)
    if minutes == 30:
        (HERE / 'results' / 'quality.md').write_text(text)


if __name__ == '__main__':
    try:
        main()
    except NotAvailable as reason:
        sys.exit(str(reason))
