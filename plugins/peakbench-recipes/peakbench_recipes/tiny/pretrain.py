"""From nothing to a base: the whole reader learns to describe a garment in prose."""

from __future__ import annotations

from pathlib import Path
from typing import TYPE_CHECKING

import numpy as np
import torch
import torch.nn.functional as F  # noqa: N812 - its usual name
from peakbench.builtins import open_registry
from torch import Tensor, nn

from peakbench_recipes.stages import StageContext
from peakbench_recipes.tiny.checkpoint import save_model
from peakbench_recipes.tiny.configuration import PretrainConfig
from peakbench_recipes.tiny.data import Batches, Images, load_images, padded, phrases, varied
from peakbench_recipes.tiny.model import Convolution, Reader, Sizes, pixels
from peakbench_recipes.tiny.optimizer import Average, Muon
from peakbench_recipes.tiny.pooled import Votes
from peakbench_recipes.tiny.tokens import END, PAD, TEXT, Tokenizer, answer, caption
from peakbench_recipes.tiny.training import Timer, finished, held_out, one_thread, summary, train, update

if TYPE_CHECKING:
    from numpy.typing import NDArray


def pretrain(context: StageContext) -> Path:
    """Train the base and return its checkpoint."""
    one_thread()
    if (done := finished(context)) is not None:
        return done
    config: PretrainConfig = context.config
    torch.manual_seed(context.seed)
    task = open_registry().task("garment")
    said = phrases(task)
    images = load_images(config.data, size=config.model.size, task=task)
    tokenizer = Tokenizer.build(images.references, said)
    captions = [[*tokenizer.encode(caption(one, said)), END] for one in images.references]
    answers = [[TEXT, *tokenizer.encode(answer(one, task.keys)), END] for one in images.references]
    context.say(f"{len(images)} images, {len(tokenizer.vocabulary)} tokens, captions up to {max(map(len, captions))}")

    model = Reader(_sizes(config, len(tokenizer.vocabulary))).to(memory_format=torch.channels_last)
    context.say(f"{sum(parameter.numel() for parameter in model.parameters()):,} parameters")
    votes = Votes(images.references, list(said), config.model.width)
    parameters = [*model.parameters(), *votes.parameters()]
    optimizers = _optimizers(model, votes, config)
    average = Average(model.named_parameters(), config.average)
    batches = Batches(images, config.batch, config.steps, context.seed, weights=_weights(images, config))
    prompt = list(tokenizer.prompt)

    def step(number: int, generator: torch.Generator) -> dict[str, float]:
        model.train()
        chosen = batches[number]
        shown = varied(
            torch.from_numpy(images.pixels[chosen]),
            shift=config.shift,
            contrast=config.contrast,
            brightness=config.brightness,
            generator=generator,
        )
        target = padded([captions[place] for place in chosen], PAD)
        ids = torch.cat([torch.tensor([prompt] * len(chosen)), target], 1)
        seen = model.see(shown)
        loss = total = cross_entropy(model(ids[:, :-1], seen)[:, len(prompt) - 1 :], target)
        found: dict[str, float] = {}
        if config.votes:
            fields = votes(seen, chosen)
            total = total + config.votes * fields.mean()
            found = {name: nats for name, nats in zip(said, fields.tolist(), strict=True) if name in config.rich_fields}
        if config.text:
            text = padded([answers[place] for place in _texts(len(images), config.text, context.seed, number)], PAD)
            total = total + config.text_weight * cross_entropy(model(text[:, :-1]), text[:, 1:])
        norm = update(total, parameters, optimizers, config.clip)
        average.update(model.named_parameters(), number)
        return {"loss": float(loss.detach()), "gradient": norm, **found}

    parts = {
        "weights": (model.state_dict, model.load_state_dict),
        "votes": (votes.state_dict, votes.load_state_dict),
        "average": (lambda: average.values, average.restore),
    }
    seconds = train(context, step, optimizers, parts, Timer())
    with torch.no_grad():
        for name, parameter in model.named_parameters():
            parameter.copy_(average.values[name])
    _settle(model, images.pixels[: 64 * 12])
    measured = held_out(context, model, tokenizer, structured=False)
    training = {**summary(context, seconds, images), "validation": measured}
    return save_model(context.folder / "checkpoint", model, tokenizer, adapter=None, training=training)


def cross_entropy(logits: Tensor, target: Tensor) -> Tensor:
    """Mean over the tokens that are no padding."""
    return F.cross_entropy(logits.flatten(0, 1), target.flatten(), ignore_index=PAD)


def _sizes(config: PretrainConfig, vocabulary: int) -> Sizes:
    given = config.model
    stem = tuple(Convolution(**step.model_dump()) for step in given.stem)
    return Sizes(vocabulary, given.width, given.heads, given.blocks, stem, given.size, given.answer)


def _optimizers(model: Reader, votes: Votes, config: PretrainConfig) -> list[torch.optim.Optimizer]:
    """Muon for the matrices inside; AdamW for what meets pixels or tokens, and for vectors."""
    outside = ("stem.0.weight", "embedding.weight", "position")
    inside = [p for name, p in model.named_parameters() if p.ndim >= 2 and name not in outside]
    known = {id(parameter) for parameter in inside}
    rest = [one for one in (*model.parameters(), *votes.parameters()) if id(one) not in known]
    decay = config.weight_decay
    return [
        torch.optim.AdamW(rest, config.lr, betas=(0.9, 0.98), weight_decay=decay),
        Muon(inside, config.muon_lr, weight_decay=decay),
    ]


def _weights(images: Images, config: PretrainConfig) -> NDArray[np.float64] | None:
    """How often each image is shown; None for all alike, or where a curriculum says the order."""
    if not config.rich or images.order is not None:
        return None
    counts = [sum(one.get(name) is not None for name in config.rich_fields) for one in images.references]
    return 1.0 + config.rich * np.array(counts, dtype=np.float64)


def _texts(total: int, count: int, seed: int, step: int) -> list[int]:
    return [int(place) for place in np.random.default_rng((seed, step, 1)).integers(0, total, count)]


@torch.no_grad()  # type: ignore[untyped-decorator]
def _settle(model: Reader, images: NDArray[np.uint8]) -> None:
    """Batch statistics of the averaged weights: those kept in training belong to other weights."""
    model.train()
    for module in model.modules():
        if isinstance(module, nn.BatchNorm2d):
            module.reset_running_stats()
            module.momentum = None  # the plain mean over batches
    for first in range(0, len(images), 64):
        model.see(pixels(torch.from_numpy(images[first : first + 64])))
    for module in model.modules():
        if isinstance(module, nn.BatchNorm2d):
            module.momentum = 0.1
    model.eval()
