"""``python -m d2l_seq2seq.translate``: translate sentences with a trained model."""

from __future__ import annotations

import codecs
import contextlib
import logging
import sys
from pathlib import Path
from typing import TYPE_CHECKING, Any, Iterator, TextIO

from . import cli
from ._runtime import choose_threads
from .config import SearchConfig
from .errors import InputError, shell_quote
from .runs.layout import read_run_config

if TYPE_CHECKING:  # loads MXNet
    from .inference.translator import Translation, Translator

logger = logging.getLogger(__name__)

BLOCK_BYTES = 1 << 18  # maximum size of a read; its complete lines are translated before the next
MAX_LINE_BYTES = 1 << 16  # a longer line is probably not a sentence


def build_parser() -> cli.Parser:
    """Return the parser of the command's options."""
    parser = cli.parser_for(
        'translate',
        'Translate sentences with a trained model. Each input line gives one output line.',
    )
    parser.add_argument('run', metavar='RUN', help='folder that train wrote')
    parser.add_argument(
        'sentences',
        metavar='SENTENCE',
        nargs='*',
        default=[],
        help='sentence to translate; if there is none, lines are read from standard input',
    )
    parser.add_argument(
        '--input', metavar='FILE', help='translate the lines of this file instead of sentences'
    )
    parser.add_argument(
        '--output', metavar='FILE', help='write the translations to this file instead of printing'
    )
    parser.add_argument(
        '--scores',
        action='store_true',
        help='print line number, score and translation, separated by tabs; always on with '
        '--n-best above 1',
    )
    parser.add_argument(
        '--attention',
        metavar='FILE',
        help='plot the attention weights of the translations to this file (.svg, .png or .pdf); '
        'needs a model with attention',
    )
    cli.add_device(parser)
    cli.add_options(parser, SearchConfig)
    return parser


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
    options = build_parser().parse_intermixed_args(argv)  # sentences may also follow options
    search = cli.config_from(SearchConfig, options)
    if options.input and options.sentences:
        raise InputError(
            '--input: cannot be combined with sentences on the command line',
            'Pass one of the two.',
        )
    for sentence in options.sentences:
        if Path(sentence).is_file():
            logger.warning(
                '%s is the name of a file, and is translated as a sentence; to translate the lines '
                'of the file, pass --input %s',
                sentence,
                shell_quote(sentence),
            )
    config = read_run_config(Path(options.run))

    # MXNet takes seconds to load, and reads the number of threads only then.
    choose_threads(search.batch_size * search.beam_size, config.model.num_hiddens)
    from .device import device_from_name
    from .inference.translator import Translator

    translator = Translator.load(options.run, device_from_name(options.device))
    if options.attention:
        _check_attention_plot(options.attention, translator)
    plotted, line_number = [], 0
    with _open_output(options.output, options.input) as output:
        for block in [options.sentences] if options.sentences else _read_blocks(options.input):
            for translations in translator.translate(block, search):
                line_number += 1
                with_scores = options.scores or search.n_best > 1
                _print(translations, line_number, with_scores, output)
                if options.attention:
                    plotted += translations[:1]
            output.flush()
    if plotted:
        _plot_attention(plotted, Path(options.attention))


@contextlib.contextmanager
def _open_output(path: str | None, input_path: str | None) -> Iterator[TextIO]:
    """Open the file for the translations, or return standard output."""
    if path is None:
        yield sys.stdout
        return
    if input_path is not None and Path(path).resolve() == Path(input_path).resolve():
        raise InputError(f'--output {path}: is also the input', 'Choose another file.')
    try:
        with open(path, 'w', encoding='utf-8', newline='\n') as file:
            yield file
    except OSError as error:
        raise InputError(f'--output {path}: cannot be written ({error.strerror})') from error


def _print(
    translations: list[Translation], line_number: int, with_scores: bool, output: TextIO
) -> None:
    """Print the translations of a line; without scores, an empty line if there are none."""
    if with_scores:
        for translation in translations:
            print(line_number, f'{translation.score:.4f}', translation.text, sep='\t', file=output)
    else:
        print(translations[0].text if translations else '', file=output)


def _read_blocks(path: str | None) -> Iterator[list[str]]:
    """Yield the lines of a file or of standard input in blocks, as soon as they are available."""
    if path is None and sys.stdin.isatty():
        yield from _prompted_lines()
        return
    try:
        with open(path, 'rb') if path else sys.stdin.buffer as stream:
            yield from _decoded_blocks(stream)
    except OSError as error:
        name = path or 'standard input'
        raise InputError(f'{name}: cannot be read ({error.strerror})') from error


def _prompted_lines() -> Iterator[list[str]]:
    """Yield the lines that the user types at a prompt, one by one."""
    print('Type a sentence and press Enter. Ctrl-D ends.', file=sys.stderr)
    while True:
        print('> ', end='', file=sys.stderr, flush=True)
        line = sys.stdin.readline()
        if not line:
            print(file=sys.stderr)
            return
        yield [line.rstrip('\n')]


def _decoded_blocks(stream: Any) -> Iterator[list[str]]:
    """Yield decoded lines in blocks, without their line ends."""
    rest, number = b'', 1
    for data in iter(lambda: stream.read1(BLOCK_BYTES), b''):
        *lines, rest = (rest + data).split(b'\n')
        if len(rest) > MAX_LINE_BYTES:  # so that a very long line does not fill the memory
            rest = rest[: MAX_LINE_BYTES + 1]
        if lines:
            yield [_decode(line, number + index) for index, line in enumerate(lines)]
            number += len(lines)
    if rest:
        yield [_decode(rest, number)]


def _decode(line: bytes, number: int) -> str:
    """Return a line as text, whatever bytes it has, and log a warning if some of them are lost."""
    if len(line) > MAX_LINE_BYTES:
        logger.warning(
            'line %s is longer than %s bytes and was cut', f'{number:,}', f'{MAX_LINE_BYTES:,}'
        )
    new_decoder = codecs.getincrementaldecoder('utf-8-sig' if number == 1 else 'utf-8')
    is_complete = len(line) <= MAX_LINE_BYTES  # otherwise its last character may be cut in two
    line = line[:MAX_LINE_BYTES]
    try:
        return new_decoder().decode(line, final=is_complete)
    except UnicodeDecodeError:
        text = new_decoder('replace').decode(line, final=is_complete)
        logger.warning(
            'line %s is not UTF-8; invalid bytes were replaced: %s', f'{number:,}', ascii(text[:40])
        )
        return text


def _check_attention_plot(path: str, translator: Translator) -> None:
    """Check that attention weights can be plotted to a file, before anything is translated."""
    from .book.animator import picture_suffix

    picture_suffix(path)
    if not Path(path).resolve().parent.is_dir():
        raise InputError(
            f'{path}: the folder does not exist', 'Create it, or choose another folder.'
        )
    if not translator.has_attention:
        raise InputError(
            '--attention: expected a model with attention, got one without',
            'Train a model with --attention additive, dot or general.',
        )


def _plot_attention(translations: list[Translation], path: Path) -> None:
    """Write a picture of the attention weights of some translations."""
    from .book.animator import figure_bytes, picture_suffix
    from .plotting import attention_figure

    figure = attention_figure(
        [translation.attention_weights for translation in translations],
        [translation.src_tokens for translation in translations],
        [translation.tokens + ['<eos>'] * translation.is_finished for translation in translations],
    )
    try:
        path.write_bytes(figure_bytes(figure, picture_suffix(path)))
    except OSError as error:
        raise InputError(f'{path}: cannot be written ({error.strerror})') from error


if __name__ == '__main__':
    cli.run(main)
