"""The words of one field: which of them an answered value is, as the field's comparator sees it.

Values are one where the comparator takes them for one: the group of a synonym table, the canonical form for ``exact``;
with other comparators a value belongs to the word that it scores best against, if that passes.

Memory is bounded: 10,000 words and as many other values, of at most 200 characters; 2,000,000 comparisons of values
with words, twenty times as many for ``fuzzy``, which compares that much faster.
"""

from __future__ import annotations

from peakbench.analysis.vocabulary.confusion import NO_SINGLE_VALUE, NULL, OTHER, SPECIAL, UNREAD
from peakbench.errors import PluginError
from peakbench.metrics.base import Comparator
from peakbench.metrics.comparators import Exact, Fuzzy, Synonyms
from peakbench.records import JSONValue
from peakbench.values import canonical

LONGEST = 200
MOST_WORDS = 10_000
MOST_COMPARISONS = 2_000_000
FUZZY_FACTOR = 20
_REMEMBERED = 65_536

NULL_AT, OTHER_AT, UNREAD_AT, NO_SINGLE_VALUE_AT = -1, -2, -3, -4
"""The numbers of what is no value."""

_NAMES = {NULL_AT: NULL, OTHER_AT: OTHER, UNREAD_AT: UNREAD, NO_SINGLE_VALUE_AT: NO_SINGLE_VALUE}


def _word(value: JSONValue) -> str:
    """Return a value as it is shown; what UTF-8 cannot carry stands as an escape."""
    text = value if isinstance(value, str) else canonical(value).lstrip("\0")
    return text.encode("utf-8", "backslashreplace").decode("utf-8")


class Vocabulary:
    """The words of one field, and which of them a value is.

    Every distinct value has a number: words of the vocabulary, values of references that are none, and answered values
    that are neither, as they are met.

    >>> words = Vocabulary(Exact())
    >>> words.add("Navy Blue", known=True)
    >>> words.find("navy-blue"), words.find("teal"), words.label(0)
    ((0, True), (1, False), 'Navy Blue')
    """

    def __init__(self, comparator: Comparator, *, where: str = "") -> None:
        self.full = False
        self.tired = False
        self._where = where
        self._comparator = comparator
        self._table = comparator.table if isinstance(comparator, Synonyms) else None
        self._scanned = not isinstance(comparator, (Exact, Synonyms))
        self._fuzzy = isinstance(comparator, Fuzzy)
        self._left = MOST_COMPARISONS * (FUZZY_FACTOR if self._fuzzy else 1)
        self._numbers: dict[str, int] = {}
        self._values: list[JSONValue] = []
        self._forms: list[str | None] = []
        self._known: list[bool] = []
        self._labels: list[str] = []
        self._taken = set(SPECIAL)
        self._others = 0
        self._grouped: set[int] = set()
        self._remembered: dict[str, tuple[int, bool]] = {}

    def __len__(self) -> int:
        """How many words and values of references there are."""
        return len(self._values)

    @property
    def words(self) -> list[int]:
        """The numbers of the vocabulary's words."""
        return [number for number, known in enumerate(self._known) if known]

    def label(self, number: int) -> str:
        """Return how a number is shown."""
        return _NAMES.get(number) or self._labels[number]

    def is_other(self, number: int) -> bool:
        """Whether it is an answered value that is no word and no value of a reference."""
        return number >= len(self._values)

    def is_grouped(self, number: int) -> bool:
        """Whether the synonym table has groups of their own for an answered value that is no word, or for its parts."""
        return number in self._grouped

    def add(self, value: JSONValue, *, known: bool) -> None:
        """Add a word of the vocabulary (``known``) or another value of a reference; all before the first ``find``."""
        form = self._form(value)
        if form in self._numbers:
            return
        number = self._scan(value)
        if number is not None:
            self._numbers[form] = number
        elif len(self._values) >= MOST_WORDS or len(form) > LONGEST:
            self.full = True
        else:
            self._numbers[form] = len(self._values)
            self._values.append(value)
            self._forms.append(None if form.startswith("\0") else form)
            self._known.append(known)
            self._labels.append(self._unique(value))

    def find(self, value: JSONValue) -> tuple[int, bool]:
        """Return a value's number, and whether the vocabulary has it; a joined value where it has every part."""
        key = value if isinstance(value, str) else f"\0{canonical(value)}"
        found = self._remembered.get(key)
        if found is None:
            found = self._find(value)
            if len(key) <= LONGEST:
                if len(self._remembered) >= _REMEMBERED:
                    self._remembered.clear()
                self._remembered[key] = found
        return found

    def apart(self, value: JSONValue) -> int:
        """Return a number for a value that is not the word it looks like: the comparator calls the two different."""
        return self._other(f"\0apart {self._form(value)}", value)

    def _find(self, value: JSONValue) -> tuple[int, bool]:
        form = self._form(value)
        number = self._numbers.get(form)
        if number is not None and number < len(self._values):
            return number, self._known[number]
        if number is None and len(form) <= LONGEST:
            number = self._scan(value)
            if number is not None:
                return number, self._known[number]
        inside = False
        if self._table is not None:
            parts = [self._numbers.get(part, OTHER_AT) for part in self._table.parts(value)]
            inside = len(parts) > 1 and all(0 <= part < len(self._known) and self._known[part] for part in parts)
        return self._other(form, value), inside

    def _form(self, value: JSONValue) -> str:
        return canonical(value) if self._table is None else self._table.head(value)

    def _scan(self, value: JSONValue) -> int | None:
        if not self._scanned or not self._values:
            return None
        if self._left < len(self._values):
            self.tired = True
            return None
        self._left -= len(self._values)
        if self._fuzzy:
            return self._scan_fuzzy(self._form(value))
        best, at = 0.0, None
        for number, word in enumerate(self._values):
            try:
                score = float(self._comparator.score(word, value))
            except Exception as error:
                raise PluginError(
                    f"the comparator raised {type(error).__name__}: {error}", where=self._where
                ) from error
            if score >= self._comparator.pass_mark and score > best:
                best, at = score, number
        return at

    def _scan_fuzzy(self, form: str) -> int | None:
        """Do what ``_scan`` does with this comparator, in one call of rapidfuzz."""
        if form.startswith("\0"):
            return None
        from rapidfuzz import fuzz, process

        mark = self._comparator.pass_mark
        found = process.extractOne(form, self._forms, scorer=fuzz.ratio, score_cutoff=100 * mark - 1e-6)
        return int(found[2]) if found is not None and found[1] / 100 >= mark else None

    def _other(self, form: str, value: JSONValue) -> int:
        number = self._numbers.get(form)
        if number is not None:
            return number
        if self._others >= MOST_WORDS or len(form) > LONGEST:
            self.full = True
            return OTHER_AT
        self._others += 1
        if self._table is not None and all(part in self._table for part in self._table.parts(value)):
            self._grouped.add(len(self._labels))
        self._numbers[form] = len(self._labels)
        self._labels.append(self._unique(value))
        return self._numbers[form]

    def _unique(self, value: JSONValue) -> str:
        label = text = _word(value)[:LONGEST]
        count = 1
        while label in self._taken:
            label = f'"{text}"' if count == 1 else f'"{text}" ({count})'
            count += 1
        self._taken.add(label)
        return label
