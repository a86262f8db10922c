"""Code cells with definitions of the package, so that a reader can change and run them.

In a source, a cell with the tag ``definition`` starts with an import:

    # %% tags=["definition"]
    from d2l_seq2seq.book.seq2seq import Seq2SeqEncoder

In the notebook, the code of the class replaces the import.  It is the package's code, including the
comments, with three changes: docstrings are cut to their first line, annotations are left out, and
names that the cells above do not define become ``d2l.NAME``.  It therefore runs after these lines:

    import d2l_seq2seq.book as d2l
    from mxnet import autograd, gluon, init, np, npx
    from mxnet.gluon import nn, rnn
    npx.set_np()

and after the imports of the standard library that the module has.
"""

from __future__ import annotations

import ast
import importlib.util
import io
import re
import textwrap
import tokenize
from pathlib import Path
from typing import Iterator

from d2l_seq2seq import book

WIDTH = 100  # of a line
_DEFINITIONS = (ast.ClassDef, ast.FunctionDef)


def define(cell: str, defined: set[str]) -> str:
    """Replace the import at the start of a cell by the definitions of the imported names.

    Parameters
    ----------
    cell : str
        The code of the cell.
    defined : set of str
        The names that the cells above define.  The new names are added to it.
    """
    statement, *others = ast.parse(cell).body
    if not isinstance(statement, ast.ImportFrom):
        raise ValueError(f'expected a cell that starts with a from-import, got:\n{cell}')
    module = Module.named(statement.module)
    code = '\n\n\n'.join(module.definition(alias.name, defined) for alias in statement.names)
    rest = cell.split('\n')[statement.end_lineno :]
    return '\n'.join([code, *(['', ''] if others else []), *rest]).rstrip()


class Module:
    """A module of the package, as text and parsed.

    Attributes
    ----------
    definitions : dict of str to ast.stmt
        The functions, classes and constants of the module.
    imported : dict of str to str
        The module of each name that is imported from the package, but for MXNet's modules.
    """

    def __init__(self, name: str, text: str):
        self._data = text.encode('utf-8')  # the positions of ast count bytes
        self._starts = [0]
        for line in self._data.splitlines(keepends=True):
            self._starts.append(self._starts[-1] + len(line))
        self.definitions: dict[str, ast.stmt] = {}
        self.imported: dict[str, str] = {}
        for statement in ast.parse(text).body:
            if isinstance(statement, _DEFINITIONS):
                self.definitions[statement.name] = statement
            elif isinstance(statement, ast.Assign):
                self.definitions[statement.targets[0].id] = statement
            elif isinstance(statement, ast.ImportFrom) and statement.level:
                relative = '.' * statement.level + (statement.module or '')
                source = importlib.util.resolve_name(relative, name.rpartition('.')[0])
                if not source.endswith('._mxnet'):
                    self.imported.update({alias.asname or alias.name: source
                                          for alias in statement.names})
        self.imported.pop('d2l', None)  # the notebook has it, too

    @classmethod
    def named(cls, name: str) -> Module:
        """Return the module with a name, without importing it."""
        return cls(name, Path(importlib.util.find_spec(name).origin).read_text(encoding='utf-8'))

    def definition(self, name: str, defined: set[str]) -> str:
        """Return the code of a definition, after what it needs and the notebook does not have."""
        statement = self.definitions[name]
        annotations = set(_annotation_nodes(statement))
        used = {node.id for node in ast.walk(statement)
                if isinstance(node, ast.Name) and node not in annotations}
        private = {other for other in used & set(self.definitions) if other not in book.__all__}
        internal = used & set(self.imported) - set(book.__all__) - defined
        imports = '\n'.join(
            f'from {self.imported[other]} import {other}' for other in sorted(internal))
        code = imports
        for other in self.definitions:
            if other in private - defined - {name}:
                code = self._appended(code, other, self.definition(other, defined))
        defined.update({name}, internal)
        prefixed = used & (set(self.definitions) | set(self.imported)) - defined
        return self._appended(code, name, self._code(statement, prefixed, annotations))

    def _appended(self, before: str, name: str, code: str) -> str:
        """Append the code of a definition, after empty lines as PEP 8 wants them."""
        if not before:
            return code
        is_constant = not isinstance(self.definitions[name], _DEFINITIONS)
        follows_constant = not before.splitlines()[-1].startswith((' ', 'from ', '#'))
        return f'{before}\n{code}' if is_constant and follows_constant else f'{before}\n\n\n{code}'

    def _code(self, statement: ast.stmt, prefixed: set[str], annotations: set[ast.AST]) -> str:
        """Return the lines of a statement with the changes that the notebooks make."""
        edits: list[tuple[int, int, str]] = []  # start, end, replacement
        for node in ast.walk(statement):
            if isinstance(node, _DEFINITIONS) and ast.get_docstring(node):
                summary = ast.get_docstring(node).splitlines()[0]
                edits.append((*self._span(node.body[0]), f'"""{summary}"""'))
            if isinstance(node, ast.Name) and node.id in prefixed and node not in annotations:
                start, end = self._span(node)
                if self._data[start:end].decode() != node.id:  # before Python 3.12
                    raise ValueError(f'{node.id}: take it out of the f-string')
                edits.append((start, end, f'd2l.{node.id}'))
            if isinstance(node, ast.AnnAssign):
                edits.append((self._span(node.target)[1], self._span(node.value)[0], ' = '))
        # The signatures come last, because their default values may have names to be prefixed.
        for node in ast.walk(statement):
            if isinstance(node, ast.FunctionDef):
                edits = self._with_signature(node, edits)
        first = min([statement.lineno, *(decorator.lineno for decorator in
                                         getattr(statement, 'decorator_list', []))])
        start, end = self._starts[first - 1], self._starts[statement.end_lineno]
        return self._edited(start, end, edits).rstrip()

    def _with_signature(self, function: ast.FunctionDef, edits: list) -> list:
        """Return the edits with one that replaces the signature, instead of those inside it."""
        start = self._span(function)[0]
        length = _signature_length(self._data[start:].decode())
        end = start + len(self._data[start:].decode()[:length].encode())
        inside = [edit for edit in edits if start <= edit[0] < end]

        def default(node: ast.AST | None) -> str:
            return '' if node is None else '=' + self._edited(*self._span(node), inside)

        arguments = function.args
        positional = [*arguments.posonlyargs, *arguments.args]
        defaults = [None] * (len(positional) - len(arguments.defaults)) + arguments.defaults
        texts = [argument.arg + default(value) for argument, value in zip(positional, defaults)]
        if arguments.posonlyargs:
            texts.insert(len(arguments.posonlyargs), '/')
        if arguments.vararg or arguments.kwonlyargs:
            texts.append('*' + (arguments.vararg.arg if arguments.vararg else ''))
        texts += [argument.arg + default(value)
                  for argument, value in zip(arguments.kwonlyargs, arguments.kw_defaults)]
        if arguments.kwarg:
            texts.append('**' + arguments.kwarg.arg)
        signature = _filled(f'def {function.name}(', texts, function.col_offset)
        return [edit for edit in edits if edit not in inside] + [(start, end, signature)]

    def _span(self, node: ast.AST) -> tuple[int, int]:
        """Return the positions of the first byte of a node, and of the byte after its last."""
        return (self._starts[node.lineno - 1] + node.col_offset,
                self._starts[node.end_lineno - 1] + node.end_col_offset)

    def _edited(self, start: int, end: int, edits: list[tuple[int, int, str]]) -> str:
        """Return a part of the text after edits, without those outside the part."""
        parts, position = [], start
        for first, last, text in sorted(edits):
            if start <= first and last <= end:
                parts += [self._data[position:first].decode(), text]
                position = last
        return ''.join([*parts, self._data[position:end].decode()])


def _annotation_nodes(statement: ast.stmt) -> Iterator[ast.AST]:
    """Yield the nodes of all annotations in a statement."""
    for node in ast.walk(statement):
        for annotation in (getattr(node, 'annotation', None), getattr(node, 'returns', None)):
            if annotation is not None:
                yield from ast.walk(annotation)


def _signature_length(text: str) -> int:
    """Return the number of characters of the signature that a text starts with, up to the colon."""
    depth, lines = 0, text.splitlines(keepends=True)
    for token in tokenize.generate_tokens(io.StringIO(text).readline):
        if token.type == tokenize.COMMENT:
            raise ValueError(f'a comment would be lost: {token.line.strip()}')
        if token.type == tokenize.OP:
            depth += (token.string in '([{') - (token.string in ')]}')
            if token.string == ':' and depth == 0:
                row, column = token.start
                return sum(map(len, lines[: row - 1])) + column
    raise ValueError('expected a function')


def _filled(opening: str, texts: list[str], indent: int) -> str:
    """Return the arguments of a function after its opening, in lines that are not too long."""
    spaces = indent + len(opening)
    # A default value may contain spaces, at which no line may break.
    words = [re.sub(' ', '\0', f'{text},') for text in texts]
    words[-1:] = [words[-1][:-1] + ')'] if words else []
    lines = textwrap.wrap(' '.join(words), WIDTH - spaces - 1, break_long_words=False,
                          break_on_hyphens=False) or [')']
    return opening + ('\n' + ' ' * spaces).join(lines).replace('\0', ' ')
