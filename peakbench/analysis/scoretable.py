"""A run's scores sample by sample, as arrays: what comparisons, gates and baselines are made of.

One sample is one row; its repeats are averaged into it, as in the run's own numbers. A metric is a pair of columns
whose sums' ratio is the run's value: (value, 1) of a mean or a rate, (numerator, denominator) of a pooled metric; an
unscored row is (0, 0).
"""

from __future__ import annotations

import hashlib
from collections.abc import Iterable, Mapping
from dataclasses import dataclass, field
from typing import Any, Literal

import numpy as np
import orjson

from peakbench.errors import StoreError
from peakbench.metrics.base import Floats
from peakbench.records import OUTCOMES, Reference
from peakbench.store import RunDirectory

Reduction = Literal["mean", "pooled", "rate"]
REDUCTIONS: frozenset[str] = frozenset({"mean", "pooled", "rate"})
"""The reductions that samples can be held against each other by; timings and numbers of a whole run cannot."""

_CODES = {outcome: code for code, outcome in enumerate(OUTCOMES)}


@dataclass(frozen=True, slots=True)
class MetricColumns:
    """One metric: what it declares, and n rows.

    ``above``, ``below``: shape (n,), (0, 0) where unscored. ``binary``: no repeats, and every value 0 or 1.
    ``problem``: why the metric has no rows to compare, None where it has.
    """

    signature: str
    reduction: Reduction
    low: float | None
    high: float | None
    higher_is_better: bool
    above: Floats
    below: Floats
    binary: bool = False
    title: str = ""
    problem: str | None = None


@dataclass(frozen=True, slots=True)
class FieldColumns:
    """One field: n rows.

    ``score``, ``asked``: shape (n,): mean score over the repeats, and 1 where the reference has the field and an answer
    came, else 0. ``outcomes``: shape (n, 6), the share of the repeats with each outcome, in the order of ``OUTCOMES``.
    """

    signature: str | None
    weight: float
    score: Floats
    asked: Floats
    outcomes: Floats

    @property
    def correct(self) -> Floats:
        """Share of the repeats that are correct or correct_null, shape (n,)."""
        return self.outcomes[:, _CODES["correct"]] + self.outcomes[:, _CODES["correct_null"]]


@dataclass(frozen=True, slots=True)
class Origin:
    """Where scores come from. ``responses_sha256`` is over the journal: two runs never share it."""

    model: str
    path: str
    created_at: str
    task_id: str
    task_version: int
    data_name: str
    data_fingerprint: str
    samples: int
    responses_sha256: str
    profile: str | None = None


@dataclass(frozen=True, slots=True)
class ScoreTable:
    """The scores of one run: one row a sample that was asked, in the order of the data set.

    ``references``: a digest of each row's reference. ``failed``: shape (n,), the share of a row's answers that failed.
    ``repeats``: how often each sample was asked.
    """

    origin: Origin
    ids: tuple[str, ...]
    references: tuple[str, ...]
    failed: Floats
    repeats: int
    metrics: Mapping[str, MetricColumns]
    fields: Mapping[str, FieldColumns]
    places: Mapping[str, int] = field(repr=False, default_factory=dict)

    def __post_init__(self) -> None:
        if not self.places:
            object.__setattr__(self, "places", {sample_id: row for row, sample_id in enumerate(self.ids)})


def reference_digest(reference: Reference) -> str:
    """Return 16 hex digits that tell one reference from another.

    >>> reference_digest({"a": 1, "b": None}) == reference_digest({"b": None, "a": 1})
    True
    """
    try:
        text = orjson.dumps(reference, option=orjson.OPT_SORT_KEYS | orjson.OPT_NON_STR_KEYS)
    except TypeError:  # an integer of more than 64 bits, half a surrogate pair
        text = repr(sorted(reference.items()) if isinstance(reference, Mapping) else reference).encode(
            "utf-8", "replace"
        )
    return hashlib.sha256(text).hexdigest()[:16]


def read_scores(run: RunDirectory) -> ScoreTable:
    """Read the scores of a finished run.

    Raises:
        StoreError: the run is unfinished, or a file is damaged.
    """
    summary = run.summary()
    if summary is None:
        raise StoreError(
            "the run is unfinished: it has no summary",
            where=str(run.path),
            hint=f"finish it: peakbench run --resume --out {run.path}; or score what is there: "
            f"peakbench score {run.path}",
        )
    entries = {name: entry for name, entry in summary["metrics"].items() if _reduction(entry) in REDUCTIONS}
    rows = _Rows(list(entries), list(summary["fields"]))
    for line in run.scores():
        rows.add(line)
    rows.close()
    digests = {sample.id: reference_digest(sample.reference) for sample in run.samples()}
    record = run.run
    return ScoreTable(
        origin=Origin(
            model=record.model,
            path=str(run.path),
            created_at=record.created_at,
            task_id=record.task.id,
            task_version=record.task.version,
            data_name=record.data.name,
            data_fingerprint=record.data.fingerprint,
            samples=record.data.samples,
            responses_sha256=run.responses_sha256(),
            profile=summary["run"].get("profile"),
        ),
        ids=tuple(rows.ids),
        references=tuple(digests.get(sample_id, "") for sample_id in rows.ids),
        failed=np.array(rows.failed),
        repeats=record.repeats,
        metrics={name: rows.metric(name, entry) for name, entry in entries.items()},
        fields={name: rows.field(name, entry) for name, entry in summary["fields"].items()},
    )


def _reduction(entry: Mapping[str, Any]) -> str:
    # Runs that were scored before the reduction was written have a unit for timings, and a range for the rest.
    return entry.get("reduction") or ("median" if entry.get("unit") else "unknown")


class _Rows:
    """Lines of scores.jsonl in, one row a sample out; the lines of one sample stand together."""

    def __init__(self, metrics: list[str], fields: list[str]) -> None:
        self.ids: list[str] = []
        self.failed: list[float] = []
        self._metrics: dict[str, list[tuple[float, float]]] = {name: [] for name in metrics}
        self._fields: dict[str, list[tuple[float, ...]]] = {name: [] for name in fields}
        self._open: list[dict[str, Any]] = []
        self._without_sums: set[str] = set()
        self._repeated = False

    def add(self, line: dict[str, Any]) -> None:
        """Take one line."""
        if self._open and self._open[0]["sample_id"] != line["sample_id"]:
            self.close()
        self._open.append(line)

    def close(self) -> None:
        """End the sample at hand."""
        lines, self._open = self._open, []
        if not lines:
            return
        self._repeated |= len(lines) > 1
        self.ids.append(lines[0]["sample_id"])
        self.failed.append(sum(line["state"] == "failed" for line in lines) / len(lines))
        for name, column in self._metrics.items():
            found = [line["metrics"].get(name) or {} for line in lines]
            scored = [one for one in found if one.get("value") is not None]
            if any("sums" not in one for one in scored):
                self._without_sums.add(name)
            if not scored:
                column.append((0.0, 0.0))
            elif all("sums" in one for one in scored):
                above, below = (sum(one["sums"][part] for one in scored) / len(scored) for part in (0, 1))
                column.append((above, below))
            else:
                column.append((sum(one["value"] for one in scored) / len(scored), 1.0))
        for name, cells in self._fields.items():
            asked = [line["fields"][name] for line in lines if name in line["fields"]]
            shares = [0.0] * len(OUTCOMES)
            for one in asked:
                shares[_CODES[one["outcome"]]] += 1 / len(asked)
            score = sum(one["score"] for one in asked) / len(asked) if asked else 0.0
            cells.append((score, float(bool(asked)), *shares))

    def metric(self, name: str, entry: Mapping[str, Any]) -> MetricColumns:
        """Return a metric's columns."""
        table = np.array(self._metrics[name], dtype=np.float64).reshape(-1, 2)
        above, below = np.ascontiguousarray(table[:, 0]), np.ascontiguousarray(table[:, 1])
        problem = None
        if not below.any():
            problem = f"unscored: {entry.get('reason') or 'no reason given'}"
        elif entry["reduction"] == "pooled" and name in self._without_sums:
            problem = "scored by an older PeakBench, without its sums; score the run again"
        whole = not self._repeated and bool((((above == 0) | (above == 1)) & (below <= 1)).all())
        low, high = entry["range"]
        return MetricColumns(
            signature=entry["signature"],
            reduction=entry["reduction"],
            low=low,
            high=high,
            higher_is_better=entry["higher_is_better"],
            above=above,
            below=below,
            binary=whole and entry["reduction"] != "pooled",
            title=entry.get("title", ""),
            problem=problem,
        )

    def field(self, name: str, entry: Mapping[str, Any]) -> FieldColumns:
        """Return a field's columns."""
        table = np.array(self._fields[name], dtype=np.float64).reshape(-1, 2 + len(OUTCOMES))
        return FieldColumns(
            signature=entry.get("signature"),
            weight=float(entry.get("weight", 1.0)),
            score=np.ascontiguousarray(table[:, 0]),
            asked=np.ascontiguousarray(table[:, 1]),
            outcomes=np.ascontiguousarray(table[:, 2:]),
        )


def shared_ids(first: ScoreTable, second: ScoreTable) -> Iterable[str]:
    """Yield the ids that two tables share, with the same reference, in the order of the first."""
    for row, sample_id in enumerate(first.ids):
        other = second.places.get(sample_id)
        if other is not None and first.references[row] == second.references[other]:
            yield sample_id
