"""Code of later editions of the book gets one clear line."""

import pytest

import d2l_seq2seq
from d2l_seq2seq import InputError, book
from d2l_seq2seq._mxnet import npx
from d2l_seq2seq.book.editions import LATER_NAMES, EditionError, missing_name

CTX = npx.cpu()


@pytest.fixture
def data(monkeypatch):
    """Return the vocabularies and batches of a few pairs."""
    monkeypatch.delenv('D2L_SEQ2SEQ_DATA', raising=False)
    return book.load_data_nmt(32, 6, num_examples=63)


@pytest.fixture
def model(data):
    src_vocab, tgt_vocab, _ = data
    return book.EncoderDecoder(
        book.Seq2SeqEncoder(len(src_vocab), 4, 4, 1), book.Seq2SeqDecoder(len(tgt_vocab), 4, 4, 1)
    )


def check_message(error, *parts):
    """Check that an error is one line that names this edition and contains some parts."""
    text = str(error.value)
    assert '\n' not in text and 'd2l 0.14' in text
    assert isinstance(error.value, InputError) and isinstance(error.value, TypeError)
    for part in parts:
        assert part in text


@pytest.mark.parametrize('namespace', [book, d2l_seq2seq])
def test_training_with_a_target_vocabulary(namespace, data, model):
    src_vocab, tgt_vocab, data_iter = data
    with pytest.raises(EditionError) as error:
        namespace.train_s2s_ch9(model, data_iter, 0.005, 10, tgt_vocab, CTX)
    check_message(error, 'd2l 0.15', 'train_s2s_ch9(model, data_iter, lr, num_epochs, ctx)')
    with pytest.raises(EditionError) as error:
        namespace.train_s2s_ch9(
            model, data_iter, lr=0.005, num_epochs=10, tgt_vocab=tgt_vocab, device=CTX
        )
    check_message(error, 'd2l 0.15')
    with pytest.raises(EditionError):
        namespace.train_s2s_ch9(net=model, data_iter=data_iter, lr=0.1, num_epochs=1, device=CTX)


def test_results_of_the_loader_in_the_later_order(data, model):
    train_iter, src_vocab, tgt_vocab = data  # as in d2l 0.15
    with pytest.raises(EditionError) as error:
        book.train_s2s_ch9(model, train_iter, 0.005, 10, CTX)
    check_message(error, 'got Vocab', 'src_vocab, tgt_vocab, data_iter = load_data_nmt')
    with pytest.raises(EditionError) as error:
        book.predict_s2s_ch9(model, 'go .', src_vocab, tgt_vocab, 6, CTX)
    check_message(error, 'expected a Vocab as tgt_vocab, got DataLoader')


def test_prediction_with_attention_weights(data, model):
    src_vocab, tgt_vocab, _ = data
    with pytest.raises(EditionError) as error:
        book.predict_s2s_ch9(model, 'go .', src_vocab, tgt_vocab, 6, CTX, True)
    check_message(error, 'predict_s2s_ch9(model, src_sentence, src_vocab')
    with pytest.raises(EditionError):
        book.predict_s2s_ch9(
            model, 'go .', src_vocab, tgt_vocab, 6, CTX, save_attention_weights=True
        )


def test_the_calls_of_this_edition_are_accepted(data, model, capsys):
    """The argument ctx is named device in d2l 0.14.2 to 0.14.4."""
    src_vocab, tgt_vocab, data_iter = data
    for ctx in ({'ctx': CTX}, {'device': CTX}):
        book.train_s2s_ch9(model, data_iter, 0.005, num_epochs=1, **ctx)
        text = book.predict_s2s_ch9(model, 'go .', src_vocab, tgt_vocab, 6, **ctx)
        assert text == book.predict_s2s_ch9(model, 'go .', src_vocab, tgt_vocab, 6, CTX)
    assert capsys.readouterr().out.count('tokens/sec on cpu(0)') == 2


def test_other_mistakes_keep_pythons_message(model):
    with pytest.raises(TypeError, match='missing 4 required positional arguments') as error:
        book.train_s2s_ch9(model)
    assert not isinstance(error.value, EditionError)
    with pytest.raises(TypeError, match="unexpected keyword argument 'epochs'"):
        book.train_s2s_ch9(model, [], 0.1, epochs=3, ctx=CTX)


def test_a_vocabulary_of_the_readers_own_is_accepted(model, data):
    """A class needs neither to be nor to resemble the package's Vocab."""

    class Words:
        def __init__(self, vocab):
            self._vocab = vocab

        def __getitem__(self, tokens):
            return self._vocab[tokens]

        def to_tokens(self, ids):
            return self._vocab.to_tokens(ids)

    src_vocab, tgt_vocab, data_iter = data
    book.train_s2s_ch9(model, data_iter, 0.005, 1, CTX)
    assert book.predict_s2s_ch9(
        model, 'go .', Words(src_vocab), Words(tgt_vocab), 6, CTX
    ) == book.predict_s2s_ch9(model, 'go .', src_vocab, tgt_vocab, 6, CTX)


@pytest.mark.parametrize('name', LATER_NAMES)
def test_a_later_name_says_what_to_use(name):
    edition, advice = LATER_NAMES[name]
    assert advice.endswith('.')
    for namespace in (book, d2l_seq2seq):
        if name in namespace.__all__:  # the toolkit has its own
            continue
        text = str(missing_name(namespace.__name__, name))
        assert text.startswith(f'module {namespace.__name__!r} has no attribute {name!r}: ')
        assert '\n' not in text and f'd2l {edition}' in text and 'd2l 0.14' in text
        if name not in vars(namespace):  # translate is also the name of a module
            assert not hasattr(namespace, name)
            with pytest.raises(AttributeError) as error:
                getattr(namespace, name)
            assert str(error.value) == text


def test_no_name_of_this_edition_is_a_later_name():
    assert not book.NAMES & set(LATER_NAMES)


def test_the_names_in_the_advice_exist():
    """Each name that is recommended as a function or class of the namespace can be used."""
    recommended = {'MLPAttention', 'Decoder', 'Animator', 'EncoderDecoder', 'build_array', 'plt'}
    for name in recommended:
        assert any(name in advice for _, advice in LATER_NAMES.values())
        assert getattr(book, name)
