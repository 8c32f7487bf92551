"""Processors for images alone: those of models that also take videos need torchvision, which images do not."""

from __future__ import annotations

from importlib.util import find_spec
from typing import Any

from peakbench_recipes.trl.families import Family


class NoVideos:
    """Stands where a processor of videos would; ``merge_size`` is read when tokens are counted."""

    merge_size = 1
    temporal_patch_size = 1
    model_input_names: tuple[str, ...] = ()


def images_only(kind: type[Any]) -> type[Any]:
    """Return a processor class without its processor of videos: it takes the image processor and the tokenizer."""

    def begin(self: Any, image_processor: Any, tokenizer: Any, **options: Any) -> None:
        kind.__init__(self, image_processor, tokenizer, NoVideos(), **options)

    def check(self: Any, name: str, value: Any) -> Any:
        return NoVideos if name == "video_processor" else kind.check_argument_for_proper_class(self, name, value)

    body = {"__init__": begin, "check_argument_for_proper_class": check, "__module__": kind.__module__}
    return type(kind.__name__, (kind,), body)


def open_processor(base: str, family: Family, max_pixels: int | None) -> Any:
    """Open the processor of a checkpoint, its images read by Pillow and bounded to ``max_pixels``."""
    from transformers import AutoConfig, AutoImageProcessor, AutoProcessor, AutoTokenizer
    from transformers.models.auto.processing_auto import PROCESSOR_MAPPING

    own = AutoImageProcessor.from_pretrained(base, backend="pil")
    settings = family.image_settings(dict(own.size), max_pixels)
    images = AutoImageProcessor.from_pretrained(base, backend="pil", **settings)
    if not family.video or find_spec("torchvision") is not None:
        processor = AutoProcessor.from_pretrained(base)
        processor.image_processor = images
    else:
        kind: Any = PROCESSOR_MAPPING[type(AutoConfig.from_pretrained(base))]
        known, _ = kind.get_processor_dict(base)
        left_out = ("processor_class", "image_processor", "tokenizer", "video_processor", "auto_map")
        options = {key: value for key, value in known.items() if key not in left_out}
        processor = images_only(kind)(images, AutoTokenizer.from_pretrained(base), **options)
    processor.tokenizer.padding_side = "left"
    return processor
