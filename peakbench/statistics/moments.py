"""Moments, streamed; and columns that are kept or folded into them."""

from __future__ import annotations

import math

import numpy as np

from peakbench.statistics.estimates import KEPT, TIE, Estimate, Floats, Z, without_interval
from peakbench.statistics.ratios import Statistic
from peakbench.statistics.resampling import Bootstrap


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
        named = without_interval(value, support)
        if named is not None:
            return named
        slope = statistic.gradient(self.mean)
        used = list(statistic.columns)
        part = slope[used]
        variance = float(part @ self.covariance[np.ix_(used, used)] @ part) / self.n
        half = Z * math.sqrt(max(variance, 0.0))
        same = "every sample has the same value" if half <= TIE * max(1.0, abs(value)) else None
        return Estimate(value, value - half, value + half, "normal", support, unreliable=same)


class Columns:
    """Rows of columns as they come in: kept up to ``KEPT`` samples, folded into moments above.

    >>> from peakbench.statistics import Ratio
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
