"""The page of coverage: its simulation draws as a run does, and its numbers come out again."""

from __future__ import annotations

import importlib.util
import math
import re
import sys
from pathlib import Path
from types import ModuleType

import numpy as np
import pytest

from peakbench.statistics import Bootstrap, Difference

ROOT = Path(__file__).parent.parent
PAGE = (ROOT / "docs" / "coverage.md").read_text(encoding="utf-8")


@pytest.fixture(scope="module")
def simulation() -> ModuleType:
    spec = importlib.util.spec_from_file_location("docs_coverage", ROOT / "docs" / "coverage.py")
    module = importlib.util.module_from_spec(spec)
    sys.modules["docs_coverage"] = module  # dataclasses look their module up
    spec.loader.exec_module(module)
    return module


def lines(name):
    part = re.search(rf"<!-- measured: {name} -->\n(.*?)<!-- end -->", PAGE, re.DOTALL)[1]
    rows = [[cell.strip() for cell in line.strip("| ").split("|")] for line in part.strip().splitlines()]
    return [dict(zip(rows[0], row, strict=True)) for row in rows[2:]]


def apart(shown, found, sets):
    """How far two shares of data sets lie apart, in standard errors; half a unit of the last digit shown is free."""
    share = min(max((shown * 2000 + found * sets) / (2000 + sets), 0.01), 0.99)
    error = math.sqrt(share * (1 - share) * (1 / 2000 + 1 / sets))
    return max(abs(shown - found) - 0.0005, 0) / error


def test_every_population_and_size_is_on_the_page(simulation):
    assert len(simulation.populations()) == 12
    shown = [(line["number"], line["n"]) for line in lines("coverage")]
    assert shown == [(one.name, f"{n:,}") for one in simulation.populations() for n in simulation.SIZES]
    assert [line["n"] for line in lines("false-alarms")] == [f"{n:,}" for n in simulation.SIZES]


def test_names_say_the_true_value(simulation):
    for one in simulation.populations():
        numbers = re.findall(r"0\.\d+", one.name)
        if isinstance(one.statistic, Difference):
            low, high = (float(number) for number in numbers)
            alike = float(re.search(r"(\d+) % alike", one.name)[1]) / 100
            assert one.truth == pytest.approx((low - high) * (1 - alike), abs=1e-12)
        elif numbers and "unreadable" not in one.name:
            assert one.truth == pytest.approx(float(numbers[0]), abs=0.005)
        assert one.shares.sum() == pytest.approx(1)


@pytest.mark.parametrize(
    ("number", "n"),
    [
        ("mean of nine fields, 0.98", 30),
        ("the same, errors in clusters", 100),
        ("pooled F1, 0.97", 100),
        ("difference, 0.97 - 0.98, 70 % alike", 100),
        ("rate, 0.98", 30),
    ],
)
def test_page_and_code_belong_together(simulation, number, n):
    [population] = [one for one in simulation.populations() if one.name == number]
    [shown] = [line for line in lines("coverage") if (line["number"], line["n"]) == (number, f"{n:,}")]
    found = simulation.simulate(population, n, sets=300, resamples=600, seed=7)
    for column, name in (("PeakBench", "ours"), ("BCa", "bca"), ("percentile", "percentile"), ("normal", "normal")):
        assert apart(float(shown[column]) / 100, found.covered[name], 300) < 4, column
    assert float(shown["width"]) == pytest.approx(found.width, abs=0.05)
    assert apart(float(shown["constant"]) / 100, found.constant, 300) < 4.5


def test_ends_belong_to_the_page(simulation):
    shown = {(line["number"], line["n"]): line for line in lines("ends")}
    differences = [one for one in simulation.populations() if isinstance(one.statistic, Difference)]
    assert list(shown) == [(one.name, f"{n:,}") for one in differences for n in simulation.SIZES]
    found = simulation.simulate(differences[0], 100, sets=300, resamples=600, seed=7)
    for column, name in (("PeakBench", "ours"), ("BCa", "bca"), ("percentile", "percentile"), ("normal", "normal")):
        assert apart(float(shown[differences[0].name, "100"][column]) / 100, found.above[name], 300) < 4, column


def test_false_alarms_belong_to_the_page(simulation):
    found = simulation.false_alarms(100, sets=250, resamples=399, seed=7)
    [shown] = [line for line in lines("false-alarms") if line["n"] == "100"]
    assert apart(float(shown["exchanged answers"]) / 100, found["swap"], 250) < 4
    assert apart(float(shown["paired bootstrap as sacrebleu"]) / 100, found["sacrebleu"], 250) < 4


@pytest.mark.parametrize("place", range(12))
def test_intervals_are_those_of_a_run(simulation, place):
    """Drawing how often each distinct row comes gives the interval that drawing rows one by one gives."""
    population = simulation.populations()[place]
    counts = np.random.default_rng(place).multinomial(120, population.shares / population.shares.sum())
    simulated = simulation.intervals(population, counts, 20_000, np.random.default_rng(1))
    rows = np.repeat(population.rows, counts, axis=0)
    found = Bootstrap(rows, resamples=20_000, seed=0).estimate(population.statistic)
    step = 1 / (120 if population.rate else 9 * 120) + 1e-9  # some ends lie on one of few values, or on the next
    low, high = simulated["bca" if population.rate else "ours"]
    assert found.method == ("bca_t" if isinstance(population.statistic, Difference) else "bca")
    assert (found.low, found.high) == pytest.approx((low, high), abs=max(0.06 * (high - low), step))


def test_what_the_page_claims():
    """BCa beats the percentile interval near 1; a difference's interval holds what it promises."""
    table = {(line["number"], line["n"]): line for line in lines("coverage")}
    for number in ("mean of nine fields, 0.98", "the same, errors in clusters", "pooled F1, 0.97"):
        for n in ("30", "100"):
            line = table[number, n]
            gain = abs(95 - float(line["percentile"])) - abs(95 - float(line["PeakBench"]))
            assert gain >= (3 if n == "30" else -0.7)
    for line in table.values():
        if line["number"].startswith("difference"):
            assert float(line["PeakBench"]) >= 94
        if int(line["n"].replace(",", "")) >= 100:
            assert float(line["PeakBench"]) >= 93.5
