"""Learning from reward: groups of sampled answers to one image, GRPO or GTPO, on the adapters."""

from __future__ import annotations

from pathlib import Path

import torch
from peakbench import ConfigError
from peakbench.rewards import Reward
from torch import Tensor

from peakbench_recipes.gtpo import group_advantages, gtpo_advantages, gtpo_statistics, structural_masks
from peakbench_recipes.stages import StageContext
from peakbench_recipes.tiny.checkpoint import load_model, save_model
from peakbench_recipes.tiny.configuration import RewardConfig
from peakbench_recipes.tiny.data import Batches, features, load_images
from peakbench_recipes.tiny.finetune import previous
from peakbench_recipes.tiny.tokens import END, Tokenizer
from peakbench_recipes.tiny.training import Timer, finished, held_out, one_thread, summary, train, update


def learn_from_reward(context: StageContext) -> Path:
    """Train the adapters further and return the checkpoint."""
    one_thread()
    if (done := finished(context)) is not None:
        return done
    config: RewardConfig = context.config
    model, tokenizer, about = load_model(previous(context))
    timer = Timer()
    if about["adapter"] is None:
        raise ConfigError("the checkpoint has no adapters to train", hint="put a reader.sft stage before it")
    parameters = [one for _, adapter in model.adapters() for one in (adapter.a, adapter.b)]
    model.requires_grad_(False)
    for parameter in parameters:
        parameter.requires_grad_(True)
    images = load_images(config.data, size=model.sizes.size)
    seen = features(model, images.pixels)
    reward = Reward("garment")
    optimizers = [torch.optim.AdamW(parameters, config.lr, betas=(0.9, 0.99), weight_decay=0.0)]
    batches = Batches(images, config.batch, config.steps, context.seed)
    limit = model.sizes.answer - len(tokenizer.prompt)

    def step(number: int, generator: torch.Generator) -> dict[str, float]:
        chosen = batches[number]
        shown = seen[chosen].float()
        ids, mask = model.write(
            shown,
            tokenizer.prompt,
            end=END,
            limit=limit,
            temperature=config.temperature,
            copies=config.group,
            generator=generator,
        )
        references = [images.references[place] for place in chosen for _ in range(config.group)]
        earned = reward.batch([tokenizer.text(row) for row in ids.tolist()], references)
        rewards = torch.tensor([parts.total for parts in earned])
        logits = model.answers(shown, tokenizer.prompt, ids, config.group) / config.temperature
        chances = logits.log_softmax(-1)
        taken = chances.gather(-1, ids[..., None])[..., 0]
        entropies = -(chances.detach().exp() * chances.detach()).sum(-1)
        weights, found = advantages(config, tokenizer, ids, mask, rewards=rewards, entropies=entropies)
        ratio = torch.exp(taken - taken.detach())  # one update a batch: 1 in value, the policy's gradient in slope
        counted = mask.float()
        loss = -((ratio * weights * counted).sum(1) / counted.sum(1)).mean()
        norm = update(loss, parameters, optimizers, config.clip)
        valid = sum(parts.json for parts in earned) / len(earned)
        return {"reward": float(rewards.mean()), "json": valid, "gradient": norm, **found}

    parts = {"weights": (model.adapter_state, model.restore_adapters)}
    seconds = train(context, step, optimizers, parts, timer)
    measured = held_out(context, model, tokenizer, structured=True)
    training = {
        **summary(context, seconds, images),
        "algorithm": config.algorithm,
        "before": about["training"],
        "validation": measured,
    }
    adapter = about["adapter"]
    return save_model(context.folder / "checkpoint", model, tokenizer, adapter=adapter, training=training)


def advantages(
    config: RewardConfig, tokenizer: Tokenizer, ids: Tensor, mask: Tensor, *, rewards: Tensor, entropies: Tensor
) -> tuple[Tensor, dict[str, float]]:
    """The weight of each sampled token, (answers, tokens), and what there is to log of it."""
    group = config.group
    plain = group_advantages(rewards, group)
    present = mask.int()
    structure = structural_masks(ids, present, tokenizer.piece)
    scope = structure if config.conflict_scope == "structure" else None
    values = mask & ~structure if config.entropy_over == "values" else None
    found = gtpo_statistics(
        ids, present, plain, entropies, group, h_max=config.h_max, conflict_scope_mask=scope, entropy_mask=values
    )
    if config.algorithm == "grpo":
        weights = group_advantages(rewards, group, scale=config.scale)[:, None] * present
        return weights, {name: found[name] for name in ("entropy", "flat_groups")}
    weights = gtpo_advantages(
        ids,
        present,
        plain,
        entropies,
        group,
        gamma=config.gamma,
        h_max=config.h_max,
        conflict_scope_mask=scope,
        entropy_mask=values,
    )
    return weights, found
