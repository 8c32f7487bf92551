"""A checkpoint of these stages: the model it rests on, and the adapter that was trained.

The folder has ``checkpoint.json`` (base model, how images are bounded, task) and, once something is trained,
``adapter/`` as PEFT writes it. The base model's own weights are not copied.
"""

from __future__ import annotations

import json
import os
import shutil
from dataclasses import dataclass, replace
from pathlib import Path
from typing import Any

from peakbench.errors import ConfigError

from peakbench_recipes.trl.configuration import ModelStageConfig
from peakbench_recipes.trl.families import Family, family_of_type
from peakbench_recipes.trl.processors import open_processor

NOTE = "checkpoint.json"
ADAPTER = "adapter"
FORMAT = 1


@dataclass(frozen=True, slots=True)
class Checkpoint:
    """What is needed to open a model of these stages.

    ``base``: a checkpoint on the Hub, or a folder. ``adapter``: the folder of the adapter, None for the base as it is.
    ``max_pixels``: see ``ModelStageConfig``. ``system``: the system text that it was trained with.
    """

    base: str
    adapter: Path | None = None
    max_pixels: int | None = None
    system: str | None = None
    precision: str = "auto"

    def write(self, folder: Path) -> Path:
        """Write ``checkpoint.json``; a base that is a folder is noted relative to this one, so both can be moved."""
        folder.mkdir(parents=True, exist_ok=True)
        local = Path(self.base).is_dir()
        note = {
            "format": FORMAT,
            "base": os.path.relpath(self.base, folder) if local else self.base,
            "local": local,
            "adapter": self.adapter is not None,
            "max_pixels": self.max_pixels,
            "system": self.system,
            "precision": self.precision,
        }
        part = folder / f"{NOTE}.part"
        part.write_text(json.dumps(note, indent=2) + "\n", encoding="utf-8")
        part.replace(folder / NOTE)
        return folder

    @classmethod
    def read(cls, folder: Path) -> Checkpoint:
        """Read a checkpoint folder; a folder of Hugging Face (``config.json``) is a base without an adapter.

        Raises:
            ConfigError: it is neither.
        """
        path = folder / NOTE
        if not path.is_file() and (folder / "config.json").is_file():
            return cls(str(folder))
        try:
            note = json.loads(path.read_text(encoding="utf-8"))
            base = str((folder / note["base"]).resolve()) if note["local"] else str(note["base"])
            if note["format"] != FORMAT:
                raise ConfigError(f"format {note['format']}", where=str(path), expected=f"format {FORMAT}")
            return cls(
                base,
                folder / ADAPTER if note["adapter"] else None,
                note["max_pixels"],
                note["system"],
                note["precision"],
            )
        except (OSError, ValueError, KeyError, TypeError) as error:
            raise ConfigError(
                f"no checkpoint of a model: {error}", where=str(folder), expected=f"{NOTE}, or a model's config.json"
            ) from error


@dataclass(frozen=True, slots=True)
class Opened:
    """A model and what it reads with."""

    model: Any
    processor: Any
    family: Family


def starting_checkpoint(config: ModelStageConfig, previous: Path | None, base: Path, system: str | None) -> Checkpoint:
    """Return the checkpoint that a stage starts from: the one before, or the base model that its configuration names.

    Args:
        config: of the stage.
        previous: the checkpoint of the stage before.
        base: where a tiny model is, or is to be made.
        system: the system text of the task.

    Raises:
        ConfigError: neither is there, or both are and differ.
    """
    if previous is not None:
        found = Checkpoint.read(previous)
        named = config.model
        if named is not None and not named.startswith("tiny:") and named != found.base:
            raise ConfigError(
                f"the stage starts from {found.base}, and names {named}", where="model", hint="leave 'model' out"
            )
        return replace(found, max_pixels=config.max_pixels, system=system, precision=config.precision)
    if config.model is None:
        raise ConfigError(
            "the first stage names no model",
            where="model",
            expected="Qwen/Qwen3-VL-2B-Instruct, a folder, tiny:qwen3-vl",
        )
    named = str(base) if config.model.startswith("tiny:") else config.model
    return Checkpoint(named, None, config.max_pixels, system, config.precision)


def open_checkpoint(checkpoint: Checkpoint, *, trainable: bool = False) -> Opened:
    """Open base model, processor and, where there is one, adapter."""
    import torch
    from transformers import AutoConfig, AutoModelForImageTextToText

    cuda = torch.cuda.is_available()
    half = checkpoint.precision == "bfloat16" or (checkpoint.precision == "auto" and cuda)
    chosen = family_of_type(AutoConfig.from_pretrained(checkpoint.base).model_type)
    model = AutoModelForImageTextToText.from_pretrained(
        checkpoint.base, dtype=torch.bfloat16 if half else torch.float32
    )
    _scale_logits(model)
    processor = open_processor(checkpoint.base, chosen, checkpoint.max_pixels)
    if hasattr(model.config, "image_grid_pinpoints"):  # the model finds an image's tiles by a list of its own
        model.config.image_grid_pinpoints = processor.image_processor.image_grid_pinpoints
    if checkpoint.adapter is not None:
        from peft import PeftModel

        model = PeftModel.from_pretrained(model, checkpoint.adapter, is_trainable=trainable)
    model.to("cuda" if cuda else "cpu")
    return Opened(model, processor, chosen)


def _scale_logits(model: Any) -> None:
    """Divide logits by the decoder's ``logits_scaling`` where the class around it does not, as LLaVA-NeXT's.

    TRL reads the head's weights and scales by itself: what samples would not be what is trained.
    """
    import torch

    scaling = getattr(model.config.get_text_config(), "logits_scaling", 1.0)
    if scaling == 1.0:
        return
    head = model.get_output_embeddings()
    said: list[Any] = []
    listening = head.register_forward_hook(lambda module, inputs, logits: said.append(logits))
    with torch.no_grad():
        told = model(inputs_embeds=model.get_input_embeddings().weight.new_ones(1, 1, head.in_features)).logits
    listening.remove()
    if torch.equal(told, said[0]):
        head.register_forward_hook(lambda module, inputs, logits: logits / scaling)


def save_checkpoint(checkpoint: Checkpoint, model: Any, folder: Path) -> Path:
    """Write the adapter of a trained model; the folder is whole, or not there."""
    part = folder.with_name(f"{folder.name}.part")
    shutil.rmtree(part, ignore_errors=True)
    shutil.rmtree(folder, ignore_errors=True)
    model.save_pretrained(part / ADAPTER, selected_adapters=["default"])
    replace(checkpoint, adapter=part / ADAPTER).write(part)
    return part.replace(folder)
