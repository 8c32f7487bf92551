"""Simulate how often the gate is right; write the tables of gate.md.

    python docs/power.py [--sets 2000] [--resamples 10000]     # some five minutes on one core

Two runs of nine fields over the same samples. How many fields of a sample the baseline has right is beta-binomial (mean
90 %, errors in clusters); the new run loses and gains fields independently, 8 % of all fields together, in the shares
that make the true difference. A sample's difference has 19 possible values, so a data set is one multinomial draw, and
so is a resample: the same distribution as drawing samples one by one. The ends are those of a difference in
``peakbench.statistics``, the verdict is the gate's own. A table stands in the page between ``<!-- measured: NAME -->``
and ``<!-- end -->``. tests/test_gate_power.py simulates part of it again.
"""

from __future__ import annotations

import argparse
import re
import sys
from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path

import numpy as np
from scipy.stats import betabinom, binom

FOLDER = Path(__file__).resolve().parent
sys.path.insert(0, str(FOLDER.parent))  # the checkout, where it is not installed

from peakbench.analysis.gating.margins import cautious_low, outcome_of  # noqa: E402
from peakbench.statistics import Floats, bca, samples_needed, student  # noqa: E402

PAGE = FOLDER / "gate.md"
MARK = re.compile(r"(?P<open><!-- measured: (?P<name>[a-z-]+) -->\n).*?(?P<close><!-- end -->)", re.DOTALL)
FIELDS, RIGHT, CHURN = 9, 0.9, 0.08
SIZES = (350, 1000, 3500)
CHANGES = (-0.02, -0.01, 0.0, 0.01)
MARGINS = (0.005, 0.01, 0.02)
SPREADS = (0.05, 0.075, 0.1, 0.15)
OUTCOMES = ("passed", "fell", "undecided")
STEPS = np.arange(-FIELDS, FIELDS + 1) / FIELDS
SEED = 20_260_201


@dataclass(frozen=True)
class Cell:
    """Shares of the data sets with each verdict."""

    change: float
    margin: float
    n: int
    shares: dict[str, float]


def population(change: float) -> Floats:
    """Return how often each of ``STEPS`` comes: their mean is ``change``."""
    lost = (CHURN - change) / 2 / RIGHT
    gained = (CHURN + change) / 2 / (1 - RIGHT)
    shares = np.zeros(len(STEPS))
    for right in range(FIELDS + 1):
        weight = float(betabinom.pmf(right, FIELDS, 9.0, 1.0))
        up = binom.pmf(np.arange(FIELDS - right + 1), FIELDS - right, gained)
        down = binom.pmf(np.arange(right + 1), right, lost)
        # from -right to FIELDS - right
        shares[FIELDS - right : 2 * FIELDS - right + 1] += weight * np.convolve(up, down[::-1])
    return shares


def spread(change: float) -> float:
    """Return the standard deviation of a sample's difference."""
    shares = population(change)
    return float(np.sqrt(shares @ (STEPS - shares @ STEPS) ** 2))


def interval(counts: Floats, resamples: int, random: np.random.Generator) -> tuple[float, float]:
    """Return the ends that the gate uses for one data set: ``counts`` samples of each of ``STEPS``."""
    n = int(counts.sum())
    total = float(counts @ STEPS)
    value = total / n
    steps = np.repeat(STEPS, counts.astype(np.int64))
    resampled = random.multinomial(n, counts / n, size=resamples) @ STEPS / n
    jackknife = (total - steps) / (n - 1)
    plain, half = bca(value, resampled, jackknife), student(jackknife, n)
    return cautious_low(steps, min(plain.low, value - half)), max(plain.high, value + half)


def simulate(change: float, n: int, *, sets: int, resamples: int) -> list[Cell]:
    """Return the verdicts over simulated pairs of runs, at each margin."""
    random = np.random.default_rng([SEED, n, round(1000 * (change + 1))])
    drawn = random.multinomial(n, population(change), size=sets)
    ends = [interval(counts.astype(np.float64), resamples, random) for counts in drawn]
    cells = []
    for margin in MARGINS:
        found = [outcome_of(low, high, margin=margin, n=n, min_samples=100) for low, high in ends]
        cells.append(Cell(change, margin, n, {name: found.count(name) / sets for name in OUTCOMES}))
    return cells


def right_one(change: float, margin: float) -> str:
    """Return the verdict that the true difference calls for; a loss of just the margin is neither less nor more."""
    if abs(change + margin) < 1e-9:
        return "undecided"
    return "passed" if change > -margin else "fell"


def table(columns: Sequence[str], rows: Sequence[Sequence[str]]) -> str:
    """Return a Markdown table."""
    lines = [columns, ["---"] * len(columns), *rows]
    return "\n".join("| " + " | ".join(line) + " |" for line in lines)


def power_table(cells: Sequence[Cell]) -> str:
    """Lay out the verdicts, in per cent: the right one bold."""
    rows = []
    for change in CHANGES:
        for margin in MARGINS:
            row = [f"{100 * change:+.0f}" if change else "0", f"{100 * margin:g}"]
            for n in SIZES:
                (cell,) = (one for one in cells if (one.change, one.margin, one.n) == (change, margin, n))
                shown = {name: f"{100 * share:.1f}" for name, share in cell.shares.items()}
                right = right_one(change, margin)
                shown[right] = f"**{shown[right]}**"
                row.append(" / ".join(shown[name] for name in OUTCOMES))
            rows.append(row)
    return table(["true change", "margin", *(f"n = {n:,}" for n in SIZES)], rows)


def needed_table() -> str:
    """Lay out how many samples let an equal run pass."""
    rows = [
        [f"{100 * margin:g}", *(f"{samples_needed(one, margin) or 0:,}" for one in SPREADS)]
        for margin in (0.005, 0.01, 0.02, 0.03)
    ]
    return table(["margin", *(f"s = {100 * one:g}" for one in SPREADS)], rows)


def main() -> None:
    """Simulate, and write the tables into the page."""
    parser = argparse.ArgumentParser()
    parser.add_argument("--sets", type=int, default=2000)
    parser.add_argument("--resamples", type=int, default=10_000)
    given = parser.parse_args()
    cells = []
    for n in SIZES:
        for change in CHANGES:
            made = simulate(change, n, sets=given.sets, resamples=given.resamples)
            cells += made
            print(n, change, [one.shares for one in made], flush=True)
    tables = {"power": power_table(cells), "needed": needed_table()}
    page = PAGE.read_text(encoding="utf-8")
    page = MARK.sub(lambda found: f"{found['open']}{tables[found['name']]}\n{found['close']}", page)
    PAGE.write_text(page, encoding="utf-8")
    print(f"spread of a sample's difference: {[round(spread(change), 4) for change in CHANGES]}")


if __name__ == "__main__":
    main()
