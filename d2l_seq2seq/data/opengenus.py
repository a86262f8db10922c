"""What is the OpenGenus article's own: its rules for text, its pseudo-data, Keras's weights.

"Seq2seq: Encoder-Decoder Sequence to Sequence Model Explanation" describes the chapter's model in
Keras's terms.  Its blocks are the chapter's (`model.Seq2SeqEncoder` and `Seq2SeqDecoder` with a
shared embedding): Keras's time-distributed softmax is a dense layer with ``flatten=False``.
"""
from __future__ import annotations

import re
from typing import Sequence

import numpy as onp

from .._mxnet import init, mx, np, rnn
from .encoding import Batch
from ..book.vocab import Vocab

# In order of id.  The article numbers the first three, and names an end of sequence without a
# number.
SPECIAL_TOKENS = ('<pad>', '<bos>', '<unk>', '<eos>')

NUM_IDS = 100  # of the pseudo-data
START_ID = 0  # that the decoder starts from there


def words_of(text: str) -> list[str]:
    """The words of a text in lower case, without punctuation.

    An apostrophe is punctuation too, and so splits nothing: "I'm" is one word, im.

    Examples
    --------
    >>> words_of("I'm OK, you see!")
    ['im', 'ok', 'you', 'see']
    """
    return re.sub(r'[^\w\s]|_', '', text.lower()).split()


def vocab_of(sentences: list[list[str]], min_freq: int) -> Vocab:
    """Words by falling frequency; padding is 0, start 1, unknown 2, end 3."""
    ranked = Vocab(sentences, min_freq).idx_to_token[1:]
    return Vocab.from_tokens(list(dict.fromkeys([*SPECIAL_TOKENS, *ranked])))


def encode_ids(pairs: Sequence[tuple[str, str]]) -> tuple[Vocab, Batch]:
    """Arrays of the pseudo-data, whose words are ids already; see `synthetic.pseudo_pairs`.

    Every id is a word here, the special ones too, so all positions count, and there is no end of
    sentence.  The decoder starts from id 0, which otherwise is padding: a quirk of the article.

    Returns
    -------
    vocab : Vocab
        Names for the 100 ids, for both sides.
    arrays : Batch
        Targets have one step more than there are words.
    """
    src, tgt = (onp.array([[int(word) for word in sentence.split()] for sentence in sentences])
                for sentences in zip(*pairs))
    tgt = onp.concatenate([onp.full((len(tgt), 1), START_ID), tgt], axis=1)
    lengths = (np.full(len(pairs), ids.shape[1], dtype='int64') for ids in (src, tgt))
    src_valid_len, tgt_valid_len = lengths
    names = [*SPECIAL_TOKENS, *map(str, range(len(SPECIAL_TOKENS), NUM_IDS))]
    return (Vocab.from_tokens(names),
            Batch(np.array(src, dtype='float32'), src_valid_len,
                  np.array(tgt, dtype='float32'), tgt_valid_len))


def keras_lstm(num_hiddens: int, num_layers: int = 1, **kwargs) -> rnn.LSTM:
    """An LSTM whose forget gates begin with a bias of 1, as Keras's do.

    Keras has one bias where MXNet has two that are added; the second is 0.
    """
    kwargs.setdefault('i2h_bias_initializer', init.LSTMBias(forget_bias=1.0))
    return rnn.LSTM(num_hiddens, num_layers, **kwargs)


@mx.init.register
class KerasDefaults(init.Initializer):
    """The initial weights of Keras's `Embedding`, `LSTM`, `GRU` and `Dense`.

    Embeddings are uniform within 0.05, kernels Glorot uniform, and recurrent kernels orthogonal.
    Biases have initializers of their own in Gluon; see `keras_lstm`.
    """

    def _init_weight(self, name, array):
        if 'embedding' in name:
            init.Uniform(0.05)._init_weight(name, array)
        elif 'h2h' in name:
            init.Orthogonal(scale=1)._init_weight(name, array)
        else:
            init.Xavier()._init_weight(name, array)
