"""The quality and the training speed of each model of the family: python family.py

Each model is trained on the chapter's data by the command `train`, one after the other, and then
translates all sources that it was trained on.  BLEU is sacreBLEU's, with all references as they are
in the corpus.  An exact match is a translation that equals one of the references, where words that
are not in the vocabulary are <unk> on both sides.  The table is written to results/family.md.
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
from d2l_seq2seq.data.corpus import Corpus
from d2l_seq2seq.data.encoding import Pairs, first_examples, group_references
from d2l_seq2seq.runs.checkpoint import Run

OPTIONS = {  # of `train`, for each model
    'chapter': '',
    'GRU': '--cell gru',
    'RNN': '--cell rnn',
    'masked encoder': '--masked',
    'bidirectional encoder': '--bidirectional',
    'context at every step': '--masked --context-every-step',
    'dropout': '--masked --dropout 0.2',
    'tied output': '--masked --tied',
    'additive attention': '--masked --attention additive',
    'dot attention': '--masked --attention dot',
    'general attention': '--masked --attention general',
    'general attention, bidirectional, GRU': '--attention general --bidirectional --cell gru',
    'OpenGenus article, 60 epochs': '--preset opengenus --num-epochs 60',
}


def main() -> None:
    """Measure all models and write the table."""
    corpus = read_corpus('auto')
    # All speeds are measured first, one shortly after the other, so that they are comparable.
    speeds = {name: measure_speed(options) for name, options in OPTIONS.items()}
    print(speeds, flush=True)
    lines = [
        "# The model family on the chapter's data",
        '',
        f'{describe_machine()}; corpus {corpus.name}, 300 epochs, seed 0.',
        '',
        '| model | options of `train` | parameters | nats per token | BLEU | exact matches '
        '| tokens/s |',
        '|---|---|---|---|---|---|---|',
    ]
    for name, options in OPTIONS.items():
        code = f'`{options}`' if options else ''
        cells = measure_quality(options, corpus)
        lines.append(f'| {name} | {code} | {cells} | {speeds[name]:,.0f} |')
        print(lines[-1], flush=True)
    (HERE / 'results' / 'family.md').write_text('\n'.join(lines) + '\n')


def measure_speed(options: str) -> float:
    """Return the tokens per second, the median of ten epochs."""
    with tempfile.TemporaryDirectory() as folder:
        _, epochs = train(options, folder, '--num-epochs', '10')
    return statistics.median(epoch['tokens_per_sec'] for epoch in epochs)


def measure_quality(options: str, corpus: Corpus) -> str:
    """Return the number of parameters, the loss and the scores, as cells of the table."""
    with tempfile.TemporaryDirectory() as folder:
        run_folder, epochs = train(options, folder)
        run = load_run(run_folder, npx.cpu())
    size = sum(parameter.data().size for parameter in run.model.collect_params().values())
    pairs = first_examples(corpus.pairs, run.config.data.num_examples)
    bleu, num_matches, num_sources = score_translations(run, pairs)
    return (
        f'{size:,} | {epochs[-1]["nll_per_token"]:.3f} | {bleu:.1f} '
        f'| {num_matches} of {num_sources} ({num_matches / num_sources:.0%})'
    )


def train(options: str, folder: str, *more_options: str) -> tuple[Path, list[dict]]:
    """Train with the command; return the run folder and the metrics of each epoch."""
    run_folder = Path(folder) / 'run'
    command = [sys.executable, '-m', 'd2l_seq2seq.train', *options.split(), '--out', run_folder]
    subprocess.run([*command, *more_options], check=True, stdout=subprocess.DEVNULL)
    lines = (run_folder / 'metrics.jsonl').read_text().splitlines()
    return run_folder, [json.loads(line) for line in lines]


def score_translations(run: Run, pairs: Pairs) -> tuple[float, int, int]:
    """Return the BLEU of all sources, the number of exact matches, and the number of sources."""
    references = group_references(pairs, run.tokenizer)
    translations = Translator.of(run)(references)
    num_matches = 0
    for translation, source_references in zip(translations, references.values()):
        # Encoding and decoding replaces words that are not in the vocabulary by <unk>.
        known_tokens = [
            run.tgt_vocab.to_tokens(run.tgt_vocab[run.tokenizer.tokenize_tgt(reference)])
            for reference in source_references
        ]
        num_matches += translation in map(run.tokenizer.detokenize, known_tokens)
    bleu = corpus_scores(translations, list(references.values()))['BLEU'].value
    return bleu, num_matches, len(references)


if __name__ == '__main__':
    main()
