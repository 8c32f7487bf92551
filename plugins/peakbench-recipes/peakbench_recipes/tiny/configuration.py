"""What the stages of the small reader can be told."""

from __future__ import annotations

from typing import Literal

from pydantic import Field

from peakbench_recipes.configuration import DataConfig, Settings, StageConfig


class StepConfig(Settings):
    """One convolution of the stem, and the residual blocks after it."""

    channels: int = Field(ge=1, le=4096)
    kernel: int = Field(3, ge=1, le=31)
    stride: int = Field(2, ge=1, le=16)
    residual: int = Field(0, ge=0, le=16)


class ModelConfig(Settings):
    """The architecture. ``size``: side of the square image in pixels; ``answer``: tokens after the image, at most."""

    width: int = Field(128, ge=8)
    heads: int = Field(4, ge=1)
    blocks: int = Field(2, ge=1)
    size: int = Field(128, ge=16)
    answer: int = Field(56, ge=16)
    stem: tuple[StepConfig, ...] = (
        StepConfig(channels=24),
        StepConfig(channels=48, residual=1),
        StepConfig(channels=96, residual=1),
        StepConfig(channels=192, residual=1),
    )


class TrainingConfig(StageConfig):
    """What every stage of the small reader is told.

    ``steps`` of ``batch`` images; ``checkpoint_every``: steps between two states on disk, from which a killed training
    goes on. ``check``: how many validation images are read at the end (0: none).
    """

    data: DataConfig = DataConfig(n=20_000)
    steps: int = Field(1000, ge=1)
    batch: int = Field(32, ge=1)
    warmup: int = Field(40, ge=0)
    clip: float = Field(1.0, gt=0)
    log_every: int = Field(10, ge=1)
    checkpoint_every: int = Field(200, ge=1)
    check: int = Field(500, ge=0)


class PretrainConfig(TrainingConfig):
    """From nothing to a reader that describes a garment in prose.

    ``text``: JSON texts without an image that each batch has beside it, so that the base knows the form of an answer,
    and nothing of when to give one; ``text_weight``: of their loss. ``votes``: weight of the fields read straight from
    the image tokens. ``rich``: how much more often an image is shown for each of ``rich_fields`` that has a value (0:
    all alike); what is small and seldom there takes longest to learn, so the log has the votes' loss of each, in nats.
    ``shift`` in pixels, ``contrast`` and ``brightness`` as standard deviations: how images are varied. ``average``: the
    moving average of the weights that is kept.
    """

    kind: Literal["reader.pretrain"] = "reader.pretrain"
    model: ModelConfig = ModelConfig()
    steps: int = Field(2000, ge=1)
    lr: float = Field(4e-3, gt=0)
    muon_lr: float = Field(0.004, gt=0)
    weight_decay: float = Field(0.02, ge=0)
    clip: float = Field(5.0, gt=0)
    average: float = Field(0.99, ge=0, lt=1)
    text: int = Field(8, ge=0)
    text_weight: float = Field(0.25, ge=0)
    votes: float = Field(0.5, ge=0)
    rich: float = Field(0.0, ge=0)
    rich_fields: tuple[str, ...] = ("brand", "size", "defect_type")
    shift: int = Field(5, ge=0)
    contrast: float = Field(0.12, ge=0)
    brightness: float = Field(0.1, ge=0)


class FineTuneConfig(TrainingConfig):
    """Answers as JSON: low-rank adapters on the decoder of the frozen base, learned from references."""

    kind: Literal["reader.sft"] = "reader.sft"
    data: DataConfig = DataConfig(n=8_000, seed=8)
    steps: int = Field(600, ge=1)
    batch: int = Field(64, ge=1)
    lr: float = Field(2e-3, gt=0)
    rank: int = Field(16, ge=1)
    alpha: float = Field(32, gt=0)


class RewardConfig(TrainingConfig):
    """The adapters go on learning from the reward of sampled answers.

    ``algorithm``: ``grpo`` (advantages divided by the group's deviation where ``scale``) or ``gtpo``, of which
    ``gamma``, ``h_max`` (nats; null keeps every answer), ``conflict_scope`` and ``entropy_over`` are the parameters.
    ``batch`` prompts a step, ``group`` answers each, sampled at ``temperature``.
    """

    kind: Literal["reader.rl"] = "reader.rl"
    data: DataConfig = DataConfig(n=4_000, seed=9)
    algorithm: Literal["grpo", "gtpo"] = "grpo"
    steps: int = Field(100, ge=1)
    batch: int = Field(16, ge=1)
    group: int = Field(8, ge=2)
    warmup: int = Field(5, ge=0)
    lr: float = Field(3e-4, gt=0)
    temperature: float = Field(1.0, gt=0)
    scale: bool = True
    gamma: float = Field(0.1, ge=0)
    h_max: float | None = Field(0.6931471805599453, gt=0)
    conflict_scope: Literal["all", "structure"] = "all"
    entropy_over: Literal["all", "values"] = "all"
    checkpoint_every: int = Field(50, ge=1)
