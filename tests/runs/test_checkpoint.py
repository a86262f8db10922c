"""Checkpoint folders: saved models are restored, and damaged files are refused by name."""

import dataclasses
import io
import json

import numpy as onp
import pytest

from d2l_seq2seq import DataConfig, InputError, ModelConfig, Run, RunConfig, Vocab, build_model
from d2l_seq2seq._mxnet import init, np, npx
from d2l_seq2seq.data.tokenizers import SubwordPair, Subwords
from d2l_seq2seq.models.factory import named_parameters
from d2l_seq2seq.runs.checkpoint import (
    Progress,
    average_checkpoints,
    load_checkpoint,
    load_progress,
    load_weights,
    save_checkpoint,
)
from d2l_seq2seq.runs.safe_files import MANIFEST, write_manifest

CTX = npx.cpu()
CONFIG = RunConfig(model=ModelConfig(embed_size=4, num_hiddens=6, num_layers=2))
SRC_VOCAB, TGT_VOCAB = Vocab([['go', '.']]), Vocab([['va', 'là', '.']])
FILES = ['config.json', 'src_vocab.json', 'tgt_vocab.json', 'weights.npz']


def logits(model, ctx=CTX):
    X = np.array([[0, 1, 2], [2, 1, 0]], ctx=ctx)
    return model(X, X)[0].asnumpy()


def new_run(config=CONFIG):
    model = build_model(config.model, len(SRC_VOCAB), len(TGT_VOCAB))
    model.initialize(init.Xavier())
    logits(model)
    return Run(config, SRC_VOCAB, TGT_VOCAB, model)


@pytest.fixture
def saved(tmp_path, seed):
    """A checkpoint folder, and the run that is in it."""
    run = new_run()
    save_checkpoint(tmp_path / 'model', run)
    return tmp_path / 'model', run


@pytest.mark.parametrize('ctx', [CTX, npx.cpu(1)])
def test_round_trip(saved, ctx):
    folder, expected = saved
    run = load_checkpoint(folder, ctx)
    assert onp.array_equal(logits(run.model, ctx), logits(expected.model))
    assert run.config == CONFIG
    assert run.src_vocab.idx_to_token == SRC_VOCAB.idx_to_token
    assert run.tgt_vocab.token_to_idx == TGT_VOCAB.token_to_idx
    assert {str(parameter.list_ctx()[0]) for parameter in run.model.collect_params().values()} == {
        str(ctx)
    }


def test_subwords_are_restored(saved, tmp_path, bundled):
    sentences = [src for src, _ in bundled.pairs[:200]]
    subwords = SubwordPair(*[Subwords.train(sentences, 100)] * 2)
    run = new_run(RunConfig(DataConfig(text_rules='subwords'), CONFIG.model))
    run = Run(run.config, run.src_vocab, run.tgt_vocab, run.model, subwords)
    save_checkpoint(tmp_path / 'subwords', run)
    loaded = load_checkpoint(tmp_path / 'subwords', CTX)
    assert loaded.tokenizer.tokenize_src(sentences[5]) == run.tokenizer.tokenize_src(sentences[5])


def test_weights_have_names_that_do_not_count_blocks(saved):
    folder, _ = saved
    with onp.load(folder / 'weights.npz') as weights:
        assert 'encoder.embedding.weight' in weights.files
        assert weights['decoder.dense.weight'].shape == (len(TGT_VOCAB), 6)


def test_the_folder_holds_nothing_else(saved):
    folder, _ = saved
    assert sorted(path.name for path in folder.iterdir()) == sorted([*FILES, MANIFEST])
    versions = json.loads((folder / MANIFEST).read_text())['versions']
    assert {'d2l_seq2seq', 'mxnet', 'numpy', 'python'} <= set(versions)


def test_progress_is_restored(saved, tmp_path):
    _, run = saved
    shapes = {name: parameter.shape for name, parameter in named_parameters(run.model).items()}
    moments = {
        kind: {name: onp.full(shape, number, 'float32') for name, shape in shapes.items()}
        for number, kind in enumerate(('mean', 'variance'))
    }
    values = {'epoch': 3, 'hooks': {}, 'ended': None, 'exact': 0.1 + 0.2}
    save_checkpoint(tmp_path / 'training', run, Progress(moments, values))
    progress = load_progress(tmp_path / 'training', run.model, ('mean', 'variance'))
    assert progress.values == values
    assert all(
        (progress.moments[kind][name] == array).all()
        for kind, named in moments.items()
        for name, array in named.items()
    )


def test_training_cannot_be_resumed_from_a_model_alone(saved):
    folder, run = saved
    with pytest.raises(
        InputError,
        match='expected a checkpoint with training state, got one without it, such as average '
        'writes. It can be used for inference',
    ):
        load_progress(folder, run.model, ('mean',))


@pytest.mark.parametrize('name', [*FILES, MANIFEST])
def test_a_missing_file_is_named(saved, name):
    folder, _ = saved
    (folder / name).unlink()
    with pytest.raises(InputError, match=f'{name}: file not found'):
        load_checkpoint(folder, CTX)


@pytest.mark.parametrize('name', [*FILES, MANIFEST])
@pytest.mark.parametrize('with_manifest', [False, True])
@pytest.mark.parametrize(
    'damage',
    [
        lambda data: b'',
        lambda data: data[: len(data) // 2],
        lambda data: b'\xff' * len(data),
        lambda data: b'[' * 100_000,
        lambda data: b'null',
    ],
)
def test_a_damaged_file_is_named(saved, name, with_manifest, damage):
    """The message names the file whether or not the manifest matches it."""
    folder, _ = saved
    path = folder / name
    path.write_bytes(damage(path.read_bytes()))
    if with_manifest and name != MANIFEST:
        (folder / MANIFEST).unlink()
        write_manifest(folder, {})
    with pytest.raises(InputError, match=name) as error:
        load_checkpoint(folder, CTX)
    assert '\n' not in str(error.value)


def change_config(folder, **model):
    values = json.loads((folder / 'config.json').read_text())
    values['model'].update(model)
    (folder / 'config.json').write_text(json.dumps(values))
    (folder / MANIFEST).unlink()
    write_manifest(folder, {})


def test_untrusted_sizes_are_not_allocated(saved):
    folder, _ = saved
    change_config(folder, num_hiddens=65536, num_layers=10)
    with pytest.raises(
        InputError, match=r'expected at least [\d,]+ bytes of numbers, got a file of'
    ):
        load_checkpoint(folder, CTX)
    change_config(folder, num_hiddens=10**9)
    with pytest.raises(InputError, match='num_hiddens: expected a whole number from 1 to 65536'):
        load_checkpoint(folder, CTX)


class Trap:
    """An object that raises SystemExit, which the test does not expect, if it is unpickled."""

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
    (folder / MANIFEST).unlink()
    write_manifest(folder, {})
    with pytest.raises(InputError, match='weights.npz'):
        load_checkpoint(folder, CTX)


def test_weights_of_another_model_are_refused(saved):
    folder, _ = saved
    change_config(folder, num_hiddens=5)
    with pytest.raises(InputError, match=r'weights.npz: expected .* as float32'):
        load_checkpoint(folder, CTX)
    change_config(folder, num_hiddens=6, num_layers=1)
    with pytest.raises(InputError, match='weights.npz: expected 12 arrays, got 20'):
        load_checkpoint(folder, CTX)


def test_weights_that_are_not_finite_are_not_saved(saved, tmp_path):
    _, run = saved
    run.model.decoder.dense.bias.set_data(np.array([float('nan')] * len(TGT_VOCAB)))
    with pytest.raises(
        FloatingPointError, match='decoder.dense.bias has values that are not finite'
    ):
        save_checkpoint(tmp_path / 'other', run)
    assert not (tmp_path / 'other').exists()


def test_checkpoints_are_averaged(saved, tmp_path):
    first, run = saved
    other = new_run()
    save_checkpoint(tmp_path / 'second', other)
    mean = average_checkpoints([first, tmp_path / 'second'], CTX)
    weights = [load_weights(path, run.model) for path in (first, tmp_path / 'second')]
    for name, parameter in named_parameters(mean.model).items():
        onp.testing.assert_allclose(
            parameter.data().asnumpy(), (weights[0][name] + weights[1][name]) / 2, atol=1e-7
        )


# Vocabularies


CONTROL_TOKENS = ['a\nb', '\x1b[31m', 'a\tb', 'a\x85', '\u2028', '\ud800', '\x00']


@pytest.mark.parametrize('token', CONTROL_TOKENS)
@pytest.mark.parametrize('name', ['src_vocab.json', 'tgt_vocab.json'])
def test_tokens_with_control_characters_are_refused(saved, name, token):
    folder, _ = saved
    tokens = json.loads((folder / name).read_text())
    (folder / name).write_text(json.dumps([*tokens[:-1], token]))
    (folder / MANIFEST).unlink()
    write_manifest(folder, {})
    with pytest.raises(InputError, match=f'{name}: expected tokens without control') as error:
        load_checkpoint(folder, CTX)
    assert str(error.value).isprintable()


@pytest.mark.parametrize('token', CONTROL_TOKENS)
def test_tokens_with_control_characters_are_not_written(saved, tmp_path, token):
    run = dataclasses.replace(new_run(), src_vocab=Vocab.from_tokens(['<unk>', '.', token]))
    with pytest.raises(InputError, match='expected tokens without control characters'):
        save_checkpoint(tmp_path / 'refused', run)
    assert not (tmp_path / 'refused').exists()
