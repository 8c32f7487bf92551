"""A comparison for people: what changed and how sure that is, fields, costs, and the samples that did it."""

from __future__ import annotations

import json
import math
from collections.abc import Iterable, Iterator, Mapping, Sequence
from typing import Any

from peakbench.analysis.comparison.changes import Change
from peakbench.analysis.comparison.contrasts import FLIPS_SHOWN, Comparison, Contrast, Floors
from peakbench.analysis.comparison.flips import Flip, Flips, Side
from peakbench.report.tables import Lines, Page, Table, neutral, percent, quantity

LEVEL = 0.05
LEADING = ("quality", "weighted_score")
"""The metric that an overview of several runs shows: the first of these, else the first there is."""

_VALUE_SHOWN = 24


def comparison_page(found: Comparison) -> Page:
    """Lay out a comparison, one part for each run that is held against the first."""
    page = Page()
    if len(found.contrasts) > 1:
        page.add(_overview(found))
    for one in found.contrasts:
        _add(page, one, alone=len(found.contrasts) == 1)
    return page


def _add(page: Page, one: Contrast, *, alone: bool) -> None:
    page.add(_head(one))
    page.add(Lines(list(_verdict(one)), "What changed"))
    page.add(_table(one.metrics, one.floors, "Metrics, % (second minus first)", paired=one.paired))
    page.add(_table(one.fields, one.floors, "Fields, % (second minus first)", paired=one.paired))
    page.add(_costs(one.costs))
    if one.flips is not None:
        page.add(_flips(one.flips))
    page.add(Lines(list(_notes(one, alone=alone)), "Notes", "note"))


def _overview(found: Comparison) -> Table | None:
    """One row a run, by the first metric of these that all of them have."""
    whole = [{change.name: change for change in one.metrics if change.value is not None} for one in found.contrasts]
    shared = [name for name in whole[0] if all(name in changes for changes in whole)]
    name = next((name for name in LEADING if name in shared), shared[0] if shared else None)
    if name is None:
        return None
    rows = []
    for one, changes in zip(found.contrasts, whole, strict=True):
        change = changes[name]
        ends = interval(change.low, change.high) if change.differs else "none differs"
        numbers = [points(change.value), ends, p_value(change.p), p_value(change.p_holm)]
        rows.append([neutral(one.second.path, limit=60), percent(change.first), percent(change.second), *numbers])
    columns = ["run", "first", "this", "change", "95 %", "p", "Holm"]
    first = neutral(found.contrasts[0].first.path, limit=60)
    return Table(columns, rows, f"{neutral(name)}, %, against {first}")


def _head(one: Contrast) -> Lines:
    first, second = one.first, one.second
    counts = f"{one.samples:,} sample{'' if one.samples == 1 else 's'}, the same samples"
    if not one.paired:
        counts = f"{first.samples:,} and {second.samples:,} samples, different samples, unpaired"
    lines = [
        f"{neutral(second.model, limit=60)} against {neutral(first.model, limit=60)}",
        f"{counts}, task {neutral(first.task_id)}",
        f"first  {neutral(first.path, limit=200)}",
        f"second {neutral(second.path, limit=200)}",
    ]
    if one.apart:
        lines.append(f"asked differently: {neutral('; '.join(one.apart), limit=400)}")
    return Lines(lines, kind="heading")


def _verdict(one: Contrast) -> Iterator[str]:
    for kind, found in (("metric", one.metrics), ("field", one.fields), ("cost", one.costs)):
        whole = [change for change in found if change.value is not None]
        if not whole:
            continue
        clear = [change for change in whole if change.p_holm is not None and change.p_holm < LEVEL]
        if not clear:
            yield f"{kind}s: none of {len(whole)} differs (p < {LEVEL:g} after Holm's correction)"
            continue
        words = []
        for better, word in ((True, "better"), (False, "worse")):
            names = [
                neutral(change.name)
                for change in clear
                if ((change.value or 0) > 0) == (better is change.higher_is_better)
            ]
            if names:
                words.append(f"{word}: {', '.join(names)}")
        yield f"{kind}s: {len(clear)} of {len(whole)} differ{'s' if len(clear) == 1 else ''}; {'; '.join(words)}"


def _table(
    found: Sequence[Change], floors: Mapping[tuple[str, str], Floors], title: str, *, paired: bool
) -> Table | None:
    rows = []
    columns = ["", "first", "second", "change", "95 %", "p", "Holm", "better", "worse", "floor", "skill", "n", "needed"]
    for change in found:
        if change.value is None:
            continue
        floor = floors.get((change.kind, change.name))
        rows.append(
            [
                neutral(change.name) + ("" if change.higher_is_better else " (low is good)"),
                percent(change.first),
                percent(change.second),
                points(change.value) + ("*" if change.unreliable else ""),
                interval(change.low, change.high) if change.differs else "none differs",
                p_value(change.p),
                p_value(change.p_holm),
                _count(change.better),
                _count(change.worse),
                percent(floor.floor) if floor else "-",
                points(floor.value) if floor else "-",
                f"{change.n:,}",
                _count(change.needed),
            ]
        )
    if not rows:
        return None
    left_out = set() if paired else {"better", "worse", "needed"}
    for column in ("skill", "floor"):
        if all(row[columns.index(column)] == "-" for row in rows):
            left_out.add(column)
    kept = [index for index, column in enumerate(columns) if column not in left_out]
    return Table([columns[index] for index in kept], [[row[index] for index in kept] for row in rows], title)


def points(value: float | None) -> str:
    """A difference of fractions in points, with its sign, which is kept where the rest is rounded away.

    >>> points(0.0123), points(-0.5), points(0.0), points(0.00001), points(-0.00001), points(None)
    ('+1.2', '-50.0', '0.0', '+0.0', '-0.0', '-')
    """
    if value is None or not math.isfinite(value):
        return "-"
    return f"{100 * value:+.1f}" if value else "0.0"


def interval(low: float | None, high: float | None) -> str:
    """The ends of an interval in points.

    >>> interval(-0.012, 0.3)
    '-1.2 to +30.0'
    """
    return "-" if low is None or high is None else f"{points(low)} to {points(high)}"


def p_value(p: float | None) -> str:
    """A p-value with three decimals, small ones with four.

    >>> p_value(0.0421), p_value(0.00312), p_value(0.00001), p_value(None), p_value(1.0)
    ('0.042', '0.0031', '<0.0001', '-', '1.000')
    """
    if p is None:
        return "-"
    return "<0.0001" if p < 0.0001 else f"{p:.4f}" if p < 0.01 else f"{p:.3f}"


def _count(value: int | None) -> str:
    return "-" if value is None else f"{value:,}"


def _costs(found: Sequence[Change]) -> Table | None:
    rows = []
    for change in found:
        if change.value is None:
            continue
        sign = "+" if change.value > 0 else ""
        ends = "-"
        if change.low is not None and change.high is not None:
            ends = " to ".join(f"{'+' if end > 0 else ''}{quantity(end)}" for end in (change.low, change.high))
        rows.append(
            [
                neutral(change.name),
                quantity(change.first),
                quantity(change.second),
                f"{sign}{quantity(change.value)}" + ("*" if change.unreliable else ""),
                ends,
                p_value(change.p),
                p_value(change.p_holm),
                _count(change.better),
                _count(change.worse),
                f"{change.n:,}",
            ]
        )
    columns = ["", "first", "second", "change", "95 %", "p", "Holm", "cheaper", "dearer", "n"]
    return Table(columns, rows, "Cost per 1,000 items") if rows else None


def _flips(flips: Flips) -> Table | None:
    if not len(flips):
        return None
    rows = [
        [
            neutral(flip.sample_id, limit=30),
            neutral(flip.field, limit=30),
            flip.direction,
            shown(flip.reference),
            _answers(flip.first),
            _answers(flip.second),
            _became(flip),
        ]
        for flip in flips.shown(FLIPS_SHOWN)
    ]
    title = f"Flips: {flips.worse:,} worse, {flips.better:,} better, in {flips.samples:,} samples"
    if len(flips) > FLIPS_SHOWN:
        title += f" (the first {FLIPS_SHOWN}; all: --flips FILE)"
    columns = ["sample", "field", "became", "reference", "first", "second", "outcome"]
    return Table(columns, rows, title, frozenset(columns))


def _answers(side: Side) -> str:
    if side.answers is None:
        return "-"
    parts = list(dict.fromkeys(shown(one) for one in side.answers)) + ["(absent)"] * bool(side.absent)
    return neutral(" | ".join(parts), limit=2 * _VALUE_SHOWN) or "(no answer)"


def _became(flip: Flip) -> str:
    """The two outcomes; the two scores where they do not say what changed."""
    one, two = (side.outcome.replace("correct_null", "null ok") for side in (flip.first, flip.second))
    if one == two:
        return f"{one} {percent(flip.first.score)} > {percent(flip.second.score)}".strip()
    return f"{one} > {two}"


def shown(value: Any) -> str:
    """A value of a reference or an answer, on one short line."""
    text = value if isinstance(value, str) else json.dumps(value, ensure_ascii=False)
    return neutral(text, limit=_VALUE_SHOWN) or '""'


def _notes(one: Contrast, *, alone: bool) -> Iterator[str]:
    for note in one.notes:
        yield neutral(note, limit=500)
    if any(one.failed):
        yield (
            f"{one.failed[0]:,} answers of the first run and {one.failed[1]:,} of the second failed; "
            "their samples do not count"
        )
        spans = [
            f"{neutral(change.name)} {interval(change.with_failures['low'], change.with_failures['high'])}"
            for change in one.metrics
            if change.with_failures and change.with_failures["low"] != change.with_failures["high"]
        ]
        if spans:
            yield f"change with the failed read as the worst and as the best: {', '.join(spans[:6])}" + (
                f", and {len(spans) - 6} more in --json" if len(spans) > 6 else ""
            )
    reasons: dict[str, list[str]] = {}
    for change in one.changes:
        if change.reason is not None:
            reasons.setdefault(change.reason, []).append(change.name)
    for reason, names in reasons.items():
        yield neutral(f"{', '.join(names)}: {reason}", limit=500)
    doubts = dict.fromkeys(str(change.unreliable).partition(" (")[0] for change in one.changes if change.unreliable)
    if doubts:
        yield f"* interval unreliable: {'; '.join(doubts)}"
    yield _tests(one.changes, alone=alone)
    if any(floor.value is not None for floor in one.floors.values()):
        yield "skill: the change as a share of what lies between the highest floor and the best possible"
    if one.paired:
        yield "needed: samples that would show a difference of this size four times out of five"


def _tests(changes: Iterable[Change], *, alone: bool) -> str:
    names = dict.fromkeys(str(change.test) for change in changes if change.test)
    tests = ", ".join(name.replace(",", "") for name in names)
    over = "each" if alone else "each, all runs of this page together"
    return (
        f"p: {tests}; Holm: corrected over metrics, fields and costs, {over}; "
        "- where no sample differs (outside the family)"
    )
