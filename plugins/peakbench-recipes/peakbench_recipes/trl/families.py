"""The families of models that the recipes know: what they are called, what is trained of them, how they see."""

from __future__ import annotations

import re
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field
from math import prod
from typing import Any

from peakbench.errors import ConfigError, nearest

DECODER_LINEARS = (
    r".*\.(?:language_model|text_model)\..*layers\.\d+\..*\.(?:q_proj|k_proj|v_proj|o_proj|gate_proj|up_proj|down_proj)"
)
"""Full names of the linear layers of the language decoder, in every family; nothing of the vision tower."""


@dataclass(frozen=True, slots=True)
class Family:
    """One architecture.

    Attributes:
        name: as recipes name it.
        types: the ``model_type`` of its checkpoints.
        models: checkpoints on the Hugging Face Hub -> billions of parameters.
        targets: regular expression over the full names of the modules that get an adapter.
        video: packages that its processor of videos needs, where it has one; images do not need them.
        settings: for its image processor.
        by_area: its image processor bounds the pixels of an image; the others cut or shrink it to tiles of one size.
        tiles: how many of these its image processor makes of an image at most, where that can be bounded.
    """

    name: str
    types: tuple[str, ...]
    models: Mapping[str, float]
    targets: str = DECODER_LINEARS
    video: tuple[str, ...] = ()
    settings: Mapping[str, Any] = field(default_factory=dict)
    by_area: bool = False
    tiles: int | None = None

    def image_settings(
        self, own: Mapping[str, int], max_pixels: int | None, grids: Sequence[Sequence[int]] = ()
    ) -> dict[str, Any]:
        """Return settings of the image processor that bound an image to ``max_pixels`` pixels, where it can be bounded.

        Args:
            own: the ``size`` of the checkpoint's image processor, which is never exceeded.
            max_pixels: None for the checkpoint's own.
            grids: height and width of the grids of tiles that it lays an image out on; the smallest stays.

        >>> family("qwen3-vl").image_settings({"shortest_edge": 65536, "longest_edge": 16777216}, 512 * 512)
        {'size': {'shortest_edge': 65536, 'longest_edge': 262144}}
        >>> family("idefics3").image_settings({"longest_edge": 1456}, 512 * 512)
        {'do_image_splitting': False}
        >>> family("internvl").image_settings({"height": 448, "width": 448}, 1024 * 1024)
        {'max_patches': 5}
        """
        found = dict(self.settings)
        if max_pixels is not None and self.by_area:
            longest = min(own["longest_edge"], max_pixels)
            found["size"] = {"shortest_edge": min(own["shortest_edge"], longest), "longest_edge": longest}
        if max_pixels is not None and self.tiles is not None:
            found["max_patches"] = min(max(1, max_pixels // (own["height"] * own["width"])), self.tiles)
        if max_pixels is not None and grids:
            found["image_grid_pinpoints"] = [one for one in grids if prod(one) <= max_pixels] or [min(grids, key=prod)]
        return found


FAMILIES: tuple[Family, ...] = (
    Family(
        "qwen3-vl",
        ("qwen3_vl",),
        {"Qwen/Qwen3-VL-2B-Instruct": 2.1, "Qwen/Qwen3-VL-4B-Instruct": 4.4, "Qwen/Qwen3-VL-8B-Instruct": 8.8},
        video=("torchvision",),
        by_area=True,
    ),
    Family(
        "qwen2.5-vl",
        ("qwen2_5_vl",),
        {"Qwen/Qwen2.5-VL-3B-Instruct": 3.8, "Qwen/Qwen2.5-VL-7B-Instruct": 8.3},
        video=("torchvision",),
        by_area=True,
    ),
    Family(
        "idefics3",
        ("idefics3",),
        {
            "HuggingFaceTB/SmolVLM-256M-Instruct": 0.26,
            "HuggingFaceTB/SmolVLM-500M-Instruct": 0.51,
            "HuggingFaceTB/SmolVLM-Instruct": 2.2,
            "HuggingFaceM4/Idefics3-8B-Llama3": 8.5,
        },
        settings={"do_image_splitting": False},
    ),
    Family(
        "smolvlm",
        ("smolvlm",),
        {
            "HuggingFaceTB/SmolVLM2-256M-Video-Instruct": 0.26,
            "HuggingFaceTB/SmolVLM2-500M-Video-Instruct": 0.51,
            "HuggingFaceTB/SmolVLM2-2.2B-Instruct": 2.2,
        },
        video=("num2words", "torchvision"),
        settings={"do_image_splitting": False},
    ),
    Family(
        "internvl",
        ("internvl",),
        {"OpenGVLab/InternVL3-1B-hf": 0.94, "OpenGVLab/InternVL3-2B-hf": 2.1, "OpenGVLab/InternVL3-8B-hf": 7.9},
        video=("torchvision",),
        tiles=12,
    ),
    Family(
        "granite-vision",
        ("llava_next",),
        {"ibm-granite/granite-vision-3.2-2b": 3.0, "ibm-granite/granite-vision-3.3-2b": 3.0},
    ),
    Family("granite4-vision", ("granite4_vision",), {"ibm-granite/granite-vision-4.1-4b": 4.0}),
)


def family(name: str) -> Family:
    """Return a family by its name.

    Raises:
        ConfigError: there is none of that name.
    """
    for one in FAMILIES:
        if one.name == name:
            return one
    raise ConfigError(f"no family '{name}'", where="family", hint=nearest(name, [one.name for one in FAMILIES]))


def family_of_type(model_type: str) -> Family:
    """Return the family of a checkpoint by the ``model_type`` of its configuration.

    >>> family_of_type("qwen3_vl").name
    'qwen3-vl'

    Raises:
        ConfigError: no family has it.
    """
    for one in FAMILIES:
        if model_type in one.types:
            return one
    raise ConfigError(
        f"no family has models of type '{model_type}'",
        where="model",
        expected=", ".join(kind for one in FAMILIES for kind in one.types),
    )


def known_size(model: str) -> float | None:
    """Return the billions of parameters of a checkpoint: known ones, or as its name says; None where it does not.

    >>> known_size("Qwen/Qwen3-VL-2B-Instruct"), known_size("acme/garments-13B"), known_size("a/b")
    (2.1, 13.0, None)
    """
    for one in FAMILIES:
        if model in one.models:
            return one.models[model]
    found = re.search(r"(?<![\w.])(\d+(?:\.\d+)?)([BM])(?![a-z])", model.replace("_", "-"), re.IGNORECASE)
    return None if found is None else float(found[1]) * (0.001 if found[2] in "mM" else 1.0)
