"""``python -m d2l_seq2seq.export``: a trained run as MXNet's own files, for other programs."""

from __future__ import annotations

from pathlib import Path

from . import cli
from .errors import InputError


def _parser() -> cli.Parser:
    parser = cli.parser_for(
        'export',
        'Write encoder and decoder step of a run as MXNet graphs and parameters, which '
        'gluon.SymbolBlock.imports reads without this package, with the vocabularies as '
        'plain text.',
    )
    parser.add_argument('run', metavar='RUN', help='the folder that train wrote')
    parser.add_argument('folder', metavar='DIR', help='the folder to write, new or empty')
    return parser


def main(argv: list[str] | None = None) -> None:
    """Export as the options say."""
    options = _parser().parse_args(argv)
    from ._mxnet import mx, npx
    from .runs.atomic import write_folder
    from .runs.export import export_run
    from .runs.folder import load_run

    run, folder = load_run(options.run, npx.cpu()), Path(options.folder).resolve()
    try:
        if folder.exists() and (not folder.is_dir() or any(folder.iterdir())):
            raise InputError(
                f'{folder}: expected a new or an empty folder, got one with files in '
                'it; name another'
            )
        folder.parent.mkdir(parents=True, exist_ok=True)
        write_folder(folder, {}, lambda beside: export_run(run, beside))
        names = sorted(path.name for path in folder.iterdir())
    except (OSError, mx.base.MXNetError) as error:
        reason = getattr(error, 'strerror', 'MXNet could not write its file; is the disk full?')
        raise InputError(f'{folder}: can not be written ({reason}); name another folder') from error
    print(f'{folder}: {", ".join(names)}')


if __name__ == '__main__':
    cli.run(main)
