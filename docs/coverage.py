"""Simulate how often the intervals hold what they promise; write the tables of coverage.md.

    python docs/coverage.py [--sets 2000] [--resamples 2000]     # some ten minutes on one core

Samples are drawn from populations with few distinct rows, so a resample of n samples is one multinomial draw of how
often each row comes: the same distribution as drawing rows one by one, at a cost that does not grow with n. Ends and
corrections come from ``peakbench.statistics.bca`` and ``wilson``, as in a run. A table stands in the page between
``<!-- measured: NAME -->`` and ``<!-- end -->``. tests/test_statistics_coverage.py simulates part of it again.
"""

from __future__ import annotations

import argparse
import math
import re
import sys
from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path

import numpy as np
import numpy.typing as npt
from scipy.special import stdtrit
from scipy.stats import betabinom, binom

FOLDER = Path(__file__).resolve().parent
sys.path.insert(0, str(FOLDER.parent))  # the checkout, where it is not installed

from peakbench.statistics import (  # noqa: E402
    FEW_DIFFERENT,
    FEW_SAMPLES,
    Difference,
    Floats,
    Ratio,
    Skill,
    Statistic,
    bca,
    bootstrap_p,
    doubts,
    student,
    swap_tests,
    wilson,
)

PAGE = FOLDER / "coverage.md"
MARK = re.compile(r"(?P<open><!-- measured: (?P<name>[a-z-]+) -->\n).*?(?P<close><!-- end -->)", re.DOTALL)
SIZES = (30, 100, 350, 3500)
SEED = 20_260_101
Z = 1.959963984540054
METHODS = ("ours", "bca", "expanded", "percentile", "normal")
COUNTS = np.arange(10)


@dataclass(frozen=True)
class Population:
    """Distinct rows (k, w) and how often each comes (k,); the statistic whose interval is tried; ``rate``: 0 or 1."""

    name: str
    rows: Floats
    shares: Floats
    statistic: Statistic
    rate: bool = False

    @property
    def truth(self) -> float:
        """The statistic of the whole population."""
        return float(self.statistic.of((self.shares @ self.rows)[None, :])[0])


@dataclass(frozen=True)
class Row:
    """One line of the table: shares of data sets, and the width of ours over the percentile interval's (median).

    ``above``: data sets whose lower end lies above the truth, by method.
    """

    population: str
    n: int
    covered: dict[str, float]
    above: dict[str, float]
    width: float
    constant: float
    labelled: float


def _nine(shares: Floats) -> tuple[Floats, Floats]:
    return np.column_stack([COUNTS / 9, np.ones(10)]), shares


def _pooled(valued: float, right: float, invented: float) -> tuple[Floats, Floats]:
    """Numerator and denominator of F1 over nine fields: v have a value, c of these are right, i others invented."""
    found: dict[tuple[int, int], float] = {}
    for v in range(10):
        for c in range(v + 1):
            for i in range(10 - v):
                share = binom.pmf(v, 9, valued) * binom.pmf(c, v, right) * binom.pmf(i, 9 - v, invented)
                key = (2 * c, 2 * c + 2 * (v - c) + i)
                found[key] = found.get(key, 0.0) + float(share)
    return np.array(list(found), dtype=float), np.array(list(found.values()))


def _pairs(first: Floats, second: Floats, alike: float) -> tuple[Floats, Floats]:
    """Two runs on the same samples: a share of them has one answer from both, the rest are independent."""
    joint = (1 - alike) * np.outer(first, second) + alike * np.diag((first + second) / 2)
    one, two = np.meshgrid(COUNTS / 9, COUNTS / 9, indexing="ij")
    ones = np.ones(100)
    return np.column_stack([one.ravel(), ones, two.ravel(), ones]), joint.ravel()


def populations() -> list[Population]:
    """Return what is drawn from."""
    mean = Ratio(0, 1)
    unread = 0.9 * binom.pmf(COUNTS, 9, 0.98)
    unread[0] += 0.1
    near, lower = binom.pmf(COUNTS, 9, 0.98), binom.pmf(COUNTS, 9, 0.97)
    worse = binom.pmf(COUNTS, 9, 0.90), binom.pmf(COUNTS, 9, 0.88)
    difference = Difference(mean, Ratio(2, 3))
    middle = betabinom.pmf(COUNTS, 9, 4.0, 1.0)
    scored, floored = _pairs(middle, binom.pmf(COUNTS, 9, 0.5), 0.2)
    rate = np.array([[0.0, 1.0], [1.0, 1.0]])
    return [
        Population("mean of nine fields, 0.5", *_nine(betabinom.pmf(COUNTS, 9, 2.0, 2.0)), mean),
        Population("mean of nine fields, 0.98", *_nine(near), mean),
        Population("the same, errors in clusters", *_nine(betabinom.pmf(COUNTS, 9, 9.8, 0.2)), mean),
        Population("skewed: 0.98, a tenth unreadable", *_nine(unread), mean),
        Population("pooled F1, 0.55", *_pooled(0.55, 0.6, 0.2), mean),
        Population("pooled F1, 0.97", *_pooled(0.55, 0.97, 0.01), mean),
        Population("skill, 0.51", scored, floored, Skill(mean, (Ratio(2, 3),), 1.0)),
        Population("difference, 0.97 - 0.98, 70 % alike", *_pairs(near, lower, 0.7), difference),
        Population("difference, 0.98 - 0.98, 90 % alike", *_pairs(near, near, 0.9), difference),
        Population("difference, 0.88 - 0.90, 50 % alike", *_pairs(*worse, 0.5), difference),
        Population("rate, 0.5", rate, np.array([0.5, 0.5]), mean, rate=True),
        Population("rate, 0.98", rate, np.array([0.02, 0.98]), mean, rate=True),
    ]


def intervals(
    population: Population, counts: npt.NDArray[np.int64], resamples: int, random: np.random.Generator
) -> dict[str, tuple[float, float]]:
    """Return the interval of one data set by each method; ``counts``: how often each row of the population came."""
    statistic, rows, n = population.statistic, population.rows, int(counts.sum())
    total = counts @ rows
    value = float(statistic.of(total[None, :])[0])
    resampled = statistic.of(random.multinomial(n, counts / n, size=resamples) @ rows)
    resampled = resampled[np.isfinite(resampled)]
    came = counts > 0
    jackknife = np.repeat(statistic.of(total - rows[came]), counts[came])
    centred = rows - total / n
    pulls = centred @ statistic.gradient(total / n)
    error = math.sqrt(float(counts @ pulls**2) / (n - 1) / n)
    low, high = (float(end) for end in np.quantile(resampled, [0.025, 0.975]))
    found = {"percentile": (low, high), "normal": (value - Z * error, value + Z * error)}
    if np.ptp(resampled) <= 1e-12:
        found["bca"] = found["expanded"] = (value, value)
    else:
        corrected = bca(value, resampled, jackknife)
        found["bca"] = (corrected.low, corrected.high)
        found["expanded"] = _expanded(corrected.z0, corrected.a, resampled, n)
    found["ours"] = found["bca"]
    if isinstance(statistic, Difference):
        half = student(jackknife, n)
        found["ours"] = (min(found["bca"][0], value - half), max(found["bca"][1], value + half))
    if population.rate:
        rated = wilson(round(float(total[0])), n)
        if rated.low is not None and rated.high is not None:
            found["ours"] = (rated.low, rated.high)
    return found


def _expanded(z0: float, a: float, resampled: Floats, n: int) -> tuple[float, float]:
    """BCa with the normal quantile replaced by sqrt(n / (n - 1)) t, Hesterberg (2015)."""
    reach = -float(stdtrit(n - 1, 0.025)) * math.sqrt(n / (n - 1))
    z0 = z0 if math.isfinite(z0) else 0.0
    places = np.array([-reach, reach]) + z0
    stretch = 1 - a * places
    at = z0 + places / stretch if stretch.min() > 0 else places
    low, high = np.quantile(resampled, [0.5 * math.erfc(-one / math.sqrt(2)) for one in at])
    return float(low), float(high)


def simulate(population: Population, n: int, *, sets: int, resamples: int, seed: int = SEED) -> Row:
    """Draw data sets of n samples and count how often each interval holds the truth, ends included."""
    random = np.random.default_rng([seed, n])
    truth = population.truth
    hits, above = dict.fromkeys(METHODS, 0), dict.fromkeys(METHODS, 0)
    widths, constant, labelled = [], 0, 0
    for counts in random.multinomial(n, population.shares / population.shares.sum(), size=sets):
        found = intervals(population, counts, resamples, random)
        for name in METHODS:
            low, high = found[name]
            hits[name] += low - 1e-12 <= truth <= high + 1e-12
            above[name] += truth < low - 1e-12
        (low, high), (left, right) = found["ours"], found["percentile"]
        constant += right - left <= 1e-12
        if right > left:
            widths.append((high - low) / (right - left))
        labelled += _labelled(population, counts, n)
    covered, over = ({name: count / sets for name, count in found.items()} for found in (hits, above))
    return Row(population.name, n, covered, over, float(np.median(widths)), constant / sets, labelled / sets)


def _labelled(population: Population, counts: npt.NDArray[np.int64], n: int) -> bool:
    if isinstance(population.statistic, Difference):
        differing = int(counts[population.rows[:, 0] != population.rows[:, 2]].sum())
        return n < FEW_SAMPLES or differing < FEW_DIFFERENT
    if population.rate or not isinstance(population.statistic, Ratio):
        return doubts(n, None, None) is not None
    above, below = population.rows.T
    imperfect, above_worst = int(counts[above < below].sum()), int(counts[above > 0].sum())
    return doubts(n, imperfect, above_worst) is not None


def false_alarms(n: int, *, sets: int, resamples: int, seed: int = SEED) -> dict[str, float]:
    """Count how often p is below 0.05 where two runs are alike: both draw from one population, 70 % answers shared."""
    near = binom.pmf(COUNTS, 9, 0.98)
    rows, shares = _pairs(near, near, 0.7)
    random = np.random.default_rng([seed, n, 1])
    statistic, found = Difference(Ratio(0, 1), Ratio(2, 3)), {"swap": 0, "sacrebleu": 0}
    for index, counts in enumerate(random.multinomial(n, shares / shares.sum(), size=sets)):
        data = np.repeat(rows, counts, axis=0)
        [test] = swap_tests(data[:, :2], data[:, 2:], [Ratio(0, 1)], resamples=resamples, seed=index)
        value = float(statistic.of(data.sum(axis=0)[None, :])[0])
        drawn = statistic.of(random.multinomial(n, counts / n, size=resamples) @ rows)
        found["swap"] += test.p < 0.05
        found["sacrebleu"] += bootstrap_p(value, drawn) < 0.05
    return {name: count / sets for name, count in found.items()}


def table(columns: Sequence[str], rows: Sequence[Sequence[str]]) -> str:
    """Return a Markdown table."""
    lines = [columns, ["---"] * len(columns), *rows]
    return "\n".join("| " + " | ".join(line) + " |" for line in lines)


def coverage_table(rows: Sequence[Row]) -> str:
    """Coverage in percent, a line a population and size."""
    columns = [
        "number",
        "n",
        "PeakBench",
        "BCa",
        "BCa expanded",
        "percentile",
        "normal",
        "width",
        "constant",
        "labelled",
    ]
    return table(
        columns,
        [
            [
                row.population,
                f"{row.n:,}",
                *(f"{100 * row.covered[name]:.1f}" for name in METHODS),
                f"{row.width:.2f}",
                f"{100 * row.constant:.0f}",
                f"{100 * row.labelled:.0f}",
            ]
            for row in rows
        ],
    )


def ends_table(rows: Sequence[Row]) -> str:
    """Lower ends of differences that lie above the truth, in percent."""
    columns = ["number", "n", "PeakBench", "BCa", "percentile", "normal"]
    names = ("ours", "bca", "percentile", "normal")
    shown = [row for row in rows if row.population.startswith("difference")]
    return table(
        columns, [[row.population, f"{row.n:,}", *(f"{100 * row.above[name]:.1f}" for name in names)] for row in shown]
    )


def alarm_table(found: dict[int, dict[str, float]]) -> str:
    """False alarms in percent, a line a size."""
    columns = ["n", "exchanged answers", "paired bootstrap as sacrebleu"]
    return table(
        columns, [[f"{n:,}", *(f"{100 * one[k]:.1f}" for k in ("swap", "sacrebleu"))] for n, one in found.items()]
    )


def filled(page: str, parts: dict[str, str]) -> str:
    """Return the page with these tables in their places."""
    return MARK.sub(
        lambda match: (
            f"{match['open']}\n{parts[match['name']]}\n\n{match['close']}" if match["name"] in parts else match[0]
        ),
        page,
    )


def main() -> None:
    """Write the page."""
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--sets", type=int, default=2000)
    parser.add_argument("--resamples", type=int, default=2000)
    parser.add_argument("--only", metavar="WORD", help="populations whose name holds this; the table of all stays")
    options = parser.parse_args()
    rows = []
    for population in populations():
        for n in SIZES if options.only is None or options.only in population.name else ():
            rows.append(simulate(population, n, sets=options.sets, resamples=options.resamples))
            print(rows[-1], flush=True)
    parts = {"ends": ends_table(rows)}
    if options.only is None:
        alarms = {n: false_alarms(n, sets=options.sets, resamples=999) for n in SIZES}
        parts |= {"coverage": coverage_table(rows), "false-alarms": alarm_table(alarms)}
    PAGE.write_text(filled(PAGE.read_text(encoding="utf-8"), parts), encoding="utf-8")
    print("\n\n".join(parts.values()))


if __name__ == "__main__":
    main()
