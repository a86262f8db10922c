"""Findings, and checks that run independently of each other."""

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


def succeeding_check(subject):
    yield Finding(subject, OK, 'good')


@pytest.mark.parametrize(
    'exception, text',
    [
        (KeyError('lost'), "KeyError: 'lost'"),
        (OSError(28, 'No space left'), 'OSError: [Errno 28] No space left'),
        (SystemExit(3), 'SystemExit: 3'),
        (MemoryError(), 'MemoryError: no message'),
    ],
)
def test_exception_in_check_is_a_finding_and_the_next_check_runs(exception, text):
    def failing_check(subject):
        yield Finding(subject, OK, 'first')
        raise exception

    first, broken, last = run_checks({'failing': failing_check, 'succeeding': succeeding_check})
    assert first == Finding('failing', OK, 'first')
    assert last == Finding('succeeding', OK, 'good')
    assert (broken.subject, broken.severity, broken.text) == ('failing', BROKEN, text)
    assert broken.hint == (
        'Reinstall d2l_seq2seq. If that does not help, include all of these lines in a bug report.'
    )


def test_ctrl_c_is_not_a_finding():
    def interrupted_check(subject):
        raise KeyboardInterrupt
        yield

    with pytest.raises(KeyboardInterrupt):
        list(run_checks({'interrupted': interrupted_check}))


def test_error_of_many_lines_is_described_in_one():
    traceback = 'Traceback (most recent call last):\n  File "op.cc"\nMXNetError: no memory\n'
    assert describe_error(ValueError(traceback)) == 'ValueError: MXNetError: no memory'
    assert describe_error(ValueError('\nfirst\nsecond')) == 'ValueError: first'
    assert len(describe_error(ValueError('x' * 10_000))) < 500


def test_finding_from_error_keeps_problem_and_hint():
    error = InputError('no such file; at all', 'Name another. Or none.')
    assert finding_from_error('corpus', WARNING, error) == Finding(
        'corpus', WARNING, 'no such file; at all', 'Name another. Or none.'
    )
