"""The stage kinds ``sft``, ``grpo`` and ``gtpo``; torch and TRL are imported when one is trained or asked."""

from __future__ import annotations

import shutil
from pathlib import Path
from typing import TYPE_CHECKING, Any

from peakbench_recipes.stages import Needs, StageContext, StageKind
from peakbench_recipes.trl.configuration import TINY, GrpoConfig, GtpoConfig, ModelStageConfig, RlConfig, SftConfig
from peakbench_recipes.trl.families import known_size

if TYPE_CHECKING:
    from peakbench.serving.base import ServedModel

PACKAGES = ("accelerate>=1.4", "datasets>=3.0", "peft>=0.15", "torch>=2.4", "transformers>=5.0", "trl>=1.0")


def needs_of(config: ModelStageConfig) -> Needs:
    """Estimate what a stage needs from the size of its model.

    Memory: weights in 2 bytes, 16 bytes for each trained number (weights, gradients, Adam in 4), and activations of a
    forward pass; grows with ``batch``. Nobody has measured the hours, so none are given.

    >>> needs_of(SftConfig(kind="sft", model="Qwen/Qwen3-VL-2B-Instruct")).gpu_memory_gb
    15.0
    >>> needs_of(SftConfig(kind="sft", model="tiny:qwen3-vl")).gpu_memory_gb is None
    True
    """
    if config.model is not None and config.model.startswith(TINY):
        return Needs(packages=PACKAGES, note="a tiny model for the mechanics: seconds on one CPU thread")
    size = None if config.model is None else known_size(config.model)
    if size is None:
        return Needs(packages=PACKAGES, note="an accelerator for the model that the stage goes on from")
    adapter = 0.009 * size * config.lora.r / 16
    activations = (0.6 if config.gradient_checkpointing else 2.2) * config.batch * max(size, 0.5) ** 0.5
    memory = 2 * size + 16 * adapter + activations + 4
    what = "one accelerator with bfloat16; memory estimated from the model's size, not measured"
    if isinstance(config, RlConfig):
        cache = 0.06 * config.prompts * config.rollouts * max(size, 0.5) ** 0.5
        memory += cache
        what += f"; each step samples {config.prompts * config.rollouts} answers"
    return Needs(gpu_memory_gb=float(round(memory)), packages=PACKAGES, note=what)


def _train_sft(context: StageContext) -> Path:
    from peakbench_recipes.trl.training import train_sft

    return train_sft(context)


def _train_grpo(context: StageContext) -> Path:
    from peakbench_recipes.trl.training import train_grpo

    return train_grpo(context)


def _train_gtpo(context: StageContext) -> Path:
    from peakbench_recipes.trl.training import train_gtpo

    return train_gtpo(context)


def _base(context: StageContext) -> Path:
    from peakbench_recipes.trl.training import make_base

    return make_base(context)


def _serve(folder: Path) -> ServedModel:
    from peakbench_recipes.trl.serving import serve

    return serve(folder)


def _export(checkpoint: Path, form: str, target: Path) -> Path:
    """Write the adapter as PEFT reads it, or the whole model with the adapter merged into its weights."""
    from peakbench_recipes.trl.checkpoints import Checkpoint, open_checkpoint

    found = Checkpoint.read(checkpoint)
    if form == "adapter" and found.adapter is not None:
        shutil.copytree(found.adapter, target, dirs_exist_ok=True)
        return target
    opened = open_checkpoint(found)
    model: Any = opened.model.merge_and_unload() if found.adapter is not None else opened.model
    model.save_pretrained(target)
    opened.processor.save_pretrained(target)
    return target


def _kind(name: str, title: str, config: type[ModelStageConfig], train: Any) -> StageKind:
    return StageKind(name, title, config, train, _serve, needs_of, _base, export=_export, forms=("adapter", "merged"))


KINDS: tuple[StageKind, ...] = (
    _kind("sft", "supervised fine-tuning of a vision-language model (LoRA, TRL)", SftConfig, _train_sft),
    _kind("grpo", "GRPO of a vision-language model on the benchmark's reward (LoRA, TRL)", GrpoConfig, _train_grpo),
    _kind("gtpo", "GTPO of a vision-language model on the benchmark's reward (LoRA, TRL)", GtpoConfig, _train_gtpo),
)
