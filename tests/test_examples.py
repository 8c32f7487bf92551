"""Every example runs as it stands."""

from __future__ import annotations

import ast
import json
import os
import subprocess
import sys
from pathlib import Path
from typing import Any

import pytest

ROOT = Path(__file__).parent.parent
EXAMPLES = ROOT / "examples"
SCRIPTS = {
    "first_run.py": ["48 samples: 48 answered, 0 failed", "weighted_score", "unscored, not zero"],
    # By hand. weighted: p1 1; p2 (2.5 + 1.5 * 10/11) / 6.5 = 0.5944, "levis" being 10/11 of "levi's"; p3 0; mean 0.531.
    # valued F1: correct values 3 + 2, one wrong, omitted one in p2 and two in p3: 10 / (10 + 2 + 3) = 0.667.
    "score_answers.py": ["weighted_score   0.531", "valued_f1        0.667", "p3 unparseable type unread"],
    # By hand: brand 2 * 6 / 14 = 0.857, content (2.5 + 4 + 1.5 * 0.857) / (9 + 1.5) = 0.741, structure 9 of 10 keys.
    "reward.py": ["total 0.773 = 0.2 x structure 0.900 + 0.8 x content 0.741", "0.86 x 1.5", "truncated_object"],
    # As in docs/leaderboard.md: the base, which answers in prose, is told apart from all that came of it.
    "rank_stages.py": ["reader-int8", "reader-gtpo", "6     reader-base                0.0"],
    "own_metric.py": ["same_length|v1|null:default", "all_null 0.000"],
}


def run(*arguments: str, folder: Path) -> str:
    paths = os.pathsep.join(filter(None, [str(ROOT), os.environ.get("PYTHONPATH")]))
    done = subprocess.run(
        [sys.executable, "-W", "error", *arguments],
        cwd=folder,
        capture_output=True,
        text=True,
        check=False,
        timeout=100,
        env={**os.environ, "PYTHONPATH": paths},
    )
    assert done.returncode == 0, done.stdout + done.stderr
    return done.stdout


@pytest.mark.parametrize("name", SCRIPTS)
def test_script_runs(name: str, tmp_path: Path) -> None:
    shown = run(str(EXAMPLES / name), folder=tmp_path)
    assert [expected for expected in SCRIPTS[name] if expected not in shown] == [], shown
    assert list(tmp_path.iterdir()) == []  # it leaves nothing behind


def test_pytest_example_passes(tmp_path: Path) -> None:
    path = str(EXAMPLES / "scripted_endpoint.py")
    shown = run("-m", "pytest", "-q", "-p", "no:cacheprovider", "--rootdir", str(tmp_path), path, folder=tmp_path)
    assert "4 passed" in shown


def cells() -> list[str]:
    notebook = json.loads((EXAMPLES / "first_run.ipynb").read_text(encoding="utf-8"))
    assert (notebook["nbformat"], notebook["cells"][0]["cell_type"]) == (4, "markdown")
    assert all(cell.get("outputs", []) == [] for cell in notebook["cells"])  # committed as it was before it ran
    return ["".join(cell["source"]) for cell in notebook["cells"] if cell["cell_type"] == "code"]


def execute(code: str, names: dict[str, Any]) -> Any:
    """Run one cell as a notebook does, and return what its last line shows."""
    tree = ast.parse(code)
    last = tree.body.pop() if isinstance(tree.body[-1], ast.Expr) else None
    exec(compile(tree, "cell", "exec"), names)
    return None if last is None else eval(compile(ast.Expression(last.value), "cell", "eval"), names)


async def test_notebook_runs_inside_a_running_loop() -> None:
    """A notebook's cells run in a thread whose event loop is running: ``pb.run`` works there."""
    pytest.importorskip("pandas")
    names: dict[str, Any] = {}
    shown = [execute(code, names) for code in cells()]
    page = shown[0]._repr_html_()
    assert "<table>" in page
    image = shown[2]._repr_html_()
    assert "data:image/jpeg;base64," in image
    assert "weighted_score" in page
    assert shown[1]["low"] < shown[1]["value"] < shown[1]["high"]
    assert shown[3][0] == "unparseable"
    assert len(shown[4]) == 5
    assert shown[5][0] == 2  # g09 has single quotes, g17 is cut off: json-repair reads both
    assert shown[5][1] > shown[1]["value"]


def test_every_example_is_run_and_named() -> None:
    listed = (EXAMPLES / "README.md").read_text(encoding="utf-8")
    scripts = {path.name for path in EXAMPLES.glob("*.py")}
    assert scripts == {*SCRIPTS, "scripted_endpoint.py"}  # the notebooks: test_notebooks.py
    files = {*scripts, *(path.name for path in EXAMPLES.glob("*.ipynb"))}
    assert {name for name in files if name not in listed} == set()
