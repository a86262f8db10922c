"""The cells of training and translation, and the results of the published runs."""

import dataclasses

import pytest

from d2l_seq2seq import EncoderDecoder, book
from d2l_seq2seq._mxnet import npx
from d2l_seq2seq.data.corpus import Corpus
from d2l_seq2seq.reproduce import SECTIONS
from d2l_seq2seq.reproduce.cells import Settings
from d2l_seq2seq.reproduce.published import PUBLISHED
from d2l_seq2seq.reproduce.training import loss_cells, training_cells, translation_cells

CTX = npx.cpu()
SENTENCES = ['Go .', 'Wow !', "I'm OK .", 'I won !']
all_published = pytest.mark.parametrize('published', PUBLISHED.values(), ids=list(PUBLISHED))


# The published results.


@all_published
def test_the_published_results_are_consistent(published):
    assert list(published.losses) == list(range(10, published.num_epochs + 1, 10))
    assert all(low < high for low, high in published.losses.values())
    low, high = published.losses[published.num_epochs]
    assert low <= published.median_loss <= high
    assert published.final_loss[0] < low and high < published.final_loss[1]
    assert published.printed.startswith(f'loss {published.median_loss}, ')
    assert list(published.translations) == SENTENCES
    for counts in published.translations.values():
        numbers = list(counts.values())
        assert sum(numbers) <= published.num_runs and numbers == sorted(numbers, reverse=True)
        if published.judges_translations:
            assert sum(numbers) == published.num_runs


# Judging losses.


def verdicts(published, losses, judge=True):
    return [cell.agrees for cell in loss_cells(published, losses, judge)]


@all_published
def test_the_loss_is_judged(published):
    inside = {epoch: (low + high) / 2 for epoch, (low, high) in published.losses.items()}
    assert verdicts(published, inside) == [True, True]
    assert verdicts(published, inside, judge=False) == [None, None]
    too_high = {**inside, published.num_epochs: published.final_loss[1] + 0.0006}
    assert verdicts(published, too_high)[0] is False
    (_, high), (low, _) = published.losses[80], published.losses[90]
    off = {**inside, 80: high * 1.11, 90: low * 0.89}
    assert verdicts(published, off) == [True, False]
    assert loss_cells(published, off, True)[1].ours == 'outside at 2, first at 80'
    slightly_off = {**inside, 80: high * 1.09, 90: low * 0.91}
    assert verdicts(published, slightly_off) == [True, True]


# Judging translations.


def translations(published, settings, **answers):
    """Return the cells by sentence, for a model that answers 'va !' to everything else."""
    cells = translation_cells(
        published, lambda sentence: answers.get(sentence.split()[0], 'va !'), settings
    )
    return {cell.name: cell for cell in cells}


def test_published_translations_are_accepted(fra_eng):
    settings = Settings(fra_eng, 0, CTX)
    cells = translations(PUBLISHED['9.7'], settings, Wow='<unk> !', I="j'ai gagné !")
    assert [cells[sentence].agrees for sentence in SENTENCES] == [True, True, False, True]
    assert cells['I won !'].book == "je l'ai emporté ! (27 of 45)\nj'ai gagné ! (18 of 45)"


@pytest.mark.parametrize('number', ['10.2', '10.3'])
def test_translations_are_not_judged_if_the_published_ones_vary(fra_eng, number):
    cells = translations(PUBLISHED[number], Settings(fra_eng, 0, CTX))
    assert [cells[sentence].agrees for sentence in SENTENCES] == [None] * 4


def test_another_corpus_has_its_own_references():
    pairs = [('Go.', 'Va !'), ('Go.', 'Allez!'), ('I won!', 'Gagné !')] + [('a', 'b')] * 998
    settings = Settings(Corpus('mine', [*pairs, ('Wow!', 'Oh !')]), 0, CTX)  # of line 1001
    cells = translations(PUBLISHED['9.7'], settings)
    assert cells['Go .'].agrees is True and cells['I won !'].agrees is False
    assert cells['Go .'].book == 'allez ! or va ! (this corpus)'
    assert cells['Wow !'].agrees is None and cells['Wow !'].book == 'not in this corpus'


# Training.


def new_small_model(src_vocab_size, tgt_vocab_size):
    return EncoderDecoder(
        book.Seq2SeqEncoder(src_vocab_size, 8, 8, 1), book.Seq2SeqDecoder(tgt_vocab_size, 8, 8, 1)
    )


def test_training_cells_show_what_the_books_function_prints(bundled, capsys):
    published = dataclasses.replace(
        PUBLISHED['9.7'], num_epochs=10, losses={10: PUBLISHED['9.7'].losses[10]}
    )
    corpus = Corpus('mine', bundled.pairs[:70])
    sizes = []

    def new_model(src_vocab_size, tgt_vocab_size):
        sizes.append((src_vocab_size, tgt_vocab_size))
        return new_small_model(src_vocab_size, tgt_vocab_size)

    first, second = (
        training_cells(published, Settings(corpus, 3, CTX), new_model) for _ in range(2)
    )
    assert capsys.readouterr().out == ''
    training, loss, curve, *sentences = first
    assert training.ours.startswith(f'loss {loss.ours}, ')
    assert training.ours.endswith(' tokens/sec on cpu(0)')
    assert {cell.agrees for cell in (training, loss, curve)} == {None}
    assert [cell.name for cell in sentences] == SENTENCES
    assert sizes[0] == sizes[1] and first[1:] == second[1:]  # the seed decides


@pytest.mark.slow
@pytest.mark.parametrize('chapter_seed', [0, 1, 2])
def test_section_9_7_gives_the_published_results(corpus, chapter_seed):
    """The results are within the book's bands, or equal to references for the bundled corpus."""
    cells = SECTIONS['seq2seq'].cells(Settings(corpus, chapter_seed, CTX))
    judged = [cell for cell in cells if cell.agrees is not None]
    assert len(judged) == 6 + (6 if corpus.name == 'fra-eng' else 4)
    assert [cell for cell in judged if not cell.agrees] == []


@pytest.mark.slow
@pytest.mark.parametrize('name, num_blocks', [('seq2seq-attention', 1), ('transformer', 9)])
def test_sections_10_2_and_10_3_give_the_published_results(fra_eng, name, num_blocks):
    cells = SECTIONS[name].cells(Settings(fra_eng, 0, CTX))
    judged = [cell for cell in cells if cell.agrees is not None]
    assert len(judged) == num_blocks + 2
    assert [cell for cell in judged if not cell.agrees] == []
