"""What a check finds, and checks that can't end each other."""

from __future__ import annotations

from dataclasses import dataclass
from typing import Callable, Iterator

OK, INFO, WARNING, BROKEN = 'ok', 'info', 'warning', 'broken'
_LONGEST_LINE = 400  # signs of another package's message
_REPORT = "where installing the package anew doesn't mend it, report all of these lines"


@dataclass(frozen=True)
class Finding:
    """One thing that was looked at."""

    subject: str  # the check's name
    severity: str  # ok; info: neither good nor bad; warning: all works, but worse; broken
    text: str  # one line
    remedy: str = ''  # what to type or do


Check = Callable[[str], Iterator[Finding]]  # of its own name


def run_checks(checks: dict[str, Check]) -> Iterator[Finding]:
    """What the checks find, one after the other; one that fails itself is a finding too."""
    for subject, check in checks.items():
        try:
            yield from check(subject)
        except (Exception, SystemExit) as error:  # whatever it is, the next one may say more
            yield Finding(subject, BROKEN, describe_error(error), _REPORT)


def finding_from_error(subject: str, severity: str, error: Exception) -> Finding:
    """The finding that one of the package's own errors makes: what is wrong; what to do."""
    text, _, remedy = str(error).partition('; ')
    return Finding(subject, severity, text, remedy)


def describe_error(error: BaseException) -> str:
    """The type and the message of an exception in one line."""
    lines = [line.strip() for line in str(error).splitlines() if line.strip()] or ['no message']
    # MXNet's messages are tracebacks of their own, with what is wrong at the end.
    line = lines[-1] if lines[0].startswith('Traceback') else lines[0]
    return f'{type(error).__name__}: {line[:_LONGEST_LINE]}'
