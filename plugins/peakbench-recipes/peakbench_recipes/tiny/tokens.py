"""The tokens of the small reader: each key of the answer, each value and each phrase of a caption is one.

An answer and a caption are made alike: for every field, what comes before its value, the value, what comes after it.
What stands between two values is one token, so an answer of nine fields takes about twenty. The 256 bytes are tokens
too, so that every text can be encoded. Encoding takes the longest token that fits, from left to right.
"""

from __future__ import annotations

import json
from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass
from functools import cached_property

PAD, END, USER, ASSISTANT, TEXT = range(5)
"""Special tokens. ``TEXT`` begins a text that no image goes with."""

PROMPT = "Describe the garment."
JOIN = " and "
"""Between two values in one field, as "black and white"; each of the two is a token."""

Reference = Mapping[str, str | None]


@dataclass(frozen=True)
class Phrase:
    """How one field is said: ``before`` its value and ``after`` it, or ``absent`` where it has none."""

    before: str
    after: str
    absent: str

    @classmethod
    def of(cls, sentence: str, absent: str) -> Phrase:
        """From a sentence with ``{value}`` in it.

        >>> Phrase.of("The color is {value}.", "No color is visible.")
        Phrase(before='The color is ', after='.', absent='No color is visible.')
        """
        before, _, after = sentence.partition("{value}")
        return cls(before, after, absent)


def caption(reference: Reference, phrases: Mapping[str, Phrase]) -> str:
    """The values in prose, a sentence a field.

    >>> phrases = {"color": Phrase.of("The color is {value}.", "No color is visible.")}
    >>> caption({"color": "red"}, phrases), caption({"color": None}, phrases)
    ('The color is red.', 'No color is visible.')
    """
    return " ".join(
        phrase.absent if (value := reference.get(key)) is None else phrase.before + value + phrase.after
        for key, phrase in phrases.items()
    )


def answer(reference: Reference, keys: Iterable[str]) -> str:
    """The values as the one JSON object that is asked for.

    >>> answer({"color": "red", "more": "x"}, ["color", "size"])
    '{"color": "red", "size": null}'
    """
    return json.dumps({key: reference.get(key) for key in keys}, ensure_ascii=False)


@dataclass(frozen=True)
class Tokenizer:
    """A vocabulary, id -> bytes. The special tokens come first and are empty.

    >>> tokenizer = Tokenizer.build([{"color": "red and blue"}], {"color": Phrase("In ", ".", "No color.")})
    >>> ids = tokenizer.encode('{"color": "red and blue"}')
    >>> [tokenizer.text([one]) for one in ids]
    ['{"color": "', 'red', ' and ', 'blue', '"}']
    >>> tokenizer.text(tokenizer.encode("ünseen"))
    'ünseen'
    """

    vocabulary: tuple[bytes, ...]

    @classmethod
    def build(cls, references: Sequence[Reference], phrases: Mapping[str, Phrase], *, values: int = 1000) -> Tokenizer:
        """Make the vocabulary of the values that occur (the most common ``values`` of them), in a fixed order."""
        counts: dict[str, int] = {}
        for reference in references:
            for key in phrases:
                for part in (reference.get(key) or "").split(JOIN):
                    counts[part] = counts.get(part, 0) + 1
        common = sorted(counts, key=lambda part: (-counts[part], part))[:values]
        pieces = [PROMPT, JOIN, "null", *_json_pieces(list(phrases)), *_caption_pieces(list(phrases.values()))]
        pieces += sorted(part for part in common if part)
        whole = [piece.encode() for piece in dict.fromkeys(pieces)]
        single = [bytes([byte]) for byte in range(256)]
        return cls((*[b""] * (TEXT + 1), *single, *(piece for piece in whole if len(piece) > 1)))

    @cached_property
    def _ids(self) -> dict[bytes, int]:
        return {piece: number for number, piece in enumerate(self.vocabulary) if piece}

    @cached_property
    def _lengths(self) -> list[int]:
        return sorted({len(piece) for piece in self._ids}, reverse=True)

    @property
    def prompt(self) -> tuple[int, ...]:
        """What stands between the image and the answer."""
        return (USER, *self.encode(PROMPT), ASSISTANT)

    def encode(self, text: str) -> list[int]:
        """The ids of a text, without an end."""
        data, ids, place = text.encode(), [], 0
        while place < len(data):
            length = next(n for n in self._lengths if data[place : place + n] in self._ids)
            ids.append(self._ids[data[place : place + length]])
            place += length
        return ids

    def piece(self, number: int) -> str:
        """The text of one token; "" for a special one."""
        return self.vocabulary[number].decode("utf-8", "replace")

    def text(self, ids: Iterable[int]) -> str:
        """The text of ids, up to the end token."""
        found = []
        for number in ids:
            if number == END:
                break
            found.append(self.vocabulary[number])
        return b"".join(found).decode("utf-8", "replace")


def _json_pieces(keys: Sequence[str]) -> list[str]:
    """What can stand between two values of a JSON object: quotes where a value has them, none beside null."""
    pieces = ["{}"]
    for place, key in enumerate(keys):
        for before in ("{",) if place == 0 else (", ", '", '):
            pieces += [f"{before}{json.dumps(key)}: ", f'{before}{json.dumps(key)}: "']
    return [*pieces, "}", '"}']


def _caption_pieces(phrases: Sequence[Phrase]) -> list[str]:
    """What can stand between two values of a caption."""
    pieces = []
    for place, phrase in enumerate(phrases):
        for before in ("",) if place == 0 else (" ", phrases[place - 1].after + " "):
            pieces += [before + phrase.before, before + phrase.absent]
    return [*pieces, phrases[-1].after]
