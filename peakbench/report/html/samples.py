"""The sample browser of a page: every sample of a run, worst first, with what was asked, answered and scored.

The data come in two kinds. The index holds what lists, filters and sorting need, column by column; the details hold
texts and pictures, in chunks that the page reads when a sample of theirs is looked at. Nothing here is HTML: the page
puts every value in as text.
"""

from __future__ import annotations

import heapq
import math
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass
from itertools import groupby
from pathlib import Path
from typing import Any

from peakbench.datasets import SampleRecord
from peakbench.records import OUTCOMES
from peakbench.report.html.composites import composite_terms
from peakbench.report.html.details import Answer, Interned, Pictures, coded, details, rounded
from peakbench.report.html.page import embedded_json
from peakbench.report.html.source import ReportSource
from peakbench.report.html.thumbnails import thumbnails

MOST = 20_000
"""Samples on a page at most; of a larger run the worst ones are shown."""

CHUNK = 200
"""Samples whose details are read together."""

WORST_LISTED = 20
_LEADING = ("quality", "weighted_score", "sbert_nli", "sbert")
_CORRECT = {OUTCOMES.index("correct"), OUTCOMES.index("correct_null")}


def sample_context(source: ReportSource, *, folder: Path | None = None) -> dict[str, Any]:
    """Return what ``samples.html.j2`` shows, ready to be handed to the template.

    Keys: ``samples_json`` (the index), ``samples_details`` and ``samples_pictures`` (one a chunk), as they stand in the
    page; ``samples_worst`` (a list for paper and for browsers without scripts), ``samples_notes`` (sentences),
    ``samples_lead`` (the metric they are ordered by).
    """
    payload = sample_payload(source, folder=folder)
    shown: Sequence[Any] = payload.pop("details")
    pictures: Sequence[str] = payload.pop("pictures")
    return {
        "samples_json": embedded_json({**payload, "worst": None}),
        "samples_details": [embedded_json(shown[start : start + CHUNK]) for start in range(0, len(shown), CHUNK)],
        "samples_pictures": [
            embedded_json(pictures[start : start + CHUNK]) for start in range(0, len(pictures), CHUNK)
        ],
        "samples_worst": payload["worst"],
        "samples_notes": payload["notes"],
        "samples_lead": payload["lead_title"],
    }


def sample_payload(source: ReportSource, *, folder: Path | None = None) -> dict[str, Any]:
    """Return the data of the sample browser as JSON values.

    Args:
        source: the run; where ``second`` is set, that run's answers stand beside it, sample by sample.
        folder: where thumbnails go that do not fit into the page, beside the page; None: they are left out.

    Raises:
        StoreError: samples, responses or scores are damaged.
    """
    sides = [source, *([source.second] if source.second is not None else [])]
    lead = _leading(sides)
    chosen = _chosen(source, lead)
    values, reasons = Interned(), Interned()
    names = list(source.task.fields)
    answers = [_answers(side, chosen, names, reasons) for side in sides]
    order = _order(chosen, answers, lead, source)
    records = {record.id: record for record in source.directory.samples() if record.id in chosen}
    ids = [sample_id for sample_id in order if sample_id in records]
    shown = [records[sample_id] for sample_id in ids]
    pictures = Pictures()
    made = thumbnails((image for record in shown for image in record.images), folder)
    given = [side.by_sample for side in answers]
    found = list(details(shown, sides, given, values, (pictures.place(one) for one in made)))
    total = source.record.data.samples
    notes = []
    if total > len(ids):
        notes.append(f"The page shows {len(ids):,} of {total:,} samples: the worst by {_title(source, lead)}.")
    return {
        "format": 1,
        "answer": source.task.answer,
        "runs": [side.record.model for side in sides],
        "lead": lead,
        "lead_title": ("change in " if len(sides) > 1 else "") + _title(source, lead),
        "fields": [
            {"name": name, "weight": one.weight, "comparator": str(one.comparator)}
            for name, one in source.task.fields.items()
        ],
        "metrics": [
            {
                "id": name,
                "title": entry.get("title") or name,
                "higher": bool(entry.get("higher_is_better", True)),
                "range": entry.get("range"),
                "unit": entry.get("unit") or "",
                "terms": composite_terms(entry.get("signature") or "", source.task.answer),
            }
            for name, entry in source.summary["metrics"].items()
            if any(name in side.metrics for side in answers)
        ],
        "ids": ids,
        "order": [chosen[sample_id] for sample_id in ids],
        "references": [coded(record.reference, names, values) for record in shown],
        "metadata": _metadata(shown, values),
        "answers": [side.columns(ids, list(source.summary["metrics"]), names) for side in answers],
        "values": values.entries,
        "reasons": reasons.entries,
        "pictured": any(record.images for record in shown),
        "chunk": CHUNK,
        "details": found,
        "pictures": list(pictures.inlined),
        "worst": list(_worst(ids, answers, lead, names)),
        "notes": notes,
        "profile": source.summary["run"].get("profile"),
    }


@dataclass(slots=True)
class _Side:
    """One run's answers by sample."""

    by_sample: dict[str, list[Answer]]
    metrics: list[str]

    def columns(self, ids: Sequence[str], metrics: Sequence[str], names: Sequence[str]) -> dict[str, Any]:
        """Return the answers column by column, in the order of the samples; an outcome is its place, ``-`` none."""
        rows = [(place, answer) for place, one in enumerate(ids) for answer in self.by_sample.get(one, ())]
        found: dict[str, Any] = {
            "of": [place for place, _ in rows],
            "repeat": [answer.repeat for _, answer in rows],
            "state": [answer.state for _, answer in rows],
            "values": [answer.given for _, answer in rows],
            "outcomes": [
                "".join(str(answer.fields[name][1]) if name in answer.fields else "-" for name in names)
                for _, answer in rows
            ],
            "scores": [
                [rounded(answer.fields[name][0]) if name in answer.fields else None for name in names]
                for _, answer in rows
            ],
            "metrics": {},
            "reasons": {},
        }
        for name in metrics:
            if name not in self.metrics:
                continue
            column = [rounded(answer.values.get(name)) for _, answer in rows]
            found["metrics"][name] = column if any(value is not None for value in column) else None
            why = [answer.reasons.get(name, -1) for _, answer in rows]
            if any(code >= 0 for code in why):
                found["reasons"][name] = why[0] if len(set(why)) == 1 else why
        return found

    def mean(self, sample_id: str, metric: str | None) -> float | None:
        known = [
            value
            for answer in self.by_sample.get(sample_id, ())
            if metric is not None and (value := answer.values.get(metric)) is not None
        ]
        return sum(known) / len(known) if known else None


def _leading(sides: Sequence[ReportSource]) -> str | None:
    """The metric that samples are ordered by: the first of the usual ones that every run has, else any."""
    scored = [
        {
            name
            for name, entry in side.summary["metrics"].items()
            if entry.get("value") is not None and entry.get("reduction") != "run"
        }
        for side in sides
    ]
    shared = set.intersection(*scored)
    known = [name for name in (*_LEADING, *sides[0].summary["metrics"]) if name in shared]
    return known[0] if known else None


def _title(source: ReportSource, metric: str | None) -> str:
    entry = source.summary["metrics"].get(metric) or {}
    return str(entry.get("title") or metric or "place in the data set")


def _upwards(source: ReportSource, metric: str | None) -> float:
    entry = source.summary["metrics"].get(metric) or {}
    return 1.0 if entry.get("higher_is_better", True) else -1.0


def _chosen(source: ReportSource, lead: str | None) -> dict[str, int]:
    """Sample ids that the page shows -> their place in the data set: all, or the worst where there are too many."""
    if source.record.data.samples <= MOST:
        places = ((record.id, place) for place, record in enumerate(source.directory.samples()))
        return dict(places)
    up = _upwards(source, lead)

    def ranked() -> Iterator[tuple[float, int, str]]:
        lines = groupby(source.directory.scores(), key=lambda row: row["sample_id"])
        for place, (sample_id, rows) in enumerate(lines):
            known = [value for row in rows if (value := (row["metrics"].get(lead) or {}).get("value")) is not None]
            yield (up * sum(known) / len(known) if known else math.inf), place, sample_id

    return {sample_id: place for _, place, sample_id in heapq.nsmallest(MOST, ranked())}


def _answers(side: ReportSource, chosen: Mapping[str, int], names: Sequence[str], reasons: Interned) -> _Side:
    found = _Side({}, [])
    metrics: dict[str, None] = {}
    for row in side.directory.scores():
        if row["sample_id"] not in chosen:
            continue
        scores: Mapping[str, Mapping[str, Any]] = row["metrics"]
        metrics |= dict.fromkeys(scores)
        answer = Answer(
            row["repeat"],
            row["state"],
            {name: one["value"] for name, one in scores.items()},
            {name: reasons.code(one["reason"]) for name, one in scores.items() if one.get("reason")},
            {
                name: (one["score"], OUTCOMES.index(one["outcome"]))
                for name, one in row["fields"].items()
                if name in names
            },
        )
        found.by_sample.setdefault(row["sample_id"], []).append(answer)
    found.metrics = list(metrics)
    return found


def _order(chosen: Mapping[str, int], answers: Sequence[_Side], lead: str | None, source: ReportSource) -> list[str]:
    """Worst first: by the score, or by what it changed where two runs are compared; unscored samples last."""
    up = _upwards(source, lead)

    def key(sample_id: str) -> tuple[float, int]:
        known = [side.mean(sample_id, lead) for side in answers]
        if any(value is None for value in known):
            return math.inf, chosen[sample_id]
        first, last = known[0], known[-1]
        assert first is not None
        assert last is not None
        return up * (round(last - first, 9) if len(known) > 1 else last), chosen[sample_id]

    return sorted(chosen, key=key)


def _metadata(records: Sequence[SampleRecord], values: Interned) -> dict[str, Any]:
    """Columns of the metadata that can be filtered by: single values, few enough of them to choose from."""
    keys = dict.fromkeys(key for record in records for key in record.metadata)
    most = max(12, min(200, len(records) // 4))
    found: list[list[Any]] = []
    for key in list(keys)[:50]:
        column = [record.metadata.get(key) for record in records]
        if any(isinstance(value, list | dict) for value in column):
            continue
        distinct = {(type(value), value) for value in column}
        if 1 < len(distinct) <= most:
            found.append(
                [
                    key,
                    [
                        values.code(value) if key in record.metadata else -1
                        for value, record in zip(column, records, strict=True)
                    ],
                ]
            )
    return {"columns": found}


def _worst(
    ids: Sequence[str], sides: Sequence[_Side], lead: str | None, names: Sequence[str]
) -> Iterator[dict[str, Any]]:
    """The first samples in words, for paper: the score, or what it changed, and what the last run got wrong."""
    for sample_id in ids[:WORST_LISTED]:
        answers = sides[-1].by_sample.get(sample_id, [])
        missed = [
            f"{name} {OUTCOMES[code].replace('_', ' ')}"
            for name in names
            for code in sorted({answer.fields[name][1] for answer in answers if name in answer.fields})
            if code not in _CORRECT
        ]
        first, last = (sides[at].mean(sample_id, lead) for at in (0, -1))
        if len(sides) > 1 and last is not None:
            last = None if first is None else last - first
        states = dict.fromkeys(answer.state.replace("_", "-") for answer in answers)
        yield {"id": sample_id, "score": last, "state": ", ".join(states), "missed": ", ".join(missed)}
