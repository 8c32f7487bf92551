"""Colours and type of the charts: a palette that the colour-blind can tell apart, in light and in dark.

The palette is data (``palette.json``, its source stands in it). A third theme, ``page``, is for SVG inside a page:
its colours are CSS variables, so that one drawing follows the page from light to dark.
"""

from __future__ import annotations

import json
from collections.abc import Mapping
from functools import cache
from importlib.resources import files
from typing import Any, Literal, get_args

from peakbench.errors import InputError, nearest

Theme = Literal["light", "dark", "page"]
THEMES: tuple[Theme, ...] = get_args(Theme)
FONT = "Arial, Helvetica, 'Liberation Sans', sans-serif"


@cache
def _palette() -> Mapping[str, Any]:
    return dict(json.loads((files(__package__) / "palette.json").read_bytes()))


def tones(theme: Theme) -> dict[str, str]:
    """Return tone -> colour.

    Raises:
        InputError: no such theme.

    >>> tones("light")["strong"], tones("page")["strong"]
    ('#0072b2', 'var(--chart-strong, #0072b2)')
    """
    if theme not in THEMES:
        raise InputError(f"no theme '{theme}'", expected=", ".join(THEMES), hint=nearest(str(theme), THEMES))
    found = {}
    for tone, colours in _palette()["tones"].items():
        found[tone] = colours[theme] if theme != "page" else f"var({_variable(tone)}, {colours['light']})"
    return found


def page_css() -> str:
    """Return the CSS that gives the variables of the ``page`` theme their colours.

    Dark where the reader's system is, unless the page's ``data-theme`` says otherwise.
    """
    light, dark = (
        "".join(f"{_variable(tone)}:{colours[theme]};" for tone, colours in _palette()["tones"].items())
        for theme in ("light", "dark")
    )
    return (
        f":root{{{light}}}"
        f"@media (prefers-color-scheme: dark){{:root:not([data-theme=light]){{{dark}}}}}"
        f":root[data-theme=dark]{{{dark}}}"
        f"@media print{{:root,:root[data-theme]{{{light}}}}}"
    )


def shade(share: float) -> tuple[str, str]:
    """Return the colour of a share of 0 to 1, and the tone of letters that can be read on it.

    >>> shade(0.0), shade(1.0)
    (('#00224e', 'on_dark'), ('#fee838', 'on_light'))
    """
    stops = _palette()["shades"]
    place = min(max(share, 0.0), 1.0) * (len(stops) - 1)
    first = min(int(place), len(stops) - 2)
    one, two = _rgb(stops[first]), _rgb(stops[first + 1])
    mixed = tuple(round(a + (b - a) * (place - first)) for a, b in zip(one, two, strict=True))
    colour = "#" + "".join(f"{part:02x}" for part in mixed)
    dark, light = (contrast(colour, tones("light")[tone]) for tone in ("on_dark", "on_light"))
    return colour, "on_dark" if dark >= light else "on_light"


def contrast(one: str, two: str) -> float:
    """Return the contrast ratio of two colours, 1 to 21 (WCAG 2.2, relative luminance).

    >>> contrast("#ffffff", "#000000")
    21.0
    """
    first, second = sorted((_luminance(one), _luminance(two)), reverse=True)
    return (first + 0.05) / (second + 0.05)


def _variable(tone: str) -> str:
    return f"--chart-{tone.replace('_', '-')}"


def _rgb(colour: str) -> tuple[int, int, int]:
    return int(colour[1:3], 16), int(colour[3:5], 16), int(colour[5:7], 16)


def _luminance(colour: str) -> float:
    red, green, blue = (
        part / 12.92 if part <= 0.04045 else ((part + 0.055) / 1.055) ** 2.4
        for part in (byte / 255 for byte in _rgb(colour))
    )
    return 0.2126 * red + 0.7152 * green + 0.0722 * blue
