"""What stands in a summary about a metric, a field, a slice."""

from __future__ import annotations

import math
from collections.abc import Mapping
from dataclasses import replace
from typing import Any, NamedTuple

import numpy as np

from peakbench.analysis.evaluation.accumulation import Accumulator, MetricFindings, Scope
from peakbench.analysis.evaluation.baselines import FLOORS
from peakbench.analysis.evaluation.layout import Counts, Places
from peakbench.metrics.base import MetricInfo
from peakbench.records import OUTCOMES
from peakbench.statistics import Bootstrap, Estimate, Moments, Ratio, Skill, doubts, quantile, wilson

_NO_FLOOR = "the metric has no floor"


class _Span(NamedTuple):
    """The range of a score: None where an end is open."""

    worst: float | None
    best: float | None
    higher_is_better: bool = True


class _Found(NamedTuple):
    """A score's estimate, and what made it."""

    estimate: Estimate
    estimator: Bootstrap | Moments


def metric_entry(
    totals: Accumulator, name: str, estimator: Bootstrap | Moments, *, broken: str | None
) -> dict[str, Any]:
    """Return the entry of a metric: value, interval, floors, skill, and its range with the failed answers.

    ``broken``: why it is unscored in this run, None where it is not.
    """
    findings = totals.metrics[name]
    info = findings.info
    if info.reduction == "median":
        timings = np.sort(np.frombuffer(findings.timings)) if findings.timings else np.zeros(0)
        return _without_floor(findings, quantile(timings, 0.5), broken)
    entry = _metric_numbers(totals, info, totals.whole, estimator)
    entry["reason"] = broken or findings.reason or entry["reason"]
    entry |= {"signature": info.signature, **_declared(info)}
    if info.reduction == "mean" and findings.sizes is not None and findings.sizes[0] != findings.sizes[1]:
        entry["pooled"] = findings.pooled[0] / findings.pooled[1]
    if findings.beside:
        entry["beside"] = {name: {"sum": total, "n": int(n)} for name, (total, n) in findings.beside.items()}
    if broken is not None:
        entry["with_failures"] = {"low": None, "high": None}
    return entry


def field_entry(
    totals: Accumulator, name: str, estimator: Bootstrap | Moments, *, weight: float, signature: str | None
) -> dict[str, Any]:
    """Return the entry of a field: score, interval, outcomes over all answers, floors, skill."""
    return {**_field_numbers(totals, name, totals.whole, estimator), "weight": weight, "signature": signature}


def slice_entry(
    totals: Accumulator, scope: Scope, whole: Bootstrap | Moments, *, resamples: int, seed: int
) -> dict[str, Any]:
    """Return the entry of a slice: every metric and field over its samples, resampled within it.

    The floors are those of the run's own constant answers, scored on the slice's samples.
    """
    estimator = totals.estimator_of(scope, whole, resamples=resamples, seed=seed)
    infos = [totals.metrics[name].info for name in totals.layout.metrics]
    return {
        "n": scope.n,
        "answers": scope.answers,
        "failed": scope.failed,
        "metrics": {info.id: _metric_numbers(totals, info, scope, estimator) for info in infos},
        "fields": {name: _field_numbers(totals, name, scope, estimator) for name in totals.layout.fields},
    }


def run_entry(info: MetricInfo, performance: Mapping[str, Any], *, untimed: str | None) -> dict[str, Any]:
    """Return the entry of a metric with one number a run; ``untimed``: why the run has no rate, where it has none."""
    if info.family != "performance":
        return _without_floor(
            MetricFindings(info), Estimate(None, None, None, "none", 0, "no journal gives this number"), None
        )
    value = performance["samples_per_s"]
    reason = untimed if value is None else None
    estimate = Estimate(value, None, None, "none", performance["latency_s"]["n"], reason)
    return _without_floor(MetricFindings(info), estimate, None)


def _metric_numbers(
    totals: Accumulator, info: MetricInfo, scope: Scope, estimator: Bootstrap | Moments
) -> dict[str, Any]:
    places = totals.layout.metrics[info.id]
    counts = places.counts(scope.sums)
    estimate = replace(_estimate(info, counts, places.score, estimator), n=counts.n)
    doubt = _doubt(
        estimate,
        imperfect=counts.imperfect if info.best is not None else None,
        above_worst=counts.above_worst if info.worst is not None else None,
    )
    floor: dict[str, float | None] = {}
    skill = Estimate(None, None, None, "none", 0, _NO_FLOOR)
    if info.has_floor:
        floor = _floors(totals, places, counts, estimator, worst=info.worst)
        span = _Span(info.worst, info.best, info.higher_is_better)
        skill = _skill(span, places, counts, floor, _Found(estimate, estimator))
    pooled = info.reduction == "pooled"
    size = float(estimator.total[places.score.denominator]) / max(counts.n, 1) if pooled else 1.0
    return {
        "value": estimate.value,
        "low": estimate.low,
        "high": estimate.high,
        "method": estimate.method,
        "n": counts.n,
        "unscored": counts.unscored,
        "reason": estimate.reason,
        "unreliable": doubt,
        "floor": floor,
        **_skill_numbers(skill),
        "with_failures": {
            end: None if reading is None else counts.failures.value(reading, size=size, pooled=pooled)
            for end, reading in (("low", info.low), ("high", info.high))
        },
    }


def _field_numbers(totals: Accumulator, name: str, scope: Scope, estimator: Bootstrap | Moments) -> dict[str, Any]:
    places = totals.layout.fields[name]
    counts = places.counts(scope.sums, is_field=True)
    estimate = estimator.estimate(places.score)
    if counts.binary and estimate.value is not None:
        # A field that is right or wrong is a rate: Wilson's interval holds where no answer is wrong, too.
        estimate = wilson(round(estimate.value * estimate.n), estimate.n)
    floor = _floors(totals, places, counts, estimator, worst=0.0)
    skill = _skill(_Span(0.0, 1.0), places, counts, floor, _Found(estimate, estimator))
    return {
        "score": estimate.value,
        "low": estimate.low,
        "high": estimate.high,
        "method": estimate.method,
        "n": counts.n,
        **dict(zip(OUTCOMES, counts.outcomes, strict=True)),
        "floor": floor,
        **_skill_numbers(skill),
        "with_failures": {end: counts.failures.value(reading) for end, reading in (("low", 0.0), ("high", 1.0))},
        "reason": estimate.reason,
        "unreliable": _doubt(estimate, imperfect=counts.imperfect, above_worst=counts.above_worst),
    }


def _doubt(estimate: Estimate, *, imperfect: int | None, above_worst: int | None) -> str | None:
    """Say why an interval is not to be trusted; Wilson's asks for no sample off the ends."""
    if estimate.low is None:
        return None
    if estimate.method == "wilson":
        imperfect = above_worst = None
    return doubts(estimate.n, imperfect, above_worst) or estimate.unreliable


def _estimate(info: MetricInfo, counts: Counts, ratio: Ratio, estimator: Bootstrap | Moments) -> Estimate:
    """Return a metric's value with the interval that its reduction asks for, inside its range."""
    found = estimator.estimate(ratio)
    if info.reduction == "rate" and counts.binary and found.value is not None:
        return wilson(round(found.value * found.n), found.n)
    low, high = found.low, found.high
    if found.method == "normal" and low is not None and high is not None:
        low = low if info.low is None else max(low, info.low)
        high = high if info.high is None else min(high, info.high)
    return replace(found, low=low, high=high)


def _floors(
    totals: Accumulator, places: Places, counts: Counts, estimator: Bootstrap | Moments, *, worst: float | None
) -> dict[str, float | None]:
    """Return each floor's value over the samples that are scored, None where there is none."""
    found: dict[str, float | None] = {}
    for name in FLOORS:
        if name in places.floors:
            found[name] = _point(places.floors[name], estimator)
        else:
            found[name] = worst if name in totals.floors and counts.n else None
    return found


def _point(ratio: Ratio, estimator: Bootstrap | Moments) -> float | None:
    value = float(ratio.of(estimator.total[None, :])[0])
    return value if math.isfinite(value) else None


def _skill(span: _Span, places: Places, counts: Counts, floor: Mapping[str, float | None], found: _Found) -> Estimate:
    def without(reason: str) -> Estimate:
        return Estimate(None, None, None, "none", counts.n, reason)

    if not counts.n:
        return without("no sample is scored")
    if span.best is None:
        return without("the range has no best value")
    there = tuple(ratio for name, ratio in places.floors.items() if floor[name] is not None)
    if there:
        skill = found.estimator.estimate(Skill(places.score, there, span.best, span.higher_is_better))
        return skill if skill.value is not None else without("the floor is the best value already")
    if span.worst is None or all(value is None for value in floor.values()):
        return without(_NO_FLOOR)
    # Only the worst value is there as a floor: skill is the score, its range read as 0 to 1.
    estimate, room = found.estimate, span.best - span.worst
    value, low, high = (
        None if number is None else (number - span.worst) / room
        for number in (estimate.value, estimate.low, estimate.high)
    )
    return replace(estimate, value=value, low=low if room > 0 else high, high=high if room > 0 else low)


def _skill_numbers(skill: Estimate) -> dict[str, Any]:
    return {
        "skill": skill.value,
        "skill_low": skill.low,
        "skill_high": skill.high,
        "skill_reason": skill.reason,
    }


def _without_floor(findings: MetricFindings, estimate: Estimate, broken: str | None) -> dict[str, Any]:
    """Return the entry of a metric that samples have no part in: timings, and one number a run."""
    return {
        "value": estimate.value,
        "low": estimate.low,
        "high": estimate.high,
        "method": estimate.method,
        "n": estimate.n,
        "unscored": findings.unscored,
        "reason": broken or findings.reason or estimate.reason,
        "unreliable": estimate.unreliable if estimate.low is not None else None,
        "floor": {},
        **_skill_numbers(Estimate(None, None, None, "none", 0, _NO_FLOOR)),
        "with_failures": {"low": None, "high": None},
        "signature": findings.info.signature,
        **_declared(findings.info),
    }


def _declared(info: MetricInfo) -> dict[str, Any]:
    return {
        "title": info.title,
        "unit": info.unit,
        "reduction": info.reduction,
        "range": [info.low, info.high],
        "higher_is_better": info.higher_is_better,
    }
