"""Token ids as bytes and text."""

from __future__ import annotations

import codecs
from collections.abc import Iterable, Sequence


class Vocabulary:
    """What each id spells. A special token spells nothing.

    >>> words = Vocabulary([b"", b"na", b"\\xc3", b"\\xa9"])
    >>> words.texts([1, 2, 3])
    ['na', '', 'é']
    """

    def __init__(self, tokens: Sequence[bytes]) -> None:
        self.tokens = tuple(tokens)
        self.alone = tuple(token.decode("utf-8", "replace") for token in tokens)
        """Each token's text where it stands alone; bytes of an unfinished character become U+FFFD."""

    def __len__(self) -> int:
        return len(self.tokens)

    def texts(self, ids: Iterable[int]) -> list[str]:
        """The text that each token of an answer adds; a character of several tokens belongs to its last."""
        reader = codecs.getincrementaldecoder("utf-8")("replace")
        texts = [reader.decode(self.tokens[i]) for i in ids]
        if texts:
            texts[-1] += reader.decode(b"", final=True)
        return texts

    def spells(self, alphabet: Iterable[int]) -> bool:
        """Whether each of these bytes is a token of its own, so that any text of them can be written."""
        return {bytes([byte]) for byte in alphabet} <= set(self.tokens)


class Trie:
    """The vocabulary as a tree of bytes: one walk finds every token that a grammar allows."""

    __slots__ = ("branches", "ids")

    def __init__(self) -> None:
        self.branches: dict[int, Trie] = {}
        self.ids: list[int] = []

    @classmethod
    def of(cls, vocabulary: Vocabulary) -> Trie:
        """Every token that spells something."""
        root = cls()
        for i, token in enumerate(vocabulary.tokens):
            node = root
            for byte in token:
                node = node.branches.setdefault(byte, cls())
            if token:
                node.ids.append(i)
        return root
