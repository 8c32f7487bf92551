"""Scored batches in, columns and counts out: what a run's numbers are made of, sample by sample.

One sample is one row. Its repeats are averaged into it first: a mean over the repeats that are scored, for pooled
metrics of the numerators and of the denominators. For each metric the row holds (numerator, denominator) of the score
and of the four floors, for each field (score, 1); unscored is (0, 0). A floor counts only where the score does, so both
rest on the same samples.
"""

from __future__ import annotations

from array import array
from collections import Counter
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field

import numpy as np

from peakbench.analysis.baselines import FloorName
from peakbench.metrics.base import Bools, Cells, Floats, Ints, MetricInfo, Scores
from peakbench.records import OUTCOMES
from peakbench.scoring import ScoredBatch
from peakbench.statistics import Columns, Ratio

_MOST_REASONS = 100
_SAME = 1e-9


@dataclass(slots=True)
class FailureSums:
    """A metric's sums over samples, each averaged over its scored and its failed answers.

    ``lost`` sums each sample's share of failed answers; ``samples`` counts those with an answer of either kind.
    """

    above: float = 0.0
    below: float = 0.0
    lost: float = 0.0
    samples: int = 0

    def value(self, reading: float, *, size: float, pooled: bool) -> float | None:
        """Return the metric's value with every failed answer read as ``reading``.

        ``size``: the mean denominator of a scored sample: a failed answer weighs as much in a pooled value.
        """
        if not pooled:
            return (self.above + self.lost * reading) / self.samples if self.samples else None
        below = self.below + self.lost * size
        return (self.above + self.lost * size * reading) / below if below > 0 else None


@dataclass(slots=True)
class MetricCounts:
    """What is counted about one metric beside its columns.

    ``n``: samples scored. ``unscored``: answers that are not. ``imperfect``, ``above_worst``: samples off the two
    ends of the range. ``binary``: no repeats, and every value 0 or 1. ``pooled``: the ratio of sums beside a mean,
    ``sizes`` the smallest and largest denominator. ``timings``: every value of a ``median`` metric. ``beside``: sum
    and number of each figure that the metric gives beside its values, over answers.
    """

    info: MetricInfo
    n: int = 0
    unscored: int = 0
    imperfect: int = 0
    above_worst: int = 0
    binary: bool = True
    reasons: Counter[str] = field(default_factory=Counter)
    pooled: list[float] = field(default_factory=lambda: [0.0, 0.0])
    sizes: tuple[float, float] | None = None
    timings: array[float] = field(default_factory=lambda: array("d"))
    failures: FailureSums = field(default_factory=FailureSums)
    beside: dict[str, list[float]] = field(default_factory=dict)


@dataclass(slots=True)
class FieldCounts:
    """One field: answers by outcome, the sums of its floors, the rest as in MetricCounts."""

    outcomes: Ints = field(default_factory=lambda: np.zeros(len(OUTCOMES), dtype=np.int64))
    floors: dict[FloorName, float] = field(default_factory=dict)
    n: int = 0
    imperfect: int = 0
    above_worst: int = 0
    binary: bool = True


@dataclass(slots=True)
class Slice:
    """The samples with one value of a metadata key: how many, and their columns (score columns only)."""

    columns: Columns
    n: int = 0


class _Rows:
    """Sums over the answers of each sample of a batch."""

    def __init__(self, group: Ints, samples: int) -> None:
        self.group = group
        self.samples = samples

    def total(self, values: Floats | Bools) -> Floats:
        """Return the sum of ``values`` (n,) by sample."""
        sums: Floats = np.bincount(self.group, weights=values, minlength=self.samples).astype(np.float64, copy=False)
        return sums


class Accumulator:
    """Takes scored batches of whole samples.

    Args:
        infos: the metrics, without those of one number a run.
        fields: names of the task's fields.
        floors: names of the floors that there are, ``unparseable`` among them.
        slices: metadata keys.
        kept: up to so many samples rows are kept for resampling.
    """

    def __init__(
        self,
        infos: Sequence[MetricInfo],
        *,
        fields: Sequence[str],
        floors: Sequence[FloorName],
        slices: Sequence[str],
        kept: int,
    ) -> None:
        self.metrics = {info.id: MetricCounts(info) for info in infos}
        self.fields = {name: FieldCounts() for name in fields}
        self.slices: dict[str, dict[str, Slice]] = {key: {} for key in slices}
        self._means = [info for info in infos if info.reduction != "median"]
        self._with_floor = [info for info in self._means if info.has_floor]
        self._floors = tuple(floors)
        self._kept = kept
        self._width = 2 * (len(self._means) + len(self._with_floor) * len(self._floors) + len(self.fields))
        self.columns = Columns(self._width, kept=kept)

    def score(self, metric: str) -> Ratio:
        """Return where the columns of a metric's score stand; the same in a slice."""
        at = next(index for index, info in enumerate(self._means) if info.id == metric)
        return Ratio(2 * at, 2 * at + 1)

    def floors(self, metric: str) -> dict[FloorName, Ratio]:
        """Return where the columns of a metric's floors stand; empty where it has none."""
        at = next((index for index, info in enumerate(self._with_floor) if info.id == metric), None)
        if at is None:
            return {}
        start = 2 * (len(self._means) + at * len(self._floors))
        return {name: Ratio(start + 2 * i, start + 2 * i + 1) for i, name in enumerate(self._floors)}

    def field(self, name: str) -> Ratio:
        """Return where the columns of a field stand."""
        start = 2 * (len(self._means) + len(self._with_floor) * len(self._floors) + list(self.fields).index(name))
        return Ratio(start, start + 1)

    def add(
        self,
        scored: ScoredBatch,
        group: Ints,
        floors: Mapping[FloorName, ScoredBatch],
        values: Mapping[str, Sequence[str | None]],
    ) -> None:
        """Take one batch.

        Args:
            scored: n answers.
            group: (n,) which of the batch's s samples each answer belongs to.
            floors: each floor's s answers, one a sample.
            values: by slice key, the s values; None where a sample has none.
        """
        samples = len(floors["unparseable"].predictions)
        rows = _Rows(group, samples)
        failed = np.ones(len(group), dtype=np.bool_)
        failed[scored.answered] = False
        block = np.zeros((samples, self._width))
        for info in self._means:
            self._add_metric(info, scored.scores[info.id], rows, failed=failed, floors=floors, block=block)
        for counts in self.metrics.values():
            self._count_unscored(counts, scored.scores[counts.info.id], failed)
            if counts.info.reduction == "median":
                found = scored.scores[counts.info.id]
                counts.timings.extend(found.values[found.scored].tolist())
        if scored.cells is not None:
            self._add_fields(scored.cells, _Rows(group[scored.answered], samples), floors, block)
        answered = rows.total(~failed) > 0
        self._add_slices(values, answered, block)
        self.columns.add(block[answered])

    def _add_metric(
        self,
        info: MetricInfo,
        scores: Scores,
        rows: _Rows,
        *,
        failed: Bools,
        floors: Mapping[FloorName, ScoredBatch],
        block: Floats,
    ) -> None:
        counts, ratio = self.metrics[info.id], self.score(info.id)
        repeats = rows.total(scores.scored)
        scored = repeats > 0
        above, below = _sums(info, scores, rows, repeats)
        block[:, ratio.numerator], block[:, ratio.denominator] = above, below
        counts.n += int(scored.sum())
        if info.best is not None:
            counts.imperfect += int((np.abs(above - below * info.best) > _SAME).sum())
        if info.worst is not None:
            counts.above_worst += int((np.abs(above - below * info.worst) > _SAME).sum())
        counts.binary &= _is_binary(above, repeats)
        for name, figures in scores.beside.items():
            there = figures[~np.isnan(figures)]
            sums = counts.beside.setdefault(name, [0.0, 0])
            sums[0] += float(there.sum())
            sums[1] += len(there)
        if info.reduction == "mean" and scores.numerators is not None and scores.denominators is not None:
            per = np.maximum(repeats, 1)
            sizes = scores.denominators[scores.scored]
            counts.pooled[0] += float((rows.total(scores.numerators) / per).sum())
            counts.pooled[1] += float((rows.total(scores.denominators) / per).sum())
            if sizes.size:
                low, high = counts.sizes or (np.inf, -np.inf)
                counts.sizes = (min(low, float(sizes.min())), max(high, float(sizes.max())))
        lost = rows.total(failed)
        worst = floors["unparseable"].scores.get(info.id)
        if worst is not None:
            lost = lost * worst.scored
        every = np.maximum(repeats + lost, 1)
        counts.failures.above += float((above * repeats / every).sum())
        counts.failures.below += float((below * repeats / every).sum())
        counts.failures.lost += float((lost / every).sum())
        counts.failures.samples += int((repeats + lost > 0).sum())
        for name, at in self.floors(info.id).items():
            floor = floors[name].scores[info.id]
            once = _Rows(np.arange(rows.samples), rows.samples)
            above, below = _sums(info, floor, once, floor.scored.astype(np.float64))
            block[:, at.numerator], block[:, at.denominator] = above * scored, below * scored

    def _count_unscored(self, counts: MetricCounts, scores: Scores, failed: Bools) -> None:
        unscored = np.flatnonzero(~scores.scored & ~failed)
        counts.unscored += len(unscored)
        for row in unscored.tolist():
            reason = scores.reasons.get(row, "the metric gave no reason")
            if reason in counts.reasons or len(counts.reasons) < _MOST_REASONS:
                counts.reasons[reason] += 1

    def _add_fields(self, cells: Cells, rows: _Rows, floors: Mapping[FloorName, ScoredBatch], block: Floats) -> None:
        for index, (name, counts) in enumerate(self.fields.items()):
            ratio = self.field(name)
            expected = cells.expected[:, index]
            repeats = rows.total(expected)
            asked = repeats > 0
            score = rows.total(cells.scores[:, index]) / np.maximum(repeats, 1)
            block[:, ratio.numerator], block[:, ratio.denominator] = score, asked
            counts.imperfect += int((score[asked] < 1 - _SAME).sum())
            counts.above_worst += int((score[asked] > _SAME).sum())
            counts.binary &= _is_binary(score, repeats)
            counts.outcomes += np.bincount(cells.outcomes[expected, index], minlength=len(OUTCOMES))
            counts.n += int(asked.sum())
            for floor, found in floors.items():
                if found.cells is not None:
                    total = float(found.cells.scores[asked, index].sum())
                    counts.floors[floor] = counts.floors.get(floor, 0.0) + total

    def _add_slices(self, values: Mapping[str, Sequence[str | None]], answered: Bools, block: Floats) -> None:
        width = 2 * len(self._means)
        folded = self.columns.streamed or self.columns.n + int(answered.sum()) > self._kept
        for key, of_key in values.items():
            places: dict[str, list[int]] = {}
            for row, value in enumerate(of_key):
                if value is not None and answered[row]:
                    places.setdefault(value, []).append(row)
            for value, at in places.items():
                one = self.slices[key].setdefault(value, Slice(Columns(width, kept=self._kept)))
                one.n += len(at)
                one.columns.add(block[at, :width])
            if folded:
                # A hundred slices below the limit would hold a hundred times its memory.
                for one in self.slices[key].values():
                    one.columns.fold()


def _is_binary(values: Floats, repeats: Floats) -> bool:
    return bool(((values == 0) | (values == 1)).all() and (repeats <= 1).all())


def _sums(info: MetricInfo, scores: Scores, rows: _Rows, repeats: Floats) -> tuple[Floats, Floats]:
    """Return each sample's numerator and denominator, averaged over its scored repeats."""
    per = np.maximum(repeats, 1)
    if info.reduction == "pooled" and scores.numerators is not None and scores.denominators is not None:
        return rows.total(scores.numerators) / per, rows.total(scores.denominators) / per
    return rows.total(scores.values * scores.scored) / per, (repeats > 0).astype(np.float64)
