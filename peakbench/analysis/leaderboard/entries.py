"""What a leaderboard takes from a run: its scores as its summary has them, its floors, and what speaks against it."""

from __future__ import annotations

import math
from collections.abc import Iterator, Mapping
from typing import Any

from peakbench.analysis.leaderboard.standings import Score, Standing
from peakbench.analysis.lineage.kinship import FEW_READABLE
from peakbench.analysis.lineage.models import lineage_of
from peakbench.store import RunDirectory

Entry = Mapping[str, Any]
FLOORS = {
    "unparseable": "an answer that cannot be read",
    "all_null": "every field null",
    "majority": "each field's most frequent value",
    "vocabulary": "every value of a field at once",
}
"""What an answer that needs no model is called."""

_EDGE = 1e-9


def run_standing(run: RunDirectory, summary: Mapping[str, Any], metric: str, group: int) -> Standing:
    """Return where a run stands, not yet ranked."""
    record, lineage = run.run, lineage_of(run.run)
    entries: Mapping[str, Entry] = summary.get("metrics") or {}
    entry = entries.get(metric) or {}
    refused = {metric: entry["value"]} if _outside(entry) else {}
    metrics = {name: found for name, one in entries.items() if (found := _score(one)) is not None}
    speed = metrics.get("throughput") or _speed(summary)
    return Standing(
        model=record.model,
        family=lineage.family,
        parameters=lineage.parameters,
        training=lineage.training,
        quantization=lineage.quantization,
        version=lineage.version,
        lineage=lineage,
        source="run",
        group=group,
        score=metrics.get(metric),
        weighted=metrics.get("weighted_score"),
        sbert_nli=metrics.get("sbert_nli"),
        quality=metrics.get("quality"),
        json_rate=metrics.get("json_parse_rate"),
        throughput=speed,
        skill=_skill(entry),
        fields={name: found for name, one in (summary.get("fields") or {}).items() if (found := _score(one, "score"))},
        metrics=metrics,
        n=entry.get("n") or (summary.get("samples") or {}).get("total"),
        flags=tuple(_flags(summary, entry, metric)) + tuple(lineage.conflicts),
        refused=refused,
        path=str(run.path),
    )


def run_floors(summary: Mapping[str, Any], metric: str, group: int) -> Iterator[Standing]:
    """Return the floors of a run's samples: the scores of answers that need no model."""
    entries: Mapping[str, Entry] = summary.get("metrics") or {}
    entry = entries.get(metric) or {}
    known = {name: value for name, value in (entry.get("floor") or {}).items() if value is not None}
    best = best_value(entry)
    highest = None if not known else (max if entry.get("higher_is_better", True) else min)(known.values())
    for name, value in known.items():
        metrics = {
            one: Score(floor)
            for one, found in entries.items()
            if (floor := (found.get("floor") or {}).get(name)) is not None
        }
        room = None if best is None or highest is None else best - highest
        yield Standing(
            model=FLOORS.get(name, name),
            source="floor",
            group=group,
            score=Score(value),
            weighted=metrics.get("weighted_score"),
            sbert_nli=metrics.get("sbert_nli"),
            quality=metrics.get("quality"),
            skill=None if not room or highest is None else Score((value - highest) / room),
            fields={
                one: Score(floor)
                for one, found in (summary.get("fields") or {}).items()
                if (floor := (found.get("floor") or {}).get(name)) is not None
            },
            metrics=metrics,
            n=entry.get("n"),
            path=name,
        )


def best_value(entry: Entry) -> float | None:
    """The best value that a metric can have, None where its range is open."""
    low, high = entry.get("range") or (0.0, 1.0)
    best: float | None = high if entry.get("higher_is_better", True) else low
    return best


def _score(entry: Entry, key: str = "value") -> Score | None:
    value = entry.get(key)
    if not isinstance(value, int | float) or not math.isfinite(value) or _outside(entry, key):
        return None
    return Score(float(value), entry.get("low"), entry.get("high"))


def _outside(entry: Entry, key: str = "value") -> bool:
    value = entry.get(key)
    low, high = entry.get("range") or (0.0, 1.0)
    if value is None:
        return False
    return (low is not None and value < low - _EDGE) or (high is not None and value > high + _EDGE)


def _skill(entry: Entry) -> Score | None:
    if entry.get("skill") is None or _outside(entry):
        return None
    return Score(entry["skill"], entry.get("skill_low"), entry.get("skill_high"))


def _speed(summary: Mapping[str, Any]) -> Score | None:
    value = (summary.get("performance") or {}).get("samples_per_s")
    return None if value is None else Score(float(value))


def _flags(summary: Mapping[str, Any], entry: Entry, metric: str) -> Iterator[str]:
    counts = summary.get("samples") or {}
    answers, failed, unasked = (int(counts.get(name) or 0) for name in ("answers", "failed", "unasked"))
    value = entry.get("value")
    if _outside(entry):
        yield f"{metric} {value:g} is outside its range: refused"
    elif value is None:
        yield f"{metric} is not scored: {entry.get('reason') or 'no score of it'}"
    if failed:
        ends = entry.get("with_failures") or {}
        bracket = ""
        if ends.get("low") is not None and ends.get("high") is not None:
            bracket = f"; with them {100 * ends['low']:.1f} to {100 * ends['high']:.1f} %"
        yield f"{failed:,} of {answers:,} answers failed{bracket}"
    if unasked:
        yield f"{unasked:,} answers were not asked for yet"
    read = sum(int(counts.get(state) or 0) for state in ("strict", "extracted", "repaired", "text"))
    if answers > failed and read < FEW_READABLE * (answers - failed):
        yield (
            f"only {100 * read / (answers - failed):.0f} % of its answers could be read"
            if read
            else ("not one of its answers could be read")
        )
    floors = [floor for floor in (entry.get("floor") or {}).values() if floor is not None]
    if value is not None and floors and entry.get("skill") is not None:
        if entry["skill"] <= 0:
            yield "not above what an answer without a model scores"
        elif entry.get("skill_low") is not None and entry["skill_low"] <= 0:
            yield "perhaps not above what an answer without a model scores"
    if entry.get("unreliable"):
        yield f"interval unreliable: {entry['unreliable']}"
