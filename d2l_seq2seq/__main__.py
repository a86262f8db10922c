"""The program ``d2l-seq2seq COMMAND``, also ``python -m d2l_seq2seq COMMAND``.

Each command is also a program of its own: ``python -m d2l_seq2seq.COMMAND``.
"""

from __future__ import annotations

import importlib
import sys

from . import __version__, cli

COMMANDS = {
    'train': 'train a model, or resume a run',
    'translate': 'translate sentences with a trained model',
    'evaluate': 'measure the translations and the loss of a trained model',
    'reproduce': 'run sections of the book, and compare the output with the printed one',
    'average': 'average the weights of the last checkpoints of a run',
    'export': 'write a trained model for programs without this package',
    'launch': 'train with several worker processes',
    'doctor': 'check the installation and the machine',
}


def main(argv: list[str] | None = None) -> int | None:
    """Run the command that is the first argument.

    Parameters
    ----------
    argv : list of str, optional
        The arguments; those of the process by default.

    Returns
    -------
    int or None
        The exit code of the command; None means 0.
    """
    arguments = sys.argv[1:] if argv is None else argv
    if not arguments or arguments[0] in ('-h', '--help'):
        print(_help())
        return 0
    name, *options = arguments
    if name == '--version':
        print(__version__)
        return 0
    if name == '--print-completion':
        from . import completion

        print(completion.script(options[0] if options else '', COMMANDS))
        return 0
    if name not in COMMANDS:
        print(
            f'{cli.PROGRAM}: unknown command {name}{cli.suggestion(name, COMMANDS)} '
            '(-h lists the commands)',
            file=sys.stderr,
        )
        return 2
    return importlib.import_module(f'{__package__}.{name}').main(options)


def script() -> None:
    """Run the console script ``d2l-seq2seq``."""
    cli.run(main)


def _help() -> str:
    width = max(map(len, COMMANDS))
    commands = [f'  {name:{width}}  {text}' for name, text in COMMANDS.items()]
    return '\n'.join(
        [
            f'usage: {cli.PROGRAM} COMMAND [OPTION]...',
            '',
            'Sequence-to-sequence learning as Dive into Deep Learning teaches it, in MXNet/Gluon.',
            '',
            'commands:',
            *commands,
            '',
            f'{cli.PROGRAM} COMMAND -h lists the options of a command.',
            f'{cli.PROGRAM} --print-completion bash (or zsh) prints a script for completion.',
        ]
    )


if __name__ == '__main__':
    script()
