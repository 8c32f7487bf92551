"""Means, ratios, their intervals: arrays in, numbers out.

Every number of a run is a function of sums over samples: a mean is ``sum(value) / sum(1 where scored)``, a pooled
value ``sum(numerator) / sum(denominator)``, skill a function of two such ratios. So one sample is one row of
*columns*, an unscored one has (0, 0), and one set of resamples serves every number. Repeats of one sample are
averaged into its row before they come here: samples are what is drawn, never answers.

Sources
    * BCa bootstrap: Efron (1987), "Better bootstrap confidence intervals", JASA 82; DiCiccio & Efron (1996), "Bootstrap
      confidence intervals", Statistical Science 11, eqs. 2.3 and 6.6; Efron & Tibshirani (1993), chapter 14.
    * Wilson interval: Wilson (1927), JASA 22; Newcombe (1998), Statistics in Medicine 17, method 3.
    * Interval of a quantile from order statistics: Conover (1999), section 3.2; David & Nagaraja (2003), section 7.1.
    * Variance of a ratio (delta method): Cochran (1977), section 2.11. Merging moments: Chan, Golub & LeVeque (1983).
"""

from __future__ import annotations

import math
from dataclasses import dataclass
from statistics import NormalDist
from typing import Literal, Protocol

import numpy as np
import numpy.typing as npt

Floats = npt.NDArray[np.float64]

Method = Literal["bca", "percentile", "wilson", "normal", "order", "none"]
"""How an interval was made; ``percentile`` where BCa's corrections are not defined, ``none`` where there is none."""

LEVEL = 0.95
"""Coverage of every interval."""

KEPT = 20_000
"""Up to so many samples the columns are kept and resampled; above it only their moments are."""

FEW_SAMPLES = 100
FEW_DIFFERENT = 10

_NORMAL = NormalDist()
_Z = _NORMAL.inv_cdf(0.5 + LEVEL / 2)
_TIE = 1e-12
_BLOCK = 2_000_000  # counts held at a time: 16 MB


@dataclass(frozen=True, slots=True)
class Estimate:
    """A number and its 95 % interval; None, never NaN, where there is none, and ``reason`` says why.

    ``n``: samples it rests on. ``unreliable``: why the interval is not to be trusted, or None.
    """

    value: float | None
    low: float | None
    high: float | None
    method: Method
    n: int
    reason: str | None = None
    unreliable: str | None = None


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
        defined = below > _TIE * np.max(below, initial=0.0)
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
        values: Floats = np.divide(short, room, out=np.full(len(sums), np.nan), where=np.abs(room) > _TIE)
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


def wilson(successes: int, n: int) -> Estimate:
    """Return a rate of independent trials with its Wilson score interval.

    Newcombe (1998), table I: 81 of 263 gives 0.2553 to 0.3662.

    >>> e = wilson(81, 263)
    >>> round(e.low, 4), round(e.high, 4)
    (0.2553, 0.3662)
    """
    if not n:
        return Estimate(None, None, None, "none", 0, reason="no sample is scored")
    rate, square = successes / n, _Z * _Z
    centre = (2 * n * rate + square) / (2 * (n + square))
    half = _Z * math.sqrt(square + 4 * n * rate * (1 - rate)) / (2 * (n + square))
    low = 0.0 if successes == 0 else centre - half
    high = 1.0 if successes == n else centre + half
    return Estimate(rate, low, high, "wilson", n)


def quantile(ordered: Floats, share: float) -> Estimate:
    """Return a quantile of sorted values (linear interpolation) with its interval from order statistics.

    The interval is (x_(l), x_(u)), l the largest rank with P(Bin(n, share) <= l - 1) <= 2.5 %, u the smallest with
    P(Bin(n, share) <= u - 1) >= 97.5 %: exact, whatever the distribution. Ten values give ranks 2 and 9 for the
    median (coverage 97.9 %); below six there is no such rank.

    >>> e = quantile(np.arange(1.0, 11.0), 0.5)
    >>> e.value, e.low, e.high
    (5.5, 2.0, 9.0)
    """
    n = len(ordered)
    if not n:
        return Estimate(None, None, None, "none", 0, reason="no answer was timed")
    value = float(np.quantile(ordered, share))
    start, reached = _binomial(n, share)
    tail = (1 - LEVEL) / 2
    lower = start + int(np.searchsorted(reached, tail, side="right"))
    upper = start + int(np.searchsorted(reached, 1 - tail, side="left")) + 1
    if lower < 1 or upper > n:
        return Estimate(value, None, None, "none", n, reason=f"{n} values are too few for an interval of this quantile")
    return Estimate(value, float(ordered[lower - 1]), float(ordered[upper - 1]), "order", n)


def _binomial(n: int, share: float) -> tuple[int, Floats]:
    """Return k and P(Bin(n, share) <= k), P(... <= k + 1), ... over twelve standard deviations around the mean."""
    reach = 12 * math.sqrt(n * share * (1 - share)) + 12
    first, last = max(0, int(n * share - reach)), min(n, int(n * share + reach))
    k = np.arange(first, last, dtype=np.float64)
    odds = math.log(share / (1 - share))
    logs = np.concatenate([[0.0], np.cumsum(np.log((n - k) / (k + 1)) + odds)])
    shares = np.exp(logs - logs.max())
    return first, np.cumsum(shares) / shares.sum()


@dataclass(frozen=True, slots=True)
class BCa:
    """A BCa interval with its bias correction z0 and acceleration a."""

    low: float
    high: float
    z0: float
    a: float
    method: Method


def bca(value: float, resampled: Floats, jackknife: Floats) -> BCa:
    """Return the bias-corrected and accelerated interval of a bootstrap distribution.

    z0 = Phi^-1(share of resamples below ``value``, ties counted half);
    a = sum(d^3) / (6 sum(d^2)^1.5), d = mean(jackknife) - jackknife;
    the ends are the quantiles Phi(z0 + (z0 + z) / (1 - a (z0 + z))) at z = -+1.96.
    Where no resample lies on one side of the value, or the acceleration has a pole inside the interval, the
    correction is not defined: the ends are the plain percentiles and ``method`` says so.

    Args:
        value: the statistic of the sample.
        resampled: the statistic of each resample, finite.
        jackknife: the statistic with one sample left out, finite.
    """
    tie = _TIE * max(abs(value), float(np.max(np.abs(resampled))))
    below = np.count_nonzero(resampled < value - tie)
    level = np.count_nonzero(np.abs(resampled - value) <= tie)
    share = (below + level / 2) / len(resampled)
    apart = np.mean(jackknife) - jackknife
    spread = float(np.sum(apart**2)) ** 1.5
    a = float(np.sum(apart**3)) / (6 * spread) if spread > 0 else 0.0
    tail = (1 - LEVEL) / 2
    if not 0 < share < 1:
        low, high = np.quantile(resampled, [tail, 1 - tail])
        return BCa(float(low), float(high), math.copysign(math.inf, share - 0.5), a, "percentile")
    z0 = _NORMAL.inv_cdf(share)
    stretch = [1 - a * (z0 + z) for z in (-_Z, _Z)]
    if min(stretch) <= 0:
        low, high = np.quantile(resampled, [tail, 1 - tail])
        return BCa(float(low), float(high), z0, a, "percentile")
    at = [_NORMAL.cdf(z0 + (z0 + z) / s) for z, s in zip((-_Z, _Z), stretch, strict=True)]
    low, high = np.quantile(resampled, at)
    return BCa(float(low), float(high), z0, a, "bca")


def _without_interval(statistic: Statistic, value: float, support: int) -> Estimate | None:
    """Name the cases that have no value, or no interval."""
    if support == 0:
        return Estimate(None, None, None, "none", 0, reason="no sample is scored")
    if not math.isfinite(value):
        return Estimate(None, None, None, "none", support, reason="not defined for these samples")
    if support == 1:
        return Estimate(value, None, None, "none", 1, reason="one sample has no interval")
    return None


class Bootstrap:
    """One set of resamples of n samples, shared by every statistic of a run.

    A resample is a multinomial vector of counts; the sums of all columns over it are one row of counts @ columns, done
    in blocks. Equal columns (most denominators) are summed once.

    >>> scores = np.array([[1.0, 1], [0, 1], [1, 1], [1, 1]] * 30)
    >>> e = Bootstrap(scores, resamples=2000, seed=0).estimate(Ratio(0, 1))
    >>> e.value, e.method, 0.65 < e.low < e.value < e.high < 0.83
    (0.75, 'bca', True)
    """

    def __init__(self, columns: Floats, *, resamples: int, seed: int) -> None:
        self.columns = np.ascontiguousarray(columns, dtype=np.float64)
        self._counts = np.count_nonzero(self.columns, axis=0).astype(np.int64)
        places: dict[bytes, int] = {}
        where = [places.setdefault(column.tobytes(), len(places)) for column in self.columns.T]
        distinct = np.ascontiguousarray(self.columns[:, [where.index(place) for place in range(len(places))]])
        # Exactly rounded sums: a value does not depend on the order of the samples.
        self.total = np.array([math.fsum(column.tolist()) for column in distinct.T])[where]
        self._sums = self._draw(distinct, resamples, seed)[:, where]

    @staticmethod
    def _draw(columns: Floats, resamples: int, seed: int) -> Floats:
        n, width = columns.shape
        random = np.random.default_rng(seed)
        sums = np.zeros((resamples, width))
        block = max(1, min(resamples, _BLOCK // max(n, 1)))
        for start in range(0, resamples if n else 0, block):
            rows = min(block, resamples - start)
            drawn = random.integers(0, n, size=(rows, n), dtype=np.int32)
            drawn += np.arange(rows, dtype=np.int32)[:, None] * np.int32(n)
            counts = np.bincount(drawn.ravel(), minlength=rows * n).reshape(rows, n)
            np.matmul(counts.astype(np.float64), columns, out=sums[start : start + rows])
        return sums

    def resampled(self, statistic: Statistic) -> Floats:
        """Return the statistic of every resample in which it is defined."""
        values = statistic.of(self._sums)
        return values[np.isfinite(values)]

    def jackknife(self, statistic: Statistic) -> Floats:
        """Return the statistic with each sample left out in turn: its sums are the total less one row."""
        values = statistic.of(self.total - self.columns)
        return values[np.isfinite(values)]

    def estimate(self, statistic: Statistic) -> Estimate:
        """Return the statistic with its BCa interval.

        A resample in which the statistic is not defined (no scored sample drawn, floor at the best) is left out.
        """
        support = statistic.support(self._counts)
        value = float(statistic.of(self.total[None, :])[0]) if support else math.nan
        named = _without_interval(statistic, value, support)
        if named is not None:
            return named
        resampled = self.resampled(statistic)
        if 2 * len(resampled) < len(self._sums):
            return Estimate(value, None, None, "none", support, reason="not defined in most resamples")
        if np.ptp(resampled) <= _TIE * max(1.0, abs(value)):
            return Estimate(value, value, value, "bca", support, unreliable="every sample has the same value")
        interval = bca(value, resampled, self.jackknife(statistic))
        odd = "all resamples lie on one side of the value" if interval.method == "percentile" else None
        return Estimate(value, interval.low, interval.high, interval.method, support, unreliable=odd)


class Moments:
    """Mean vector and covariance matrix of columns, streamed: memory does not grow with the samples.

    >>> m = Moments(2)
    >>> m.add(np.array([[1.0, 1], [0, 1]])); m.add(np.array([[1.0, 1], [1, 1]]))
    >>> m.mean.tolist(), round(float(m.covariance[0, 0]), 6)
    ([0.75, 1.0], 0.25)
    """

    def __init__(self, width: int) -> None:
        self.n = 0
        self.mean = np.zeros(width)
        self._scatter = np.zeros((width, width))
        self._counts = np.zeros(width, dtype=np.int64)

    def add(self, block: Floats) -> None:
        """Merge the moments of a block of rows (m, width)."""
        m = len(block)
        if not m:
            return
        mean = block.mean(axis=0)
        centred = block - mean
        apart = mean - self.mean
        total = self.n + m
        self._scatter += centred.T @ centred + np.outer(apart, apart) * (self.n * m / total)
        self.mean += apart * (m / total)
        self._counts += np.count_nonzero(block, axis=0)
        self.n = total

    @property
    def total(self) -> Floats:
        """The sum of each column."""
        return self.mean * self.n

    @property
    def covariance(self) -> Floats:
        """The sample covariance (divisor n - 1), shape (width, width)."""
        return self._scatter / max(self.n - 1, 1)

    def estimate(self, statistic: Statistic) -> Estimate:
        """Return the statistic with its normal interval: variance = gradient' covariance gradient / n."""
        support = statistic.support(self._counts)
        value = float(statistic.of(self.mean[None, :])[0]) if support else math.nan
        named = _without_interval(statistic, value, support)
        if named is not None:
            return named
        slope = statistic.gradient(self.mean)
        used = list(statistic.columns)
        part = slope[used]
        variance = float(part @ self.covariance[np.ix_(used, used)] @ part) / self.n
        half = _Z * math.sqrt(max(variance, 0.0))
        same = "every sample has the same value" if half <= _TIE * max(1.0, abs(value)) else None
        return Estimate(value, value - half, value + half, "normal", support, unreliable=same)


class Columns:
    """Rows of columns as they come in: kept up to ``KEPT`` samples, folded into moments above.

    >>> c = Columns(2)
    >>> c.add(np.array([[1.0, 1], [0, 1], [0, 0]]))
    >>> c.close(resamples=100, seed=0).estimate(Ratio(0, 1)).value
    0.5
    """

    def __init__(self, width: int, *, kept: int = KEPT) -> None:
        self.n = 0
        self._width = width
        self._kept = kept
        self._blocks: list[Floats] = []
        self._moments: Moments | None = None

    @property
    def streamed(self) -> bool:
        """Whether only moments are left."""
        return self._moments is not None

    def add(self, block: Floats) -> None:
        """Take rows (m, width), one a sample."""
        self.n += len(block)
        if self._moments is None and self.n > self._kept:
            self.fold()
        if self._moments is None:
            self._blocks.append(block)
        else:
            self._moments.add(block)

    def fold(self) -> None:
        """Give the rows up for their moments."""
        if self._moments is None:
            self._moments = Moments(self._width)
            for block in self._blocks:
                self._moments.add(block)
            self._blocks.clear()

    def close(self, *, resamples: int, seed: int) -> Bootstrap | Moments:
        """Return what estimates statistics of the rows."""
        if self._moments is not None:
            return self._moments
        rows = np.concatenate(self._blocks) if self._blocks else np.zeros((0, self._width))
        self._blocks.clear()
        return Bootstrap(rows, resamples=resamples, seed=seed)


def doubts(n: int, imperfect: int | None, above_worst: int | None) -> str | None:
    """Say why an interval from n samples is not to be trusted, or None.

    Resampling says little where hardly any sample differs from an end of the range: 3 errors in 500 are 3 observations.

    Args:
        n: samples scored.
        imperfect: samples below the best value of the range, None where that end is open.
        above_worst: samples better than the worst value, None where that end is open.

    >>> doubts(500, 3, 499)
    'fewer than 10 imperfect samples (3)'
    """
    if n < FEW_SAMPLES:
        return f"fewer than {FEW_SAMPLES} samples ({n})"
    if imperfect is not None and imperfect < FEW_DIFFERENT:
        return f"fewer than {FEW_DIFFERENT} imperfect samples ({imperfect})"
    if above_worst is not None and above_worst < FEW_DIFFERENT:
        return f"fewer than {FEW_DIFFERENT} samples above the worst value ({above_worst})"
    return None
