"""Completion of commands and options in a shell: ``d2l-seq2seq --print-completion bash``.

The script is made by shtab from the parsers of the commands, so completing a word starts no Python.
"""

from __future__ import annotations

import argparse
import importlib
from typing import Mapping

from . import cli
from .errors import InputError

SHELLS = ('bash', 'zsh')
_FILES, _FOLDERS = 'FILE', ('RUN', 'DIR')  # ends of the metavariables of arguments that are paths


def script(shell: str, commands: Mapping[str, str]) -> str:
    """Return the script that a shell reads to complete the words of `d2l-seq2seq`.

    Parameters
    ----------
    shell : str
        bash or zsh.
    commands : mapping of str to str
        The help text of each command.

    Raises
    ------
    InputError
        If there is no completion for the shell.
    """
    import shtab

    if shell not in SHELLS:
        raise InputError(
            f'--print-completion: expected bash or zsh, got {shell!r}',
            f'Type: source <({cli.PROGRAM} --print-completion bash)',
        )
    parser = cli.Parser(prog=cli.PROGRAM)
    parser.add_argument('--version', action='version', help='print the version')
    parser.add_argument('--print-completion', choices=SHELLS, help='print this script')
    subparsers = parser.add_subparsers()
    for name, text in commands.items():
        command = importlib.import_module(f'{__package__}.{name}').build_parser()
        subparsers.add_parser(name, help=text, parents=[command], add_help=False)
        for action in command._actions:
            _describe(action, shtab)
    return shtab.complete(parser, shell)


def _describe(action: argparse.Action, shtab) -> None:
    """Say what completes an argument: a word of its choices, a file or a folder."""
    if getattr(action, 'words', ()):
        action.choices = action.words  # type: ignore[attr-defined]
    elif str(action.metavar).endswith(_FILES):
        action.complete = shtab.FILE  # type: ignore[attr-defined]
    elif str(action.metavar).endswith(_FOLDERS):
        action.complete = shtab.DIRECTORY  # type: ignore[attr-defined]
