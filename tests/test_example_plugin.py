"""The example plugin, installed for real: its metric, comparator, task and command work; the docs show its files."""

from __future__ import annotations

import json
import re
from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest

ROOT = Path(__file__).parent.parent
PLUGIN = ROOT / "tests" / "example_plugin"
PAGE = ROOT / "docs" / "plugins.md"

OFFERS = """
import json, sys
from peakbench.builtins import open_registry
registry = open_registry()
loaded = {p.name: [p.distribution, p.version] for p in registry.plugins.loaded}
print(json.dumps({
    "loaded": loaded,
    "broken": [str(b) for b in registry.plugins.broken],
    "origin": registry.origins.get("word_overlap"),
    "task": registry.task("shoe").keys if "shoe" in registry.tasks else None,
}))
"""

SCORES = """
import json
import numpy as np
from peakbench import Prediction
from peakbench.builtins import open_registry
from peakbench.metrics.base import Tools
from peakbench.scoring import Scorer
registry = open_registry()
task = registry.task("shoe")
metrics = registry.build(["word_overlap", "weighted_score"], task, Tools())
scorer = Scorer(task, metrics, registry.comparators(task, Tools()), registry.nulls_of(task))
reference = {"type": "sneakers", "color": "navy blue", "closure": None}
answer = {"type": "sneaker", "color": "dark blue", "closure": "N/A"}
batch = scorer.score([Prediction("a", 0, "strict", answer)], [reference])
print(json.dumps({"values": {m.info.id: float(batch.scores[m.info.id].values[0]) for m in metrics},
                  "signatures": [m.info.signature for m in metrics]}))
"""


@pytest.fixture(scope="module")
def environment(new_environment: Callable) -> Any:
    made = new_environment("example")
    made.install(str(PLUGIN))
    made.add_path(ROOT)
    return made


@pytest.mark.timeout(300)
def test_everything_it_offers_is_there(environment: Any) -> None:
    found = json.loads(environment.run("-c", OFFERS))
    assert found["broken"] == []
    assert found["loaded"]["example"] == ["peakbench-example", "1.0.0"]
    assert found["origin"] == "example"
    assert found["task"] == ["type", "color", "closure"]


def test_its_metric_and_comparator_score(environment: Any) -> None:
    """Worked by hand: overlaps {sneakers}/{sneaker} 0 and {blue} of {navy, blue, dark} 1/3; both null is left out.

    weighted_score: "snea" = "snea" 1 with weight 2, color exact 0, closure null on both sides 1: 3 / 4.
    """
    found = json.loads(environment.run("-c", SCORES))
    assert found["values"] == {"word_overlap": pytest.approx(1 / 6), "weighted_score": pytest.approx(0.75)}
    assert "word_overlap|v1|ignore:[and,with]|null:default" in found["signatures"]


def test_its_command_runs_through_peakbench(environment: Any) -> None:
    assert environment.run("-m", "peakbench", "overlap", "navy blue", "dark blue").strip() == "0.333"


def test_its_command_is_not_imported_for_help(environment: Any) -> None:
    program = "import sys; from peakbench.plugins import commands; print(list(commands()), {})"
    loaded = "'peakbench_example' in sys.modules"
    assert environment.run("-c", program.format(loaded)).strip() == "['overlap'] False"
    assert "overlap" in environment.run("-m", "peakbench", "--help")


def test_its_own_tests_pass(environment: Any) -> None:
    pytest_options = ["-q", "-p", "no:cacheprovider", "--doctest-modules", "--import-mode=importlib"]
    environment.run("-m", "pytest", *pytest_options, "--rootdir", str(PLUGIN), str(PLUGIN))


def test_the_page_shows_its_very_files() -> None:
    """Each code block under a line such as ``<!-- file: prefix.py -->`` equals the file that it names."""
    blocks = re.findall(r"<!-- file: (\S+) -->\n+```\w+\n(.*?)```", PAGE.read_text(encoding="utf-8"), re.DOTALL)
    assert {name for name, _ in blocks} >= {
        "pyproject.toml",
        "peakbench_example/word_overlap.py",
        "peakbench_example/metrics.json",
        "peakbench_example/plugin.py",
        "peakbench_example/prefix.py",
        "peakbench_example/shoe.json",
        "peakbench_example/command.py",
        "tests/test_word_overlap.py",
    }
    for name, text in blocks:
        assert text == (PLUGIN / name).read_text(encoding="utf-8"), f"docs/plugins.md shows another {name}"
