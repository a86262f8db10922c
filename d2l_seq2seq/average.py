"""The command ``python -m d2l_seq2seq.average``: average a run's latest checkpoints."""

from __future__ import annotations

from pathlib import Path

from . import cli
from .errors import InputError
from .runs.layout import checkpoint_position, list_checkpoints


def _parser() -> cli.Parser:
    parser = cli.parser_for(
        'average',
        "Average the weights of a run's latest checkpoints, which often translates better than "
        'any of them. The option --keep of train sets how many checkpoints a run keeps.',
    )
    parser.add_argument('run', metavar='RUN', help='the folder that train wrote')
    parser.add_argument(
        '--last',
        type=cli.whole_number,
        metavar='COUNT',
        help='number of latest checkpoints to average (default: all that were kept)',
    )
    parser.add_argument(
        '--out', required=True, metavar='DIR', help='the folder to write, new or empty'
    )
    return parser


def main(argv: list[str] | None = None) -> None:
    """Average checkpoints as the command line says."""
    options = _parser().parse_args(argv)
    from ._mxnet import npx
    from .runs.checkpoint import average_checkpoints
    from .runs.folder import save_run

    kept = list_checkpoints(Path(options.run))
    count = len(kept) if options.last is None else options.last
    if not 2 <= count <= len(kept):
        raise InputError(
            f'{options.run}: expected --last from 2 to the number of checkpoints, {len(kept)}, '
            f'got {count}',
            'Train with a larger --keep to keep more checkpoints.',
        )
    checkpoints = kept[-count:]
    run = average_checkpoints(checkpoints, npx.cpu())
    save_run(options.out, run, *checkpoint_position(checkpoints[-1]))
    print(f'{options.out}: the average of {", ".join(path.name for path in checkpoints)}')


if __name__ == '__main__':
    cli.run(main)
