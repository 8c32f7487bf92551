"""What quantization cost and what training added: every pair among runs, or among the rows of a published table.

Between two runs the difference is paired sample by sample, with its interval, and judged against a margin as the gate
judges (:func:`peakbench.analysis.gating.judgement.judge`). A published table holds no samples: its differences stand
alone.
"""

from __future__ import annotations

import html
from collections.abc import Iterable, Iterator, Mapping, Sequence
from dataclasses import dataclass, field, replace
from functools import lru_cache
from pathlib import Path
from typing import TYPE_CHECKING, Any, Literal

import numpy as np

from peakbench.analysis.comparison.changes import Change, with_holm
from peakbench.analysis.comparison.scoretable import ScoreTable, read_scores
from peakbench.analysis.frames import frame
from peakbench.analysis.gating.judgement import DEFAULT_METRICS, Gated, Outcome, judge
from peakbench.analysis.lineage.kinship import Candidate, Pair, find_pairs, why_alone
from peakbench.analysis.lineage.models import lineage_of
from peakbench.analysis.lineage.names import fold
from peakbench.analysis.lineage.published import PublishedTable
from peakbench.errors import InputError, NotComparable, StoreError, nearest
from peakbench.statistics import student
from peakbench.store import RunDirectory

if TYPE_CHECKING:
    import pandas as pd

Verdict = Literal["no worse", "worse", "cannot tell", "not comparable", "no samples"]
_VERDICTS: Mapping[Outcome, Verdict] = {
    "passed": "no worse",
    "fell": "worse",
    "undecided": "cannot tell",
    "not comparable": "not comparable",
}
NO_SAMPLES = "no samples: no interval"
FEWEST_FOR_MEAN, FEWEST_FOR_INTERVAL = 2, 3


@dataclass(frozen=True, slots=True)
class Held:
    """One metric of a pair against the margin: its change from the base to the other, and what that says.

    ``reasons``: why the verdict is what it is. ``needed``: samples that would let an equal model pass with a power of
    80 %; ``needed_seen``: samples that would decide it if the difference seen is the true one.
    """

    change: Change
    verdict: Verdict
    reasons: tuple[str, ...] = ()
    needed: int | None = None
    needed_seen: int | None = None

    def as_dict(self) -> dict[str, Any]:
        """Return it as JSON values."""
        return {
            "name": self.change.name,
            "verdict": self.verdict,
            "reasons": list(self.reasons),
            "needed": self.needed,
            "needed_seen": self.needed_seen,
            "change": self.change.as_dict(),
        }


@dataclass(frozen=True, slots=True)
class Finding:
    """A pair with its numbers. ``reason``: why there are none, or None. ``notes``: what else is to be known."""

    pair: Pair
    base: Candidate
    other: Candidate
    metrics: tuple[Held, ...] = ()
    fields: tuple[Change, ...] = ()
    reason: str | None = None
    notes: tuple[str, ...] = ()

    def as_dict(self) -> dict[str, Any]:
        """Return it as JSON values."""
        return {
            "kind": self.pair.kind,
            "added": self.pair.added,
            "base": _candidate_dict(self.base),
            "other": _candidate_dict(self.other),
            "named": self.pair.named,
            "inferred": self.pair.inferred,
            "flags": list(self.pair.flags),
            "metrics": [one.as_dict() for one in self.metrics],
            "fields": [one.as_dict() for one in self.fields],
            "reason": self.reason,
            "notes": list(self.notes),
        }


@dataclass(frozen=True, slots=True)
class Effect:
    """The mean difference over the pairs of one kind that nothing else is known to tell apart.

    ``low``, ``high``: Student's interval, pairs being what is drawn, from three pairs on. ``models``: families and
    sizes among them; pairs of one model are less than independent. ``left_out``: flagged, or without a number.
    """

    kind: str
    added: str
    metric: str
    pairs: int
    models: int
    left_out: int
    value: float | None
    low: float | None
    high: float | None

    def as_dict(self) -> dict[str, Any]:
        """Return it as JSON values."""
        return {name: getattr(self, name) for name in self.__dataclass_fields__}


@dataclass(frozen=True, slots=True)
class Pairs:
    """All pairs of some runs, or of a published table.

    ``alone``: candidates without the pair that was looked for, each with the words why. ``published``: from a table.
    """

    findings: tuple[Finding, ...]
    effects: tuple[Effect, ...]
    candidates: tuple[Candidate, ...]
    alone: tuple[tuple[Candidate, str], ...]
    margin: float
    published: bool
    notes: tuple[str, ...] = ()
    resamples: int = field(default=0)
    seed: int = field(default=0)

    def __iter__(self) -> Iterator[Finding]:
        return iter(self.findings)

    def __len__(self) -> int:
        return len(self.findings)

    def as_dict(self) -> dict[str, Any]:
        """Return it as JSON values."""
        return {
            "format": 1,
            "margin": self.margin,
            "published": self.published,
            "pairs": [one.as_dict() for one in self.findings],
            "effects": [one.as_dict() for one in self.effects],
            "alone": [{**_candidate_dict(one), "reason": reason} for one, reason in self.alone],
            "notes": list(self.notes),
            "resamples": {"n": self.resamples, "seed": self.seed},
        }

    def rows(self) -> list[dict[str, Any]]:
        """Return one flat row a pair and metric or field."""
        rows = []
        for number, one in enumerate(self.findings, start=1):
            head = {
                "pair": number,
                "pair_kind": one.pair.kind,
                "added": one.pair.added,
                "base": one.base.name,
                "base_where": one.base.where,
                "other": one.other.name,
                "other_where": one.other.where,
                "flags": "; ".join(one.pair.flags),
            }
            for held in one.metrics:
                rows.append({**head, **_flat(held.change), "verdict": held.verdict})
            rows += [{**head, **_flat(change), "verdict": None} for change in one.fields]
        return rows

    def to_pandas(self) -> pd.DataFrame:
        """Return :meth:`rows` as a table.

        Raises:
            MissingDependency: pandas is not installed.
        """
        return frame(self.rows())

    def _repr_html_(self) -> str:
        def number(value: float | None, form: str = ".3f") -> str:
            return "–" if value is None else format(value, form)

        rows = []
        for one in self.findings:
            for held in one.metrics:
                change = held.change
                cells = [
                    html.escape(f"{one.pair.kind}: {one.pair.added}" + ("" if one.pair.clean else " ~")),
                    html.escape(one.other.name),
                    html.escape(one.base.name),
                    html.escape(change.name),
                    number(change.first),
                    number(change.second),
                    number(change.value, "+.3f"),
                    "–" if change.low is None else f"{change.low:+.3f} to {change.high:+.3f}",
                    number(change.p_holm, ".4f"),
                    held.verdict,
                ]
                rows.append("<tr>" + "".join(f"<td>{cell}</td>" for cell in cells) + "</tr>")
        names = ("pair", "model", "against", "metric", "base", "model", "change", "95 %", "p (Holm)", "verdict")
        head = "".join(f"<th>{name}</th>" for name in names)
        title = f"{len(self.findings)} pairs among {len(self.candidates)} models, margin {self.margin:g}"
        return f"<p><b>{title}</b></p><table><thead><tr>{head}</tr></thead><tbody>{''.join(rows)}</tbody></table>"


def run_pairs(
    runs: Sequence[RunDirectory],
    *,
    metrics: Sequence[str] | None = None,
    margin: float = 0.01,
    resamples: int = 10_000,
    seed: int = 0,
) -> Pairs:
    """Find the pairs among runs over the same data and task, and hold each against the other.

    A base run that a run names is read too where it is not among them. Holm's correction is over the pairs: all
    metrics one family, all fields another.

    Args:
        runs: finished runs.
        metrics: ids; None: quality, and weighted_score where a pair has no quality.
        margin: a fraction in [0, 0.5); a loss within it counts as no worse.
        resamples, seed: of intervals and tests.

    Raises:
        StoreError: a run is unfinished or damaged.
        ConfigError: the margin cannot be used.
        InputError: a metric that no run has.
    """
    directories, candidates, notes = _run_candidates(runs)
    for run in directories:
        left = ((run.summary() or {}).get("samples") or {}).get("unasked")
        if left:
            notes.append(f"{left:,} requests of {run.path} were not asked yet")
    found = find_pairs(candidates)
    tables = lru_cache(maxsize=8)(lambda place: read_scores(directories[place]))
    if metrics is not None:
        known = dict.fromkeys(name for place in range(len(directories)) for name in tables(place).metrics)
        for name in metrics:
            if name not in known:
                raise InputError(f"no metric '{name}' in these runs", hint=nearest(name, known))
    findings = []
    for one in found:
        findings.append(
            _held(
                Finding(one, candidates[one.base], candidates[one.other]),
                tables(one.base),
                tables(one.other),
                metrics=metrics,
                margin=margin,
                resamples=resamples,
                seed=seed,
            )
        )
    findings = _corrected(findings)
    return Pairs(
        tuple(findings),
        tuple(_effects(findings)),
        tuple(candidates),
        tuple(_alone(candidates, found)),
        margin,
        published=False,
        notes=tuple(notes),
        resamples=resamples,
        seed=seed,
    )


def table_pairs(table: PublishedTable, *, metrics: Sequence[str] | None = None, margin: float = 0.01) -> Pairs:
    """Find the pairs among the rows of a published table, with the plain differences of their scores.

    Args:
        table: its rows and scores.
        metrics: names of columns, with or without ``_pct``; None for all.
        margin: kept for the record: without samples there is nothing to hold against it.

    Raises:
        InputError: a metric that the table has not.
    """
    names = list(table.scores) if metrics is None else [name.removesuffix("_pct") for name in metrics]
    for name in names:
        if name not in table.scores:
            raise InputError(f"no column '{name}_pct'", where=table.path, hint=nearest(name, table.scores))
    pairs = find_pairs(table.rows)
    findings = []
    for one in pairs:
        held = (_published(name, table.scores[name][one.base], table.scores[name][one.other]) for name in names)
        findings.append(Finding(one, table.rows[one.base], table.rows[one.other], tuple(held)))
    impossible = [
        f"{row.name}: {name} {score:g} is outside 0 to 100"
        for name in names
        for row, score in zip(table.rows, table.scores[name], strict=True)
        if score is not None and not 0 <= score <= 100
    ]
    return Pairs(
        tuple(findings),
        tuple(_effects(findings)),
        table.rows,
        tuple(_alone(table.rows, pairs)),
        margin,
        published=True,
        notes=(f"{NO_SAMPLES}: differences of two published scores", *impossible),
    )


def _run_candidates(runs: Sequence[RunDirectory]) -> tuple[list[RunDirectory], list[Candidate], list[str]]:
    """Return the runs with every base run that they name, each as a candidate, and what could not be found."""
    places: dict[Path, int] = {}
    directories: list[RunDirectory] = []
    for run in runs:
        if run.path.resolve() not in places:
            places[run.path.resolve()] = len(directories)
            directories.append(run)
    candidates: list[Candidate] = []
    notes = []
    for run in directories:  # grows while it is walked: a base run may name one of its own
        base, record = None, run.run
        named = record.lineage.base_run if record.lineage else None
        if named is not None:
            path = (run.path / named).resolve()
            if path not in places:
                try:
                    directories.append(RunDirectory.open(path))
                    places[path] = len(directories) - 1
                except StoreError as error:
                    notes.append(f"the base run of {run.path} is left out: {error.what}: {named}")
            base = places.get(path)
        states = (run.summary() or {}).get("samples", {})
        read = sum(int(states.get(state) or 0) for state in ("strict", "extracted", "repaired", "text"))
        answered = int(states.get("answers") or 0) - int(states.get("failed") or 0)
        context = f"{record.task.id}\0{record.data.fingerprint}"
        candidates.append(
            Candidate(
                record.model,
                str(run.path),
                lineage_of(record),
                context,
                base,
                read / answered if answered > 0 else None,
            )
        )
    return directories, candidates, notes


def _held(
    finding: Finding,
    base: ScoreTable,
    other: ScoreTable,
    *,
    metrics: Sequence[str] | None,
    margin: float,
    resamples: int,
    seed: int,
) -> Finding:
    """Hold the other run of a pair against its base."""
    if base.origin.responses_sha256 == other.origin.responses_sha256:
        return replace(finding, reason="both runs hold the same answers")
    if metrics is None:
        first, second = DEFAULT_METRICS
        scored = any(first in table.metrics and table.metrics[first].problem is None for table in (base, other))
        metrics = [first if scored else second]
    try:
        verdict = judge(other, base, metrics=metrics, margin=margin, resamples=resamples, seed=seed)
    except NotComparable as error:
        return replace(finding, reason=error.what)
    if all(one.change is None for one in verdict.metrics):
        return replace(finding, reason="; ".join(dict.fromkeys(verdict.reasons)))
    return replace(finding, metrics=tuple(map(_of_gate, verdict.metrics)), fields=verdict.fields, notes=verdict.notes)


def _of_gate(one: Gated) -> Held:
    change = one.change or Change(name=one.name, kind=one.kind, reason="; ".join(one.reasons))
    return Held(change, _VERDICTS[one.verdict], one.reasons, one.needed, one.needed_seen)


def _corrected(findings: Sequence[Finding]) -> list[Finding]:
    """Holm's correction over the pairs: all metrics one family, all fields another."""
    metrics = iter(with_holm(held.change for one in findings for held in one.metrics))
    fields = iter(with_holm(change for one in findings for change in one.fields))
    return [
        replace(
            one,
            metrics=tuple(replace(held, change=next(metrics)) for held in one.metrics),
            fields=tuple(next(fields) for _ in one.fields),
        )
        for one in findings
    ]


def _published(name: str, first: float | None, second: float | None) -> Held:
    """Two published scores in per cent; a difference only where both can be."""
    one, two = (None if score is None else score / 100 for score in (first, second))
    impossible = [score for score in (first, second) if score is not None and not 0 <= score <= 100]
    reason = f"{impossible[0]:g} is outside 0 to 100" if impossible else None
    if one is None or two is None:
        reason = reason or "not given"
    change = Change(
        name=name,
        kind="metric",
        first=one,
        second=two,
        value=two - one if reason is None and one is not None and two is not None else None,
        low_range=0.0,
        high_range=1.0,
        unreliable=NO_SAMPLES,
        reason=reason,
    )
    return Held(change, "no samples", (reason or NO_SAMPLES,))


def _alone(candidates: Sequence[Candidate], found: Sequence[Pair]) -> Iterable[tuple[Candidate, str]]:
    """Quantized ones without their original, and whoever is in no pair at all."""
    paired = {place for one in found for place in (one.base, one.other)}
    originals = {one.other for one in found if one.kind == "quantization"}
    for place, one in enumerate(candidates):
        if place not in paired or (one.lineage.quantized and place not in originals):
            yield one, why_alone(one)


def _effects(findings: Sequence[Finding]) -> Iterable[Effect]:
    """The mean of each metric over pairs alike; where there are several formats of quantization, over all too."""
    groups: dict[tuple[str, str, str], list[tuple[Finding, Change]]] = {}
    for one in findings:
        for held in one.metrics:
            kinds = [one.pair.added] + (["any"] if one.pair.kind == "quantization" else [])
            for added in kinds:
                groups.setdefault((one.pair.kind, added, held.change.name), []).append((one, held.change))
    formats = {one.pair.added for one in findings if one.pair.kind == "quantization"}
    for (kind, added, metric), members in groups.items():
        if added == "any" and len(formats) < 2:
            continue
        kept = [(one.base.lineage, change.value) for one, change in members if one.pair.clean]
        values = [value for _, value in kept if value is not None]
        models = {(fold(lineage.family or ""), lineage.parameters) for lineage, value in kept if value is not None}
        if len(values) < FEWEST_FOR_MEAN:
            continue
        mean, half = mean_interval(values)
        ends = (None, None) if half is None else (mean - half, mean + half)
        yield Effect(kind, added, metric, len(values), len(models), len(members) - len(values), mean, *ends)


def mean_interval(values: Sequence[float]) -> tuple[float, float | None]:
    """Return the mean and half the length of Student's 95 % interval, None below three values.

    >>> mean, half = mean_interval([1.0, 2.0, 3.0])
    >>> mean, round(half, 4)
    (2.0, 2.4841)
    """
    array = np.array(values, dtype=np.float64)
    mean, n = float(array.mean()), len(array)
    if n < FEWEST_FOR_INTERVAL:
        return mean, None
    return mean, student((array.sum() - array) / (n - 1), n)


def _candidate_dict(one: Candidate) -> dict[str, Any]:
    return {"model": one.name, "where": one.where, "lineage": one.lineage.as_dict(), "readable": one.readable}


def _flat(change: Change) -> dict[str, Any]:
    row = change.as_dict()
    failures = row.pop("with_failures") or {}
    return row | {f"with_failures_{end}": failures.get(end) for end in ("low", "high")}
