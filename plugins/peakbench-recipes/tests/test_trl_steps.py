"""SFT, GRPO and GTPO through TRL on tiny models of real architectures, made from configuration. Offline, on a CPU."""

from __future__ import annotations

import json
import math
from dataclasses import replace
from pathlib import Path
from types import SimpleNamespace
from typing import Any

import pytest

REASON = "{} is not installed: pip install 'peakbench-recipes[train]'"
torch = pytest.importorskip("torch", reason=REASON.format("torch"))
for _name in ("transformers", "datasets", "peft", "trl"):
    pytest.importorskip(_name, reason=REASON.format(_name))

from peakbench.errors import ConfigError  # noqa: E402
from peakbench.rewards import Reward  # noqa: E402
from peakbench.serving.base import Prompt, PromptRefused, Sampling  # noqa: E402
from PIL import Image  # noqa: E402
from safetensors.torch import load_file  # noqa: E402
from trl import GRPOTrainer  # noqa: E402

from peakbench_recipes.configuration import DataConfig, parse_recipe  # noqa: E402
from peakbench_recipes.data import training_samples  # noqa: E402
from peakbench_recipes.gtpo import gtpo_advantages, structural_masks  # noqa: E402
from peakbench_recipes.rewards import AnswerReward  # noqa: E402
from peakbench_recipes.running import run_recipe  # noqa: E402
from peakbench_recipes.stages import StageContext, stage_kind  # noqa: E402
from peakbench_recipes.trl.checkpoints import Checkpoint  # noqa: E402
from peakbench_recipes.trl.configuration import GrpoConfig, GtpoConfig, SftConfig  # noqa: E402
from peakbench_recipes.trl.families import FAMILIES  # noqa: E402
from peakbench_recipes.trl.serving import Draw  # noqa: E402
from peakbench_recipes.trl.trainers import VISION, GtpoTrainer, check_groups  # noqa: E402
from peakbench_recipes.trl.training import open_rl_trainer  # noqa: E402

pytestmark = pytest.mark.filterwarnings("ignore")  # of TRL and transformers, not of ours
TASK = {
    "id": "swatch",
    "prompt": {"system": "Answer with JSON.", "user": "Which color?"},
    "fields": {"color": {"comparator": "exact"}, "tone": {"comparator": "exact"}},
}
COLORS = {"red": (220, 30, 30), "blue": (30, 40, 220), "green": (30, 200, 40), "white": (255, 255, 255)}
TINY = ("qwen3-vl", "idefics3")
OTHERS = tuple(one.name for one in FAMILIES if one.name not in TINY)


@pytest.fixture(scope="module", autouse=True)
def _quiet() -> Any:
    from transformers.utils import logging

    before = torch.get_num_threads()
    torch.set_num_threads(1)
    logging.set_verbosity_error()
    logging.disable_progress_bar()
    yield
    torch.set_num_threads(before)


@pytest.fixture(scope="module")
def data(tmp_path_factory: pytest.TempPathFactory) -> SimpleNamespace:
    folder = tmp_path_factory.mktemp("swatches")
    (folder / "task.json").write_text(json.dumps(TASK))
    lines, prompts = [], {}
    for name, color in COLORS.items():
        Image.new("RGB", (64, 64), color).save(folder / f"{name}.png")
        prompts[name] = ((folder / f"{name}.png").read_bytes(),), "Answer with JSON.\nWhich color?"
        reference = {"color": name, "tone": "warm" if name == "red" else None}
        lines.append(json.dumps({"id": name, "image": f"{name}.png", "reference": reference}))
    (folder / "samples.jsonl").write_text("\n".join(lines) + "\n")
    spec = DataConfig(data=str(folder / "samples.jsonl"))
    return SimpleNamespace(options={"data": spec, "task": str(folder / "task.json")}, prompts=prompts, spec=spec)


def context(config: Any, folder: Path, previous: Path | None = None, **options: Any) -> tuple[StageContext, list[Any]]:
    lines: list[Any] = []
    folder.mkdir(parents=True, exist_ok=True)
    given = {"seed": 0, "resume": False, "log": lines.append, "say": lambda line: None} | options
    return StageContext(config=config, folder=folder, previous=previous, **given), lines


def train(config: Any, folder: Path, previous: Path | None = None, **options: Any) -> tuple[Path, list[Any]]:
    made, lines = context(config, folder, previous, **options)
    return stage_kind(config.kind).train(made), lines


def sft(data: SimpleNamespace, *, model: str | None, steps: int, **options: Any) -> SftConfig:
    return SftConfig(kind="sft", model=model, steps=steps, batch=4, accumulation=1, learning_rate=5e-3,
                     schedule="constant", warmup=0, **data.options, **options)  # fmt: skip


def rl(kind: type[Any], data: SimpleNamespace, **options: Any) -> Any:
    given = {"steps": 2, "prompts": 4, "rollouts": 4, "batch": 8, "max_answer": 24, "learning_rate": 2e-3, "warmup": 0}
    return kind(kind=kind.__name__[:4].lower(), **given | options, **data.options)


@pytest.fixture(scope="module", params=TINY)
def half_trained(request: pytest.FixtureRequest, data: SimpleNamespace, tmp_path_factory: Any) -> SimpleNamespace:
    """A model that mostly answers with JSON, and errs."""
    folder = tmp_path_factory.mktemp(request.param)
    checkpoint, lines = train(sft(data, model=f"tiny:{request.param}", steps=16, log_every=4), folder)
    return SimpleNamespace(checkpoint=checkpoint, lines=lines, folder=folder, family=request.param)


def adapter(checkpoint: Path) -> dict[str, Any]:
    return load_file(checkpoint / "adapter" / "adapter_model.safetensors")  # type: ignore[no-any-return]


def test_sft_learns_with_adapters_on_the_decoder_alone(half_trained: SimpleNamespace):
    losses = [line["loss"] for line in half_trained.lines]
    assert [line["step"] for line in half_trained.lines] == [4, 8, 12, 16]
    assert losses[-1] < losses[0] / 4
    weights = adapter(half_trained.checkpoint)
    assert len(weights) == 2 * 2 * 7  # A and B, two layers, seven linears
    assert not any("vis" in name for name in weights)
    assert all(tensor.shape[0] == 16 for name, tensor in weights.items() if "lora_A" in name)
    assert not (half_trained.folder / "trainer").exists()


@pytest.mark.parametrize("kind", [GrpoConfig, GtpoConfig])
def test_policy_optimization_goes_on_from_sft(half_trained: SimpleNamespace, data, tmp_path: Path, kind):
    options = {"h_max": None, "conflict_scope": "structure", "entropy_over": "values"} if kind is GtpoConfig else {}
    checkpoint, lines = train(rl(kind, data, **options), tmp_path / "rl", half_trained.checkpoint)
    assert [line["step"] for line in lines] == [1, 2]
    assert any(line["reward_std"] > 0 and line["grad_norm"] > 0 for line in lines)
    assert all(0 <= line[key] <= 1 for line in lines for key in ("reward", "json_rate", "structure", "content"))
    assert ("conflict_share" in lines[0]) == (kind is GtpoConfig)
    before, after = adapter(half_trained.checkpoint), adapter(checkpoint)
    assert before.keys() == after.keys()
    assert any(not torch.equal(before[name], after[name]) for name in before)
    assert all(bool(tensor.isfinite().all()) for tensor in after.values())


class Spy(GtpoTrainer):
    """Keeps what the hook saw and made."""

    def _gtpo_advantages(self, output: Any) -> Any:
        made = super()._gtpo_advantages(output)
        seen = {name: output[name] for name in ("completion_ids", "completion_mask", "advantages")}
        self.__dict__.setdefault("spied", []).append((seen, self._entropies(output), made))
        return made

    def _compute_loss(self, model: Any, inputs: Any) -> Any:
        self.__dict__.setdefault("shapes", []).append(tuple(inputs["advantages"].shape))
        loss = super()._compute_loss(model, inputs)
        self.__dict__.setdefault("losses", []).append(float(loss.detach()))
        return loss


@pytest.mark.parametrize("scope", ["all", "structure"])
def test_the_loss_is_that_of_the_paper(half_trained: SimpleNamespace, data, tmp_path: Path, scope):
    config = rl(GtpoConfig, data, conflict_scope=scope, h_max=None, gamma=0.2).model_copy(update={"steps": 1})
    made, _ = context(config, tmp_path / "rl", half_trained.checkpoint)
    samples = training_samples(data.spec, task=config.task)
    rewards = AnswerReward(Reward(config.task))
    trainer, _ = open_rl_trainer(made, Spy, rewards, samples)
    trainer.train()
    ((seen, entropies, weights),) = trainer.spied
    ids, mask = seen["completion_ids"], seen["completion_mask"]
    tokenizer = trainer.processing_class.tokenizer
    frame = structural_masks(ids, mask, lambda token: tokenizer.decode([token], skip_special_tokens=True))
    expected = gtpo_advantages(
        ids, mask, seen["advantages"], entropies, 4, gamma=0.2, h_max=None,
        conflict_scope_mask=frame if scope == "structure" else None,
    )  # fmt: skip
    assert torch.equal(weights, expected)
    assert seen["advantages"].reshape(4, 4).sum(1).abs().max() < 1e-5  # not scaled, groups whole
    assert (seen["advantages"] != 0).any()
    assert trainer.shapes == [(8, ids.shape[1])] * 2
    # at ratio 1: L = - mean over answers of (1 / |o|) sum_t lambda A'; two passes of half the answers
    loss = -((weights * mask).sum(1) / mask.sum(1)).mean()
    assert sum(trainer.losses) == pytest.approx(float(loss), rel=1e-3, abs=1e-5)


def check_entropies(config: Any, start: SimpleNamespace, data: SimpleNamespace, folder: Path):
    """Hold the entropies of a step against those of the distributions that its answers were drawn from."""
    made, _ = context(config.model_copy(update={"steps": 1}), folder, start.checkpoint)
    trainer, _ = open_rl_trainer(made, Spy, lambda completions, **_: [0.0] * len(completions), training_samples(
        data.spec, task=config.task))  # fmt: skip
    caught: list[Any] = []
    original = trainer._generate_and_score_completions
    trainer._generate_and_score_completions = lambda inputs: caught.append(original(inputs)) or caught[-1]
    before = {name: value.clone() for name, value in trainer.model.state_dict().items()}
    trainer.train()
    trainer.model.load_state_dict(before)
    output, (_, entropies, _) = caught[0], trainer.spied[0]
    ids = torch.cat([output["prompt_ids"], output["completion_ids"]], 1)
    inputs = {name: output[name] for name in VISION if isinstance(output.get(name), torch.Tensor)}
    mask = torch.cat([output["prompt_mask"], output["completion_mask"]], 1)
    trainer.model.eval()
    with torch.no_grad():
        logits = trainer.model(input_ids=ids, attention_mask=mask, **inputs).logits
    length = output["completion_ids"].shape[1]
    logp = (logits[:, -length - 1 : -1].float() / config.temperature).log_softmax(-1)
    expected = -(logp.exp() * logp).sum(-1)
    kept = output["completion_mask"].bool()
    assert torch.allclose(entropies[kept], expected[kept], atol=2e-3)


def test_entropies_are_those_of_the_sampling_policy(half_trained: SimpleNamespace, data, tmp_path: Path):
    check_entropies(rl(GtpoConfig, data, temperature=0.5), half_trained, data, tmp_path / "rl")


def test_groups_that_are_torn_apart_are_refused():
    prompts = torch.tensor([[1], [1], [2], [2]])
    check_groups(prompts, torch.tensor([0.5, -0.5, 0.1, -0.1]), 2)
    with pytest.raises(ValueError, match="do not stand together"):
        check_groups(prompts[[0, 2, 1, 3]], torch.tensor([0.5, -0.5, 0.1, -0.1]), 2)
    with pytest.raises(ValueError, match="do not stand together"):
        check_groups(prompts, torch.tensor([0.5, 0.5, 0.1, -0.1]), 2)
    with pytest.raises(ValueError, match="no whole groups"):
        check_groups(prompts, torch.zeros(4), 3)


@pytest.fixture(scope="module")
def served(half_trained: SimpleNamespace) -> Any:
    return stage_kind("sft").serve(half_trained.checkpoint)


def ask(served: Any, data: SimpleNamespace, name: str, **sampling: Any) -> Prompt:
    images, text = data.prompts[name]
    return Prompt(images, text, Sampling(**{"max_tokens": 24} | sampling))


def test_a_served_model_answers_alone_as_in_a_batch(served: Any, data: SimpleNamespace):
    prompts = [ask(served, data, name, temperature=t, seed=5, n=2 if t else 1) for name in COLORS for t in (0.0, 1.0)]
    together = served.generate(prompts)
    alone = [served.generate([prompt])[0] for prompt in prompts]
    assert [[one.text for one in row] for row in together] == [[one.text for one in row] for row in alone]
    assert [len(row) for row in together] == [1, 2] * len(COLORS)
    assert served.generate(prompts[1:2])[0][0].text == together[1][0].text
    drawn = {served.generate([ask(served, data, "blue", temperature=1.5, seed=s)])[0][0].text for s in range(6)}
    assert len(drawn) > 1


def test_a_served_model_tells_probabilities_and_why_it_ends(served: Any, data: SimpleNamespace):
    prompt = ask(served, data, "red", temperature=0.0, logprobs=3, max_tokens=4)
    ((made,),) = served.generate([prompt])
    assert made.finish_reason == "length"
    assert len(made.tokens) == 4
    for token in made.tokens:
        values = [value for _, value in token.top]
        assert values == sorted(values, reverse=True)
        assert token.logprob == pytest.approx(values[0])
        assert sum(math.exp(value) for value in values) <= 1 + 1e-6
    ended = served.generate([ask(served, data, "red", temperature=0.0, max_tokens=60)])[0][0]
    assert ended.finish_reason == "stop"
    assert ended.text.startswith('{"color": "')
    assert 10 < served.prompt_tokens(prompt) < 80


def test_a_served_model_refuses_what_it_cannot_do(served: Any, data: SimpleNamespace):
    with pytest.raises(PromptRefused, match="schema"):
        served.prompt_tokens(ask(served, data, "red", schema={"type": "object"}))
    with pytest.raises(PromptRefused, match="cannot be read"):
        served.prompt_tokens(Prompt((b"no image",), "Which color?"))


def test_draws_follow_the_softmax():
    n, logits = 4000, torch.tensor([1.0, 0.0, -1.0, 2.0])
    for temperature, top_p, kept in ((1.0, 1.0, [0, 1, 2, 3]), (0.5, 1.0, [0, 1, 2, 3]), (1.0, 0.8, [0, 3])):
        generators = [torch.Generator().manual_seed(seed) for seed in range(n)]
        draw = Draw([Sampling(temperature=temperature, top_p=top_p)] * n, generators)
        tokens = draw(torch.zeros(n, 1), logits.repeat(n, 1)).argmax(-1)
        share = torch.bincount(tokens, minlength=4) / n
        left = torch.full((4,), float("-inf"))
        left[kept] = logits[kept] / temperature
        assert torch.allclose(share, left.softmax(-1), atol=4 * 0.5 / math.sqrt(n))
    greedy = Draw([Sampling(temperature=0.0)], [None])
    assert torch.equal(greedy(torch.zeros(1, 1), logits[None].clone())[0], logits)


@pytest.mark.parametrize("kind", ["sft", "gtpo"])
def test_training_that_was_cut_off_ends_as_if_it_had_not(data: SimpleNamespace, tmp_path: Path, kind):
    model = {"model": "tiny:idefics3", "save_every": 1}
    config = (
        sft(data, steps=4, **model) if kind == "sft" else rl(GtpoConfig, data, h_max=None, prompts=2, steps=4, **model)
    )
    whole, lines = train(config, tmp_path / "whole")
    done = 3

    def cut(line: Any) -> None:
        if line["step"] == done:
            raise KeyboardInterrupt

    with pytest.raises(KeyboardInterrupt):
        train(config, tmp_path / "cut", log=cut)
    torn = tmp_path / "cut" / "trainer" / "checkpoint-9"  # a state that was being written
    torn.mkdir()
    resumed, again = train(config, tmp_path / "cut", resume=True)
    assert [line["step"] for line in again] == [3, 4]
    assert again[-1]["loss"] == pytest.approx(lines[-1]["loss"], rel=1e-4)
    first, second = adapter(whole), adapter(resumed)
    assert any((tensor != 0).any() for name, tensor in first.items() if "lora_B" in name)
    assert all(torch.allclose(first[name], second[name], atol=1e-6) for name in first)


def test_arguments_go_to_trl_and_typing_errors_are_found(data: SimpleNamespace, tmp_path: Path):
    config = sft(data, model="tiny:idefics3", steps=1, arguments={"max_grad_nrom": 1.0})
    with pytest.raises(ConfigError, match="max_grad_norm"):
        train(config, tmp_path / "a")


def test_a_recipe_from_base_to_gtpo_measured(data: SimpleNamespace, tmp_path: Path):
    common = {"task": data.options["task"], "data": {"data": data.spec.data}}
    recipe = parse_recipe(
        {
            "name": "tiny",
            "task": data.options["task"],
            "evaluation": {"data": data.spec.data, "metrics": ["weighted_score"], "resamples": 50, "max_tokens": 30},
            "stages": [
                {"kind": "sft", "model": "tiny:idefics3", "steps": 30, "batch": 4, "accumulation": 1,
                 "learning_rate": 5e-3, "schedule": "constant", **common},
                {"kind": "gtpo", "steps": 1, "prompts": 2, "rollouts": 4, "batch": 8, "max_answer": 24, **common},
            ],
        },
        where="test",
    )  # fmt: skip
    folder = run_recipe(recipe, tmp_path / "run")
    scores = {
        name: json.loads((folder.stage(name).evaluation / "summary.json").read_text())["metrics"]["weighted_score"]
        for name in ("sft", "gtpo")
    }
    assert json.loads((folder.start.evaluation / "summary.json").read_text())["metrics"]["weighted_score"]["value"] == 0
    assert scores["sft"]["value"] > 0.5
    target = tmp_path / "merged"
    stage_kind("gtpo").export(folder.stage("gtpo").checkpoint, "merged", target)
    merged = stage_kind("gtpo").serve(target)
    trained = stage_kind("gtpo").serve(folder.stage("gtpo").checkpoint)
    prompt = ask(trained, data, "green", temperature=0.0)
    plain = Prompt(prompt.images, "Which color?", prompt.sampling)
    assert merged.generate([plain])[0][0].text == trained.generate([plain])[0][0].text


@pytest.fixture(scope="module")
def shapes(data: SimpleNamespace, tmp_path_factory: pytest.TempPathFactory) -> SimpleNamespace:
    """A square and a wide image: of one tile and of several, where a family cuts images into tiles."""
    folder = tmp_path_factory.mktemp("shapes")
    lines, prompts = [], {}
    for name, size in {"square": (64, 64), "wide": (128, 64)}.items():
        Image.linear_gradient("L").resize(size).convert("RGB").save(folder / f"{name}.png")
        prompts[name] = ((folder / f"{name}.png").read_bytes(),), "Answer with JSON.\nWhich color?"
        lines.append(json.dumps({"id": name, "image": f"{name}.png", "reference": {"color": name, "tone": None}}))
    (folder / "samples.jsonl").write_text("\n".join(lines) + "\n")
    spec = DataConfig(data=str(folder / "samples.jsonl"))
    return SimpleNamespace(options={"data": spec, "task": data.options["task"]}, prompts=prompts, spec=spec)


@pytest.fixture(scope="module", params=OTHERS)
def stepped(request: pytest.FixtureRequest, shapes: SimpleNamespace, tmp_path_factory: Any) -> SimpleNamespace:
    """A family's tiny model after one step of SFT."""
    folder = tmp_path_factory.mktemp(request.param)
    checkpoint, lines = train(sft(shapes, model=f"tiny:{request.param}", steps=1), folder)
    return SimpleNamespace(checkpoint=checkpoint, lines=lines, folder=folder, family=request.param)


IMAGE_TOKENS = {
    "qwen2.5-vl": ((6, 4), (3, 3)),
    "smolvlm": ((7, 7), (7, 7)),
    "internvl": ((6, 14), (6, 6)),
    "granite-vision": ((36, 52), (36, 26)),
    "granite4-vision": ((10, 14), (10, 10)),
}
"""Tokens of the square and of the wide image, those around it included: as they are, and of few pixels."""


def test_every_family_takes_a_step_and_is_served(stepped: SimpleNamespace, shapes: SimpleNamespace, tmp_path: Path):
    (line,) = stepped.lines
    assert line["step"] == 1
    assert line["loss"] > 0
    assert line["grad_norm"] > 0
    weights = adapter(stepped.checkpoint)
    assert len(weights) == 2 * 2 * 7  # A and B, two layers, seven linears
    assert all(bool(tensor.isfinite().all() and tensor.any()) for tensor in weights.values())  # B was 0
    served = stage_kind("sft").serve(stepped.checkpoint)
    prompts = [ask(served, shapes, name, temperature=0.0, logprobs=0, max_tokens=4) for name in shapes.prompts]
    assert image_tokens(served, prompts) == IMAGE_TOKENS[stepped.family][0]
    together = [row[0] for row in served.generate(prompts)]
    for prompt, made in zip(prompts, together, strict=True):
        ((alone,),) = served.generate([prompt])
        assert 0 < len(made.tokens) <= 4
        assert alone.text == made.text
        assert [one.logprob for one in alone.tokens] == pytest.approx([one.logprob for one in made.tokens], abs=1e-4)
    stage_kind("sft").export(stepped.checkpoint, "merged", tmp_path / "merged")
    merged = stage_kind("sft").serve(tmp_path / "merged")
    plain = [Prompt(prompt.images, "Which color?", prompt.sampling) for prompt in prompts]
    expected = [row[0].text for row in served.generate(plain)]
    assert [row[0].text for row in merged.generate(plain)] == expected


def image_tokens(served: Any, prompts: list[Prompt]) -> tuple[int, ...]:
    bare = served.prompt_tokens(Prompt((), prompts[0].text))
    return tuple(served.prompt_tokens(prompt) - bare for prompt in prompts)


def test_every_family_bounds_its_images(stepped: SimpleNamespace, shapes: SimpleNamespace, tmp_path: Path):
    start = Checkpoint.read(stepped.checkpoint)
    few = IMAGE_TOKENS[stepped.family][1]
    served = stage_kind("sft").serve(replace(start, adapter=None, max_pixels=32 * 32).write(tmp_path))
    prompts = [ask(served, shapes, name, max_tokens=1) for name in shapes.prompts]
    assert image_tokens(served, prompts) == few
    assert all(len(row[0].tokens) <= 1 for row in served.generate(prompts))


@pytest.mark.parametrize("kind", [GrpoConfig, GtpoConfig])
def test_every_family_takes_a_step_of_policy_optimization(stepped, shapes, tmp_path: Path, kind):
    options = {"h_max": None} if kind is GtpoConfig else {}
    config = rl(kind, shapes, steps=1, prompts=2, rollouts=2, batch=2, max_answer=6, **options)
    made, lines = context(config, tmp_path / "rl", stepped.checkpoint)
    rewards = lambda completions, **_: [float(place % 2) for place in range(len(completions))]  # noqa: E731
    samples = training_samples(shapes.spec, task=config.task)
    trainer, _ = open_rl_trainer(made, GtpoTrainer if kind is GtpoConfig else GRPOTrainer, rewards, samples)
    before = {name: value.clone() for name, value in trainer.model.named_parameters() if value.requires_grad}
    trainer.train()
    (line,) = lines
    assert line["reward_std"] > 0
    assert line["grad_norm"] > 0
    after = dict(trainer.model.named_parameters())
    assert all(bool(after[name].isfinite().all()) for name in before)
    assert any(not torch.equal(after[name], before[name]) for name in before)


def test_every_family_is_scored_as_it_samples(stepped, shapes, tmp_path: Path):
    config = rl(GtpoConfig, shapes, prompts=2, rollouts=2, batch=2, max_answer=6, temperature=0.5)
    check_entropies(config, stepped, shapes, tmp_path / "rl")
