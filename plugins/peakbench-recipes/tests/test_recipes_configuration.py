"""What a recipe may say, and what is said of one that cannot be used."""

from __future__ import annotations

import subprocess
import sys
from collections.abc import Callable
from pathlib import Path

import pytest
from peakbench.errors import ConfigError, PluginError

from peakbench_recipes import STAGES, load_recipe, recipes, stage_kind
from peakbench_recipes.configuration import DataConfig, command_of, find_recipe, parse_recipe, read_yaml, write_yaml
from peakbench_recipes.stages import stage_names

Write = Callable[..., Path]


def test_a_recipe_is_read_with_its_defaults(recipe_file: Write) -> None:
    recipe = load_recipe(recipe_file())
    assert (recipe.name, recipe.seed, [stage.name for stage in recipe.stages]) == ("toy", 0, ["base", "sft"])
    assert type(recipe.stages[1]).__name__ == "FakeConfig"
    assert recipe.stages[1].data == DataConfig()
    assert recipe.evaluation.before


def test_what_is_written_is_read_back(recipe_file: Write, tmp_path: Path) -> None:
    recipe = load_recipe(recipe_file(), ["stages.sft.data.curriculum.parts=4"])
    resolved = tmp_path / "resolved.yaml"
    resolved.write_text(write_yaml(recipe), encoding="utf-8")
    assert load_recipe(resolved) == recipe


@pytest.mark.parametrize(
    ("setting", "value"),
    [
        ("stages.sft.step_s=1e-4", 1e-4),  # YAML 1.1 alone would read a text
        ("stages.1.step_s=.5", 0.5),
        ("stages.sft.step_s=2", 2.0),
    ],
)
def test_settings_replace_what_it_says(recipe_file: Write, setting: str, value: float) -> None:
    assert load_recipe(recipe_file(), [setting], seed=3).stages[1].step_s == value  # type: ignore[attr-defined]


def test_names_with_dots_are_settable(recipe_file: Write) -> None:
    path = recipe_file(**{"name: sft": "name: fake.sft"})
    assert load_recipe(path, ["stages.fake.sft.steps=77"]).stages[1].steps == 77  # type: ignore[attr-defined]


@pytest.mark.parametrize(
    ("setting", "message"),
    [
        ("seed", "--set: 'seed' sets nothing"),
        ("stages.sfd.steps=1", "'sfd.steps' is in none of the stages"),
        ("title.x=1", "'x' stands inside a value"),
        ("seed=[", r"'\[' is no value"),
        ("evaluation.limt=3", r"evaluation\.limt: unknown key\n  did you mean 'limit'"),
        ("stages.sft.stepz=3", r"stages\[1\] \(sft\): stepz: unknown key\n  did you mean 'steps'"),
        ("stages.sft.data.curriculum.prts=3", r"data\.curriculum\.prts: unknown key\n  did you mean 'parts'"),
        ("stages.sft.data.curriculum.by=scores", "'run' names the run"),
        ("stages.sft.steps=many", r"steps: .*integer.*\(found: 'many'\)"),
        ("stages.sft.kind=fake.sftt", r"stages\[1\]: kind: no stage kind 'fake.sftt'\n  did you mean 'fake.sft'"),
        ("stages.sft.name=base", "two stages are named 'base'"),
        ("stages.sft.name=start", "no stage can be named 'start'"),
        ("stages.sft.name=../up", "name: string should match"),
        ("stages.sft.after=sft", "which is no stage before it"),
        ("stages.sft.step_s=.nan", "finite"),
        ("stages=[]", "at least 1"),
        ("stages=3", "a list of stages is expected"),
        ("stages=[{name: x}]", "a stage without a kind"),
    ],
)
def test_a_mistake_is_named_with_its_place(recipe_file: Write, setting: str, message: str) -> None:
    with pytest.raises(ConfigError, match=message) as caught:
        load_recipe(recipe_file(), [setting])
    assert caught.value.exit_code == 2


@pytest.mark.parametrize(
    ("text", "message"),
    [
        ("seed: 1\nseed: 2\nstages: []", "the key 'seed' twice"),
        ("- a", "not a recipe"),
        ("a: [", "cannot be read"),
        ("x: !!python/object/apply:os.system ['true']", "cannot be read"),
    ],
)
def test_a_file_that_is_no_recipe(tmp_path: Path, text: str, message: str) -> None:
    path = tmp_path / "r.yaml"
    path.write_text(text, encoding="utf-8")
    with pytest.raises(ConfigError, match=message):
        read_yaml(path)


def test_an_unknown_recipe_names_the_nearest(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr("peakbench_recipes.configuration.recipes", lambda: {"reader": Path("reader.yaml")})
    with pytest.raises(ConfigError, match=r"no recipe 'raeder'\n.*\n  did you mean 'reader'"):
        find_recipe("raeder")


def test_a_stage_kind_without_its_package_says_what_to_install(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    (tmp_path / "needy.py").write_text("import surely_not_here\n", encoding="utf-8")
    (tmp_path / "empty_kinds.py").write_text("KINDS = ()\n", encoding="utf-8")
    monkeypatch.syspath_prepend(tmp_path)
    monkeypatch.setitem(STAGES, "needy", "needy")
    monkeypatch.setitem(STAGES, "empty", "empty_kinds")
    with pytest.raises(ConfigError, match=r"needs the package 'surely_not_here'(.|\n)*pip install"):
        stage_kind("needy")
    with pytest.raises(PluginError, match="empty_kinds has no stage kind 'empty'"):
        stage_kind("empty")


def test_other_packages_bring_stage_kinds(installed: dict[str, str]) -> None:
    assert stage_names()[-2:] == ["fake.pretrain", "fake.sft"]
    assert stage_kind("fake.sft").title == "learns the answers"


def test_the_specification_of_other_data_is_its_own() -> None:
    assert DataConfig(data="a.jsonl", n=3).spec == "a.jsonl"
    assert DataConfig(level="easy", split="train", seed=1).spec == "synthetic:garments?seed=1&split=train&level=easy"


@pytest.mark.parametrize("name", list(recipes()))
def test_the_recipes_that_ship_are_recipes(name: str) -> None:
    path = recipes()[name]
    assert command_of(path).startswith(f"peakbench recipe run {name}")
    given = read_yaml(path)
    assert given.get("name", name) == name
    assert given.get("title")
    assert parse_recipe({"name": name, **given}, where=name).stages


def test_every_kind_that_ships_is_known_without_torch() -> None:
    """Recipes are listed, shown and checked on a machine that cannot train."""
    program = (
        "import sys\n"
        "for name in ('torch', 'transformers', 'trl', 'peft', 'datasets'): sys.modules[name] = None\n"
        "from peakbench_recipes import STAGES, load_recipe, recipes, stage_kind\n"
        "for name in STAGES:\n"
        "    assert stage_kind(name).name == name\n"
        "for name in recipes():\n"
        "    for stage in load_recipe(name).stages:\n"
        "        assert stage_kind(stage.kind).needs(stage).lines(), name\n"
    )
    done = subprocess.run([sys.executable, "-c", program], capture_output=True, text=True, check=False)
    assert done.returncode == 0, done.stderr
