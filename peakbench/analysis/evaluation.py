"""A run in, its scores and its summary out.

Two passes over the samples, neither of which holds them: the first counts the references (for the floors) and the
values of the slices; the second reads the answers, scores them in batches of whole samples together with the four
floors, writes one line an answer and keeps columns (see ``statistics``). Where a metric breaks on the way, the second
pass begins again without it, so that no line holds a value of a metric that the summary calls unscored.
"""

from __future__ import annotations

from collections import Counter
from collections.abc import Callable, Iterable, Iterator, Mapping, Sequence
from itertools import islice
from typing import Any, Protocol

import numpy as np

from peakbench.analysis.accumulation import Accumulator, FieldCounts, MetricCounts
from peakbench.analysis.baselines import FloorName, Floors, ReferenceCounts, ValueCounts
from peakbench.analysis.timings import Timings
from peakbench.metrics.base import Comparator, Metric, MetricInfo
from peakbench.parsing import read
from peakbench.records import OUTCOMES, Completion, JSONValue, Prediction, Reference
from peakbench.scoring import Scorer
from peakbench.statistics import Bootstrap, Estimate, Moments, Ratio, Skill, doubts, quantile, wilson
from peakbench.store import RunDirectory
from peakbench.tasks import Task
from peakbench.values import canonical

FORMAT = 1
BATCH = 512
"""Samples scored at a time."""

MOST_SLICES = 100
"""Values a metadata key may have; the rarer ones share the slice ``OTHER``."""

OTHER = "(other)"

_STATES = ("failed", "strict", "extracted", "repaired", "unparseable", "off_schema", "text")


class Sampled(Protocol):
    """What is read of a sample."""

    @property
    def id(self) -> str:
        """Its id."""
        ...

    @property
    def reference(self) -> Reference:
        """The ground truth."""
        ...

    @property
    def metadata(self) -> Mapping[str, JSONValue]:
        """What slices are made by."""
        ...


Records = Callable[[], Iterable[tuple[Sampled, Sequence[Completion]]]]
"""Gives, each time it is called, all samples with their completions in the order of the repeats."""


def evaluate(
    run: RunDirectory,
    *,
    metrics: Sequence[Metric],
    task: Task,
    comparators: Mapping[str, Comparator],
    nulls: frozenset[str],
    repair: bool = False,
    slices: Sequence[str] = (),
    resamples: int = 10_000,
    seed: int = 0,
    on_progress: Callable[[int], None] | None = None,
) -> dict[str, Any]:
    """Score a run directory: write scores.jsonl, then summary.json, and return the summary.

    Args:
        run: the run; its samples and journal are read, nothing is asked.
        metrics: dependencies first, as the registry builds them.
        task: the task as the run holds it.
        comparators: one for each field.
        nulls: the folded null list.
        repair: read near-JSON with json-repair; such answers are in state ``repaired``.
        slices: metadata keys to score apart.
        resamples: bootstrap resamples, >= 1, up to 20,000 samples; above, intervals are normal.
        seed: of the resamples.
        on_progress: called with the number of samples scored so far, after each batch.

    Raises:
        StoreError: the run cannot be read or written.
    """
    repeats = run.run.repeats
    index = run.index()
    try:

        def completions(sample_id: str) -> list[Completion]:
            found = (index.get(sample_id, repeat) for repeat in range(repeats))
            return [completion for completion in found if completion is not None]

        summary = evaluate_stream(
            lambda: ((sample, completions(sample.id)) for sample in run.samples()),
            samples=run.samples,
            metrics=metrics,
            task=task,
            comparators=comparators,
            nulls=nulls,
            repair=repair,
            repeats=repeats,
            slices=slices,
            resamples=resamples,
            seed=seed,
            workers=run.run.workers,
            wall_s=run.wall_s(),
            run=run.run.model_dump(mode="json"),
            write_rows=run.write_scores,
            on_progress=on_progress,
        )
    finally:
        index.close()
    run.write_summary(summary)
    return summary


def evaluate_stream(
    records: Records,
    *,
    metrics: Sequence[Metric],
    task: Task,
    comparators: Mapping[str, Comparator],
    nulls: frozenset[str],
    samples: Callable[[], Iterable[Sampled]] | None = None,
    repair: bool = False,
    repeats: int = 1,
    slices: Sequence[str] = (),
    resamples: int = 10_000,
    seed: int = 0,
    workers: int | None = None,
    wall_s: float | None = None,
    run: Mapping[str, Any] | None = None,
    write_rows: Callable[[Iterable[dict[str, Any]]], object] | None = None,
    on_progress: Callable[[int], None] | None = None,
) -> dict[str, Any]:
    """Score answers wherever they come from, and return the summary.

    Args:
        records: gives all samples with their completions; called once or more (again where a metric breaks).
        samples: gives all samples without reading completions, for the first pass; default: from ``records``.
        repeats: how often each sample was to be asked; what is missing counts as unasked.
        workers, wall_s: of the asking, None where the answers came from elsewhere.
        run: what stands under ``run`` in the summary.
        write_rows: takes the iterator of the lines of scores.jsonl and exhausts it.
        metrics, task, comparators, nulls, repair, slices, resamples, seed, on_progress: as in :func:`evaluate`.
    """
    first = samples() if samples is not None else (sample for sample, _ in records())
    floors, kept = _survey(first, task, comparators, nulls, slices)
    broken: dict[str, str] = {}
    while True:
        one = _Pass(
            Scorer(task, metrics, comparators, nulls, broken=broken),
            Scorer(task, _with_parts(metrics), comparators, nulls, broken=broken),
            task=task,
            floors=floors,
            slices=kept,
            repair=repair,
            repeats=repeats,
        )
        rows = one.rows(records(), on_progress)
        try:
            if write_rows is None:
                for _ in rows:
                    pass
            else:
                write_rows(rows)
        except _MetricBroke:
            broken = one.broken
            continue
        break
    return {"format": FORMAT, "run": dict(run or {}), **one.summary(resamples, seed, workers, wall_s, metrics)}


def _survey(
    samples: Iterable[Sampled],
    task: Task,
    comparators: Mapping[str, Comparator],
    nulls: frozenset[str],
    slices: Sequence[str],
) -> tuple[Floors, dict[str, frozenset[str]]]:
    """Make the first pass: the floors, and which values of each slice key get a slice of their own."""
    references = ReferenceCounts(task, nulls)
    values = {key: ValueCounts(frozenset()) for key in slices}
    for sample in samples:
        references.add(sample.reference)
        for key, counts in values.items():
            value = slice_value(sample.metadata, key)
            if value is not None:
                counts.add(value)
    kept = {}
    for key, counts in values.items():
        most = counts.most_common(MOST_SLICES + 1)
        kept[key] = frozenset(most if len(most) <= MOST_SLICES else most[: MOST_SLICES - 1])
    return references.floors(comparators), kept


def slice_value(metadata: Mapping[str, JSONValue], key: str) -> str | None:
    """Return the slice that a sample belongs to, None where it has no such value.

    >>> slice_value({"shop": "A", "new": True}, "new"), slice_value({"shop": None}, "shop")
    ('true', None)
    """
    value = metadata.get(key)
    return value if value is None or isinstance(value, str) else canonical(value).lstrip("\0")


class _MetricBroke(Exception):  # noqa: N818 - caught in this room
    """A metric broke in this pass; it is to begin again without it."""


class _Pass:
    """The second pass: everything that is counted in it."""

    def __init__(
        self,
        scorer: Scorer,
        floor_scorer: Scorer,
        *,
        task: Task,
        floors: Floors,
        slices: Mapping[str, frozenset[str]],
        repair: bool,
        repeats: int,
    ) -> None:
        self._scorer, self._floor_scorer = scorer, floor_scorer
        self._task, self._repair, self._repeats = task, repair, repeats
        self._floors: dict[FloorName, Prediction] = {
            name: answer for name, answer in floors.answers.items() if answer is not None
        }
        self._notes = floors.notes
        self._slices = slices
        self._known = set(self.broken)
        self.counts: Counter[str] = Counter()
        self.failures: Counter[str] = Counter()
        self.timings = Timings()
        self.totals = Accumulator(
            [metric.info for metric in self._scorer.metrics],
            fields=task.keys,
            floors=tuple(self._floors),
            slices=tuple(slices),
        )

    @property
    def broken(self) -> dict[str, str]:
        """Why metrics are unscored in this run."""
        return {**self._floor_scorer.broken, **self._scorer.broken}

    def rows(
        self, records: Iterable[tuple[Sampled, Sequence[Completion]]], on_progress: Callable[[int], None] | None
    ) -> Iterator[dict[str, Any]]:
        """Score everything and yield the lines of scores.jsonl.

        Raises:
            _MetricBroke: a metric broke that was whole before.
        """
        source = iter(records)
        while batch := list(islice(source, BATCH)):
            yield from self._batch(batch)
            if on_progress is not None:
                on_progress(self.counts["total"])

    def _batch(self, batch: Sequence[tuple[Sampled, Sequence[Completion]]]) -> Iterator[dict[str, Any]]:
        self.counts["total"] += len(batch)
        asked = [(sample, completions) for sample, completions in batch if completions]
        self.counts["unasked"] += len(batch) * self._repeats - sum(len(completions) for _, completions in asked)
        if not asked:
            return
        predictions: list[Prediction] = []
        references: list[Reference] = []
        group: list[int] = []
        for place, (sample, completions) in enumerate(asked):
            for completion in completions:
                predictions.append(self._read(completion))
                references.append(sample.reference)
                group.append(place)
        scored = self._scorer.score(predictions, references)
        once = [sample.reference for sample, _ in asked]
        floors = {name: self._floor_scorer.score([answer] * len(once), once) for name, answer in self._floors.items()}
        if self.broken.keys() - self._known:
            raise _MetricBroke
        values = {key: [self._slice(sample, key) for sample, _ in asked] for key in self._slices}
        self.totals.add(scored, np.array(group, dtype=np.int64), floors, values)
        yield from scored.rows()

    def _read(self, completion: Completion) -> Prediction:
        prediction = read(completion, keys=self._task.keys, answer=self._task.answer, repair=self._repair)
        counts = self.counts
        counts["answers"] += 1
        counts[prediction.state] += 1
        counts["truncated"] += prediction.truncated
        counts["duplicate_keys"] += prediction.duplicates > 0
        counts["extra_keys"] += bool(prediction.extra)
        if completion.failure is not None:
            self.failures[completion.failure.kind] += 1
        elif completion.response is not None and completion.response.refusal:
            counts["refused"] += 1
        self.timings.add(completion)
        return prediction

    def _slice(self, sample: Sampled, key: str) -> str | None:
        value = slice_value(sample.metadata, key)
        return value if value is None or value in self._slices[key] else OTHER

    def summary(
        self,
        resamples: int,
        seed: int,
        workers: int | None,
        wall_s: float | None,
        metrics: Sequence[Metric],
    ) -> dict[str, Any]:
        """Return what stands in summary.json beside ``format`` and ``run``."""
        totals = self.totals
        estimator = totals.columns.close(resamples=resamples, seed=seed)
        performance = self.timings.summary(workers=workers, wall_s=wall_s)
        entries = {}
        for metric in metrics:
            name = metric.info.id
            if metric.info.reduction == "run":
                entries[name] = _run_entry(metric, performance)
            else:
                entries[name] = self._metric_entry(totals.metrics[name], estimator)
        samples = {key: self.counts[key] for key in ("total", "answers", *_STATES)}
        samples |= {
            key: self.counts[key] for key in ("truncated", "unasked", "refused", "duplicate_keys", "extra_keys")
        }
        slices = {
            key: {value: self._slice_entry(key, value, resamples, seed) for value in sorted(totals.slices[key])}
            for key in self._slices
        }
        return {
            "samples": {**samples, "failures": dict(self.failures)},
            "metrics": entries,
            "fields": {name: self._field_entry(name, counts, estimator) for name, counts in totals.fields.items()},
            "slices": slices,
            "performance": performance,
            "resamples": {"n": resamples if isinstance(estimator, Bootstrap) else 0, "seed": seed},
            "notes": list(self._notes),
        }

    def _metric_entry(self, counts: MetricCounts, estimator: Bootstrap | Moments) -> dict[str, Any]:
        info = counts.info
        broken = self.broken.get(info.id)
        if info.reduction == "median":
            estimate = quantile(np.sort(np.frombuffer(counts.timings)) if counts.timings else np.zeros(0), 0.5)
            return _entry(counts, estimate, broken)
        ratio = self.totals.score(info.id)
        estimate = _estimate(counts, ratio, estimator, n=counts.n)
        entry = _entry(counts, estimate, broken)
        places = self.totals.floors(info.id)
        entry["floor"] = {name: estimator.estimate(at).value if counts.n else None for name, at in places.items()}
        if places and counts.n and info.reads_answer:
            # A ratio of sums may be 0 / 0 here (value_accuracy: no key is there); by definition it is the worst.
            entry["floor"]["unparseable"] = info.worst
        if places and self._task.answer == "text":
            entry["floor"]["vocabulary"] = None
        skill = _skill(counts, ratio, tuple(places.values()), estimator)
        entry |= {
            "skill": skill.value,
            "skill_low": skill.low,
            "skill_high": skill.high,
            "skill_reason": skill.reason,
        }
        if info.reduction == "mean" and counts.sizes is not None and counts.sizes[0] != counts.sizes[1]:
            entry["pooled"] = counts.pooled[0] / counts.pooled[1]
        if broken is None:
            entry["with_failures"] = _with_failures(counts, ratio, estimator)
        return entry

    def _field_entry(self, name: str, counts: FieldCounts, estimator: Bootstrap | Moments) -> dict[str, Any]:
        estimate = estimator.estimate(self.totals.field(name))
        doubt = doubts(counts.n, counts.imperfect, counts.above_worst) or estimate.unreliable
        if counts.binary and estimate.value is not None:
            # A field that is right or wrong is a rate: Wilson's interval holds where no answer is wrong, too.
            estimate = wilson(round(estimate.value * estimate.n), estimate.n)
            doubt = doubts(counts.n, None, None)
        return {
            "score": estimate.value,
            "low": estimate.low,
            "high": estimate.high,
            "method": estimate.method,
            "weight": self._task.fields[name].weight,
            "n": counts.n,
            **dict(zip(OUTCOMES, counts.outcomes.tolist(), strict=True)),
            "floor": {floor: total / counts.n if counts.n else None for floor, total in counts.floors.items()},
            "reason": estimate.reason,
            "unreliable": doubt if estimate.low is not None else None,
        }

    def _slice_entry(self, key: str, value: str, resamples: int, seed: int) -> dict[str, Any]:
        found = self.totals.slices[key][value]
        estimator = found.columns.close(resamples=resamples, seed=seed)
        metrics = {}
        for name, counts in self.totals.metrics.items():
            if counts.info.reduction != "median":
                estimate = _estimate(counts, self.totals.score(name), estimator, n=None)
                metrics[name] = {
                    "value": estimate.value,
                    "low": estimate.low,
                    "high": estimate.high,
                    "method": estimate.method,
                    "n": estimate.n,
                    "unreliable": estimate.unreliable or doubts(estimate.n, None, None),
                }
        return {"n": found.n, "metrics": metrics}


def _with_parts(metrics: Sequence[Metric]) -> list[Metric]:
    """Return the metrics that have floors, and those that they read."""
    wanted: set[str] = set()
    for metric in reversed(metrics):
        if metric.info.has_floor or metric.info.id in wanted:
            wanted |= {metric.info.id, *metric.requires}
    return [metric for metric in metrics if metric.info.id in wanted]


def _estimate(counts: MetricCounts, ratio: Ratio, estimator: Bootstrap | Moments, *, n: int | None) -> Estimate:
    """Return a metric's value with the interval that its reduction asks for, inside its range."""
    info = counts.info
    found = estimator.estimate(ratio)
    if info.reduction == "rate" and counts.binary and found.value is not None:
        return wilson(round(found.value * found.n), found.n)
    low, high = found.low, found.high
    if found.method == "normal" and low is not None and high is not None:
        low = low if info.low is None else max(low, info.low)
        high = high if info.high is None else min(high, info.high)
    return Estimate(found.value, low, high, found.method, found.n if n is None else n, found.reason, found.unreliable)


def _skill(counts: MetricCounts, ratio: Ratio, floors: tuple[Ratio, ...], estimator: Bootstrap | Moments) -> Estimate:
    info = counts.info
    if not floors or info.best is None or not counts.n:
        reason = "the metric has no floor" if not floors else "the range has no best value"
        return Estimate(None, None, None, "none", 0, reason if counts.n else "no sample is scored")
    found = estimator.estimate(Skill(ratio, floors, info.best, info.higher_is_better))
    if found.value is None:
        return Estimate(None, None, None, "none", found.n, "the floor is the best value already")
    return found


def _entry(counts: MetricCounts, estimate: Estimate, broken: str | None) -> dict[str, Any]:
    info = counts.info
    common = counts.reasons.most_common(1)
    reason = broken or (common[0][0] if common else estimate.reason)
    doubt = None
    if estimate.method in {"bca", "percentile", "normal"}:
        best, worst = info.best is not None, info.worst is not None
        doubt = doubts(estimate.n, counts.imperfect if best else None, counts.above_worst if worst else None)
    elif estimate.method == "wilson":
        doubt = doubts(estimate.n, None, None)
    return {
        "value": estimate.value,
        "low": estimate.low,
        "high": estimate.high,
        "method": estimate.method,
        "n": estimate.n,
        "unscored": counts.unscored,
        "reason": reason,
        "unreliable": (doubt or estimate.unreliable) if estimate.low is not None else None,
        "signature": info.signature,
        "floor": {},
        "skill": None,
        "skill_low": None,
        "skill_high": None,
        "skill_reason": "the metric has no floor",
        "with_failures": {"low": None, "high": None},
        **_declared(info),
    }


def _declared(info: MetricInfo) -> dict[str, Any]:
    return {
        "title": info.title,
        "unit": info.unit,
        "range": [info.low, info.high],
        "higher_is_better": info.higher_is_better,
    }


def _run_entry(metric: Metric, performance: Mapping[str, Any]) -> dict[str, Any]:
    """Return the entry of a metric with one number a run."""
    info = metric.info
    if info.family != "performance":
        return _entry(MetricCounts(info), Estimate(None, None, None, "none", 0, "no journal gives this number"), None)
    value = performance["samples_per_s"]
    reason = "no wall time: the answers came from elsewhere" if value is None else None
    return _entry(MetricCounts(info), Estimate(value, None, None, "none", performance["latency_s"]["n"], reason), None)


def _with_failures(counts: MetricCounts, ratio: Ratio, estimator: Bootstrap | Moments) -> dict[str, float | None]:
    info = counts.info
    pooled = info.reduction == "pooled"
    size = float(estimator.total[ratio.denominator]) / max(counts.n, 1)
    return {
        end: None if reading is None else counts.failures.value(reading, size=size, pooled=pooled)
        for end, reading in (("low", info.low), ("high", info.high))
    }
