"""From prose to JSON: low-rank adapters on the decoder of the frozen base, learned from target texts."""

from __future__ import annotations

from pathlib import Path

import torch
from peakbench import ConfigError

from peakbench_recipes.stages import StageContext
from peakbench_recipes.tiny.checkpoint import load_model, save_model
from peakbench_recipes.tiny.configuration import FineTuneConfig
from peakbench_recipes.tiny.data import Batches, features, load_images, padded
from peakbench_recipes.tiny.pretrain import cross_entropy
from peakbench_recipes.tiny.tokens import END, PAD
from peakbench_recipes.tiny.training import Timer, finished, held_out, one_thread, summary, train, update


def fine_tune(context: StageContext) -> Path:
    """Train the adapters and return the checkpoint."""
    one_thread()
    if (done := finished(context)) is not None:
        return done
    config: FineTuneConfig = context.config
    torch.manual_seed(context.seed)
    model, tokenizer, about = load_model(previous(context))
    timer = Timer()
    if about["adapter"] is None:
        parameters = model.adapt(config.rank, config.alpha)
    else:
        parameters = [one for _, adapter in model.adapters() for one in (adapter.a, adapter.b)]
    images = load_images(config.data, size=model.sizes.size)
    seen = features(model, images.pixels)
    targets = [[*tokenizer.encode(text), END] for text in images.targets]
    adapter = about["adapter"] or (config.rank, config.alpha)
    count = sum(parameter.numel() for parameter in parameters)
    context.say(f"{len(images)} images, answers up to {max(map(len, targets))} tokens, {count:,} parameters to train")
    optimizers = [torch.optim.AdamW(parameters, config.lr, weight_decay=0.01)]
    batches = Batches(images, config.batch, config.steps, context.seed)
    prompt = tokenizer.prompt

    def step(number: int, generator: torch.Generator) -> dict[str, float]:
        chosen = batches[number]
        target = padded([targets[place] for place in chosen], PAD)
        loss = cross_entropy(model.answers(seen[chosen].float(), prompt, target), target)
        norm = update(loss, parameters, optimizers, config.clip)
        return {"loss": float(loss.detach()), "gradient": norm}

    parts = {"weights": (model.adapter_state, model.restore_adapters)}
    seconds = train(context, step, optimizers, parts, timer)
    measured = held_out(context, model, tokenizer, structured=True)
    training = {**summary(context, seconds, images), "before": about["training"], "validation": measured}
    return save_model(context.folder / "checkpoint", model, tokenizer, adapter=adapter, training=training)


def previous(context: StageContext) -> Path:
    """The checkpoint to start from.

    Raises:
        ConfigError: there is none.
    """
    if context.previous is None:
        raise ConfigError(
            f"stage '{context.config.name}' needs a checkpoint to start from",
            hint="put a stage before it, or give the recipe a 'start'",
        )
    return context.previous
