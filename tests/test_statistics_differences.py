"""Paired and unpaired differences and their tests, against scipy, sacrebleu, and published tables."""

import itertools
import math

import numpy as np
import pytest
import scipy.stats

from peakbench.statistics import (
    Bootstrap,
    Difference,
    Ratio,
    bootstrap_p,
    clopper_pearson,
    holm,
    influence,
    mcnemar,
    samples_needed,
    swap_tests,
    unpaired,
)

MEAN = Ratio(0, 1)


def columns(values):
    values = np.asarray(values, dtype=float)
    return np.column_stack([values, np.ones(len(values))])


def two_runs(n, seed, shift=0.0):
    rng = np.random.default_rng(seed)
    first = rng.integers(0, 10, size=n) / 9
    return first, np.clip(first + shift + rng.integers(-3, 4, size=n) / 9, 0, 1)


class TestSwap:
    @pytest.mark.parametrize("seed", range(4))
    def test_exact_is_scipys(self, seed):
        first, second = two_runs(12, seed, 0.1)
        theirs = scipy.stats.permutation_test(
            (first, second),
            lambda a, b, axis=-1: b.mean(axis=axis) - a.mean(axis=axis),
            permutation_type="samples",
            n_resamples=np.inf,
            vectorized=True,
        )
        [ours] = swap_tests(columns(first), columns(second), [MEAN])
        assert ours.method == "exact"
        assert ours.p == pytest.approx(theirs.pvalue, abs=1e-12)
