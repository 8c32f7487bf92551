"""The sample browser of a page: every sample of a run, worst first, with what was asked, answered and scored.

The data come in two kinds. The index holds what lists, filters and sorting need, column by column; the details hold
texts and pictures, in chunks that the page reads when a sample of theirs is looked at. Nothing here is HTML: the page
puts every value in as text.
"""

from __future__ import annotations

import heapq
import json
import math
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass, field
from itertools import groupby
from pathlib import Path
from typing import Any

from peakbench.datasets import SampleRecord
from peakbench.parsing import read
from peakbench.records import OUTCOMES, Completion, JSONValue, Prediction
from peakbench.report.html.composites import composite_terms
from peakbench.report.html.page import embedded_json
from peakbench.report.html.source import ReportSource
from peakbench.report.html.thumbnails import Thumbnail, thumbnails
from peakbench.scoring import read_under

MOST = 20_000
"""Samples on a page at most; of a larger run the worst ones are shown."""

CHUNK = 200
"""Samples whose details are read together."""

TEXT_SHOWN = 20_000
"""Characters of one text (answer, reasoning, prompt, reference) at most."""

TEXTS_SHOWN = 16_000_000
"""Characters of all texts together, beyond which one is cut after ``TEXT_AFTER``."""

TEXT_AFTER = 400
VALUE_SHOWN = 2_000
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
    details: Sequence[Any] = payload.pop("details")
    pictures: Sequence[str] = payload.pop("pictures")
    return {
        "samples_json": embedded_json({**payload, "worst": None}),
        "samples_details": [embedded_json(chunk) for chunk in details],
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
    values, reasons = _Interned(), _Interned()
    names = list(source.task.fields)
    answers = [_answers(side, chosen, names, reasons) for side in sides]
    order = _order(chosen, answers, lead, source)
    records = {record.id: record for record in source.directory.samples() if record.id in chosen}
    ids = [sample_id for sample_id in order if sample_id in records]
    shown = [records[sample_id] for sample_id in ids]
    pictures = _Pictures()
    made = thumbnails((image for record in shown for image in record.images), folder)
    details = list(_details(shown, sides, answers, values, (pictures.place(one) for one in made)))
    total = source.record.data.samples
    notes = []
    if total > len(ids):
        notes.append(f"The page shows {len(ids):,} of {total:,} samples: those with the lowest {_title(source, lead)}.")
    return {
        "format": 1,
        "answer": source.task.answer,
        "runs": [side.record.model for side in sides],
        "lead": lead,
        "lead_title": _title(source, lead),
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
        "references": [_coded(record.reference, names, values) for record in shown],
        "metadata": _metadata(shown, values),
        "answers": [side.columns(ids, list(source.summary["metrics"]), names) for side in answers],
        "values": values.entries,
        "reasons": reasons.entries,
        "chunk": CHUNK,
        "details": details,
        "pictures": list(pictures.inlined),
        "worst": list(_worst(ids, answers[-1], lead, names)),
        "notes": notes,
        "profile": source.summary["run"].get("profile"),
    }


class _Interned:
    """Values that stand often, each once: a text as itself, anything else as its JSON text in a list of one."""

    def __init__(self) -> None:
        self.entries: list[str | list[str]] = []
        self._places: dict[tuple[bool, str], int] = {}

    def code(self, value: JSONValue) -> int:
        plain = isinstance(value, str)
        key = plain, _bounded(value if plain else _json(value), VALUE_SHOWN)
        if key not in self._places:
            self._places[key] = len(self.entries)
            self.entries.append(key[1] if plain else [key[1]])
        return self._places[key]


@dataclass(slots=True)
class _Answer:
    """One line of scores.jsonl, as far as the index needs it, and the values as they were read."""

    repeat: int
    state: str
    values: Mapping[str, float | None]
    reasons: Mapping[str, int]
    fields: Mapping[str, tuple[float, int]]
    given: list[int] = field(default_factory=list)


@dataclass(slots=True)
class _Side:
    """One run's answers by sample."""

    by_sample: dict[str, list[_Answer]]
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
                [_rounded(answer.fields[name][0]) if name in answer.fields else None for name in names]
                for _, answer in rows
            ],
            "metrics": {},
            "reasons": {},
        }
        for name in metrics:
            if name not in self.metrics:
                continue
            column = [_rounded(answer.values.get(name)) for _, answer in rows]
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


def _answers(side: ReportSource, chosen: Mapping[str, int], names: Sequence[str], reasons: _Interned) -> _Side:
    found = _Side({}, [])
    metrics: dict[str, None] = {}
    for row in side.directory.scores():
        if row["sample_id"] not in chosen:
            continue
        scores: Mapping[str, Mapping[str, Any]] = row["metrics"]
        metrics |= dict.fromkeys(scores)
        answer = _Answer(
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


def _details(
    records: Sequence[SampleRecord],
    sides: Sequence[ReportSource],
    answers: Sequence[_Side],
    values: _Interned,
    pictures: Iterator[dict[str, Any]],
) -> Iterator[list[dict[str, Any]]]:
    """Yield the details chunk by chunk, and fill in the values that the answers gave."""
    names, texts = list(sides[0].task.fields), _Texts()
    readers = [_Reader(side, given, values, names, texts) for side, given in zip(sides, answers, strict=True)]
    for start in range(0, len(records), CHUNK):
        chunk = []
        for record in records[start : start + CHUNK]:
            one: dict[str, Any] = {"images": [_image(image, next(pictures)) for image in record.images]}
            if record.prompt:
                one["prompt"] = texts.cut(record.prompt)
            if isinstance(record.reference, str):
                one["reference"] = texts.cut(record.reference)
            elif record.reference is None:
                one["unlabelled"] = True
            one["metadata"] = [[_bounded(str(key), 200), _shown(value)] for key, value in record.metadata.items()]
            one["runs"] = [reader.read(record.id) for reader in readers]
            chunk.append(one)
        yield chunk
    for reader in readers:
        reader.index.close()
    next(pictures, None)  # lets them tidy up


class _Texts:
    """Cuts texts, sparingly while there is room for all, then short."""

    def __init__(self) -> None:
        self._left = TEXTS_SHOWN

    def cut(self, text: str) -> str | list[str | int]:
        """Return the text, or its beginning and how many characters are missing."""
        limit = TEXT_SHOWN if self._left > 0 else TEXT_AFTER
        self._left -= min(len(text), limit)
        return text if len(text) <= limit else [text[:limit], len(text) - limit]


class _Reader:
    """Reads one run's answers, as they were last scored."""

    def __init__(
        self, side: ReportSource, answers: _Side, values: _Interned, names: Sequence[str], texts: _Texts
    ) -> None:
        self.index = side.directory.index()
        self._side, self._answers, self._values, self._names, self._texts = side, answers, values, names, texts
        run = side.summary["run"]
        self._repair = bool(run.get("repair", side.record.repair))
        self._profile = run.get("profile")

    def read(self, sample_id: str) -> list[dict[str, Any]]:
        """Return what is known about each answer to a sample, one a repeat."""
        found = []
        task = self._side.task
        for answer in self._answers.by_sample.get(sample_id, ()):
            completion = self.index.get(sample_id, answer.repeat)
            if completion is None:
                answer.given = [-1] * len(self._names)
                found.append({})
                continue
            prediction = read(completion, keys=task.keys, answer=task.answer, repair=self._repair)
            as_scored = read_under(prediction, task, self._profile)
            answer.given = _coded(as_scored.value if as_scored.read else None, self._names, self._values)
            found.append({**self._completion(completion), **_prediction(prediction)})
        return found

    def _completion(self, completion: Completion) -> dict[str, Any]:
        known: dict[str, Any] = {"attempts": completion.attempts, "request": completion.request_sha256}
        if completion.failure is not None:
            failure = completion.failure
            known["failure"] = [failure.kind, failure.http_status, _bounded(failure.message, VALUE_SHOWN)]
        response = completion.response
        if response is not None:
            for name, text in (
                ("text", response.text),
                ("reasoning", response.reasoning),
                ("refusal", response.refusal),
            ):
                if text is not None:
                    known[name] = self._texts.cut(text)
            known["finish"] = response.finish_reason
            known["model"] = response.model if response.model != self._side.record.model else None
            if completion.started_at is not None:
                known |= {"latency": _rounded(response.latency_s), "ttft": _rounded(response.ttft_s)}
            tokens = response.usage if isinstance(response.usage, Mapping) else {}
            known["tokens"] = [
                [str(key)[:100], value] for key, value in tokens.items() if type(value) is int and abs(value) < 2**53
            ][:20]
        return {name: value for name, value in known.items() if value not in (None, [], 0)}


def _prediction(prediction: Prediction) -> dict[str, Any]:
    known: dict[str, Any] = {}
    if prediction.problem is not None and prediction.state != "failed":
        problem = prediction.problem
        known["problem"] = [problem.reason, problem.position, _bounded(problem.detail, VALUE_SHOWN)]
    if prediction.truncated:
        known["truncated"] = True
    if prediction.duplicates:
        known["duplicates"] = prediction.duplicates
    if prediction.extra:
        known["extra"] = [_bounded(str(name), 200) for name in prediction.extra[:50]]
    return known


class _Pictures:
    """The pictures inside the page, each once, however many samples show it."""

    def __init__(self) -> None:
        self.inlined: dict[str, int] = {}

    def place(self, picture: Thumbnail) -> dict[str, Any]:
        """Return where a thumbnail is: the number of a picture inside the page, or an address beside it."""
        source: str | int | None = picture.source
        if picture.source is not None and picture.source.startswith("data:"):
            source = self.inlined.setdefault(picture.source, len(self.inlined))
        return {"source": source, "note": picture.note}


def _image(image: Any, picture: Mapping[str, Any]) -> dict[str, Any]:
    name = Path(image.path).name if image.path else None
    known = {
        "name": name or image.url,
        "label": image.label,
        "width": image.width,
        "height": image.height,
        "bytes": image.bytes or None,
        **picture,
    }
    return {key: value for key, value in known.items() if value is not None}


def _coded(value: JSONValue, names: Sequence[str], values: _Interned) -> list[int]:
    """Codes of an object's values in the order of the fields, -1 where the key is not there."""
    if not isinstance(value, Mapping):
        return [-1] * len(names)
    return [values.code(value[name]) if name in value else -1 for name in names]


def _metadata(records: Sequence[SampleRecord], values: _Interned) -> dict[str, Any]:
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


def _worst(ids: Sequence[str], side: _Side, lead: str | None, names: Sequence[str]) -> Iterator[dict[str, Any]]:
    """The first samples in words, for paper."""
    for sample_id in ids[:WORST_LISTED]:
        answers = side.by_sample.get(sample_id, [])
        missed = [
            f"{name} {OUTCOMES[code].replace('_', ' ')}"
            for name in names
            for code in {answer.fields[name][1] for answer in answers if name in answer.fields}
            if code not in _CORRECT
        ]
        states = dict.fromkeys(answer.state.replace("_", "-") for answer in answers)
        yield {
            "id": sample_id,
            "score": side.mean(sample_id, lead),
            "state": ", ".join(states),
            "missed": ", ".join(missed),
        }


def _bounded(text: str, limit: int) -> str:
    return text if len(text) <= limit else f"{text[:limit]}… ({len(text) - limit:,} more)"


def _json(value: JSONValue) -> str:
    try:
        return json.dumps(value, ensure_ascii=False)
    except (ValueError, TypeError, RecursionError):
        return "(cannot be shown)"


def _shown(value: JSONValue) -> str:
    return _bounded(value if isinstance(value, str) else _json(value), VALUE_SHOWN)


def _rounded(value: float | None) -> float | int | None:
    """Six digits after the point are more than a page shows; a whole number is written as one."""
    if value is None or not math.isfinite(value):
        return None
    short = round(value, 6)
    return int(short) if short == int(short) else short
