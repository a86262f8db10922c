"""``python -m d2l_seq2seq.average``: the mean of a run's latest checkpoints as a run."""

from __future__ import annotations

from pathlib import Path

from . import cli
from .errors import InputError
from .runs.layout import checkpoint_position, checkpoints_of


def _parser() -> cli.Parser:
    parser = cli.parser_for(
        'average',
        "Average the weights of a run's latest checkpoints, which often translates "
        'better than each of them. train --keep says how many there are.',
    )
    parser.add_argument('run', metavar='RUN', help='the folder that train wrote')
    parser.add_argument(
        '--last',
        type=cli.whole_number,
        metavar='COUNT',
        help='how many of the latest checkpoints; all that were kept unless given',
    )
    parser.add_argument(
        '--out', required=True, metavar='DIR', help='the folder to write, new or empty'
    )
    return parser


def main(argv: list[str] | None = None) -> None:
    """Average as the options say."""
    options = _parser().parse_args(argv)
    from ._mxnet import npx
    from .runs.checkpoint import average_checkpoints
    from .runs.folder import save_run

    found = checkpoints_of(Path(options.run))
    count = len(found) if options.last is None else options.last
    if not 2 <= count <= len(found):
        raise InputError(
            f'{options.run}: expected --last from 2 to the checkpoints that are '
            f'there, which are {len(found)}, got {count}; train --keep keeps more'
        )
    run = average_checkpoints(found[-count:], npx.cpu())
    save_run(options.out, run, *checkpoint_position(found[-1]))
    print(f'{options.out}: the mean of {", ".join(path.name for path in found[-count:])}')


if __name__ == '__main__':
    cli.run(main)
