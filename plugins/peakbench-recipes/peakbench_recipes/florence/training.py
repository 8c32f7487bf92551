"""The training loop: whole steps, a state to resume from, the same result whether it was cut off or not."""

from __future__ import annotations

import math
import os
from collections.abc import Sequence
from contextlib import nullcontext
from dataclasses import dataclass, replace
from pathlib import Path
from typing import TYPE_CHECKING, Any

from peakbench import ConfigError, DataError

from peakbench_recipes.data import TrainingSample, TrainingSamples, training_samples
from peakbench_recipes.florence.configuration import FlorenceConfig
from peakbench_recipes.florence.model import (
    chosen_device,
    load_base,
    load_processor,
    parameter_counts,
    starting_checkpoint,
    with_adapters,
)
from peakbench_recipes.stages import StageContext

if TYPE_CHECKING:
    import torch

STATE = "state.pt"
IGNORED = -100
"""The label of a place that is no part of the target."""


@dataclass(frozen=True, slots=True)
class Batch:
    """A few samples as tensors. ``inputs``: of the encoder; ``labels``: (samples, tokens), padded with IGNORED."""

    inputs: dict[str, torch.Tensor]
    labels: torch.Tensor

    @property
    def tokens(self) -> int:
        """How many target tokens it holds."""
        return int((self.labels != IGNORED).sum())


class Collator:
    """Turns samples into batches: image and prompt for the encoder, the target for the decoder."""

    def __init__(self, processor: Any, samples: TrainingSamples, config: FlorenceConfig) -> None:
        self._processor = processor
        self._samples = samples
        self._prompt = config.prompt

    def __call__(self, chosen: Sequence[TrainingSample], device: torch.device) -> Batch:
        """Make a batch on a device."""
        encoded = self._processor(
            images=[sample.picture() for sample in chosen],
            text=[self.prompt(sample) for sample in chosen],
            padding=True,
            return_tensors="pt",
        )
        targets = self._processor.tokenizer(
            [sample.target_text for sample in chosen], padding=True, return_tensors="pt"
        )
        labels = targets.input_ids.masked_fill(targets.attention_mask == 0, IGNORED)
        return Batch({key: value.to(device) for key, value in encoded.items()}, labels.to(device))

    def prompt(self, sample: TrainingSample) -> str:
        """The text that a sample is asked with: the stage's, or the task's as a request carries it."""
        if self._prompt is not None:
            return self._prompt
        return "\n".join(text for text in self._samples.messages(sample) if text is not None)


def learning_rate(step: int, steps: int, *, peak: float, warmup: float) -> float:
    """Return the rate of a step, counted from 0: a straight rise over the warm-up, then a cosine to 0.

    >>> [round(learning_rate(step, 100, peak=1.0, warmup=0.05), 3) for step in (0, 4, 5, 52, 99)]
    [0.2, 1.0, 1.0, 0.508, 0.0]
    """
    rising = math.ceil(steps * warmup)
    if step < rising:
        return peak * (step + 1) / rising
    return peak * 0.5 * (1 + math.cos(math.pi * (step - rising) / max(1, steps - rising)))


def train(context: StageContext) -> Path:
    """Train the adapters and return the folder of the checkpoint.

    Raises:
        ConfigError: the model cannot be loaded, or the loss stopped being a number.
        DataError: no sample fits, or a sample has several images (Florence-2 reads one).
    """
    import torch

    config: FlorenceConfig = context.config
    target = context.folder / "checkpoint"
    if context.resume and target.is_dir():
        return target
    checkpoint, adapters = starting_checkpoint(config, context.previous)
    processor = load_processor(checkpoint)
    samples = _fitting(training_samples(config.data, task=config.task), processor, config, context)
    torch.manual_seed(context.seed)
    device = chosen_device(config.device)
    model = with_adapters(load_base(checkpoint), config, adapters).to(device)
    learner = _Learner(model, config, device, Collator(processor, samples, config))
    order = samples.order(seed=context.seed, epochs=config.epochs)
    per_step = config.batch_size * config.accumulation
    steps = math.ceil(len(order) / per_step)
    learning, every = parameter_counts(model)
    context.say(
        f"{len(samples)} samples, {steps} steps of {per_step}; {learning:,} of {every:,} parameters learn, on {device}"
    )
    state = context.folder / STATE
    first = learner.restore(state) if context.resume and state.is_file() else 0
    for step in range(first, steps):
        chosen = [samples[int(index)] for index in order[step * per_step : (step + 1) * per_step]]
        rate = learning_rate(step, steps, peak=config.learning_rate, warmup=config.warmup)
        loss, norm = learner.step(chosen, rate)
        seen = min(len(order), (step + 1) * per_step)
        context.log(
            {
                "step": step + 1,
                "loss": loss,
                "learning_rate": rate,
                "grad_norm": norm,
                "samples": seen,
                "epoch": round(seen / len(samples), 4),
            }
        )
        if not math.isfinite(loss):
            raise ConfigError(
                f"the loss is not a number at step {step + 1}", hint="try a smaller learning_rate, or precision: fp32"
            )
        if (step + 1) % config.save_every == 0 and step + 1 < steps:
            learner.save(state, step + 1)
    partial = context.folder / ".checkpoint"
    partial.mkdir(exist_ok=True)
    model.save_pretrained(str(partial))
    processor.save_pretrained(str(partial))
    replace(checkpoint, adapter=True).write(partial)
    partial.rename(target)
    state.unlink(missing_ok=True)
    return target


def base(context: StageContext) -> Path:
    """Write the checkpoint of the model before any training: a note that names it."""
    checkpoint, _ = starting_checkpoint(context.config, None)
    folder = context.folder / "checkpoint"
    folder.mkdir(parents=True, exist_ok=True)
    checkpoint.write(folder)
    return folder


class _Learner:
    """The model, its optimizer, and what has to be kept so that a resumed training ends with the same numbers."""

    def __init__(self, model: Any, config: FlorenceConfig, device: torch.device, collate: Collator) -> None:
        import torch

        self._model, self._config, self._device, self._collate = model, config, device, collate
        self._learning = [parameter for parameter in model.parameters() if parameter.requires_grad]
        self._optimizer = torch.optim.AdamW(
            self._learning, lr=config.learning_rate, weight_decay=config.weight_decay, betas=(0.9, 0.999)
        )
        self._half = config.precision == "bf16" or (
            config.precision == "auto" and device.type == "cuda" and torch.cuda.is_bf16_supported()
        )
        inner = model.get_base_model()
        text = inner.config.text_config
        self._start, self._pad = text.decoder_start_token_id, text.pad_token_id
        model.train()
        # frozen parts read the same image the same way each time: no dropout and no dropped paths there
        for frozen in (inner.model.vision_tower, inner.model.multi_modal_projector, inner.get_encoder()):
            frozen.eval()

    def step(self, chosen: Sequence[TrainingSample], rate: float) -> tuple[float, float]:
        """Learn some samples; return (mean loss of their target tokens, norm of the gradient before clipping).

        Each target token weighs the same, in whichever of the small batches it stands.
        """
        import torch
        from torch.nn.functional import cross_entropy

        size = self._config.batch_size
        parts = [chosen[place : place + size] for place in range(0, len(chosen), size)]
        batches = [self._collate(part, self._device) for part in parts]
        tokens = sum(batch.tokens for batch in batches)
        total = 0.0
        for batch in batches:
            with torch.autocast(self._device.type, torch.bfloat16) if self._half else nullcontext():
                logits = self._model(
                    **batch.inputs, decoder_input_ids=self._shifted(batch.labels), use_cache=False
                ).logits
            flat = logits.float().flatten(0, 1)
            loss = cross_entropy(flat, batch.labels.flatten(), ignore_index=IGNORED, reduction="sum") / tokens
            loss.backward()
            total += float(loss.detach())
        norm = float(torch.nn.utils.clip_grad_norm_(self._learning, self._config.max_grad_norm))
        for group in self._optimizer.param_groups:
            group["lr"] = rate
        self._optimizer.step()
        self._optimizer.zero_grad(set_to_none=True)
        return total, norm

    def _shifted(self, labels: torch.Tensor) -> torch.Tensor:
        """What the decoder reads: the target one place later, after its start token."""
        shifted = labels.roll(1, dims=1)
        shifted[:, 0] = self._start
        return shifted.masked_fill(shifted == IGNORED, self._pad)

    def save(self, path: Path, step: int) -> None:
        """Keep everything that the next step depends on; the file is there whole or as it was."""
        import torch

        state = {
            "step": step,
            "adapters": [parameter.detach().cpu() for parameter in self._learning],
            "optimizer": self._optimizer.state_dict(),
            "chance": torch.get_rng_state(),
            "device_chance": torch.cuda.get_rng_state(self._device) if self._device.type == "cuda" else None,
        }
        temporary = path.with_name(f".{path.name}")
        with temporary.open("wb") as file:
            torch.save(state, file)
            file.flush()
            os.fsync(file.fileno())
        temporary.replace(path)

    def restore(self, path: Path) -> int:
        """Go back to a kept state and return the steps that were done."""
        import torch

        state = torch.load(path, map_location="cpu", weights_only=True)
        with torch.no_grad():
            for parameter, kept in zip(self._learning, state["adapters"], strict=True):
                parameter.copy_(kept)
        self._optimizer.load_state_dict(state["optimizer"])
        torch.set_rng_state(state["chance"])
        if state["device_chance"] is not None:
            torch.cuda.set_rng_state(state["device_chance"], self._device)
        return int(state["step"])


def _fitting(
    samples: TrainingSamples, processor: Any, config: FlorenceConfig, context: StageContext
) -> TrainingSamples:
    """Leave out samples whose target is too long, and say what was left out and why."""
    several = [sample.id for sample in samples if len(sample.images) > 1]
    if several:
        raise DataError(
            f"{len(several)} samples have more than one image, such as '{several[0]}'",
            where=samples.spec,
            expected="one image a sample: Florence-2 reads no more",
        )
    lengths = [len(ids) for ids in processor.tokenizer([sample.target_text for sample in samples]).input_ids]
    kept = tuple(sample for sample, length in zip(samples, lengths, strict=True) if length <= config.max_target)
    for reason, count in samples.dropped.items():
        context.say(f"left out: {count} samples, {reason}")
    if len(kept) < len(samples):
        context.say(f"left out: {len(samples) - len(kept)} samples, target longer than {config.max_target} tokens")
    if not kept:
        raise DataError("no target is short enough", where="max_target", expected=f"at least {min(lengths)}")
    return replace(samples, items=kept)
