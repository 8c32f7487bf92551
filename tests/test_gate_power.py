"""The tables of gate.md: the simulated difference is what it says, the ends are the gate's, the page is the code's."""

from __future__ import annotations

import importlib.util
import math
import re
import sys
from pathlib import Path
from types import ModuleType

import numpy as np
import pytest

from peakbench.analysis.gating.margins import cautious_low
from peakbench.statistics import Bootstrap, Difference, Ratio

DOCS = Path(__file__).parents[1] / "docs"


@pytest.fixture(scope="module")
def power() -> ModuleType:
    spec = importlib.util.spec_from_file_location("power", DOCS / "power.py")
    assert spec is not None
    assert spec.loader is not None
    module = importlib.util.module_from_spec(spec)
    sys.modules["power"] = module
    spec.loader.exec_module(module)
    return module


def measured(name: str) -> list[list[str]]:
    page = (DOCS / "gate.md").read_text(encoding="utf-8")
    found = re.search(rf"<!-- measured: {name} -->\n(.*?)<!-- end -->", page, re.DOTALL)
    assert found is not None
    return [[cell.strip() for cell in line.strip("| ").split("|")] for line in found.group(1).strip().splitlines()]


@pytest.mark.parametrize("change", [-0.02, -0.01, 0.0, 0.01])
def test_the_population_has_the_difference_that_it_says(power: ModuleType, change: float) -> None:
    shares = power.population(change)
    assert shares.min() >= 0
    assert shares.sum() == pytest.approx(1, abs=1e-12)
    assert shares @ power.STEPS == pytest.approx(change, abs=1e-12)
    assert power.spread(change) == pytest.approx(0.1, abs=0.004)  # s = 10 points, as the page says


def test_the_ends_are_those_of_the_gate(power: ModuleType) -> None:
    random = np.random.default_rng(3)
    for n in (350, 1000):
        counts = random.multinomial(n, power.population(-0.01)).astype(float)
        steps = np.repeat(power.STEPS, counts.astype(int))
        ones = np.ones(n)
        drawn = Bootstrap(np.column_stack([ones * 0.5, ones, 0.5 + steps, ones]), resamples=20_000, seed=1)
        gate = drawn.estimate(Difference(Ratio(0, 1), Ratio(2, 3)))
        assert gate.low is not None
        assert gate.high is not None
        simulated = power.interval(counts, 20_000, random)
        assert simulated == pytest.approx((cautious_low(steps, gate.low), gate.high), abs=3e-4)


def test_the_page_holds_every_cell_and_its_shares_sum_to_all(power: ModuleType) -> None:
    head, _, *rows = measured("power")
    assert head == ["true change", "margin", "n = 350", "n = 1,000", "n = 3,500"]
    assert [(row[0], row[1]) for row in rows] == [
        (change, margin) for change in ("-2", "-1", "0", "+1") for margin in ("0.5", "1", "2")
    ]
    for row in rows:
        for cell in row[2:]:
            assert sum(map(float, cell.replace("*", "").split("/"))) == pytest.approx(100, abs=0.11)


def test_the_page_says_what_a_simulation_finds_again(power: ModuleType) -> None:
    sets = 300
    again = power.simulate(0.0, 350, sets=sets, resamples=1000)
    _, _, *rows = measured("power")
    for cell in again:
        (row,) = (row for row in rows if (row[0], row[1]) == ("0", f"{100 * cell.margin:g}"))
        for shown, share in zip(row[2].replace("*", "").split("/"), cell.shares.values(), strict=True):
            said = float(shown) / 100
            error = math.sqrt(max(said * (1 - said), 0.01) * (1 / sets + 1 / 2000))
            assert share == pytest.approx(said, abs=4 * error)


def test_the_numbers_needed_are_those_of_the_formula(power: ModuleType) -> None:
    head, _, *rows = measured("needed")
    spreads = [float(one.removeprefix("s = ")) for one in head[1:]]
    for margin, *cells in rows:
        for spread, cell in zip(spreads, cells, strict=True):
            assert int(cell.replace(",", "")) == math.ceil((2.8015853 * spread / float(margin)) ** 2)


def test_wrong_verdicts_are_rare_on_the_page() -> None:
    # 2.5 % within three standard errors of 2,000 simulated pairs
    most = 2.5 + 3 * 100 * math.sqrt(0.025 * 0.975 / 2000)
    _, _, *rows = measured("power")
    for change, margin, *cells in rows:
        for cell in cells:
            passed, fell, _ = map(float, cell.replace("*", "").split("/"))
            if float(change) <= -float(margin):
                assert passed <= most
            if float(change) >= -float(margin):
                assert fell <= most
