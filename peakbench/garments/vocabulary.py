"""What a drawn garment can be: every value of every field, and which values go together."""

from __future__ import annotations

from collections.abc import Mapping
from types import MappingProxyType

RGB = tuple[int, int, int]

COLORS: Mapping[str, RGB] = MappingProxyType({
    "black": (32, 32, 36), "white": (244, 244, 240), "gray": (140, 142, 146), "navy blue": (26, 36, 92),
    "blue": (44, 100, 205), "light blue": (150, 196, 236), "red": (205, 34, 42), "burgundy": (110, 20, 46),
    "green": (38, 138, 66), "olive": (110, 112, 50), "yellow": (244, 208, 48), "orange": (240, 126, 34),
    "pink": (244, 158, 186), "purple": (122, 58, 156), "brown": (112, 70, 40), "beige": (222, 202, 166),
    "teal": (20, 140, 140),
})  # fmt: skip

PATTERNS = ("solid", "striped", "checkered", "polka dot", "floral", "graphic print", "logo", "color block",
            "animal print", "denim wash")  # fmt: skip
DEFECTS = ("stain", "hole", "tear", "pilling", "fading", "missing button", "loose thread")
BRANDS = ("Novara", "Arco", "Lumen", "Kite", "Meridian", "Oakleaf", "Pulse", "River", "Solis", "Tundra", "Vela",
          "Zephyr")  # fmt: skip
SIZES = ("xs", "s", "m", "l", "xl", "xxl", "30x32", "32x34", "36", "38", "40", "42")
