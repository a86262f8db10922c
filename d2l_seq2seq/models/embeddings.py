"""Embeddings and output layers: dropout, sharing, tying, and initial values.

The encoders and decoders of this package have an attribute `embedding`, and decoders also have
`dense`, the output layer that computes the logits.  The functions here replace these layers in a
model that is not initialized yet.
"""

from __future__ import annotations

from .._mxnet import init, mx, nn
from ..book.encoder_decoder import Decoder, EncoderDecoder


class DropoutEmbedding(nn.Embedding):
    """An embedding with dropout of its result (Zaremba et al. 2014, section 3.2).

    Parameters
    ----------
    vocab_size, embed_size : int
    dropout : float
        Probability of dropping each value of an embedded token.

    Inputs:
        - **X**: array of any shape, token ids.

    Outputs:
        - **embedded**: float32 array of the input's shape, with a last axis of `embed_size` added.
    """

    def __init__(self, vocab_size: int, embed_size: int, dropout: float, **kwargs):
        super().__init__(vocab_size, embed_size, **kwargs)
        self.dropout = nn.Dropout(dropout)

    def hybrid_forward(self, F, X, weight):
        return self.dropout(super().hybrid_forward(F, X, weight))


class OutputLayer(nn.Dense):
    """A dense output layer with dropout of its input, and with a projection if one is needed.

    Parameters
    ----------
    vocab_size : int
    dropout : float
        Probability of dropping each value of the input.
    projection_size : int, optional
        If given, a linear layer without bias maps the input to this size first.

    Inputs:
        - **X**: float32 array of shape (batch_size, num_steps, num_hiddens), or with other axes
          before the last one.

    Outputs:
        - **logits**: float32 array with the shape of the input, but `vocab_size` as its last size.
    """

    def __init__(
        self, vocab_size: int, dropout: float = 0, projection_size: int | None = None, **kwargs
    ):
        super().__init__(vocab_size, flatten=False, **kwargs)
        self.dropout = nn.Dropout(dropout) if dropout > 0 else None
        self.projection = None
        if projection_size is not None:
            self.projection = nn.Dense(projection_size, flatten=False, use_bias=False)

    def hybrid_forward(self, F, X, weight, bias):
        for layer in (self.dropout, self.projection):
            if layer is not None:
                X = layer(X)
        return super().hybrid_forward(F, X, weight, bias)


@mx.init.register
class NormalEmbeddings(init.Xavier):
    """Xavier, with embeddings drawn from a normal distribution of variance 1 / embed_size.

    Xavier derives the range of an embedding from the size of the vocabulary, although each token
    reads a single row.  With 10,000 words, the values are so small that a model whose output is
    tied to the embedding hardly learns in its first epochs.  Here a row has a norm of about 1.
    """

    def _init_weight(self, name, array):
        if 'embedding' in name:
            init.Normal(array.shape[1] ** -0.5)._init_weight(name, array)
        else:
            super()._init_weight(name, array)


def drop_embedding(block: nn.Block, dropout: float) -> None:
    """Give the embedding of an encoder or decoder dropout; see `DropoutEmbedding`.

    Call this function before `share_embedding` and `tie_output`.
    """
    vocab_size, embed_size = block.embedding.weight.shape
    block.embedding = DropoutEmbedding(vocab_size, embed_size, dropout)


def share_embedding(model: EncoderDecoder) -> None:
    """Make the decoder use the embedding of the encoder.

    Both sides must have the same vocabulary.  Call this function before `tie_output`.

    Parameters
    ----------
    model : EncoderDecoder

    Raises
    ------
    ValueError
        If the output of the decoder is already tied.
    """
    if model.decoder.dense.weight is model.decoder.embedding.weight:
        raise ValueError(
            'expected a decoder whose output is not tied yet: '
            'call share_embedding before tie_output'
        )
    model.decoder.embedding = model.encoder.embedding


def drop_output(decoder: Decoder, dropout: float) -> None:
    """Give the output layer of a decoder dropout of its input; see `OutputLayer`."""
    decoder.dense = OutputLayer(decoder.dense._units, dropout)


def tie_output(decoder: Decoder, dropout: float = 0) -> None:
    """Make the output layer of a decoder use the weight of its embedding (Press and Wolf 2017).

    If `num_hiddens` is not equal to `embed_size`, a linear projection between them comes before the
    output layer.

    Parameters
    ----------
    decoder : Decoder
        One of the package's decoders, not yet initialized.  Its embedding must not be replaced
        afterwards.
    dropout : float
        Dropout probability of the output layer's input.
    """
    vocab_size, embed_size = decoder.embedding.weight.shape
    num_hiddens = decoder._state_sizes[-1]
    decoder.dense = OutputLayer(
        vocab_size,
        dropout,
        embed_size if embed_size != num_hiddens else None,
        in_units=embed_size,
        params=decoder.embedding.params,
    )
