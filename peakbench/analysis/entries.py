"""What stands in a summary about a metric, a field, a slice."""

from __future__ import annotations

import math
from collections.abc import Mapping
from typing import Any

import numpy as np

from peakbench.analysis.accumulation import Accumulator, MetricCounts, Slice
from peakbench.metrics.base import MetricInfo
from peakbench.records import OUTCOMES
from peakbench.statistics import Bootstrap, Estimate, Moments, Ratio, Skill, doubts, quantile, wilson


def metric_entry(
    totals: Accumulator, name: str, estimator: Bootstrap | Moments, *, broken: str | None
) -> dict[str, Any]:
    """Return the entry of a metric: value, interval, floors, skill, and its range with the failed answers.

    ``broken``: why it is unscored in this run, None where it is not.
    """
    counts = totals.metrics[name]
    info = counts.info
    if info.reduction == "median":
        estimate = quantile(np.sort(np.frombuffer(counts.timings)) if counts.timings else np.zeros(0), 0.5)
        return _entry(counts, estimate, broken)
    ratio = totals.score(info.id)
    estimate = _estimate(counts, ratio, estimator, n=counts.n)
    entry = _entry(counts, estimate, broken)
    places = totals.floors(info.id)
    floors: dict[str, float | None] = {name: _point(at, estimator) for name, at in places.items()}
    if places and counts.n and info.reads_answer:
        # A ratio of sums may be 0 / 0 here (value_accuracy: no key is there); by definition it is the worst.
        floors["unparseable"] = info.worst
    if places and "vocabulary" not in places:
        floors["vocabulary"] = None
    entry["floor"] = floors
    skill = _skill(counts, ratio, tuple(places.values()), estimator)
    entry |= {
        "skill": skill.value,
        "skill_low": skill.low,
        "skill_high": skill.high,
        "skill_reason": skill.reason,
    }
    if info.reduction == "mean" and counts.sizes is not None and counts.sizes[0] != counts.sizes[1]:
        entry["pooled"] = counts.pooled[0] / counts.pooled[1]
    if counts.beside:
        entry["beside"] = {name: {"sum": total, "n": int(n)} for name, (total, n) in counts.beside.items()}
    if broken is None:
        entry["with_failures"] = _with_failures(counts, ratio, estimator)
    return entry


def field_entry(
    totals: Accumulator, name: str, estimator: Bootstrap | Moments, *, weight: float, signature: str | None
) -> dict[str, Any]:
    """Return the entry of a field: score, interval, outcomes over all answers, floors."""
    counts = totals.fields[name]
    estimate = estimator.estimate(totals.field(name))
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
        "weight": weight,
        "signature": signature,
        "n": counts.n,
        **dict(zip(OUTCOMES, counts.outcomes.tolist(), strict=True)),
        "floor": {floor: total / counts.n if counts.n else None for floor, total in counts.floors.items()},
        "reason": estimate.reason,
        "unreliable": doubt if estimate.low is not None else None,
    }


def slice_entry(totals: Accumulator, found: Slice, *, resamples: int, seed: int) -> dict[str, Any]:
    """Return the entry of a slice: every metric over its samples, resampled within it."""
    estimator = found.columns.close(resamples=resamples, seed=seed)
    metrics = {}
    for name, counts in totals.metrics.items():
        if counts.info.reduction != "median":
            estimate = _estimate(counts, totals.score(name), estimator, n=None)
            metrics[name] = {
                "value": estimate.value,
                "low": estimate.low,
                "high": estimate.high,
                "method": estimate.method,
                "n": estimate.n,
                "unreliable": doubts(estimate.n, None, None) or estimate.unreliable,
            }
    return {"n": found.n, "metrics": metrics}


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


def _point(ratio: Ratio, estimator: Bootstrap | Moments) -> float | None:
    value = float(ratio.of(estimator.total[None, :])[0])
    return value if math.isfinite(value) else None


def _skill(counts: MetricCounts, ratio: Ratio, floors: tuple[Ratio, ...], estimator: Bootstrap | Moments) -> Estimate:
    info = counts.info
    if not counts.n:
        return Estimate(None, None, None, "none", 0, "no sample is scored")
    if all(_point(floor, estimator) is None for floor in floors):
        return Estimate(None, None, None, "none", 0, "the metric has no floor")
    if info.best is None:
        return Estimate(None, None, None, "none", 0, "the range has no best value")
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
        "reduction": info.reduction,
        "range": [info.low, info.high],
        "higher_is_better": info.higher_is_better,
    }


def run_entry(info: MetricInfo, performance: Mapping[str, Any], *, untimed: str | None) -> dict[str, Any]:
    """Return the entry of a metric with one number a run; ``untimed``: why the run has no rate, where it has none."""
    if info.family != "performance":
        return _entry(MetricCounts(info), Estimate(None, None, None, "none", 0, "no journal gives this number"), None)
    value = performance["samples_per_s"]
    reason = untimed if value is None else None
    return _entry(MetricCounts(info), Estimate(value, None, None, "none", performance["latency_s"]["n"], reason), None)


def _with_failures(counts: MetricCounts, ratio: Ratio, estimator: Bootstrap | Moments) -> dict[str, float | None]:
    info = counts.info
    pooled = info.reduction == "pooled"
    size = float(estimator.total[ratio.denominator]) / max(counts.n, 1)
    return {
        end: None if reading is None else counts.failures.value(reading, size=size, pooled=pooled)
        for end, reading in (("low", info.low), ("high", info.high))
    }
