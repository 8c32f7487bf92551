"""Drawn garments: pictures whose nine facts are known, made on this machine from a seed.

>>> from peakbench.garments import GarmentSet
>>> drawn = GarmentSet(n=2, seed=7, split="test")
>>> drawn.images().shape, list(drawn.references()[0])[:3]
((2, 128, 128, 3), ['type', 'color', 'pattern'])
"""

from peakbench.garments.collection import READER, SPLITS, GarmentSet
from peakbench.garments.scene import render
from peakbench.garments.specification import LEVELS, Garment, draw_garment, reference, sample_seed, vocabulary

VOCABULARY = vocabulary()
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
