"""Exported files are read by MXNet alone."""

import json
import os
import subprocess
import sys

import numpy as onp
import pytest

from d2l_seq2seq import (
    DataConfig,
    InputError,
    ModelConfig,
    Run,
    RunConfig,
    Vocab,
    build_model,
    export,
    initialize,
    save_run,
)
from d2l_seq2seq._mxnet import _NUMPY_NAMES, np, npx

CTX = npx.cpu()
VOCABS = [
    Vocab([[f'{side}{number}' for number in range(7)]], reserved_tokens=['<pad>', '<bos>', '<eos>'])
    for side in ('s', 't')
]
# A program that has MXNet and the exported files, but not this package.
READER = """
import json, sys
sys.modules['d2l_seq2seq'] = None  # so that importing it fails
import numpy as onp
for name in sys.argv[3].split():  # removed from NumPy, but looked up when MXNet is imported
    vars(onp).setdefault(name, bool)
from mxnet import gluon, np, npx
npx.set_np()
folder, batch = sys.argv[1], json.loads(sys.argv[2])
signature = json.load(open(folder + '/signature.json'))
encoder, decoder = (gluon.SymbolBlock.imports(
    f'{folder}/{name}-symbol.json', signature[name]['inputs'], f'{folder}/{name}-0000.params')
    for name in ('encoder', 'decoder'))
arrays = {'src': np.array(batch['src']), 'src_valid_len': np.array(batch['src_valid_len'])}
state = encoder(*[arrays[name] for name in signature['encoder']['inputs']])
logits = []
for step in range(len(batch['tgt'][0])):
    token = np.array([row[step:step + 1] for row in batch['tgt']])
    step_logits, *state = decoder(token, *state)
    state = state[:len(signature['encoder']['outputs'])]
    logits.append(step_logits[:, 0].tolist())
lines = [open(f'{folder}/{side}_vocab.txt', encoding='utf-8').read().split('\\n')
         for side in ('src', 'tgt')]
print(json.dumps({'logits': logits, 'vocabs': lines, 'signature': signature}))
"""


@pytest.mark.parametrize(
    'config',
    [
        ModelConfig(5, 6, 2),
        ModelConfig(5, 6, 2, 0.2, 'gru', masked=True, context_every_step=True),
        ModelConfig(5, 6, 1, context='mean'),
        ModelConfig(5, 6, 1, masked=True, bidirectional=True, context='max'),
        ModelConfig(5, 6, 2, 0.2, 'rnn', masked=True, bidirectional=True, attention='general'),
        ModelConfig(6, 6, 1, masked=True, attention='additive', tied=True),
        ModelConfig(5, 6, 1, masked=True, attention='dot'),
    ],
    ids=str,
)
def test_plain_mxnet_computes_the_same(seed, tmp_path, config):
    model = build_model(config, *map(len, VOCABS))
    initialize(model, CTX)
    save_run(tmp_path / 'run', Run(RunConfig(DataConfig(num_steps=6), config), *VOCABS, model))
    assert export.main([str(tmp_path / 'run'), str(tmp_path / 'exported')]) is None
    rng = onp.random.RandomState(seed)
    batch = {
        'src': rng.randint(11, size=(3, 6)).tolist(),
        'src_valid_len': [6.0, 1.0, 4.0],
        'tgt': rng.randint(11, size=(3, 4)).tolist(),
    }
    result = subprocess.run(
        [
            sys.executable,
            '-c',
            READER,
            str(tmp_path / 'exported'),
            json.dumps(batch),
            ' '.join(_NUMPY_NAMES),
        ],
        capture_output=True,
        text=True,
        check=True,
    )
    exported = json.loads(result.stdout)
    expected, _ = model(
        *(np.array(batch[name]) for name in ('src', 'tgt')), *[np.array(batch['src_valid_len'])] * 2
    )
    onp.testing.assert_allclose(
        onp.array(exported['logits']).swapaxes(0, 1), expected.asnumpy(), atol=1e-6
    )
    assert [lines[:-1] for lines in exported['vocabs']] == [vocab.idx_to_token for vocab in VOCABS]
    assert exported['signature']['special_ids']['tgt'] == {
        '<unk>': 0,
        '<pad>': 1,
        '<bos>': 2,
        '<eos>': 3,
    }
    assert exported['signature']['pad_to_num_steps'] is not config.masked


@pytest.fixture
def run(tmp_path):
    """The folder of a small run."""
    config = ModelConfig(2, 2, 1)
    model = build_model(config, *map(len, VOCABS))
    initialize(model, CTX)
    save_run(tmp_path / 'run', Run(RunConfig(model=config), *VOCABS, model))
    return tmp_path / 'run'


FILES = [
    'decoder-0000.params',
    'decoder-symbol.json',
    'encoder-0000.params',
    'encoder-symbol.json',
    'signature.json',
    'src_vocab.txt',
    'tgt_vocab.txt',
]


def test_an_existing_folder_is_filled(run, tmp_path, monkeypatch):
    (tmp_path / 'mine').mkdir(mode=0o700)
    (tmp_path / 'link').symlink_to('mine')
    before = os.stat(tmp_path / 'mine')
    export.main([str(run), str(tmp_path / 'link')])
    after = os.stat(tmp_path / 'mine')
    assert (after.st_ino, after.st_mode) == (before.st_ino, before.st_mode)
    assert sorted(os.listdir(tmp_path / 'mine')) == FILES
    assert (tmp_path / 'link').is_symlink()
    (tmp_path / 'here').mkdir()
    monkeypatch.chdir(tmp_path / 'here')
    export.main([str(run), '.'])
    assert sorted(os.listdir('.')) == FILES  # of the folder that the process is in


def test_parents_are_created(run, tmp_path):
    export.main([str(run), str(tmp_path / 'a' / 'b' / 'c')])
    assert sorted(os.listdir(tmp_path / 'a' / 'b' / 'c')) == FILES


@pytest.mark.parametrize('exists', [False, True])
def test_a_full_disk_leaves_no_files(run, tmp_path, monkeypatch, exists):
    def full_disk(descriptor):
        raise OSError(28, 'No space left on device')

    if exists:
        (tmp_path / 'out').mkdir()
    monkeypatch.setattr(os, 'fsync', full_disk)
    with pytest.raises(InputError, match='out: cannot be written .No space left on device.'):
        export.main([str(run), str(tmp_path / 'out')])
    assert os.listdir(tmp_path / 'out') == [] if exists else not (tmp_path / 'out').exists()
    assert sorted(path.name for path in tmp_path.iterdir() if path.name != 'out') == ['run']


def test_existing_files_are_not_overwritten(run, tmp_path):
    (tmp_path / 'mine').mkdir()
    (tmp_path / 'mine' / 'file').write_text('mine')
    result = subprocess.run(
        [sys.executable, '-m', 'd2l_seq2seq.export', str(tmp_path / 'run'), str(tmp_path / 'mine')],
        capture_output=True,
        text=True,
    )
    assert result.returncode == 2
    assert 'expected a new or empty folder, found files in it' in result.stderr
    assert [path.name for path in tmp_path.glob('mine/*')] == ['file']
