"""What the stages sft, grpo and gtpo say, and the families of models they know."""

from __future__ import annotations

import json
import re
from pathlib import Path

import pytest
from peakbench.errors import ConfigError
from peakbench.rewards import Reward
from pydantic import ValidationError

from peakbench_recipes.configuration import load_recipe, recipes
from peakbench_recipes.rewards import AnswerReward
from peakbench_recipes.stages import stage_kind
from peakbench_recipes.trl.checkpoints import Checkpoint, starting_checkpoint
from peakbench_recipes.trl.configuration import GrpoConfig, GtpoConfig, SftConfig
from peakbench_recipes.trl.families import FAMILIES, family, family_of_type, known_size
from peakbench_recipes.trl.stages import KINDS, needs_of

OWN = ("sft", "grpo", "gtpo")


def test_the_kinds_are_found_by_name():
    assert [kind.name for kind in KINDS] == list(OWN)
    for name in OWN:
        assert stage_kind(name).forms == ("adapter", "merged")


def test_published_settings_are_the_defaults():
    config = SftConfig(kind="sft")
    assert (config.lora.r, config.lora.alpha) == (16, 32)
    assert (config.learning_rate, config.epochs, config.batch, config.accumulation, config.warmup) == (
        2e-4, 3, 2, 8, 0.05,
    )  # fmt: skip
    tuned = GtpoConfig(kind="gtpo")
    assert (tuned.gamma, tuned.h_max, tuned.positive) == (0.1, pytest.approx(0.693147), 2.0)
    assert (tuned.scale_rewards, tuned.beta, tuned.conflict_scope, tuned.entropy_over) == (False, 0, "all", "all")
    assert GrpoConfig(kind="grpo").scale_rewards


@pytest.mark.parametrize(
    ("kind", "given", "message"),
    [
        (SftConfig, {"kind": "sft", "model": "tiny:qwen4"}, "no tiny model"),
        (SftConfig, {"kind": "sft", "lora": {"rank": 4}}, "rank"),
        (GrpoConfig, {"kind": "grpo", "prompts": 3, "rollouts": 4, "batch": 5}, "does not divide"),
        (GrpoConfig, {"kind": "grpo", "reward": {"structure": 0.5}}, "sum to 1"),
        (GtpoConfig, {"kind": "gtpo", "beta": 0.1}, "no reference model"),
        (GtpoConfig, {"kind": "gtpo", "scale_rewards": True}, "no reference model"),
        (GtpoConfig, {"kind": "gtpo", "conflict_scope": "keys"}, "conflict_scope"),
    ],
)
def test_what_cannot_be_is_refused(kind, given, message):
    with pytest.raises(ValidationError, match=message):
        kind.model_validate(given)


@pytest.mark.parametrize("path", [p for p in recipes().values() if p.stem.split("-")[0] in OWN], ids=lambda p: p.stem)
def test_recipes_are_read(path: Path):
    recipe = load_recipe(path)
    assert path.read_text(encoding="utf-8").startswith(f"# peakbench recipe run {path.stem}")
    for stage in recipe.stages:
        assert stage_kind(stage.kind).needs(stage).packages


def test_every_kind_has_a_recipe():
    assert set(OWN) <= {path.stem for path in recipes().values()}


def test_needs_grow_with_the_model_and_with_sampling():
    small = needs_of(SftConfig(kind="sft", model="Qwen/Qwen3-VL-2B-Instruct"))
    large = needs_of(SftConfig(kind="sft", model="Qwen/Qwen3-VL-8B-Instruct"))
    sampled = needs_of(GrpoConfig(kind="grpo", model="Qwen/Qwen3-VL-2B-Instruct"))
    assert 2 * 2.1 < small.gpu_memory_gb < sampled.gpu_memory_gb
    assert large.gpu_memory_gb > 2 * 8.8
    assert "estimated" in small.note
    assert small.hours is None
    assert needs_of(GrpoConfig(kind="grpo")).gpu_memory_gb is None


def test_a_family_is_found_by_name_and_by_type():
    assert family("idefics3").name == "idefics3"
    assert family_of_type("qwen2_5_vl").name == "qwen2.5-vl"
    with pytest.raises(ConfigError, match="qwen3-vl"):
        family("qwen3vl")
    with pytest.raises(ConfigError, match="no family has models of type 'gpt2'"):
        family_of_type("gpt2")


def test_names_of_models_say_their_size():
    for one in FAMILIES:
        for name, size in one.models.items():
            assert known_size(name) == size
    assert known_size("me/tuned-500M-v2") == 0.5


def test_images_are_never_made_larger():
    chosen = family("qwen3-vl")
    assert chosen.image_settings({"shortest_edge": 1024, "longest_edge": 4096}, 10**6)["size"]["longest_edge"] == 4096
    assert chosen.image_settings({"shortest_edge": 65536, "longest_edge": 10**7}, 2048)["size"] == {
        "shortest_edge": 2048,
        "longest_edge": 2048,
    }
    assert chosen.image_settings({"shortest_edge": 1, "longest_edge": 2}, None) == {}


def test_where_a_stage_starts(tmp_path: Path):
    first = SftConfig(kind="sft", model="Qwen/Qwen3-VL-2B-Instruct", max_pixels=4096)
    start = starting_checkpoint(first, None, tmp_path / "tiny", "Answer.")
    assert start == Checkpoint("Qwen/Qwen3-VL-2B-Instruct", None, 4096, "Answer.", "auto")
    folder = start.write(tmp_path / "one")
    assert Checkpoint.read(folder) == start
    later = GrpoConfig(kind="grpo")
    assert starting_checkpoint(later, folder, tmp_path / "tiny", None).base == start.base
    with pytest.raises(ConfigError, match="starts from Qwen/Qwen3-VL-2B-Instruct, and names"):
        starting_checkpoint(GrpoConfig(kind="grpo", model="a/b"), folder, tmp_path / "tiny", None)
    with pytest.raises(ConfigError, match="names no model"):
        starting_checkpoint(later, None, tmp_path / "tiny", None)


def test_a_checkpoint_and_its_base_can_be_moved(tmp_path: Path):
    base = tmp_path / "run" / "tiny"
    base.mkdir(parents=True)
    Checkpoint(str(base)).write(tmp_path / "run" / "checkpoint")
    (tmp_path / "run").rename(tmp_path / "moved")
    assert Checkpoint.read(tmp_path / "moved" / "checkpoint").base == str(tmp_path / "moved" / "tiny")


@pytest.mark.parametrize("text", [None, "{", '{"format": 9, "base": "x", "local": false}', "[]"])
def test_a_folder_that_is_no_checkpoint_is_refused(tmp_path: Path, text):
    if text is not None:
        (tmp_path / "checkpoint.json").write_text(text)
    with pytest.raises(ConfigError, match=re.escape(str(tmp_path))):
        Checkpoint.read(tmp_path)
    (tmp_path / "config.json").write_text("{}")
    if text is None:
        assert Checkpoint.read(tmp_path) == Checkpoint(str(tmp_path))


def test_the_reward_in_the_form_of_trl():
    reference = {"type": "t-shirt", "color": "navy blue", "brand": None}
    texts = [json.dumps(reference), '{"type": "t-shirt"}', "a t-shirt"]
    logged: dict[str, float] = {}
    reward = Reward("garment")
    found = AnswerReward(reward)(
        prompts=[[]] * 3,
        completions=[[{"role": "assistant", "content": text}] for text in texts[:2]] + [texts[2]],
        completion_ids=[[1]] * 3,
        reference=[json.dumps(reference)] * 3,
        log_metric=logged.__setitem__,
    )
    parts = [reward(text, reference) for text in texts]
    assert found == [one.total for one in parts]
    assert found[0] > found[1] > found[2] == 0
    assert logged["json_rate"] == pytest.approx(2 / 3)
    assert logged["content"] == pytest.approx(sum(one.content for one in parts) / 3)


ARCHITECTURES = {
    "qwen3_vl": "Qwen3VLConfig",
    "qwen2_5_vl": "Qwen2_5_VLConfig",
    "idefics3": "Idefics3Config",
    "smolvlm": "SmolVLMConfig",
    "internvl": "InternVLConfig",
    "llava_next": "LlavaNextConfig",
}


@pytest.mark.filterwarnings("ignore::FutureWarning", "ignore::DeprecationWarning", "ignore::UserWarning")
@pytest.mark.parametrize("model_type", ARCHITECTURES)
def test_adapters_go_to_every_linear_of_the_decoder_and_nowhere_else(model_type):
    torch = pytest.importorskip("torch", reason="torch is not installed: pip install 'peakbench-recipes[train]'")
    transformers = pytest.importorskip("transformers", reason="transformers is not installed")
    config = getattr(transformers, ARCHITECTURES[model_type])()
    config.get_text_config().num_hidden_layers = 2
    if getattr(config.get_text_config(), "layer_types", None):
        config.get_text_config().layer_types = ["full_attention"] * 2
    with torch.device("meta"):  # real architecture and real sizes, no memory
        model = transformers.AutoModelForImageTextToText.from_config(config)
    targets = family_of_type(model_type).targets
    linears = {name for name, module in model.named_modules() if isinstance(module, torch.nn.Linear)}
    chosen = {name for name in linears if re.fullmatch(targets, name)}
    assert len(chosen) == 2 * 7  # q, k, v, o, gate, up, down of each layer
    decoder = {name for name in linears if re.search(r"(language|text)_model.*layers\.\d+\.", name)}
    assert chosen == decoder
    assert not any("vis" in name for name in chosen)
