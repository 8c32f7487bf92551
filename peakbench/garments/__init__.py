"""Drawn garments: pictures whose nine facts are known, made on this machine from a seed.

>>> from peakbench.garments import GarmentSet
>>> drawn = GarmentSet(n=2, seed=7, split="test")
>>> drawn.images().shape, list(drawn.references()[0])[:3]
((2, 128, 128, 3), ['type', 'color', 'pattern'])
"""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

from peakbench.garments.collection import READER, SPLITS, GarmentSet
from peakbench.garments.specification import LEVELS, Garment, draw_garment, reference, sample_seed

if TYPE_CHECKING:
    from peakbench.garments.scene import render

VOCABULARY: dict[str, tuple[str | None, ...]]
"""Every value that each field can take; None among them where a garment may lack it or a view may hide it."""

__all__ = [
    "LEVELS",
    "READER",
    "SPLITS",
    "VOCABULARY",
    "Garment",
    "GarmentSet",
    "draw_garment",
    "reference",
    "render",
    "sample_seed",
]


def __getattr__(name: str) -> Any:
    # every run asks which data sets there are: what only a drawing or a training needs is made when it is asked for
    if name == "render":
        from peakbench.garments.scene import render

        return render
    if name == "VOCABULARY":
        from peakbench.garments.specification import vocabulary

        globals()[name] = vocabulary()
        return globals()[name]
    raise AttributeError(f"module {__name__!r} has no attribute {name!r}")
