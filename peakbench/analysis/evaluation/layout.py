"""Where each number of a sample stands: in its row of columns, and in its row of tallies.

*Columns* are what intervals are made of: of a metric (numerator, denominator) of the score and of each floor, of a
field score, 1 and the floors' scores; unscored is (0, 0). *Tallies* are only ever summed: how many samples are scored,
how many stand off the ends of the range, what became of a field, and what the value would be with the failed answers
read. The whole run and each of its slices have the same columns and the same tallies, so every number of the one is a
number of the other.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from itertools import count

from peakbench.analysis.evaluation.baselines import FloorName
from peakbench.metrics.base import Floats, MetricInfo
from peakbench.records import OUTCOMES
from peakbench.statistics import Ratio

TALLIES = ("n", "unscored", "imperfect", "above_worst", "mixed", "above", "below", "lost", "samples")
"""``mixed``: samples with repeats, or a value other than 0 and 1. The last four are those of :class:`FailureSums`."""


@dataclass(frozen=True, slots=True)
class FailureSums:
    """Sums over samples, each averaged over its scored and its failed answers.

    ``lost`` sums each sample's share of failed answers; ``samples`` counts those with an answer of either kind.
    """

    above: float
    below: float
    lost: float
    samples: int

    def value(self, reading: float, *, size: float = 1.0, pooled: bool = False) -> float | None:
        """Return the value with every failed answer read as ``reading``.

        ``size``: the mean denominator of a scored sample: a failed answer weighs as much in a pooled value.

        >>> FailureSums(above=1.0, below=2.0, lost=2.0, samples=4).value(1.0)
        0.75
        """
        if not pooled:
            return (self.above + self.lost * reading) / self.samples if self.samples else None
        below = self.below + self.lost * size
        return (self.above + self.lost * size * reading) / below if below > 0 else None


@dataclass(frozen=True, slots=True)
class Counts:
    """What is counted about a metric or a field, over a run or a slice.

    ``n``: samples scored. ``unscored``: answers that are not, failed ones apart. ``imperfect``, ``above_worst``:
    samples off the two ends of the range. ``binary``: no repeats, and every value 0 or 1. ``outcomes``: of a field,
    its answers in the order of ``OUTCOMES``.
    """

    n: int
    unscored: int
    imperfect: int
    above_worst: int
    binary: bool
    failures: FailureSums
    outcomes: tuple[int, ...] = ()


@dataclass(frozen=True, slots=True)
class Places:
    """Where a metric or a field stands: its score and its floors in the columns, ``tallies`` where its tallies begin.

    A floor without a place has the worst value of the range by rule.
    """

    score: Ratio
    floors: Mapping[FloorName, Ratio]
    tallies: int

    def tally(self, name: str) -> int:
        """Return the place of one tally.

        >>> Places(Ratio(0, 1), {}, tallies=9).tally("imperfect")
        11
        """
        return self.tallies + TALLIES.index(name)

    def outcomes(self) -> slice:
        """Return the places of a field's outcomes."""
        start = self.tallies + len(TALLIES)
        return slice(start, start + len(OUTCOMES))

    def counts(self, sums: Floats, *, is_field: bool = False) -> Counts:
        """Read the counts out of the tallies' sums, shape (tallies,)."""
        n, unscored, imperfect, above_worst, mixed, above, below, lost, samples = sums[
            self.tallies : self.tallies + len(TALLIES)
        ].tolist()
        outcomes = tuple(round(one) for one in sums[self.outcomes()].tolist()) if is_field else ()
        failures = FailureSums(above, below, lost, round(samples))
        return Counts(round(n), round(unscored), round(imperfect), round(above_worst), not mixed, failures, outcomes)


class Layout:
    """The places of all metrics and fields; ``width`` columns and ``tallies`` tallies a sample.

    Args:
        infos: the metrics that have a value by sample: neither ``median`` nor ``run``.
        fields: names of the task's fields.
        floors: names of the floors that there are.
        worst_by_rule: by metric, and under ``None`` for the fields: the floors that are the worst value by rule. They
            take no place.
    """

    def __init__(
        self,
        infos: Sequence[MetricInfo],
        *,
        fields: Sequence[str],
        floors: Sequence[FloorName],
        worst_by_rule: Mapping[str | None, frozenset[FloorName]],
    ) -> None:
        columns, tallies = count(), 0
        self.metrics: dict[str, Places] = {}
        self.fields: dict[str, Places] = {}
        for info in infos:
            score = Ratio(next(columns), next(columns))
            stored = [name for name in floors if info.has_floor and name not in worst_by_rule[info.id]]
            found = {name: Ratio(next(columns), next(columns)) for name in stored}
            self.metrics[info.id] = Places(score, found, tallies)
            tallies += len(TALLIES)
        for field in fields:
            score = Ratio(next(columns), next(columns))
            stored = [name for name in floors if name not in worst_by_rule[None]]
            # whether a sample's reference has the field is the same for the score and the floors
            found = {name: Ratio(next(columns), score.denominator) for name in stored}
            self.fields[field] = Places(score, found, tallies)
            tallies += len(TALLIES) + len(OUTCOMES)
        self.width = next(columns)
        self.tallies = tallies
