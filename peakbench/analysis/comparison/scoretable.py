"""A run's scores sample by sample, as arrays: what comparisons, gates and baselines are made of.

One sample is one row; its repeats are averaged into it, as in the run's own numbers. A metric is a pair of columns
whose sums' ratio is the run's value: (value, 1) of a mean or a rate, (numerator, denominator) of a pooled metric; an
unscored row is (0, 0).
"""

from __future__ import annotations

import hashlib
import math
from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass, field
from typing import Any, Literal

import numpy as np
import orjson

from peakbench.errors import StoreError
from peakbench.metrics.base import Floats
from peakbench.records import OUTCOMES, Reference
from peakbench.store import RunDirectory
from peakbench.store.directory import SCORES, SUMMARY

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

    @property
    def sound(self) -> bool:
        """Whether every value is a number inside the range."""
        return _inside(self.above, self.below, self.low, self.high)


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

    @property
    def sound(self) -> bool:
        """Whether every score is a number in [0, 1]."""
        return _inside(self.score, self.asked, 0.0, 1.0)


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
    again = f"score the run again: peakbench score {run.path}"
    odd_summary = StoreError("not the summary of a run", where=str(run.path / SUMMARY), hint=again)
    try:
        entries = {name: entry for name, entry in summary["metrics"].items() if _has_rows(entry)}
        rows = _Rows(list(entries), list(summary["fields"]))
        answers, profile = summary["samples"]["answers"], summary["run"].get("profile")
    except (KeyError, TypeError, AttributeError):
        raise odd_summary from None
    count = rows.read(run)
    if count != answers:
        words = f"{count} lines, where the run has {answers} answers"
        raise StoreError(words, where=str(run.path / SCORES), expected="a line for each answer", hint=again)
    try:
        metrics = {name: rows.metric(name, entry) for name, entry in entries.items()}
        fields = {name: rows.field(name, entry) for name, entry in summary["fields"].items()}
    except (KeyError, TypeError, ValueError, AttributeError):
        raise odd_summary from None
    odd = [name for name, one in metrics.items() if not one.sound] + [n for n, one in fields.items() if not one.sound]
    if odd:
        words = f"a value of {odd[0]} is no number, or lies outside its range"
        raise StoreError(words, where=str(run.path / SCORES), hint=again)
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
            profile=profile,
        ),
        ids=tuple(rows.ids),
        references=tuple(digests.get(sample_id, "") for sample_id in rows.ids),
        failed=np.array(rows.failed),
        repeats=record.repeats,
        metrics=metrics,
        fields=fields,
    )


def _inside(above: Floats, below: Floats, low: float | None, high: float | None) -> bool:
    if not (np.isfinite(above).all() and np.isfinite(below).all() and (below >= 0).all()):
        return False
    slack = _SLACK * np.maximum(1.0, below)
    return (low is None or bool((above >= low * below - slack).all())) and (
        high is None or bool((above <= high * below + slack).all())
    )


def _has_rows(entry: Mapping[str, Any]) -> bool:
    # A run that was scored before the reduction was written has a unit for timings alone; see _Rows.metric.
    return entry["reduction"] in REDUCTIONS if "reduction" in entry else not entry.get("unit")


_SLACK = 1e-6
_UNSCORED = (0.0, 0.0)
_ABSENT = (0.0,) * (2 + len(OUTCOMES))


def _cell(entry: Mapping[str, Any]) -> tuple[float, ...]:
    """Return score, 1, and 1 at the outcome."""
    code = _CODES[entry["outcome"]]
    return (entry["score"], 1.0, *(float(at == code) for at in range(len(OUTCOMES))))


def _averaged(repeats: Sequence[tuple[float, ...] | None], absent: tuple[float, ...] = _UNSCORED) -> tuple[float, ...]:
    """Return the mean of the repeats that there are."""
    found = [one for one in repeats if one is not None]
    if len(found) == 1:
        return found[0]
    return tuple(math.fsum(part) / len(found) for part in zip(*found, strict=True)) if found else absent


class _Rows:
    """Lines of scores.jsonl in, one row a sample out; the lines of one sample stand together."""

    def __init__(self, metrics: list[str], fields: list[str]) -> None:
        self.ids: list[str] = []
        self.failed: list[float] = []
        self._metrics: dict[str, list[tuple[float, ...]]] = {name: [] for name in metrics}
        self._fields: dict[str, list[tuple[float, ...]]] = {name: [] for name in fields}
        self._open: list[dict[str, Any]] = []
        self._without_sums: set[str] = set()
        self._repeated = False

    def read(self, run: RunDirectory) -> int:
        """Take all lines of a run, and return how many there are.

        Raises:
            StoreError: a line is damaged.
        """
        count = 0
        try:
            for count, line in enumerate(run.scores(), start=1):  # noqa: B007 - named where it goes wrong
                self._add(line)
            self._close()
        except (KeyError, TypeError, AttributeError, ValueError):
            where, hint = f"{run.path / SCORES}:{count}", f"score the run again: peakbench score {run.path}"
            raise StoreError("not a line of scores, here or just before", where=where, hint=hint) from None
        return count

    def _add(self, line: dict[str, Any]) -> None:
        if self._open and self._open[0]["sample_id"] != line["sample_id"]:
            self._close()
        self._open.append(line)

    def _close(self) -> None:
        lines, self._open = self._open, []
        if not lines:
            return
        self._repeated |= len(lines) > 1
        self.ids.append(lines[0]["sample_id"])
        self.failed.append(sum(line["state"] == "failed" for line in lines) / len(lines))
        for name, column in self._metrics.items():
            column.append(_averaged([self._sums(name, line["metrics"].get(name)) for line in lines]))
        for name, cells in self._fields.items():
            cells.append(_averaged([_cell(line["fields"][name]) for line in lines if name in line["fields"]], _ABSENT))

    def _sums(self, name: str, entry: Mapping[str, Any] | None) -> tuple[float, ...] | None:
        if entry is None or entry["value"] is None:
            return None
        if "sums" in entry:
            above, below = entry["sums"]
            return above, below
        self._without_sums.add(name)
        return entry["value"], 1.0

    def metric(self, name: str, entry: Mapping[str, Any]) -> MetricColumns:
        """Return a metric's columns."""
        table = np.array(self._metrics[name], dtype=np.float64).reshape(-1, 2)
        above, below = np.ascontiguousarray(table[:, 0]), np.ascontiguousarray(table[:, 1])
        reduction, problem = entry.get("reduction"), None
        if not below.any():
            problem = f"unscored: {entry.get('reason') or 'no reason given'}"
        elif reduction is None or (reduction == "pooled" and name in self._without_sums):
            problem = "scored by an older PeakBench; score the run again"
        whole = not self._repeated and bool((((above == 0) | (above == 1)) & (below <= 1)).all())
        low, high = entry["range"]
        return MetricColumns(
            signature=entry["signature"],
            reduction=reduction or "mean",
            low=low,
            high=high,
            higher_is_better=entry["higher_is_better"],
            above=above,
            below=below,
            binary=whole and reduction != "pooled",
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
