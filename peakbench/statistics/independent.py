"""The difference of two runs over different samples."""

from __future__ import annotations

import math

import numpy as np

from peakbench.statistics.estimates import KEPT, TIE, Estimate, Floats, Z, without_interval
from peakbench.statistics.intervals import bca
from peakbench.statistics.moments import Moments
from peakbench.statistics.ratios import Ratio
from peakbench.statistics.resampling import draw_sums

_BLOCK = 4_000_000  # labels held at a time, one byte each


def unpaired(
    first: Floats, second: Floats, ratio: Ratio, *, resamples: int = 10_000, seed: int = 0
) -> tuple[Estimate, float]:
    """Return ``ratio(second) - ratio(first)`` of two independent samples with its BCa interval, and a p-value.

    Each side is resampled by itself; the acceleration is that of several samples (as in
    scipy.stats.bootstrap: sum over samples of sum(U^3) / n^3 over 6 (sum of sum(U^2) / n^2)^1.5). p is two-sided by
    exchanging labels, twice the smaller tail, as scipy.stats.permutation_test(permutation_type="independent"). Rows
    without a denominator take no part. Above 20,000 samples both are normal.

    Args:
        first: columns of the first run, shape (n, w).
        second: columns of the second, shape (m, w).
        ratio: read on both sides.
        resamples: resamples, and exchanges.
        seed: of both.

    >>> low, high = np.array([[0.2, 1], [0.4, 1], [0.3, 1]] * 20), np.array([[0.5, 1], [0.7, 1], [0.6, 1]] * 30)
    >>> estimate, p = unpaired(low, high, Ratio(0, 1), resamples=999)
    >>> round(estimate.value, 6), 0.26 < estimate.low < estimate.high < 0.34, p
    (0.3, True, 0.002)
    """
    sides = [
        np.ascontiguousarray(side[side[:, ratio.denominator] != 0][:, list(ratio.columns)], dtype=np.float64)
        for side in (first, second)
    ]
    ratio = Ratio(0, 1)
    n = min(len(side) for side in sides)
    totals = [np.array([math.fsum(column.tolist()) for column in side.T]) for side in sides]
    value = math.nan
    if n:
        value = float(ratio.of(totals[1][None, :])[0] - ratio.of(totals[0][None, :])[0])
    named = without_interval(value, n)
    if named is not None:
        return named, 1.0
    if sum(len(side) for side in sides) > KEPT:
        return _normal(sides, ratio, value)
    seeds = np.random.SeedSequence(seed).spawn(3)
    p = _labels(sides, ratio, value, resamples, seeds[2])
    drawn = [ratio.of(draw_sums(side, resamples, at)) for side, at in zip(sides, seeds[:2], strict=True)]
    resampled = drawn[1] - drawn[0]
    if np.ptp(resampled) <= TIE * max(1.0, abs(value)):
        return Estimate(value, value, value, "bca", n, unreliable="every sample has the same value"), p
    left = [ratio.of(total - side) for total, side in zip(totals, sides, strict=True)]
    pulls = [sign * (1 - 1 / len(one)) * (one - one.mean()) for one, sign in zip(left, (-1, 1), strict=True)]
    interval = bca(value, resampled, np.concatenate(pulls))
    odd = "all resamples lie on one side of the value" if interval.method == "percentile" else None
    return Estimate(value, interval.low, interval.high, interval.method, n, unreliable=odd), p


def _labels(sides: list[Floats], ratio: Ratio, value: float, resamples: int, seed: np.random.SeedSequence) -> float:
    rows = np.concatenate(sides)
    total = np.array([math.fsum(column.tolist()) for column in rows.T])
    random = np.random.default_rng(seed)
    labels = np.zeros(len(rows), dtype=np.uint8)
    labels[len(sides[0]) :] = 1
    block = max(1, _BLOCK // len(rows))
    tie = TIE * max(1.0, abs(value))
    below = above = 0
    for start in range(0, resamples, block):
        exchanged = np.broadcast_to(labels, (min(block, resamples - start), len(rows)))
        sums = random.permuted(exchanged, axis=1).astype(np.float64) @ rows
        found = ratio.of(sums) - ratio.of(total - sums)
        below += int(np.count_nonzero(found <= value + tie))
        above += int(np.count_nonzero(found >= value - tie))
    return min(1.0, 2 * (1 + min(below, above)) / (resamples + 1))


def _normal(sides: list[Floats], ratio: Ratio, value: float) -> tuple[Estimate, float]:
    variance = 0.0
    for side in sides:
        moments = Moments(2)
        moments.add(side)
        slope = ratio.gradient(moments.mean)
        variance += float(slope @ moments.covariance @ slope) / moments.n
    n, error = min(len(side) for side in sides), math.sqrt(max(variance, 0.0))
    if error <= TIE * max(1.0, abs(value)):
        same = "every sample has the same value"
        return Estimate(value, value, value, "normal", n, unreliable=same), float(abs(value) <= TIE)
    p = math.erfc(abs(value) / error / math.sqrt(2))
    return Estimate(value, value - Z * error, value + Z * error, "normal", n), p
