"""The command line: options generated from configuration fields, and error messages of one line.

A command parses its options before it imports anything heavy, so that ``-h`` answers at once and a
typing error costs no loading time.
"""

from __future__ import annotations

import argparse
import contextlib
import dataclasses
import logging
import os
import re
import shutil
import sys
import traceback
from typing import Any, Callable, Sequence

from . import _streams
from .config_file import read_settings
from .errors import InputError, one_line, suggestion
from .fields import FLAG, Domain

PROGRAM = 'd2l-seq2seq'  # the console script, see `__main__`


class _HelpFormatter(argparse.ArgumentDefaultsHelpFormatter):
    """A formatter that shows the default of an option unless it is None, False or empty."""

    def _get_help_string(self, action):
        is_shown = action.default is not None and action.default is not False
        is_shown = is_shown and action.default != []
        return super()._get_help_string(action) if is_shown else action.help


class _OneLineFormatter(logging.Formatter):
    """A formatter that prints each message in one line, whatever text it contains."""

    def formatMessage(self, record: logging.LogRecord) -> str:
        return one_line(record.message)


class Parser(argparse.ArgumentParser):
    """An argument parser that reports an error in one line, without the usage."""

    def __init__(self, **kwargs):
        super().__init__(formatter_class=_HelpFormatter, allow_abbrev=False, **kwargs)

    def error(self, message: str):
        """Print one line and exit with 2."""
        unknown = re.match(r'unrecognized arguments: (--[\w-]+)', message)
        if unknown:
            message += suggestion(unknown[1], self._option_string_actions)
        self.exit(2, f'{self.prog}: {one_line(message)} (-h lists the options)\n')

    def format_help(self) -> str:
        """Return the help; the options follow in groups, so the usage does not list them."""
        names = []
        for action in self._get_positional_actions():
            nargs = getattr(action, 'save_nargs', action.nargs)  # see parse_intermixed_args
            names.append(f'[{action.metavar}]' if nargs in ('*', '?') else str(action.metavar))
            if nargs in ('*', '+'):
                names.append('...')
        self.usage = ' '.join([self.prog, '[OPTION]...', *names])
        return super().format_help()


def parser_for(command: str, description: str) -> Parser:
    """Return the parser of a command, under the name by which it was called."""
    prog = f'{PROGRAM} {command}' if _is_script() else f'python -m d2l_seq2seq.{command}'
    return Parser(prog=prog, description=description)


def command_words(command: str) -> list[str]:
    """Return the words to type for a command, as this process was started."""
    program, folder = sys.argv[0] if _is_script() else sys.executable, os.path.join(os.getcwd(), '')
    if program.startswith(folder):
        program = program[len(folder) :]
    elif _is_script() and shutil.which(PROGRAM) == program:
        program = PROGRAM
    return [program, command] if _is_script() else [program, '-m', f'd2l_seq2seq.{command}']


def _is_script() -> bool:
    """Return whether the process is the console script, and not a module."""
    return os.path.basename(sys.argv[0]) == PROGRAM


def add_presets(parser: Parser, presets: dict[str, dict]) -> None:
    """Add the option ``--preset``, which sets the defaults of others; see `parse_with_defaults`."""
    parser.add_argument(
        '--preset',
        choices=list(presets),
        default=next(iter(presets)),
        help='set of defaults for the other options',
    )


def add_config_file(parser: Parser) -> None:
    """Add the option ``--config``, a file of settings that options on the command line override."""
    parser.add_argument(
        '--config',
        metavar='FILE',
        help='file of settings (.json, .toml or .yaml), such as the config.json of a run; options '
        'on the command line override it',
    )


def parse_with_defaults(
    parser: Parser,
    presets: dict[str, dict],
    config_classes: Sequence[type],
    argv: list[str] | None,
) -> argparse.Namespace:
    """Parse the options; their defaults are those of ``--preset``, overridden by ``--config``."""
    first = Parser(prog=parser.prog, add_help=False)
    first.add_argument('--preset', default='')
    first.add_argument('--config')
    options, _ = first.parse_known_args(argv)
    parser.set_defaults(**presets.get(options.preset, {}))
    if options.config is not None:
        parser.set_defaults(**read_settings(options.config, config_classes))
    return parser.parse_args(argv)


def explicit_options(
    parser: Parser, config_classes: Sequence[type], argv: list[str] | None
) -> dict[str, Any]:
    """Return what the command line and ``--config`` give, without the defaults of the others."""
    absent = object()
    parser.set_defaults(**dict.fromkeys(vars(parser.parse_args(argv)), absent))
    given = {
        name: value for name, value in vars(parser.parse_args(argv)).items() if value is not absent
    }
    path = given.pop('config', None)
    return given if path is None else {**read_settings(path, config_classes), **given}


def add_device(parser: Parser) -> None:
    """Add the option ``--device`` of a command that runs on one device."""
    parser.add_argument(
        '--device', default='auto', help='device to run on: auto, cpu, cpu(N), gpu or gpu(N)'
    )


def add_options(parser: Parser, config_class: type, only: Sequence[str] | None = None) -> None:
    """Add an option for each field of a configuration, or only for some of them."""
    group = parser.add_argument_group(config_class.__name__[: -len('Config')].lower())
    for field in dataclasses.fields(config_class):
        if only is None or field.name in only:
            _add_option(group, field)


def _add_option(group: argparse._ArgumentGroup, field: dataclasses.Field) -> None:
    """Add the option of a field, with dashes in its name; a flag also gets ``--no-...``."""
    option = field.metadata['option'] or field.name.replace('_', '-')
    text = field.metadata['help']
    domain = field.metadata['domain']
    if domain is FLAG:
        group.add_argument(f'--{option}', action='store_true', help=text)
        group.add_argument(
            f'--no-{option}', dest=field.name, action='store_false', help=argparse.SUPPRESS
        )
        group.set_defaults(**{field.name: field.default})
        return
    if field.default is None:
        text = f'{text} (default: {domain.none_word})'
    action = group.add_argument(
        f'--{option}',
        dest=field.name,
        default=field.default,
        metavar='{' + ','.join(domain.words) + '}' if domain.words else field.name.upper(),
        help=text,
        type=reader(domain),
    )
    action.words = domain.words  # type: ignore[attr-defined]  # see `completion`


def reader(domain: Domain) -> Callable[[str], Any]:
    """Return a function that converts the text of an option to a value, for argparse."""

    def read(text: str) -> Any:
        value = None
        try:
            value = domain.parse(text)
            domain.check('', value)
        except ValueError:
            raise argparse.ArgumentTypeError(
                f'expected {domain.instead_of(value)}, got {text!r}'
            ) from None
        return value

    return read


def whole_number(text: str) -> int:
    """Convert the text of an option to a whole number of at least 0, for argparse."""
    if not text.isdecimal():
        raise argparse.ArgumentTypeError(f'expected a whole number of at least 0, got {text!r}')
    return int(text)


def config_from(config_class: type, options: argparse.Namespace) -> Any:
    """Return the configuration given by the options that `add_options` added."""
    names = [field.name for field in dataclasses.fields(config_class)]
    return config_class(**{name: getattr(options, name) for name in names})


def run(main: Callable[[], int | None]) -> None:
    """Run a command and end the process with its exit code.

    The exit code is what `main` returns, or 0; 2 after bad input, which is reported in one line;
    130 after Ctrl-C.  It is not an error if the reader of the output closes it early, as ``head``
    does.
    """
    _streams.prepare()
    handler = logging.StreamHandler(sys.stderr)
    handler.setFormatter(_OneLineFormatter())
    logging.basicConfig(level=logging.WARNING, handlers=[handler])
    try:
        code = _exit_code(main)
    except Exception:
        if not _is_joined_worker():
            raise
        traceback.print_exc()
        code = 1
    if code and _is_joined_worker():
        # At a normal exit MXNet would wait for the other workers, which wait for this one.
        for stream in (sys.stdout, sys.stderr):
            with contextlib.suppress(OSError, ValueError):
                stream.flush()
        os._exit(code)
    sys.exit(code)


def _exit_code(main: Callable[[], int | None]) -> int:
    """Run a command and return its exit code; report the user's mistakes in one line."""
    try:
        try:
            return main() or 0
        finally:
            sys.stdout.flush()
    except InputError as error:
        print(f'error: {error}', file=sys.stderr)
        return 2
    except KeyboardInterrupt:
        print('stopped', file=sys.stderr)
        return 130
    except BrokenPipeError:
        if _is_joined_worker():
            return 141  # the exit code after SIGPIPE, which ends the whole job
        _streams.discard_output()
        return 0
    except OSError as error:  # for example, a parent folder without permission
        if error.filename is None:
            raise
        hint = '' if error.filename == _streams.OUTPUT else ' Choose another path.'
        problem = f'{one_line(error.filename)}: cannot be used ({error.strerror}).{hint}'
        print(f'error: {problem}', file=sys.stderr)
        if error.filename == _streams.OUTPUT:
            _streams.discard_output()
        return 2


def _is_joined_worker() -> bool:
    """Return whether this process has joined other workers, which cannot continue without it."""
    workers = sys.modules.get(f'{__package__}.engine.workers')
    return workers is not None and workers.KVStoreWorkers.connected is not None
