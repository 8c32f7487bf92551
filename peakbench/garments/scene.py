"""The whole picture: background, garment, clutter, light; and the close-up of a label."""

from __future__ import annotations

import random

from PIL import Image, ImageChops, ImageDraw, ImageFilter

from peakbench.garments.canvas import Canvas, contrast, lettering, seam, shade
from peakbench.garments.cloth import cloth
from peakbench.garments.details import (
    draw_brand,
    draw_closure,
    draw_defect,
    draw_neck,
    draw_print,
    draw_seams,
    draw_size,
    fade,
    place,
)
from peakbench.garments.outline import outline
from peakbench.garments.specification import CUTS, Garment
from peakbench.garments.vocabulary import COLORS, RGB

HARDNESS = {"easy": 0.0, "medium": 0.5, "hard": 1.0}


def render(garment: Garment, size: int = 128) -> Image.Image:
    """Draw a garment, ``size`` x ``size`` pixels, RGB. The same garment gives the same picture with one Pillow.

    >>> from peakbench.garments.specification import draw_garment
    >>> render(draw_garment(3)).size
    (128, 128)
    """
    chance = random.Random(garment.seed ^ 0x5EED)  # noqa: S311 - a drawing, no secret
    hard = HARDNESS[garment.level]
    shift, shrink = 0.02 + 0.05 * hard, 0.03 + 0.14 * hard
    canvas = Canvas(2 * size, chance, scale=1.0 - chance.uniform(0, shrink))
    canvas.dx, canvas.dy = chance.uniform(-shift, shift), chance.uniform(-shift / 2, shift / 2)
    jitter = int(6 + 8 * hard)
    ground, second = (_jittered(COLORS[name], chance, jitter) for name in garment.colors)
    behind = _background(canvas, garment, hard)
    if garment.view == "tag":
        _label(canvas, garment, ground, second)
    else:
        _garment(canvas, garment, ground, second, behind)
        draw_size(canvas, garment)
    if hard:
        _clutter(canvas, hard)
    picture = canvas.picture.resize((size, size), Image.Resampling.BOX)
    turn = chance.uniform(-1, 1) * (3 + 9 * hard)
    picture = picture.rotate(turn, Image.Resampling.BILINEAR, fillcolor=behind)
    return _lit(picture, chance, hard)


def _jittered(color: RGB, chance: random.Random, most: int) -> RGB:
    return tuple(max(0, min(255, part + chance.randint(-most, most))) for part in color)  # type: ignore[return-value]


def _background(canvas: Canvas, garment: Garment, hard: float) -> RGB:
    """Paint wall, boards, tiles or cloth; return the color that shows through openings."""
    chance, side = canvas.chance, canvas.side
    value = chance.randint(150, 225)
    color: RGB = tuple(value + chance.randint(-14, 14) for _ in range(3))  # type: ignore[assignment]
    garment_color = COLORS[garment.colors[0]]
    if sum(abs(a - b) for a, b in zip(color, garment_color, strict=True)) < 90:
        color = shade(color, 0.62)
    canvas.paint(Image.new("RGB", (side, side), color))
    kind = (
        chance.choice(("plain", "boards", "tiles", "floor", "cloth"))
        if chance.random() < 0.25 + 0.5 * hard
        else "plain"
    )
    pen, darker, lighter = canvas.pen, shade(color, 0.90), shade(color, 1.07)
    if kind == "boards":
        step = chance.randint(side // 7, side // 4)
        for at in range(0, side, step):
            pen.rectangle((at, 0, at + step - 3, side), fill=chance.choice((color, darker, lighter)))
            pen.line((at, 0, at, side), fill=shade(color, 0.75), width=2)
    elif kind == "tiles":
        step = chance.randint(side // 5, side // 3)
        for at in range(0, side, step):
            pen.line((at, 0, at, side), fill=darker, width=3)
            pen.line((0, at, side, at), fill=darker, width=3)
    elif kind == "floor":
        pen.rectangle((0, chance.uniform(0.6, 0.85) * side, side, side), fill=shade(color, 0.82))
    elif kind == "cloth":
        for at in range(-side, side, chance.randint(9, 16)):
            pen.line((at, 0, at + side, side), fill=lighter, width=2)
    return color


def _garment(canvas: Canvas, garment: Garment, ground: RGB, second: RGB, behind: RGB) -> None:
    shape = CUTS[garment.cut].shape
    side = canvas.side
    if shape in ("top", "dress") and canvas.chance.random() < 0.25:
        wood = (120, 84, 50)
        canvas.line([(0.5, 0.0), (0.5, 0.12)], (130, 130, 134), 0.012)
        canvas.line([(0.30, 0.22), (0.5, 0.11), (0.70, 0.22)], wood, 0.03)
    mask = outline(canvas, garment)
    sheet = cloth(garment.pattern, ground, second, side, canvas.chance)
    middle = place(canvas, garment)
    if garment.defect_type == "fading":
        sheet = fade(canvas, sheet, ground, middle)
    shadow = ImageChops.offset(mask, side // 80, side // 60).filter(ImageFilter.BoxBlur(side * 0.012))
    picture = canvas.picture
    picture.paste(shade(behind, 0.70), (0, 0), shadow.point(lambda value: value * 7 // 10))
    picture.paste(sheet, (0, 0), mask)
    inside = mask.filter(ImageFilter.BoxBlur(2)).point(lambda value: 255 * (value == 255))  # an erosion, but faster
    edge = ImageChops.subtract(mask, inside)
    picture.paste(seam(ground), (0, 0), edge)
    before = picture.copy()
    draw_seams(canvas, garment, ground)
    draw_print(canvas, garment, second)
    draw_closure(canvas, garment, ground)
    clipped = Image.composite(picture, before, mask)
    canvas.paint(clipped)
    draw_neck(canvas, garment, ground, behind)
    draw_brand(canvas, garment, ground)
    draw_defect(canvas, garment, ground, middle, behind)


def _label(canvas: Canvas, garment: Garment, ground: RGB, second: RGB) -> None:
    """Draw a label sewn on cloth that fills the picture."""
    side, chance = canvas.side, canvas.chance
    canvas.paint(cloth(garment.pattern, ground, second, side, chance))
    left, top, right, bottom = (
        chance.uniform(*ends) * side for ends in ((0.14, 0.2), (0.14, 0.22), (0.8, 0.86), (0.6, 0.66))
    )
    paper = (250, 249, 244) if chance.random() < 0.6 else (34, 34, 40)
    pen, ink = canvas.pen, contrast(paper)
    pen.rectangle((left, top, right, bottom), fill=paper, outline=shade(ground, 0.5), width=3)
    for x in range(int(left) + 6, int(right) - 6, 12):
        pen.line((x, top + 5, x + 6, top + 5), fill=shade(ground, 0.8) if paper[0] > 100 else ink, width=2)
    middle = (left + right) / 2
    if garment.brand is not None:
        words = garment.brand.upper() if chance.random() < 0.5 else garment.brand
        mask = lettering(words, int(0.13 * side), garment.lettering, int((right - left) * 0.86))
        canvas.picture.paste(ink, (int(middle - mask.width / 2), int(top + 0.09 * side)), mask)
    if garment.size is not None:
        mask = lettering(garment.size.upper(), int(0.12 * side), "plain", int((right - left) * 0.5))
        canvas.picture.paste(ink, (int(middle - mask.width / 2), int(bottom - 0.16 * side)), mask)


def _clutter(canvas: Canvas, hard: float) -> None:
    """Lay other things over the edges of the picture."""
    chance, side, pen = canvas.chance, canvas.side, canvas.pen
    for _ in range(chance.randint(0, 2 if hard > 0.6 else 1)):
        color = _jittered(COLORS[chance.choice(list(COLORS))], chance, 20)
        x = chance.choice((-0.02, 1.02)) * side
        y = chance.uniform(0.0, 0.75) * side
        size = chance.uniform(0.06, 0.07 + 0.06 * hard) * side
        if chance.random() < 0.5:
            pen.ellipse((x - size, y - size, x + size, y + size), fill=color, outline=shade(color, 0.6))
        else:
            pen.polygon([(x - size, y), (x, y - size * 1.4), (x + size, y), (x, y + size * 1.4)], fill=color)


def _lit(picture: Image.Image, chance: random.Random, hard: float) -> Image.Image:
    """Set light: brightness, contrast, tint, a shadow across, blur and noise where it is hard."""
    gain, offset = chance.uniform(0.90 - 0.15 * hard, 1.08 + 0.10 * hard), chance.uniform(-6, 6) * (1 + hard)
    tint = [gain * chance.uniform(1 - 0.03 * hard, 1 + 0.03 * hard) for _ in range(3)]
    table = [max(0, min(255, int(value * factor + offset))) for factor in tint for value in range(256)]
    picture = picture.point(table)
    if hard and chance.random() < 0.4 * hard:
        size = picture.width
        veil = Image.new("L", (size, size), 0)
        edge = chance.uniform(-0.3, 1.3) * size
        ImageDraw.Draw(veil).polygon(
            [(edge, 0), (edge + size, 0), (edge + size * 0.6, size), (edge - size * 0.4, size)], fill=70
        )
        veil = veil.filter(ImageFilter.BoxBlur(size * 0.04))
        picture = Image.composite(Image.new("RGB", (size, size), (10, 10, 20)), picture, veil)
    if hard > 0.6 and chance.random() < 0.4:
        picture = picture.filter(ImageFilter.GaussianBlur(chance.uniform(0.3, 0.8)))
    return picture
