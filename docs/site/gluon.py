"""Extensions of Griffe, which reads the docstrings for the site.

Blocks describe what they are called with in the sections ``Inputs:`` and ``Outputs:``, as Gluon's
own blocks do.  Griffe knows only the sections of numpydoc, whose titles are underlined.

The fields of a configuration are described by the help text of their options.
"""

from __future__ import annotations

import ast
import re
import textwrap

import griffe

SECTION = re.compile(r'^(Inputs|Outputs):\n((?:    .*\n|\n)+)', re.MULTILINE)
LITERAL = re.compile(
    r'^ *::$\n', re.MULTILINE
)  # reStructuredText; in Markdown, indenting is enough


class GluonSections(griffe.Extension):
    """Underline the titles of Gluon's sections."""

    def on_instance(self, *, obj: griffe.Object, **kwargs) -> None:
        """Rewrite the docstring of an object."""
        if obj.docstring:
            obj.docstring.value = SECTION.sub(
                _underlined, LITERAL.sub('', obj.docstring.value + '\n')
            )


def _underlined(section: re.Match) -> str:
    title, text = section.groups()
    return f'{title}\n{"-" * len(title)}\n{textwrap.dedent(text)}'


class FieldHelp(griffe.Extension):
    """Make the help text of a configuration's field its docstring, and its default the value."""

    def on_attribute_instance(self, *, attr: griffe.Attribute, **kwargs) -> None:
        """Change an attribute that is such a field."""
        call = attr.value
        if not isinstance(call, griffe.ExprCall) or str(call.function) != 'field':
            return
        default, *_ = call.arguments
        if not isinstance(default, griffe.ExprKeyword):  # this `field` is ours
            text = ast.literal_eval(str(call.arguments[2]))
            attr.docstring = griffe.Docstring(text, parent=attr)
            attr.value = default
