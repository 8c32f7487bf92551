"""The outline of a garment as polygons and ellipses on a mask."""

from __future__ import annotations

import math

from PIL import Image, ImageDraw

from peakbench.garments.canvas import Canvas
from peakbench.garments.specification import CUTS, LONG, QUARTER, SHORT, Garment

HEMS = {"t-shirt": 0.76, "tank top": 0.76, "shirt": 0.82, "blouse": 0.74, "sweater": 0.78, "sweatshirt": 0.76,
        "hoodie": 0.80, "jacket": 0.78, "coat": 0.95, "vest": 0.78, "dress": 0.95}  # fmt: skip
ARMS = {SHORT: 0.17, QUARTER: 0.33, LONG: 0.50}
WIDE = ("hoodie", "sweater", "sweatshirt", "jacket", "coat")


def outline(canvas: Canvas, garment: Garment) -> Image.Image:
    """Return the mask of a garment, 255 where it is."""
    cut = garment.cut
    shape = CUTS[cut].shape
    mask = Image.new("L", canvas.picture.size, 0)
    pen = ImageDraw.Draw(mask)
    if shape in ("top", "dress"):
        _upper(canvas, pen, garment)
    elif shape == "skirt":
        flare = canvas.chance.uniform(0.06, 0.16)
        pen.polygon(canvas.points([(0.36, 0.16), (0.64, 0.16), (0.64 + flare, 0.74), (0.36 - flare, 0.74)]), fill=255)
    elif shape == "legs":
        _legs(canvas, pen, cut)
    elif cut == "cap":
        pen.pieslice(canvas.box(0.24, 0.26, 0.72, 0.86), 180, 360, fill=255)
        pen.polygon(
            canvas.points([(0.66, 0.50), (0.90, 0.58), (0.92, 0.63), (0.60, 0.585), (0.24, 0.57), (0.24, 0.54)]),
            fill=255,
        )
    elif cut == "beanie":
        pen.pieslice(canvas.box(0.28, 0.18, 0.72, 0.94), 180, 360, fill=255)
        pen.rounded_rectangle(canvas.box(0.26, 0.52, 0.74, 0.68), radius=canvas.width(0.03), fill=255)
        pen.ellipse(canvas.box(0.45, 0.12, 0.55, 0.22), fill=255)
    else:
        for lift in (0.0, 0.30):
            upper = [(0.18, 0.28), (0.34, 0.28), (0.56, 0.36), (0.80, 0.42), (0.84, 0.50), (0.16, 0.50)]
            pen.polygon(canvas.points([(x, y + lift) for x, y in upper]), fill=255)
    return mask


def _upper(canvas: Canvas, pen: ImageDraw.ImageDraw, garment: Garment) -> None:
    cut, neck, sleeve = garment.cut, garment.neckline, garment.sleeve_length
    shape = CUTS[cut].shape
    wide = canvas.chance.uniform(-0.015, 0.015)
    left, right, hem = 0.30 + wide, 0.70 - wide, HEMS[cut]
    if cut in ("tank top", "vest"):
        left, right = left + 0.03, right - 0.03
    flare = {"dress": 0.12, "coat": 0.05, "blouse": 0.07}.get(cut, 0.0)
    inset = 0.045 if cut == "tank top" else 0.0
    shoulder = 0.20
    waist_left = [(left + 0.05, 0.52)] if shape == "dress" else []
    waist_right = [(right - 0.05, 0.52)] if shape == "dress" else []
    body = [(left, shoulder + 0.14), (left + inset, shoulder), (0.42, 0.15), (0.58, 0.15), (right - inset, shoulder),
            (right, shoulder + 0.14), *waist_right, (right + flare, hem), (left - flare, hem), *waist_left]  # fmt: skip
    pen.polygon(canvas.points(body), fill=255)
    reach = ARMS.get(sleeve or "", 0.0)
    breadth = 0.13 if cut in WIDE else 0.15 if cut == "blouse" else 0.105
    lean = canvas.chance.uniform(-4, 4)
    for side in (-1, 1):
        if reach:
            start = left if side < 0 else right
            angle = math.radians(66 + lean * side)
            x = start + side * reach * math.cos(angle) * 1.25
            y = shoulder + 0.04 + reach * math.sin(angle) * 1.1
            arm = [(start, shoulder), (x + side * breadth * 0.55, y - 0.02), (x - side * breadth * 0.35, y + 0.03)]
            pen.polygon(canvas.points([*arm, (start, shoulder + 0.19)]), fill=255)
    if neck == "hooded":
        pen.ellipse(canvas.box(0.36, 0.02, 0.64, 0.25), fill=255)
    elif neck in ("turtleneck", "stand collar"):
        pen.rectangle(canvas.box(0.43, 0.07 if neck == "turtleneck" else 0.105, 0.57, 0.17), fill=255)


def _legs(canvas: Canvas, pen: ImageDraw.ImageDraw, cut: str) -> None:
    end = 0.50 if cut == "shorts" else 0.93
    foot = {"shorts": 0.0, "sweatpants": 0.045, "jeans": 0.02}.get(cut, 0.005)
    hip = 0.32 if cut != "shorts" else 0.30
    outer = [
        (0.34, 0.12),
        (0.66, 0.12),
        (1 - hip, end - 0.05),
        (1 - hip - foot, end),
        (0.535 + foot / 2, end),
        (0.50, 0.33),
    ]
    pen.polygon(canvas.points([*outer, (0.465 - foot / 2, end), (hip + foot, end), (hip, end - 0.05)]), fill=255)
