"""``python -m d2l_seq2seq.average``: average the weights of a run's latest checkpoints."""

from __future__ import annotations

from pathlib import Path

from . import cli
from ._streams import without_reader
from .errors import InputError
from .runs.layout import checkpoint_position, list_checkpoints


def _parser() -> cli.Parser:
    parser = cli.parser_for(
        'average',
        "Average the weights of a run's latest checkpoints. The result often translates better "
        'than each of them. The option --keep of train sets how many checkpoints a run keeps.',
    )
    parser.add_argument('run', metavar='RUN', help='folder that train wrote')
    parser.add_argument(
        '--last',
        type=cli.whole_number,
        metavar='COUNT',
        help='number of latest checkpoints to average (default: all)',
    )
    parser.add_argument(
        '--out',
        required=True,
        metavar='DIR',
        help='folder to write the result to, which must be new or empty',
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
        If an option or the run cannot be used.
    """
    options = _parser().parse_args(argv)
    from ._mxnet import npx
    from .runs.checkpoint import average_checkpoints
    from .runs.folder import save_run

    kept = list_checkpoints(Path(options.run))
    count = len(kept) if options.last is None else options.last
    if not 2 <= count <= len(kept):
        raise InputError(
            f'{options.run}: expected at least 2 checkpoints to average, and at most the '
            f'{len(kept)} that exist, got {count}',
            'Pass a run with enough checkpoints; train keeps more of them with a larger --keep.',
        )
    checkpoints = kept[-count:]
    run = average_checkpoints(checkpoints, npx.cpu())
    save_run(options.out, run, *checkpoint_position(checkpoints[-1]))
    print(f'{options.out}: average of {", ".join(path.name for path in checkpoints)}')


if __name__ == '__main__':
    cli.run(main)
