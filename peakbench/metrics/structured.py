"""The metrics that count fields. They read the cells of a batch, compared once for all of them."""

from __future__ import annotations

import hashlib
import json
from dataclasses import dataclass, replace
from typing import Any

import numpy as np
import numpy.typing as npt

from peakbench.metrics.base import NO_FIELDS, Batch, Cells, Floats, MetricInfo, MetricKind, Scores, Setting
from peakbench.metrics.calibration import shipped_calibration
from peakbench.records import OUTCOMES
from peakbench.values import shipped_table

_CORRECT, _WRONG = OUTCOMES.index("correct"), OUTCOMES.index("wrong")
_INVENTED, _OMITTED, _UNREAD = (OUTCOMES.index(name) for name in ("invented", "omitted", "unread"))

_TEXT_TASK = "the task's answer is text: it has no fields"


def _row_sums(cells: npt.NDArray[Any]) -> Floats:
    """Sum (n, f) over fields, column by column: ``sum(axis=1)`` and BLAS change the last digit with n and layout."""
    total = np.zeros(len(cells))
    for column in cells.T:
        total += column
    return total


def _ratio(numerators: Floats, denominators: Floats, reason: str) -> Scores:
    """Divide row by row; rows whose denominator is 0 are unscored for one reason."""
    scored = denominators > 0
    values = np.divide(numerators, denominators, out=np.zeros(len(numerators)), where=scored)
    reasons = dict.fromkeys(np.flatnonzero(~scored).tolist(), reason)
    return Scores(values, scored, reasons, numerators, denominators)


def _without_fields(scores: Scores, cells: Cells) -> Scores:
    """Give the rows that are unscored because nothing is expected their own reason."""
    for row in scores.reasons:
        if not cells.expected[row].any():
            scores.reasons[row] = NO_FIELDS
    return scores


@dataclass(frozen=True, slots=True)
class _StructuredMetric:
    info: MetricInfo
    requires: tuple[str, ...] = ()


class StructuredMatch(_StructuredMetric):
    """Sum of exact field scores over the expected keys that are present / number of expected keys."""

    def score_batch(self, batch: Batch) -> Scores:
        """Score n answers; numerators and denominators are the sum and the number of keys."""
        if batch.cells is None:
            return Scores.none(len(batch), _TEXT_TASK)
        cells = batch.cells
        hits = _row_sums(cells.exact * cells.present)
        return _ratio(hits, _row_sums(cells.expected), NO_FIELDS)


class FieldMatchRate(_StructuredMetric):
    """Expected keys that the answer has / number of expected keys."""

    def score_batch(self, batch: Batch) -> Scores:
        """Score n answers; numerators and denominators are the two counts."""
        if batch.cells is None:
            return Scores.none(len(batch), _TEXT_TASK)
        cells = batch.cells
        found = _row_sums(cells.expected & cells.present)
        return _ratio(found, _row_sums(cells.expected), NO_FIELDS)


class ValueAccuracy(_StructuredMetric):
    """structured_match / field_match_rate: how good the values are where the keys are there.

    The run's value is the ratio of the two means (pooled), so that the product of the published table holds.
    """

    def score_batch(self, batch: Batch) -> Scores:
        """Score n answers; numerators are structured_match, denominators field_match_rate."""
        matches = StructuredMatch(self.info).score_batch(batch)
        rates = FieldMatchRate(self.info).score_batch(batch)
        scores = _ratio(matches.values, rates.values, "the answer has none of the expected keys")
        for row, reason in matches.reasons.items():
            scores.reasons[row] = reason
        return scores


class WeightedScore(_StructuredMetric):
    """Sum of w f / sum of w over the fields of the reference, each field scored by its own comparator."""

    def score_batch(self, batch: Batch) -> Scores:
        """Score n answers; numerators and denominators are the two sums."""
        if batch.cells is None:
            return Scores.none(len(batch), _TEXT_TASK)
        cells = batch.cells
        gained = _row_sums(cells.scores * cells.weights)
        total = _row_sums(cells.expected * cells.weights)
        scores = _ratio(gained, total, "the fields of the reference have weight 0")
        return _without_fields(scores, cells)


class ValuedF1(_StructuredMetric):
    """2C / (2C + 2 wrong + invented + omitted), pooled: what nulls cannot inflate.

    C counts correct fields with a value. A wrong value is a false positive and a miss, so it counts twice. A field of
    an unread answer counts as omitted where the reference has a value.
    """

    def score_batch(self, batch: Batch) -> Scores:
        """Score n answers; numerators and denominators are those of the formula."""
        if batch.cells is None:
            return Scores.none(len(batch), _TEXT_TASK)
        cells = batch.cells
        outcomes = cells.outcomes
        correct = 2.0 * _row_sums(outcomes == _CORRECT)
        missed = (outcomes == _OMITTED) | (outcomes == _INVENTED)
        missed |= (outcomes == _UNREAD) & (cells.pairs == -1)
        denominators = correct + 2.0 * _row_sums(outcomes == _WRONG) + _row_sums(missed)
        scores = _ratio(correct, denominators, "no field has a value, in the reference or in the answer")
        return _without_fields(scores, cells)


def _digest(value: object) -> str:
    return hashlib.sha256(json.dumps(value, sort_keys=True).encode()).hexdigest()[:12]


def _extended(info: MetricInfo, *parts: str) -> MetricInfo:
    """Put parts into the signature, before the null list that the registry ends it with."""
    head, mark, nulls = info.signature.rpartition("|null:")
    if not mark:
        return replace(info, signature="|".join([info.signature, *parts]))
    return replace(info, signature="|".join([head, *parts, f"null:{nulls}"]))


def _shape_signature(setting: Setting) -> list[str]:
    """Hash which fields are optional, lists or objects; nothing where none is, as in most tasks."""
    fields = setting.task.fields
    odd = {name: [one.optional, one.many, one.type == "object"] for name, one in fields.items()}
    return [f"shape:{_digest(odd)}"] if any(map(any, odd.values())) else []


def _compared_by(name: str, setting: Setting) -> list[Any]:
    """Return what decides a field's score: its comparator, with the tables, mappings and models it uses, its shape."""
    field = setting.task.fields[name]
    comparator = {"kind": field.comparator.kind, **field.comparator.parameters}
    table = comparator.get("table")
    if field.comparator.kind == "synonyms" and isinstance(table, str):
        comparator["table"] = shipped_table(table).identity
    if field.comparator.kind.startswith("semantic") and setting.tools.encoder is not None:
        comparator["encoder"] = setting.tools.encoder.identity
    mapping = comparator.get("mapping", "garment")
    if field.comparator.kind == "semantic_calibrated" and isinstance(mapping, str):
        comparator["mapping"] = shipped_calibration(mapping).digest
    return [comparator, field.type, field.many]


def _scoring_signature(setting: Setting) -> str:
    """Hash what decides weighted_score: every field's weight and what decides its score."""
    fields = {name: [field.weight, *_compared_by(name, setting)] for name, field in setting.task.fields.items()}
    return f"scoring:{_digest(fields)}"


def field_signature(name: str, setting: Setting, *, nulls: str) -> str:
    """Return what names everything that changes a field's score; ``nulls`` names the null list.

    >>> from peakbench.metrics.base import Tools
    >>> from peakbench.tasks import Task
    >>> task = Task.model_validate({"id": "shirt", "prompt": {"user": "Describe."}, "fields": {"color": {}}})
    >>> field_signature("color", Setting(task, frozenset(), Tools()), nulls="default")
    'color|comparator:exact|f77cc15162c0|null:default'
    """
    compared = _compared_by(name, setting)
    return f"{name}|comparator:{compared[0]['kind']}|{_digest(compared)}|null:{nulls}"


def _present_kind(metric: type[_StructuredMetric], *parts: str) -> Any:
    def build(info: MetricInfo, _parameters: object, setting: Setting) -> _StructuredMetric:
        return metric(_extended(info, *parts, *_shape_signature(setting)))

    return build


def _scored_kind(metric: type[_StructuredMetric]) -> Any:
    def build(info: MetricInfo, _parameters: object, setting: Setting) -> _StructuredMetric:
        return metric(_extended(info, _scoring_signature(setting)))

    return build


KINDS: tuple[MetricKind, ...] = (
    MetricKind(
        "structured_match",
        _present_kind(StructuredMatch, "comparator:exact"),
        needs=frozenset({"reference"}),
        description="exact field scores over the expected keys that are present / expected keys",
    ),
    MetricKind(
        "field_match_rate",
        _present_kind(FieldMatchRate),
        needs=frozenset({"reference"}),
        description="expected keys present / expected keys",
    ),
    MetricKind(
        "value_accuracy",
        _present_kind(ValueAccuracy, "comparator:exact"),
        needs=frozenset({"reference"}),
        description="mean structured_match / mean field_match_rate",
    ),
    MetricKind(
        "weighted_score",
        _scored_kind(WeightedScore),
        needs=frozenset({"reference"}),
        description="field scores by each field's comparator, weighted by the task",
    ),
    MetricKind(
        "valued_f1",
        _scored_kind(ValuedF1),
        needs=frozenset({"reference"}),
        description="F1 over fields that have a value",
    ),
)
"""What ships, in the order in which it is listed."""
