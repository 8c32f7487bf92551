"""Florence-2 from a checkpoint: the model with its adapters, the processor, and what a checkpoint folder holds.

A checkpoint that a stage writes is a folder with the adapters as PEFT saves them, the processor, and
``florence.json``: the base they belong to, and how images are asked. The base itself is not copied.
"""

from __future__ import annotations

import json
from collections.abc import Callable
from dataclasses import asdict, dataclass, replace
from pathlib import Path
from typing import TYPE_CHECKING, Any, TypeVar

from peakbench import ConfigError

from peakbench_recipes.florence.configuration import FlorenceConfig
from peakbench_recipes.folder import write_whole

if TYPE_CHECKING:
    import torch

DECODER_LINEARS = (
    r".*language_model\.decoder\.layers\.\d+\."
    r"(?:(?:self_attn|encoder_attn)\.(?:q_proj|k_proj|v_proj|out_proj)|fc1|fc2)"
)
"""Every linear layer of the decoder, as PEFT matches module names; the output embedding is shared and stays frozen."""

NOTE = "florence.json"
T = TypeVar("T")


@dataclass(frozen=True, slots=True)
class Checkpoint:
    """What ``florence.json`` says. ``adapter``: whether the folder holds adapters, or names the bare base."""

    base: str
    revision: str | None = None
    prompt: str | None = None
    max_target: int = 512
    adapter: bool = True

    def write(self, folder: Path) -> None:
        """Write it into a folder."""
        write_whole(folder / NOTE, json.dumps({"format": 1, **asdict(self)}, indent=2) + "\n")


def read_checkpoint(folder: Path) -> Checkpoint:
    """Read what a folder holds: a checkpoint of a stage, or a whole model as transformers saves it.

    Raises:
        ConfigError: neither.
    """
    note = folder / NOTE
    if note.is_file():
        try:
            values = json.loads(note.read_text(encoding="utf-8"))
            known = {key: values[key] for key in Checkpoint.__dataclass_fields__}
        except (ValueError, KeyError, TypeError) as error:
            raise ConfigError(f"damaged: {error!r}", where=str(note)) from error
        return Checkpoint(**known)
    if (folder / "config.json").is_file():
        return Checkpoint(base=str(folder.resolve()), adapter=False)
    raise ConfigError("no Florence-2 checkpoint here", where=str(folder), expected=f"{NOTE}, or a whole model")


def starting_checkpoint(config: FlorenceConfig, previous: Path | None) -> tuple[Checkpoint, Path | None]:
    """Return what a stage starts from, and the folder of the adapters that it goes on with, if any."""
    if previous is None:
        folder = Path(config.model)
        found = Checkpoint(str(folder.resolve()) if folder.is_dir() else config.model, config.revision, adapter=False)
    else:
        found = read_checkpoint(previous)
    start = replace(found, prompt=config.prompt, max_target=config.max_target, adapter=False)
    return start, previous if found.adapter else None


def load_processor(checkpoint: Checkpoint) -> Any:
    """Load a base's processor."""
    from transformers import Florence2Processor

    return _loaded(
        lambda: Florence2Processor.from_pretrained(checkpoint.base, revision=checkpoint.revision), checkpoint
    )


def load_base(checkpoint: Checkpoint) -> Any:
    """Load a base in single precision."""
    import torch
    from transformers import Florence2ForConditionalGeneration

    return _loaded(
        lambda: Florence2ForConditionalGeneration.from_pretrained(
            checkpoint.base, revision=checkpoint.revision, dtype=torch.float32
        ),
        checkpoint,
    )


def with_adapters(model: Any, config: FlorenceConfig, adapters: Path | None) -> Any:
    """Put adapters on a base: new ones, or those of an earlier stage to go on with. Nothing else learns.

    Raises:
        ConfigError: the earlier stage's adapters are of another rank.
    """
    from peft import LoraConfig, PeftModel, get_peft_model

    if adapters is None:
        wanted = LoraConfig(
            r=config.rank, lora_alpha=config.alpha, lora_dropout=config.dropout, target_modules=DECODER_LINEARS
        )
        return get_peft_model(model, wanted)
    found = PeftModel.from_pretrained(model, str(adapters), is_trainable=True)
    rank = found.peft_config["default"].r
    if rank != config.rank:
        raise ConfigError(
            f"the adapters that this stage goes on with have rank {rank}", where="rank", expected=str(rank)
        )
    return found


def load_merged(folder: Path) -> tuple[Any, Any, Checkpoint]:
    """Load a checkpoint to be asked: (model with its adapters merged in, processor, what the folder says)."""
    checkpoint = read_checkpoint(folder)
    model = load_base(checkpoint)
    if checkpoint.adapter:
        from peft import PeftModel

        model = PeftModel.from_pretrained(model, str(folder)).merge_and_unload()
    return model.eval(), load_processor(checkpoint), checkpoint


def chosen_device(name: str) -> torch.device:
    """Return the device: the named one, or the GPU where there is one."""
    import torch

    if name != "auto":
        return torch.device(name)
    return torch.device("cuda" if torch.cuda.is_available() else "cpu")


def parameter_counts(model: Any) -> tuple[int, int]:
    """Return (parameters that learn, all parameters)."""
    sizes = [(one.numel(), one.requires_grad) for one in model.parameters()]
    return sum(size for size, learns in sizes if learns), sum(size for size, _ in sizes)


def _loaded(load: Callable[[], T], checkpoint: Checkpoint) -> T:
    try:
        return load()
    except (OSError, ValueError) as error:
        first = str(error).strip().splitlines()[0] if str(error).strip() else type(error).__name__
        raise ConfigError(
            f"the model cannot be loaded: {first}",
            where=f"model: {checkpoint.base}",
            expected="a folder or a Hub name of a Florence-2 checkpoint in transformers' own format",
            hint="such as florence-community/Florence-2-base, downloaded before where there is no network",
        ) from error
