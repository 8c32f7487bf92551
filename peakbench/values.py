"""Null, types and canonical forms: when two values of a field are the same, before any comparator is asked.

Two forms of one value:

- :func:`canonical`, what ``exact`` compares: NFKC, casefold, runs of spaces and dashes folded to one space.
- :func:`text_form`, what text metrics read: NFKC, casefold, spaces collapsed, hyphens kept.
"""

from __future__ import annotations

import hashlib
import json
import math
import re
import unicodedata
from collections.abc import Iterable, Mapping
from decimal import Decimal
from functools import cache, lru_cache
from importlib import resources
from typing import Any

from peakbench.errors import InputError, nearest
from peakbench.records import JSONValue

# Every character of category Pd, and the minus sign, which is of category Sm.
_DASHES = (
    r"\-\u058a\u05be\u1400\u1806\u2010-\u2015\u2212\u2e17\u2e1a\u2e3a\u2e3b\u2e40\u2e5d"
    r"\u301c\u3030\u30a0\ufe31\ufe32\ufe58\ufe63\uff0d\U00010d6e\U00010ead"
)
_FOLDED = re.compile(rf"[\s{_DASHES}]+")
_SIGN = re.compile(rf"[\s{_DASHES}]*[{_DASHES}](?=\d)")
_DEEPEST = 64
_LONG = 1_000
_CACHED = 256
_MOST_CACHED = 16_384
_MOST_MARKS = 30


def _normal(text: str) -> str:
    """NFKC and casefold. Casefolding can undo NFKC (U+0345), hence the second pass where it is not plain ASCII."""
    if text.isascii():
        return text.casefold()
    if len(text) > _LONG and not unicodedata.is_normalized("NFKC", text):
        text = _stream_safe(text)
    return unicodedata.normalize("NFKC", unicodedata.normalize("NFKC", text).casefold())


def _stream_safe(text: str) -> str:
    """Keep 30 combining marks in a row (the bound of UAX #15, stream-safe text): ordering n of them takes n^2 steps."""
    kept = []
    marks = 0
    for character in text:
        marks = marks + 1 if unicodedata.combining(character) else 0
        if marks <= _MOST_MARKS:
            kept.append(character)
    return "".join(kept)


def _squeezed(text: str) -> str:
    return _squeezed_cached(text) if len(text) <= _CACHED else _squeezed_text(text)


def _squeezed_text(text: str) -> str:
    return " ".join(_normal(text).split())


_squeezed_cached = lru_cache(maxsize=_MOST_CACHED)(_squeezed_text)


def fold_nulls(strings: Iterable[str]) -> frozenset[str]:
    """Return the null-like strings in the form that :func:`is_null` looks up.

    >>> sorted(fold_nulls(["N/A", " Not  Visible "]))
    ['n/a', 'not visible']
    """
    return frozenset(_squeezed(text) for text in strings)


def is_null(value: JSONValue, nulls: frozenset[str]) -> bool:
    """Say whether a value means "not there": None, or a string of the folded null list.

    >>> nulls = fold_nulls(["N/A", ""])
    >>> [is_null(value, nulls) for value in (None, "n/a ", "  ", "0", 0, False, [])]
    [True, True, True, False, False, False, False]
    """
    return value is None or (isinstance(value, str) and _squeezed(value) in nulls)


def shortest(number: float) -> str:
    """Return a number's shortest decimal, without exponent: equal numbers have equal forms.

    >>> [shortest(n) for n in (32, 32.0, 0.1, -0.0, 1e21)]
    ['32', '32', '0.1', '0', '1000000000000000000000']
    """
    if isinstance(number, int):
        try:
            return str(number)
        except ValueError:  # more digits than sys.get_int_max_str_digits(): no JSON text holds such a number
            return hex(number)
    if not math.isfinite(number):
        return repr(number)
    text = format(Decimal(repr(number)), "f")
    if "." in text:
        text = text.rstrip("0").rstrip(".")
    return "0" if text == "-0" else text


def canonical(value: JSONValue) -> str:
    """Return the form in which ``exact`` compares.

    A string: NFKC, casefold, runs of spaces and Unicode dashes as one space; a minus sign that opens a number stays.
    A number: its shortest decimal, so 32.0 equals 32 and "32"; a string is never read as a number ("32.0" stays).
    A boolean, null, list or object: a form that begins with NUL, which no string has, so ``true`` equals only
    ``true``. Lists keep their order; objects do not; below 64 levels all are the same.

    >>> canonical("T\u2011Shirt") == canonical(" t  shirt ")
    True
    >>> canonical(32.0), canonical("-5"), canonical("32-34")
    ('32', '-5', '32 34')
    >>> canonical(True) == canonical("true")
    False
    """
    if isinstance(value, str):
        return _canonical_cached(value) if len(value) <= _CACHED else _canonical_text(value)
    if isinstance(value, bool):
        return "\0true" if value else "\0false"
    if isinstance(value, (int, float)):
        return shortest(value)
    if value is None:
        return "\0null"
    return "\0" + json.dumps(_folded(value, 0), ensure_ascii=False, sort_keys=True, separators=(",", ":"))


def _canonical_text(text: str) -> str:
    text = _normal(text)
    sign = _SIGN.match(text)
    if sign:
        text = text[sign.end() :]
    text = _FOLDED.sub(" ", text).strip()
    if "\0" in text:
        text = text.replace("\0", "\ufffd")
    return "-" + text if sign else text


_canonical_cached = lru_cache(maxsize=_MOST_CACHED)(_canonical_text)


def _folded(value: JSONValue, depth: int) -> JSONValue:
    if depth > _DEEPEST:
        return "\0deep"
    if isinstance(value, (list, tuple)):
        return [_folded(item, depth + 1) for item in value]
    if isinstance(value, Mapping):
        return {str(key): _folded(item, depth + 1) for key, item in value.items()}
    return canonical(value)


def text_form(value: JSONValue) -> str:
    """Return what a text metric reads of a value: NFKC, casefolded, spaces collapsed, hyphens kept.

    A list joins its items with ", "; an object is compact JSON with sorted keys; null is the empty string.

    >>> text_form("  Navy\u00a0BLUE "), text_form(["Cotton", 5.0]), text_form({"b": 1, "a": "X"})
    ('navy blue', 'cotton, 5', '{"a":"x","b":1}')
    """
    if isinstance(value, str):
        return _squeezed(value)
    if isinstance(value, bool):
        return "true" if value else "false"
    if isinstance(value, (int, float)):
        return shortest(value)
    if value is None:
        return ""
    if isinstance(value, (list, tuple)):
        return ", ".join(text_form(item) if not isinstance(item, (list, tuple)) else _json(item) for item in value)
    return _json(value)


def _json(value: JSONValue) -> str:
    return json.dumps(_texts(value, 0), ensure_ascii=False, sort_keys=True, separators=(",", ":"))


def _texts(value: JSONValue, depth: int) -> JSONValue:
    if depth > _DEEPEST:
        return "..."
    if isinstance(value, (list, tuple)):
        return [_texts(item, depth + 1) for item in value]
    if isinstance(value, Mapping):
        return {_squeezed(str(key)): _texts(item, depth + 1) for key, item in value.items()}
    if isinstance(value, str):
        return _squeezed(value)
    if isinstance(value, float) and value.is_integer():
        return int(value)
    return value


class SynonymTable:
    """Groups of strings that mean the same, and the words that join two values ("navy and white").

    ``identity`` is a short hash of the content, for signatures.

    Raises:
        InputError: a string stands in two groups.
    """

    def __init__(
        self, groups: Mapping[str, Iterable[str]], joiners: Iterable[str] = (), *, where: str = "synonyms"
    ) -> None:
        self._heads: dict[str, str] = {}
        for head, others in groups.items():
            for text in (head, *others):
                form = canonical(text)
                if self._heads.setdefault(form, canonical(head)) != canonical(head):
                    raise InputError(
                        f"'{text}' stands in two groups: '{self._heads[form]}' and '{head}'",
                        where=where,
                        hint="a string belongs to one group; take it out of the other",
                    )
        words = sorted({canonical(word) for word in joiners} - {""})
        any_word = "|".join(rf"\b{re.escape(word)}\b" if word.isalpha() else re.escape(word) for word in words)
        # One joint for ", and" too.
        self._joint = re.compile(rf" ?(?:{any_word})(?: ?(?:{any_word}))* ?") if words else None
        content = json.dumps([sorted(self._heads.items()), words], ensure_ascii=True)
        self.identity = hashlib.sha256(content.encode()).hexdigest()[:12]

    def __len__(self) -> int:
        return len(self._heads)

    def __contains__(self, value: JSONValue) -> bool:
        """Whether a value stands in one of the groups by itself.

        >>> "Navy" in SynonymTable({"navy blue": ["navy"]})
        True
        """
        return canonical(value) in self._heads

    def head(self, value: JSONValue) -> str:
        """Return the form that stands for the value's group, joined values part by part, in their order.

        >>> table = SynonymTable({"navy blue": ["navy"], "gray": ["grey"]}, joiners=["and", "/"])
        >>> table.head("Grey / Navy") == table.head("gray and navy-blue")
        True
        """
        return " and ".join(self.parts(value)) or canonical(value)

    def parts(self, value: JSONValue) -> tuple[str, ...]:
        """Return the forms of the values that are joined in one, a single one where nothing is joined.

        >>> table = SynonymTable({"navy blue": ["navy"], "gray": ["grey"]}, joiners=["and", "/"])
        >>> table.parts("Grey / Navy"), table.parts("navy")
        (('gray', 'navy blue'), ('navy blue',))
        """
        form = canonical(value)
        head = self._heads.get(form)
        if head is not None or self._joint is None:
            return (head or form,)
        return tuple(self._heads.get(part, part) for part in self._joint.split(form) if part)


@cache
def shipped_tables() -> tuple[str, ...]:
    """Return the names of the synonym tables that ship, as ``file.section``."""
    return tuple(sorted(f"{stem}.{section}" for stem, sections in _table_files().items() for section in sections))


@cache
def _table_files() -> dict[str, dict[str, Any]]:
    folder = resources.files("peakbench") / "data" / "synonyms"
    files = (entry for entry in folder.iterdir() if entry.name.endswith(".json"))
    return {
        entry.name.removesuffix(".json"): json.loads(entry.read_text(encoding="utf-8"))["tables"] for entry in files
    }


@cache
def shipped_table(name: str) -> SynonymTable:
    """Return a synonym table that ships with PeakBench.

    >>> shipped_table("garment.type").head("Tee")
    't shirt'

    Raises:
        InputError: no table has that name; the nearest is named.
    """
    if name not in shipped_tables():
        raise InputError(f"unknown synonym table '{name}'", hint=nearest(name, shipped_tables()))
    stem, section = name.split(".", 1)
    table = _table_files()[stem][section]
    return SynonymTable(table["groups"], table.get("joiners", ()), where=f"{stem}.json: {section}")
