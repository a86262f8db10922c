"""Checks that can't end each other."""

import pytest

from d2l_seq2seq.doctor.report import (
    BROKEN,
    OK,
    WARNING,
    Finding,
    describe_error,
    finding_from_error,
    run_checks,
)
from d2l_seq2seq.errors import InputError


def good(subject):
    yield Finding(subject, OK, 'good')


@pytest.mark.parametrize(
    'failure, text',
    [
        (KeyError('lost'), "KeyError: 'lost'"),
        (OSError(28, 'No space left'), 'OSError: [Errno 28] No space left'),
        (SystemExit(3), 'SystemExit: 3'),
        (MemoryError(), 'MemoryError: no message'),
    ],
)
def test_a_check_that_fails_is_a_finding_and_the_next_one_is_made(failure, text):
    def bad(subject):
        yield Finding(subject, OK, 'so far')
        raise failure

    first, broken, last = run_checks({'bad': bad, 'good': good})
    assert (first.text, last) == ('so far', Finding('good', OK, 'good'))
    assert (broken.subject, broken.severity, broken.text) == ('bad', BROKEN, text)
    assert 'report all of these lines' in broken.remedy


def test_ctrl_c_is_no_finding():
    def stopped(subject):
        raise KeyboardInterrupt
        yield

    with pytest.raises(KeyboardInterrupt):
        list(run_checks({'stopped': stopped}))


def test_an_error_in_many_lines_is_told_in_one():
    traceback = 'Traceback (most recent call last):\n  File "op.cc"\nMXNetError: no memory\n'
    assert describe_error(ValueError(traceback)) == 'ValueError: MXNetError: no memory'
    assert describe_error(ValueError('\nfirst\nsecond')) == 'ValueError: first'
    assert len(describe_error(ValueError('x' * 10_000))) < 500


def test_what_to_do_is_told_apart():
    error = InputError('no such file; name another; or none')
    assert finding_from_error('corpus', WARNING, error) == Finding(
        'corpus', WARNING, 'no such file', 'name another; or none'
    )
