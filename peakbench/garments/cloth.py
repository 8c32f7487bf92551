"""Cloth: the pattern that fills a garment's outline."""

from __future__ import annotations

import math
import random

from PIL import Image, ImageDraw

from peakbench.garments.canvas import shade
from peakbench.garments.vocabulary import RGB


def cloth(pattern: str, ground: RGB, second: RGB, side: int, chance: random.Random) -> Image.Image:
    """Return ``side`` x ``side`` pixels of cloth. Prints that stand once (graphic print, logo) are not part of it."""
    sheet = Image.new("RGB", (side, side), ground)
    draw = _DRAWN.get(pattern)
    if draw is not None:
        sheet = draw(sheet, ground, second, side, chance) or sheet
    return sheet


def _striped(sheet: Image.Image, ground: RGB, second: RGB, side: int, chance: random.Random) -> None:
    pen = ImageDraw.Draw(sheet)
    step = chance.uniform(0.07, 0.11) * side
    upright = chance.random() < 0.3
    at = chance.uniform(-step, 0)
    while at < side:
        box = (at, 0, at + step * 0.36, side) if upright else (0, at, side, at + step * 0.36)
        pen.rectangle(box, fill=second)
        at += step


def _checkered(sheet: Image.Image, ground: RGB, second: RGB, side: int, chance: random.Random) -> None:
    pen = ImageDraw.Draw(sheet)
    step = chance.uniform(0.075, 0.10) * side
    at = chance.uniform(-step, 0)
    while at < side:
        pen.rectangle((at, 0, at + step * 0.25, side), fill=second)
        pen.rectangle((0, at, side, at + step * 0.25), fill=second)
        at += step


def _dotted(sheet: Image.Image, ground: RGB, second: RGB, side: int, chance: random.Random) -> None:
    pen = ImageDraw.Draw(sheet)
    step = chance.uniform(0.07, 0.10) * side
    radius = step * 0.22
    for row in range(int(side / step / 0.75) + 2):
        for column in range(int(side / step) + 2):
            x, y = (column + row % 2 / 2) * step, row * step * 0.75
            pen.ellipse((x - radius, y - radius, x + radius, y + radius), fill=second)


def _floral(sheet: Image.Image, ground: RGB, second: RGB, side: int, chance: random.Random) -> None:
    pen = ImageDraw.Draw(sheet)
    step = chance.uniform(0.13, 0.16) * side
    for row in range(int(side / step) + 2):
        for column in range(int(side / step) + 2):
            x = (column + row % 2 / 2 + chance.uniform(-0.15, 0.15)) * step
            y = (row + chance.uniform(-0.15, 0.15)) * step
            size = chance.uniform(0.014, 0.020) * side
            turn = chance.uniform(0, 2)
            for petal in range(5):
                angle = turn + petal * 2 * math.pi / 5
                px, py = x + 1.3 * size * math.cos(angle), y + 1.3 * size * math.sin(angle)
                pen.ellipse((px - size, py - size, px + size, py + size), fill=second)
            pen.ellipse((x - size * 0.7, y - size * 0.7, x + size * 0.7, y + size * 0.7), fill=(250, 215, 80))


def _color_block(sheet: Image.Image, ground: RGB, second: RGB, side: int, chance: random.Random) -> None:
    edge = chance.uniform(0.34, 0.40) * side
    ImageDraw.Draw(sheet).rectangle((0, 0, side, edge), fill=second)


def _animal(sheet: Image.Image, ground: RGB, second: RGB, side: int, chance: random.Random) -> None:
    pen = ImageDraw.Draw(sheet)
    step = 0.062 * side
    for row in range(int(side / step) + 1):
        for column in range(int(side / step) + 1):
            x, y = (column + chance.uniform(0.1, 0.9)) * step, (row + chance.uniform(0.1, 0.9)) * step
            size, start = chance.uniform(0.014, 0.022) * side, chance.uniform(0, 360)
            box = (x - size, y - size * 0.8, x + size, y + size * 0.8)
            pen.arc(box, start, start + 250, fill=second, width=max(2, int(size * 0.55)))


def _denim(sheet: Image.Image, ground: RGB, second: RGB, side: int, chance: random.Random) -> Image.Image:
    pale = Image.new("RGB", (side, side), tuple(int(0.55 * part + 0.45 * 235) for part in ground))
    wash = Image.linear_gradient("L").rotate(90).resize((side // 2, side))
    both = Image.new("L", (side, side))
    both.paste(wash, (0, 0))
    both.paste(wash.transpose(Image.Transpose.FLIP_LEFT_RIGHT), (side // 2, 0))
    mixed = Image.composite(pale, sheet, both.point(lambda value: value * 2 // 3))
    pen = ImageDraw.Draw(mixed)
    fine = shade(ground, 0.86)
    for at in range(-side, side, 7):
        pen.line((at, 0, at + side, side), fill=fine)
    return mixed


_DRAWN = {
    "striped": _striped,
    "checkered": _checkered,
    "polka dot": _dotted,
    "floral": _floral,
    "color block": _color_block,
    "animal print": _animal,
    "denim wash": _denim,
}
