"""A run's folder: what is written comes back; what is damaged is refused by name."""
import io
import json

import numpy as onp
import pytest

from d2l_seq2seq import InputError, ModelConfig, RunConfig, Vocab, load_run
from d2l_seq2seq import checkpoint
from d2l_seq2seq._mxnet import init, np, npx
from d2l_seq2seq.wiring import build_model

CTX = npx.cpu()
CONFIG = RunConfig(model=ModelConfig(embed_size=4, num_hiddens=6, num_layers=2))
SRC_VOCAB, TGT_VOCAB = Vocab([['go', '.']]), Vocab([['va', 'là', '.']])


def logits(model, ctx=CTX):
    X = np.array([[0, 1, 2], [2, 1, 0]], ctx=ctx)
    return model(X, X)[0].asnumpy()


@pytest.fixture
def saved(tmp_path, seed):
    """A folder with a run in it, and the logits of its model."""
    model = build_model(CONFIG.model, len(SRC_VOCAB), len(TGT_VOCAB))
    model.initialize(init.Xavier())
    expected = logits(model)
    folder = checkpoint.create_run(tmp_path / 'some' / 'run', CONFIG)
    checkpoint.save_vocabs(folder, SRC_VOCAB, TGT_VOCAB)
    checkpoint.save_weights(folder, model)
    return folder, expected


@pytest.mark.parametrize('ctx', [CTX, npx.cpu(1)])
def test_round_trip(saved, ctx):
    folder, expected = saved
    run = load_run(folder, ctx)
    assert onp.array_equal(logits(run.model, ctx), expected)
    assert run.config == CONFIG
    assert run.src_vocab.idx_to_token == SRC_VOCAB.idx_to_token
    assert run.tgt_vocab.token_to_idx == TGT_VOCAB.token_to_idx
    assert {str(parameter.list_ctx()[0]) for parameter in
            run.model.collect_params().values()} == {str(ctx)}


def test_weights_have_names_that_do_not_count_blocks(saved):
    folder, _ = saved
    with onp.load(folder / 'weights.npz') as weights:
        assert 'encoder.embedding.weight' in weights.files
        assert weights['decoder.dense.weight'].shape == (len(TGT_VOCAB), 6)


def test_nothing_else_is_left_in_the_folder(saved):
    folder, _ = saved
    assert sorted(path.name for path in folder.iterdir()) == [
        'config.json', 'src_vocab.json', 'tgt_vocab.json', 'weights.npz']


@pytest.mark.parametrize('name', ['config.json', 'src_vocab.json', 'tgt_vocab.json', 'weights.npz'])
def test_a_missing_file_is_named(saved, name):
    folder, _ = saved
    (folder / name).unlink()
    with pytest.raises(InputError, match=f'has no {name}; python -m'):
        load_run(folder, CTX)


@pytest.mark.parametrize('name', ['config.json', 'src_vocab.json', 'tgt_vocab.json', 'weights.npz'])
@pytest.mark.parametrize('damage', [
    lambda data: b'', lambda data: data[:len(data) // 2], lambda data: b'\xff' * len(data),
    lambda data: b'[' * 100_000, lambda data: b'null',
])
def test_a_damaged_file_is_named(saved, name, damage):
    folder, _ = saved
    path = folder / name
    path.write_bytes(damage(path.read_bytes()))
    with pytest.raises(InputError, match=name) as error:
        load_run(folder, CTX)
    assert '\n' not in str(error.value)


def test_a_flipped_bit_in_the_weights_is_found(saved):
    folder, _ = saved
    data = bytearray((folder / 'weights.npz').read_bytes())
    data[len(data) // 2] ^= 1
    (folder / 'weights.npz').write_bytes(data)
    with pytest.raises(InputError, match='weights.npz'):
        load_run(folder, CTX)


def test_no_byte_of_a_header_crashes_the_loader(saved):
    folder, _ = saved
    path = folder / 'weights.npz'
    data = path.read_bytes()
    directory = data.rindex(b'PK\x01\x02')
    for place in [*range(60), *range(directory, len(data))]:
        damaged = bytearray(data)
        damaged[place] ^= 0xff
        path.write_bytes(damaged)
        try:
            load_run(folder, CTX)  # some bytes of a zip are read by nobody
        except InputError as error:
            assert 'weights.npz' in str(error)


def test_a_stranger_s_sizes_are_not_allocated(saved):
    folder, _ = saved
    values = json.loads((folder / 'config.json').read_text())
    values['model']['num_hiddens'] = 10 ** 9
    (folder / 'config.json').write_text(json.dumps(values))
    with pytest.raises(InputError, match='as float32'):
        load_run(folder, CTX)


class Trap:
    """Unpickled, it would raise another exception than the test expects."""

    def __reduce__(self):
        return (exec, ('raise SystemError("code in the file was run")',))


def test_pickles_in_the_weights_are_not_loaded(saved):
    folder, _ = saved
    with onp.load(folder / 'weights.npz') as weights:
        arrays = dict(weights)
    arrays['encoder.embedding.weight'] = onp.array([Trap()], dtype=object)
    buffer = io.BytesIO()
    onp.savez(buffer, **arrays)
    (folder / 'weights.npz').write_bytes(buffer.getvalue())
    with pytest.raises(InputError, match='weights.npz'):
        load_run(folder, CTX)


def test_weights_of_another_model_are_refused(saved):
    folder, _ = saved
    values = json.loads((folder / 'config.json').read_text())
    values['model']['num_hiddens'] = 7
    (folder / 'config.json').write_text(json.dumps(values))
    with pytest.raises(InputError, match=r'as float32 \(28, -1\), got float32 \(24, 4\)'):
        load_run(folder, CTX)
    values['model']['num_layers'] = 1
    (folder / 'config.json').write_text(json.dumps(values))
    with pytest.raises(InputError, match='expected the weights of the model in config.json'):
        load_run(folder, CTX)


def test_a_folder_that_is_taken_is_left_alone(saved, tmp_path):
    folder, _ = saved
    before = {path: path.read_bytes() for path in folder.iterdir()}
    with pytest.raises(InputError, match='expected a new or an empty folder, found'):
        checkpoint.create_run(folder, RunConfig())
    assert {path: path.read_bytes() for path in folder.iterdir()} == before
    (tmp_path / 'file').write_text('')
    with pytest.raises(InputError, match='expected a new or an empty folder, found'):
        checkpoint.create_run(tmp_path / 'file', CONFIG)
    with pytest.raises(InputError, match='can not be made a folder'):
        checkpoint.create_run(tmp_path / 'file' / 'run', CONFIG)
    (tmp_path / 'empty').mkdir()
    assert checkpoint.create_run(tmp_path / 'empty', CONFIG) == tmp_path / 'empty'


def test_of_two_processes_one_gets_the_folder(tmp_path, monkeypatch):
    checkpoint.create_run(tmp_path / 'run', CONFIG)
    # The other one has seen the folder empty a moment before.
    monkeypatch.setattr(checkpoint.Path, 'iterdir', lambda self: iter(()))
    with pytest.raises(InputError, match='expected a new or an empty folder, found .*config.json'):
        checkpoint.create_run(tmp_path / 'run', RunConfig())
    monkeypatch.undo()
    assert json.loads((tmp_path / 'run' / 'config.json').read_text()) == CONFIG.to_dict()


def test_discarding_takes_only_what_a_run_wrote(tmp_path):
    for name, extra in (('clean', []), ('mine', ['notes.txt'])):
        folder = checkpoint.create_run(tmp_path / name, CONFIG)
        for file in extra:
            (folder / file).write_text('mine')
        checkpoint.discard_run(folder)
    assert sorted(path.name for path in tmp_path.rglob('*')) == ['mine', 'notes.txt']


def test_a_write_that_fails_leaves_the_old_file(tmp_path, monkeypatch):
    path = tmp_path / 'file'
    checkpoint.write_file(path, b'old')

    def full_disk(descriptor):
        raise OSError(28, 'No space left on device')

    monkeypatch.setattr(checkpoint.os, 'fsync', full_disk)
    with pytest.raises(OSError):
        checkpoint.write_file(path, b'new')
    assert path.read_bytes() == b'old'
