"""The right answers: what each source sentence of a corpus may be translated to."""
from __future__ import annotations

from typing import Sequence

from .encoding import TextRules


def references_of(pairs: Sequence[tuple[str, str]], rules: TextRules) -> dict[str, list[str]]:
    """Source sentences, each with its different translations, in the order of the corpus.

    Sources that are the same tokens are one source, under its first spelling.

    Parameters
    ----------
    pairs : sequence of (str, str)
    rules : TextRules
    """
    spelling, references = {}, {}
    for src, tgt in pairs:
        first = spelling.setdefault(tuple(rules.src_tokens(src)), src)
        own = references.setdefault(first, [])
        if tgt not in own:
            own.append(tgt)
    return references
