"""Draws docs/garments.png: every type, pattern, defect, view and level once, with its name.

python docs/garments.py
"""

from __future__ import annotations

from collections.abc import Iterator
from itertools import count
from pathlib import Path

from PIL import Image, ImageDraw, ImageFont

from peakbench.garments import LEVELS, VOCABULARY, Garment, draw_garment, render, sample_seed

COLUMNS, SIDE, CAPTION = 12, 128, 18


def first(level: str = "easy", *, after: int = 0, **facts: str) -> Garment:
    """Return the first garment of the validation split that has these facts, or that after so many others."""
    for index in count():
        garment = draw_garment(sample_seed(7, "validation", index), level=level)
        if all(getattr(garment, name) == value for name, value in facts.items()):
            after -= 1
            if after < 0:
                return garment
    raise AssertionError


def shown() -> Iterator[tuple[str, Garment]]:
    """Yield what the sheet shows, with its caption."""
    plain = {"view": "front", "pattern": "solid"}
    for value in VOCABULARY["type"][:-1]:
        yield str(value), first(type=value, view="front", pattern="denim wash" if value == "jeans" else "solid")
    for value in VOCABULARY["pattern"][1:]:
        yield str(value), first(pattern=value, view="front")
    for name in ("defect_type", "neckline", "closure"):
        for value in VOCABULARY[name][:-1]:
            yield str(value), first(**plain, **{name: value})
    for number in range(3):
        yield "back", first(view="back", after=number)
    for number in range(3):
        yield "tag", first(view="tag", after=number)
    for level in LEVELS:
        for number in range(4):
            yield level, first(level, view="front", after=number)


def main() -> None:
    """Draw the sheet."""
    cells = list(shown())
    rows = -(-len(cells) // COLUMNS)
    sheet = Image.new("RGB", (COLUMNS * (SIDE + 4), rows * (SIDE + CAPTION)), (255, 255, 255))
    pen, font = ImageDraw.Draw(sheet), ImageFont.load_default(13)
    for at, (caption, garment) in enumerate(cells):
        x, y = at % COLUMNS * (SIDE + 4), at // COLUMNS * (SIDE + CAPTION)
        sheet.paste(render(garment, SIDE), (x, y))
        pen.text((x + SIDE / 2, y + SIDE + 1), caption, font=font, fill=(40, 40, 40), anchor="ma")
    sheet.quantize(256).save(Path(__file__).with_name("garments.png"), optimize=True)


if __name__ == "__main__":
    main()
