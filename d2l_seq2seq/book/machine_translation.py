"""Machine translation and its data set (d2l 0.14, section 9.5).

The functions convert the text of a corpus to shuffled minibatches; they are in the order of the
section.  Later editions use the same names for other rules: they append ``<eos>`` to the source,
read 600 examples and keep rarer words.  Only the functions of this edition give the values that the
chapter prints.
"""

from __future__ import annotations

import re
from typing import Any, Sequence

from .._mxnet import gluon, np
from ..errors import InputError
from .fra_eng import read_available_text
from .vocab import Vocab

RESERVED_TOKENS = ('<pad>', '<bos>', '<eos>')
MIN_FREQ = 3  # rarer words become <unk>


def read_data_nmt() -> str:
    """Return the text of the English-French corpus (section 9.5.1).

    Returns
    -------
    str
        One pair per line: the English sentence, a tab, the French sentence.

    Notes
    -----
    The corpus is the book's if it can be found or downloaded, otherwise the one that comes with the
    package.  In the second case, a warning in the log gives the reason.
    """
    _, text = read_available_text()
    return text


def preprocess_nmt(text: str) -> str:
    """Lower-case a text and put a space before each ``,``, ``.`` and ``!`` (section 9.5.1).

    Non-breaking spaces become spaces.  This edition leaves ``?`` alone: ``who?`` is one token.

    Parameters
    ----------
    text : str

    Returns
    -------
    str

    Examples
    --------
    >>> preprocess_nmt("I'm OK, you see!")
    "i'm ok , you see !"
    """
    text = text.replace('\u202f', ' ').replace('\xa0', ' ').lower()
    return re.sub(r'(?<=[^ ])(?=[,.!])', ' ', text)


def tokenize_nmt(
    text: str, num_examples: int | None = None
) -> tuple[list[list[str]], list[list[str]]]:
    r"""Split a preprocessed text into the tokens of its sentences (section 9.5.2).

    Parameters
    ----------
    text : str
        One pair per line, as `read_data_nmt` returns it.  Lines that are not a pair are skipped.
    num_examples : int, optional
        Number of lines to read; all of them by default.

    Returns
    -------
    source, target : list of list of str

    Notes
    -----
    The book counts lines from 0 and stops after line number `num_examples`, so it reads one line
    more than the name says: 1,001 for 1000.

    Examples
    --------
    >>> tokenize_nmt('go .\tva !\nhi .\tsalut !')
    ([['go', '.'], ['hi', '.']], [['va', '!'], ['salut', '!']])
    """
    lines = text.split('\n')
    if num_examples:
        lines = lines[: num_examples + 1]
    pairs = [columns for columns in (line.split('\t') for line in lines) if len(columns) == 2]
    return [source.split(' ') for source, _ in pairs], [target.split(' ') for _, target in pairs]


def truncate_pad(line: list, num_steps: int, padding_token: Any) -> list:
    """Cut a list to `num_steps` elements, or fill it up with `padding_token` (section 9.5.4).

    Parameters
    ----------
    line : list
    num_steps : int
    padding_token : Any

    Returns
    -------
    list
        Of `num_steps` elements.

    Examples
    --------
    >>> truncate_pad([7, 8, 9], 2, 1), truncate_pad([7, 8, 9], 5, 1)
    ([7, 8], [7, 8, 9, 1, 1])
    """
    return line[:num_steps] + [padding_token] * (num_steps - len(line))


def build_array(
    lines: list[list[str]], vocab: Vocab, num_steps: int, is_source: bool
) -> tuple[np.ndarray, np.ndarray]:
    """Convert sentences to an array of token ids (section 9.5.4).

    Parameters
    ----------
    lines : list of list of str
        Tokenized sentences.
    vocab : Vocab
    num_steps : int
        Length that every sentence is cut or padded to.
    is_source : bool
        If False, each sentence gets a ``<bos>`` at its start and an ``<eos>`` at its end.  A
        sentence that is cut loses its ``<eos>``.

    Returns
    -------
    array : float32 array of shape (num_sentences, num_steps)
        Token ids.
    valid_len : int64 array of shape (num_sentences,)
        Number of ids that are not padding.
    """
    ids = vocab[lines]
    if not is_source:
        ids = [[vocab['<bos>']] + line + [vocab['<eos>']] for line in ids]
    array = np.array([truncate_pad(line, num_steps, vocab['<pad>']) for line in ids])
    return array, (array != vocab['<pad>']).sum(axis=1)


def load_array(
    data_arrays: Sequence[np.ndarray], batch_size: int, is_train: bool = True
) -> gluon.data.DataLoader:
    """Return an iterator over minibatches of some arrays (d2l 0.14, section 3.3.2).

    Parameters
    ----------
    data_arrays : sequence of arrays
        All with the same first axis.
    batch_size : int
    is_train : bool
        If True, the examples are shuffled on each pass, with NumPy's global generator.
    """
    return gluon.data.DataLoader(
        gluon.data.ArrayDataset(*data_arrays), batch_size, shuffle=is_train
    )


def load_data_nmt(
    batch_size: int, num_steps: int, num_examples: int | None = 1000
) -> tuple[Vocab, Vocab, gluon.data.DataLoader]:
    """Return the chapter's vocabularies and minibatches, English to French (section 9.5.5).

    Parameters
    ----------
    batch_size : int
    num_steps : int
        Length that every sentence is cut or padded to.
    num_examples : int, optional
        Number of lines to read from the start of the corpus (one more is read, see
        `tokenize_nmt`).  None reads all.

    Returns
    -------
    src_vocab, tgt_vocab : Vocab
        Of the words that occur three times or more.
    data_iter : iterable of lists of four arrays
        Source ids of shape (batch_size, num_steps), source valid lengths (batch_size,), target ids
        and target valid lengths.  One pass is one epoch.  Each pass draws a new order from NumPy's
        global generator, so ``numpy.random.seed`` fixes it, as in the book.

    Raises
    ------
    InputError
        If an argument is out of range.
    """
    if batch_size < 1 or num_steps < 2 or (num_examples is not None and num_examples < 1):
        raise InputError(
            'expected batch_size and num_examples of at least 1 and num_steps of at least 2, '
            f'got {batch_size}, {num_examples} and {num_steps}'
        )
    source, target = tokenize_nmt(preprocess_nmt(read_data_nmt()), num_examples)
    src_vocab, tgt_vocab = (
        Vocab(sentences, MIN_FREQ, list(RESERVED_TOKENS)) for sentences in (source, target)
    )
    data_arrays = (
        *build_array(source, src_vocab, num_steps, is_source=True),
        *build_array(target, tgt_vocab, num_steps, is_source=False),
    )
    return src_vocab, tgt_vocab, load_array(data_arrays, batch_size)
