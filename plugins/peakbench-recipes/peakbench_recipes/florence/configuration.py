"""What a Florence-2 stage is told."""

from __future__ import annotations

from typing import Annotated, Literal

from pydantic import Field

from peakbench_recipes.configuration import StageConfig

Share = Annotated[float, Field(ge=0, lt=1)]


class FlorenceConfig(StageConfig):
    """Florence-2 by its own sequence-to-sequence loop; the numbers are those that were published with the recipe.

    ``model``, ``revision``: a checkpoint of transformers' own Florence-2 classes, on the Hub or in a folder; unused
    where the stage starts from a checkpoint. ``prompt``: what every image is asked, in training and when served; None
    for the task's own prompt, as it arrives. ``task``: whose fields are learned, in its order.

    ``epochs``, ``batch_size``, ``accumulation``: an optimizer step learns ``batch_size * accumulation`` samples.
    ``learning_rate``: at its highest; cosine to 0 after ``warmup``, a share of the steps. ``rank``, ``alpha``,
    ``dropout``: of the adapters. ``max_target``: tokens of an answer; longer targets are left out, never cut, since a
    cut object teaches to cut. ``save_every``: optimizer steps between two states to resume from.
    """

    model: str = "florence-community/Florence-2-base"
    revision: str | None = None
    prompt: str | None = "Describe the garment as one JSON object."
    task: str = "garment"
    epochs: Annotated[float, Field(gt=0)] = 3.0
    batch_size: Annotated[int, Field(ge=1)] = 2
    accumulation: Annotated[int, Field(ge=1)] = 8
    learning_rate: Annotated[float, Field(gt=0)] = 2e-4
    warmup: Share = 0.05
    weight_decay: Annotated[float, Field(ge=0)] = 0.01
    max_grad_norm: Annotated[float, Field(gt=0)] = 1.0
    rank: Annotated[int, Field(ge=1)] = 16
    alpha: Annotated[int, Field(ge=1)] = 32
    dropout: Share = 0.05
    max_target: Annotated[int, Field(ge=8)] = 512
    save_every: Annotated[int, Field(ge=1)] = 50
    precision: Literal["auto", "bf16", "fp32"] = "auto"
    device: str = "auto"
