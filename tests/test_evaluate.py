"""The command ``evaluate`` says whether the model was trained on the sentences of the corpus."""

import json

import pytest

from d2l_seq2seq import average, evaluate, train

from small_run import SIZES

SETTINGS = [*SIZES, '--min-freq', '1', '--save-every', '1']
PAIRS = [
    ('go .', 'va !'),
    ('hi .', 'salut .'),
    ('run !', 'cours !'),
    ('who ?', 'qui ?'),
    ('wow !', 'ça alors !'),
    ('fire !', 'au feu !'),
    ('help !', "à l'aide !"),
    ('jump .', 'saute .'),
]
CHANGED = 'the corpus or its tokenization has changed since the training; the model '


@pytest.fixture
def corpus(tmp_path):
    path = tmp_path / 'pairs.tsv'
    write(path, PAIRS)
    return path


def write(path, pairs):
    path.write_text(''.join(f'{src}\t{tgt}\n' for src, tgt in pairs), encoding='utf-8')


def trained(corpus, *options):
    folder = corpus.parent / 'run'
    arguments = ['--corpus', str(corpus), '--num-epochs', '2', '--out', str(folder)]
    train.main([*SETTINGS, *arguments, *options])
    return folder


def note(run, capsys, *options):
    """Return what is in parentheses in the first line, and the entry of the JSON file."""
    capsys.readouterr()
    evaluate.main([str(run), *options])
    first = capsys.readouterr().out.splitlines()[0]
    metrics = json.loads((run / 'evaluation.json').read_text())
    text = first.partition(' split')[2].rpartition(': ')[0]
    return text.strip(' ()'), metrics['corpus_has_changed']


@pytest.mark.parametrize('options', [[], ['--text-rules', 'words', '--bucket-width', '4']])
def test_a_corpus_of_which_nothing_was_held_out(corpus, capsys, options):
    run = trained(corpus, *options)
    assert note(run, capsys) == (
        'nothing was held out; the model was trained on these sentences',
        False,
    )
    write(corpus, [*PAIRS[:-1], ('jump .', 'va !')])  # the same words
    assert note(run, capsys) == (CHANGED + 'was trained on other sentences', True)


def test_a_corpus_of_which_parts_were_held_out(corpus, capsys):
    run = trained(corpus, '--held-out', '0.25')
    assert note(run, capsys) == ('', False)
    assert note(run, capsys, '--split', 'train')[1] is False
    write(corpus, [*PAIRS, ('no .', 'non .'), ('come .', 'viens .')])
    text, has_changed = note(run, capsys)
    assert has_changed and text == CHANGED + 'may have been trained on some of these sentences'


def test_nothing_is_claimed_of_a_model_without_a_fingerprint(corpus, capsys):
    run = trained(corpus)
    average.main([str(run), '--out', str(run.parent / 'mean')])
    assert note(run.parent / 'mean', capsys) == ('nothing was held out', None)


def test_warnings_of_the_training_are_not_repeated(corpus, caplog, capsys):
    run = trained(corpus, '--num-steps', '3')
    assert caplog.messages  # some sentences are cut
    caplog.clear()
    note(run, capsys, '--split', 'train')
    assert caplog.messages == []
