"""What each member of the family learns of the chapter's data, and how fast: python family.py

Each is trained by the command itself, one after the other, and then translates every source that
it was trained on.  BLEU is sacreBLEU's against all references as they are written.  An exact match
is one of the source's references, word for word, where words that the vocabulary does not have are
<unk> on both sides.  The table goes to results/family.md.
"""

from __future__ import annotations

import json
import statistics
import subprocess
import sys
import tempfile
from pathlib import Path

from training_speed import HERE, describe_machine

from d2l_seq2seq import Translator, corpus_scores, load_run, read_corpus
from d2l_seq2seq._mxnet import npx
from d2l_seq2seq.data.encoding import first_examples, group_references
from d2l_seq2seq.runs.checkpoint import Run

MEMBERS = {
    "the chapter's": '',
    'GRU': '--cell gru',
    'RNN': '--cell rnn',
    'without padding': '--masked',
    'in both directions': '--bidirectional',
    'context at every step': '--masked --context-every-step',
    'dropout': '--masked --dropout 0.2',
    'tied output': '--masked --tied',
    'additive attention': '--masked --attention additive',
    'dot attention': '--masked --attention dot',
    'general attention': '--masked --attention general',
    'general, both directions, GRU': '--attention general --bidirectional --cell gru',
    "the article's, 60 epochs": '--preset opengenus --num-epochs 60',
}


def judge(run: Run, pairs) -> tuple[float, int, int]:
    """BLEU of all sources, and how many come out as one of their references, and of how many."""
    references = group_references(pairs, run.tokenizer)
    translations = Translator.of(run)(references)
    right = 0
    for translation, own in zip(translations, references.values()):
        known = [
            run.tgt_vocab.to_tokens(run.tgt_vocab[run.tokenizer.tokenize_tgt(one)]) for one in own
        ]
        right += translation in [run.tokenizer.detokenize(tokens) for tokens in known]
    bleu = corpus_scores(translations, list(references.values()))['BLEU'].value
    return bleu, right, len(references)


def train(options: str, folder: str, *more: str) -> tuple[Path, list[dict]]:
    """A run's folder and its metrics."""
    out = Path(folder) / 'run'
    subprocess.run(
        [sys.executable, '-m', 'd2l_seq2seq.train', *options.split(), '--out', out, *more],
        check=True,
        stdout=subprocess.DEVNULL,
    )
    return out, [json.loads(line) for line in (out / 'metrics.jsonl').read_text().splitlines()]


def speed_of(options: str) -> float:
    """Tokens a second, the median of ten epochs."""
    with tempfile.TemporaryDirectory() as folder:
        _, rows = train(options, folder, '--num-epochs', '10')
    return statistics.median(row['tokens_per_sec'] for row in rows)


def learn(options: str, corpus) -> str:
    """Parameters, loss and matches."""
    with tempfile.TemporaryDirectory() as folder:
        out, rows = train(options, folder)
        run = load_run(out, npx.cpu())
    size = sum(parameter.data().size for parameter in run.model.collect_params().values())
    bleu, right, count = judge(run, first_examples(corpus.pairs, run.config.data.num_examples))
    return (
        f'{size:,} | {rows[-1]["nll_per_token"]:.3f} '
        f'| {bleu:.1f} | {right} of {count} ({right / count:.0%})'
    )


def main() -> None:
    """Measure all members and write the table."""
    corpus = read_corpus('auto')
    speeds = {name: speed_of(options) for name, options in MEMBERS.items()}  # close to each other
    print(speeds, flush=True)
    lines = [
        "# The family on the chapter's data",
        '',
        f'{describe_machine()}; corpus {corpus.name}, 300 epochs, seed 0.',
        '',
        '| model | options of `train` | parameters | nats per token | BLEU | exact matches '
        '| tokens/s |',
        '|---|---|---|---|---|---|---|',
    ]
    for name, options in MEMBERS.items():
        shown = f'`{options}`' if options else ''
        lines.append(f'| {name} | {shown} | {learn(options, corpus)} | {speeds[name]:,.0f} |')
        print(lines[-1], flush=True)
    (HERE / 'results' / 'family.md').write_text('\n'.join(lines) + '\n')


if __name__ == '__main__':
    main()
