"""Tests of the hypothesis that two runs over the same samples are alike, and how many samples would tell."""

from __future__ import annotations

import math
from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from typing import Literal

import numpy as np
import numpy.typing as npt

from peakbench.statistics.estimates import KEPT, NORMAL, TIE, Floats, Z
from peakbench.statistics.ratios import Ratio

EXACT = 13
"""Up to so many samples that differ, every one of the 2^k exchanges is counted."""

_BLOCK = 2_000_000  # flips held at a time: 16 MB


@dataclass(frozen=True, slots=True)
class SwapTest:
    """A two-sided p-value from exchanging the answers of two runs, sample by sample.

    ``method``: ``exact`` (all exchanges), ``sampled``, ``normal`` (large samples), ``none`` (nothing differs, or a run
    has no value: p is 1 and says nothing). ``n``: samples that count; ``nonzero``: those whose two rows differ.
    """

    p: float
    method: Literal["exact", "sampled", "normal", "none"]
    n: int
    nonzero: int


def swap_tests(
    first: Floats, second: Floats, ratios: Sequence[Ratio], *, resamples: int = 10_000, seed: int = 0
) -> list[SwapTest]:
    """Test for each ratio whether two runs over the same samples differ, by exchanging their rows.

    If the runs are alike, either answer to a sample could have come from either. T = ratio(second) - ratio(first);
    an exchange swaps a sample's two rows, each with probability 1/2. With up to 13 samples that differ in the
    ratio's columns all 2^k exchanges are counted; with more, p = (1 + #{|T*| >= |T| - 1e-12}) / (resamples + 1). Where
    every denominator is 1 this is the sign-flip permutation test. One set of exchanges serves all ratios, and the p of
    a ratio does not depend on which others are tested with it. Above 20,000 samples T is taken to be normal.

    An exchange under which a ratio is not defined (no denominator on one side) counts as extreme.

    Sources: Fisher (1935), The Design of Experiments, section 21; Noreen (1989), approximate randomization; Phipson &
    Smyth (2010), Stat. Appl. Genet. Mol. Biol. 9, for the 1 in numerator and denominator.

    Args:
        first: columns of the first run, shape (n, w).
        second: columns of the second, the same samples in the same order.
        ratios: what to test; the same columns are read on both sides.
        resamples: exchanges drawn where they cannot all be counted.
        seed: of the drawn exchanges.

    >>> from peakbench.statistics import Ratio
    >>> first, second = np.array([[0.0, 1]] * 6), np.array([[1.0, 1]] * 6)
    >>> swap_tests(first, second, [Ratio(0, 1)])[0]
    SwapTest(p=0.03125, method='exact', n=6, nonzero=6)
    """
    first, second = (np.ascontiguousarray(side, dtype=np.float64) for side in (first, second))
    if first.shape != second.shape:
        raise ValueError(f"pairs are needed: {first.shape} and {second.shape}")
    apart = second - first
    totals = [np.array([math.fsum(column.tolist()) for column in side.T]) for side in (first, second)]
    found: dict[int, SwapTest] = {}
    drawn: dict[int, float] = {}
    for place, ratio in enumerate(ratios):
        differs = np.flatnonzero((apart[:, list(ratio.columns)] != 0).any(axis=1))
        n = int(((first[:, ratio.denominator] != 0) | (second[:, ratio.denominator] != 0)).sum())
        observed = _apart(ratio, *(total[None, :] for total in totals))[0]
        if not len(differs) or not math.isfinite(observed):
            found[place] = SwapTest(1.0, "none", n, len(differs))
        elif len(differs) <= EXACT:
            sums = _subsets(apart[differs])
            found[place] = SwapTest(
                int(_extreme(ratio, totals, sums, observed).sum()) / len(sums), "exact", n, len(differs)
            )
        elif len(first) > KEPT:
            found[place] = SwapTest(_normal(ratio, totals, apart, observed), "normal", n, len(differs))
        else:
            found[place] = SwapTest(math.nan, "sampled", n, len(differs))
            drawn[place] = observed
    counts = dict.fromkeys(drawn, 0)
    if drawn:
        for sums in _exchanges(apart, resamples, seed):
            for place, observed in drawn.items():
                counts[place] += int(_extreme(ratios[place], totals, sums, observed).sum())
    for place, count in counts.items():
        one = found[place]
        found[place] = SwapTest((1 + count) / (resamples + 1), one.method, one.n, one.nonzero)
    return [found[place] for place in range(len(ratios))]


def _apart(ratio: Ratio, first: Floats, second: Floats) -> Floats:
    values: Floats = ratio.of(second) - ratio.of(first)
    return values


def _extreme(ratio: Ratio, totals: Sequence[Floats], sums: Floats, observed: float) -> npt.NDArray[np.bool_]:
    """Say which exchanges are at least as extreme; ``sums``: what each carries from the second side to the first."""
    values = _apart(ratio, totals[0] + sums, totals[1] - sums)
    return ~(np.abs(values) < abs(observed) - TIE * max(1.0, abs(observed)))


def _subsets(rows: Floats) -> Floats:
    """Return the sum of every subset of the rows, shape (2^k, w)."""
    sums = np.zeros((1, rows.shape[1]))
    for row in rows:
        sums = np.concatenate([sums, sums + row])
    return sums


def _exchanges(apart: Floats, resamples: int, seed: int) -> Iterator[Floats]:
    """Yield blocks of what drawn exchanges carry over, (rows, w): each sample is exchanged with probability 1/2.

    Every exchange takes whole 64-bit words, so the draws do not depend on the size of the blocks.
    """
    n, width = apart.shape
    random = np.random.default_rng(seed)
    words = -(-n // 64)
    moves = np.flatnonzero((apart != 0).any(axis=0))
    differs = np.flatnonzero((apart != 0).any(axis=1))
    kept = np.ascontiguousarray(apart[np.ix_(differs, moves)])
    block = max(1, _BLOCK // n)
    for start in range(0, resamples, block):
        rows = min(block, resamples - start)
        drawn = random.integers(0, 2**64, size=(rows, words), dtype=np.uint64).astype("<u8", copy=False)
        bits = np.unpackbits(drawn.view(np.uint8), axis=1, bitorder="little")[:, differs]
        sums = np.zeros((rows, width))
        sums[:, moves] = bits.astype(np.float64) @ kept
        yield sums


def _normal(ratio: Ratio, totals: Sequence[Floats], apart: Floats, observed: float) -> float:
    """Linearise T at the sums that both sides share on average: its variance under exchange is a sum of squares."""
    slope = ratio.gradient((totals[0] + totals[1]) / 2)
    columns = list(ratio.columns)
    spread = math.sqrt(float(np.sum((apart[:, columns] @ slope[columns]) ** 2)))
    return math.erfc(abs(observed) / spread / math.sqrt(2)) if spread > 0 else 1.0


def mcnemar(better: int, worse: int) -> float:
    """Return the exact two-sided p-value of McNemar's test: the discordant pairs against a fair coin.

    McNemar (1947), Psychometrika 12; exact as scipy.stats.binomtest. Without discordant pairs 1.

    >>> round(mcnemar(2, 8), 6)
    0.109375
    """
    from scipy.special import bdtr

    if better < 0 or worse < 0:
        raise ValueError(f"counts are needed: {better} and {worse}")
    n = better + worse
    return min(1.0, 2 * float(bdtr(min(better, worse), n, 0.5))) if n else 1.0


def holm(p: Sequence[float | None]) -> list[float | None]:
    """Return p-values that hold together for the whole family (Holm 1979, Scand. J. Statist. 6).

    The i-th smallest of m is multiplied by m - i + 1; none may be below a smaller one's, none above 1. None is outside
    the family and stays None.

    >>> holm([0.5, None, 0.25])
    [0.5, None, 0.5]
    """
    family = sorted((value, place) for place, value in enumerate(p) if value is not None)
    held: list[float | None] = [None] * len(p)
    reached = 0.0
    for rank, (value, place) in enumerate(family):
        reached = max(reached, min(1.0, value * (len(family) - rank)))
        held[place] = reached
    return held


def bootstrap_p(value: float, resampled: Floats) -> float:
    """Return the p-value of a paired bootstrap as sacrebleu gives it (``--paired-bs``), after Moses.

    (1 + #{|d*| - mean(|d*|) > |d|}) / (B + 1), d* the difference in each resample. It is there for comparison with
    numbers published elsewhere: it counts one tail, so it is about half the two-sided p of :func:`swap_tests`. Where
    no resample differs from zero it is 1 (sacrebleu: 1 / (B + 1)).

    Source: Koehn (2004), "Statistical significance tests for machine translation evaluation", EMNLP.

    >>> bootstrap_p(0.5, np.array([0.4, 0.6, 0.5]))
    0.25
    """
    sizes = np.abs(resampled)
    if not sizes.any():
        return 1.0
    beyond = int(np.count_nonzero(sizes - sizes.mean() > abs(value)))
    return (1 + beyond) / (len(sizes) + 1)


def samples_needed(spread: float, difference: float, *, power: float = 0.8) -> int | None:
    """Return how many pairs a two-sided test at 5 % needs to see a difference with this power, None for no difference.

    ((z_0.975 + z_power) spread / difference)^2, rounded up: (2.80 s_d / d)^2 at 80 %.

    Args:
        spread: standard deviation of the differences sample by sample, see :func:`influence`.
        difference: what is to be seen, in the units of ``spread``; below 1e-12 it is none.
        power: how often it is to be seen.

    >>> samples_needed(0.2, 0.01)
    3140
    """
    if abs(difference) <= TIE or not (math.isfinite(spread) and math.isfinite(difference)):
        return None
    return max(1, math.ceil(((Z + NORMAL.inv_cdf(power)) * spread / difference) ** 2))


def influence(first: Floats, second: Floats, ratio: Ratio) -> Floats:
    """Return what each pair that counts adds to ``ratio(second) - ratio(first)``, linearised, with mean 0.

    (a2 - R2 b2) / mean(b2) - (a1 - R1 b1) / mean(b1): where every denominator is 1, the difference of the sample less
    the mean difference. Its standard deviation (ddof = 1) is the spread for :func:`samples_needed`; that over the root
    of the number of pairs is the standard error.

    Args:
        first: columns of the first run, shape (n, w).
        second: columns of the second, the same samples in the same order.
        ratio: read on both sides.

    Returns:
        shape (k,): pairs with a denominator on either side; empty where one side has none at all.

    >>> influence(np.array([[0.0, 1], [1, 1]]), np.array([[1.0, 1], [1, 1]]), Ratio(0, 1)).tolist()
    [0.5, -0.5]
    """
    above, below = ratio.columns
    counts = (first[:, below] != 0) | (second[:, below] != 0)
    parts = []
    for side in (first[counts], second[counts]):
        total = math.fsum(side[:, below].tolist())
        if not total > 0:
            return np.zeros(0)
        value = math.fsum(side[:, above].tolist()) / total
        parts.append((side[:, above] - value * side[:, below]) / (total / len(side)))
    pulls: Floats = parts[1] - parts[0]
    return pulls
