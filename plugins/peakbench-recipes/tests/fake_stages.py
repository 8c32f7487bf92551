"""Stage kinds whose model knows as many pictures as it has trained steps, and whose weights are a hash of its past."""

from __future__ import annotations

import hashlib
import io
import json
import time
from collections.abc import Sequence
from pathlib import Path

from peakbench.serving.base import Generation, Prompt, ServedModel, Token
from PIL import Image

from peakbench_recipes.configuration import StageConfig
from peakbench_recipes.stages import Needs, StageContext, StageKind


class FakeConfig(StageConfig):
    steps: int = 5
    every: int = 5
    step_s: float = 0.0
    think_s: float = 0.0
    speaks: str = "json"
    fails_at: int | None = None


class FakeModel:
    """Answers rightly for pictures whose number is below its steps."""

    name = "fake"
    context = 4096

    def __init__(self, folder: Path) -> None:
        self.folder = folder
        self.state = json.loads((folder / "model.json").read_text(encoding="utf-8"))

    def prompt_tokens(self, prompt: Prompt) -> int:
        return 10

    def generate(self, prompts: Sequence[Prompt]) -> list[list[Generation]]:
        time.sleep(self.state["think_s"])
        return [[Generation((Token(1, self._answer(prompt)),))] for prompt in prompts]

    def _answer(self, prompt: Prompt) -> str:
        number = Image.open(io.BytesIO(prompt.images[0])).getpixel((0, 0))[0] // 20
        with (self.folder / "asked.txt").open("a", encoding="utf-8") as file:
            file.write(f"{number}\n")
        if self.state["speaks"] == "prose":
            return f"something red, kind {number}"
        seen = number < self.state["steps"]
        return json.dumps({"type": f"kind {number}" if seen else "coat", "color": "red", "brand": None})


def write(folder: Path, **state: object) -> Path:
    folder.mkdir(parents=True, exist_ok=True)
    temporary = folder / "model.tmp"
    temporary.write_text(json.dumps(state), encoding="utf-8")
    temporary.replace(folder / "model.json")
    return folder


def train(context: StageContext) -> Path:
    config: FakeConfig = context.config
    checkpoint = context.folder / "checkpoint"
    past = "" if context.previous is None else json.loads((context.previous / "model.json").read_text())["weights"]
    step, weights = 0, hashlib.sha256(f"{context.seed}{past}".encode()).hexdigest()
    if context.resume and (checkpoint / "model.json").is_file():
        state = json.loads((checkpoint / "model.json").read_text(encoding="utf-8"))
        step, weights = state["steps"], state["weights"]
    context.say(f"from step {step}")
    while step < config.steps:
        step += 1
        weights = hashlib.sha256(weights.encode()).hexdigest()
        time.sleep(config.step_s)
        context.log({"step": step, "loss": 1 / step, "weights": weights[:8]})
        if step == config.fails_at:
            raise RuntimeError("out of memory")
        if step % config.every == 0 or step == config.steps:
            write(checkpoint, steps=step, weights=weights, speaks=config.speaks, think_s=config.think_s)
    return checkpoint


def base(context: StageContext) -> Path:
    return write(context.folder / "checkpoint", steps=0, weights="", speaks="json", think_s=0)


def serve(checkpoint: Path) -> ServedModel:
    return FakeModel(checkpoint)


def export(checkpoint: Path, form: str, target: Path) -> Path:
    (target / "weights.txt").write_text(json.loads((checkpoint / "model.json").read_text())["weights"])
    return target


KINDS = (
    StageKind("fake.pretrain", "learns from nothing", FakeConfig, train, serve, pretrains=True),
    StageKind(
        "fake.sft",
        "learns the answers",
        FakeConfig,
        train,
        serve,
        needs=lambda config: Needs(gpu_memory_gb=config.steps, hours=2, packages=("nothing",)),
        base=base,
        export=export,
        forms=("weights",),
    ),
)
