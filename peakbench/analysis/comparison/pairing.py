"""Two runs side by side: which of their samples, metrics and fields can be held against each other.

A pair is a sample that both runs were asked about, with the same reference. A metric or a field is comparable where its
signatures are equal; a pair counts where both sides are scored (a pooled metric: where both were answered, since a row
of zero over zero is an observation there).
"""

from __future__ import annotations

from dataclasses import dataclass
from typing import Literal

import numpy as np

from peakbench.analysis.comparison.scoretable import FieldColumns, MetricColumns, ScoreTable, shared_ids
from peakbench.errors import NotComparable, nearest
from peakbench.metrics.base import Floats, Ints

How = Literal["same", "common", "unpaired"]
"""``same``: both runs over the same samples, else refused; ``common``: the samples that both share; ``unpaired``."""


@dataclass(frozen=True, slots=True)
class Columns:
    """What is compared: (numerator, denominator) rows of two runs, shapes (n, 2) and (m, 2); n = m where paired.

    A pair that does not count is (0, 0) on both sides. ``n``: pairs that count (unpaired: rows of the smaller side).
    ``dropped``: pairs that do not. ``binary``: every value 0 or 1, without repeats.
    """

    first: Floats
    second: Floats
    n: int
    dropped: int
    higher_is_better: bool
    low: float | None
    high: float | None
    pooled: bool
    binary: bool


@dataclass(frozen=True, slots=True)
class Pairing:
    """Two tables and their rows: ``left[i]`` and ``right[i]`` are one sample where paired, else all rows of each."""

    first: ScoreTable
    second: ScoreTable
    paired: bool
    left: Ints
    right: Ints
    notes: tuple[str, ...] = ()

    @property
    def ids(self) -> tuple[str, ...]:
        """The samples that are compared, in the order of the first run; of the first run where unpaired."""
        return tuple(self.first.ids[row] for row in self.left.tolist())

    def metric(self, name: str) -> Columns:
        """Return the columns of a metric.

        Raises:
            NotComparable: one run lacks it, it is unscored in one, or it means something else there.
        """
        sides: list[MetricColumns] = []
        for table in (self.first, self.second):
            if name not in table.metrics:
                hint = f"{nearest(name, table.metrics)}; or score it: peakbench score {table.origin.path} --metrics all"
                raise NotComparable(f"{name} is not among its scores", where=table.origin.path, hint=hint)
            found = table.metrics[name]
            if found.problem is not None:
                raise NotComparable(f"{name}: {found.problem}", where=table.origin.path)
            sides.append(found)
        one, two = sides
        if one.signature != two.signature:
            raise NotComparable(
                f"{name} means two things: {one.signature} and {two.signature}",
                where=f"{self.first.origin.path}, {self.second.origin.path}",
                hint="score both runs again, with the same release, definitions and models",
            )
        pooled = one.reduction == "pooled"
        left = np.column_stack([one.above, one.below])[self.left]
        right = np.column_stack([two.above, two.below])[self.right]
        n, dropped = len(left), 0
        if self.paired:
            if pooled:
                counts = (self.first.failed[self.left] < 1) & (self.second.failed[self.right] < 1)
            else:
                counts = (left[:, 1] > 0) & (right[:, 1] > 0)
            left, right = left * counts[:, None], right * counts[:, None]
            n = int(counts.sum())
            dropped = len(counts) - n
        else:
            scored = [int((side[:, 1] > 0).sum()) for side in (left, right)]
            n, dropped = min(scored), len(left) + len(right) - sum(scored)
        if not n:
            raise NotComparable(f"{name}: no sample is scored in both runs", where=self.first.origin.path)
        return Columns(
            left, right, n, dropped, one.higher_is_better, one.low, one.high, pooled, one.binary and two.binary
        )

    def field(self, name: str) -> Columns:
        """Return the columns of a field's score.

        Raises:
            NotComparable: one run lacks the field, or compares it otherwise.
        """
        one, two = self._fields(name)
        left = np.column_stack([one.score, one.asked])[self.left]
        right = np.column_stack([two.score, two.asked])[self.right]
        n, dropped = min(len(left), len(right)), 0
        if self.paired:
            counts = (left[:, 1] > 0) & (right[:, 1] > 0)
            left, right = left * counts[:, None], right * counts[:, None]
            n = int(counts.sum())
            dropped = len(counts) - n
        whole = all(bool(np.isin(side[:, 0], (0.0, 1.0)).all()) for side in (left, right))
        once = self.first.repeats == self.second.repeats == 1
        return Columns(left, right, n, dropped, True, 0.0, 1.0, False, whole and once)

    def field_outcomes(self, name: str) -> tuple[Floats, Floats]:
        """Return the outcome shares of both sides, shapes (n, 6) and (m, 6); rows of zeros where not asked.

        Raises:
            NotComparable: as :meth:`field`.
        """
        one, two = self._fields(name)
        return one.outcomes[self.left], two.outcomes[self.right]

    def _fields(self, name: str) -> tuple[FieldColumns, FieldColumns]:
        sides: list[FieldColumns] = []
        for table in (self.first, self.second):
            if name not in table.fields:
                raise NotComparable(f"no field '{name}'", where=table.origin.path, hint=nearest(name, table.fields))
            sides.append(table.fields[name])
        one, two = sides
        if one.signature is None or one.signature != two.signature:
            raise NotComparable(
                f"field {name} is compared in two ways: {one.signature} and {two.signature}",
                where=f"{self.first.origin.path}, {self.second.origin.path}",
                hint="score both runs again, with the same release and task",
            )
        return one, two


def pair(first: ScoreTable, second: ScoreTable, *, how: How = "same") -> Pairing:
    """Put two runs side by side.

    Raises:
        NotComparable: they did different tasks; ``how`` is ``same`` and their samples differ; no sample is shared.
    """
    one, two = first.origin, second.origin
    where = f"{one.path}, {two.path}"
    if one.task_id != two.task_id or set(first.fields) != set(second.fields):
        raise NotComparable(
            f"two tasks: {one.task_id} v{one.task_version} with {len(first.fields)} fields, "
            f"{two.task_id} v{two.task_version} with {len(second.fields)}",
            where=where,
            expected="runs of one task",
        )
    shared = list(shared_ids(first, second))
    if how == "unpaired":
        if len(shared) == len(first.ids) == len(second.ids):
            raise NotComparable("the samples are the same, so they are to be paired", where=where)
        note = "unpaired: the samples differ, so the interval holds for two independent draws"
        return Pairing(first, second, False, np.arange(len(first.ids)), np.arange(len(second.ids)), (note,))
    notes = []
    if one.task_version != two.task_version:
        notes.append(f"the task's version differs: {one.task_version} and {two.task_version}")
    if one.data_fingerprint != two.data_fingerprint:
        foreign = _differ(first, second, shared)
        if foreign and how == "same":
            raise NotComparable(
                f"the samples differ: {foreign}",
                where=where,
                hint="compare those that both share (--common), or all as independent draws (--unpaired)",
            )
        if foreign:
            notes.append(f"only the {len(shared):,} samples that both share: {foreign}")
        else:
            notes.append("the same samples and references; images, prompts or metadata differ")
    elif len(shared) < max(len(first.ids), len(second.ids)):
        lacking = max(len(first.ids), len(second.ids)) - len(shared)
        notes.append(f"{lacking:,} {'sample was' if lacking == 1 else 'samples were'} not asked in both runs")
    if not shared:
        raise NotComparable("no sample is shared", where=where, hint="as independent draws: --unpaired")
    left = np.array([first.places[sample_id] for sample_id in shared], dtype=np.int64)
    right = np.array([second.places[sample_id] for sample_id in shared], dtype=np.int64)
    return Pairing(first, second, True, left, right, tuple(notes))


def _differ(first: ScoreTable, second: ScoreTable, shared: list[str]) -> str:
    """Say how the samples of two data sets differ, empty where every id and reference is the same."""
    same = set(shared)
    changed = [one for one in first.ids if one in second.places and one not in same]
    only_first = [one for one in first.ids if one not in second.places]
    only_second = [one for one in second.ids if one not in first.places]
    parts = [
        f"{len(ids):,} {words} (as {ids[0]})"
        for ids, words in (
            (changed, "with another reference"),
            (only_first, "only in the first"),
            (only_second, "only in the second"),
        )
        if ids
    ]
    return ", ".join(parts)
