"""``peakbench recipe``: through the command line's own door."""

from __future__ import annotations

import json
import re
import shlex
from collections.abc import Callable
from pathlib import Path

import click
import numpy as np
import peakbench as pb
import pytest
from hypothesis import given
from hypothesis import strategies as st
from peakbench.cli import main
from scipy import stats

from peakbench_recipes import STAGES, RunFolder, compare_folders, export, load_recipe, run_recipe
from peakbench_recipes.commands import recipe
from peakbench_recipes.comparison import comparison_page, over_trainings

Write = Callable[..., Path]
HERE = Path(__file__).parent
ROOT = HERE.parents[2]


@pytest.fixture
def folders(recipe_file: Write, tmp_path: Path) -> list[str]:
    """Two seeds that know 9 and 6 of the 12 pictures after the last stage."""
    path, found = recipe_file(), []
    for seed, steps in ((0, 9), (1, 6)):
        changed = load_recipe(path, [f"stages.sft.steps={steps}"], seed=seed)
        found.append(str(run_recipe(changed, tmp_path / f"seed{seed}").path))
    return found


def test_the_command_is_found_through_its_entry_point(
    installed: dict[str, str], capsys: pytest.CaptureFixture[str]
) -> None:
    assert main(["recipe", "--help"]) == 0
    assert "Train a model by a recipe" in capsys.readouterr().out
    assert main(["recipe", "rnu"]) == 2
    assert "did you mean 'run'" in capsys.readouterr().err


def test_list(installed: dict[str, str], capsys: pytest.CaptureFixture[str]) -> None:
    assert main(["recipe", "list"]) == 0
    assert "recipe" in capsys.readouterr().out
    assert main(["recipe", "list", "--json"]) == 0
    for row in json.loads(capsys.readouterr().out):
        assert row["command"].startswith("peakbench recipe run")


def test_show(recipe_file: Write, capsys: pytest.CaptureFixture[str]) -> None:
    path = str(recipe_file())
    assert main(["recipe", "show", path]) == 0
    shown = capsys.readouterr().out
    for words in ("A recipe of the tests", "peakbench recipe run toy.yaml", "GPU memory: 9 GB", "resamples: 50"):
        assert words in shown
    assert main(["recipe", "show", path, "--json", "--set", "stages.sft.steps=3"]) == 0
    found = json.loads(capsys.readouterr().out)
    assert found["needs"][1]["needs"][0] == "GPU memory: 3 GB"
    assert found["recipe"]["stages"][1]["steps"] == 3


def test_run_and_show_its_folder(recipe_file: Write, tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    path = str(recipe_file())
    assert main(["recipe", "run", path, "--dry-run"]) == 0
    shown = capsys.readouterr().out
    assert "toy, seed 0, to runs/toy-seed0" in shown
    assert "time: about 2 h" in shown
    assert not (tmp_path / "runs").exists()

    assert main(["recipe", "run", path, "--stages", "base", "--seed", "4"]) == 0
    out, err = capsys.readouterr()
    assert "peakbench recipe run --resume --out runs/toy-seed4" in err
    assert "base: trained in" in err
    assert "base" in out
    assert main(["recipe", "show", "runs/toy-seed4", "--json"]) == 0
    rows = json.loads(capsys.readouterr().out)["stages"]
    assert [(row["stage"], row["state"], row["step"]) for row in rows] == [
        ("base", "measured", 2),
        ("sft", "to do", None),
    ]

    assert main(["recipe", "run", "--resume", "--out", "runs/toy-seed4", "--quiet"]) == 0
    out, err = capsys.readouterr()
    assert err == ""
    assert "sft" in out
    assert main(["recipe", "show", "runs/toy-seed4"]) == 0
    assert "measured" in capsys.readouterr().out


@pytest.mark.parametrize(
    ("arguments", "message"),
    [
        (["run"], "name a recipe"),
        (["run", "--resume", "--out", "x", "--seed", "1"], "change the recipe"),
        (["run", "--resume", "--out", "x"], "no run of a recipe here"),
        (["run", "toy.yaml", "--dry-run", "--stages", "sfd"], "did you mean 'sft'"),
        (["run", "nothing.yaml"], "no recipe 'nothing.yaml'"),
        (["show", "toy.yaml", "--set", "sed=1"], "did you mean 'seed'"),
        (["compare", "nowhere"], "no run of a recipe here"),
    ],
)
def test_a_mistake_has_its_message_and_code(
    recipe_file: Write, capsys: pytest.CaptureFixture[str], arguments: list[str], message: str
) -> None:
    recipe_file()
    assert main(["recipe", *arguments]) == 2
    assert message in capsys.readouterr().err


def test_export(folders: list[str], tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    assert main(["recipe", "export", folders[0], "--out", "reader"]) == 0
    assert capsys.readouterr().out.strip() == "reader"
    note = json.loads((tmp_path / "reader" / "provenance.json").read_text(encoding="utf-8"))
    assert (note["recipe"], note["stage"], note["seed"], note["training"]) == ("toy", "sft", 0, ["sft"])
    assert note["evaluation"]["metrics"]["all_correct"]["value"] == pytest.approx(0.75)
    state = json.loads((tmp_path / "reader" / "model.json").read_text(encoding="utf-8"))

    assert main(["recipe", "export", folders[0], "--out", "flat", "--form", "weights", "--stage", "sft"]) == 0
    assert (tmp_path / "flat" / "weights.txt").read_text() == state["weights"]
    capsys.readouterr()
    for arguments, message in (
        (["--out", "reader"], "there is something already"),
        (["--out", "x", "--form", "wieghts"], "did you mean 'weights'"),
        (["--out", "x", "--stage", "sfd"], "did you mean 'sft'"),
    ):
        assert main(["recipe", "export", folders[0], *arguments]) == 2
        assert message in capsys.readouterr().err


def test_export_of_what_is_not_trained(recipe_file: Write, tmp_path: Path) -> None:
    folder = run_recipe(load_recipe(recipe_file()), tmp_path / "run", stages=["base"])
    with pytest.raises(pb.StoreError, match=r"stage 'sft' is not trained\n.*--resume"):
        export(folder, tmp_path / "x", stage="sft")
    assert (export(folder, tmp_path / "x") / "model.json").is_file()
    assert json.loads((tmp_path / "x" / "provenance.json").read_text())["training"] == []


# -- comparison --------------------------------------------------------------------------------------------------------


def test_stages_are_compared_over_the_seeds(folders: list[str]) -> None:
    found = compare_folders([RunFolder.open(one) for one in folders], resamples=500)
    base, sft = found.stages
    assert (base.stage, sft.stage, sft.seeds, sft.samples) == ("base", "sft", (0, 1), 12)
    assert sft.each["all_correct"] == pytest.approx((9 / 12, 6 / 12))
    assert sft.values["all_correct"] == pytest.approx(7.5 / 12)
    (step,) = found.steps
    change = step.changes["all_correct"]
    assert (step.first, step.second, change.n) == ("base", "sft", 12)
    assert change.value == pytest.approx(7.5 / 12)
    assert step.each["all_correct"] == pytest.approx((9 / 12, 6 / 12))
    assert change.low is not None
    assert change.high is not None
    assert 0 < change.low < change.value < change.high <= 1
    # 0.625 -+ 12.7062 * 0.125: Student's table, 97.5 %, one degree of freedom; a share's difference ends at 1
    assert step.trainings("all_correct") == pytest.approx((-0.963276, 1.0), abs=1e-5)


@given(st.lists(st.floats(-0.2, 0.2), min_size=2, max_size=8).filter(lambda values: np.std(values) > 1e-6))
def test_the_interval_over_trainings_is_students(differences: list[float]) -> None:
    oracle = stats.ttest_1samp(differences, 0).confidence_interval(0.95)
    expected = max(-1.0, oracle.low), min(1.0, oracle.high)
    assert over_trainings(differences) == pytest.approx(expected)
    assert over_trainings(differences[:1]) is None


def test_one_folder_is_compared_as_peakbench_compares_two_runs(folders: list[str]) -> None:
    (step,) = compare_folders([RunFolder.open(folders[0])], resamples=500).steps
    runs = [f"{folders[0]}/{stage}/evaluation" for stage in ("base", "sft")]
    (contrast,) = pb.compare(*runs, resamples=500)
    oracle = {change.name: change for change in contrast.metrics}
    for name, change in step.changes.items():
        assert (change.value, change.low, change.high) == (oracle[name].value, oracle[name].low, oracle[name].high)


def test_siblings_and_other_recipes(recipe_file: Write, tmp_path: Path) -> None:
    more = "  - {kind: fake.sft, name: grpo, steps: 10}\n  - {kind: fake.sft, name: gtpo, after: sft, steps: 12}\n"
    first = run_recipe(load_recipe(recipe_file(**{"    steps: 9\n": f"    steps: 9\n{more}"})), tmp_path / "first")
    second = run_recipe(load_recipe(recipe_file("plain")), tmp_path / "second")
    found = compare_folders([first, second], metrics=["all_correct"], resamples=50)
    steps = {(one.first, one.second): one.changes["all_correct"].value for one in found.steps}
    twelfths = {pair: round(value * 12) for pair, value in steps.items() if value is not None}
    assert twelfths == {
        ("base", "sft"): 9,
        ("sft", "grpo"): 1,
        ("sft", "gtpo"): 3,
        ("grpo", "gtpo"): 2,
        ("toy: gtpo", "sft"): -3,
    }
    text = "".join(str(block) for block in comparison_page(found))
    assert "toy: gtpo to plain: sft" in text


def test_compare_command(folders: list[str], capsys: pytest.CaptureFixture[str]) -> None:
    assert main(["recipe", "compare", *folders, "--resamples", "100"]) == 0
    shown = capsys.readouterr().out
    assert "reward" in shown
    assert "base to sft" in shown
    assert "+75.0 +50.0" in shown
    assert "over trainings, 95 %" in shown
    assert main(["recipe", "compare", *folders, "--resamples", "100", "--format", "markdown"]) == 0
    assert "| base to sft |" in capsys.readouterr().out
    assert main(["recipe", "compare", *folders, "--json", "--resamples", "100", "--metrics", "all_correct"]) == 0
    found = json.loads(capsys.readouterr().out)
    assert found["steps"][0]["metrics"]["all_correct"]["each"] == pytest.approx([0.75, 0.5])
    assert len(found["steps"][0]["metrics"]["all_correct"]["trainings"]) == 2
    assert main(["recipe", "compare", *folders, "--metrics", "rewards"]) == 2
    assert "did you mean 'reward'" in capsys.readouterr().err


def test_what_cannot_be_compared(folders: list[str], recipe_file: Write, tmp_path: Path) -> None:
    other = run_recipe(load_recipe(recipe_file(), ["stages.sft.name=tune"]), tmp_path / "other")
    with pytest.raises(pb.NotComparable, match="other stages"):
        compare_folders([RunFolder.open(folders[0]), other])
    less = run_recipe(load_recipe(recipe_file(), ["evaluation.limit=6"], seed=2), tmp_path / "less")
    with pytest.raises(pb.NotComparable, match="different samples"):
        compare_folders([RunFolder.open(folders[0]), less])
    with pytest.raises(pb.StoreError, match="no stage is measured"):
        compare_folders([RunFolder.create(tmp_path / "empty", other.recipe)])


# -- the documentation -------------------------------------------------------------------------------------------------

PAGES = (ROOT / "docs" / "recipes.md", HERE.parent / "README.md")


@pytest.mark.skipif(not PAGES[0].is_file(), reason="outside the repository")
def test_commands_on_the_pages_parse() -> None:
    lines = [line for page in PAGES for line in re.findall(r"^ *peakbench recipe (.*)$", page.read_text(), re.M)]
    assert len(lines) > 15
    for line in lines:
        name, *arguments = shlex.split(line, comments=True)
        command = recipe.commands[name]
        command.parse_args(click.Context(command, info_name=name), arguments)  # raises where it does not parse


@pytest.mark.skipif(not PAGES[0].is_file(), reason="outside the repository")
def test_the_stage_kind_on_the_page_trains(
    installed: dict[str, str], data: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    page = PAGES[0].read_text(encoding="utf-8")
    for name in ("recipe.yaml", "count_stages.py"):
        (tmp_path / name).write_text(re.search(rf"<!-- test: {name} -->\n\n```\w+\n(.*?)^```$", page, re.M | re.S)[1])  # type: ignore[index]
    monkeypatch.syspath_prepend(tmp_path)
    monkeypatch.setitem(STAGES, "count", "count_stages")
    recipe_read = load_recipe(tmp_path / "recipe.yaml", [f"evaluation.data={data}"])
    folder = run_recipe(recipe_read, tmp_path / "run")
    values = [
        pb.load_run(folder.stage(name).evaluation).summary["metrics"]["json_parse_rate"]["value"]
        for name in ("sft", "more")
    ]
    assert values == [1.0, 1.0]
    assert (folder.stage("more").checkpoint / "count.json").read_text() == "12"  # type: ignore[operator]
