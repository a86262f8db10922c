"""Findings, the results of the doctor's checks, and a loop that runs checks independently.

A check is a function that takes its own name and yields its findings.  An exception in one check
does not keep the following ones from running.
"""

from __future__ import annotations

from dataclasses import dataclass
from typing import Callable, Iterator, Mapping

from ..errors import InputError

# The severities.  INFO is neutral; WARNING means that everything works, but could work better.
OK, INFO, WARNING, BROKEN = 'ok', 'info', 'warning', 'broken'
_MAX_MESSAGE_LENGTH = 400  # characters of another package's message
_REINSTALL_OR_REPORT = (
    'Reinstall d2l_seq2seq. If that does not help, include all of these lines in a bug report.'
)


@dataclass(frozen=True)
class Finding:
    """One result of a check."""

    subject: str  # the name of the check
    severity: str  # OK, INFO, WARNING or BROKEN
    text: str  # one line, without a full stop at the end
    hint: str = ''  # what to do about it, as in `InputError`


Check = Callable[[str], Iterator[Finding]]


def run_checks(checks: Mapping[str, Check]) -> Iterator[Finding]:
    """Yield the findings of checks, one check after the other.

    Parameters
    ----------
    checks : mapping of str to check
        The checks by their names.

    Yields
    ------
    Finding
        If a check raises an exception, a BROKEN finding that describes it.
    """
    for subject, check in checks.items():
        try:
            yield from check(subject)
        except (Exception, SystemExit) as error:
            yield Finding(subject, BROKEN, describe_error(error), _REINSTALL_OR_REPORT)


def finding_from_error(subject: str, severity: str, error: InputError) -> Finding:
    """Return the finding that describes an `InputError`."""
    return Finding(subject, severity, error.problem, error.hint)


def describe_error(error: BaseException) -> str:
    """Return the type and the message of an exception in one line."""
    lines = [line.strip() for line in str(error).splitlines() if line.strip()] or ['no message']
    # The messages of MXNet's errors are tracebacks, and the last line says what is wrong.
    message = lines[-1] if lines[0].startswith('Traceback') else lines[0]
    return f'{type(error).__name__}: {message[:_MAX_MESSAGE_LENGTH]}'
