"""``python -m d2l_seq2seq.export``: write a trained model in MXNet's own file formats."""

from __future__ import annotations

from pathlib import Path

from . import cli
from ._streams import without_reader
from .errors import InputError, one_line


def build_parser() -> cli.Parser:
    """Return the parser of the command's options."""
    parser = cli.parser_for(
        'export',
        'Write a trained model in formats that other programs can read without this package: the '
        'encoder and the decoder step as MXNet graphs and parameters, for '
        'gluon.SymbolBlock.imports, and the vocabularies as plain text.',
    )
    parser.add_argument('run', metavar='RUN', help='folder that train wrote')
    parser.add_argument(
        'folder', metavar='DIR', help='folder to write the files to, which must be new or empty'
    )
    return parser


@without_reader()
def main(argv: list[str] | None = None) -> None:
    """Run the command.

    Parameters
    ----------
    argv : list of str, optional
        The options; those of the process by default.

    Raises
    ------
    InputError
        If the run cannot be used, or the folder cannot be written.
    """
    options = build_parser().parse_args(argv)
    from ._mxnet import mx, npx
    from .runs.export import export_run
    from .runs.loading import load_run

    run = load_run(options.run, npx.cpu())
    folder = Path(options.folder).resolve()
    try:
        if folder.exists() and (not folder.is_dir() or any(folder.iterdir())):
            raise InputError(
                f'{folder}: expected a new or empty folder, found '
                f'{"files in it" if folder.is_dir() else "a file"}',
                'Choose another folder.',
            )
        names = export_run(run, folder)
    except (OSError, mx.base.MXNetError) as error:
        # MXNet's own error is a long stack trace.
        reason = getattr(error, 'strerror', 'MXNet could not write its file; is the disk full?')
        raise InputError(
            f'{folder}: cannot be written ({reason})', 'Choose another folder.'
        ) from error
    print(f'{one_line(folder)}: {", ".join(names)}')


if __name__ == '__main__':
    cli.run(main)
