"""What the stages ``sft``, ``grpo`` and ``gtpo`` say."""

from __future__ import annotations

from typing import Any, Literal

from pydantic import Field, field_validator, model_validator

from peakbench_recipes.configuration import Settings, StageConfig
from peakbench_recipes.trl.families import FAMILIES

TINY = "tiny:"
"""Before the name of a family: a model of its architecture, a millionth of the size, with random weights."""

FULL_PIXELS = 512 * 512


class LoraConfig(Settings):
    """The adapter: low-rank matrices beside the linear layers of the frozen model.

    ``r``: rank; what is added is scaled by ``alpha / r``. ``targets``: a regular expression over the full names of
    modules; by default the family's: all linear layers of the decoder.
    """

    r: int = Field(16, ge=1)
    alpha: int = Field(32, ge=1)
    dropout: float = Field(0.0, ge=0, lt=1)
    targets: str | None = None


class ModelStageConfig(StageConfig):
    """What every stage of these says.

    ``model``: a checkpoint on the Hugging Face Hub, a folder, or ``tiny:FAMILY``; None where the stage goes on from an
    earlier one. ``task``: what is asked. ``max_pixels``: images are made smaller to it. ``batch``: rows of one forward
    pass; ``log_every``, ``save_every``: in steps. ``precision``: ``auto`` is bfloat16 on an accelerator, else float32.
    ``arguments``: more arguments of TRL's configuration, as it names them.
    """

    model: str | None = None
    task: str = "garment"
    max_pixels: int | None = Field(FULL_PIXELS, ge=32 * 32)
    lora: LoraConfig = LoraConfig()
    learning_rate: float = Field(2e-4, gt=0)
    schedule: Literal["cosine", "linear", "constant", "constant_with_warmup"] = "cosine"
    warmup: float = Field(0.05, ge=0, lt=1)
    weight_decay: float = Field(0.0, ge=0)
    max_grad_norm: float = Field(1.0, gt=0)
    batch: int = Field(2, ge=1)
    gradient_checkpointing: bool = False
    precision: Literal["auto", "bfloat16", "float32"] = "auto"
    log_every: int = Field(1, ge=1)
    save_every: int = Field(50, ge=1)
    arguments: dict[str, Any] = Field(default_factory=dict)

    @field_validator("model")
    @classmethod
    def _known_tiny(cls, given: str | None) -> str | None:
        names = [one.name for one in FAMILIES]
        if given is not None and given.startswith(TINY) and given.removeprefix(TINY) not in names:
            raise ValueError(f"'{given}' is no tiny model: expected {', '.join(TINY + name for name in names)}")
        return given


class SftConfig(ModelStageConfig):
    """Supervised fine-tuning: the loss is over the answer alone.

    One step is ``batch`` x ``accumulation`` samples. ``steps``: replaces ``epochs``.
    """

    kind: Literal["sft"]
    epochs: float = Field(3.0, gt=0)
    steps: int | None = Field(None, ge=1)
    accumulation: int = Field(8, ge=1)


class RewardConfig(Settings):
    """The reward of ``peakbench.rewards``: how much its layers weigh, and whether JSON in other text passes."""

    structure: float = Field(0.2, ge=0, le=1)
    content: float = Field(0.8, ge=0, le=1)
    extract: bool = False

    @model_validator(mode="after")
    def _sum_to_one(self) -> RewardConfig:
        if abs(self.structure + self.content - 1) > 1e-9:
            raise ValueError("'structure' and 'content' have to sum to 1")
        return self


class RlConfig(ModelStageConfig):
    """What GRPO and GTPO say: one step is ``prompts`` x ``rollouts`` sampled answers.

    ``max_answer``: tokens of an answer at most. ``beta``: weight of the divergence from the model at the start of the
    stage. ``clip``: of the probability ratio. ``scale_rewards``: divide advantages by the group's standard deviation.
    """

    steps: int = Field(100, ge=1)
    prompts: int = Field(16, ge=1)
    rollouts: int = Field(8, ge=2)
    batch: int = Field(8, ge=1)
    learning_rate: float = Field(2e-5, gt=0)
    schedule: Literal["cosine", "linear", "constant", "constant_with_warmup"] = "constant_with_warmup"
    temperature: float = Field(1.0, gt=0)
    max_answer: int = Field(256, ge=1)
    beta: float = Field(0.0, ge=0)
    clip: float = Field(0.2, gt=0)
    scale_rewards: bool = True
    reward: RewardConfig = RewardConfig()

    @model_validator(mode="after")
    def _batches_fit(self) -> RlConfig:
        if (self.prompts * self.rollouts) % self.batch:
            raise ValueError(f"'batch' {self.batch} does not divide {self.prompts} prompts x {self.rollouts} rollouts")
        return self


class GrpoConfig(RlConfig):
    """Group-relative policy optimization."""

    kind: Literal["grpo"]


class QuirksConfig(Settings):
    """What the code of GTPO's authors does otherwise than their formulas: see ``peakbench_recipes.gtpo.Quirks``."""

    overlap_multiplies: bool = False
    divide_by_run: bool = False
    sum_over_group: bool = False


class GtpoConfig(RlConfig):
    """GRPO with protected conflict tokens, entropy in the advantage, and no answers of high entropy.

    ``gamma``: weight of the entropy. ``h_max``: entropy (nats) above which an answer is left out; None for none.
    ``positive``: weight of conflict tokens in good answers. ``conflict_scope``: ``structure`` protects tokens of the
    JSON frame alone. ``entropy_over``: ``values`` takes the entropy over the tokens of values alone. ``skip_flat``:
    prompts whose answers all earn the same are left out, where the paper makes their answers less likely.
    """

    kind: Literal["gtpo"]
    gamma: float = Field(0.1, ge=0)
    h_max: float | None = Field(0.6931471805599453, gt=0)
    positive: float = Field(2.0, ge=0)
    conflict_scope: Literal["all", "structure"] = "all"
    entropy_over: Literal["all", "values"] = "all"
    quirks: QuirksConfig = QuirksConfig()
    skip_flat: bool = False
    scale_rewards: bool = False

    @model_validator(mode="after")
    def _as_defined(self) -> GtpoConfig:
        if self.beta or self.scale_rewards:
            raise ValueError("GTPO has no reference model and no scaled advantages: 'beta' 0, 'scale_rewards' false")
        return self
