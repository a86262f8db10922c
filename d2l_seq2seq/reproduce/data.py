"""The cells of section 9.5: the text of the corpus, its tokens, vocabulary and minibatches.

With a corpus other than the book's, the functions are run on the lines that the book printed, and
the output that depends on the whole corpus is shown but not judged.
"""

from __future__ import annotations

import numpy as onp

from .._mxnet import seed_generators
from ..book.machine_translation import (
    MIN_FREQ,
    RESERVED_TOKENS,
    preprocess_nmt,
    tokenize_nmt,
    truncate_pad,
)
from ..book.vocab import Vocab
from .cells import Cell, Settings
from .training import section_data

RAW_TEXT = """\
Go.	Va !
Hi.	Salut !
Run!	Cours\u202f!
Run!	Courez\u202f!
Who?	Qui ?
Wow!	Ça alors\u202f!
Fire!	Au feu !
Help!	À l'aide\u202f!"""  # the first 106 characters; U+202F is a narrow no-break space
PREPROCESSED_TEXT = """\
go .	va !
hi .	salut !
run !	cours !
run !	courez !
who?	qui ?
wow !	ça alors !
fire !	au feu !"""  # the first 95 characters
TOKENS = (
    [['go', '.'], ['hi', '.'], ['run', '!']],
    [['va', '!'], ['salut', '!'], ['cours', '!']],
)
# The heights of the bars, read from the plot: ten bins from 1 to 58 tokens.
NUM_SENTENCES = (
    [79589, 81286, 5846, 321, 66, 13, 6, 1, 2, 0],
    [67133, 90167, 8963, 702, 123, 33, 2, 2, 2, 3],
)
VOCAB_SIZE = 9140
TOKEN_IDS = [47, 4, 1, 1, 1, 1, 1, 1, 1, 1]
MINIBATCH = """\
X: [[ 5 21 54  4  1  1  1  1]
 [ 5 90  0  4  1  1  1  1]]
valid lengths for X: [4 4]
Y: [[  2   6   7   0   4   3   1   1]
 [  2   6 110   0   4   3   1   1]]
valid lengths for Y: [6 6]"""
PAD_ID, BOS_ID, EOS_ID = 1, 2, 3


def section_cells(settings: Settings) -> list[Cell]:
    """Run the section."""
    return [*_text_cells(settings), *_corpus_cells(settings), _minibatch_cell(settings)]


def _corpus_text(settings: Settings) -> str:
    """Return the corpus in the format of the book's file."""
    return '\n'.join('\t'.join(pair) for pair in settings.corpus.pairs)


def _text_cells(settings: Settings) -> list[Cell]:
    """Return the first lines of the corpus: as they are, preprocessed, and as tokens."""
    is_book_corpus = settings.is_book_corpus
    text = _corpus_text(settings)[: len(RAW_TEXT)]
    cell = Cell('raw text', RAW_TEXT, text, text == RAW_TEXT if is_book_corpus else None)
    note = '' if is_book_corpus else " of the book's lines"
    preprocessed = preprocess_nmt(text if is_book_corpus else RAW_TEXT)
    source, target = tokenize_nmt(preprocessed)
    first = preprocessed[: len(PREPROCESSED_TEXT)]
    tokens = (source[:3], target[:3])
    return [
        cell,
        Cell(f'preprocessed text{note}', PREPROCESSED_TEXT, first, first == PREPROCESSED_TEXT),
        Cell(f'tokens{note}', str(TOKENS), str(tokens), tokens == TOKENS),
    ]


def _corpus_cells(settings: Settings) -> list[Cell]:
    """Return the cells that need the whole corpus."""
    source, target = tokenize_nmt(preprocess_nmt(_corpus_text(settings)))
    lengths = [[len(line) for line in lines] for lines in (source, target)]
    _, edges = onp.histogram(lengths[0] + lengths[1], bins=10)
    num_sentences = tuple(onp.histogram(part, edges)[0].tolist() for part in lengths)
    src_vocab = Vocab(source, MIN_FREQ, list(RESERVED_TOKENS))
    token_ids = truncate_pad(src_vocab[source[0]], 10, src_vocab['<pad>'])
    return [
        Cell(name, str(book), str(ours), book == ours if settings.is_book_corpus else None)
        for name, book, ours in (
            ('plot of the lengths', NUM_SENTENCES, num_sentences),
            ('source vocabulary', VOCAB_SIZE, len(src_vocab)),
            ('truncate_pad', TOKEN_IDS, token_ids),
        )
    ]


def _minibatch_cell(settings: Settings) -> Cell:
    """Return the first minibatch, which is random, and judge its form."""
    seed_generators(settings.seed)
    *_, data_iter = section_data(settings, batch_size=2, num_steps=8)
    X, X_vlen, Y, Y_vlen = (array.asnumpy() for array in next(iter(data_iter)))
    ours = (
        f'X: {X.astype("int32")}\nvalid lengths for X: {X_vlen}\n'
        f'Y: {Y.astype("int32")}\nvalid lengths for Y: {Y_vlen}'
    )
    return Cell(
        'minibatch: shapes, padding, <bos>, <eos>',
        MINIBATCH,
        ours,
        has_form_of_minibatch(X, X_vlen, Y, Y_vlen),
    )


def has_form_of_minibatch(
    X: onp.ndarray, X_vlen: onp.ndarray, Y: onp.ndarray, Y_vlen: onp.ndarray
) -> bool:
    """Check two examples of 8 steps.

    Returns
    -------
    bool
        True if the shapes are right, all ids after the valid lengths and no others are padding,
        the targets begin with ``<bos>``, and those that are not cut end with ``<eos>``.
    """
    if [array.shape for array in (X, X_vlen, Y, Y_vlen)] != [(2, 8), (2,), (2, 8), (2,)]:
        return False
    for ids, valid_len in ((X, X_vlen), (Y, Y_vlen)):
        if not ((ids == PAD_ID) == (onp.arange(8) >= valid_len[:, None])).all():
            return False
    ends = [line[length - 1] for line, length in zip(Y, Y_vlen) if length < 8]
    return bool((Y[:, 0] == BOS_ID).all()) and all(end == EOS_ID for end in ends)
