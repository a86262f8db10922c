"""Parameters as views of one array, against the same parameters as arrays of their own."""

import numpy as onp
import pytest

from d2l_seq2seq import ModelConfig, SteppedEncoderDecoder, feedback
from d2l_seq2seq._mxnet import autograd, mx, np, npx
from d2l_seq2seq.engine.flat_parameters import ALIGNMENT, FlatParameters, storage_of
from d2l_seq2seq.engine.tracing import trace
from d2l_seq2seq.models.factory import build_model, initialize


@pytest.fixture
def model(seed):
    model = build_model(ModelConfig(5, 6, 2, 0.0), 11, 13)
    initialize(model, npx.cpu())
    return model


def values(model):
    return {name: parameter.data().asnumpy() for name, parameter in model.collect_params().items()}


def run(model):
    X = np.array([[1, 2, 3], [4, 5, 6]])
    with autograd.record():
        logits, _ = model(X, X)
        total = (logits**2).sum()
    total.backward()
    return logits.asnumpy(), {
        name: parameter.grad().asnumpy() for name, parameter in model.collect_params().items()
    }


def flatten(model):
    return FlatParameters(model.collect_params().values(), trace(model).packed.values())


def test_values_outputs_and_gradients_do_not_change(model):
    before, (logits, gradients) = values(model), run(model)
    flat = flatten(model)
    after = values(model)
    assert all(onp.array_equal(before[name], after[name]) for name in before)
    logits_after, gradients_after = run(model)
    assert onp.array_equal(logits, logits_after)
    for name in gradients:
        assert onp.array_equal(gradients[name], gradients_after[name])
    squares = sum((gradient.astype('float64') ** 2).sum() for gradient in gradients.values())
    assert mx.nd.dot(flat.gradients, flat.gradients).asscalar() == pytest.approx(squares, rel=1e-5)


def test_the_storage_and_the_model_share_memory(model):
    flat = flatten(model)
    flat.weights[:] = 0
    assert all((value == 0).all() for value in values(model).values())
    for parameter in model.collect_params().values():
        parameter.set_data(np.ones(parameter.shape))
    num_weights = sum(value.size for value in values(model).values())
    assert flat.weights.sum().asscalar() == num_weights  # the gaps are still 0


def test_a_vector_is_the_concatenation_of_its_parameters(model):
    packed = trace(model).packed
    flat = flatten(model)
    vectors = flat.variables(packed)
    for group, names in packed.items():
        expected = onp.concatenate([values(model)[name].ravel() for name in names])
        assert onp.array_equal(vectors[group].asnumpy(), expected)


def test_every_group_starts_at_a_cache_line(model):
    packed = list(trace(model).packed.values())
    flat = flatten(model)
    not_first = {name for names in packed for name in names[1:]}
    starts = [place.start for name, place in flat._places.items() if name not in not_first]
    assert all(start % ALIGNMENT == 0 for start in starts) and flat.weights.size % ALIGNMENT == 0


@pytest.mark.parametrize(
    'change, message',
    [
        (
            lambda parameter: setattr(parameter, 'grad_req', 'null'),
            'expected grad_req write, got null',
        ),
        (lambda parameter: setattr(parameter, 'lr_mult', 0.1), 'expected lr_mult 1.0, got 0.1'),
        (lambda parameter: parameter.cast('float64'), 'expected dtype float32, got float64'),
        (
            lambda parameter: parameter.reset_ctx([npx.cpu(0), npx.cpu(1)]),
            'expected contexts 1, got 2',
        ),
    ],
)
def test_parameters_that_are_trained_differently_are_rejected(model, change, message):
    change(model.decoder.dense.bias)
    with pytest.raises(ValueError, match=rf'{message}\. Train the model with gluon\.Trainer\.$'):
        flatten(model)


def test_a_model_has_one_storage(model):
    parameters, packed = list(model.collect_params().values()), trace(model).packed
    storage = storage_of(parameters, packed.values())
    assert storage_of(parameters, packed.values()) is storage
    wrapped = SteppedEncoderDecoder(model.encoder, model.decoder, feedback)
    assert storage_of(wrapped.collect_params().values(), packed.values()) is storage
    before = values(model)
    storage.weights[:] = storage.weights + 1
    assert all((after == before[name] + 1).all() for name, after in values(model).items())


def test_parameters_that_are_initialized_again_get_a_new_storage(model):
    parameters, packed = list(model.collect_params().values()), trace(model).packed
    storage = storage_of(parameters, packed.values())
    initialize(model, npx.cpu())
    again = storage_of(parameters, packed.values())
    assert again is not storage and again.holds(parameters) and not storage.holds(parameters)


def test_a_copy_has_the_variables_of_its_original(model):
    """Names, shapes and values are the same; the gradients are in the copy."""
    packed, flat = trace(model).packed, flatten(model)
    copy = flat.copy_to(npx.cpu(1))
    variables, originals = copy.variables(packed), flat.variables(packed)
    assert variables.keys() == originals.keys()
    for name, variable in variables.items():
        assert variable.context == npx.cpu(1)
        assert onp.array_equal(variable.asnumpy(), originals[name].asnumpy())
        with autograd.record():
            loss = (variable * 3).sum()
        loss.backward()
    num_weights = sum(variable.size for variable in variables.values())
    assert copy.gradients.asnumpy().sum() == 3 * num_weights
    assert not flat.gradients.asnumpy().any()
    flat.weights[:] = 7
    assert not (copy.weights.asnumpy() == 7).any()
    copy.refresh()
    assert (copy.weights.asnumpy() == 7).all()
