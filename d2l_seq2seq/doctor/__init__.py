"""``python -m d2l_seq2seq.doctor``: what is right and wrong with an installation, and what to type.

Its lines are meant to be pasted into a report, so they stand for themselves and name the home
folder ``~``.
"""

from __future__ import annotations

import collections
import os
import re

from .. import cli
from .installation import diagnose
from .report import BROKEN, WARNING, Finding


def _parser() -> cli.Parser:
    return cli.parser_for(
        'doctor',
        'Look at the installation and the machine: versions, MXNet, devices, threads, '
        'the corpus, speed, disk and memory. Each line is ok, info, a warning or broken, '
        'with what to type beneath it. Exits with 1 if something is broken.',
    )


def main(argv: list[str] | None = None) -> int:
    """Print what is found, as it is found; returns the exit code."""
    _parser().parse_args(argv)
    counts = collections.Counter()
    for finding in diagnose():
        print(_without_home(_lines(finding)), flush=True)
        counts[finding.severity] += 1
    print(_summary(counts[BROKEN], counts[WARNING]))
    return 1 if counts[BROKEN] else 0


def _lines(finding: Finding) -> str:
    """A finding in columns, with what to do in a line beneath it."""
    line = f'{finding.severity:8} {finding.subject:9} {finding.text}'
    return f'{line}\n{"":18} -> {finding.remedy}' if finding.remedy else line


def _without_home(text: str) -> str:
    home = os.path.expanduser('~').rstrip('/')
    return re.sub(rf'(?<![\w./-]){re.escape(home)}(?![\w.-])', '~', text) if home else text


def _summary(num_broken: int, num_warnings: int) -> str:
    """The last line."""
    parts = []
    if num_broken:
        parts.append('1 thing is broken' if num_broken == 1 else f'{num_broken} things are broken')
    if num_warnings:
        parts.append('1 warning' if num_warnings == 1 else f'{num_warnings} warnings')
    return ', '.join(parts) or 'all is well'
