"""Images and references of a stage, in memory, and batches that depend on nothing but seed and step."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from typing import TYPE_CHECKING, Any

import numpy as np
import torch
from peakbench import DataError
from torch import Tensor

from peakbench_recipes.data import training_samples
from peakbench_recipes.tiny.model import Reader, pixels
from peakbench_recipes.tiny.tokens import Phrase, Reference

if TYPE_CHECKING:
    from numpy.typing import NDArray
    from peakbench import Task

    from peakbench_recipes.configuration import DataConfig


@dataclass(frozen=True, eq=False)
class Images:
    """Samples to learn from. ``pixels``: bytes (n, size, size, 3); ``order``: the sequence a curriculum asks for."""

    pixels: NDArray[np.uint8]
    references: list[Reference]
    targets: list[str]
    order: Any = None

    def __len__(self) -> int:
        return len(self.references)


def load_images(config: DataConfig, *, size: int, task: str | Task = "garment") -> Images:
    """Open the data of a stage; every image is scaled to fit a square of ``size`` and stands on grey.

    Raises:
        DataError: a sample without an object as its reference.
    """
    samples = training_samples(config, task=task)
    images = np.empty((len(samples), size, size, 3), dtype=np.uint8)
    references: list[Reference] = []
    for place, sample in enumerate(samples):
        if not isinstance(sample.reference, dict):
            raise DataError("the reference is no object", where=sample.id)
        images[place] = letterbox(sample.picture(), size)
        references.append(sample.reference)
    order = samples if config.curriculum is not None else None
    return Images(images, references, [sample.target_text for sample in samples], order)


def letterbox(picture: Any, size: int) -> NDArray[np.uint8]:
    """An RGB picture as bytes (size, size, 3): scaled to fit, the rest grey."""
    from PIL import Image

    if picture.size != (size, size):
        scale = size / max(picture.size)
        fitted = picture.resize([max(1, round(side * scale)) for side in picture.size], Image.Resampling.BILINEAR)
        picture = Image.new("RGB", (size, size), (128, 128, 128))
        picture.paste(fitted, ((size - fitted.width) // 2, (size - fitted.height) // 2))
    return np.asarray(picture, dtype=np.uint8)


class Batches:
    """Which samples each step sees: every sample once before one comes again, in an order of its own each time.

    ``weights``: samples are drawn with these chances instead.
    """

    def __init__(
        self, images: Images, batch: int, steps: int, seed: int, *, weights: NDArray[np.float64] | None = None
    ) -> None:
        self.batch = batch
        total = batch * steps
        if weights is not None:
            draw = np.random.default_rng((seed, 2))
            self._order = draw.choice(len(images), total, p=weights / weights.sum())
        elif images.order is not None:
            self._order = np.resize(images.order.order(seed=seed, epochs=total / len(images)), total)
        else:
            rounds = -(-total // len(images))
            draws = [np.random.default_rng((seed, turn)).permutation(len(images)) for turn in range(rounds)]
            self._order = np.concatenate(draws)[:total]

    def __getitem__(self, step: int) -> NDArray[np.int64]:
        return np.sort(self._order[step * self.batch : (step + 1) * self.batch])


def varied(images: Tensor, *, shift: int, contrast: float, brightness: float, generator: torch.Generator) -> Tensor:
    """Normalised images, moved by up to ``shift`` pixels and changed in contrast and brightness."""
    across, down = torch.randint(-shift, shift + 1, (2,), generator=generator).tolist()
    moved = pixels(torch.roll(images, (down, across), (1, 2)))
    shape = (len(images), 1, 1, 1)
    factor = 1 + contrast * torch.randn(shape, generator=generator)
    return moved * factor + brightness * torch.randn(shape, generator=generator)


@torch.no_grad()  # type: ignore[untyped-decorator]
def features(model: Reader, images: NDArray[np.uint8], *, batch: int = 64) -> Tensor:
    """The image tokens of every image in half precision: the stem is frozen, so they are made once."""
    model.eval()
    made = [
        model.see(pixels(torch.from_numpy(images[first : first + batch]))).half()
        for first in range(0, len(images), batch)
    ]
    return torch.cat(made)


def phrases(task: Task) -> dict[str, Phrase]:
    """How the task says each of its fields in prose."""
    return {
        key: Phrase.of(one.sentence or f"The {key} is {{value}}.", one.absent or f"No {key} is visible.")
        for key, one in task.fields.items()
    }


def padded(rows: Sequence[Sequence[int]], fill: int) -> Tensor:
    """Rows of ids as one tensor, filled up at their ends."""
    length = max(len(row) for row in rows)
    return torch.tensor([[*row, *[fill] * (length - len(row))] for row in rows])
