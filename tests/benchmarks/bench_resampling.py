"""Intervals and tests of many metrics beside scipy.stats on the same data, in one run.

    OMP_NUM_THREADS=1 python tests/benchmarks/bench_resampling.py [--samples 3500] [--metrics 20] [--resamples 10000]

Intervals: BCa of the mean of every metric from one set of resamples. scipy.stats.bootstrap gets the metrics in one
array and np.mean (method "BCa", vectorized), and shares its resamples among them, too. Tests: answers of two runs
exchanged, for every metric; scipy.stats.permutation_test gets the differences (permutation_type "samples",
vectorized). The batches are the fastest of 5, 20, 100 and 500; the default, all at once, would hold 5.6 GB. Sides
take turns; the ratio is of the medians. ``largest_difference``: of interval ends, in widths of the interval; of p.
"""

from __future__ import annotations

import argparse
import json
import statistics
import sys
import time
from collections.abc import Callable
from pathlib import Path
from typing import Any

import numpy as np
import scipy.stats

ROOT = Path(__file__).resolve().parents[2]
sys.path.insert(0, str(ROOT))

from peakbench.statistics import Bootstrap, Ratio, swap_tests  # noqa: E402

Floats = np.ndarray[Any, np.dtype[np.float64]]


def scores(samples: int, metrics: int, seed: int) -> tuple[Floats, Floats]:
    """Two runs: ninths near 0.9, four in five the same in both."""
    random = np.random.default_rng(seed)
    first = random.binomial(9, 0.9, size=(samples, metrics)) / 9
    other = random.binomial(9, 0.89, size=(samples, metrics)) / 9
    return first, np.where(random.random((samples, metrics)) < 0.8, first, other)


def columns(values: Floats) -> Floats:
    """A numerator and a denominator a metric."""
    rows = np.ones((len(values), 2 * values.shape[1]))
    rows[:, ::2] = values
    return rows


def ours_intervals(values: Floats, resamples: int) -> Floats:
    """Ends of every metric, shape (metrics, 2)."""
    boot = Bootstrap(columns(values), resamples=resamples, seed=0)
    found = [boot.estimate(Ratio(2 * place, 2 * place + 1)) for place in range(values.shape[1])]
    return np.array([[one.low, one.high] for one in found], dtype=np.float64)


def scipys_intervals(values: Floats, resamples: int, batch: int) -> Floats:
    """The same from scipy."""
    found = scipy.stats.bootstrap(
        (np.ascontiguousarray(values.T),),
        np.mean,
        axis=-1,
        vectorized=True,
        method="BCa",
        n_resamples=resamples,
        batch=batch,
        rng=np.random.default_rng(0),
    ).confidence_interval
    return np.column_stack([found.low, found.high])


def ours_tests(first: Floats, second: Floats, resamples: int) -> Floats:
    """p of every metric."""
    ratios = [Ratio(2 * place, 2 * place + 1) for place in range(first.shape[1])]
    return np.array([one.p for one in swap_tests(columns(first), columns(second), ratios, resamples=resamples)])


def scipys_tests(first: Floats, second: Floats, resamples: int, batch: int) -> Floats:
    """The same from scipy: a paired difference of means is a sign-flip test of the differences."""
    found = scipy.stats.permutation_test(
        (np.ascontiguousarray((second - first).T),),
        np.mean,
        axis=-1,
        vectorized=True,
        permutation_type="samples",
        n_resamples=resamples,
        batch=batch,
        rng=np.random.default_rng(0),
    )
    return np.asarray(found.pvalue)


def timed(work: Callable[[], Floats]) -> tuple[Floats, float, float]:
    """Return what comes out, wall and processor seconds."""
    wall, cpu = time.perf_counter(), time.process_time()
    found = work()
    return found, time.perf_counter() - wall, time.process_time() - cpu


def main() -> None:
    """Print one line of JSON a comparison."""
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--samples", type=int, default=3500)
    parser.add_argument("--metrics", type=int, default=20)
    parser.add_argument("--resamples", type=int, default=10_000)
    parser.add_argument("--rounds", type=int, default=3)
    parser.add_argument("--batch", type=int, default=20, help="resamples that scipy.stats.bootstrap holds at a time")
    parser.add_argument("--batch-tests", type=int, default=100, help="the same of scipy.stats.permutation_test")
    options = parser.parse_args()
    first, second = scores(options.samples, options.metrics, 0)
    pairs: dict[str, tuple[Callable[[], Floats], Callable[[], Floats]]] = {
        "intervals": (
            lambda: ours_intervals(first, options.resamples),
            lambda: scipys_intervals(first, options.resamples, options.batch),
        ),
        "tests": (
            lambda: ours_tests(first, second, options.resamples),
            lambda: scipys_tests(first, second, options.resamples, options.batch_tests),
        ),
    }
    for name, (mine, theirs) in pairs.items():
        taken: dict[str, list[tuple[float, float]]] = {"peakbench": [], "scipy": []}
        found: dict[str, Floats] = {}
        for _ in range(options.rounds):
            for side, work in (("peakbench", mine), ("scipy", theirs)):
                found[side], wall, cpu = timed(work)
                taken[side].append((wall, cpu))
        medians = {side: [statistics.median(one) for one in zip(*times, strict=True)] for side, times in taken.items()}
        apart = np.abs(found["peakbench"] - found["scipy"])
        if name == "intervals":
            apart = apart / np.ptp(found["scipy"], axis=1)[:, None]
        report = {
            "what": name,
            **{
                f"{side}_{clock}_s": round(value, 3)
                for side, two in medians.items()
                for clock, value in zip(("wall", "cpu"), two, strict=True)
            },
            "times_faster_wall": round(medians["scipy"][0] / medians["peakbench"][0], 1),
            "times_faster_cpu": round(medians["scipy"][1] / medians["peakbench"][1], 1),
            "largest_difference": round(float(apart.max()), 4),
        }
        print(json.dumps(report), flush=True)


if __name__ == "__main__":
    main()
