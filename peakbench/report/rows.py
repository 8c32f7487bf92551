"""A summary as flat rows: one a number of a metric or a field, over the run or over a slice. For tables elsewhere."""

from __future__ import annotations

from collections.abc import Iterator, Mapping
from typing import Any

from peakbench.records import OUTCOMES
from peakbench.report.scores import highest_floor

FLOORS = ("unparseable", "all_null", "majority", "vocabulary")


def summary_rows(summary: Mapping[str, Any]) -> Iterator[dict[str, Any]]:
    """Yield the rows, all with the same keys; None where a number does not exist or does not apply.

    ``what`` is ``metric`` or ``field``; ``slice_key`` and ``slice`` are None for the whole run. ``floor`` is the
    highest of the four (the lowest, where low is good) and ``floor_answer`` the one that makes it; the four stand in
    ``floor_<answer>``. ``failures_low`` and ``failures_high``: the value with the failed answers read as the lowest and
    as the highest of its range. The outcomes are those of a field, counted over answers.

    >>> summary = {"run": {}, "metrics": {"bleu": {"value": 0.5, "floor": {"all_null": 0.2}, "skill": 0.375}}}
    >>> row = next(summary_rows(summary))
    >>> row["name"], row["value"], row["floor"], row["floor_answer"], row["skill"], row["slice"]
    ('bleu', 0.5, 0.2, 'all_null', 0.375, None)
    """
    metrics, fields = summary["metrics"], summary.get("fields") or {}
    profile = summary["run"].get("profile")

    def rows(entry: Mapping[str, Any], key: str | None, value: str | None) -> Iterator[dict[str, Any]]:
        for what, declared in (("metric", metrics), ("field", fields)):
            for name, one in (entry.get(f"{what}s") or {}).items():
                yield {
                    "what": what,
                    "name": name,
                    "slice_key": key,
                    "slice": value,
                    **_numbers(one, declared.get(name, {}), is_field=what == "field"),
                    "profile": profile,
                }

    yield from rows(summary, None, None)
    for key, values in (summary.get("slices") or {}).items():
        for value, entry in values.items():
            yield from rows(entry, key, value)


def _numbers(one: Mapping[str, Any], declared: Mapping[str, Any], *, is_field: bool) -> dict[str, Any]:
    """``declared``: the run's own entry, which says what does not change from slice to slice."""
    floors, both = one.get("floor") or {}, one.get("with_failures") or {}
    high = declared.get("higher_is_better", True)
    floor = highest_floor(one, higher_is_better=high)
    return {
        "value": one.get("score" if is_field else "value"),
        **{key: one.get(key) for key in ("low", "high", "method", "n", "unscored")},
        "floor": floor[1] if floor else None,
        "floor_answer": floor[0] if floor else None,
        **{f"floor_{name}": floors.get(name) for name in FLOORS},
        **{key: one.get(key) for key in ("skill", "skill_low", "skill_high", "skill_reason")},
        "failures_low": both.get("low"),
        "failures_high": both.get("high"),
        **{outcome: one.get(outcome) if is_field else None for outcome in OUTCOMES},
        "reason": one.get("reason"),
        "unreliable": one.get("unreliable"),
        "weight": declared.get("weight"),
        "unit": declared.get("unit"),
        "higher_is_better": high,
        "signature": declared.get("signature"),
    }
