"""A run's scores as they are saved in a baseline, and as they come back."""

from __future__ import annotations

import datetime as dt
from dataclasses import asdict

import numpy as np

from peakbench import __version__
from peakbench.analysis.comparison.scoretable import FieldColumns, MetricColumns, Origin, ScoreTable
from peakbench.metrics.base import Floats
from peakbench.records import OUTCOMES
from peakbench.store.baseline import Baseline, BaselineField, BaselineMetric, BaselineOrigin


def as_baseline(table: ScoreTable) -> Baseline:
    """Return the scores of a run as what stands in baseline.json."""
    return Baseline(
        peakbench=__version__,
        saved_at=dt.datetime.now(dt.UTC).isoformat(timespec="seconds"),
        origin=BaselineOrigin(**asdict(table.origin)),
        repeats=table.repeats,
        ids=list(table.ids),
        references=list(table.references),
        failed=table.failed.tolist(),
        metrics={name: _metric(columns) for name, columns in table.metrics.items()},
        fields={name: _field(columns) for name, columns in table.fields.items()},
    )


def as_table(baseline: Baseline) -> ScoreTable:
    """Return the scores that a baseline holds; ``as_table(as_baseline(table))`` equals ``table``."""
    origin = {name: getattr(baseline.origin, name) for name in Origin.__dataclass_fields__}
    return ScoreTable(
        origin=Origin(**origin),
        ids=tuple(baseline.ids),
        references=tuple(baseline.references),
        failed=np.array(baseline.failed, dtype=np.float64),
        repeats=baseline.repeats,
        metrics={name: _metric_columns(metric) for name, metric in baseline.metrics.items()},
        fields={name: _field_columns(field) for name, field in baseline.fields.items()},
    )


def _metric(columns: MetricColumns) -> BaselineMetric:
    pooled = columns.reduction == "pooled"
    return BaselineMetric(
        signature=columns.signature,
        reduction=columns.reduction,
        range=(columns.low, columns.high),
        higher_is_better=columns.higher_is_better,
        title=columns.title,
        binary=columns.binary,
        problem=columns.problem,
        above=columns.above.tolist() if pooled else _or_none(columns.above, columns.below),
        below=columns.below.tolist() if pooled else None,
    )


def _metric_columns(metric: BaselineMetric) -> MetricColumns:
    low, high = metric.range
    above, scored = _with_none(metric.above)
    return MetricColumns(
        signature=metric.signature,
        reduction=metric.reduction,
        low=low,
        high=high,
        higher_is_better=metric.higher_is_better,
        above=above,
        below=scored if metric.below is None else np.array(metric.below, dtype=np.float64) * scored,
        binary=metric.binary,
        title=metric.title,
        problem=metric.problem,
    )


def _field(columns: FieldColumns) -> BaselineField:
    return BaselineField(
        signature=columns.signature,
        weight=columns.weight,
        score=_or_none(columns.score, columns.asked),
        outcomes={
            outcome: columns.outcomes[:, code].tolist()
            for code, outcome in enumerate(OUTCOMES)
            if columns.outcomes[:, code].any()
        },
    )


def _field_columns(field: BaselineField) -> FieldColumns:
    score, asked = _with_none(field.score)
    outcomes = np.zeros((len(score), len(OUTCOMES)))
    for code, outcome in enumerate(OUTCOMES):
        if outcome in field.outcomes:
            outcomes[:, code] = field.outcomes[outcome]
    return FieldColumns(signature=field.signature, weight=field.weight, score=score, asked=asked, outcomes=outcomes)


def _or_none(values: Floats, counts: Floats) -> list[float | None]:
    return [value if count else None for value, count in zip(values.tolist(), counts.tolist(), strict=True)]


def _with_none(values: list[float | None]) -> tuple[Floats, Floats]:
    return (
        np.array([value or 0.0 for value in values], dtype=np.float64),
        np.array([float(value is not None) for value in values], dtype=np.float64),
    )
