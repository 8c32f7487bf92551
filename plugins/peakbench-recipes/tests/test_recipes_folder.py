"""A run's folder: whole after a kill at any moment, nothing done twice."""

from __future__ import annotations

import json
import os
import signal
import subprocess
import sys
import time
from collections import Counter
from collections.abc import Callable
from pathlib import Path
from typing import Any

import numpy as np
import peakbench as pb
import pytest
from peakbench.errors import ConfigError, StoreError

from peakbench_recipes import RunFolder, load_recipe, run_recipe
from peakbench_recipes.comparison import compare_folders
from peakbench_recipes.folder import STEPS, StageFolder, StepLog, differences, read_steps

Write = Callable[..., Path]
STEPS_OF_KILLED = 40


def steps_of(folder: Path, stage: str) -> list[dict[str, Any]]:
    return read_steps(folder / stage / STEPS)


# -- the step log ------------------------------------------------------------------------------------------------------


def test_a_torn_last_line_is_dropped_and_steps_done_again_replace_the_earlier(tmp_path: Path) -> None:
    path = tmp_path / STEPS
    with StepLog(path) as log:
        for step in range(1, 8):
            log.append({"step": step, "loss": 1.0})
    with path.open("a", encoding="utf-8") as file:
        file.write('{"step": 8, "lo')
    assert [line["step"] for line in read_steps(path)] == [*range(1, 8)]
    with StepLog(path) as log:  # the last checkpoint was that of step 5
        for step in (6, 7, 8):
            log.append({"step": step, "loss": 2.0})
    assert [(line["step"], line["loss"]) for line in read_steps(path)] == [(s, 1.0 + (s > 5)) for s in range(1, 9)]
    elapsed = [line["elapsed_s"] for line in read_steps(path)]
    assert elapsed == sorted(elapsed)


def test_lines_hold_what_json_can_hold(tmp_path: Path) -> None:
    path = tmp_path / STEPS
    with StepLog(path) as log:
        log.append({"step": np.int64(1), "loss": np.float32(0.5), "bad": float("nan"), "each": [np.inf, 1]})
        with pytest.raises(ValueError, match="whole 'step'"):
            log.append({"loss": 1.0})
        with pytest.raises(ValueError, match="whole 'step'"):
            log.append({"step": True})
    (line,) = read_steps(path)
    assert {**line, "elapsed_s": 0} == {"step": 1, "loss": 0.5, "bad": None, "each": [None, 1], "elapsed_s": 0}


def test_a_damaged_line_in_the_middle_is_named(tmp_path: Path) -> None:
    path = tmp_path / STEPS
    path.write_text('{"step": 1}\nnonsense\n{"step": 3}\n', encoding="utf-8")
    with pytest.raises(StoreError, match=r"steps.jsonl:2: not a line"):
        read_steps(path)


# -- a run ------------------------------------------------------------------------------------------------------------


@pytest.fixture
def finished(recipe_file: Write, tmp_path: Path) -> RunFolder:
    return run_recipe(load_recipe(recipe_file()), tmp_path / "run")


def test_each_checkpoint_is_measured_by_peakbench(finished: RunFolder) -> None:
    base, sft = (pb.load_run(finished.stage(name).evaluation) for name in ("base", "sft"))
    assert (base.record.model, sft.record.model) == ("toy-base", "toy-sft")
    metrics = sft.summary["metrics"]
    # nine of twelve kinds known, colour and the null brand always right
    assert metrics["all_correct"]["value"] == pytest.approx(9 / 12)
    assert sft.summary["fields"]["type"]["score"] == pytest.approx(9 / 12)
    assert metrics["json_parse_rate"]["value"] == 1.0
    assert base.summary["metrics"]["reward"]["value"] == 0.0  # prose does not pass the gate
    assert base.summary["metrics"]["all_correct"]["value"] == 0.0
    lineage = sft.record.lineage
    assert lineage is not None
    assert (lineage.family, lineage.training, lineage.version) == ("toy", ("SFT",), "seed 0")
    assert Path(lineage.base_run or "").name == "evaluation"
    assert base.record.lineage is not None
    assert not base.record.lineage.training
    assert not finished.start.evaluated  # there is no model before pretraining


def test_the_reward_of_the_run_is_that_of_training(finished: RunFolder) -> None:
    from peakbench.rewards import Reward

    run = pb.load_run(finished.stage("sft").evaluation)
    reward = Reward("garment")
    for record, row in zip(run.samples(), run.rows(), strict=True):
        text = run.sample(record.id).completions[0].response.text  # type: ignore[union-attr]
        assert row["metrics"]["reward"]["value"] == pytest.approx(reward(text, record.reference).total)


def test_the_folder_says_what_was_done(finished: RunFolder) -> None:
    assert RunFolder.open(finished.path).recipe == finished.recipe
    (versions,) = json.loads((finished.path / "versions.json").read_text(encoding="utf-8"))
    assert versions["peakbench"] == pb.__version__
    state = finished.stage("sft").state
    assert state is not None
    assert (state.kind, state.seed, state.checkpoint, state.attempts) == ("fake.sft", 0, "checkpoint", 1)
    assert [line["step"] for line in finished.stage("sft").steps()] == [*range(1, 10)]


def test_a_stage_starts_from_the_one_before_or_the_one_it_names(recipe_file: Write, tmp_path: Path) -> None:
    more = "  - {kind: fake.sft, name: other, after: base, steps: 9, evaluate: false}\n"
    path = recipe_file(**{"    steps: 9\n": f"    steps: 9\n{more}"})
    run = run_recipe(load_recipe(path), tmp_path / "run")
    weights = [(run.stage(name).checkpoint / "model.json").read_text() for name in ("sft", "other")]  # type: ignore[operator]
    assert weights[0] == weights[1]
    assert not run.stage("other").evaluated


def test_the_model_before_the_first_stage_is_measured(recipe_file: Write, tmp_path: Path) -> None:
    first = run_recipe(load_recipe(recipe_file()), tmp_path / "first", stages=["base"])
    one = "stages=[{kind: fake.sft, steps: 3}]"
    run = run_recipe(load_recipe(recipe_file("second"), [one]), tmp_path / "second")  # the kind makes its base model
    assert pb.load_run(run.start.evaluation).summary["metrics"]["all_correct"]["value"] == 0.0
    settings = [one, f"start={first.stage('base').checkpoint}"]
    run = run_recipe(load_recipe(recipe_file("third"), settings), tmp_path / "third")
    answers = [run.sample("s01").completions[0].response.text for run in [pb.load_run(run.start.evaluation)]]  # type: ignore[union-attr]
    assert answers == ["something red, kind 1"]


def test_a_run_that_starts_from_another_goes_on_with_its_lineage(
    finished: RunFolder, recipe_file: Write, tmp_path: Path
) -> None:
    settings = ["stages=[{kind: fake.sft, name: grpo, steps: 3}]", f"start={finished.path}/sft/checkpoint"]
    run = run_recipe(load_recipe(recipe_file("toy-grpo"), [*settings, "evaluation.before=false"]), tmp_path / "more")
    record = pb.load_run(run.stage("grpo").evaluation).record
    assert record.lineage is not None
    assert (record.model, record.lineage.family, record.lineage.training) == ("toy-sft-grpo", "toy", ("SFT", "GRPO"))
    found = pb.pairs(
        *(one.stage(name).evaluation for one, name in ((finished, "base"), (finished, "sft"), (run, "grpo")))
    )
    assert [one.pair.added for one in found] == ["SFT", "GRPO"]
    assert found.findings[1].pair.flags == ()  # nothing else tells the two apart
    assert (run.stage("grpo").evaluation / (record.lineage.base_run or "")).resolve() == finished.stage(
        "sft"
    ).evaluation


def test_several_stages_start_where_the_recipe_does(finished: RunFolder, recipe_file: Write, tmp_path: Path) -> None:
    stages = "stages=[" + ", ".join(f"{{kind: fake.sft, name: {n}, after: start, steps: 3}}" for n in "ab") + "]"
    with pytest.raises(ConfigError, match="'a' comes after 'start', which is no stage before it"):
        load_recipe(recipe_file("nowhere"), [stages])
    recipe = load_recipe(recipe_file("two"), [stages, f"start={finished.path}/base/checkpoint"])
    run = run_recipe(recipe, tmp_path / "two")
    weights = [(run.stage(name).checkpoint / "model.json").read_text() for name in "ab"]  # type: ignore[operator]
    assert weights[0] == weights[1]
    found = compare_folders([run], resamples=50)
    assert [(step.first, step.second) for step in found.steps] == [("start", "a"), ("start", "b"), ("a", "b")]
    assert found.steps[2].changes["weighted_score"].value == 0.0


def test_a_folder_that_cannot_be_used(finished: RunFolder, recipe_file: Write, tmp_path: Path) -> None:
    with pytest.raises(StoreError, match=r"there is a run of a recipe already\n.*--resume"):
        run_recipe(finished.recipe, finished.path)
    with pytest.raises(StoreError, match=r"not the same recipe:\n    stages.1.steps: 9 there, 10 here"):
        run_recipe(load_recipe(recipe_file(), ["stages.sft.steps=10"]), finished.path, resume=True)
    (tmp_path / "full").mkdir()
    (tmp_path / "full" / "letter.txt").touch()
    with pytest.raises(StoreError, match="not empty"):
        run_recipe(finished.recipe, tmp_path / "full")
    with pytest.raises(StoreError, match="no run of a recipe here"):
        RunFolder.open(tmp_path / "full")
    with finished.lock(), pytest.raises(StoreError, match="another process"):
        run_recipe(finished.recipe, finished.path, resume=True)


def test_chosen_stages(recipe_file: Write, tmp_path: Path) -> None:
    recipe = load_recipe(recipe_file())
    with pytest.raises(ConfigError, match=r"no stage 'sfd' in the recipe\n  did you mean 'sft'"):
        run_recipe(recipe, tmp_path / "run", stages=["sfd"])
    with pytest.raises(ConfigError, match=r"'sft' starts from 'base', which is not trained"):
        run_recipe(recipe, tmp_path / "run", stages=["sft"])
    run = run_recipe(recipe, tmp_path / "run", stages=["base"], resume=True)
    assert (run.stage("base").state is None, run.stage("sft").state is None) == (False, True)
    assert run_recipe(recipe, tmp_path / "run", resume=True).stage("sft").evaluated


def test_a_checkpoint_that_is_no_folder_is_refused(tmp_path: Path) -> None:
    with pytest.raises(StoreError, match="no folder"):
        StageFolder(tmp_path).finish("fake", 0, tmp_path / "nothing", 1.0)


def test_differences_name_the_place() -> None:
    assert list(differences({"a": [{"b": 1}], "c": 1}, {"a": [{"b": 2}]})) == [
        "a.0.b: 1 there, 2 here",
        "c: 1 there, null here",
    ]


# -- kill -9 -----------------------------------------------------------------------------------------------------------


def begin(path: Path, out: Path, environment: dict[str, str], *options: str) -> subprocess.Popen[str]:
    command = [sys.executable, "-m", "peakbench", "recipe", "run", str(path), "--out", str(out), *options]
    pipe = subprocess.PIPE
    return subprocess.Popen(command, env=environment, stdout=pipe, stderr=pipe, text=True, cwd=path.parent)


def kill_once(process: subprocess.Popen[str], there: Callable[[], bool]) -> None:
    """Kill a process, as the kernel does, as soon as something is so."""
    deadline = time.monotonic() + 60
    while not there():
        assert process.poll() is None, process.communicate()
        assert time.monotonic() < deadline
        time.sleep(0.01)
    os.kill(process.pid, signal.SIGKILL)
    process.communicate()
    assert process.returncode == -signal.SIGKILL


@pytest.mark.skipif(sys.platform == "win32", reason="needs SIGKILL")
def test_training_goes_on_after_kill_9(installed: dict[str, str], recipe_file: Write, tmp_path: Path) -> None:
    path = recipe_file(**{"    steps: 9\n": f"    steps: {STEPS_OF_KILLED}\n    step_s: 0.02\n"})
    out = tmp_path / "killed"
    kill_once(begin(path, out, installed), lambda: len(steps_of(out, "sft")) >= 12)
    assert len(steps_of(out, "sft")) < STEPS_OF_KILLED
    assert StageFolder(out / "sft").state is None
    with (out / "sft" / STEPS).open("a", encoding="utf-8") as file:
        file.write('{"step": 13, "lo')  # what a kill in the middle of a write leaves
    first = (
        (out / "base" / "stage.json").stat().st_mtime_ns,
        (out / "base" / "evaluation" / "summary.json").read_bytes(),
    )

    process = begin(path, out, installed, "--resume")
    output, said = process.communicate(timeout=60)
    assert process.returncode == 0, said
    assert "base: trained already" in said
    assert "base: measured already" in said
    assert "sft: going on" in said
    begun_at = int(said.partition("sft: from step ")[2].split()[0])
    assert 10 <= begun_at < STEPS_OF_KILLED  # from a checkpoint, not from the beginning
    assert "all_correct" in output
    assert first == (
        (out / "base" / "stage.json").stat().st_mtime_ns,
        (out / "base" / "evaluation" / "summary.json").read_bytes(),
    )
    state = StageFolder(out / "sft").state
    assert state is not None
    assert (state.attempts, len(json.loads((out / "versions.json").read_text()))) == (2, 2)

    # every step once, and the same as without the kill
    whole = run_recipe(load_recipe(path, ["stages.sft.step_s=0"]), tmp_path / "whole")
    assert [(one["step"], one["weights"]) for one in steps_of(out, "sft")] == [
        (one["step"], one["weights"]) for one in whole.stage("sft").steps()
    ]
    scores = [
        [row["metrics"]["reward"] for row in pb.load_run(folder / "sft" / "evaluation").rows()]
        for folder in (out, whole.path)
    ]
    assert scores[0] == scores[1]


@pytest.mark.skipif(sys.platform == "win32", reason="needs SIGKILL")
def test_an_evaluation_goes_on_after_kill_9(installed: dict[str, str], recipe_file: Write, tmp_path: Path) -> None:
    path = recipe_file(**{"    steps: 9\n": "    steps: 9\n    think_s: 0.1\n"})
    out = tmp_path / "killed"
    journal = out / "sft" / "evaluation" / "responses.jsonl"
    there = begin(path, out, installed)
    kill_once(there, lambda: journal.is_file() and journal.read_bytes().count(b"\n") >= 4)
    answered = journal.read_bytes().count(b"\n")
    assert not StageFolder(out / "sft").evaluated
    process = begin(path, out, installed, "--resume")
    _, said = process.communicate(timeout=60)
    assert process.returncode == 0, said
    assert "sft: trained already" in said
    asked = Counter((out / "sft" / "checkpoint" / "asked.txt").read_text().split())
    assert len(asked) == 12
    assert sum(asked.values()) <= 12 + 2  # what was under way when it was killed is asked again, and no more
    assert 4 <= answered < 12
    assert pb.load_run(out / "sft" / "evaluation").summary["samples"]["answers"] == 12


def test_a_stage_that_fails_leaves_a_folder_that_goes_on(recipe_file: Write, tmp_path: Path) -> None:
    recipe = load_recipe(recipe_file(), ["stages.sft.fails_at=7"])
    with pytest.raises(RuntimeError, match="out of memory"):
        run_recipe(recipe, tmp_path / "run")
    said: list[str] = []
    with pytest.raises(RuntimeError, match="out of memory"):
        run_recipe(recipe, tmp_path / "run", resume=True, say=said.append)
    assert "sft: from step 5" in said
    assert [line["step"] for line in steps_of(tmp_path / "run", "sft")] == [*range(1, 8)]
