"""TRL's trainers as the recipes use them; imported when something is trained."""

from __future__ import annotations

import json
import math
from collections.abc import Callable, Mapping, Sequence
from typing import TYPE_CHECKING, Any

import torch
from datasets import Dataset
from transformers import TrainerCallback
from trl import GRPOTrainer

from peakbench_recipes.gtpo import Quirks, gtpo_advantages, gtpo_statistics, structural_masks
from peakbench_recipes.trl.configuration import GtpoConfig

if TYPE_CHECKING:
    from peakbench_recipes.data import TrainingSample, TrainingSamples

LOGGED: Mapping[str, str] = {
    "loss": "loss",
    "learning_rate": "learning_rate",
    "grad_norm": "grad_norm",
    "entropy": "token_entropy",
    "mean_token_accuracy": "token_accuracy",
    "num_tokens": "tokens",
    "reward": "reward",
    "reward_std": "reward_std",
    "frac_reward_zero_std": "flat_groups",
    "completions/mean_length": "answer_tokens",
    "completions/clipped_ratio": "cut_answers",
    "json_rate": "json_rate",
    "structure": "structure",
    "content": "content",
    "kl": "kl",
    "gtpo/conflict_share": "conflict_share",
    "gtpo/silenced_share": "silenced_share",
    "gtpo/dropped_share": "dropped_share",
}
"""What TRL logs -> its name in the step log."""


class StepLogger(TrainerCallback):  # type: ignore[misc]
    """Hands each logged step to the recipe's step log."""

    def __init__(self, log: Callable[[Mapping[str, Any]], None]) -> None:
        self._log = log

    def on_log(self, args: Any, state: Any, control: Any, logs: Mapping[str, Any] | None = None, **others: Any) -> None:
        """Write a line for the step; what is not finite is left out."""
        found = {name: (logs or {}).get(key) for key, name in LOGGED.items()}
        kept = {key: value for key, value in found.items() if isinstance(value, int | float) and math.isfinite(value)}
        if "loss" in kept:
            self._log({"step": state.global_step, **kept})


class GtpoTrainer(GRPOTrainer):  # type: ignore[misc]
    """GRPO's trainer with GTPO's weights in place of the advantages.

    They are set where the answers have just been sampled and scored, while groups are whole: the trainer shuffles rows
    after that, and sees no groups in its loss. The entropy is that of the policy that sampled, at the temperature of
    sampling, from a forward pass of its own.
    """

    gtpo: GtpoConfig

    def _generate_and_score_completions(self, inputs: list[dict[str, Any]]) -> dict[str, Any]:
        output: dict[str, Any] = super()._generate_and_score_completions(inputs)
        if self.model.training:
            output["advantages"] = self._gtpo_advantages(output)
        return output

    def _gtpo_advantages(self, output: Mapping[str, Any]) -> torch.Tensor:
        config, group = self.gtpo, self.num_generations
        ids, mask, advantages = output["completion_ids"], output["completion_mask"], output["advantages"]
        check_groups(output["prompt_ids"], advantages, group)
        entropies = self._entropies(output)
        structure = None
        if config.conflict_scope == "structure" or config.entropy_over == "values":
            structure = structural_masks(ids, mask, self._piece)
        scope = structure if config.conflict_scope == "structure" else None
        values = ~structure if structure is not None and config.entropy_over == "values" else None
        found = gtpo_statistics(
            ids, mask, advantages, entropies, group, h_max=config.h_max, conflict_scope_mask=scope, entropy_mask=values
        )
        for name in ("conflict_share", "silenced_share", "dropped_share"):
            self._metrics["train"][f"gtpo/{name}"].append(found[name])
        return gtpo_advantages(
            ids,
            mask,
            advantages,
            entropies,
            group,
            gamma=config.gamma,
            h_max=config.h_max,
            positive=config.positive,
            conflict_scope_mask=scope,
            entropy_mask=values,
            quirks=Quirks(**config.quirks.model_dump()),
            skip_flat=config.skip_flat,
        )

    def _entropies(self, output: Mapping[str, Any]) -> torch.Tensor:
        """Return the entropy at every token of the answers, in passes of the size of a training batch."""
        ids = torch.cat([output["prompt_ids"], output["completion_ids"]], 1)
        mask = torch.cat([output["prompt_mask"], output["completion_mask"]], 1)
        seen = {name: output[name] for name in VISION if name in output}
        with torch.no_grad():
            _, entropies, _ = self._get_per_token_logps_and_entropies(
                self.model,
                ids,
                mask,
                output["completion_ids"].shape[1],
                batch_size=self.args.per_device_train_batch_size,
                compute_entropy=True,
                **seen,
            )
        return torch.as_tensor(entropies).float()

    def _piece(self, token: int) -> str:
        if not hasattr(self, "_pieces"):
            self._pieces: dict[int, str] = {}
        if token not in self._pieces:
            tokenizer: Any = getattr(self.processing_class, "tokenizer", self.processing_class)
            self._pieces[token] = tokenizer.decode([token], skip_special_tokens=True)
        return self._pieces[token]


VISION = (
    "pixel_values",
    "image_grid_thw",
    "num_images",
    "pixel_attention_mask",
    "spatial_shapes",
    "num_tiles",
    "image_sizes",
    "token_type_ids",
    "mm_token_type_ids",
    "image_position_ids",
)
"""What a processor makes of images, as the trainer hands it on."""


def check_groups(prompt_ids: torch.Tensor, advantages: torch.Tensor, group: int) -> None:
    """Refuse rows that are not the answers of one prompt after the other.

    Raises:
        ValueError: a group has two prompts, or advantages whose sum is not 0.
    """
    if len(advantages) % group:
        raise ValueError(f"{len(advantages)} answers are no whole groups of {group}")
    prompts = prompt_ids.reshape(-1, group, prompt_ids.shape[1])
    sums = advantages.reshape(-1, group).sum(1)
    if bool((prompts != prompts[:, :1]).any()) or bool((sums.abs() > 1e-3).any()):
        raise ValueError("the answers of a prompt do not stand together: GTPO needs whole groups in one process")


def training_set(samples: TrainingSamples, order: Sequence[int], *, answers: bool) -> Dataset:
    """Return the samples in an order as TRL takes them: prompt, images, and the answer or the reference.

    Images are read when a row is. ``answers``: with the answer to learn; else with the reference as JSON text.
    """

    def read(rows: Mapping[str, Sequence[int]]) -> dict[str, list[Any]]:
        chosen = [samples[index] for index in rows["index"]]
        found: dict[str, list[Any]] = {
            "prompt": [conversation(samples, sample) for sample in chosen],
            "images": [sample.pictures() for sample in chosen],
        }
        if answers:
            found["completion"] = [[{"role": "assistant", "content": sample.target_text}] for sample in chosen]
        else:
            found["reference"] = [json.dumps(sample.reference) for sample in chosen]
        return found

    return Dataset.from_dict({"index": list(order)}).with_transform(read)


def conversation(samples: TrainingSamples, sample: TrainingSample) -> list[dict[str, Any]]:
    """Return the messages that a sample is asked with; the images come first, in the user's message."""
    system, user = samples.messages(sample)
    before = [] if system is None else [{"role": "system", "content": system}]
    return [*before, {"role": "user", "content": user}]
