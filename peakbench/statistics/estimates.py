"""Estimates: a number, its interval, and why there may be none."""

from __future__ import annotations

import math
from dataclasses import dataclass
from statistics import NormalDist
from typing import Literal

import numpy as np
import numpy.typing as npt

Floats = npt.NDArray[np.float64]

Method = Literal["bca", "bca_t", "percentile", "wilson", "normal", "order", "none"]
"""How an interval was made.

``bca_t``: of a paired difference, each end the further one of BCa's and Student's t. ``percentile``: where BCa's
corrections are not defined. ``none``: where there is no interval.
"""

LEVEL = 0.95
"""Coverage of every interval."""

KEPT = 20_000
"""Up to so many samples the columns are kept and resampled; above it only their moments are."""

FEW_SAMPLES = 100
FEW_DIFFERENT = 10

NORMAL = NormalDist()
Z = NORMAL.inv_cdf(0.5 + LEVEL / 2)
TIE = 1e-12
"""Statistics that differ by less are equal: sums of the same terms in another order."""


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


def without_interval(value: float, support: int) -> Estimate | None:
    """Name the cases that have no value, or no interval."""
    if support == 0:
        return Estimate(None, None, None, "none", 0, reason="no sample is scored")
    if not math.isfinite(value):
        return Estimate(None, None, None, "none", support, reason="not defined for these samples")
    if support == 1:
        return Estimate(value, None, None, "none", 1, reason="one sample has no interval")
    return None
