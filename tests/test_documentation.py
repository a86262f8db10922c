"""What the documentation shows: each command and each example is run, and its output compared.

`documentation_blocks` explains the rules.  Commands run in this process where possible, which saves
the time to load MXNet.
"""

import contextlib
import doctest
import io
import json
import os
import re
import shlex
import shutil
import subprocess
import sys
import types

import pytest

from d2l_seq2seq import InputError
from d2l_seq2seq import __main__ as program

from conftest import ROOT
from documentation_blocks import PAGES, Block, read_blocks

SMALL = '--num-epochs 1 --num-examples 100 --num-hiddens 8 --embed-size 8'
SMALL_RESUMED = '--num-epochs 2'
TRAIN = re.compile(r'd2l[-_]seq2seq(?:\.| )train\b')
# Spellings of a command: the console script, the module of the command, and make.
SPELLINGS = [
    (re.compile(r'^(?:\S*/)?python -m d2l_seq2seq\.(\w+)'), r'd2l-seq2seq \1'),
    (re.compile(r'^(?:\S*/)?python -m d2l_seq2seq '), 'd2l-seq2seq '),
    (
        re.compile(r'^make (train|doctor)(?: ARGS="([^"]*)"| ARGS=(\S+))?\s*$'),
        r'd2l-seq2seq \1 \2\3',
    ),
]
PUNCTUATION = set('|&;<>()')
OWN_PROCESS = ('launch',)
# Figures that depend on the machine and the day, in a shown output and in a real one.
MASKS = [
    (re.compile(r'[\d,.]+ (tokens/sec|tokens/s|sentences/sec)'), r'N \1'),
    (re.compile(r'\b\d[\d,.]* ?(ms|s|seconds|minutes|kB|MB|GB)\b'), r'N \1'),
    (re.compile(r'runs/\d{4}-\d\d-\d\d_\d\d-\d\d-\d\d(_\d+)?'), 'runs/DATE'),
]
FORM = re.compile(r'^(corpus|loss|nll_per_token) ')
ELLIPSIS = doctest.ELLIPSIS | doctest.NORMALIZE_WHITESPACE
page_of = pytest.mark.parametrize('page', PAGES, ids=lambda path: path.name)


@page_of
def test_every_block_has_a_decision(page):
    for block in read_blocks(page):
        assert block.kind != 'none' or block.detail


@page_of
def test_small(page, tmp_path, monkeypatch, ready):
    """Run the commands and the examples of a page, long ones with small settings."""
    PageRun(page, tmp_path, monkeypatch, ready, is_small=True).run()


@pytest.mark.slow
@page_of
def test_in_full(page, tmp_path, monkeypatch, ready, fra_eng):
    """Run the commands and the examples of a page as they stand."""
    PageRun(page, tmp_path, monkeypatch, ready, is_small=False).run()


@page_of
def test_options_and_targets_exist(page):
    """Also of the commands that no test runs."""
    for block in read_blocks(page):
        if block.language == 'sh' and block.exit_code == 0:
            for line in logical_lines(block.code):
                check_names(line, block.place)


@pytest.fixture(scope='module')
def ready(tmp_path_factory):
    """A folder for what the commands that are not shown have made, for all pages."""
    return tmp_path_factory.mktemp('ready')


class PageRun:
    """The blocks of a page, run one after the other in a folder."""

    def __init__(self, page, folder, monkeypatch, ready, is_small):
        self.page, self.folder, self.ready, self.is_small = page, folder, ready, is_small
        self.namespace = types.ModuleType('__main__').__dict__
        monkeypatch.chdir(folder)
        monkeypatch.setenv('PATH', f'{os.path.dirname(sys.executable)}:{os.environ["PATH"]}')
        monkeypatch.setenv('MPLBACKEND', 'agg')
        monkeypatch.setenv('PYTHONPATH', str(ROOT))
        monkeypatch.setattr(sys, 'argv', ['d2l-seq2seq'])  # the commands are called by this name

    def run(self):
        for block in read_blocks(self.page):
            if block.kind == 'given':
                self.provide(block)
            elif block.language in ('json', 'toml', 'yaml'):
                check_file(block)
                if block.kind == 'file':
                    (self.folder / block.detail).write_text(block.code + '\n', encoding='utf-8')
            elif block.language in ('sh', 'python') and self.is_run(block):
                getattr(self, f'run_{block.language}')(block)

    def is_run(self, block: Block) -> bool:
        return block.kind != 'none' and not (self.is_small and block.kind == 'slow')

    def is_shortened(self, block: Block) -> bool:
        return block.kind == 'small-only' or (self.is_small and block.kind in ('small', 'given'))

    def provide(self, block: Block):
        """Run a command that the page does not show, or copy what it made for another page."""
        name = re.sub(r'\W+', '_', f'{self.is_small} {block.code}')
        made = self.ready / name
        if not made.exists():
            made.mkdir()
            os.chdir(made)
            try:
                self.run_sh(block)
            except BaseException:
                shutil.rmtree(made)
                raise
            finally:
                os.chdir(self.folder)
        shutil.copytree(made, self.folder, dirs_exist_ok=True)

    def run_sh(self, block: Block):
        printed = errors = ''
        lines = logical_lines(self.code_of(block))
        for number, line in enumerate(lines):
            if self.is_shortened(block) and TRAIN.search(line):
                line += f' {SMALL_RESUMED if "--resume" in line else SMALL}'
            code, out, err = run_command(line)
            printed, errors = printed + out, errors + err
            expected = block.exit_code if number == len(lines) - 1 else 0
            assert code == expected, f'{block.place}: {line}\nexit code {code}\n{out}{err}'
        self.compare(block, printed, errors)

    def run_python(self, block: Block):
        code = self.code_of(block)
        if '>>> ' in code:
            examples = doctest.DocTestParser().get_doctest(
                code, self.namespace, block.place, block.place, 0
            )
            report = io.StringIO()
            runner = doctest.DocTestRunner(optionflags=ELLIPSIS, verbose=False)
            runner.run(examples, out=report.write, clear_globs=False)
            self.namespace.update(examples.globs)
            assert runner.failures == 0, report.getvalue()
            return
        printed = io.StringIO()
        with contextlib.redirect_stdout(printed):
            exec(compile(code, block.place, 'exec'), self.namespace)
        self.compare(block, printed.getvalue(), '')

    def code_of(self, block: Block) -> str:
        code = block.code
        if self.is_shortened(block):
            for old, new in block.replacements:
                code = code.replace(old, new)
        return code

    def compare(self, block: Block, printed: str, errors: str):
        if block.output is None:
            return
        if self.is_shortened(block):
            assert printed or errors, f'{block.place}: expected an output'
            forms = [form(line) for line in printed.splitlines()]
            assert [line for line in map(form, block.output.splitlines()) if FORM.match(line)] == [
                line for line in forms if FORM.match(line)
            ] or not TRAIN.search(command_of(block.code)), f'{block.place}\n{printed}'
            return
        shown = masked(block.output)
        outputs = [printed + errors] if block.exit_code else [printed, printed + errors]
        checker = doctest.OutputChecker()
        if not any(checker.check_output(shown, masked(text), ELLIPSIS) for text in outputs):
            pytest.fail(
                f'{block.place} shows\n{block.output}\n\nbut this is printed:\n{outputs[-1]}'
            )


def logical_lines(code: str):
    """Return the commands of a block: without comments, and with continued lines joined."""
    joined = re.sub(r'\\\n\s*', '', code).splitlines()
    lines = [command_of(line.strip()) for line in joined]
    return [line for line in lines if line and not line.startswith('#')]


def command_of(line: str) -> str:
    """Return a line with its command spelled as the console script."""
    for pattern, replacement in SPELLINGS:
        line = pattern.sub(replacement, line)
    return line.strip()


def words_of(line: str):
    """Return the words of a line, without a comment, or None if it needs a shell."""
    if re.search(r'[$*`]', line):
        return None
    lexer = shlex.shlex(line, posix=True, punctuation_chars=True)
    lexer.whitespace_split = True
    words = list(lexer)
    return None if any(set(word) <= PUNCTUATION for word in words if word) else words


def run_command(line: str):
    """Run a line, and return its exit code, its output and its errors."""
    words = words_of(line)
    if (
        words
        and words[0] == program.cli.PROGRAM
        and words[1:2] not in [[name] for name in OWN_PROCESS]
    ):
        return run_here(words[1:])
    # A function shadows the script, which an installation for development may not have.
    script = f'd2l-seq2seq() {{ {shlex.quote(sys.executable)} -m d2l_seq2seq "$@"; }}\n{line}'
    result = subprocess.run(['bash', '-c', script], capture_output=True, text=True)
    return result.returncode, result.stdout, result.stderr


def run_here(arguments):
    """Run the console script in this process."""
    out, err = io.StringIO(), io.StringIO()
    with contextlib.redirect_stdout(out), contextlib.redirect_stderr(err):
        try:
            code = program.main(arguments) or 0
        except InputError as error:
            print(f'error: {error}', file=sys.stderr)
            code = 2
        except SystemExit as stop:
            code = stop.code or 0
    return code, out.getvalue(), err.getvalue()


def check_names(line: str, place: str):
    """Check that the targets of make exist, and the options of each of our commands."""
    for target in re.findall(r'(?:^|[;&] *)make ([a-z][\w-]*)', line):
        assert re.search(rf'^{target}:', (ROOT / 'Makefile').read_text(), re.MULTILINE), (
            f'{place}: make {target}'
        )
    for name, rest in re.findall(r'd2l-seq2seq ([a-z]\w*)([^|;&]*)', line):
        assert name in program.COMMANDS, f'{place}: {name}'
        code, text, _ = run_here([name, '-h'])
        for option in re.findall(r'(?<![\w-])--[a-z][\w-]*', rest.partition(' -- ')[0]):
            known = re.sub('^--no-', '--', option)
            assert re.search(rf'{known}(?![\w-])', text), f'{place}: {name} has no {option}'


def check_file(block: Block):
    """Check that a shown file can be read."""
    if block.language == 'json':
        json.loads(block.code)
    elif block.language == 'toml':
        pytest.importorskip('tomllib' if sys.version_info >= (3, 11) else 'tomli').loads(block.code)
    else:
        pytest.importorskip('yaml').safe_load(block.code)


def masked(text: str) -> str:
    for pattern, replacement in MASKS:
        text = pattern.sub(replacement, text)
    return text


def form(line: str) -> str:
    """Return a line of the output of train without its figures and the name of the corpus."""
    return re.sub(r'[\d.,]*\d', 'N', re.sub(r'^corpus \S+:', 'corpus C:', line))
