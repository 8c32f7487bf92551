"""Field comparators: two values of one field in, a score in [0, 1] out.

A comparator sees values that are not null and have the right shape (see :class:`peakbench.metrics.base.Comparator`);
null, missing keys and wrong shapes are settled before it is asked. Every comparator takes any JSON value without
raising. Booleans equal only booleans in all of them.
"""

from __future__ import annotations

import re
import unicodedata
from collections.abc import Mapping, Sequence
from decimal import Decimal
from typing import Annotated, Any, Literal

import numpy as np
from pydantic import BaseModel, BeforeValidator, Field, ValidationError

from peakbench.errors import TaskError, nearest
from peakbench.metrics.base import Comparator, ComparatorKind, NoParameters, Tools
from peakbench.records import JSONValue
from peakbench.tasks import ComparatorSpec
from peakbench.values import SynonymTable, canonical, shipped_table, shortest, text_form

Shape = Literal["scalar", "list"]


class Exact:
    """1 where the canonical forms are the same: NFKC, casefold, spaces and hyphens folded.

    >>> Exact().score("T-Shirt", "t shirt"), Exact().score(True, 1)
    (1.0, 0.0)
    """

    pass_mark = 1.0
    shape: Shape = "scalar"

    def score(self, reference: JSONValue, prediction: JSONValue) -> float:
        """Return 1 or 0."""
        return float(canonical(reference) == canonical(prediction))


class SynonymsParameters(BaseModel, extra="forbid", frozen=True):
    """``table``: the name of a table that ships ("garment.color"), or the groups themselves: a string, then its like.

    ``joiners``: words between two values of one field ("navy and white"), each of which is then looked up by itself.
    """

    table: str | dict[str, tuple[str, ...]]
    joiners: tuple[str, ...] = ()


class Synonyms:
    """1 where both values belong to one group of a synonym table, or are the same by ``exact``.

    >>> table = SynonymTable({"t-shirt": ["tee", "tee shirt"]})
    >>> Synonyms(table).score("T-shirt", "tee-shirt"), Synonyms(table).score("tee", "tank top")
    (1.0, 0.0)
    """

    pass_mark = 1.0
    shape: Shape = "scalar"

    def __init__(self, table: SynonymTable) -> None:
        self.table = table

    def score(self, reference: JSONValue, prediction: JSONValue) -> float:
        """Return 1 or 0."""
        return float(self.table.head(reference) == self.table.head(prediction))


def _synonyms(parameters: SynonymsParameters, _tools: Tools) -> Synonyms:
    if isinstance(parameters.table, str):
        return Synonyms(shipped_table(parameters.table))
    return Synonyms(SynonymTable(parameters.table, parameters.joiners, where="comparator synonyms: table"))


class FuzzyParameters(BaseModel, extra="forbid", frozen=True):
    """``threshold``: the ratio below which the score is 0, and from which a value is correct."""

    threshold: Annotated[float, Field(gt=0, le=1)] = 0.85


class Fuzzy:
    """The indel similarity of the canonical forms (``rapidfuzz.fuzz.ratio`` / 100), 0 below the threshold.

    >>> round(Fuzzy(0.85).score("Quiksilver", "Quicksilver"), 4), Fuzzy(0.85).score("adidas", "asics")
    (0.9524, 0.0)
    """

    shape: Shape = "scalar"

    def __init__(self, threshold: float) -> None:
        from rapidfuzz import fuzz

        self.pass_mark = threshold
        self._ratio = fuzz.ratio

    def score(self, reference: JSONValue, prediction: JSONValue) -> float:
        """Return 0, or a ratio between the threshold and 1."""
        first, second = canonical(reference), canonical(prediction)
        if first == second:
            return 1.0
        if first.startswith("\0") or second.startswith("\0"):
            return 0.0
        ratio = float(self._ratio(first, second)) / 100
        return ratio if ratio >= self.pass_mark else 0.0


class NumericParameters(BaseModel, extra="forbid", frozen=True):
    """A value passes within ``absolute``, or within ``relative`` times the reference's size, whichever is wider."""

    absolute: Annotated[float, Field(ge=0, allow_inf_nan=False)] = 0.0
    relative: Annotated[float, Field(ge=0, allow_inf_nan=False)] = 0.0


_NUMBER = re.compile(r"[+-]?(?:\d{1,40}(?:\.\d{0,40})?|\.\d{1,40})(?:e[+-]?\d{1,3})?", re.ASCII)


class Numeric:
    """1 where the numbers differ by no more than the tolerance; strings that hold one number are read ("32.0").

    Reckoned in decimals, so that 1.1 is within 0.1 of 1. Two values of which one is no number compare by ``exact``.

    >>> Numeric(absolute=0.1).score(1, "1.1"), Numeric().score(32, "32.00"), Numeric().score(1, True)
    (1.0, 1.0, 0.0)
    """

    pass_mark = 1.0
    shape: Shape = "scalar"

    def __init__(self, *, absolute: float = 0.0, relative: float = 0.0) -> None:
        self._absolute = Decimal(repr(absolute))
        self._relative = Decimal(repr(relative))

    def score(self, reference: JSONValue, prediction: JSONValue) -> float:
        """Return 1 or 0."""
        first, second = _decimal(reference), _decimal(prediction)
        if first is None or second is None:
            return float(canonical(reference) == canonical(prediction))
        return float(abs(first - second) <= max(self._absolute, self._relative * abs(first)))


def _decimal(value: JSONValue) -> Decimal | None:
    if isinstance(value, bool) or not isinstance(value, (int, float, str)):
        return None
    if isinstance(value, str):
        text = unicodedata.normalize("NFKC", value[:200]).strip().lower() if len(value) <= 200 else ""
        text = text.replace("\u2212", "-")
    else:
        text = shortest(value)
        if len(text) > 400:
            return None
        return Decimal(text) if text.lstrip("-").replace(".", "", 1).isdigit() else None
    return Decimal(text) if _NUMBER.fullmatch(text) else None


class ListParameters(BaseModel, extra="forbid", frozen=True):
    """``pass_mark``: the score from which the list is correct."""

    pass_mark: Annotated[float, Field(gt=0, le=1)] = 1.0


class TagSet:
    """F1 of two tag lists: 2 |A and B| / (|A| + |B|) over canonical items, order and duplicates aside.

    >>> TagSet().score(["cotton", "wool"], ["Wool", "silk", "silk"])
    0.5
    """

    shape: Shape = "list"

    def __init__(self, pass_mark: float = 1.0) -> None:
        self.pass_mark = pass_mark

    def score(self, reference: JSONValue, prediction: JSONValue) -> float:
        """Return the F1; 1 for two empty lists."""
        first = {canonical(item) for item in reference}
        second = {canonical(item) for item in prediction}
        return 2 * len(first & second) / (len(first) + len(second)) if first or second else 1.0


_LETTER = re.compile(r"(?:(?P<count>[1-9])\s?x|(?P<xs>x*)) ?(?P<base>s|sm|small|m|med|medium|l|lg|lrg|large)")
_ONE_SIZE = re.compile(r"(?:one ?size(?: fits (?:all|most))?|o/?s|osf[am])")
_AGE = re.compile(r"(?P<low>\d{1,2})(?: ?- ?(?P<high>\d{1,2}))? ?(?P<unit>months?|mos?|m|years?|yrs?|y)")
_INCHES = r"(?: ?(?:in|inch|inches|\"))?"
_WAIST_LENGTH = re.compile(
    rf"(?:(?P<w>w(?:aist)?) ?)?(?P<waist>\d{{2}}){_INCHES}(?: ?(?P<w2>w(?:aist)?))?"
    rf"(?P<between> ?[x/,] ?| ?)"
    rf"(?:(?P<l>l(?:ength)?|inseam) ?)?(?P<length>\d{{2}}){_INCHES}(?: ?(?P<l2>l(?:ength)?|inseam))?"
)
_SYSTEMS = {"eu": "eu", "eur": "eu", "europe": "eu", "us": "us", "usa": "us", "uk": "uk", "gb": "uk"}
_SYSTEMS |= {"it": "it", "ita": "it", "fr": "fr", "fra": "fr", "de": "de", "ger": "de", "jp": "jp", "jpn": "jp"}
_SYSTEMS |= {"au": "au", "aus": "au"}
_SYSTEM = "|".join(sorted(_SYSTEMS, key=len, reverse=True))
_SYSTEM_NUMBER = re.compile(
    rf"(?:(?P<before>{_SYSTEM}) ?)?(?P<number>\d{{1,3}}(?:\.\d{{1,2}})?)(?: ?(?P<after>{_SYSTEM}))?"
)

_SizeKey = tuple[str, str, str]


class Size:
    """1 where two garment sizes are the same as printed; no size is converted into another system.

    The same: letters and words (M, med, medium; XL, x-large, extra large; XXL, 2XL), waist and length (32x34, 32/34,
    W32 L34, 32W x 34L), ages (6-12 m, 6-12 months), "one size" and OS, 8.5 and 8 1/2, and a leading word "size".

    A number whose system is named on one side only is the same ("EU 42" and "42"): what is printed on the tag is the
    number, and people leave the system out as often as not, so the two agree and none is contradicted. Two systems
    that are named and differ are not the same ("EU 42", "US 42"), and neither are "US 8" and "EU 38": such tables
    differ from maker to maker. 1X is not 1XL (plus sizes), 32-34 (a range) is not 32x34, 00 is not 0.
    Several sizes ("M/L", "M (38)", "EU 42 / US 10") are the same where each has its partner.

    >>> size = Size()
    >>> [size.score(*p) for p in [("M", "Medium"), ("32x34", "W32 L34"), ("EU 42", "42"), ("EU 42", "US 42")]]
    [1.0, 1.0, 1.0, 0.0]
    """

    pass_mark = 1.0
    shape: Shape = "scalar"

    def score(self, reference: JSONValue, prediction: JSONValue) -> float:
        """Return 1 or 0."""
        first, second = _size_keys(reference), _size_keys(prediction)
        if len(first) != len(second):
            return 0.0
        for key in first:
            partner = next((other for other in second if _same_size(key, other)), None)
            if partner is None:
                return 0.0
            second.remove(partner)
        return 1.0


def _same_size(first: _SizeKey, second: _SizeKey) -> bool:
    systems = {first[2], second[2]} - {""}
    return first[:2] == second[:2] and len(systems) < 2


def _size_keys(value: JSONValue) -> list[_SizeKey]:
    """Return (kind, size, system) for each size that the value names; the named systems first, to find their like."""
    if not isinstance(value, str) or len(value) > 100:
        return [_size_key(shortest(value))] if type(value) in (int, float) else [("other", canonical(value), "")]
    text = text_form(re.sub(r" ?(?:\u00bd|(?<=\d) 1/2)", ".5", value)).replace("\u00d7", "x")
    text = re.sub(r"[\u2010-\u2015\u2212]", "-", text)
    text = re.sub(r"^(?:size|sz)(?:[: .]+|(?=\d))", "", text).strip()
    whole = _size_key(text)
    parts = [part.strip() for part in re.split(r"[/,;|()]| or ", text)]
    parts = [part for part in parts if part]
    if whole[0] != "other" or len(parts) < 2:
        return [whole]
    return sorted((_size_key(part) for part in parts), key=lambda key: (key[2] == "", key))


def _size_key(text: str) -> _SizeKey:
    words = " ".join(text.replace("-", " ").split())
    letters = re.sub(r"\b(?:double|triple) (?=x|extra)", lambda m: {"d": "x", "t": "xx"}[m[0][0]], words)
    letters = re.sub(r"\bextra ?|\bx (?=[xsl])", "x", letters)
    if match := _LETTER.fullmatch(letters):
        count = int(match["count"]) if match["count"] else len(match["xs"])
        base = match["base"][0]
        if not (base == "m" and count):
            return "letter", f"{count}x{base}" if count else base, ""
    if _ONE_SIZE.fullmatch(words):
        return "letter", "one size", ""
    if (match := _WAIST_LENGTH.fullmatch(text)) and _is_waist_length(match):
        return "waist-length", f"{match['waist']}x{match['length']}", ""
    if match := _AGE.fullmatch(text):
        return "age", f"{int(match['low'])}-{int(match['high'] or match['low'])}{match['unit'][0]}", ""
    if (match := _SYSTEM_NUMBER.fullmatch(words)) and not (match["before"] and match["after"]):
        number = match["number"]
        if number.startswith("0") and number[:2] != "00" and len(number) > 1 and number[1] != ".":
            number = number[1:]
        if "." in number:
            number = number.rstrip("0").rstrip(".")
        return "number", number, _SYSTEMS.get(match["before"] or match["after"] or "", "")
    return "other", canonical(text), ""


def _is_waist_length(match: re.Match[str]) -> bool:
    """Two numbers are waist and length where they are called so or joined by x; with a slash, in the usual range.

    "38/40" is more likely two sizes of a maker's table.
    """
    if (match["w"] or match["w2"]) and (match["l"] or match["l2"]):
        return True
    if match["between"].strip() == "x":
        return True
    return bool(match["between"].strip()) and int(match["waist"]) >= 24 and 28 <= int(match["length"]) <= 36


def _spec(value: object) -> object:
    return {"kind": value} if isinstance(value, str) else value


class ObjectsParameters(BaseModel, extra="forbid", frozen=True):
    """``fields``: the fields of one object, each with its comparator. ``pass_mark``: from where the list is correct."""

    fields: Annotated[dict[str, Annotated[ComparatorSpec, BeforeValidator(_spec)]], Field(min_length=1)]
    pass_mark: Annotated[float, Field(gt=0, le=1)] = 1.0


class Objects:
    """Two lists of objects: the best one-to-one assignment, then field by field.

    Two objects score the mean over ``fields`` (both null or missing 1, one of them 0, otherwise the field's
    comparator). The lists score the sum over assigned pairs / the longer list's length: an object too few and one too
    many cost the same, and no order is asked for. A prediction's objects beyond 1,000 stay without a partner.

    >>> kind = Objects({"part": Exact(), "defect": Exact()})
    >>> kind.score([{"part": "cuff", "defect": "stain"}], [{"part": "hem"}, {"part": "cuff", "defect": "hole"}])
    0.25
    """

    shape: Shape = "list"
    LONGEST = 1_000

    def __init__(self, fields: Mapping[str, Comparator], pass_mark: float = 1.0) -> None:
        self.fields = dict(fields)
        self.pass_mark = pass_mark

    def score(self, reference: JSONValue, prediction: JSONValue) -> float:
        """Return the score; 1 for two empty lists."""
        longer = max(len(reference), len(prediction))
        if not reference or not prediction:
            return float(longer == 0)
        from scipy.optimize import linear_sum_assignment

        kept = prediction[: self.LONGEST]
        scores = np.array([[self._pair(first, second) for second in kept] for first in reference[: self.LONGEST]])
        rows, columns = linear_sum_assignment(scores, maximize=True)
        return min(1.0, float(scores[rows, columns].sum()) / longer)

    def _pair(self, first: JSONValue, second: JSONValue) -> float:
        if not isinstance(first, Mapping) or not isinstance(second, Mapping):
            return float(canonical(first) == canonical(second))
        total = 0.0
        for name, comparator in self.fields.items():
            one, other = first.get(name), second.get(name)
            if one is None or other is None:
                total += one is other
            elif _fits(one, comparator.shape) and _fits(other, comparator.shape):
                total += comparator.score(one, other)
        return total / len(self.fields)


def _fits(value: JSONValue, shape: Shape) -> bool:
    return isinstance(value, list) if shape == "list" else not isinstance(value, (list, dict))


def _objects(parameters: ObjectsParameters, tools: Tools) -> Objects:
    kinds = {kind.name: kind for kind in COMPARATORS}
    fields: dict[str, Comparator] = {}
    for name, spec in parameters.fields.items():
        if spec.kind not in kinds:
            raise TaskError(
                f"unknown comparator '{spec.kind}'", where=f"objects: field '{name}'", hint=nearest(spec.kind, kinds)
            )
        kind = kinds[spec.kind]
        try:
            given = kind.parameters.model_validate(spec.parameters)
        except ValidationError as error:
            raise TaskError(str(error), where=f"objects: field '{name}': comparator '{spec.kind}'") from None
        fields[name] = kind.build(given, tools)
    return Objects(fields, parameters.pass_mark)


def _list_kind(parameters: ListParameters, _tools: Tools) -> TagSet:
    return TagSet(parameters.pass_mark)


def _plain(make: type[Any]) -> Any:
    return lambda _parameters, _tools: make()


COMPARATORS: Sequence[ComparatorKind] = (
    ComparatorKind("exact", _plain(Exact), description="the same after NFKC, casefold, spaces and hyphens folded"),
    ComparatorKind("synonyms", _synonyms, SynonymsParameters, "exact, over groups of strings that mean the same"),
    ComparatorKind("fuzzy", lambda p, _: Fuzzy(p.threshold), FuzzyParameters, "rapidfuzz ratio, 0 below the threshold"),
    ComparatorKind(
        "numeric",
        lambda p, _: Numeric(absolute=p.absolute, relative=p.relative),
        NumericParameters,
        "numbers within a tolerance",
    ),
    ComparatorKind("size", _plain(Size), NoParameters, "garment sizes: M = medium, 32x34 = W32 L34"),
    ComparatorKind("set", _list_kind, ListParameters, "F1 of two tag lists"),
    ComparatorKind("objects", _objects, ObjectsParameters, "lists of objects: best assignment, then field by field"),
)
"""What ships, in the order in which it is listed."""
