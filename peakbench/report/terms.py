"""An explanation laid out for people: each composite term by term, each field with its reason."""

from __future__ import annotations

import json
from collections.abc import Iterator, Sequence
from typing import Any

from peakbench.report.explanation import CompositeTerms, Explanation
from peakbench.report.tables import Lines, Page, Table, neutral

_SHOWN = 40


def explanation_page(explanations: Sequence[Explanation]) -> Page:
    """Lay out the explanations of one sample's answers, one a repeat."""
    page = Page()
    for one in explanations:
        title = neutral(one.sample_id, limit=200) + (f", repeat {one.repeat}" if len(explanations) > 1 else "")
        page.add(Lines([title, neutral(one.state.replace("_", "-"))], kind="heading"))
        for composite in one.composites:
            page.add(_terms(composite))
            page.add(Lines(list(_words(composite, one.inexact)), kind="note" if not composite.agrees else "text"))
        page.add(_by_value(one))
        page.add(_fields(one))
        page.add(Lines(list(_sums(one))))
        page.add(Lines([f"{neutral(field.name)}: {neutral(field.why, limit=200)}" for field in one.fields], "Why"))
    return page


def _number(value: float | None) -> str:
    return "-" if value is None else f"{value:.4f}"


def _terms(found: CompositeTerms) -> Table:
    rows = [
        [neutral(term.name), f"{term.weight:g}", _number(term.value), _number(term.contribution)]
        for term in found.terms
    ]
    rows.append(["sum" if found.divide_by == 1 else f"sum / {found.divide_by:g}", "", "", _number(found.total)])
    return Table(["part", "weight", "value", "weight x value"], rows, f"{neutral(found.name)} {_number(found.stored)}")


def _words(found: CompositeTerms, inexact: str | None) -> Iterator[str]:
    for term in found.terms:
        if term.value is None:
            yield f"{neutral(term.name)} is unscored: {neutral(term.reason or 'no reason given', limit=200)}"
    if any(term.value is None for term in found.terms):
        yield f"so {neutral(found.name)} is unscored: a missing part is never replaced, nor the others raised"
    elif found.exact:
        yield "an exact answer: the keys of the reference and no other, every field exact. So it is 1 at once"
    elif found.penalty != "none" and inexact is not None:
        yield f"no exact answer ({neutral(inexact, limit=300)}), so the sum counts"
    if found.penalty == "off":
        yield "hallucination:off: no entailer was there when the run was scored, so nothing lowers the sum"
    elif found.penalty == "on":
        yield _penalty(found)
    if found.value is not None and not found.agrees:
        yield (
            f"the terms come to {found.value:.10g}, and {_number(found.stored)} is stored: the run was scored with "
            "other definitions or models"
        )


def _penalty(found: CompositeTerms) -> str:
    name = neutral(found.penalty_metric)
    if found.hallucination is None:
        return f"{name} is unscored, so the penalty is not known"
    if found.factor == 1:
        return f"{name} {found.hallucination:.4f}: not high enough for a penalty"
    return (
        f"{name} {found.hallucination:.4f} lowers it: x {found.factor:.4f}, "
        f"{_number(found.total)} x {found.factor:.4f} = {_number(found.value)}"
    )


def _by_value(found: Explanation) -> Table | None:
    if not found.by_value:
        return None
    parts = list(found.by_value)
    names = list(found.by_value[parts[0]])
    rows = [[neutral(name), *(_number(found.by_value[part][name]) for part in parts)] for name in names]
    means = [sum(values.values()) / len(values) for values in found.by_value.values()]
    rows.append(["mean", *map(_number, means)])
    return Table(["field with a value", *map(neutral, parts)], rows, "Parts that read values")


def _fields(found: Explanation) -> Table | None:
    if not found.fields:
        return None
    columns = ["field", "reference", "answer", "outcome", "comparator", "score", "weight", "weight x score", "exact"]
    rows = [
        [
            neutral(field.name),
            _value(field.reference),
            _value(field.answer) if field.outcome != "unread" else "-",
            neutral(field.outcome),
            neutral(field.comparator, limit=_SHOWN),
            _number(field.score),
            f"{field.weight:g}",
            _number(field.contribution),
            f"{field.exact:g}" if field.present else "no key",
        ]
        for field in found.fields
    ]
    return Table(columns, rows, "Fields", frozenset(columns[1:5]))


def _sums(found: Explanation) -> Iterator[str]:
    if found.weighted_score is not None:
        gained, weights = sum(field.contribution for field in found.fields), sum(field.weight for field in found.fields)
        yield f"weighted_score: {gained:g} / {weights:g} = {found.weighted_score:.4f}" + _against(
            found, "weighted_score", found.weighted_score
        )
    if found.structured_match is not None:
        hits = sum(field.exact * field.present for field in found.fields)
        yield f"structured_match: {hits:g} / {len(found.fields)} = {found.structured_match:.4f}" + _against(
            found, "structured_match", found.structured_match
        )


def _against(found: Explanation, name: str, value: float) -> str:
    stored = found.stored.get(name)
    return f"; {stored:.4f} is stored" if stored is not None and abs(stored - value) > 1e-9 else ""


def _value(value: Any) -> str:
    if isinstance(value, str):
        return neutral(value, limit=_SHOWN) or '""'
    try:
        return neutral(json.dumps(value, ensure_ascii=False), limit=_SHOWN)
    except (ValueError, RecursionError):
        return "(cannot be shown)"
