"""The warning at the end of a training that has learned nothing."""

import logging
import math

import pytest

from d2l_seq2seq import train
from d2l_seq2seq.training.divergence import divergence


@pytest.mark.parametrize(
    'losses, message',
    [
        ([], None),
        ([4.0, 3.0, 2.0], None),
        ([4.0, 1.0, 2.0], None),
        ([math.log(100)], None),  # nothing learned, nothing lost
        ([4.0, 9.0, 4.1], 'ended at 4.100 nats per token, above the 4.000 of the first epoch'),
        ([70.0, 60.0], 'ended at 60.000 nats per token, above the 4.605 of guessing'),
        ([60.0, 70.0], 'above the 60.000 of the first epoch'),
        ([5.0], None),  # as initial weights may be
        ([5.2], 'above the 4.605 of guessing'),
    ],
)
def test_the_last_loss_is_compared_with_the_first_and_with_guessing(losses, message):
    problem = divergence(losses, vocab_size=100)
    assert problem is message if message is None else message in problem


@pytest.mark.parametrize(
    'options, hint',
    [
        (['--lr', '1e6', '--max-norm', 'none'], 'with --lr below 1e+06 and with --max-norm 1'),
        (['--lr', '1e6'], 'with --lr below 1e+06'),
        ([], None),
    ],
)
def test_train_says_that_the_training_has_diverged(options, hint, tmp_path, caplog):
    arguments = ['--corpus', 'bundled', '--num-examples', '60', '--num-epochs', '3']
    arguments += ['--num-hiddens', '8', '--embed-size', '8', '--batch-size', '8', *options]
    with caplog.at_level(logging.WARNING):
        assert train.main([*arguments, '--out', str(tmp_path / 'run')]) == 0
    warnings = [record.getMessage() for record in caplog.records]
    ended = [warning for warning in warnings if 'training loss ended' in warning]
    assert len(ended) == (hint is not None)
    assert all(warning.endswith(hint) for warning in ended)
