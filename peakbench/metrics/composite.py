"""Composites: weighted sums of metrics scored before. The kinds are fixed; there is no expression language.

A missing part makes the composite unscored with the reason; the weights of the others are never raised instead. That
holds for exact answers too: a mean over the samples that happen to be exact would say nothing.
"""

from __future__ import annotations

import math
from collections.abc import Mapping
from dataclasses import dataclass, replace
from typing import Annotated, Literal

import numpy as np
from pydantic import BaseModel, Field, model_validator

from peakbench.metrics.base import Batch, Bools, Floats, MetricInfo, MetricKind, Scores, Setting

_Weight = Annotated[float, Field(gt=0, allow_inf_nan=False)]
_Parts = Annotated[dict[str, _Weight], Field(min_length=1)]

_SLACK = 1e-9

CONTRADICTED = "exact_but_contradicted"
"""Beside ``quality``: 1 for an exact answer whose hallucination calls for the penalty."""


def _check_sum(name: str, parts: Mapping[str, float], whole: float) -> None:
    total = math.fsum(parts.values())
    if abs(total / whole - 1) > _SLACK:
        raise ValueError(f"{name}: the weights sum to {total:.10g}, expected {whole:.10g}")


class Penalty(BaseModel, extra="forbid", frozen=True):
    """Where ``metric`` (h) exceeds ``above``, the sum is multiplied by 1 - strength (h - above) / (1 - above)."""

    metric: str = "hallucination"
    above: Annotated[float, Field(ge=0, lt=1)] = 0.5
    strength: Annotated[float, Field(ge=0, le=1)] = 0.5

    def factors(self, values: Floats) -> Floats:
        """Return the factor for each h in [0, 1].

        >>> Penalty().factors(np.array([0.5, 0.75, 1.0])).tolist()
        [1.0, 0.75, 0.5]
        """
        excess = np.maximum(values - self.above, 0.0) / (1 - self.above)
        return 1.0 - self.strength * excess


class QualityParameters(BaseModel, extra="forbid", frozen=True):
    """The weights of the parts, for a JSON and for a text reference, each summing to 1; and the penalty, or null."""

    json_parts: _Parts = Field(
        alias="json", default={"structured_match": 0.60, "sbert": 0.25, "token_set_ratio": 0.10, "rouge_l": 0.05}
    )
    text_parts: _Parts = Field(
        alias="text", default={"sbert": 0.50, "token_set_ratio": 0.20, "rouge_l": 0.20, "chrf": 0.10}
    )
    penalty: Penalty | None = Penalty()

    @model_validator(mode="after")
    def _sums(self) -> QualityParameters:
        _check_sum("json", self.json_parts, 1)
        _check_sum("text", self.text_parts, 1)
        return self

    def parts_for(self, answer: Literal["json", "text"]) -> Mapping[str, float]:
        """Return the parts that an answer of this form is scored by."""
        return self.json_parts if answer == "json" else self.text_parts

    def every_part(self) -> list[str]:
        """Return every metric that may be read, the penalty's among them."""
        return [*self.json_parts, *self.text_parts, *([self.penalty.metric] if self.penalty else [])]


class WeightedMeanParameters(BaseModel, extra="forbid", frozen=True):
    """Sum of weight x part / ``divide_by``; the weights must sum to ``divide_by``."""

    parts: _Parts
    divide_by: _Weight = 1.0

    @model_validator(mode="after")
    def _sums(self) -> WeightedMeanParameters:
        _check_sum("parts", self.parts, self.divide_by)
        return self

    def parts_for(self, answer: Literal["json", "text"]) -> Mapping[str, float]:
        """Return the parts: the same for JSON and text."""
        del answer
        return self.parts

    def every_part(self) -> list[str]:
        """Return every metric that may be read."""
        return list(self.parts)


def _weighted(batch: Batch, parts: Mapping[str, float]) -> Scores:
    """Sum weight x part; a row with an unscored part is unscored, with the first such part's reason."""
    n = len(batch)
    values = np.zeros(n)
    scored = np.ones(n, dtype=np.bool_)
    reasons: dict[int, str] = {}
    for name, weight in parts.items():
        part = batch.scores[name]
        values += weight * np.where(part.scored, part.values, 0.0)
        for row in np.flatnonzero(scored & ~part.scored).tolist():
            reasons[row] = f"{name} is unscored: {part.reasons.get(row, 'no reason given')}"
        scored &= part.scored
    return Scores(values, scored, reasons)


@dataclass(frozen=True, slots=True)
class WeightedMean:
    """Weighted sum of parts, divided by a constant."""

    info: MetricInfo
    parts: Mapping[str, float]
    divide_by: float = 1.0

    @property
    def requires(self) -> tuple[str, ...]:
        """The parts."""
        return tuple(self.parts)

    def score_batch(self, batch: Batch) -> Scores:
        """Score n answers from the parts' scores."""
        scores = _weighted(batch, self.parts)
        scores.values = scores.values / self.divide_by
        return scores


@dataclass(frozen=True, slots=True)
class Quality:
    """The published composite: weighted parts, an exact answer 1 at once, a penalty for hallucination.

    An exact answer has the keys of the reference and no other, and every field exact. ``penalty`` is None where no
    entailer is at hand; the signature says so. Exact answers that it would lower are counted beside the score: the
    entailer, or the reference, is wrong there.
    """

    info: MetricInfo
    parts: Mapping[str, float]
    penalty: Penalty | None = None

    @property
    def requires(self) -> tuple[str, ...]:
        """The parts, and what the penalty reads."""
        return (*self.parts, self.penalty.metric) if self.penalty else tuple(self.parts)

    def score_batch(self, batch: Batch) -> Scores:
        """Score n answers from the parts' scores."""
        scores = _weighted(batch, self.parts)
        values = scores.values
        exact = _exact(batch)
        if self.penalty:
            judged = batch.scores[self.penalty.metric]
            contradicted = exact & judged.scored & (judged.values > self.penalty.above)
            scores.beside = {CONTRADICTED: contradicted.astype(np.float64)}
            values = np.where(judged.scored, values * self.penalty.factors(judged.values), values)
            for row in np.flatnonzero(scores.scored & ~exact & ~judged.scored).tolist():
                scores.reasons[row] = f"{self.penalty.metric} is unscored: {judged.reasons.get(row, 'no reason given')}"
            scores.scored = scores.scored & (judged.scored | exact)
        scores.values = np.where(exact, 1.0, values)
        return scores


def _exact(batch: Batch) -> Bools:
    exact = np.zeros(len(batch), dtype=np.bool_)
    cells = batch.cells
    if cells is None:
        return exact
    hits = batch.read & cells.expected.any(axis=1) & ((cells.exact == 1.0) | ~cells.expected).all(axis=1)
    names = np.array(cells.names, dtype=object)
    for row in np.flatnonzero(hits).tolist():
        exact[row] = batch.predictions[row].value.keys() == set(names[cells.expected[row]])
    return exact


def _extended(info: MetricInfo, setting: Setting, parts: Mapping[str, float], *extras: str) -> MetricInfo:
    """Add what the registry cannot know; the encoder's identity, because a part's signature is not in this one."""
    added = [f"answer:{setting.task.answer}", *extras]
    if "sbert" in parts:
        encoder = setting.tools.encoder
        added.append(f"encoder:{encoder.identity if encoder else 'off'}")
    return replace(info, signature="|".join([info.signature, *added]))


def _quality(info: MetricInfo, parameters: QualityParameters, setting: Setting) -> Quality:
    parts = parameters.parts_for(setting.task.answer)
    penalty = parameters.penalty if setting.tools.entailer is not None else None
    entailer = setting.tools.entailer
    switch = f"on:{entailer.identity}" if penalty and entailer else "off"
    return Quality(_extended(info, setting, parts, f"hallucination:{switch}"), parts, penalty)


def _weighted_mean(info: MetricInfo, parameters: WeightedMeanParameters, setting: Setting) -> WeightedMean:
    return WeightedMean(_extended(info, setting, parameters.parts), parameters.parts, parameters.divide_by)


KINDS: tuple[MetricKind, ...] = (
    MetricKind(
        "quality",
        _quality,
        QualityParameters,
        needs=frozenset({"reference"}),
        description="weighted parts; an exact answer is 1; lowered where hallucination is high",
        requires=QualityParameters.every_part,
    ),
    MetricKind(
        "weighted_mean",
        _weighted_mean,
        WeightedMeanParameters,
        needs=frozenset({"reference"}),
        description="weighted sum of other metrics over a constant",
        requires=WeightedMeanParameters.every_part,
    ),
)
"""What ships, in the order in which it is listed."""
