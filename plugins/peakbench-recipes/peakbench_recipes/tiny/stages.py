"""The stages of the small reader: a base, then JSON, then reward."""

from __future__ import annotations

from pathlib import Path
from typing import TYPE_CHECKING

from peakbench_recipes.stages import Needs, StageContext, StageKind
from peakbench_recipes.tiny.configuration import FineTuneConfig, PretrainConfig, RewardConfig, TrainingConfig

if TYPE_CHECKING:
    from peakbench.serving.base import ServedModel


def _pretrain(context: StageContext) -> Path:
    from peakbench_recipes.tiny.pretrain import pretrain

    return pretrain(context)


def _fine_tune(context: StageContext) -> Path:
    from peakbench_recipes.tiny.finetune import fine_tune

    return fine_tune(context)


def _learn_from_reward(context: StageContext) -> Path:
    from peakbench_recipes.tiny.rewarding import learn_from_reward

    return learn_from_reward(context)


def serve(checkpoint: Path) -> ServedModel:
    """The checkpoint as the NumPy reader that ships reads it: what is measured is what is exported."""
    from peakbench.reader import open_reader

    from peakbench_recipes.tiny.export import export_checkpoint

    return open_reader(str(export_checkpoint(checkpoint, "reader", checkpoint / "reader")))


def _export(checkpoint: Path, form: str, target: Path) -> Path:
    """``reader``: the checkpoint alone; ``series``: every stage that led to it in one folder."""
    from peakbench_recipes.tiny.export import export_checkpoint
    from peakbench_recipes.tiny.series import export_run

    if form == "series":
        export_run(checkpoint, target)
        return target
    return export_checkpoint(checkpoint, form, target)


SECONDS = {"reader.pretrain": 0.019, "reader.sft": 0.004, "reader.rl": 0.009}
"""CPU seconds of one core for an image (of an answer, for reader.rl), as measured for the recipe that ships."""


def _needs(config: TrainingConfig) -> Needs:
    answers = config.group if isinstance(config, RewardConfig) else 1
    hours = config.steps * config.batch * answers * SECONDS[config.kind] / 3600
    return Needs(hours=round(hours, 3), packages=("torch",), note="one CPU core; about 2 GB of memory")


KINDS: tuple[StageKind, ...] = tuple(
    StageKind(
        name,
        title,
        config,
        train,
        serve,
        needs=_needs,
        export=_export,
        forms=("reader", "series"),
        pretrains=name == "reader.pretrain",
    )
    for name, title, config, train in (
        ("reader.pretrain", "small reader: from nothing to captions", PretrainConfig, _pretrain),
        ("reader.sft", "small reader: JSON answers by adapters", FineTuneConfig, _fine_tune),
        ("reader.rl", "small reader: GRPO or GTPO on the benchmark's reward", RewardConfig, _learn_from_reward),
    )
)
