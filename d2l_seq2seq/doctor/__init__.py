"""Diagnosis of an installation: ``python -m d2l_seq2seq.doctor``.

The command prints one line per finding, and a hint below it if something needs to be done.  The
output is meant to be pasted into bug reports, so the home folder appears in it as ``~``.

`installation` checks the packages, MXNet and its results; `machine` checks threads, speed, memory,
disk and the book's corpus; `speed` measures the speed of training; `report` defines findings.
"""

from __future__ import annotations

import collections
import os
import re

from .. import cli
from .installation import diagnose
from .report import BROKEN, WARNING, Finding


def main(argv: list[str] | None = None) -> int:
    """Print each finding as soon as it is known, and a summary.

    Returns
    -------
    int
        The exit code: 1 if something is broken, otherwise 0.
    """
    build_parser().parse_args(argv)
    counts: collections.Counter[str] = collections.Counter()
    for finding in diagnose():
        print(_hide_home(_format(finding)), flush=True)
        counts[finding.severity] += 1
    print(_summary(counts[BROKEN], counts[WARNING]))
    return 1 if counts[BROKEN] else 0


def build_parser() -> cli.Parser:
    """Return the parser of the command's options."""
    return cli.parser_for(
        'doctor',
        'Check the installation and the machine: versions, MXNet, devices, threads, the corpus, '
        'speed, disk and memory. Each line begins with ok, info, warning or broken; a hint below '
        'it says what to do. The exit code is 1 if something is broken.',
    )


def _format(finding: Finding) -> str:
    """Return a finding in columns, with its hint on a second line."""
    line = f'{finding.severity:8} {finding.subject:9} {finding.text}'
    return f'{line}\n{"":18} -> {finding.hint}' if finding.hint else line


def _hide_home(text: str) -> str:
    """Replace the home folder in paths by ``~``."""
    home = os.path.expanduser('~').rstrip('/')
    return re.sub(rf'(?<![\w./-]){re.escape(home)}(?![\w.-])', '~', text) if home else text


def _summary(num_broken: int, num_warnings: int) -> str:
    """Return the last line of the output."""
    parts = []
    if num_broken:
        parts.append(f'{num_broken} broken')
    if num_warnings:
        parts.append('1 warning' if num_warnings == 1 else f'{num_warnings} warnings')
    return ', '.join(parts) or 'no problems found'
