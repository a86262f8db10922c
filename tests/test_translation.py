"""What attention looked at, from a run, and as a picture."""
import numpy as onp
import pytest

from d2l_seq2seq import DataConfig, InputError, ModelConfig, RunConfig, build_model, initialize
from d2l_seq2seq._mxnet import np, npx
from d2l_seq2seq.checkpoint import Run
from d2l_seq2seq.data import chapter_vocab
from d2l_seq2seq.plotting import attention_figure, figure_bytes
from d2l_seq2seq.reference import predict_s2s_ch9
from d2l_seq2seq.translation import attention_of, source_text

CTX = npx.cpu()
VOCAB = chapter_vocab([['a', 'b', 'c', '.']], min_freq=1)


def make_run(**settings):
    config = RunConfig(DataConfig(num_steps=6), ModelConfig(8, 8, 2, **settings))
    model = build_model(config.model, len(VOCAB), len(VOCAB))
    initialize(model, CTX)
    return Run(config, VOCAB, VOCAB, model)


@pytest.mark.parametrize('kind', ['additive', 'general'])
def test_the_weights_are_those_of_each_step(kind):
    run = make_run(attention=kind, bidirectional=True)
    source = 'a c b .'
    translation = predict_s2s_ch9(run.model, source, VOCAB, VOCAB, 6, CTX)
    weights = attention_of(run.model, source, translation, VOCAB, VOCAB, 6, CTX)
    assert weights.shape == (len(translation.split()) + 1, 4)
    src = np.array([[*VOCAB[source.split()], 1, 1]])
    state = run.model.decoder.init_state(run.model.encoder(src, np.array([4])), np.array([4]))
    for token, expected in zip(['<bos>', *translation.split()], weights):
        _, state, step = run.model.decoder.attend(np.array([[VOCAB[token]]]), state)
        onp.testing.assert_allclose(step[0, 0, :4].asnumpy(), expected, rtol=1e-4, atol=1e-6)


def test_a_model_without_attention_says_so():
    with pytest.raises(InputError, match='expected a model with attention, got one without'):
        attention_of(make_run().model, 'a .', 'b .', VOCAB, VOCAB, 6, CTX)


def test_text_is_read_as_in_training():
    run = make_run()
    assert source_text(run, '  A  c, b!\n') == 'a c , b !'
    reversed_run = Run(RunConfig(DataConfig(reverse_source=True)), VOCAB, VOCAB, run.model)
    assert source_text(reversed_run, 'A b!') == '! b a'


def test_the_heat_map_shows_tokens_and_weights():
    weights = onp.array([[0.25, 0.75], [1, 0], [0.5, 0.5]])
    tokens = [['i', 'won']], [["j'ai", 'gagné', '<eos>']]
    figure = attention_figure([weights], *tokens)
    ax = figure.axes[0]
    assert [label.get_text() for label in ax.get_xticklabels()] == ['i', 'won']
    assert [label.get_text() for label in ax.get_yticklabels()] == ["j'ai", 'gagné', '<eos>']
    assert (ax.images[0].get_array() == weights).all()
    assert (figure_bytes(figure, '.svg')
            == figure_bytes(attention_figure([weights], *tokens), '.svg'))
