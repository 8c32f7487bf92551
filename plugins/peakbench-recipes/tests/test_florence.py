"""Florence-2 on a tiny configuration of its real architecture: trained, cut off, resumed, served, measured. Offline."""

from __future__ import annotations

import json
import math
import warnings
from io import BytesIO
from pathlib import Path
from types import SimpleNamespace
from typing import Any

import numpy as np
import pytest

pytest.importorskip("peft", reason="peft is not installed: pip install 'peakbench-recipes[train]'")
torch = pytest.importorskip("torch", reason="torch is not installed")
pytest.importorskip("transformers", reason="transformers is not installed")

from peakbench import ConfigError, DataError
from peakbench.serving.base import Prompt, PromptRefused, Sampling
from PIL import Image

from peakbench_recipes.configuration import DataConfig, EvaluationConfig, parse_recipe
from peakbench_recipes.evaluation import evaluate
from peakbench_recipes.florence import model as florence_model
from peakbench_recipes.florence import training
from peakbench_recipes.florence.configuration import FlorenceConfig
from peakbench_recipes.florence.serving import ServedFlorence, choose
from peakbench_recipes.florence.stages import KINDS
from peakbench_recipes.running import run_recipe
from peakbench_recipes.stages import StageContext, stage_kind

pytestmark = pytest.mark.filterwarnings("ignore::DeprecationWarning", "ignore::FutureWarning")
TASK = {
    "id": "swatch",
    "prompt": {"system": "Answer with JSON.", "user": "Which color?"},
    "fields": {"color": {"comparator": "exact"}, "tone": {"comparator": "exact"}},
}
COLORS = {"red": (220, 30, 30), "green": (30, 200, 40), "blue": (30, 40, 220)}


def png(color: tuple[int, int, int]) -> bytes:
    out = BytesIO()
    Image.new("RGB", (40, 30), color).save(out, "PNG")
    return out.getvalue()


@pytest.fixture(scope="module", autouse=True)
def _one_thread() -> Any:
    before = torch.get_num_threads()
    torch.set_num_threads(1)
    yield
    torch.set_num_threads(before)


@pytest.fixture(scope="module")
def data(tmp_path_factory: pytest.TempPathFactory) -> SimpleNamespace:
    folder = tmp_path_factory.mktemp("swatches")
    (folder / "task.json").write_text(json.dumps(TASK))
    lines = []
    for number in range(12):
        name, color = list(COLORS.items())[number % 3]
        (folder / f"{number}.png").write_bytes(png(color))
        reference = {"color": name, "tone": None if number % 3 else "warm"}
        lines.append(json.dumps({"id": f"s{number}", "image": f"{number}.png", "reference": reference}))
    (folder / "samples.jsonl").write_text("\n".join(lines) + "\n")
    return SimpleNamespace(spec=str(folder / "samples.jsonl"), task=str(folder / "task.json"))


@pytest.fixture(scope="module")
def tiny(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A checkpoint as the published ones are, made from configuration: random weights, a tokenizer of a few words."""
    from tokenizers import Tokenizer, models, pre_tokenizers, trainers
    from transformers import BartTokenizer, CLIPImageProcessorPil
    from transformers.models.florence2 import (
        Florence2Config,
        Florence2ForConditionalGeneration,
        Florence2Processor,
    )

    raw = Tokenizer(models.BPE())
    raw.pre_tokenizer = pre_tokenizers.ByteLevel(add_prefix_space=False)
    trainer = trainers.BpeTrainer(
        vocab_size=320,
        special_tokens=["<s>", "<pad>", "</s>", "<unk>", "<mask>"],
        initial_alphabet=pre_tokenizers.ByteLevel.alphabet(),
        show_progress=False,
    )
    raw.train_from_iterator(['{"color": "red", "tone": null}', '{"color": "green", "tone": "warm"}'] * 3, trainer)
    learned = json.loads(raw.to_str())["model"]
    tokenizer = BartTokenizer(
        vocab=learned["vocab"],
        merges=[tuple(pair) for pair in learned["merges"]],
        extra_special_tokens={"image_token": "<image>"},
    )
    images = CLIPImageProcessorPil(size={"height": 64, "width": 64}, do_center_crop=False, resample=3)
    images.image_seq_length = 5  # 2 x 2 places and their mean
    torch.manual_seed(5)
    model = Florence2ForConditionalGeneration(
        Florence2Config(
            vision_config={
                "depths": [1, 1, 1, 1],
                "embed_dim": [8, 16, 24, 32],
                "num_heads": [1, 2, 3, 4],
                "num_groups": [1, 2, 3, 4],
                "window_size": 4,
                "projection_dim": 32,
                "initializer_range": 0.2,
            },
            text_config={
                "model_type": "bart",
                "vocab_size": len(tokenizer),
                "d_model": 32,
                "encoder_layers": 1,
                "decoder_layers": 2,
                "encoder_attention_heads": 4,
                "decoder_attention_heads": 4,
                "encoder_ffn_dim": 64,
                "decoder_ffn_dim": 64,
                "max_position_embeddings": 96,
                "bos_token_id": 0,
                "pad_token_id": 1,
                "eos_token_id": 2,
                "decoder_start_token_id": 2,
                "init_std": 0.5,
                "dropout": 0.0,
            },
            image_token_id=tokenizer.image_token_id,
        )
    )
    folder = tmp_path_factory.mktemp("tiny-florence")
    model.save_pretrained(str(folder))
    Florence2Processor(image_processor=images, tokenizer=tokenizer).save_pretrained(str(folder))
    return folder


def stage(tiny: Path, made: Any, /, **changes: Any) -> FlorenceConfig:
    settings: dict[str, Any] = {
        "kind": "florence",
        "model": str(tiny),
        "task": made.task,
        "data": DataConfig(data=made.spec),
        "prompt": "swatch as JSON",
        "epochs": 40,
        "accumulation": 2,
        "learning_rate": 5e-3,
        "save_every": 5,
    }
    return FlorenceConfig(**settings | changes)


def context(config: FlorenceConfig, folder: Path, *, resume: bool = False, previous: Path | None = None) -> Any:
    folder.mkdir(parents=True, exist_ok=True)
    steps: list[dict[str, Any]] = []
    said: list[str] = []
    made = StageContext(
        config=config,
        folder=folder,
        seed=3,
        previous=previous,
        resume=resume,
        log=lambda line: steps.append(dict(line)),
        say=said.append,
    )
    return SimpleNamespace(context=made, steps=steps, said=said)


@pytest.fixture(scope="module")
def trained(tiny: Path, data: Any, tmp_path_factory: pytest.TempPathFactory) -> Any:
    made = context(stage(tiny, data), tmp_path_factory.mktemp("trained"))
    made.checkpoint = training.train(made.context)
    return made


@pytest.fixture(scope="module")
def served(trained: Any) -> Any:
    return stage_kind("florence").serve(trained.checkpoint)


def test_the_loss_falls_and_every_step_is_logged(trained: Any) -> None:
    losses = [line["loss"] for line in trained.steps]
    assert [line["step"] for line in trained.steps] == list(range(1, 121))
    assert trained.steps[-1]["samples"] == 480
    assert losses[0] > 5  # ln 290 = 5.7 where nothing is known
    assert np.mean(losses[-10:]) < 0.15
    rates = [line["learning_rate"] for line in trained.steps]
    assert max(rates) == rates[5] == pytest.approx(5e-3)  # 5 % of 120 steps are warm-up
    assert rates[-1] < 1e-5
    assert "12 samples, 120 steps of 4" in trained.said[-1]


def test_only_decoder_linears_have_adapters_and_all_of_them(tiny: Path, data: Any, trained: Any) -> None:
    config = stage(tiny, data)
    checkpoint, _ = florence_model.starting_checkpoint(config, None)
    base = florence_model.load_base(checkpoint)
    linears = {
        name
        for name, module in base.named_modules()
        if isinstance(module, torch.nn.Linear) and ".decoder.layers." in name
    }
    assert len(linears) == 2 * (4 + 4 + 2)  # two layers: self and cross attention, two linears of the block
    model = florence_model.with_adapters(base, config, None)
    learning = {name for name, parameter in model.named_parameters() if parameter.requires_grad}
    assert {name.split(".lora_")[0].removeprefix("base_model.model.") for name in learning} == linears
    settings = model.peft_config["default"]
    assert (settings.r, settings.lora_alpha, settings.lora_dropout) == (16, 32, 0.05)
    # 16 x (in + out) for each: eight of 32 x 32, and 32 x 64 twice, in each of two layers
    assert florence_model.parameter_counts(model)[0] == 2 * 16 * (8 * 64 + 2 * 96)
    saved = {path.name for path in trained.checkpoint.iterdir()}
    assert {"adapter_model.safetensors", "adapter_config.json", "florence.json", "processor_config.json"} <= saved
    assert "model.safetensors" not in saved  # the base is named, not copied


class _KilledError(BaseException):
    """What ends a process in the test, at a step."""


def test_a_training_that_was_cut_off_ends_with_the_same_weights(tiny: Path, data: Any, tmp_path: Path) -> None:
    config = stage(tiny, data, epochs=4, save_every=4)
    whole = context(config, tmp_path / "whole")
    expected = adapters(training.train(whole.context))
    cut = context(config, tmp_path / "cut")

    def log(line: Any) -> None:
        cut.steps.append(dict(line))
        if line["step"] == 7:
            raise _KilledError

    object.__setattr__(cut.context, "log", log)
    with pytest.raises(_KilledError):
        training.train(cut.context)
    assert (tmp_path / "cut" / "state.pt").is_file()
    assert not (tmp_path / "cut" / "checkpoint").exists()
    again = context(config, tmp_path / "cut", resume=True)
    found = adapters(training.train(again.context))
    assert [line["step"] for line in again.steps] == list(range(5, 13))  # from the last state, of step 4
    assert [line["loss"] for line in again.steps] == [line["loss"] for line in whole.steps[4:]]
    assert found.keys() == expected.keys()
    assert all(torch.equal(found[name], expected[name]) for name in expected)
    assert not (tmp_path / "cut" / "state.pt").exists()
    done = context(config, tmp_path / "cut", resume=True)
    assert training.train(done.context) == tmp_path / "cut" / "checkpoint"
    assert done.steps == []  # nothing is trained twice


def adapters(folder: Path) -> dict[str, Any]:
    from safetensors.torch import load_file

    return load_file(folder / "adapter_model.safetensors")


def test_a_stage_goes_on_with_the_adapters_of_the_one_before(
    tiny: Path, data: Any, trained: Any, tmp_path: Path
) -> None:
    made = context(stage(tiny, data, epochs=1, learning_rate=1e-4), tmp_path / "next", previous=trained.checkpoint)
    checkpoint = training.train(made.context)
    assert made.steps[0]["loss"] < 0.3
    note = json.loads((checkpoint / "florence.json").read_text())
    assert note["base"] == str(tiny.resolve())
    made = context(stage(tiny, data, rank=4), tmp_path / "other", previous=trained.checkpoint)
    with pytest.raises(ConfigError, match="have rank 16"):
        training.train(made.context)


def test_peakbench_measures_it_before_and_after(
    tiny: Path, data: Any, trained: Any, served: Any, tmp_path: Path
) -> None:
    config = EvaluationConfig(data=data.spec, max_tokens=40, resamples=50, workers=4)
    kind = stage_kind("florence")
    assert kind.base is not None
    before = kind.serve(kind.base(context(stage(tiny, data), tmp_path / "start").context))
    first = evaluate(before, config, tmp_path / "before", task=data.task)
    assert first.summary["metrics"]["json_parse_rate"]["value"] == 0
    run = evaluate(served, config, tmp_path / "after", task=data.task)
    assert run.summary["samples"]["answers"] == 12
    assert run.summary["metrics"]["json_parse_rate"]["value"] == 1
    assert run.summary["metrics"]["weighted_score"]["value"] > 0.9  # it tells the colors apart, so it sees them


def test_a_recipe_runs_from_the_bare_model_to_a_measured_checkpoint(tiny: Path, data: Any, tmp_path: Path) -> None:
    recipe = parse_recipe(
        {
            "name": "swatches",
            "task": data.task,
            "evaluation": {"data": data.spec, "limit": 4, "max_tokens": 4, "resamples": 20},
            "stages": [json.loads(stage(tiny, data, epochs=2, name="colors").model_dump_json())],
        },
        where="swatches.yaml",
    )
    folder = run_recipe(recipe, tmp_path / "run")
    assert folder.start.evaluated
    assert folder.stage("colors").evaluated
    assert [line["step"] for line in folder.stage("colors").steps()] == list(range(1, 7))
    said: list[str] = []
    run_recipe(recipe, tmp_path / "run", resume=True, say=said.append)
    assert said == ["colors: trained already", "colors: measured already"]


def test_the_loop_decodes_as_generate_does(served: ServedFlorence, trained: Any) -> None:
    """Greedy answers against transformers' own generation, beams and bans off."""
    prompts = [Prompt((png(color),), "", Sampling(temperature=0)) for color in COLORS.values()]
    ours = served.generate(prompts)
    model, processor, _ = florence_model.load_merged(trained.checkpoint)
    inputs = processor(
        images=[Image.new("RGB", (40, 30), color) for color in COLORS.values()],
        text=["swatch as JSON"] * 3,
        return_tensors="pt",
    )
    with warnings.catch_warnings(), torch.inference_mode():
        warnings.simplefilter("ignore")
        theirs = model.generate(**inputs, max_new_tokens=60, do_sample=False, num_beams=1, forced_bos_token_id=0)
    texts = processor.batch_decode(theirs, skip_special_tokens=True)
    assert [one[0].text for one in ours] == texts
    assert json.loads(texts[0])["color"] in COLORS
    assert all(one[0].finish_reason == "stop" for one in ours)


def test_probabilities_are_those_of_the_model_in_training(served: ServedFlorence, trained: Any) -> None:
    """A token's logprob, decoded with a cache, against one forward pass over the whole answer without."""
    (answer,) = served.generate([Prompt((png(COLORS["green"]),), "", Sampling(temperature=0, logprobs=3))])[0]
    model, processor, _ = florence_model.load_merged(trained.checkpoint)
    inputs = processor(
        images=[Image.new("RGB", (40, 30), COLORS["green"])], text=["swatch as JSON"], return_tensors="pt"
    )
    ids = torch.tensor([[2, 0, *(token.id for token in answer.tokens)]])
    with torch.inference_mode():
        logits = model(**inputs, decoder_input_ids=ids).logits[0, 1:-1].double()
    expected = torch.log_softmax(logits, -1)
    for place, token in enumerate(answer.tokens):
        assert token.logprob == pytest.approx(float(expected[place, token.id]), abs=1e-4)
        assert [value for _, value in token.top] == sorted((value for _, value in token.top), reverse=True)
        assert token.top[0][1] == token.logprob  # greedy: the likeliest
        assert len(token.top) == 3


def test_a_seed_gives_the_same_tokens_whatever_else_is_in_the_batch(served: ServedFlorence) -> None:
    def asked(color: str, seed: int, **settings: Any) -> Prompt:
        return Prompt((png(COLORS[color]),), "", Sampling(temperature=1.5, seed=seed, max_tokens=12, **settings))

    alone = served.generate([asked("red", 11, n=3)])[0]
    among = served.generate([asked("blue", 4), asked("red", 11, n=3), asked("green", 11, n=2)])
    assert [one.text for one in among[1]] == [one.text for one in alone]
    assert len({one.text for one in alone}) > 1  # copies differ from each other
    assert [len(one) for one in among] == [1, 3, 2]
    short = served.generate([Prompt((png(COLORS["red"]),), "", Sampling(temperature=0, max_tokens=2))])[0][0]
    assert (len(short.tokens), short.finish_reason) == (2, "length")


def test_tokens_are_drawn_as_often_as_their_probability() -> None:
    shares = np.array([0.5, 0.25, 0.15, 0.1])
    chance = np.random.default_rng(0)
    n = 4000
    drawn = np.bincount([choose(np.log(shares), Sampling(), chance) for _ in range(n)], minlength=4) / n
    assert np.abs(drawn - shares).max() < 4 * math.sqrt(0.25 / n)
    cold = shares**2 / (shares**2).sum()  # temperature 1/2
    drawn = np.bincount([choose(np.log(shares), Sampling(temperature=0.5), chance) for _ in range(n)], minlength=4) / n
    assert np.abs(drawn - cold).max() < 4 * math.sqrt(0.25 / n)
    drawn = np.bincount([choose(np.log(shares), Sampling(top_p=0.75), chance) for _ in range(n)], minlength=4) / n
    assert drawn[2:].tolist() == [0, 0]
    assert drawn[0] == pytest.approx(2 / 3, abs=0.04)


@pytest.mark.parametrize(
    ("prompt", "reason"),
    [
        (Prompt((), "swatch"), "At least 1 image"),
        (Prompt((png((0, 0, 0)),) * 2, "swatch"), "At most 1 image"),
        (Prompt((b"no image",), "swatch"), "Failed to load image"),
        (Prompt((png((0, 0, 0)),), "", Sampling(schema={"type": "object"})), "JSON schema"),
    ],
)
def test_what_it_cannot_honour_is_refused(served: ServedFlorence, prompt: Prompt, reason: str) -> None:
    with pytest.raises(PromptRefused, match=reason):
        served.prompt_tokens(prompt)


def test_without_a_prompt_of_its_own_it_reads_the_request(tiny: Path, data: Any, tmp_path: Path) -> None:
    config = stage(tiny, data, prompt=None, epochs=1)
    served = stage_kind("florence").serve(training.train(context(config, tmp_path / "own").context))
    image = png((0, 0, 0))
    few, more = (served.prompt_tokens(Prompt((image,), text)) for text in ("a", "a b c d e f"))
    assert few == 5 + 2 + 1 < more  # image places, the two tokens around the text, the text
    for words in ("<OCR> now", "an <image> of it", "</s>"):
        with pytest.raises(PromptRefused, match="control token"):
            served.prompt_tokens(Prompt((image,), words))
    with pytest.raises(PromptRefused, match="at most 96"):
        served.prompt_tokens(Prompt((image,), "long " * 60))
    seen = training.Collator(None, SimpleNamespace(messages=lambda sample: ("Be brief.", "Look.")), config)  # type: ignore[arg-type]
    assert seen.prompt(SimpleNamespace()) == "Be brief.\nLook."  # type: ignore[arg-type]


def test_long_targets_and_several_images_are_no_silent_cut(tiny: Path, data: Any, tmp_path: Path) -> None:
    made = context(stage(tiny, data, max_target=8), tmp_path / "short")
    with pytest.raises(DataError, match="no target is short enough"):
        training.train(made.context)
    folder = Path(data.spec).parent
    two = {"id": "two", "images": ["0.png", "1.png"], "reference": {"color": "red", "tone": None}}
    (folder / "two.jsonl").write_text(json.dumps(two) + "\n")
    made = context(stage(tiny, data, data=DataConfig(data=str(folder / "two.jsonl"))), tmp_path / "two")
    with pytest.raises(DataError, match="more than one image"):
        training.train(made.context)


def test_a_model_that_is_not_there_is_named(data: Any, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("HF_HUB_OFFLINE", "1")
    (tmp_path / "empty").mkdir()
    made = context(stage(tmp_path / "empty", data), tmp_path / "run")
    with pytest.raises(ConfigError, match="the model cannot be loaded") as refused:
        training.train(made.context)
    assert str(tmp_path / "empty") in str(refused.value)
    with pytest.raises(ConfigError, match="no Florence-2 checkpoint"):
        stage_kind("florence").serve(tmp_path / "empty")


def test_export_gives_a_whole_model_that_answers_the_same(trained: Any, served: Any, tmp_path: Path) -> None:
    (kind,) = KINDS
    assert kind.export is not None
    whole = kind.serve(kind.export(trained.checkpoint, "merged", tmp_path / "whole"))
    prompt = Prompt((png(COLORS["blue"]),), "swatch as JSON", Sampling(temperature=0, max_tokens=40))
    assert whole.generate([prompt])[0][0].text == served.generate([prompt])[0][0].text


def test_needs_are_said_for_the_published_size() -> None:
    (kind,) = KINDS
    small, large = (
        kind.needs(FlorenceConfig(kind="florence", model=f"x/Florence-2-{one}")) for one in ("base", "large")
    )
    assert small.gpu_memory_gb is not None
    assert large.gpu_memory_gb is not None
    assert 3 < small.gpu_memory_gb < large.gpu_memory_gb < 24
    assert FlorenceConfig(kind="florence").model_dump(include={"rank", "alpha", "epochs", "warmup", "max_target"}) == {
        "rank": 16,
        "alpha": 32,
        "epochs": 3,
        "warmup": 0.05,
        "max_target": 512,
    }
