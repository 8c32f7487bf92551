"""Scored batches in, columns and tallies out: what a run's numbers are made of, sample by sample.

One sample is one row. Its repeats are averaged into it first: a mean over the repeats that are scored, for pooled
metrics of the numerators and of the denominators. A floor counts only where the score does, so both rest on the same
samples. Where each number stands says :mod:`peakbench.analysis.evaluation.layout`.
"""

from __future__ import annotations

from array import array
from collections import Counter
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field

import numpy as np

from peakbench.analysis.evaluation.baselines import FloorName
from peakbench.analysis.evaluation.layout import Layout, Places
from peakbench.metrics.base import Bools, Cells, Floats, Ints, MetricInfo, Scores
from peakbench.records import OUTCOMES
from peakbench.scoring import ScoredBatch
from peakbench.statistics import Bootstrap, Columns, Moments

_MOST_REASONS = 100
_SAME = 1e-9


@dataclass(slots=True)
class MetricFindings:
    """What is found out about one metric over the whole run, beside its columns and tallies.

    ``unscored``: answers without a value, failed ones apart. ``pooled``: the ratio of sums beside a mean, ``sizes``
    the smallest and largest denominator. ``timings``: every value of a ``median`` metric. ``beside``: sum and number
    of each figure that the metric gives beside its values, over answers.
    """

    info: MetricInfo
    unscored: int = 0
    reasons: Counter[str] = field(default_factory=Counter)
    pooled: list[float] = field(default_factory=lambda: [0.0, 0.0])
    sizes: tuple[float, float] | None = None
    timings: array[float] = field(default_factory=lambda: array("d"))
    beside: dict[str, list[float]] = field(default_factory=dict)

    @property
    def reason(self) -> str | None:
        """The most frequent reason for an answer without a value."""
        common = self.reasons.most_common(1)
        return common[0][0] if common else None


@dataclass(slots=True)
class Scope:
    """The samples that numbers are made over: all of a run, or those of a slice.

    ``n``: samples with an answer. ``answers``, ``failed``: requests that ended, and those of them without an answer.
    ``sums``: of the tallies. ``rows``: of a slice, the numbers of its rows in the run's columns, while those are kept;
    ``moments``: of a slice, once they are not.
    """

    sums: Floats
    n: int = 0
    answers: int = 0
    failed: int = 0
    rows: array[int] = field(default_factory=lambda: array("q"))
    moments: Moments | None = None


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
        unread_is_worst: whether an answer that cannot be read has the worst value, by rule; not so under a profile.
    """

    def __init__(
        self,
        infos: Sequence[MetricInfo],
        *,
        fields: Sequence[str],
        floors: Sequence[FloorName],
        slices: Sequence[str],
        kept: int,
        unread_is_worst: bool = True,
    ) -> None:
        self.metrics = {info.id: MetricFindings(info) for info in infos}
        self.slices: dict[str, dict[str, Scope]] = {key: {} for key in slices}
        self.floors = tuple(floors)
        self._means = [info for info in infos if info.reduction != "median"]
        worst = frozenset[FloorName]({"unparseable"}) if unread_is_worst else frozenset[FloorName]()
        self.layout = Layout(
            self._means,
            fields=fields,
            floors=floors,
            worst_by_rule={None: worst, **{i.id: worst if i.reads_answer else frozenset() for i in self._means}},
        )
        self.whole = Scope(np.zeros(self.layout.tallies))
        self._kept = kept
        self._columns = Columns(self.layout.width, kept=kept)
        # The same arrays that ``_columns`` keeps, for the slices; given up together.
        self._blocks: list[Floats] = []

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
        batch = _Batch(
            np.zeros((samples, self.layout.width)), np.zeros((samples, self.layout.tallies)), rows, failed, floors
        )
        for info in self._means:
            batch.add_metric(info, self.layout.metrics[info.id], scored.scores[info.id])
        for findings in self.metrics.values():
            _note(findings, scored.scores[findings.info.id], rows, failed)
        if scored.cells is not None:
            answered_rows = _Rows(group[scored.answered], samples)
            for index, places in enumerate(self.layout.fields.values()):
                batch.add_field(index, places, scored.cells, answered_rows)
        self._place(batch, values)

    def _place(self, batch: _Batch, values: Mapping[str, Sequence[str | None]]) -> None:
        """Put a batch's rows and tallies where they belong: the whole run, and each slice."""
        answers, failed = batch.rows.total(np.ones(len(batch.failed))), batch.rows.total(batch.failed)
        answered = answers > failed
        kept = not self._columns.streamed and self._columns.n + int(answered.sum()) <= self._kept
        if not kept:
            self._fold()
        numbers = self._columns.n + np.cumsum(answered) - 1

        def count(scope: Scope, at: Ints) -> None:
            scope.sums += batch.tallies[at].sum(axis=0)
            scope.answers += int(answers[at].sum())
            scope.failed += int(failed[at].sum())
            scope.n += int(answered[at].sum())

        count(self.whole, np.arange(len(answers)))
        for key, of_key in values.items():
            members: dict[str, list[int]] = {}
            for row, value in enumerate(of_key):
                if value is not None:
                    members.setdefault(value, []).append(row)
            for value, found in members.items():
                at = np.array(found, dtype=np.int64)
                scope = self.slices[key].setdefault(value, Scope(np.zeros(self.layout.tallies)))
                count(scope, at)
                at = at[answered[at]]
                if kept:
                    scope.rows.extend(numbers[at].tolist())
                else:
                    scope.moments = scope.moments or Moments(self.layout.width)
                    scope.moments.add(batch.columns[at])
        block = batch.columns[answered]
        self._columns.add(block)
        if kept:
            self._blocks.append(block)

    def _fold(self) -> None:
        """Give the kept rows up for moments, in the slices too."""
        if not self._blocks:
            return
        rows = np.concatenate(self._blocks)
        self._blocks.clear()
        self._columns.fold()
        for scope in (one for of_key in self.slices.values() for one in of_key.values()):
            scope.moments = Moments(self.layout.width)
            scope.moments.add(rows[np.frombuffer(scope.rows, dtype=np.int64)] if scope.rows else rows[:0])
            scope.rows = array("q")

    def close(self, *, resamples: int, seed: int) -> Bootstrap | Moments:
        """Return what estimates the numbers of the whole run."""
        self._blocks.clear()
        return self._columns.close(resamples=resamples, seed=seed)

    def estimator_of(
        self, scope: Scope, whole: Bootstrap | Moments, *, resamples: int, seed: int
    ) -> Bootstrap | Moments:
        """Return what estimates the numbers of a slice; ``whole``: that of the run, whose rows hold the slice's."""
        if scope.moments is not None:
            return scope.moments
        if isinstance(whole, Moments):
            return Moments(self.layout.width)
        rows = np.frombuffer(scope.rows, dtype=np.int64) if scope.rows else np.zeros(0, dtype=np.int64)
        return Bootstrap(whole.columns[rows], resamples=resamples, seed=seed)


@dataclass(frozen=True, slots=True)
class _Batch:
    """The columns (s, width) and tallies (s, tallies) of a batch's s samples, being filled.

    ``failed``: (n,) which answers failed. ``floors``: each floor's s answers.
    """

    columns: Floats
    tallies: Floats
    rows: _Rows
    failed: Bools
    floors: Mapping[FloorName, ScoredBatch]

    def add_metric(self, info: MetricInfo, places: Places, scores: Scores) -> None:
        """Fill in a metric."""
        repeats = self.rows.total(scores.scored)
        scored = repeats > 0
        above, below = _sums(info, scores, self.rows, repeats)
        self._put(places, above, below)
        worst = self.floors["unparseable"].scores.get(info.id)
        lost = self.rows.total(self.failed)
        self._tally(
            places,
            above,
            below,
            repeats,
            lost if worst is None else lost * worst.scored,
            imperfect=_off(above, below, info.best) if info.best is not None else None,
            above_worst=_off(above, below, info.worst) if info.worst is not None else None,
        )
        self.tallies[:, places.tally("unscored")] = self.rows.total(~scores.scored & ~self.failed)
        for name, at in places.floors.items():
            floor = self.floors[name].scores[info.id]
            once = _Rows(np.arange(self.rows.samples), self.rows.samples)
            above, below = _sums(info, floor, once, floor.scored.astype(np.float64))
            self.columns[:, at.numerator], self.columns[:, at.denominator] = above * scored, below * scored

    def add_field(self, index: int, places: Places, cells: Cells, rows: _Rows) -> None:
        """Fill in the field in column ``index`` of the cells, whose rows are the answers that did not fail."""
        expected = cells.expected[:, index]
        repeats = rows.total(expected)
        asked = repeats > 0
        score = rows.total(cells.scores[:, index]) / np.maximum(repeats, 1)
        self._put(places, score, asked.astype(np.float64))
        worst = self.floors["unparseable"].cells
        there = worst.expected[:, index] if worst is not None else asked
        self._tally(
            places,
            score,
            asked.astype(np.float64),
            repeats,
            self.rows.total(self.failed) * there,
            imperfect=asked & (score < 1 - _SAME),
            above_worst=asked & (score > _SAME),
        )
        cell = rows.group[expected] * len(OUTCOMES) + cells.outcomes[expected, index]
        counted = np.bincount(cell, minlength=rows.samples * len(OUTCOMES))
        self.tallies[:, places.outcomes()] = counted.reshape(rows.samples, len(OUTCOMES))
        for name, at in places.floors.items():
            found = self.floors[name].cells
            if found is not None:
                self.columns[:, at.numerator] = found.scores[:, index] * asked

    def _put(self, places: Places, above: Floats, below: Floats) -> None:
        self.columns[:, places.score.numerator], self.columns[:, places.score.denominator] = above, below

    def _tally(
        self,
        places: Places,
        above: Floats,
        below: Floats,
        repeats: Floats,
        lost: Floats,
        *,
        imperfect: Bools | None,
        above_worst: Bools | None,
    ) -> None:
        every = np.maximum(repeats + lost, 1)
        columns: dict[str, Floats | Bools] = {
            "n": repeats > 0,
            "mixed": (repeats > 1) | ((above != 0) & (above != 1)),
            "above": above * repeats / every,
            "below": below * repeats / every,
            "lost": lost / every,
            "samples": repeats + lost > 0,
        }
        if imperfect is not None:
            columns["imperfect"] = imperfect
        if above_worst is not None:
            columns["above_worst"] = above_worst
        for name, column in columns.items():
            self.tallies[:, places.tally(name)] = column


def _note(findings: MetricFindings, scores: Scores, rows: _Rows, failed: Bools) -> None:
    """Take down what is found out over the whole run only."""
    info = findings.info
    unscored = np.flatnonzero(~scores.scored & ~failed)
    findings.unscored += len(unscored)
    for row in unscored.tolist():
        reason = scores.reasons.get(row, "the metric gave no reason")
        if reason in findings.reasons or len(findings.reasons) < _MOST_REASONS:
            findings.reasons[reason] += 1
    if info.reduction == "median":
        findings.timings.extend(scores.values[scores.scored].tolist())
        return
    for name, figures in scores.beside.items():
        there = figures[~np.isnan(figures)]
        sums = findings.beside.setdefault(name, [0.0, 0])
        sums[0] += float(there.sum())
        sums[1] += len(there)
    if info.reduction == "mean" and scores.numerators is not None and scores.denominators is not None:
        per = np.maximum(rows.total(scores.scored), 1)
        sizes = scores.denominators[scores.scored]
        findings.pooled[0] += float((rows.total(scores.numerators) / per).sum())
        findings.pooled[1] += float((rows.total(scores.denominators) / per).sum())
        if sizes.size:
            low, high = findings.sizes or (np.inf, -np.inf)
            findings.sizes = (min(low, float(sizes.min())), max(high, float(sizes.max())))


def _off(above: Floats, below: Floats, end: float) -> Bools:
    off: Bools = np.abs(above - below * end) > _SAME
    return off


def _sums(info: MetricInfo, scores: Scores, rows: _Rows, repeats: Floats) -> tuple[Floats, Floats]:
    """Return each sample's numerator and denominator, averaged over its scored repeats."""
    per = np.maximum(repeats, 1)
    if info.reduction == "pooled" and scores.numerators is not None and scores.denominators is not None:
        return rows.total(scores.numerators) / per, rows.total(scores.denominators) / per
    return rows.total(scores.values * scores.scored) / per, (repeats > 0).astype(np.float64)
