"""Sequence to sequence with attention (d2l 0.14, section 10.2): the decoder.

The encoder, the loss, training and prediction are those of section 9.7; see `seq2seq`.

This is the specification of the section: with the same seed and data it returns bit for bit what
the chapter's code returns.  `models.decoders` contains a decoder of the same name that computes the
same logits in less time and can also return the attention weights.  That one is
`d2l_seq2seq.Seq2SeqAttentionDecoder`.
"""

from __future__ import annotations

from .._mxnet import nn, np, rnn
from .attention import MLPAttention
from .encoder_decoder import Decoder


class Seq2SeqAttentionDecoder(Decoder):
    """An LSTM decoder that attends to the encoder's outputs before each step (section 10.2.1).

    The query of a step is the hidden state of the top layer after the previous step.  The keys and
    the values are the encoder's outputs.  The context that attention returns is concatenated with
    the embedding of the step's token, and the result is the input of the LSTM.

    Parameters
    ----------
    vocab_size, embed_size, num_hiddens, num_layers : int
    dropout : float
        Dropout probability of the attention weights, and between the layers of the LSTM.

    Inputs:
        - **X**: array of shape (batch_size, num_steps), target token ids.
        - **state**: the result of `init_state`, or the state that the previous call returned.

    Outputs:
        - **logits**: float32 array of shape (batch_size, num_steps, vocab_size).
        - **state**: list of the encoder's outputs of shape (batch_size, num_src_steps,
          num_hiddens), the state of the LSTM after the last step, and the source valid lengths.
          The state of the LSTM is a list of the hidden state and the memory cell, each of shape
          (num_layers, batch_size, num_hiddens).

    Notes
    -----
    The dropout between the layers is that of Gluon's LSTM, which MXNet 1.9.1 ignores on a CPU.
    """

    def __init__(
        self,
        vocab_size: int,
        embed_size: int,
        num_hiddens: int,
        num_layers: int,
        dropout: float = 0,
        **kwargs,
    ):
        super().__init__(**kwargs)
        self.attention_cell = MLPAttention(num_hiddens, dropout)
        self.embedding = nn.Embedding(vocab_size, embed_size)
        self.rnn = rnn.LSTM(num_hiddens, num_layers, dropout=dropout)
        self.dense = nn.Dense(vocab_size, flatten=False)

    def init_state(self, enc_outputs, enc_valid_len, *args):
        """Return the initial state.

        Parameters
        ----------
        enc_outputs : pair
            The outputs of `Seq2SeqEncoder`: an array of shape (num_src_steps, batch_size,
            num_hiddens), and the state after the last step.
        enc_valid_len : array of shape (batch_size,), or None
            The source valid lengths.  None attends to the padding as well.
        args
            Ignored.

        Returns
        -------
        list
            The encoder's outputs with the batch first, the encoder's state and `enc_valid_len`.
        """
        outputs, hidden_state = enc_outputs
        return [outputs.swapaxes(0, 1), hidden_state, enc_valid_len]

    def forward(self, X, state):
        enc_outputs, hidden_state, enc_valid_len = state
        X = self.embedding(X).swapaxes(0, 1)  # (num_steps, batch_size, embed_size)
        outputs = []
        for x in X:
            query = np.expand_dims(hidden_state[0][-1], axis=1)  # (batch_size, 1, num_hiddens)
            context = self.attention_cell(query, enc_outputs, enc_outputs, enc_valid_len)
            # (batch_size, 1, num_hiddens + embed_size)
            x = np.concatenate((context, np.expand_dims(x, axis=1)), axis=-1)
            output, hidden_state = self.rnn(x.swapaxes(0, 1), hidden_state)
            outputs.append(output)  # (1, batch_size, num_hiddens)
        logits = self.dense(np.concatenate(outputs, axis=0))  # (num_steps, batch_size, vocab_size)
        return logits.swapaxes(0, 1), [enc_outputs, hidden_state, enc_valid_len]
