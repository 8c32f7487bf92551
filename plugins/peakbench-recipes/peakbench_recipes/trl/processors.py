"""Processors for images alone: those of models that also take videos need torchvision, which images do not."""

from __future__ import annotations

import inspect
from importlib.util import find_spec
from typing import Any

from peakbench_recipes.trl.families import Family


class NoVideos:
    """Stands where a processor of videos would: what a processor asks it for before there is a video."""

    num_frames: int | None = None
    fps: float | None = None


def images_only(kind: type[Any]) -> type[Any]:
    """Return a processor class without its processor of videos: it takes the image processor and the tokenizer."""
    taken = inspect.signature(kind.__init__)

    def begin(self: Any, image_processor: Any, tokenizer: Any, **options: Any) -> None:
        names = kind.__init__.__globals__
        if "num2words" in names:  # SmolVLM's does not begin without it, and counts frames with it
            names["num2words"] = names["num2words"] or str
        kind.__init__(self, image_processor, tokenizer, None, **options)

    # the rest is what the processor saves of itself
    kept = [one for name, one in taken.parameters.items() if name != "video_processor"]
    vars(begin)["__signature__"] = taken.replace(parameters=kept)
    return type(kind.__name__, (kind,), {"__init__": begin, "__module__": kind.__module__, "video_processor": NoVideos})


def open_processor(base: str, family: Family, max_pixels: int | None) -> Any:
    """Open the processor of a checkpoint, its images read by Pillow and bounded to ``max_pixels``."""
    from transformers import AutoConfig, AutoImageProcessor, AutoProcessor, AutoTokenizer
    from transformers.models.auto.processing_auto import PROCESSOR_MAPPING

    own = AutoImageProcessor.from_pretrained(base, backend="pil")
    settings = family.image_settings(dict(own.size), max_pixels, getattr(own, "image_grid_pinpoints", ()))
    images = AutoImageProcessor.from_pretrained(base, backend="pil", **settings)
    if all(find_spec(package) is not None for package in family.video):
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
