"""What every command has in common: options made from configuration fields, mistakes in one line.

A command parses its options before anything heavy is imported, so that ``-h`` answers at once and
a typo costs no loading time.
"""

from __future__ import annotations

import argparse
import contextlib
import dataclasses
import logging
import os
import sys
import traceback
from typing import Callable, Sequence

from .errors import InputError
from .fields import FLAG


class _HelpFormatter(argparse.ArgumentDefaultsHelpFormatter):
    """Shows defaults, where there are any."""

    def _get_help_string(self, action):
        has_one = action.default is not None and action.default != []
        return super()._get_help_string(action) if has_one else action.help


class Parser(argparse.ArgumentParser):
    """An argument parser that says what is wrong in one line, without the usage before it."""

    def __init__(self, **kwargs):
        super().__init__(formatter_class=_HelpFormatter, allow_abbrev=False, **kwargs)

    def error(self, message: str):
        self.exit(2, f'{self.prog}: {message} (-h lists the options)\n')


def parser_for(command: str, description: str) -> Parser:
    """The parser of ``python -m d2l_seq2seq.<command>``."""
    return Parser(prog=f'python -m d2l_seq2seq.{command}', description=description)


def add_presets(parser: Parser, presets: dict[str, dict]) -> None:
    """An option that chooses other defaults; see `parse_with_preset`."""
    parser.add_argument(
        '--preset',
        choices=list(presets),
        default=next(iter(presets)),
        help='the defaults of the options below',
    )


def parse_with_preset(
    parser: Parser, presets: dict[str, dict], argv: list[str] | None
) -> argparse.Namespace:
    """The options, those that are not given as the chosen preset has them."""
    chosen = Parser(add_help=False)
    chosen.add_argument('--preset', default='')
    parser.set_defaults(**presets.get(chosen.parse_known_args(argv)[0].preset, {}))
    return parser.parse_args(argv)


def explicit_options(parser: Parser, argv: list[str] | None) -> dict[str, object]:
    """The options that stand on the command line, whatever the defaults of the others."""
    absent = object()
    parser.set_defaults(**{name: absent for name in vars(parser.parse_args(argv))})
    return {
        name: value for name, value in vars(parser.parse_args(argv)).items() if value is not absent
    }


def add_options(parser: Parser, config_class: type, only: Sequence[str] | None = None) -> None:
    """An option for each field of a configuration (or `only` for some), named with dashes."""
    group = parser.add_argument_group(config_class.__name__[: -len('Config')].lower())
    for field in dataclasses.fields(config_class):
        if only is not None and field.name not in only:
            continue
        option, text = field.name.replace('_', '-'), field.metadata['help']
        if field.metadata['domain'] is FLAG:
            group.add_argument(f'--{option}', action='store_true', help=text)
            group.add_argument(
                f'--no-{option}', dest=field.name, action='store_false', help=argparse.SUPPRESS
            )
            group.set_defaults(**{field.name: field.default})
        else:
            if field.default is None:  # which has a word of its own
                word = field.metadata['domain'].description.split("'")[1]
                text = f'{text} (default: {word})'
            group.add_argument(
                f'--{option}',
                default=field.default,
                metavar=field.name.upper(),
                help=text,
                type=reader(field.metadata['domain']),
            )


def reader(domain) -> Callable[[str], object]:
    """What argparse calls to turn an option's text into its value."""

    def read(text: str):
        try:
            value = domain.parse(text)
            domain.check('', value)
        except ValueError:
            raise argparse.ArgumentTypeError(
                f'expected {domain.description}, got {text!r}'
            ) from None
        return value

    return read


def whole_number(text: str) -> int:
    """A whole number of at least 0; what argparse calls for an option that no configuration has."""
    if not text.isdecimal():
        raise argparse.ArgumentTypeError(f'expected a whole number of at least 0, got {text!r}')
    return int(text)


def config_from(config_class: type, options: argparse.Namespace):
    """The configuration that the options of `add_options` make up."""
    names = [field.name for field in dataclasses.fields(config_class)]
    return config_class(**{name: getattr(options, name) for name in names})


def run(main: Callable[[], int | None]) -> None:
    """Run a command and end the process with its exit code.

    0 or what `main` returns; 2 for input that the user can mend, told in one line; 130 after
    Ctrl-C.  A reader that closes our output early, such as ``head``, is no error.
    """
    logging.basicConfig(level=logging.WARNING, format='%(message)s', stream=sys.stderr)
    for stream in (sys.stdin, sys.stdout):
        stream.reconfigure(encoding='utf-8', errors='replace')  # whatever the locale says
    try:
        code = _code_of(main)
    except Exception:
        if not _others_wait():
            raise
        traceback.print_exc()
        code = 1
    if code and _others_wait():
        # MXNet would wait at its exit for workers that wait for this one.
        for stream in (sys.stdout, sys.stderr):
            with contextlib.suppress(OSError, ValueError):
                stream.flush()
        os._exit(code)
    sys.exit(code)


def _code_of(main: Callable[[], int | None]) -> int:
    """The exit code of a command, after a line about what the user can mend."""
    try:
        code = main() or 0
        sys.stdout.flush()
        return code
    except InputError as error:
        print(f'error: {error}', file=sys.stderr)
        return 2
    except KeyboardInterrupt:
        print('stopped', file=sys.stderr)
        return 130
    except BrokenPipeError:
        if _others_wait():
            return 141  # as of SIGPIPE: the job has to end
        os.dup2(os.open(os.devnull, os.O_WRONLY), sys.stdout.fileno())  # for the flush at exit
        return 0
    except OSError as error:  # a path that can't even be looked at
        if error.filename is None:
            raise
        print(
            f'error: {error.filename}: expected a path that can be used, got one that can not '
            f'({error.strerror}); name another',
            file=sys.stderr,
        )
        return 2


def _others_wait() -> bool:
    """Whether the process has met other workers, none of which goes on without it."""
    distributed = sys.modules.get(f'{__package__}.engine.workers')
    return distributed is not None and distributed.KVStoreWorkers.connected is not None
