"""The stages of the small reader, trained for seconds on twelve pictures of one color each."""

from __future__ import annotations

import json
from collections.abc import Callable, Mapping
from pathlib import Path
from typing import Any

import pytest

torch = pytest.importorskip("torch")

from peakbench import ConfigError  # noqa: E402

from peakbench_recipes.stages import StageContext, stage_kind  # noqa: E402
from peakbench_recipes.tiny.checkpoint import load_model  # noqa: E402
from peakbench_recipes.tiny.rewarding import advantages  # noqa: E402
from peakbench_recipes.tiny.tokens import END  # noqa: E402

COLORS = {"red": (220, 20, 20), "green": (20, 200, 20), "blue": (20, 20, 220), "white": (240, 240, 240)}
SMALL = {
    "width": 16,
    "heads": 2,
    "blocks": 2,
    "size": 16,
    "stem": [{"channels": 4, "kernel": 3, "stride": 4}, {"channels": 8, "stride": 2}],
}


class Killed(Exception):  # noqa: N818
    pass


@pytest.fixture
def pictures(tmp_path: Path) -> Path:
    from PIL import Image

    lines = []
    for number, (name, color) in enumerate(list(COLORS.items()) * 3):
        Image.new("RGB", (16, 16), tuple(max(0, one - number) for one in color)).save(tmp_path / f"{number}.png")
        reference = {"type": "t-shirt" if number % 2 else "dress", "color": name, "brand": None}
        lines.append(json.dumps({"id": f"s{number}", "images": [f"{number}.png"], "reference": reference}))
    path = tmp_path / "train.jsonl"
    path.write_text("\n".join(lines) + "\n", encoding="utf-8")
    return path


@pytest.fixture
def train(tmp_path: Path, pictures: Path) -> Callable[..., tuple[Path, list[Mapping[str, Any]]]]:
    def run(
        name: str,
        kind: str,
        previous: Path | None = None,
        *,
        stop: int | None = None,
        resume: bool = False,
        **settings: Any,
    ) -> tuple[Path, list[Mapping[str, Any]]]:
        found = stage_kind(kind)
        data = {"data": str(pictures)}
        config = found.config(kind=kind, data=data, check=0, log_every=1, **settings)
        lines: list[Mapping[str, Any]] = []

        def log(line: Mapping[str, Any]) -> None:
            lines.append(line)
            if line["step"] == stop:
                raise Killed

        folder = tmp_path / name
        folder.mkdir(exist_ok=True)
        return found.train(StageContext(config, folder, 5, previous, resume, log, lambda line: None)), lines

    return run


def test_from_nothing_to_reward(train: Callable[..., Any]) -> None:
    base, lines = train(
        "base", "reader.pretrain", model=SMALL, steps=150, batch=12, text=4, shift=0, lr=0.01, muon_lr=0.02
    )
    assert lines[-1]["loss"] < 0.3 * lines[0]["loss"]
    sft, lines = train("sft", "reader.sft", base, steps=150, batch=12, lr=0.02)
    assert lines[-1]["loss"] < 0.3 * lines[0]["loss"]

    before, after = (load_model(one)[0].state_dict() for one in (base, sft))
    for name, value in before.items():
        kept = after.get(name, after.get(name.replace(".weight", ".base.weight").replace(".bias", ".base.bias")))
        assert torch.equal(kept, value), name
    assert {name.split(".")[2] for name in after if name.endswith((".a", ".b"))} == {"qkv", "o", "up", "down"}

    rl, lines = train("rl", "reader.rl", sft, steps=16, batch=12, group=6, lr=0.005, warmup=0)
    means = [sum(line["reward"] for line in part) / len(part) for part in (lines[:3], lines[-3:])]
    assert means[0] < 0.5
    assert means[1] > means[0]
    assert load_model(rl)[2]["training"]["before"]["kind"] == "reader.sft"


@pytest.mark.parametrize(
    ("kind", "settings"),
    [
        ("reader.pretrain", {"model": SMALL, "batch": 4}),
        ("reader.sft", {"batch": 4}),
        ("reader.rl", {"batch": 2, "group": 3, "algorithm": "gtpo", "conflict_scope": "structure"}),
    ],
)
def test_a_killed_training_ends_as_one_that_was_not(
    train: Callable[..., Any], kind: str, settings: dict[str, Any]
) -> None:
    previous = None
    if kind != "reader.pretrain":
        previous, _ = train("base", "reader.pretrain", model=SMALL, steps=2, batch=4)
    if kind == "reader.rl":
        previous, _ = train("sft", "reader.sft", previous, steps=2, batch=4)
    whole, lines = train("whole", kind, previous, steps=7, checkpoint_every=2, **settings)
    with pytest.raises(Killed):
        train("cut", kind, previous, steps=7, checkpoint_every=2, stop=5, **settings)
    cut, rest = train("cut", kind, previous, steps=7, checkpoint_every=2, resume=True, **settings)
    assert [line["step"] for line in rest] == [5, 6, 7]  # the state was that of step 4
    assert {**rest[-1], "cpu_seconds": 0} == {**lines[-1], "cpu_seconds": 0}
    first, second = (load_model(one)[0].state_dict() for one in (whole, cut))
    assert all(torch.equal(first[name], second[name]) for name in first)
    again, none = train("cut", kind, previous, steps=7, checkpoint_every=2, resume=True, **settings)
    assert again == cut
    assert none == []


def test_equal_rewards_teach_nothing_and_good_answers_weigh_more(train: Callable[..., Any]) -> None:
    base, _ = train("base", "reader.pretrain", model=SMALL, steps=1, batch=4)
    _, tokenizer, _ = load_model(base)
    texts = ['{"color": "red"}', '{"color": "green"}', '{"color": "blue"}', '{"color": "blue"}']
    ids = torch.tensor([[*tokenizer.encode(text), END] for text in texts])
    mask = torch.ones_like(ids, dtype=torch.bool)
    rewards = torch.tensor([1.0, 0.0, 0.5, 0.5])
    config = stage_kind("reader.rl").config
    for algorithm in ("grpo", "gtpo"):
        chosen = config(kind="reader.rl", algorithm=algorithm, group=2, h_max=None, scale=False)
        weights, found = advantages(chosen, tokenizer, ids, mask, rewards=rewards, entropies=torch.zeros(ids.shape))
        assert weights[2:].abs().sum() == 0
        assert found["flat_groups"] == 0.5
        value = next(place for place in range(ids.size(1)) if ids[0, place] != ids[1, place])
        assert weights[:2, value].tolist() == [0.5, -0.5]
        # what both answers share: GRPO pushes it both ways, GTPO twice for the good one and not for the bad one
        shared = [0.5, -0.5] if algorithm == "grpo" else [1.0, 0.0]
        assert weights[:2, 0].tolist() == shared


def test_a_stage_says_what_it_lacks(train: Callable[..., Any], tmp_path: Path) -> None:
    with pytest.raises(ConfigError, match="needs a checkpoint to start from"):
        train("sft", "reader.sft", steps=1)
    with pytest.raises(ConfigError, match="no checkpoint of the small reader"):
        train("sft", "reader.sft", tmp_path, steps=1)
    base, _ = train("base", "reader.pretrain", model=SMALL, steps=1, batch=4)
    with pytest.raises(ConfigError, match="no adapters to train"):
        train("rl", "reader.rl", base, steps=1)


def test_rich_images_are_shown_more_often() -> None:
    import numpy as np

    from peakbench_recipes.tiny.data import Batches, Images
    from peakbench_recipes.tiny.pretrain import _weights

    references = [{"brand": "lumen", "size": "m", "defect_type": None}, {"brand": None, "size": None}] * 2
    images = Images(np.zeros((4, 1, 1, 3), np.uint8), references, [""] * 4)
    config = stage_kind("reader.pretrain").config
    assert _weights(images, config(kind="reader.pretrain")) is None
    weights = _weights(images, config(kind="reader.pretrain", rich=1.0))
    assert weights.tolist() == [3, 1, 3, 1]
    batches = Batches(images, 40, 100, 3, weights=weights)
    shown = np.concatenate([batches[step] for step in range(100)])
    assert abs(float((shown % 2 == 0).mean()) - 0.75) < 0.03
    plain = Batches(images, 2, 4, 3)
    assert sorted(np.concatenate([plain[0], plain[1]]).tolist()) == [0, 1, 2, 3]
