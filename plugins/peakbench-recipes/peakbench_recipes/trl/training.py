"""The stages: what is read from the configuration, trained by TRL, and kept."""

from __future__ import annotations

import math
import shutil
from collections.abc import Callable, Mapping
from dataclasses import fields
from pathlib import Path
from typing import Any

from peakbench import Task
from peakbench.errors import ConfigError, nearest

from peakbench_recipes.data import TrainingSamples, training_samples
from peakbench_recipes.stages import StageContext
from peakbench_recipes.trl.checkpoints import (
    Checkpoint,
    Opened,
    open_checkpoint,
    save_checkpoint,
    starting_checkpoint,
)
from peakbench_recipes.trl.configuration import TINY, GtpoConfig, ModelStageConfig, RlConfig, SftConfig

CHECKPOINT = "checkpoint"
STATE = "trainer"
TINY_FOLDER = "tiny"


def make_base(context: StageContext) -> Path:
    """Write the checkpoint of the model before any training."""
    config: ModelStageConfig = context.config
    task = _task(config)
    made = _start(context, task)
    return made.write(context.folder / "base")


def train_sft(context: StageContext) -> Path:
    """Fine-tune on answers; the loss is over the answer's tokens."""
    from trl import SFTConfig, SFTTrainer

    from peakbench_recipes.trl.trainers import StepLogger, training_set

    config: SftConfig = context.config
    task, samples = _data(config)
    start = _start(context, task)
    opened = _open(start, config, context.seed)
    rows = config.batch * config.accumulation
    steps = config.steps or max(1, math.ceil(len(samples) * config.epochs / rows))
    order = samples.order(seed=context.seed, epochs=steps * rows / len(samples))[: steps * rows]
    arguments = _common(context, config, steps) | {
        "gradient_accumulation_steps": config.accumulation,
        "max_length": None,  # cutting a prompt would cut its image
        "completion_only_loss": True,
        "train_sampling_strategy": "sequential",
    }
    context.say(f"{steps} steps of {rows} samples; {_trainable(opened)}")
    trainer = SFTTrainer(
        model=opened.model,
        args=_arguments(SFTConfig, arguments, config),
        train_dataset=training_set(samples, order.tolist(), answers=True),
        processing_class=opened.processor,
        callbacks=[StepLogger(context.log)],
    )
    return _run(trainer, context, start)


def train_grpo(context: StageContext) -> Path:
    """Optimise the policy with GRPO on the benchmark's reward."""
    from trl import GRPOTrainer

    return _train_rl(context, GRPOTrainer)


def train_gtpo(context: StageContext) -> Path:
    """Optimise the policy with GTPO on the benchmark's reward."""
    from peakbench_recipes.trl.trainers import GtpoTrainer

    return _train_rl(context, GtpoTrainer)


def open_rl_trainer(
    context: StageContext, trainer_class: type[Any], reward: Callable[..., list[float]], samples: TrainingSamples
) -> tuple[Any, Checkpoint]:
    """Return a trainer of GRPO or GTPO that is ready to train, and the checkpoint that it starts from."""
    from trl import GRPOConfig

    from peakbench_recipes.trl.trainers import StepLogger, training_set

    config: RlConfig = context.config
    start = _start(context, samples.task)
    opened = _open(start, config, context.seed)
    answers = config.prompts * config.rollouts
    needed = config.steps * config.prompts
    order = samples.order(seed=context.seed, epochs=needed / len(samples))[:needed]
    arguments = _common(context, config, config.steps) | {
        "gradient_accumulation_steps": answers // config.batch,
        "steps_per_generation": answers // config.batch,
        "num_generations": config.rollouts,
        "num_iterations": 1,
        "max_completion_length": config.max_answer,
        "temperature": config.temperature,
        "top_k": 0,
        "beta": config.beta,
        "epsilon": config.clip,
        "loss_type": "grpo",
        "scale_rewards": "group" if config.scale_rewards else "none",
        "shuffle_dataset": False,
        "mask_truncated_completions": False,
    }
    context.say(f"{config.steps} steps of {config.prompts} prompts x {config.rollouts} answers; {_trainable(opened)}")
    trainer = trainer_class(
        model=opened.model,
        reward_funcs=reward,
        args=_arguments(GRPOConfig, arguments, config),
        train_dataset=training_set(samples, order.tolist(), answers=False),
        processing_class=opened.processor,
        callbacks=[StepLogger(context.log)],
    )
    if isinstance(config, GtpoConfig):
        trainer.gtpo = config
    return trainer, start


def _train_rl(context: StageContext, trainer_class: type[Any]) -> Path:
    from peakbench.rewards import Reward

    from peakbench_recipes.rewards import AnswerReward

    config: RlConfig = context.config
    task, samples = _data(config)
    reward = AnswerReward(Reward(task, **config.reward.model_dump()))
    trainer, start = open_rl_trainer(context, trainer_class, reward, samples)
    return _run(trainer, context, start)


def _run(trainer: Any, context: StageContext, start: Checkpoint) -> Path:
    from transformers import PrinterCallback

    state = _last_state(context.folder / STATE) if context.resume else None
    if state is not None:
        context.say(f"going on from {state.name}")
    trainer.remove_callback(PrinterCallback)  # the step log has it
    trainer.train(resume_from_checkpoint=None if state is None else str(state))
    made = save_checkpoint(start, trainer.model, context.folder / CHECKPOINT)
    shutil.rmtree(context.folder / STATE, ignore_errors=True)
    return made


def _last_state(folder: Path) -> Path | None:
    """Return the newest state that was written whole; its ``trainer_state.json`` is written last."""
    found = [path.parent for path in folder.glob("checkpoint-*/trainer_state.json")]
    return max(found, key=lambda path: int(path.name.partition("-")[2]), default=None)


def _task(config: ModelStageConfig) -> Task:
    from peakbench.builtins import open_registry

    return open_registry().task(config.task)


def _data(config: ModelStageConfig) -> tuple[Task, TrainingSamples]:
    samples = training_samples(config.data, task=config.task)
    return samples.task, samples


def _start(context: StageContext, task: Task) -> Checkpoint:
    """Return what the stage starts from; a tiny model is made the first time."""
    config: ModelStageConfig = context.config
    folder = context.folder / TINY_FOLDER
    start = starting_checkpoint(config, context.previous, folder, task.prompt.system)
    if start.base == str(folder) and not (folder / "config.json").is_file():
        import json

        from peakbench_recipes.trl.tiny import make

        assert config.model is not None
        frame = json.dumps(dict.fromkeys(task.keys))
        part = folder.with_name(f"{folder.name}.part")
        shutil.rmtree(part, ignore_errors=True)
        make(
            config.model.removeprefix(TINY),
            part,
            [task.prompt.system or "", task.prompt.user, frame],
            seed=context.seed,
        )
        part.replace(folder)
    return start


def _open(start: Checkpoint, config: ModelStageConfig, seed: int) -> Opened:
    """Open the model with an adapter to train: the one before, or a new one."""
    from transformers import set_seed

    set_seed(seed)  # a new adapter begins at random
    opened = open_checkpoint(start, trainable=True)
    if start.adapter is not None:
        return opened
    from peft import LoraConfig, get_peft_model

    lora = LoraConfig(
        r=config.lora.r,
        lora_alpha=config.lora.alpha,
        lora_dropout=config.lora.dropout,
        target_modules=config.lora.targets or opened.family.targets,
        task_type="CAUSAL_LM",
    )
    return Opened(get_peft_model(opened.model, lora), opened.processor, opened.family)


def _trainable(opened: Opened) -> str:
    trained = sum(one.numel() for one in opened.model.parameters() if one.requires_grad)
    total = sum(one.numel() for one in opened.model.parameters())
    return f"{trained:,} of {total:,} parameters are trained"


def _common(context: StageContext, config: ModelStageConfig, steps: int) -> dict[str, Any]:
    import torch

    cuda = torch.cuda.is_available()
    half = config.precision == "bfloat16" or (config.precision == "auto" and cuda)
    return {
        "output_dir": str(context.folder / STATE),
        "max_steps": steps,
        "per_device_train_batch_size": config.batch,
        "learning_rate": config.learning_rate,
        "lr_scheduler_type": config.schedule,
        "warmup_steps": round(steps * config.warmup),
        "weight_decay": config.weight_decay,
        "max_grad_norm": config.max_grad_norm,
        "logging_strategy": "steps",
        "logging_steps": config.log_every,
        "save_strategy": "steps",
        "save_steps": config.save_every,
        "save_total_limit": 2,
        "seed": context.seed,
        "data_seed": context.seed,
        "bf16": half,
        "use_cpu": not cuda,
        "dataloader_pin_memory": cuda,
        "gradient_checkpointing": config.gradient_checkpointing,
        "remove_unused_columns": False,
        "report_to": [],
        "disable_tqdm": True,
    }


def _arguments(kind: type[Any], arguments: Mapping[str, Any], config: ModelStageConfig) -> Any:
    known = [one.name for one in fields(kind) if one.init]
    for name in config.arguments:
        if name not in known:
            raise ConfigError(f"TRL has no argument '{name}'", where="arguments", hint=nearest(name, known))
    return kind(**{**arguments, **config.arguments})
