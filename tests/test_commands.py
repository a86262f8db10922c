"""The commands as a user types them."""

import dataclasses
import json
import os
import re
import signal
import subprocess
import sys
import time

import pytest

from d2l_seq2seq import (
    DataConfig,
    InputError,
    ModelConfig,
    TrainingConfig,
    evaluate,
    train,
    translate,
)
from d2l_seq2seq.data import pipeline

from conftest import ROOT
from small_run import enable_sigint

SMALL = [
    '--num-examples',
    '60',
    '--num-epochs',
    '2',
    '--num-hiddens',
    '8',
    '--embed-size',
    '4',
    '--corpus',
    'bundled',
]


def command(name, *arguments, **kwargs):
    """Run a command in a process of its own."""
    environment = {**os.environ, 'PYTHONPATH': str(ROOT), **kwargs.pop('env', {})}
    return subprocess.run(
        [sys.executable, '-m', f'd2l_seq2seq.{name}', *arguments],
        capture_output=True,
        env=environment,
        timeout=300,
        **kwargs,
    )


def lines(data):
    return data.decode('utf-8').splitlines()


@pytest.fixture(scope='module')
def run(tmp_path_factory):
    """Return the folder of a trained run, and the output of the training."""
    folder = tmp_path_factory.mktemp('runs') / 'small'
    return folder, command('train', *SMALL, '--out', str(folder))


def test_train_prints_and_writes_what_the_readme_says(run):
    folder, result = run
    assert (result.returncode, result.stderr) == (0, b'')
    corpus, unknown, book_line, nll, *translations, where, following = lines(result.stdout)
    assert corpus.startswith('corpus bundled: 61 sentence pairs, ')
    assert re.match(r'unknown tokens \(<unk>\): [\d.]+ % of the source and [\d.]+ % of', unknown)
    assert following.startswith('next: ')
    assert following.endswith(f"python -m d2l_seq2seq.translate {folder} 'Go .'")
    assert re.fullmatch(r'loss \d\.\d{3}, \d+\.\d tokens/sec on cpu\(0\)', book_line)
    assert re.fullmatch(r'nll_per_token \d\.\d{3}', nll)
    assert len(translations) == 4 and all(' => ' in line for line in translations)
    assert str(folder) in where
    assert sorted(path.name for path in folder.iterdir()) == [
        '.lock',
        'checkpoints',
        'config.json',
        'loss.svg',
        'metrics.jsonl',
    ]
    assert [path.name for path in (folder / 'checkpoints').iterdir()] == ['epoch-2']


def test_metrics_have_one_line_per_epoch(run):
    folder, result = run
    rows = [json.loads(line) for line in (folder / 'metrics.jsonl').read_text().splitlines()]
    assert [row['epoch'] for row in rows] == [1, 2]
    assert all(
        set(row) == {'epoch', 'book_loss', 'nll_per_token', 'tokens_per_sec', 'lr'} for row in rows
    )
    for row in rows:  # nine label positions
        assert row['nll_per_token'] == pytest.approx(9 * row['book_loss'])
    assert f'loss {rows[-1]["book_loss"]:.3f},' in result.stdout.decode()


def test_config_holds_every_setting(run):
    values = json.loads((run[0] / 'config.json').read_text())
    given = {'corpus': 'bundled', 'num_examples': 60, 'batch_size': 64, 'num_steps': 10}
    assert given.items() <= values['data'].items()
    assert values['model']['num_hiddens'] == 8 and values['training']['seed'] == 0


def test_the_same_seed_gives_the_same_weights(run, tmp_path):
    for seed, same in (('0', True), ('1', False)):
        out = tmp_path / seed
        assert command('train', *SMALL, '--seed', seed, '--out', str(out)).returncode == 0
        weights = 'checkpoints/epoch-2/weights.npz'
        assert ((out / weights).read_bytes() == (run[0] / weights).read_bytes()) is same


def test_the_chapters_sentences_are_translated_where_the_corpus_has_them(run, tmp_path):
    result = command(
        'train', '--corpus', 'bundled', '--num-epochs', '1', '--out', 'run', cwd=tmp_path
    )
    sources = [line.split(' => ')[0] for line in lines(result.stdout) if ' => ' in line]
    assert sources == ['Go .', 'Wow !', "I'm OK .", 'I won !']


def test_a_corpus_file(tmp_path):
    (tmp_path / 'pairs.tsv').write_bytes(
        '\ufeffEins.\tUn.\r\n\r\nZwei.\tDeux.\r\nno pair\r\n'.encode('utf-8')
    )
    result = command(
        'train',
        '--corpus',
        'pairs.tsv',
        '--num-epochs',
        '1',
        '--num-examples',
        'all',
        '--out',
        'run',
        cwd=tmp_path,
    )
    assert result.returncode == 0
    assert lines(result.stdout)[0].startswith('corpus pairs.tsv: 2 sentence pairs')
    assert [line.split(' => ')[0] for line in lines(result.stdout) if ' => ' in line] == [
        'Eins.',
        'Zwei.',
    ]
    assert 'dropped 1 of 3 lines' in result.stderr.decode()


@pytest.mark.parametrize(
    'arguments, message',
    [
        (['--cell', 'LSTM'], '--cell: expected one of rnn, gru, lstm'),
        (['--preset', 'keras'], '--preset: invalid choice'),
        (['--input-feeding'], 'input_feeding: expected dot or general attention, got none'),
        (['--share-embedding'], 'share_embedding: expected share_vocab, because'),
        (['--max-norm', '0'], "--max-norm: expected a number above 0, or 'none'"),
        (['--num-epochs', '0'], '--num-epochs: expected a whole number from 1 to'),
        (['--num-steps', '1'], '--num-steps: expected a whole number from 2 to'),
        (['--lr', 'fast'], "--lr: expected a number above 0, got 'fast'"),
        (['--dropout', '1'], '--dropout: expected a number of at least 0 and below 1'),
        (
            ['--num-examples', 'some'],
            "--num-examples: expected a whole number from 1 to 1000000000, or 'all'",
        ),
        (['--num-epoch', '3'], 'unrecognized arguments: --num-epoch 3'),
        (['--max-tokens', '100'], 'max_tokens: expected bucket_width as well, because'),
        (['--held-out', '0.5'], '--held-out: expected a number from 0 to 0.4'),
        (
            ['--held-out', '0.001'],
            'held_out: expected sentence pairs in each part, got 61 for training',
        ),
        (['--corpus', 'missing.tsv'], 'missing.tsv: file not found. Pass auto, fra-eng'),
        (['--corpus', 'latin1.tsv'], 'latin1.tsv: expected UTF-8, got the byte 0xc9 in line 2'),
        (['--corpus', '.'], 'expected a file, got a folder'),
        (['--device', 'cpu(0),gpu(7)'], '--device cpu(0),gpu(7): there is no gpu(7)'),
        (['--device', 'cpu(0),cpu(1),cpu(0)'], 'cpu(0): expected different devices of one kind'),
        (['--device', 'cpu(0),'], 'or several separated by commas, got'),
        (['--device', 'tpu'], "got 'tpu'"),
        (['--out', 'latin1.tsv'], 'latin1.tsv: expected a new or empty folder, found a file'),
        (['--out', 'full'], 'expected a new or empty folder, found full/precious. Choose another'),
        (['--lr', '1e38'], 'the loss is nan in epoch 2, batch 1 (update 2, learning rate 1e+38)'),
    ],
)
def test_mistakes_get_one_line_and_exit_2(tmp_path, arguments, message):
    (tmp_path / 'latin1.tsv').write_bytes('Go.\tVa.\nÉté.\tSummer.\n'.encode('latin-1'))
    (tmp_path / 'full').mkdir()
    (tmp_path / 'full' / 'precious').write_text('mine')
    before = sorted(tmp_path.rglob('*'))
    out = [] if '--out' in arguments else ['--out', 'run']
    result = command('train', *SMALL, *out, *arguments, cwd=tmp_path)
    assert result.returncode == 2
    assert len(lines(result.stderr)) == 1 and message in result.stderr.decode()
    if '--lr' not in arguments or 'fast' in arguments:  # found before anything is written
        assert sorted(tmp_path.rglob('*')) == before and result.stdout == b''


def test_a_folder_that_cannot_be_written(tmp_path):
    result = command('train', *SMALL, '--out', '/proc/run', cwd=tmp_path)
    assert result.returncode == 2
    assert lines(result.stderr)[0].startswith('error: /proc/run: the folder cannot be created (')


@pytest.mark.parametrize(
    'options',
    [
        ['--cell', 'gru', '--masked', '--dropout', '0.2'],
        ['--cell', 'rnn', '--context-every-step'],
        ['--context', 'mean', '--masked'],
        ['--attention', 'additive', '--bidirectional'],
        ['--attention', 'dot', '--tied'],
        ['--preset', 'opengenus', '--num-hiddens', '8'],
        ['--teacher-forcing', '0.5'],
        ['--objective', 'per-token', '--max-norm', 'none'],
    ],
    ids=' '.join,
)
def test_every_kind_of_model_trains_and_translates(options, tmp_path):
    """The folder of a run has everything that translating needs."""
    sizes = ['--embed-size', '8', '--num-epochs', '2', '--corpus', 'bundled', '--out', 'run']
    result = command('train', *SMALL, *sizes, *options, cwd=tmp_path)
    assert (result.returncode, result.stderr) == (0, b'')
    printed = dict(line.split(' => ') for line in lines(result.stdout) if ' => ' in line)
    again = command('translate', 'run', *printed, cwd=tmp_path)
    assert lines(again.stdout) == list(printed.values())


def test_a_preset_is_overridden_by_options(tmp_path):
    result = command(
        'train',
        '--preset',
        'opengenus',
        '--corpus',
        'pseudo',
        '--num-hiddens',
        '4',
        '--no-reverse-source',
        '--out',
        'run',
        cwd=tmp_path,
    )
    assert result.returncode == 0
    assert 'corpus pseudo: 1,000 sentence pairs, vocabularies of 100 source and 100 target' in str(
        result.stdout
    )
    config = json.loads((tmp_path / 'run' / 'config.json').read_text())
    assert (config['model']['num_hiddens'], config['model']['embed_size']) == (4, 10)
    assert (config['data']['reverse_source'], config['data']['share_vocab']) == (False, True)
    assert config['training']['num_epochs'] == 2
    result = command('translate', 'run', '1 2 3', cwd=tmp_path)
    assert (result.returncode, result.stdout) == (2, b'')
    assert b'trained on random ids' in result.stderr


def test_attention_is_drawn(run, tmp_path):
    command('train', *SMALL, '--attention', 'general', '--out', 'run', cwd=tmp_path)
    result = command(
        'translate', 'run', 'Go.', '', "I'm OK.", '--attention', 'seen.svg', cwd=tmp_path
    )
    assert (result.returncode, len(lines(result.stdout))) == (0, 3)
    assert (tmp_path / 'seen.svg').read_bytes().startswith(b'<?xml')
    for arguments, message in [
        (
            ['run', 'Go.', '--attention', 'seen.gif'],
            'seen.gif: expected a file name that ends in .svg, .png or .pdf, got .gif',
        ),
        ([str(run[0]), 'Go.', '--attention', 'a.svg'], 'expected a model with attention'),
        (
            ['run', 'Go.', '--attention', 'no/where.svg'],
            'no/where.svg: the folder does not exist. Create it',
        ),
    ]:
        result = command('translate', *arguments, cwd=tmp_path)
        assert (result.returncode, result.stdout) == (2, b'') and message in str(result.stderr)


def test_another_context(tmp_path):
    result = command('train', *SMALL, '--device', 'cpu(1)', '--out', 'run', cwd=tmp_path)
    assert 'tokens/sec on cpu(1)' in result.stdout.decode()
    result = command('translate', 'run', 'go .', '--device', 'cpu(1)', cwd=tmp_path)
    assert (result.returncode, len(lines(result.stdout))) == (0, 1)


def test_ctrl_c_keeps_the_training(tmp_path):
    process = subprocess.Popen(
        [
            sys.executable,
            '-m',
            'd2l_seq2seq.train',
            *SMALL,
            '--num-epochs',
            '100000',
            '--out',
            str(tmp_path / 'run'),
        ],
        stdout=subprocess.PIPE,
        stderr=subprocess.PIPE,
        cwd=ROOT,
        preexec_fn=enable_sigint,
    )
    metrics = tmp_path / 'run' / 'metrics.jsonl'
    try:
        for _ in range(600):
            if metrics.exists() and metrics.read_text().count('\n') >= 3:
                break
            time.sleep(0.1)
        process.send_signal(signal.SIGINT)
        stdout, stderr = process.communicate(timeout=60)
    finally:
        process.kill()
    assert process.returncode == 130 and stderr.startswith(b'\nstopping after the current batch')
    *_, stopped, where = lines(stdout)
    assert re.fullmatch(
        r'stopped in epoch \d+ of 100000\. Resume with: .* -m d2l_seq2seq.train '
        f'--resume {re.escape(str(metrics.parent))}',
        stopped,
    )
    assert all(
        json.loads(line)['epoch'] == number
        for number, line in enumerate(metrics.read_text().splitlines(), 1)
    )
    assert command('translate', str(tmp_path / 'run'), 'Go.').returncode == 0


@pytest.mark.parametrize('reader', ['true', 'head -n 2'])
def test_a_reader_that_closes_does_not_end_the_training(tmp_path, reader):
    run, report = tmp_path / 'run', tmp_path / 'report.json'
    for command in (
        f'train {" ".join(SMALL)} --out {run}',
        f'evaluate {run} --json {report}',
        f'export {run} {tmp_path / "exported"}',
    ):
        result = subprocess.run(
            f'{sys.executable} -m d2l_seq2seq.{command} | {reader}; exit ${{PIPESTATUS[0]}}',
            shell=True,
            executable='/bin/bash',
            capture_output=True,
            cwd=ROOT,
            timeout=300,
        )
        assert (result.returncode, result.stderr) == (0, b''), command
    assert len((run / 'metrics.jsonl').read_text().splitlines()) == 2  # of two epochs
    assert report.exists() and (tmp_path / 'exported' / 'signature.json').exists()


def test_ctrl_c_before_the_training_leaves_nothing(tmp_path, monkeypatch, capsys):
    def interrupted(*args, **kwargs):
        raise KeyboardInterrupt

    monkeypatch.setattr(pipeline, 'encode_corpus', interrupted)
    with pytest.raises(KeyboardInterrupt):
        train.main([*SMALL, '--out', str(tmp_path / 'run')])
    assert list(tmp_path.iterdir()) == []


def test_translate_gives_a_line_for_each_line(run, tmp_path):
    text = '\ufeffGo.\n\n  go   .\t\r\nunseen words\nÀ bientôt\n\xa0\nlast line without an end'
    result = command('translate', str(run[0]), input=text.encode('utf-8'))
    assert result.returncode == 0
    out = lines(result.stdout)
    assert len(out) == 7 and out[1] == out[5] == ''
    assert out[0] == out[2]  # normalized as the training data was
    result = command('translate', str(run[0]), 'Go.', '', 'À bientôt')
    assert lines(result.stdout) == [out[0], '', out[4]]


def test_translate_survives_bytes_that_are_not_text(run):
    result = command(
        'translate',
        str(run[0]),
        input=b'\xff\xfe.\nGo.\n\x00\x1b[31m\n',
        env={'PYTHONIOENCODING': 'ascii', 'LC_ALL': 'C'},
    )
    assert (result.returncode, len(lines(result.stdout))) == (0, 3)
    assert lines(result.stderr)[0].startswith('line 1 is not UTF-8; invalid bytes were replaced: ')


def test_translate_warns_of_a_sentence_longer_than_in_training(run):
    result = command('translate', str(run[0]), 'a b c d e f g h i j k')
    assert (result.returncode, len(lines(result.stdout))) == (0, 1)
    assert '1 of 1 sentences have more than 10 tokens, the maximum' in result.stderr.decode()


def test_translate_survives_a_very_long_line(run):
    text = b'Go.\n' + b'x' * 1_000_000 + b'\n' + b'a ' * 500_000 + b'\nGo.\n'
    result = command('translate', str(run[0]), input=text)
    out = lines(result.stdout)
    assert (result.returncode, len(out)) == (0, 4) and out[0] == out[3]
    errors = lines(result.stderr)
    assert 'line 2 is longer than 65,536 bytes and was cut' in errors
    assert any(line.startswith('a sentence of 32,768 tokens was cut to 1,000') for line in errors)


def test_translate_answers_each_line_before_it_waits_for_more(run):
    """Another process may wait for a translation before it sends the next sentence."""
    with subprocess.Popen(
        [sys.executable, '-m', 'd2l_seq2seq.translate', str(run[0])],
        stdin=subprocess.PIPE,
        stdout=subprocess.PIPE,
        cwd=ROOT,
    ) as process:
        answers = []
        for line in (b'Go.\n', b'\n', b'Wait.\nGo.\n'):
            process.stdin.write(line)
            process.stdin.flush()
            answers += [process.stdout.readline() for _ in range(line.count(b'\n'))]
        process.stdin.close()
    assert process.returncode == 0
    assert answers[0] == answers[3] != b'' and answers[1] == b'\n'


def test_translate_a_file(run, tmp_path):
    (tmp_path / 'lines.txt').write_bytes('\ufeffGo.\r\n\r\nWait!\r\n'.encode())
    result = command('translate', str(run[0]), '--input', 'lines.txt', cwd=tmp_path)
    expected = command('translate', str(run[0]), 'Go.', '', 'Wait!')
    assert result.returncode == 0 and result.stdout == expected.stdout
    for arguments, message in [
        (['--input', 'none.txt'], 'none.txt: cannot be read'),
        (['--input', '.'], '.: cannot be read'),
        (
            ['--input', 'lines.txt', 'Go.'],
            '--input: cannot be combined with sentences on the command line. Pass one of',
        ),
    ]:
        result = command('translate', str(run[0]), *arguments, cwd=tmp_path)
        assert (result.returncode, len(lines(result.stderr))) == (2, 1)
        assert message in result.stderr.decode()


def test_several_translations_with_scores(run):
    result = command(
        'translate',
        str(run[0]),
        'Go.',
        '',
        'Wait!',
        '--beam-size',
        '4',
        '--n-best',
        '2',
        '--length-penalty',
        'gnmt',
        '--alpha',
        '0.6',
    )
    rows = [line.split('\t') for line in lines(result.stdout)]
    assert [row[0] for row in rows] == ['1', '1', '3', '3']
    scores = [float(row[1]) for row in rows]
    assert scores[0] >= scores[1] and scores[2] >= scores[3]
    best = command(
        'translate',
        str(run[0]),
        'Go.',
        'Wait!',
        '--beam-size',
        '4',
        '--length-penalty',
        'gnmt',
        '--alpha',
        '0.6',
    )
    assert lines(best.stdout) == [rows[0][2], rows[2][2]]


def test_samples_are_the_same_for_a_seed(run):
    drawn = [
        command('translate', str(run[0]), '--sample', '--n-best', '5', '--seed', seed, 'Go.').stdout
        for seed in ('1', '1', '2')
    ]
    assert drawn[0] == drawn[1] != drawn[2] and len(lines(drawn[0])) == 5


@pytest.mark.parametrize(
    'arguments, message',
    [
        (['--beam-size', '0'], '--beam-size: expected a whole number from 1 to 500'),
        (['--n-best', '3', '--beam-size', '2'], 'n_best: expected at most beam_size (2), got 3'),
        (['--sample', '--beam-size', '2'], 'sample: expected a beam_size of 1, got 2'),
        (['--min-length', '5', '--max-length', '5'], 'min_length: expected less than max_length'),
        (['--length-penalty', 'long'], '--length-penalty: expected one of book, gnmt, none'),
        (['--temperature', '0'], '--temperature: expected a number from 0.001 to 1000'),
        (['--replace-unk'], 'replace_unk: expected a model with attention, got one without'),
    ],
)
def test_mistakes_in_a_search(run, arguments, message):
    result = command('translate', str(run[0]), 'Go.', *arguments)
    assert (result.returncode, result.stdout, len(lines(result.stderr))) == (2, b'', 1)
    assert message in result.stderr.decode()


def test_validation_is_reported_and_stops_early(tmp_path):
    result = command(
        'train',
        '--corpus',
        'bundled',
        '--num-examples',
        '300',
        '--num-hiddens',
        '8',
        '--embed-size',
        '8',
        '--early-stopping',
        'nll',
        '--validate-every',
        '1',
        '--lr',
        '0.5',
        '--patience',
        '2',
        '--num-epochs',
        '50',
        '--out',
        'run',
        cwd=tmp_path,
    )
    assert (result.returncode, result.stderr) == (0, b'')
    out = lines(result.stdout)
    assert out[:2] == ['early_stopping implies validate', 'validate implies held_out 0.05']
    corpus, unknown, *out = out[2:]
    assert unknown.startswith('unknown tokens (<unk>): ')
    assert re.match(
        r'corpus bundled: \d+ sentence pairs \(held out: \d+ for validation and \d+ for', corpus
    )
    validations = [line for line in out if line.startswith('epoch ')]
    assert re.fullmatch(
        r'epoch 1: validation nll_per_token \d+\.\d{3}, BLEU \d+\.\d', validations[0]
    )
    assert re.match(r'  .+ => .* \(.+\)', out[1])
    rows = [json.loads(line) for line in (tmp_path / 'run/metrics.jsonl').read_text().splitlines()]
    assert len(rows) == len(validations) < 50
    best = min(rows, key=lambda row: row['valid_nll_per_token'])
    assert any(
        line.startswith(f'using the weights of epoch {best["epoch"]}, the best') for line in out
    )
    assert (tmp_path / 'run/loss.svg').read_text().count('validation') >= 1
    # The checkpoint that was kept has those weights.
    result = command('evaluate', 'run', '--split', 'valid', '--worst', '2', cwd=tmp_path)
    assert result.returncode == 0, result.stderr
    figures = json.loads((tmp_path / 'run/evaluation.json').read_text())
    assert figures['nll_per_token'] == pytest.approx(best['valid_nll_per_token'], rel=1e-5)
    assert figures['BLEU']['score'] == pytest.approx(best['valid_bleu'], abs=1e-6)


def test_evaluate_prints_a_table_and_writes_json(run, tmp_path):
    result = command(
        'evaluate', str(run[0]), '--beam-size', '3', '--json', 'figures.json', cwd=tmp_path
    )
    assert (result.returncode, result.stderr) == (0, b'')
    out = lines(result.stdout)
    assert out[0].startswith(
        'corpus bundled, train split (nothing was held out; the model was trained on these '
    )
    names = [line[:16].strip() for line in out[1:7]]
    assert names == [
        'nll_per_token',
        'perplexity',
        'BLEU',
        'chrF',
        "the book's BLEU",
        'exact matches',
    ]
    assert '|version:' in out[3] and 'worst translations (5):' in out
    figures = json.loads((tmp_path / 'figures.json').read_text())
    assert (figures['split'], figures['search']['beam_size']) == ('train', 3)
    metrics = [json.loads(line) for line in (run[0] / 'metrics.jsonl').read_text().splitlines()]
    assert figures['nll_per_token'] < metrics[0]['nll_per_token']
    for arguments, message in [
        (['--split', 'test'], 'expected a run with held-out sentences, got one without'),
        (['--worst', 'all'], "--worst: expected a whole number of at least 0, got 'all'"),
        (['--json', 'no/such.json'], 'no/such.json: cannot be written'),
        (['--split', 'dev'], '--split: invalid choice'),
    ]:
        result = command('evaluate', str(run[0]), *arguments, cwd=tmp_path)
        assert (result.returncode, len(lines(result.stderr))) == (2, 1)
        assert message in result.stderr.decode()


def test_subwords_in_batches_of_tokens(tmp_path):
    result = command(
        'train',
        '--corpus',
        'bundled',
        '--num-examples',
        'all',
        '--text-rules',
        'subwords',
        '--num-subwords',
        '200',
        '--min-freq',
        '1',
        '--bucket-width',
        '4',
        '--max-tokens',
        '512',
        '--masked',
        '--attention',
        'dot',
        '--num-steps',
        '40',
        '--num-epochs',
        '2',
        '--out',
        'run',
        cwd=tmp_path,
    )
    assert (result.returncode, result.stderr) == (0, b'')
    printed = dict(line.split(' => ') for line in lines(result.stdout) if ' => ' in line)
    again = command('translate', 'run', *printed, cwd=tmp_path)
    assert lines(again.stdout) == list(printed.values())
    assert not any('\u2581' in text for text in printed.values())
    (tmp_path / 'run/checkpoints/epoch-2/tgt_subwords.model').write_bytes(b'damaged')
    result = command('translate', 'run', 'Go.', cwd=tmp_path)
    assert result.returncode == 2 and b'tgt_subwords.model' in result.stderr


@pytest.mark.parametrize('folder', ['missing', '.'])
def test_translate_without_a_run(tmp_path, folder):
    result = command('translate', folder, 'Go.', cwd=tmp_path)
    assert result.returncode == 2 and len(lines(result.stderr)) == 1
    assert (
        'not a run folder (no config.json). Pass the folder that train wrote.'
        in lines(result.stderr)[0]
    )


def test_a_reader_may_close_the_output_early(run):
    result = subprocess.run(
        f'yes Go. | {sys.executable} -m d2l_seq2seq.translate {run[0]} | head -n 2',
        shell=True,
        capture_output=True,
        cwd=ROOT,
        timeout=60,
    )
    assert (result.returncode, result.stderr, len(lines(result.stdout))) == (0, b'', 2)


def test_every_setting_is_an_option_with_its_default():
    help_text = ' '.join(train.build_parser().format_help().split())
    for option in (
        '--corpus',
        '--num-examples',
        '--batch-size',
        '--num-steps',
        '--embed-size',
        '--num-hiddens',
        '--num-layers',
        '--dropout',
        '--lr',
        '--num-epochs',
        '--seed',
        '--device',
        '--out',
    ):
        assert option in help_text
    for config_class in (DataConfig, ModelConfig, TrainingConfig):
        for field in dataclasses.fields(config_class):
            default = field.default
            if default is None:
                default = field.metadata['domain'].none_word
            if default is not False:
                assert f'(default: {default})' in help_text


def test_a_defect_keeps_its_traceback():
    code = (
        "from d2l_seq2seq import cli\ndef defect():\n    raise ValueError('ours')\ncli.run(defect)"
    )
    result = subprocess.run([sys.executable, '-c', code], capture_output=True, cwd=ROOT)
    assert result.returncode == 1
    assert result.stderr.startswith(b'Traceback') and b'ValueError: ours' in result.stderr


@pytest.mark.parametrize('main, code', [(train.main, 0), (translate.main, 2), (evaluate.main, 2)])
def test_main_can_be_called(main, code, tmp_path, capsys):
    arguments = {train.main: [*SMALL, '--out', str(tmp_path / 'run')]}.get(
        main, [str(tmp_path / 'none')]
    )
    if code == 0:
        assert main(arguments) == 0
    else:
        with pytest.raises(InputError):
            main(arguments)


@pytest.mark.parametrize(
    'what, expected',
    [
        ('raise InputError("no")', 2),
        ('raise ValueError', 1),
        ('raise OSError(28, "no space")', 1),
        ('raise BrokenPipeError', 141),
        ('raise KeyboardInterrupt', 130),
        ('return 143', 143),
        ('return 0', 0),
    ],
)
def test_a_failing_worker_does_not_wait_for_the_others(what, expected):
    """A function registered with atexit stands for the wait of MXNet at the exit."""
    code = (
        'import atexit\n'
        'from d2l_seq2seq import cli\nfrom d2l_seq2seq.engine import workers\n'
        'from d2l_seq2seq.errors import InputError\n'
        'workers.KVStoreWorkers.connected = object()\n'
        'atexit.register(print, "waits for the others", flush=True)\n'
        f'def main():\n    {what}\n'
        'cli.run(main)\n'
    )
    result = subprocess.run([sys.executable, '-c', code], cwd=ROOT, capture_output=True, text=True)
    assert result.returncode == expected
    assert ('waits' in result.stdout) == (expected == 0)
