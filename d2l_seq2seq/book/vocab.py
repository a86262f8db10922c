"""The vocabulary (d2l 0.14, section 8.2), as sections 9.5 to 10.2 use it.

`Vocab` maps between tokens and ids, and `count_corpus` counts the tokens that it ranks.  Later
editions order the tokens differently and so assign other ids; see `Vocab`.
"""

from __future__ import annotations

import collections
from typing import Iterable, Iterator, Sequence


class Vocab:
    """A two-way mapping between tokens and ids, as in d2l 0.14.

    Id 0 is ``<unk>``.  The reserved tokens follow in the order given.  Then come the tokens that
    occur at least `min_freq` times, the most frequent first; tokens of equal frequency are in
    alphabetical (code point) order.  Iterating over a vocabulary yields its tokens in the order of
    their ids.

    Parameters
    ----------
    tokens : iterable of list of str
        The tokenized sentences.
    min_freq : int
        Minimum number of occurrences for a token to get its own id.  Rarer tokens share the id of
        ``<unk>``.
    reserved_tokens : list of str, optional
        Tokens that always have an id, such as ``['<pad>', '<bos>', '<eos>']``.

    Attributes
    ----------
    idx_to_token : list of str
    token_to_idx : dict of str to int
    token_freqs : list of (str, int)
        Every token of the corpus with its count, the most frequent first.  Tokens that are rarer
        than `min_freq` are included.
    unk : int
        The id of ``<unk>``: 0, unless `from_tokens` was given another order.

    Examples
    --------
    >>> vocab = Vocab([['go', '.'], ['go', '!']], min_freq=2, reserved_tokens=['<pad>'])
    >>> vocab.idx_to_token
    ['<unk>', '<pad>', 'go']
    >>> vocab[['go', '!']], vocab.to_tokens([2, 0])
    ([2, 0], ['go', '<unk>'])
    """

    def __init__(
        self,
        tokens: Iterable[Sequence[str]],
        min_freq: int = 0,
        reserved_tokens: list[str] | None = None,
    ):
        counts = count_corpus(tokens)
        self.token_freqs = sorted(counts.items(), key=lambda item: (-item[1], item[0]))
        frequent = [token for token, freq in self.token_freqs if freq >= min_freq]
        # A dict removes duplicates and keeps the first position, so a reserved token that also
        # occurs in the corpus keeps its reserved id.
        self._set_tokens(list(dict.fromkeys(['<unk>', *(reserved_tokens or []), *frequent])))

    @classmethod
    def from_tokens(cls, idx_to_token: list[str]) -> Vocab:
        """Return the vocabulary with the given `idx_to_token`, as read from a file.

        Its `token_freqs` is empty.

        Raises
        ------
        ValueError
            If ``<unk>`` is missing or a token occurs twice.
        """
        if '<unk>' not in idx_to_token or len(set(idx_to_token)) != len(idx_to_token):
            raise ValueError(
                "expected distinct tokens that include '<unk>', "
                f'got {str(idx_to_token[:4])[:100]} ... ({len(idx_to_token)} tokens)'
            )
        vocab = cls([])
        vocab._set_tokens(list(idx_to_token))
        return vocab

    def __len__(self) -> int:
        return len(self.idx_to_token)

    def __getitem__(self, tokens):
        """Return the id of a token, or the (nested) list of ids of a (nested) list of tokens."""
        if isinstance(tokens, (list, tuple)):
            # Tokens are looked up here rather than by recursion, which is slow for a whole corpus.
            ids, unk = self.token_to_idx, self.unk
            return [
                self[token] if isinstance(token, (list, tuple)) else ids.get(token, unk)
                for token in tokens
            ]
        return self.token_to_idx.get(tokens, self.unk)

    # The book's class has only the methods above.  Python would iterate over it with the ids 0, 1,
    # 2, ... as tokens, which never ends, because unknown tokens have an id.
    def __iter__(self) -> Iterator[str]:
        return iter(self.idx_to_token)

    def __contains__(self, token: object) -> bool:
        return token in self.token_to_idx

    def to_tokens(self, indices):
        """Return the token of an id, or the list of tokens of a list of ids."""
        if isinstance(indices, (list, tuple)):
            return [self.idx_to_token[index] for index in indices]
        return self.idx_to_token[indices]

    def _set_tokens(self, idx_to_token: list[str]) -> None:
        """Number the tokens in the order given."""
        self.unk = idx_to_token.index('<unk>')
        self.idx_to_token = idx_to_token
        self.token_to_idx = {token: idx for idx, token in enumerate(idx_to_token)}


def count_corpus(sentences: Iterable[Sequence[str]]) -> collections.Counter:
    """Count the tokens of some tokenized sentences.

    Parameters
    ----------
    sentences : iterable of list of str

    Returns
    -------
    collections.Counter
        The number of occurrences of each token.

    Examples
    --------
    >>> count_corpus([['go', '.'], ['go', '!']])['go']
    2
    """
    return collections.Counter(token for sentence in sentences for token in sentence)
