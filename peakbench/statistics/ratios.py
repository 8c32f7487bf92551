"""Statistics of a run: ratios of column sums, skill, and the difference of two."""

from __future__ import annotations

from dataclasses import dataclass
from typing import Protocol

import numpy as np
import numpy.typing as npt

from peakbench.statistics.estimates import TIE, Floats


class Statistic(Protocol):
    """A smooth function of column sums."""

    @property
    def columns(self) -> tuple[int, ...]:
        """The columns it reads, each once."""
        ...

    def of(self, sums: Floats) -> Floats:
        """Return the statistic of each row of sums (m, k), shape (m,), NaN where it is not defined."""
        ...

    def gradient(self, means: Floats) -> Floats:
        """Return the derivative with respect to each column mean, shape (k,)."""
        ...

    def support(self, counts: npt.NDArray[np.int64]) -> int:
        """Return how many samples it rests on, given how many rows of each column are not 0."""
        ...


@dataclass(frozen=True, slots=True)
class Ratio:
    """Sum of one column over the sum of another (none of whose values is negative).

    >>> Ratio(0, 1).of(np.array([[3.0, 4.0], [0.0, 0.0]])).tolist()
    [0.75, nan]
    """

    numerator: int
    denominator: int

    @property
    def columns(self) -> tuple[int, ...]:
        """Numerator, denominator."""
        return (self.numerator, self.denominator)

    def of(self, sums: Floats) -> Floats:
        """Return the ratio for each row of sums."""
        above, below = sums[:, self.numerator], sums[:, self.denominator]
        # Leaving the only row out that counts leaves a rounding error, not a 0.
        defined = below > TIE * np.max(below, initial=0.0)
        values: Floats = np.divide(above, below, out=np.full(above.shape, np.nan), where=defined)
        return values

    def gradient(self, means: Floats) -> Floats:
        """Return 1 / d and -n / d^2 at the two columns."""
        slope = np.zeros(means.shape)
        below = means[self.denominator]
        slope[self.numerator] = 1 / below
        slope[self.denominator] = -means[self.numerator] / below**2
        return slope

    def support(self, counts: npt.NDArray[np.int64]) -> int:
        """Return how many samples have a denominator."""
        return int(counts[self.denominator])


@dataclass(frozen=True, slots=True)
class Skill:
    """``(score - floor) / (best - floor)``, floor being the best-scoring of the ``floors`` (at least one).

    The floor is chosen anew in every resample, so score and floor are drawn together. Where a lower score is better
    (``best`` below the floors) the same formula holds and the floor is the lowest of them.

    >>> Skill(Ratio(0, 2), (Ratio(1, 2),), best=1.0).of(np.array([[7.5, 5.0, 10.0]])).tolist()
    [0.5]
    """

    score: Ratio
    floors: tuple[Ratio, ...]
    best: float
    higher_is_better: bool = True

    @property
    def columns(self) -> tuple[int, ...]:
        """The columns of the score and of every floor."""
        return tuple({column: None for ratio in (self.score, *self.floors) for column in ratio.columns})

    def of(self, sums: Floats) -> Floats:
        """Return the skill for each row of sums; NaN where the floor is the best possible."""
        floors = np.stack([floor.of(sums) for floor in self.floors])
        floor = np.fmax.reduce(floors) if self.higher_is_better else np.fmin.reduce(floors)
        short, room = self.score.of(sums) - floor, self.best - floor
        values: Floats = np.divide(short, room, out=np.full(len(sums), np.nan), where=np.abs(room) > TIE)
        return values

    def gradient(self, means: Floats) -> Floats:
        """Return the chain rule over the score's and the highest floor's ratio."""
        floors = [float(floor.of(means[None, :])[0]) for floor in self.floors]
        at = int(np.nanargmax(floors) if self.higher_is_better else np.nanargmin(floors))
        score, room = float(self.score.of(means[None, :])[0]), self.best - floors[at]
        slope: Floats = self.score.gradient(means) / room
        return slope + self.floors[at].gradient(means) * (score - self.best) / room**2

    def support(self, counts: npt.NDArray[np.int64]) -> int:
        """Return how many samples the score rests on."""
        return self.score.support(counts)


@dataclass(frozen=True, slots=True)
class Difference:
    """``second - first``, over the columns of two runs side by side (``np.hstack``).

    A row is a sample that both were asked about. Resamples draw its two sides together: the interval is the paired one.

    >>> Difference(Ratio(0, 1), Ratio(2, 3)).of(np.array([[3.0, 4, 4, 4]])).tolist()
    [0.25]
    """

    first: Statistic
    second: Statistic

    @property
    def columns(self) -> tuple[int, ...]:
        """The columns of both sides."""
        return tuple({column: None for side in (self.first, self.second) for column in side.columns})

    def of(self, sums: Floats) -> Floats:
        """Return the difference for each row of sums; NaN where one side is not defined."""
        values: Floats = self.second.of(sums) - self.first.of(sums)
        return values

    def gradient(self, means: Floats) -> Floats:
        """Return the second gradient less the first."""
        slope: Floats = self.second.gradient(means) - self.first.gradient(means)
        return slope

    def support(self, counts: npt.NDArray[np.int64]) -> int:
        """Return how many samples the side with fewer rests on."""
        return min(self.first.support(counts), self.second.support(counts))
