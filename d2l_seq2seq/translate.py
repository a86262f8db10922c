"""``python -m d2l_seq2seq.translate``: translate sentences with a trained run."""

from __future__ import annotations

import logging
import sys
from pathlib import Path
from typing import Iterator

from . import cli
from ._runtime import choose_threads
from .config import RunConfig, SearchConfig
from .errors import InputError

logger = logging.getLogger(__name__)

BLOCK_BYTES = 1 << 18  # of a stream; what is there is translated before more is read
MAX_LINE_BYTES = 1 << 16  # what is longer is no sentence


def _parser() -> cli.Parser:
    parser = cli.parser_for('translate', 'Translate sentences, one line out for each line in.')
    parser.add_argument('run', metavar='RUN', help='the folder that train wrote')
    parser.add_argument(
        'sentences',
        metavar='SENTENCE',
        nargs='*',
        default=[],
        help='what to translate; without any, the lines of standard input',
    )
    parser.add_argument('--input', metavar='FILE', help='translate the lines of a file')
    parser.add_argument(
        '--scores',
        action='store_true',
        help='print line number, score and '
        'translation, separated by tabs; so it is with several translations',
    )
    parser.add_argument(
        '--attention',
        metavar='FILE',
        help='draw what each word of the translations looked at (.svg, .png or .pdf)',
    )
    parser.add_argument('--device', default='auto', help='auto, cpu, cpu(N), gpu or gpu(N)')
    cli.add_options(parser, SearchConfig)
    return parser


def main(argv: list[str] | None = None) -> None:
    """Translate as the options say."""
    options = _parser().parse_intermixed_args(argv)  # sentences may stand behind options
    search = cli.config_from(SearchConfig, options)
    if options.input and options.sentences:
        raise InputError('--input: expected no sentences beside it')
    config = RunConfig.of_run(Path(options.run))

    # Only now MXNet, which takes seconds to load and keeps the threads that it finds chosen.
    choose_threads(search.batch_size * search.beam_size, config.model.num_hiddens)
    from .device import device_from_name
    from .inference.translator import Translator

    translator = Translator.load(options.run, device_from_name(options.device))
    if options.attention:
        _check_picture(options.attention, translator)
    seen, count = [], 0
    for block in [options.sentences] if options.sentences else _blocks(options.input):
        for found in translator.translate(block, search):
            count += 1
            _print(found, count, options.scores or search.n_best > 1)
            if options.attention:
                seen += found[:1]
        sys.stdout.flush()
    if seen:
        _draw(seen, Path(options.attention))


def _print(found: list, number: int, with_scores: bool) -> None:
    """Print the translations of a line; an empty line has an empty one."""
    if with_scores:
        for translation in found:
            print(number, f'{translation.score:.4f}', translation.text, sep='\t')
    else:
        print(found[0].text if found else '')


def _blocks(path: str | None) -> Iterator[list[str]]:
    """The lines of a file or of standard input, as many at a time as are there."""
    try:
        with open(path, 'rb') if path else sys.stdin.buffer as stream:
            yield from _lines_of(stream)
    except OSError as error:
        raise InputError(f'{path}: can not be read ({error.strerror})') from error


def _lines_of(stream) -> Iterator[list[str]]:
    """Decoded lines, without their ends, in blocks."""
    rest, number = b'', 1
    for data in iter(lambda: stream.read1(BLOCK_BYTES), b''):
        *lines, rest = (rest + data).split(b'\n')
        if len(rest) > MAX_LINE_BYTES:  # a line that goes on and on is not kept in memory
            rest = rest[: MAX_LINE_BYTES + 1]
        if lines:
            yield [_decoded(line, number + place) for place, line in enumerate(lines)]
            number += len(lines)
    if rest:
        yield [_decoded(rest, number)]


def _decoded(line: bytes, number: int) -> str:
    """A line as text; whatever it holds, it becomes one."""
    if len(line) > MAX_LINE_BYTES:
        logger.warning(
            'line %s is longer than %s bytes and is cut', f'{number:,}', f'{MAX_LINE_BYTES:,}'
        )
        line = line[:MAX_LINE_BYTES]
        while line[-1] & 0xC0 == 0x80:  # a character is not cut in two
            line = line[:-1]
        line = line[:-1]
    try:
        return line.decode('utf-8-sig' if number == 1 else 'utf-8')
    except UnicodeDecodeError:
        text = line.decode('utf-8', errors='replace')
        logger.warning('line %s is not UTF-8 and is read with gaps: %s', f'{number:,}', text[:40])
        return text


def _check_picture(path: str, translator) -> None:
    """Raise `InputError` unless there can be a picture of attention."""
    from .book.animator import picture_suffix

    picture_suffix(path)
    if not Path(path).resolve().parent.is_dir():
        raise InputError(f'{path}: expected a file in a folder that is there')
    if not translator.has_attention:
        raise InputError(
            'expected a model with attention, got one without; train one with '
            '--attention additive, dot or general'
        )


def _draw(seen: list, path: Path) -> None:
    """Write what was looked at to a picture."""
    from .book.animator import figure_bytes, picture_suffix
    from .plotting import attention_figure

    figure = attention_figure(
        [translation.attention_weights for translation in seen],
        [translation.src_tokens for translation in seen],
        [translation.tokens + ['<eos>'] * translation.is_finished for translation in seen],
    )
    try:
        path.write_bytes(figure_bytes(figure, picture_suffix(path)))
    except OSError as error:
        raise InputError(f'{path}: can not be written ({error.strerror})') from error


if __name__ == '__main__':
    cli.run(main)
