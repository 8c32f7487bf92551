"""The stage kind ``florence``."""

from __future__ import annotations

from pathlib import Path
from typing import TYPE_CHECKING

from peakbench_recipes.florence.configuration import FlorenceConfig
from peakbench_recipes.stages import Needs, StageContext, StageKind

if TYPE_CHECKING:
    from peakbench.serving.base import ServedModel

MODEL = "merged"
"""The form of export that merges the adapters into the base: a whole model for transformers."""


def train(context: StageContext) -> Path:
    """Train the adapters; see :func:`peakbench_recipes.florence.training.train`."""
    from peakbench_recipes.florence import training

    return training.train(context)


def base(context: StageContext) -> Path:
    """Name the model before any training."""
    from peakbench_recipes.florence import training

    return training.base(context)


def serve(checkpoint: Path) -> ServedModel:
    """Put a checkpoint behind the endpoint's protocol; see :mod:`peakbench_recipes.florence.serving`."""
    from peakbench_recipes.florence.serving import serve as serve_florence

    return serve_florence(checkpoint)


def export(checkpoint: Path, form: str, target: Path) -> Path:
    """Write a checkpoint as a whole model, its adapters merged in."""
    from peakbench_recipes.florence.model import load_merged

    model, processor, _ = load_merged(checkpoint)
    model.save_pretrained(str(target))
    processor.save_pretrained(str(target))
    return target


def needs(config: FlorenceConfig) -> Needs:
    """Estimate what the stage needs in full.

    >>> needs(FlorenceConfig(kind="florence")).gpu_memory_gb
    5.0
    """
    large = "large" in config.model.lower()
    parameters = 0.77e9 if large else 0.23e9
    width, layers, words = (1024, 12, 51_290) if large else (768, 6, 51_290)
    target = config.batch_size * config.max_target
    logits = 3 * target * words * 4  # the logits, their softmax and its gradient
    kept = layers * target * width * 34 * 2  # activations of a transformer layer, Korthikanti et al., 2022, table 2
    image = config.batch_size * 192 * 192 * 256 * 4 * 6  # the first stage of the vision tower, nothing kept of it
    total = (parameters * 4 + logits + kept + image) / 1e9 + 2  # 2 GB for CUDA and what lies between allocations
    return Needs(
        gpu_memory_gb=float(round(total + 0.5)),
        packages=("torch>=2.4", "transformers>=5.0", "peft>=0.15"),
        note="GPU memory reckoned, not measured; a CPU needs 4 GB and about 13 s a sample (base, one thread)",
    )


KINDS = (
    StageKind(
        name="florence",
        title="Florence-2, low-rank adapters on all linear layers of the decoder",
        config=FlorenceConfig,
        train=train,
        serve=serve,
        needs=needs,
        base=base,
        export=export,
        forms=(MODEL,),
    ),
)
