"""The loop that all stages of the small reader share: steps, log, states on disk, a check on held-out images."""

from __future__ import annotations

import time
from collections.abc import Callable, Iterable, Mapping, Sequence
from pathlib import Path
from typing import Any

import numpy as np
import torch
from peakbench.rewards import Reward
from torch import Tensor, nn

from peakbench_recipes.stages import StageContext
from peakbench_recipes.tiny.checkpoint import MODEL, State
from peakbench_recipes.tiny.configuration import TrainingConfig
from peakbench_recipes.tiny.data import Images, features, load_images
from peakbench_recipes.tiny.model import Reader
from peakbench_recipes.tiny.optimizer import cosine
from peakbench_recipes.tiny.tokens import END, Tokenizer

Step = Callable[[int, torch.Generator], Mapping[str, float]]


class Timer:
    """CPU seconds of this process, those of an earlier attempt included."""

    def __init__(self, before: float = 0.0) -> None:
        self.restore(before)

    def restore(self, before: float) -> None:
        """Go on from so many seconds."""
        self._start = time.process_time() - before

    def seconds(self) -> float:
        """CPU seconds so far."""
        return time.process_time() - self._start


def train(
    context: StageContext,
    step: Step,
    optimizers: Sequence[torch.optim.Optimizer],
    parts: Mapping[str, tuple[Callable[[], Any], Callable[[Any], Any]]],
    timer: Timer,
) -> float:
    """Take the steps that are left and return the CPU seconds of all of them.

    What is random in a step depends on the seed and the step alone, so a training that was cut off ends as one that
    was not. ``parts``: name -> (collect, restore) of what changes over the steps, besides the optimisers.
    """
    config: TrainingConfig = context.config
    named = {f"optimizer{number}": one for number, one in enumerate(optimizers)}
    state = State(
        context.folder,
        {
            **parts,
            "seconds": (timer.seconds, timer.restore),
            **{name: (one.state_dict, one.load_state_dict) for name, one in named.items()},
        },
    )
    done = state.load() if context.resume else 0
    if done:
        context.say(f"goes on after step {done}")
    rates = [[group.setdefault("initial_lr", group["lr"]) for group in one.param_groups] for one in optimizers]
    mean: dict[str, float] = {}
    for number in range(done, config.steps):
        share = cosine(number, config.steps, warmup=config.warmup)
        for one, initial in zip(optimizers, rates, strict=True):
            for group, rate in zip(one.param_groups, initial, strict=True):
                group["lr"] = rate * share
        found = step(number, torch.Generator().manual_seed((context.seed + 1) * 1_000_003 + number))
        mean = {name: 0.9 * mean.get(name, value) + 0.1 * value for name, value in found.items()}
        if (number + 1) % config.log_every == 0 or number + 1 == config.steps:
            context.log({"step": number + 1, **found, "cpu_seconds": round(timer.seconds(), 2)})
        if (number + 1) % (config.log_every * 10) == 0:
            told = " ".join(f"{name} {value:.4f}" for name, value in mean.items())
            context.say(f"step {number + 1}/{config.steps}: {told} ({timer.seconds():.0f} CPU s)")
        if (number + 1) % config.checkpoint_every == 0 and number + 1 < config.steps:
            state.save(number + 1)
    return timer.seconds()


def update(loss: Tensor, parameters: Sequence[nn.Parameter], optimizers: Iterable[Any], clip: float) -> float:
    """One step of the optimisers against a loss; the norm of its gradient."""
    loss.backward()
    norm = nn.utils.clip_grad_norm_(parameters, clip)
    for one in optimizers:
        one.step()
        one.zero_grad(set_to_none=True)
    return float(norm)


def one_thread() -> None:
    """Small layers run slower on two busy cores than on one."""
    torch.set_num_threads(1)


def finished(context: StageContext) -> Path | None:
    """The checkpoint, where an earlier attempt wrote it."""
    folder = context.folder / "checkpoint"
    return folder if context.resume and (folder / MODEL).is_file() else None


def summary(context: StageContext, seconds: float, images: Images) -> dict[str, Any]:
    """What a checkpoint says of its training."""
    config: TrainingConfig = context.config
    return {
        "kind": config.kind,
        "seed": context.seed,
        "steps": config.steps,
        "batch": config.batch,
        "images": len(images),
        "data": config.data.spec,
        "cpu_seconds": round(seconds, 1),
        "torch": str(torch.__version__),
    }


def held_out(context: StageContext, model: Reader, tokenizer: Tokenizer, *, structured: bool) -> dict[str, float]:
    """Read validation images greedily: mean reward, valid JSON, share with every field right; told and returned."""
    config: TrainingConfig = context.config
    if not config.check:
        return {}
    change = {"n": config.check, "split": "validation", "seed": 7, "curriculum": None, "distil": None}
    images = load_images(config.data.model_copy(update=change), size=model.sizes.size)
    texts = read_all(model, tokenizer, features(model, images.pixels))
    found = Reward("garment").batch(texts, images.references)
    fields: dict[str, list[float]] = {}
    for parts in found:
        for name, score in parts.fields.items():
            fields.setdefault(name, []).append(score)
    result = {
        "reward": float(np.mean([parts.total for parts in found])),
        "json": float(np.mean([parts.json for parts in found])),
        "content": float(np.mean([parts.content for parts in found])),
        "all_right": float(np.mean([parts.total > 1 - 1e-6 for parts in found])),
    }
    told = " ".join(f"{name} {value:.3f}" for name, value in result.items())
    context.say(f"validation, n={len(images)}: {told}" if structured else f"validation: reward {result['reward']:.3f}")
    context.say("first answer: " + texts[0])
    if structured:
        context.say("by field: " + " ".join(f"{name} {np.mean(scores):.3f}" for name, scores in fields.items()))
    return {name: round(value, 4) for name, value in result.items()}


def read_all(
    model: Reader, tokenizer: Tokenizer, seen: Tensor, *, temperature: float = 0.0, seed: int = 0, batch: int = 128
) -> list[str]:
    """The answer to each image, from its image tokens."""
    model.eval()
    generator = torch.Generator().manual_seed(seed)
    limit = model.sizes.answer - len(tokenizer.prompt)
    texts: list[str] = []
    for first in range(0, len(seen), batch):
        part = seen[first : first + batch].float()
        ids, _ = model.write(part, tokenizer.prompt, end=END, limit=limit, temperature=temperature, generator=generator)
        texts += [tokenizer.text(row) for row in ids.tolist()]
    return texts
