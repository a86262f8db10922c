"""From a configuration to encoded parts of a corpus."""

import pytest

from d2l_seq2seq import DataConfig, InputError, read_corpus
from d2l_seq2seq.data.pipeline import encode_corpus


def test_random_ids_cannot_be_held_out():
    with pytest.raises(InputError, match='held_out: expected a corpus of text, got pseudo'):
        encode_corpus(DataConfig(held_out=0.1), read_corpus('pseudo'))
