"""What a stage leaves behind, and what it needs to go on after a kill."""

from __future__ import annotations

import os
from collections.abc import Callable, Mapping
from pathlib import Path
from typing import Any

import torch
from peakbench import ConfigError

from peakbench_recipes.tiny.model import Reader, Sizes
from peakbench_recipes.tiny.tokens import Tokenizer

MODEL = "model.pt"
STATE = "state.pt"


def save_model(
    folder: Path, model: Reader, tokenizer: Tokenizer, *, adapter: tuple[int, float] | None, training: Mapping[str, Any]
) -> Path:
    """Write a checkpoint: sizes, vocabulary, weights, (rank, alpha) of the adapters, and how it was trained."""
    folder.mkdir(parents=True, exist_ok=True)
    content = {
        "sizes": model.sizes.dump(),
        "vocabulary": [piece.decode("latin-1") for piece in tokenizer.vocabulary],
        "weights": model.state_dict(),
        "adapter": adapter,
        "training": dict(training),
    }
    write(folder / MODEL, content)
    return folder


def load_model(folder: Path) -> tuple[Reader, Tokenizer, dict[str, Any]]:
    """Read a checkpoint: model, tokenizer, and ``{"adapter": (rank, alpha) or None, "training": ...}``.

    Raises:
        ConfigError: the folder holds no checkpoint of the small reader.
    """
    path = folder / MODEL
    if not path.is_file():
        raise ConfigError("no checkpoint of the small reader", where=str(folder), expected=f"a folder with {MODEL}")
    content = torch.load(path, weights_only=True)
    tokenizer = Tokenizer(tuple(piece.encode("latin-1") for piece in content["vocabulary"]))
    model = Reader(Sizes.load(content["sizes"]))
    adapter = content["adapter"]
    if adapter is not None:
        model.adapt(*adapter)
    model.load_state_dict(content["weights"])
    model = model.to(memory_format=torch.channels_last)
    return model.eval(), tokenizer, {"adapter": adapter, "training": content["training"]}


class State:
    """The state of a training on disk: whatever the parts give, and the steps that are done."""

    def __init__(self, folder: Path, parts: Mapping[str, tuple[Callable[[], Any], Callable[[Any], Any]]]) -> None:
        self.path = folder / STATE
        self.parts = parts

    def load(self) -> int:
        """Put the parts back and return how many steps are done; 0 where nothing was saved."""
        if not self.path.is_file():
            return 0
        content = torch.load(self.path, weights_only=True)
        for name, (_, restore) in self.parts.items():
            restore(content[name])
        return int(content["step"])

    def save(self, step: int) -> None:
        """Write the parts, as they are after ``step`` steps."""
        write(self.path, {"step": step, **{name: collect() for name, (collect, _) in self.parts.items()}})

    def remove(self) -> None:
        """The training is over."""
        self.path.unlink(missing_ok=True)


def write(path: Path, content: Any) -> None:
    """Save a file whole or not at all."""
    part = path.with_name(path.name + ".part")
    with part.open("wb") as opened:
        torch.save(content, opened)
        opened.flush()
        os.fsync(opened.fileno())
    part.replace(path)
