"""Matrix products in 16 bits: the casts in the graph, and training with them."""

import json

import numpy as onp
import pytest

from d2l_seq2seq import (
    Feed,
    ModelConfig,
    TrainingConfig,
    UpdateRules,
    build_model,
    encode_pairs,
    fit,
    initialize,
)
from d2l_seq2seq._mxnet import npx, seed_generators
from d2l_seq2seq.config import RunConfig, resolve_implications
from d2l_seq2seq.engine.graphs import MATRIX_PRODUCTS, cast_matrix_products
from d2l_seq2seq.engine.tracing import trace
from d2l_seq2seq.training.trainer import update_rules

KINDS = {
    "the chapter's": {},
    'attention': {'attention': 'general', 'bidirectional': True},
    'gru': {'cell': 'gru', 'masked': True},
}


def new_model(num_src, num_tgt, **kind):
    model = build_model(ModelConfig(8, 16, 1, **kind), num_src, num_tgt)
    initialize(model, npx.cpu())
    return model


@pytest.mark.parametrize('dtype', sorted(MATRIX_PRODUCTS))
@pytest.mark.parametrize('kind', KINDS)
def test_products_and_nothing_else_are_cast(kind, dtype):
    graph = trace(new_model(20, 20, **KINDS[kind]), (4, 5), (4, 6)).logits
    low = cast_matrix_products(graph, dtype)
    assert low.list_inputs() == graph.list_inputs()
    nodes = json.loads(low.tojson(remove_amp_cast=False))['nodes']
    products = [number for number, node in enumerate(nodes) if node['op'] in MATRIX_PRODUCTS[dtype]]
    assert products
    for number, node in enumerate(nodes):
        sources = [nodes[source] for source, *_ in node['inputs']]
        if number in products:
            assert {(source['op'], source.get('attrs', {}).get('dtype')) for source in sources} == {
                ('amp_cast', dtype)
            }
        elif node['op'] == 'amp_cast' and node['attrs']['dtype'] == 'float32':
            assert sources[0]['op'] in MATRIX_PRODUCTS[dtype]
        else:
            assert not {source for source, *_ in node['inputs']} & set(products)
    types, (output,), _ = low.infer_type(**dict.fromkeys(low.list_inputs(), 'float32'))
    assert {*types, output} == {onp.float32}


@pytest.mark.parametrize('kind', KINDS)
def test_training_in_bfloat16_has_nearly_the_same_losses(bundled, seed, kind):
    *vocabs, arrays = encode_pairs(bundled.pairs[:150], 10)
    losses = []
    for dtype in ('float32', 'bfloat16'):
        seed_generators(seed)
        model, history = new_model(*map(len, vocabs), **KINDS[kind]), []
        fit(
            model,
            Feed(arrays, 32, seed),
            num_epochs=4,
            lr=0.01,
            rules=UpdateRules(dtype=dtype),
            on_epoch_end=lambda metrics, state, history=history: history.append(
                metrics.train.nll_per_token
            ),
        )
        losses.append(history)
        assert {parameter.data().dtype for parameter in model.collect_params().values()} == {
            onp.dtype('float32')
        }
    exact, approximate = losses
    assert approximate == pytest.approx(exact, rel=0.1) and approximate != exact


def test_the_type_depends_on_the_device():
    config, _ = resolve_implications(RunConfig(training=TrainingConfig(amp=True)))
    assert config.training.skip_bad_batches
    assert update_rules(config.training, npx.gpu(0)).dtype == 'float16'
    assert update_rules(config.training, npx.cpu()).dtype == 'bfloat16'
    assert update_rules(TrainingConfig(), npx.gpu(0)).dtype == 'float32'
