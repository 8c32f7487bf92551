"""Two metrics that training is judged by, beside those that PeakBench has: the reward itself, and all fields right."""

from __future__ import annotations

from collections.abc import Iterable, Mapping
from pathlib import Path

import numpy as np
from peakbench import Batch, Metric, MetricInfo, MetricKind, NoParameters, Scores, Setting, hookimpl
from peakbench.metrics.base import NO_FIELDS, Bools, Floats, Need, as_written
from peakbench.records import OUTCOMES
from peakbench.rewards import Reward

NEEDS: frozenset[Need] = frozenset({"reference"})
RIGHT = [OUTCOMES.index("correct"), OUTCOMES.index("correct_null")]


class RewardMetric:
    """What an answer would have earned in training: strict JSON, structure, content."""

    requires: tuple[str, ...] = ()

    def __init__(self, info: MetricInfo, reward: Reward) -> None:
        self._reward = reward
        self._info = info.signed(*reward.signature.split("|"))

    @property
    def info(self) -> MetricInfo:
        """What it declares, the reward's own signature in it."""
        return self._info

    def score_batch(self, batch: Batch) -> Scores:
        """Score n answers as they were written."""
        keys = set(self._reward.task.keys)
        usable = [isinstance(one, Mapping) and not keys.isdisjoint(one) for one in batch.references]
        rows = [row for row, fits in enumerate(usable) if fits]
        texts = [as_written(batch.predictions[row]) for row in rows]
        values = np.zeros(len(batch))
        values[rows] = [one.total for one in self._reward.batch(texts, [batch.references[row] for row in rows])]
        reasons = {row: NO_FIELDS for row, fits in enumerate(usable) if not fits}
        return Scores(values, np.array(usable, dtype=np.bool_), reasons)


class OfFields:
    """A metric of fields for a task that has none: unscored."""

    requires: tuple[str, ...] = ()

    def __init__(self, info: MetricInfo) -> None:
        self.info = info

    def score_batch(self, batch: Batch) -> Scores:
        """N unscored rows."""
        return Scores.none(len(batch), "the answer is text: it has no fields")


class AllCorrect:
    """1 where every field that the reference has is right, else 0."""

    requires: tuple[str, ...] = ()

    def __init__(self, info: MetricInfo) -> None:
        self.info = info

    def score_batch(self, batch: Batch) -> Scores:
        """Score n answers from their fields' outcomes."""
        cells = batch.cells
        assert cells is not None  # built for JSON tasks alone
        right: Bools = np.isin(cells.outcomes, RIGHT) | ~cells.expected
        values: Floats = np.asarray(right.all(axis=1), dtype=np.float64)
        scored: Bools = np.asarray(cells.expected.any(axis=1), dtype=np.bool_)
        reasons = dict.fromkeys(np.flatnonzero(~scored).tolist(), NO_FIELDS)
        return Scores(values, scored, reasons)


def _reward(info: MetricInfo, parameters: NoParameters, setting: Setting) -> Metric:
    return (
        OfFields(info)
        if setting.task.answer == "text"
        else RewardMetric(info, Reward(setting.task, tools=setting.tools))
    )


def _all_correct(info: MetricInfo, parameters: NoParameters, setting: Setting) -> Metric:
    return OfFields(info) if setting.task.answer == "text" else AllCorrect(info)


@hookimpl
def peakbench_metric_kinds() -> Iterable[MetricKind]:
    """Offer the kinds ``training_reward`` and ``all_correct``."""
    return [
        MetricKind("training_reward", _reward, needs=NEEDS, description="what an answer would have earned in training"),
        MetricKind("all_correct", _all_correct, needs=NEEDS, description="every field right"),
    ]


@hookimpl
def peakbench_metric_definitions() -> Iterable[Path]:
    """Offer the metrics ``reward`` and ``all_correct``."""
    return [Path(__file__).parent / "metrics.json"]
