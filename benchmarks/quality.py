"""Quality after a fixed training time, ours and PyTorch's: python quality.py [MINUTES]

Both train the same architecture (a masked LSTM encoder, and an LSTM decoder with general attention)
on the same subwords of the whole corpus, in batches with the same number of tokens, with Adam and
the same learning rate.  They train one after the other, for the same number of minutes in whole
epochs, on all cores.  Then the same search translates the test sentences with the weights of each.
The table is written to results/quality.md.
"""

from __future__ import annotations

import json
import os
import subprocess
import sys
import tempfile
from pathlib import Path

import numpy as onp
from training_speed import HERE, describe_machine

from d2l_seq2seq import SearchConfig, Translator, corpus_scores, load_run, read_corpus
from d2l_seq2seq._mxnet import npx
from d2l_seq2seq.data.encoding import encode_tokens, group_references, tokenize_pairs
from d2l_seq2seq.data.pipeline import split_corpus
from d2l_seq2seq.models.factory import set_weights
from d2l_seq2seq.runs.folder import save_run

from environments import NotAvailable, python_of

OPTIONS = (
    '--num-examples all --held-out 0.01 --text-rules subwords --num-subwords 4000 '
    '--min-freq 1 --num-steps 40 --bucket-width 4 --max-tokens 2048 --embed-size 256 '
    '--num-hiddens 256 --attention general --masked --dropout 0.1 --objective per-token '
    '--lr 0.002 --num-epochs 1000'
)


def main() -> None:
    """Train both, score both, and write the table."""
    minutes = float(sys.argv[1]) if sys.argv[1:] else 30
    python_of('torch-2.13.0')  # fails before any training if there is no such environment
    lines = [
        '# Quality after a fixed training time',
        '',
        f'{describe_machine()}; corpus {read_corpus("auto").name}; {minutes:g} minutes each, '
        f'one run each. Options of `train`: `{OPTIONS}`.',
        '',
        '| | epochs | nats per subword, last epoch | BLEU, greedy | chrF, greedy | BLEU, beam of 5 '
        '| chrF, beam of 5 |',
        '|---|---|---|---|---|---|---|',
    ]
    folder = Path(os.environ.get('QUALITY_FOLDER') or tempfile.mkdtemp())
    ours, pytorch = folder / 'ours', folder / 'pytorch'
    for name, run, train in (
        ('ours', ours, lambda: train_ours(minutes, ours)),
        ('PyTorch 2.13', pytorch, lambda: train_pytorch(minutes, ours, pytorch)),
    ):
        progress = train()
        lines.append(' | '.join(['| ' + name, progress, *score_cells(run)]) + ' |')
        print(lines[-1], flush=True)
    text = '\n'.join(lines) + '\n'
    print(text)
    if minutes == 30:
        (HERE / 'results' / 'quality.md').write_text(text)


def train_ours(minutes: float, run_folder: Path) -> str:
    """Train with the command; return the number of epochs and the last loss, as cells."""
    subprocess.run(
        [
            sys.executable,
            '-m',
            'd2l_seq2seq.train',
            *OPTIONS.split(),
            '--max-minutes',
            str(minutes),
            '--out',
            run_folder,
        ],
        check=True,
    )
    epochs = [json.loads(line) for line in (run_folder / 'metrics.jsonl').read_text().splitlines()]
    return f'{len(epochs)} | {epochs[-1]["nll_per_token"]:.3f}'


def train_pytorch(minutes: float, our_run: Path, run_folder: Path) -> str:
    """Train with PyTorch on the data of our run, and save the weights as a run of the package.

    Returns
    -------
    str
        The number of epochs and the last loss, as cells of the table.
    """
    run = load_run(our_run, npx.cpu())
    data = run.config.data
    pairs = split_corpus(data, read_corpus(data.corpus)).train
    corpus = encode_tokens(
        *tokenize_pairs(pairs, run.tokenizer), run.src_vocab, run.tgt_vocab, data.num_steps
    )
    with tempfile.TemporaryDirectory() as folder:
        path = Path(folder) / 'arrays.npz'
        onp.savez(path, *corpus)
        job = {
            'arrays': str(path),
            'minutes': minutes,
            'weights': str(Path(folder) / 'weights.npz'),
            'src_vocab_size': len(run.src_vocab),
            'tgt_vocab_size': len(run.tgt_vocab),
            'model': vars(run.config.model),
            'max_tokens': data.max_tokens,
            'bucket_width': data.bucket_width,
            'lr': run.config.training.lr,
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
            set_weights(run.model, weights)
    save_run(run_folder, run)
    report = json.loads(result.stdout.splitlines()[-1])
    return f'{report["epochs"]} | {report["nll_per_token"]:.3f}'


def score_cells(run_folder: Path) -> list[str]:
    """Return the scores of the test sentences, greedy and with a beam of 5, as cells."""
    run = load_run(run_folder, npx.cpu())
    translator = Translator.of(run)
    pairs = split_corpus(run.config.data, read_corpus(run.config.data.corpus)).test
    references = group_references(pairs, run.tokenizer)
    cells = []
    for search in (SearchConfig(), SearchConfig(beam_size=5)):
        scores = corpus_scores(translator(list(references), search), list(references.values()))
        cells += [f'{scores[name].value:.1f}' for name in ('BLEU', 'chrF')]
    print(scores['BLEU'].signature, scores['chrF'].signature, len(references), flush=True)
    return cells


if __name__ == '__main__':
    try:
        main()
    except NotAvailable as reason:
        sys.exit(str(reason))
