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

from peakbench.analysis.evaluation.accumulation import Accumulator
from peakbench.analysis.evaluation.baselines import FloorName, Floors, ReferenceCounts, ValueCounts
from peakbench.analysis.evaluation.entries import field_entry, metric_entry, run_entry, slice_entry
from peakbench.analysis.evaluation.timings import Timings
from peakbench.metrics.base import Comparator, Metric
from peakbench.parsing import read
from peakbench.records import Completion, JSONValue, Prediction, Reference
from peakbench.scoring import Profile, Scorer, profiled
from peakbench.statistics import KEPT, Bootstrap
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
    def prompt(self) -> str | None:
        """Its own prompt, None where the task's was asked."""
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
    field_signatures: Mapping[str, str] | None = None,
    repair: bool = False,
    profile: Profile | None = None,
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
        field_signatures: what names everything that changes a field's score, by field; written beside it.
        repair: read near-JSON with json-repair; such answers are in state ``repaired``.
        profile: read answers as numbers published elsewhere read them (see ``scoring``), for comparison with those.
        slices: metadata keys to score apart.
        resamples: bootstrap resamples, >= 1, up to 20,000 samples; above, intervals are normal.
        seed: of the resamples.
        on_progress: called with the number of samples scored so far, after each batch.

    Raises:
        StoreError: the run cannot be read or written.
    """
    repeats = run.run.repeats
    # a resumed run may have had another number of workers; then its throughput is of no one number
    workers = {session.workers for session in run.run.sessions} or {run.run.workers}
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
            field_signatures=field_signatures,
            repair=repair,
            profile=profile,
            repeats=repeats,
            slices=slices,
            resamples=resamples,
            seed=seed,
            workers=workers.pop() if len(workers) == 1 else None,
            wall_s=run.wall_s(),
            run=run.run.model_dump(mode="json") | {"repair": repair, "profile": profile},
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
    field_signatures: Mapping[str, str] | None = None,
    samples: Callable[[], Iterable[Sampled]] | None = None,
    repair: bool = False,
    profile: Profile | None = None,
    repeats: int = 1,
    slices: Sequence[str] = (),
    resamples: int = 10_000,
    seed: int = 0,
    kept: int = KEPT,
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
        kept: up to so many samples intervals are resampled, above it they are normal.
        workers, wall_s: of the asking, None where the answers came from elsewhere, or the number of workers changed.
        run: what stands under ``run`` in the summary.
        write_rows: takes the iterator of the lines of scores.jsonl and exhausts it.
        metrics, task, comparators, nulls, field_signatures, repair, profile, slices, resamples, seed, on_progress: as
            in :func:`evaluate`.
    """
    first = samples() if samples is not None else (sample for sample, _ in records())
    floors, sliced = _survey(first, task, comparators, nulls, slices)
    broken: dict[str, str] = {}
    while True:
        one = _Pass(
            Scorer(task, metrics, comparators, nulls, broken=broken, profile=profile),
            Scorer(task, _with_parts(metrics), comparators, nulls, broken=broken, profile=profile),
            task=task,
            floors=floors,
            slices=sliced,
            repair=repair,
            repeats=repeats,
            kept=kept,
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
    summary = one.summary(
        metrics, field_signatures or {}, resamples=resamples, seed=seed, workers=workers, wall_s=wall_s
    )
    return {"format": FORMAT, "run": dict(run or {}), **summary}


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
        kept: int,
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
            self._scorer.infos,
            fields=task.keys,
            floors=tuple(self._floors),
            slices=tuple(slices),
            kept=kept,
            unread_is_worst=scorer.profile is None,
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
        prompts = [sample.prompt for sample, _ in asked]
        scored = self._scorer.score(predictions, references, [prompts[place] for place in group])
        once = [sample.reference for sample, _ in asked]
        floors = {
            name: self._floor_scorer.score([answer] * len(once), once, prompts) for name, answer in self._floors.items()
        }
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

    def _signature(self, signatures: Mapping[str, str], field: str) -> str | None:
        signature = signatures.get(field)
        return None if signature is None else profiled(signature, self._scorer.profile)

    def summary(
        self,
        metrics: Sequence[Metric],
        signatures: Mapping[str, str],
        *,
        resamples: int,
        seed: int,
        workers: int | None,
        wall_s: float | None,
    ) -> dict[str, Any]:
        """Return what stands in summary.json beside ``format`` and ``run``."""
        totals = self.totals
        estimator = totals.close(resamples=resamples, seed=seed)
        performance = self.timings.summary(workers=workers, wall_s=wall_s)
        entries = {}
        for metric in metrics:
            info = metric.info
            if info.reduction == "run":
                entries[info.id] = run_entry(info, performance, untimed=self.timings.untimed)
            else:
                entries[info.id] = metric_entry(totals, info.id, estimator, broken=self.broken.get(info.id))
        samples = {key: self.counts[key] for key in ("total", "answers", *_STATES)}
        samples |= {
            key: self.counts[key] for key in ("truncated", "unasked", "refused", "duplicate_keys", "extra_keys")
        }
        weights = {name: field.weight for name, field in self._task.fields.items()}
        return {
            "samples": {**samples, "failures": dict(self.failures)},
            "metrics": entries,
            "fields": {
                name: field_entry(totals, name, estimator, weight=weight, signature=self._signature(signatures, name))
                for name, weight in weights.items()
            },
            "slices": {
                key: {
                    value: slice_entry(totals, found, estimator, resamples=resamples, seed=seed)
                    for value, found in sorted(totals.slices[key].items())
                }
                for key in self._slices
            },
            "performance": performance,
            "resamples": {"n": resamples if isinstance(estimator, Bootstrap) else 0, "seed": seed},
            "notes": list(self._notes),
        }


def _with_parts(metrics: Sequence[Metric]) -> list[Metric]:
    """Return the metrics that have floors, and those that they read."""
    wanted: set[str] = set()
    for metric in reversed(metrics):
        if metric.info.has_floor or metric.info.id in wanted:
            wanted |= {metric.info.id, *metric.requires}
    return [metric for metric in metrics if metric.info.id in wanted]
