"""The bootstrap: one set of resamples for every statistic of a run."""

from __future__ import annotations

import math

import numpy as np
import numpy.typing as npt

from peakbench.statistics.estimates import TIE, Estimate, Floats, without_interval
from peakbench.statistics.intervals import bca, student
from peakbench.statistics.ratios import Difference, Statistic

_BLOCK = 300_000  # counts held at a time: 2.4 MB, so that they stay in the processor's cache
_LONG = 350  # draws from which a call of its own costs a resample less than places of its own


def draw_sums(columns: Floats, resamples: int, seed: int | np.random.SeedSequence) -> Floats:
    """Return the column sums of resamples of the rows, shape (resamples, width); zeros where there is no row."""
    n, width = columns.shape
    random = np.random.default_rng(seed)
    sums = np.zeros((resamples, width))
    block = max(1, min(resamples, _BLOCK // max(n, 1)))
    places, counts = np.empty((block, n + n % 2), dtype=np.int64), np.empty((block, n))
    for start in range(0, resamples if n else 0, block):
        rows = min(block, resamples - start)
        _draw(random, n, places[:rows])
        _count(places[:rows, :n], counts[:rows])
        np.matmul(counts[:rows], columns, out=sums[start : start + rows])
    return sums


def _draw(random: np.random.Generator, n: int, places: npt.NDArray[np.int64]) -> None:
    """Draw places below n, an even number a line: one number below n^2 is two of them, for half the drawing."""
    kind, half = np.uint32 if n < 1 << 16 else np.uint64, places.shape[1] // 2
    both = random.integers(0, n * n, size=(len(places), half), dtype=kind)
    one = both // kind(n)
    places[:, :half] = one
    both -= one * kind(n)
    places[:, half:] = both


def _count(places: npt.NDArray[np.int64], counts: Floats) -> None:
    """Count how often each of n rows was drawn, a line a resample, both of shape (rows, n)."""
    rows, n = counts.shape
    if n < _LONG:  # one call for all
        apart = places + np.arange(rows)[:, None] * n
        counts[:] = np.bincount(apart.ravel(), minlength=rows * n).reshape(rows, n)
    else:
        for row, drawn in enumerate(places):
            counts[row] = np.bincount(drawn, minlength=n)


class Bootstrap:
    """One set of resamples of n samples, shared by every statistic of a run.

    A resample is a multinomial vector of counts; the sums of all columns over it are one row of counts @ columns, done
    in blocks. Equal columns (most denominators) are summed once.

    >>> from peakbench.statistics import Ratio
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
        self._sums = np.asfortranarray(draw_sums(distinct, resamples, seed)[:, where])

    def resampled(self, statistic: Statistic) -> Floats:
        """Return the statistic of every resample in which it is defined."""
        values = statistic.of(self._sums)
        return values[np.isfinite(values)]

    def jackknife(self, statistic: Statistic) -> Floats:
        """Return the statistic with each sample left out in turn: its sums are the total less one row."""
        used = list(statistic.columns)
        sums = np.zeros(self.columns.shape, order="F")
        sums[:, used] = self.total[used] - self.columns[:, used]
        values = statistic.of(sums)
        return values[np.isfinite(values)]

    def estimate(self, statistic: Statistic) -> Estimate:
        """Return the statistic with its BCa interval; of a difference, with what ``bca_t`` names.

        Two runs differ in few of their samples. Over so few steps BCa's corrections take it the wrong way: with ten
        samples that differ out of 100 it covers some 91 % (docs/coverage.md), so its ends are never inside Student's.

        A resample in which the statistic is not defined (no scored sample drawn, floor at the best) is left out.
        """
        support = statistic.support(self._counts)
        value = float(statistic.of(self.total[None, :])[0]) if support else math.nan
        named = without_interval(value, support)
        if named is not None:
            return named
        resampled = self.resampled(statistic)
        if 2 * len(resampled) < len(self._sums):
            return Estimate(value, None, None, "none", support, reason="not defined in most resamples")
        if np.ptp(resampled) <= TIE * max(1.0, abs(value)):
            return Estimate(value, value, value, "bca", support, unreliable="every sample has the same value")
        jackknife = self.jackknife(statistic)
        interval = bca(value, resampled, jackknife)
        odd = "all resamples lie on one side of the value" if interval.method == "percentile" else None
        if isinstance(statistic, Difference):
            half = student(jackknife, support)
            low, high = min(interval.low, value - half), max(interval.high, value + half)
            return Estimate(value, low, high, "bca_t", support, unreliable=odd)
        return Estimate(value, interval.low, interval.high, interval.method, support, unreliable=odd)
