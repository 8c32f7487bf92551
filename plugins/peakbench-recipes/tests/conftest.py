"""The package as if it were installed, and a stage kind of a few milliseconds."""

from __future__ import annotations

import json
import os
import sys
import tomllib
from collections.abc import Callable
from pathlib import Path

import pytest

HERE = Path(__file__).parent
ROOT = HERE.parents[2]
SAMPLES = 12


def distribution(folder: Path, name: str, groups: dict[str, dict[str, str]]) -> None:
    """What an installer leaves of a package: its name and its entry points."""
    info = folder / f"{name.replace('-', '_')}-0.1.0.dist-info"
    info.mkdir(parents=True)
    (info / "METADATA").write_text(f"Metadata-Version: 2.1\nName: {name}\nVersion: 0.1.0\n", encoding="utf-8")
    lines = [f"[{group}]\n" + "".join(f"{k} = {v}\n" for k, v in one.items()) for group, one in groups.items()]
    (info / "entry_points.txt").write_text("\n".join(lines), encoding="utf-8")


@pytest.fixture
def installed(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> dict[str, str]:
    """Make the package's entry points and those of a fake stage kind visible; return a child's environment."""
    site = tmp_path / "site"
    project = tomllib.loads((HERE.parent / "pyproject.toml").read_text(encoding="utf-8"))["project"]
    distribution(site, "peakbench-recipes", project["entry-points"])
    kinds = ("fake.pretrain", "fake.sft")
    distribution(site, "fake-stages", {"peakbench_recipes.stages": dict.fromkeys(kinds, "fake_stages")})
    paths = [str(site), str(HERE), str(HERE.parent), str(ROOT)]
    for path in reversed(paths[:2]):
        monkeypatch.syspath_prepend(path)
    monkeypatch.delitem(sys.modules, "fake_stages", raising=False)
    monkeypatch.chdir(tmp_path)
    return {**os.environ, "PYTHONPATH": os.pathsep.join(paths), "OMP_NUM_THREADS": "1", "NO_COLOR": "1"}


@pytest.fixture
def data(tmp_path: Path) -> Path:
    """Twelve pictures of 16 x 16: the red of each is its number, the reference says so."""
    from PIL import Image

    folder = tmp_path / "data"
    folder.mkdir()
    lines = []
    for number in range(SAMPLES):
        Image.new("RGB", (16, 16), (number * 20, 0, 0)).save(folder / f"{number}.png")
        reference = {"type": f"kind {number}", "color": "red", "brand": None}
        lines.append(json.dumps({"id": f"s{number:02}", "images": [f"{number}.png"], "reference": reference}))
    (folder / "test.jsonl").write_text("\n".join(lines) + "\n", encoding="utf-8")
    return folder / "test.jsonl"


RECIPE = """# peakbench recipe run {name}.yaml
# Two stages of nothing.
title: A recipe of the tests
evaluation:
  data: {data}
  resamples: 50
  workers: 2
stages:
  - kind: fake.pretrain
    name: base
    steps: 2
    speaks: prose
  - kind: fake.sft
    name: sft
    steps: 9
"""


@pytest.fixture
def recipe_file(installed: dict[str, str], data: Path, tmp_path: Path) -> Callable[..., Path]:
    """Write a recipe; words of it can be replaced."""

    def write(name: str = "toy", **words: str) -> Path:
        text = RECIPE.format(name=name, data=data)
        for old, new in words.items():
            assert old in text
            text = text.replace(old, new)
        path = tmp_path / f"{name}.yaml"
        path.write_text(text, encoding="utf-8")
        return path

    return write
