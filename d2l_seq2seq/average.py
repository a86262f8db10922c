"""``python -m d2l_seq2seq.average``: average the weights of a run's latest checkpoints."""

from __future__ import annotations

from pathlib import Path
from typing import Sequence

from . import cli
from ._streams import without_reader
from .errors import InputError, one_line
from .runs.layout import checkpoint_position, list_checkpoints, read_run_config


def build_parser() -> cli.Parser:
    """Return the parser of the command's options."""
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
    options = build_parser().parse_args(argv)
    from ._mxnet import npx
    from .runs.checkpoint import average_checkpoints
    from .runs.folder import save_run

    run_path = Path(options.run)
    kept = list_checkpoints(run_path)
    adjacent = adjacent_checkpoints(kept, read_run_config(run_path).training.save_every)
    count = len(adjacent) if options.last is None else options.last
    if not 2 <= count <= len(adjacent):
        raise InputError(
            f'{options.run}: expected from 2 to {len(adjacent)} checkpoints to average (those '
            f'without a gap before the latest one: {_names(adjacent)}), got {count}'
            if len(adjacent) > 1
            else f'{options.run}: expected at least 2 checkpoints without a gap between them, got '
            f'{_names(kept) or "none"}',
            'Pass a run with enough checkpoints; train keeps more of them with a larger --keep.',
        )
    checkpoints = adjacent[-count:]
    run = average_checkpoints(checkpoints, npx.cpu())
    save_run(options.out, run, *checkpoint_position(checkpoints[-1]))
    earlier = [path for path in kept if path not in adjacent]
    note = f' (left out, because it is much earlier: {_names(earlier)})' if earlier else ''
    print(f'{one_line(options.out)}: average of {_names(checkpoints)}{note}')


def adjacent_checkpoints(checkpoints: Sequence[Path], save_every: int) -> list[Path]:
    """Return the latest checkpoints of a run that follow each other without a gap.

    A run also keeps its best validated checkpoint.  If that is much earlier than the others, its
    weights are far from theirs, and the mean may be worse than each of them.

    Parameters
    ----------
    checkpoints : sequence of Path
        See `list_checkpoints`.
    save_every : int
        The number of epochs between checkpoints.  A larger distance is a gap.
    """
    adjacent: list[Path] = []
    for checkpoint in reversed(checkpoints):
        epoch, _ = checkpoint_position(checkpoint)
        if adjacent and checkpoint_position(adjacent[0])[0] - epoch > save_every:
            break
        adjacent.insert(0, checkpoint)
    return adjacent


def _names(checkpoints: Sequence[Path]) -> str:
    return ', '.join(path.name for path in checkpoints)


if __name__ == '__main__':
    cli.run(main)
