"""What the interval of a difference says against a margin, and how many samples would let it say more.

Everything here is turned so that above 0 the second run is better.
"""

from __future__ import annotations

import math
from typing import Literal

import numpy as np

from peakbench.analysis.comparison.pairing import Columns
from peakbench.metrics.base import Floats
from peakbench.statistics import FEW_DIFFERENT, clopper_pearson, samples_needed

_TIE = 1e-12
_MOST_NEEDED = 10_000_000


def gains(columns: Columns) -> Floats:
    """Return what each pair that counts adds to the difference, shape (n,); their mean is the difference.

    (a2 - R1 b2) - (a1 - R1 b1), over the mean of b2, R1 being the ratio of the first side: where all denominators are
    1, second - first.

    >>> one, two = np.array([[1.0, 2], [1, 2], [0, 0]]), np.array([[2.0, 2], [1, 2], [0, 1]])
    >>> gains(Columns(one, two, 3, 0, True, 0, 1, True, False)).round(9).tolist()
    [0.6, 0.0, -0.3]
    """
    (above, below), (over, under) = columns.first.T, columns.second.T
    counts = (below > 0) | (under > 0)
    ratio = math.fsum(above.tolist()) / math.fsum(below.tolist())
    steps = (over - ratio * under) - (above - ratio * below)
    steps *= columns.n / math.fsum(under.tolist())
    steps[np.abs(steps) <= _TIE] = 0.0
    # Of a pooled metric, a row of zeros on both sides counts and changes nothing.
    steps = np.concatenate([steps[counts], np.zeros(columns.n - int(counts.sum()))])
    return steps if columns.higher_is_better else -steps


def few_differ(steps: Floats) -> bool:
    """Whether fewer than ten samples differ: resampling says little then."""
    return int(np.count_nonzero(steps)) < FEW_DIFFERENT


def cautious_low(steps: Floats, low: float, *, unseen: float = 0.0) -> float:
    """Return the lower bound of the mean of ``steps``: ``low``, or less where fewer than ten of them are not 0.

    Then it is at most minus the product of the largest loss and the exact upper bound of the share that got worse.

    Args:
        steps: what each pair adds, see :func:`gains`.
        low: the lower end of the interval.
        unseen: the loss that is reckoned with where no sample differs; where some do but none got worse, it is the
            largest step.

    >>> round(cautious_low(np.array([0.5] + [0.0] * 99), 0.0), 4)  # 3.62 % of 100 may have got worse, unseen
    -0.0181
    >>> round(cautious_low(np.zeros(400), 0.0, unseen=1.0), 4)
    -0.0092
    """
    if not few_differ(steps):
        return low
    return min(low, -_exact_loss(int((steps < 0).sum()), len(steps), _largest_loss(steps, unseen)))


def outcome_of(
    low: float, high: float, *, margin: float, n: int, min_samples: int
) -> Literal["passed", "fell", "undecided"]:
    """Return what an interval of n samples says against a margin.

    >>> [outcome_of(low, low + 0.02, margin=0.01, n=500, min_samples=100) for low in (-0.009, -0.01, -0.04)]
    ['passed', 'undecided', 'fell']
    """
    if n < min_samples:
        return "undecided"
    return "passed" if low > -margin else "fell" if high < -margin else "undecided"


def needed_to_tell(
    steps: Floats, spread: float, value: float, *, margin: float, min_samples: int, unseen: float = 0.0
) -> tuple[int | None, int | None]:
    """Return how many samples let an equal run pass, and how many decide if the difference seen is the true one.

    Both with a power of 80 %, None where no number would do. ``spread``: standard deviation of the steps;
    ``unseen`` as in :func:`cautious_low`.
    """
    wanted = [samples_needed(spread, margin), samples_needed(spread, value + margin)]
    if few_differ(steps):
        exact = _exact_needed(steps, margin, unseen)
        falls = value < -margin  # where the exact bound, a lower one, holds nothing up
        wanted = [
            one if at and falls else None if one is None or exact is None else max(one, exact)
            for at, one in enumerate(wanted)
        ]
    equal, seen = (None if one is None else max(one, min_samples) for one in wanted)
    return equal, seen


def _largest_loss(steps: Floats, unseen: float) -> float:
    if not steps.any():
        return unseen
    return float(-steps.min() if (steps < 0).any() else steps.max())


def _exact_loss(worse: int, n: int, loss: float) -> float:
    return clopper_pearson(worse, n)[1] * loss


def _exact_needed(steps: Floats, margin: float, unseen: float) -> int | None:
    """Return how many samples bring the exact bound within the margin, the share that got worse staying as it is."""
    n, loss, worse = len(steps), _largest_loss(steps, unseen), int((steps < 0).sum())
    if loss * worse / n >= margin:
        return None

    def enough(m: int) -> bool:
        return _exact_loss(math.ceil(worse * m / n), m, loss) < margin

    high = n
    while not enough(high):
        high *= 2
        if high > _MOST_NEEDED:
            return None
    low = high // 2
    while high - low > 1:
        middle = (low + high) // 2
        low, high = (low, middle) if enough(middle) else (middle, high)
    return high
