"""Intervals: of a rate, of a quantile, of a bootstrap distribution."""

from __future__ import annotations

import math
from dataclasses import dataclass

import numpy as np

from peakbench.statistics.estimates import LEVEL, NORMAL, TIE, Estimate, Floats, Method, Z


def wilson(successes: int, n: int) -> Estimate:
    """Return a rate of independent trials with its Wilson score interval.

    Newcombe (1998), table I: 81 of 263 gives 0.2553 to 0.3662.

    >>> e = wilson(81, 263)
    >>> round(e.low, 4), round(e.high, 4)
    (0.2553, 0.3662)
    """
    if not n:
        return Estimate(None, None, None, "none", 0, reason="no sample is scored")
    rate, square = successes / n, Z * Z
    centre = (2 * n * rate + square) / (2 * (n + square))
    half = Z * math.sqrt(square + 4 * n * rate * (1 - rate)) / (2 * (n + square))
    low = 0.0 if successes == 0 else centre - half
    high = 1.0 if successes == n else centre + half
    return Estimate(rate, low, high, "wilson", n)


def clopper_pearson(successes: int, n: int) -> tuple[float, float]:
    """Return the exact 95 % interval of a rate of independent trials: it covers at least that, whatever the rate.

    Clopper & Pearson (1934), Biometrika 26, as quantiles of beta distributions. Without a trial: (0, 1).

    >>> low, high = clopper_pearson(0, 100)
    >>> low, round(high, 4)
    (0.0, 0.0362)
    """
    from scipy.special import betaincinv

    if not 0 <= successes <= n:
        raise ValueError(f"{successes} of {n}")
    tail = (1 - LEVEL) / 2
    low = float(betaincinv(successes, n - successes + 1, tail)) if successes else 0.0
    high = float(betaincinv(successes + 1, n - successes, 1 - tail)) if successes < n else 1.0
    return low, high


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
    tie = TIE * max(abs(value), float(np.max(np.abs(resampled))))
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
    z0 = NORMAL.inv_cdf(share)
    stretch = [1 - a * (z0 + z) for z in (-Z, Z)]
    if min(stretch) <= 0:
        low, high = np.quantile(resampled, [tail, 1 - tail])
        return BCa(float(low), float(high), z0, a, "percentile")
    at = [NORMAL.cdf(z0 + (z0 + z) / s) for z, s in zip((-Z, Z), stretch, strict=True)]
    low, high = np.quantile(resampled, at)
    return BCa(float(low), float(high), z0, a, "bca")


def student(jackknife: Floats, n: int) -> float:
    """Return half the length of Student's interval, its standard error from the jackknife (n samples, at least two).

    Of a mean it is t s / sqrt(n). Tukey (1958); Efron & Tibshirani (1993), chapter 11.

    >>> round(student(np.array([2.5, 2.0, 1.5]), 3), 4)  # of 1, 2, 3: s = 1, t = 4.3027
    2.4841
    """
    from scipy.special import stdtrit

    error = math.sqrt((n - 1) / n * float(np.sum((jackknife - jackknife.mean()) ** 2)))
    return float(stdtrit(n - 1, 0.5 + LEVEL / 2)) * error
