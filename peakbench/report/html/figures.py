"""Where things stand in a figure: shares of its width, so that one figure fits a telephone and a sheet of paper.

Nothing here knows of HTML; templates draw what these hold, and every number in a figure also stands beside it as text.
"""

from __future__ import annotations

import math
from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass, field
from typing import Any, Literal

from peakbench.analysis.comparison.changes import Change
from peakbench.records import OUTCOMES
from peakbench.report.comparison import LEVEL, interval, p_value, points
from peakbench.report.scores import highest_floor
from peakbench.report.scores import interval as ends_of
from peakbench.report.tables import percent

WORDS = {
    "correct": "correct",
    "correct_null": "correctly null",
    "wrong": "wrong value",
    "invented": "invented (the reference is null)",
    "omitted": "omitted (the reference has a value)",
    "unread": "answer cannot be read",
}
"""Outcomes of a field as the key of a figure has them."""

_LABEL_FROM = 0.045
"""A part of a bar narrower than this has no room for a number."""


@dataclass(frozen=True, slots=True)
class Tick:
    """A place on an axis, from 0 to 1, and what it says."""

    place: float
    label: str


@dataclass(frozen=True, slots=True)
class Span:
    """A value with its interval on a line; ``low`` and ``high`` None where it has none; places from 0 to 1.

    ``numbers`` and ``aside`` say the same as text. ``possible``: the ends with failures read as worst and as best.
    ``tone``: how it is coloured (its words say the same).
    """

    name: str
    place: float
    low: float | None
    high: float | None
    numbers: str
    aside: str = ""
    floor: float | None = None
    possible: tuple[float, float] | None = None
    tone: Literal["", "better", "worse", "unclear"] = ""


@dataclass(frozen=True, slots=True)
class Spans:
    """Values below each other over one axis. ``zero``: where a rule stands, None for none."""

    rows: Sequence[Span]
    ticks: Sequence[Tick]
    zero: float | None = None

    @property
    def has_floor(self) -> bool:
        """Whether any row has one."""
        return any(row.floor is not None for row in self.rows)

    @property
    def has_possible(self) -> bool:
        """Whether any row has a range with its failures."""
        return any(row.possible is not None for row in self.rows)


@dataclass(frozen=True, slots=True)
class Part:
    """One part of a bar: ``share`` of its width, ``label`` where there is room for it."""

    kind: str
    words: str
    count: int
    share: float
    label: str


@dataclass(frozen=True, slots=True)
class Stack:
    """One bar of parts, its name, and its numbers as text."""

    name: str
    parts: Sequence[Part]
    numbers: str = ""
    aside: str = ""


@dataclass(frozen=True, slots=True)
class Stacks:
    """Bars below each other with one key."""

    rows: Sequence[Stack]
    key: Sequence[tuple[str, str]] = field(default_factory=tuple)


def ticks(low: float, high: float, unit: str = "", *, most: int = 6) -> list[Tick]:
    """Return round numbers between two, at most ``most``, with their places.

    >>> [(one.place, one.label) for one in ticks(0, 2, "s", most=3)]
    [(0.0, '0 s'), (0.5, '1 s'), (1.0, '2 s')]
    """
    span = high - low
    if not math.isfinite(span) or span <= 0:
        return []
    step = 10.0 ** math.floor(math.log10(span))
    step *= next((m for m in (0.1, 0.2, 0.25, 0.5, 1, 2, 2.5, 5) if span / (step * m) <= most - 1 + 1e-9), 10)
    first = math.ceil(low / step - 1e-9)
    values = [round(step * at, 12) for at in range(first, math.floor(high / step + 1e-9) + 1)]
    return [Tick((value - low) / span, f"{value:,.6g} {unit}".strip()) for value in values]


def percent_ticks(low: float = 0.0, high: float = 1.0) -> list[Tick]:
    """Return ticks of fractions, labelled in per cent; those of changes with their sign."""
    made = ticks(100 * low, 100 * high)
    if low < 0:
        made = [
            Tick(one.place, f"+{one.label}" if one.place * (high - low) + low > 1e-9 else one.label) for one in made
        ]
    return made


def score_spans(rows: Iterable[tuple[str, Mapping[str, Any]]], *, failed: bool = False) -> Spans:
    """Return scores that are shares, each with its interval, its floor and, where requests failed, what they hide."""
    made = []
    for name, entry in rows:
        value = entry.get("value", entry.get("score"))
        if value is None:
            continue
        found = highest_floor(entry)
        both = entry.get("with_failures") or {}
        possible = None
        if failed and both.get("low") is not None and both.get("high") is not None and both["high"] > both["low"]:
            possible = _inside(both["low"]), _inside(both["high"])
        aside = f"95 %: {ends_of(entry.get('low'), entry.get('high'))}" if entry.get("low") is not None else ""
        if entry.get("unreliable"):
            aside += " (unreliable)"
        if entry.get("skill") is not None:
            aside += f", skill {percent(entry['skill'])}"
        made.append(
            Span(
                name if entry.get("higher_is_better", True) else f"{name} (low is good)",
                _inside(value),
                None if entry.get("low") is None else _inside(entry["low"]),
                None if entry.get("high") is None else _inside(entry["high"]),
                f"{percent(value)} %",
                aside.removeprefix(", "),
                None if found is None else _inside(found[1]),
                possible,
            )
        )
    return Spans(made, percent_ticks())


def change_spans(found: Iterable[Change]) -> Spans | None:
    """Return changes of scores around zero; what is not clear after Holm's correction is said and coloured so.

    None where no sample differs in any of them: there is nothing to see.
    """
    rows = [one for one in found if one.value is not None]
    if not any(one.differs for one in rows):
        return None
    ends = [end for one in rows for end in (one.value, one.low, one.high) if end is not None]
    low, high = min(0.0, *ends), max(0.0, *ends)
    room = max(high - low, 0.01) * 0.06
    low, high = low - room, high + room

    def place(value: float) -> float:
        return (value - low) / (high - low)

    made = []
    for one in rows:
        assert one.value is not None
        clear = one.p_holm is not None and one.p_holm < LEVEL
        better = (one.value > 0) == one.higher_is_better
        word = ("better" if better else "worse") if clear else "not clear"
        if not one.differs:
            word = "no sample differs"
        p = "" if one.p is None or not one.differs else f", p {p_value(one.p)}, Holm {p_value(one.p_holm)}"
        ends_shown = f"{points(one.value)} [{interval(one.low, one.high)}]" if one.differs else "0.0"
        made.append(
            Span(
                one.name if one.higher_is_better else f"{one.name} (low is good)",
                place(one.value),
                None if one.low is None or not one.differs else place(one.low),
                None if one.high is None or not one.differs else place(one.high),
                ends_shown,
                f"{word}{p}",
                tone=("better" if better else "worse") if clear else "unclear",
            )
        )
    return Spans(made, percent_ticks(low, high), place(0.0))


def outcome_stacks(fields: Mapping[str, Mapping[str, Any]], *, failed: bool = False) -> Stacks:
    """Return what became of each field as a bar: every outcome's share of the answers."""
    rows, seen = [], set()
    for name, entry in fields.items():
        counts: dict[str, int] = {outcome: int(entry.get(outcome) or 0) for outcome in OUTCOMES}
        total = sum(counts.values())
        seen |= {outcome for outcome, count in counts.items() if count}
        aside = f"95 %: {ends_of(entry.get('low'), entry.get('high'))}" if entry.get("low") is not None else ""
        floor = highest_floor(entry)
        if floor:
            aside += f", floor {percent(floor[1])}"
        rows.append(
            Stack(name, parts(counts, WORDS, total), f"{percent(entry.get('score'))} %", aside.removeprefix(", "))
        )
    return Stacks(rows, [(f"o-{name}", WORDS[name]) for name in OUTCOMES if name in seen])


def parts(counts: Mapping[str, int], words: Mapping[str, str], total: int) -> list[Part]:
    """Return the parts of a bar, in the order of ``counts``, those of nothing left out.

    >>> [(one.kind, one.share, one.label) for one in parts({"wrong": 1, "correct": 99}, {}, 100)]
    [('wrong', 0.01, ''), ('correct', 0.99, '99')]
    """
    return [
        Part(kind, words.get(kind, kind), count, count / total, f"{count:,}" if count / total >= _LABEL_FROM else "")
        for kind, count in counts.items()
        if count
    ]


def _inside(value: float) -> float:
    """A fraction as a place; what lies outside the axis stands at its end."""
    return min(1.0, max(0.0, value))
