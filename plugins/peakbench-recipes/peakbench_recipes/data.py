"""What a recipe trains on: the samples of any PeakBench data set, as images with target texts."""

from __future__ import annotations

import json
from collections import Counter
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass, field, replace
from io import BytesIO
from typing import TYPE_CHECKING, Any, overload

from peakbench import ConfigError, DataError, DataProblem, ImageError, ImageSource, Sample, Task
from peakbench.builtins import open_registry
from peakbench.datasets import open_dataset
from peakbench.images import load

from peakbench_recipes.configuration import CurriculumConfig, DataConfig, DistilConfig
from peakbench_recipes.curriculum import read_difficulties, training_order
from peakbench_recipes.distillation import agreements, check_images, read_teacher

if TYPE_CHECKING:
    import numpy as np
    from numpy.typing import NDArray
    from PIL.Image import Image as Picture

MAX_PIXELS = 40_000_000
"""Pixels of one training image that are decoded at most."""


@dataclass(frozen=True, slots=True)
class TrainingSample:
    """One sample to learn from.

    ``images``: where its images are. ``target_text``: the answer to learn: ``reference`` as JSON in the task's order
    (or a teacher's text as it stands, where it holds no object). ``reference``: the values that an answer is rewarded
    by, or the text of a text task; None where nobody knows them. ``level``: easy, medium or hard, None where
    the data set does not say. ``difficulty``: what a curriculum sorts by. ``prompt``: the sample's own prompt, None
    for the task's.
    """

    id: str
    images: tuple[ImageSource, ...]
    target_text: str
    reference: Any
    level: str | None = None
    difficulty: float = 0.0
    prompt: str | None = None
    metadata: Mapping[str, Any] = field(default_factory=dict)

    def picture(self) -> Picture:
        """Decode the first image, as RGB.

        Raises:
            ImageError: the sample has no image, or one that cannot be read.
        """
        if not self.images:
            raise ImageError("the sample has no image", where=self.id)
        return decode(load(self.images[0]).data or b"", where=self.id)

    def pictures(self) -> list[Picture]:
        """Decode all images, as RGB."""
        return [decode(load(image).data or b"", where=self.id) for image in self.images]

    def array(self) -> NDArray[np.uint8]:
        """Return the first image as an array of shape (height, width, 3), 0 to 255."""
        import numpy as np

        return np.asarray(self.picture(), dtype=np.uint8)


def decode(data: bytes, *, where: str = "image", max_pixels: int = MAX_PIXELS) -> Picture:
    """Decode an image as RGB; transparency lies on white.

    Raises:
        ImageError: it cannot be decoded, or has more than ``max_pixels`` pixels.
    """
    from PIL import Image, UnidentifiedImageError

    try:
        with Image.open(BytesIO(data)) as opened:
            if opened.width * opened.height > max_pixels:
                raise ImageError(
                    f"the image has {opened.width} x {opened.height} pixels",
                    where=where,
                    expected=f"at most {max_pixels} pixels",
                )
            if opened.mode in ("RGBA", "LA", "PA") or "transparency" in opened.info:
                layer = opened.convert("RGBA")
                white = Image.new("RGBA", layer.size, "white")
                return Image.alpha_composite(white, layer).convert("RGB")
            return opened.convert("RGB")
    except (UnidentifiedImageError, OSError, ValueError, SyntaxError, Image.DecompressionBombError) as error:
        raise ImageError(f"the image cannot be decoded: {error}", where=where) from None


@dataclass(frozen=True, eq=False)
class TrainingSamples(Sequence[TrainingSample]):
    """The samples of a stage, in the order of the data set, and how they came about.

    ``task``: what they are asked. ``spec``: the data set that was opened. ``dropped``: reasons why samples were left
    out, with their numbers.
    """

    items: tuple[TrainingSample, ...]
    task: Task
    spec: str
    curriculum: CurriculumConfig | None = None
    dropped: Mapping[str, int] = field(default_factory=dict)

    def __len__(self) -> int:
        return len(self.items)

    @overload
    def __getitem__(self, index: int) -> TrainingSample: ...
    @overload
    def __getitem__(self, index: slice) -> tuple[TrainingSample, ...]: ...
    def __getitem__(self, index: int | slice) -> TrainingSample | tuple[TrainingSample, ...]:
        return self.items[index]

    def __iter__(self) -> Iterator[TrainingSample]:
        return iter(self.items)

    def order(self, *, seed: int, epochs: float = 1) -> NDArray[np.int64]:
        """Return the order in which a training of so many epochs meets the samples: see :func:`training_order`."""
        difficulties = [sample.difficulty for sample in self.items]
        return training_order(difficulties, self.curriculum, seed=seed, epochs=epochs)

    def messages(self, sample: TrainingSample) -> tuple[str | None, str]:
        """Return the system text (or None) and the user text that a sample is asked with."""
        prompt = self.task.prompt
        return prompt.system, prompt.user if sample.prompt is None else sample.prompt


def target_text(reference: Any, task: Task) -> str:
    """Write a reference as the answer to learn: one JSON object, the task's keys in the task's order.

    >>> task = Task.model_validate({"id": "t", "prompt": {"user": "?"}, "fields": {"color": {}, "size": {}}})
    >>> target_text({"size": "m", "more": 1}, task)
    '{"color": null, "size": "m"}'
    """
    if task.answer == "text":
        return str(reference)
    return json.dumps({key: reference.get(key) for key in task.keys}, ensure_ascii=False)


def training_samples(config: DataConfig, *, task: str | Task = "garment") -> TrainingSamples:
    """Open the data of a stage.

    Every sample needs an image, and a reference from the data set or, with ``distil``, an answer of the teacher; those
    without are left out there, and counted in ``dropped``. Images are not decoded here.

    Raises:
        ConfigError: the test split, on which nothing is ever trained; an unknown task.
        DataError: every problem of the data set, or no sample left.
    """
    spec = config.spec
    if _is_test(spec):
        raise ConfigError("the test split is for measuring, not for training", where="data: split", expected="train")
    registry = open_registry()
    asked = task if isinstance(task, Task) else registry.task(task)
    problems: list[DataProblem] = []
    opened: list[Sample] = []
    dropped: Counter[str] = Counter()
    for item in open_dataset(spec, readers=registry.readers):
        if isinstance(item, DataProblem):
            problems.append(item)
        elif config.level != "mixed" and _level(item) != config.level:
            dropped[f"not {config.level}"] += 1
        elif not item.images:
            problems.append(DataProblem(item.where or item.id, "no image to learn from"))
        else:
            opened.append(item)
            if len(opened) == config.n:
                break
    if config.distil is not None:
        kept = _taught(opened, config.distil, asked, registry.nulls_of(asked), dropped)
    else:
        problems += [
            DataProblem(sample.where or sample.id, "no reference to learn from")
            for sample in opened
            if not _is_reference(sample.reference, asked)
        ]
        kept = [] if problems else [_made(sample, asked, sample.reference) for sample in opened]
    if problems:
        raise DataError(f"{len(problems)} problems in the training data", problems=problems[:1000], where=spec)
    if not kept:
        reasons = "; ".join(f"{reason}: {count}" for reason, count in dropped.items())
        raise DataError("no sample is left to train on", where=spec, hint=reasons or None)
    if config.curriculum is not None:
        ids, levels = [sample.id for sample in kept], [sample.level for sample in kept]
        difficulties = read_difficulties(config.curriculum, ids, levels)
        kept = [replace(sample, difficulty=one) for sample, one in zip(kept, difficulties, strict=True)]
    return TrainingSamples(tuple(kept), asked, spec, config.curriculum, dict(dropped))


def _is_test(spec: str) -> bool:
    return "split=test" in spec.partition("?")[2].split("&") or spec.endswith("#test")


def _is_reference(reference: Any, task: Task) -> bool:
    return isinstance(reference, Mapping) if task.answer == "json" else isinstance(reference, str)


def _level(sample: Sample) -> str | None:
    level = sample.metadata.get("level")
    return level if isinstance(level, str) else None


def _made(sample: Sample, task: Task, reference: Any, text: str | None = None) -> TrainingSample:
    if isinstance(reference, Mapping):
        reference = {key: reference.get(key) for key in task.keys}
    return TrainingSample(
        id=sample.id,
        images=sample.images,
        target_text=target_text(reference, task) if text is None else text,
        reference=reference,
        level=_level(sample),
        prompt=sample.prompt,
        metadata=sample.metadata,
    )


def _taught(
    samples: Sequence[Sample], config: DistilConfig, task: Task, nulls: frozenset[str], dropped: Counter[str]
) -> list[TrainingSample]:
    """Put the teacher's answers in the place of the references, where they pass the filters."""
    answers = read_teacher(config.teacher, task, nulls)
    check_images(config.teacher, samples)
    known = [sample for sample in samples if sample.id in answers.labels]
    agreed: dict[str, float] = {}
    if config.min_agreement > 0:
        pairs = [(one.id, one.reference) for one in known if isinstance(one.reference, Mapping)]
        scores = agreements([answers.labels[name] for name, _ in pairs], [reference for _, reference in pairs], task)
        agreed = {name: score for (name, _), score in zip(pairs, scores, strict=True)}
    kept: list[TrainingSample] = []
    for sample in samples:
        label = answers.labels.get(sample.id)
        if label is None:
            text = answers.unread.get(sample.id)
            if text is None:
                dropped["not answered by the teacher"] += 1
            elif config.parsed_only or config.min_agreement > 0:
                dropped["an answer without an object"] += 1
            else:
                kept.append(_made(sample, task, sample.reference, text))
        elif agreed.get(sample.id, 0.0) < config.min_agreement - 1e-9:
            dropped["too far from the reference"] += 1
        elif sum(value is None for value in label.values()) > config.max_null * len(label) + 1e-9:
            dropped["too many fields null"] += 1
        else:
            kept.append(_made(sample, task, label))
    return kept
